//! The rules for reply heads.
use super::*;

fn body(head: &str, asked: AskedMethod) -> Result<BodyLength, Error> {
    response(head.as_bytes(), asked).map(|(head, _)| head.body())
}

#[test]
fn a_plain_reply_is_understood() {
    let (head, used) =
        response(b"HTTP/1.1 404 Not \xe9 Found\r\nServer: x\r\nContent-Length: 3\r\n\r\nabc", AskedMethod::Other)
            .unwrap();
    assert_eq!((head.status(), head.reason(), head.body()), (404, &b"Not \xe9 Found"[..], BodyLength::Length(3)));
    assert_eq!(used, 58);
    assert!(head.keep_alive());
    for line in ["HTTP/1.1 200", "HTTP/1.1 200 "] {
        let (head, _) =
            response(format!("{line}\r\nContent-Length: 0\r\n\r\n").as_bytes(), AskedMethod::Other).unwrap();
        assert_eq!((head.status(), head.reason()), (200, &b""[..]), "{line}");
    }
}

#[test]
fn status_lines_that_are_not_exact_are_refused() {
    for (line, error) in [
        ("HTTP/1.1", Error::StatusLine),
        ("HTTP/1.1 20", Error::StatusLine),
        ("HTTP/1.1 2000", Error::StatusLine),
        ("HTTP/1.1  200", Error::StatusLine),
        ("HTTP/1.1\t200 OK", Error::StatusLine),
        ("HTTP/1.1 200\tOK", Error::StatusLine),
        ("HTTP/1.1 099 x", Error::StatusLine),
        ("HTTP/1.1 2x0 x", Error::StatusLine),
        ("HTTP/1.1 200 O\0K", Error::StatusLine),
        ("HTTP/1.1 200 O\rK", Error::StatusLine),
        ("HTTP/2.0 200 OK", Error::Version),
        ("HTTP/0.9 200 OK", Error::Version),
        ("http/1.1 200 OK", Error::StatusLine),
        ("ICY 200 OK", Error::StatusLine),
        ("<html>", Error::StatusLine),
        ("HTTP/1.1 101 Switching", Error::UnaskedUpgrade),
    ] {
        let input = format!("{line}\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(body(&input, AskedMethod::Other), Err(error), "{}", line.escape_debug());
    }
}

#[test]
fn where_a_reply_ends_follows_the_request_the_status_and_the_fields() {
    use BodyLength::*;
    for (head, asked, length) in [
        ("HTTP/1.1 200 OK\r\n\r\n", AskedMethod::Other, UntilClose),
        ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", AskedMethod::Other, Length(7)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", AskedMethod::Head, None),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", AskedMethod::Other, Chunked),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", AskedMethod::Head, None),
        ("HTTP/1.1 204 No\r\nContent-Length: 7\r\n\r\n", AskedMethod::Other, None),
        ("HTTP/1.1 304 No\r\nContent-Length: 7\r\n\r\n", AskedMethod::Other, None),
        ("HTTP/1.1 103 Hints\r\n\r\n", AskedMethod::Other, None),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n", AskedMethod::Other, Length(1)),
    ] {
        assert_eq!(body(head, asked), Ok(length), "{}", head.escape_debug());
    }
    for (head, error) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n", Error::ContentLengthRepeated),
        ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 8\r\n\r\n", Error::ContentLengthRepeated),
        ("HTTP/1.1 204 OK\r\nContent-Length: x\r\n\r\n", Error::ContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n", Error::LengthConflict),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Error::TransferCoding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Error::TransferEncodingHttp10),
        ("HTTP/1.1 200 OK\nContent-Length: 7\r\n\r\n", Error::BareLf),
        ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Error::SpaceBeforeColon),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Error::FoldedLine),
    ] {
        assert_eq!(body(head, AskedMethod::Other), Err(error), "{}", head.escape_debug());
    }
}

#[test]
fn a_connection_is_reused_only_when_the_upstream_allows() {
    for (head, keep) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", true),
        ("HTTP/1.1 204 OK\r\n\r\n", true),
    ] {
        assert_eq!(
            response(head.as_bytes(), AskedMethod::Other).unwrap().0.keep_alive(),
            keep,
            "{}",
            head.escape_debug()
        );
    }
}

#[test]
fn interim_replies_are_passed_and_counted() {
    let mut parser = ResponseParser::new();
    let mut head = ResponseHead::new();
    let interim = b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n";
    for _ in 0..ResponseParser::MAX_INTERIM {
        let progress = parser.feed(interim, &LIMITS, AskedMethod::Other, &mut head);
        assert_eq!((progress, head.status(), head.is_interim()), (Ok(Progress::Complete(interim.len())), 103, true));
    }
    let mut full = parser;
    let last = b"HTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(parser.feed(last, &LIMITS, AskedMethod::Other, &mut head), Ok(Progress::Complete(last.len())));
    assert!(!head.is_interim());
    assert_eq!(full.feed(interim, &LIMITS, AskedMethod::Other, &mut head), Err(Error::TooManyInterim));
}

#[test]
fn a_reply_head_is_bounded() {
    let mut head = ResponseHead::new();
    let limits = HeadLimits { bytes: 40, fields: 1 };
    let two = b"HTTP/1.1 200 OK\r\nA: b\r\nB: c\r\n\r\n";
    assert_eq!(ResponseParser::new().feed(two, &limits, AskedMethod::Other, &mut head), Err(Error::TooManyFields));
    let long = b"HTTP/1.1 200 OK\r\nA: bbbbbbbbbbbbbbbbbbbbbbb";
    assert_eq!(ResponseParser::new().feed(long, &limits, AskedMethod::Other, &mut head), Err(Error::HeadTooLarge));
}

//! The rules for request heads.
use super::*;

/// `lines` behind a good first line and Host.
fn with(lines: &str) -> Result<RequestHead, Error> {
    request(format!("POST /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes()).map(|(head, _)| head)
}

#[test]
fn a_plain_request_is_understood() {
    let input = b"GET /a/b?c=d HTTP/1.1\r\nHost: Example.com:8080\r\nAccept:\t*/*  \r\nX-Empty:\r\n\r\nnext";
    let (head, used) = request(input).unwrap();
    assert_eq!(&input[used..], b"next");
    assert_eq!(head.method_name(), "GET");
    assert_eq!(head.method(), Method::Get);
    assert_eq!(head.path(), "/a/b");
    assert_eq!(head.path_and_query(), "/a/b?c=d");
    assert_eq!(head.authority(), "Example.com:8080");
    assert_eq!(head.host(), "Example.com");
    assert_eq!(head.version(), Version::Http11);
    assert_eq!(head.body(), BodyLength::None);
    assert!(head.keep_alive());
    let expected = [("Host", "Example.com:8080"), ("Accept", "*/*"), ("X-Empty", "")];
    assert_eq!(pairs(head.fields()), expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
}

#[test]
fn one_empty_line_before_the_request_is_skipped_two_are_refused() {
    assert!(request(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok());
    assert_eq!(request(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").err(), Some(Error::Method));
    assert_eq!(request(b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").err(), Some(Error::Method));
}

#[test]
fn first_lines_that_are_not_exact_are_refused() {
    for (line, error) in [
        (" GET / HTTP/1.1", Error::Method),
        ("\tGET / HTTP/1.1", Error::Method),
        ("GET  / HTTP/1.1", Error::RequestLine),
        ("GET / HTTP/1.1 ", Error::RequestLine),
        ("GET /  HTTP/1.1", Error::RequestLine),
        ("GET\t/\tHTTP/1.1", Error::RequestLine),
        ("GET / a HTTP/1.1", Error::RequestLine),
        ("GET", Error::RequestLine),
        ("GET ", Error::RequestLine),
        ("GET /", Error::NoVersion),
        ("GET / ", Error::RequestLine),
        ("G(T / HTTP/1.1", Error::RequestLine),
        ("GET / HTTP/2.0", Error::Version),
        ("GET / HTTP/2", Error::Version),
        ("GET / HTTP/1.2", Error::Version),
        ("GET / HTTP/0.9", Error::Version),
        ("GET / http/1.1", Error::RequestLine),
        ("GET / HTTP/1.1\r", Error::RequestLine),
        ("GET / HTTP/11.1", Error::RequestLine),
        ("GET / HTTP/1.1x", Error::RequestLine),
        ("GET a HTTP/1.1", Error::Target),
        ("GET * HTTP/1.1", Error::Target),
        ("GET /\x01 HTTP/1.1", Error::Target),
        ("GET /\u{e9} HTTP/1.1", Error::Target),
        ("GET /a#b HTTP/1.1", Error::Target),
        ("GET https://a/ HTTP/1.1", Error::Target),
        ("GET http://a b/ HTTP/1.1", Error::RequestLine),
        ("GET http:///x HTTP/1.1", Error::HostInvalid),
        ("GET /../x HTTP/1.1", Error::DotSegment),
        ("CONNECT a:443 HTTP/1.1", Error::Connect),
        ("PRI * HTTP/2.0", Error::Version),
    ] {
        let input = format!("{line}\r\nHost: a\r\n\r\n");
        assert_eq!(request(input.as_bytes()).err(), Some(error), "{}", line.escape_debug());
    }
}

#[test]
fn bare_lf_is_refused_wherever_it_stands() {
    for input in
        ["GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\n"]
    {
        assert_eq!(request(input.as_bytes()).err(), Some(Error::BareLf), "{}", input.escape_debug());
    }
}

#[test]
fn field_lines_that_are_not_exact_are_refused() {
    for (line, error) in [
        ("A : b", Error::SpaceBeforeColon),
        ("A\t: b", Error::SpaceBeforeColon),
        (" A: b", Error::FoldedLine),
        ("\tb", Error::FoldedLine),
        ("Ab", Error::NoColon),
        ("A b", Error::NoColon),
        (": b", Error::FieldName),
        ("A b: c", Error::FieldName),
        ("A(: b", Error::FieldName),
        ("\u{e9}: b", Error::FieldName),
        ("A\0: b", Error::FieldName),
        ("A: b\0c", Error::FieldValue),
        ("A: b\rc", Error::FieldValue),
        ("A: b\r", Error::FieldValue),
        ("A: \x7f", Error::FieldValue),
        ("A: \x0b", Error::FieldValue),
    ] {
        assert_eq!(with(&format!("{line}\r\n")).err(), Some(error), "{}", line.escape_debug());
    }
    assert_eq!(with("A: b\r\n c\r\n").err(), Some(Error::FoldedLine));
    assert!(request(b"GET / HTTP/1.1\r\nHost: a\r\nA: \x80\xff\tb\r\n\r\n").is_ok());
}

#[test]
fn the_length_has_one_reading_or_none() {
    for (lines, body) in [
        ("", BodyLength::None),
        ("Content-Length: 0\r\n", BodyLength::Length(0)),
        ("content-LENGTH:0005\r\n", BodyLength::Length(5)),
        ("Content-Length: 9223372036854775807\r\n", BodyLength::Length(i64::MAX as u64)),
        ("Transfer-Encoding: chunked\r\n", BodyLength::Chunked),
        ("transfer-encoding:\tCHUNKED \r\n", BodyLength::Chunked),
    ] {
        assert_eq!(with(lines).map(|head| head.body()), Ok(body), "{}", lines.escape_debug());
    }
    for (lines, error) in [
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Error::ContentLengthRepeated),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Error::ContentLengthRepeated),
        ("Content-Length: 5, 5\r\n", Error::ContentLength),
        ("Content-Length: +5\r\n", Error::ContentLength),
        ("Content-Length: -5\r\n", Error::ContentLength),
        ("Content-Length: 0x5\r\n", Error::ContentLength),
        ("Content-Length: 5 5\r\n", Error::ContentLength),
        ("Content-Length: 5.0\r\n", Error::ContentLength),
        ("Content-Length: 1e1\r\n", Error::ContentLength),
        ("Content-Length:\r\n", Error::ContentLength),
        ("Content-Length: \"5\"\r\n", Error::ContentLength),
        ("Content-Length: 9223372036854775808\r\n", Error::ContentLength),
        ("Content-Length: 18446744073709551617\r\n", Error::ContentLength),
        ("Content-Length: 00000000000000000005\r\n", Error::ContentLength),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Error::LengthConflict),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Error::LengthConflict),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Error::TransferEncoding),
        ("Transfer-Encoding: chunked, chunked\r\n", Error::TransferEncoding),
        ("Transfer-Encoding: chunked, gzip\r\n", Error::TransferEncoding),
        ("Transfer-Encoding: chunked;q=1\r\n", Error::TransferEncoding),
        ("Transfer-Encoding: chunked,\r\n", Error::TransferEncoding),
        ("Transfer-Encoding: , chunked\r\n", Error::TransferEncoding),
        ("Transfer-Encoding: \"chunked\"\r\n", Error::TransferEncoding),
        ("Transfer-Encoding:\r\n", Error::TransferEncoding),
        ("Transfer-Encoding: gzip, chunked\r\n", Error::TransferCoding),
        ("Transfer-Encoding: identity\r\n", Error::TransferCoding),
        ("Transfer-Encoding: xchunked\r\n", Error::TransferCoding),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", Error::TransferCoding),
    ] {
        assert_eq!(with(lines).err(), Some(error), "{}", lines.escape_debug());
    }
    let old = b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(request(old).err(), Some(Error::TransferEncodingHttp10));
}

#[test]
fn exactly_one_valid_host_is_required() {
    for (input, error) in [
        ("GET / HTTP/1.1\r\n\r\n", Error::HostMissing),
        ("GET http://a/ HTTP/1.1\r\n\r\n", Error::HostMissing),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Error::HostRepeated),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", Error::HostRepeated),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Error::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Error::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Error::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Error::HostInvalid),
        ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", Error::HostInvalid),
        ("GET http://b/ HTTP/1.1\r\nHost: u@a\r\n\r\n", Error::HostInvalid),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", Error::HostRepeated),
    ] {
        assert_eq!(request(input.as_bytes()).err(), Some(error), "{}", input.escape_debug());
    }
    let (head, _) = request(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!((head.authority(), head.host()), ("", ""));
}

#[test]
fn an_absolute_target_overrides_host() {
    let (head, _) = request(b"GET HTTP://b.c:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!((head.authority(), head.host(), head.path(), head.path_and_query()), ("b.c:81", "b.c", "/x", "/x?y"));
    let (head, _) = request(b"GET http://b?y HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!((head.path(), head.path_and_query(), head.is_asterisk()), ("/", "?y", false));
    let (head, _) = request(b"OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!((head.path(), head.is_asterisk()), ("*", true));
    let (head, _) = request(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!((head.path(), head.is_asterisk()), ("*", true));
}

#[test]
fn persistence_follows_version_and_connection() {
    for (version, lines, keep) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: foo, CLOSE\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let input = format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(request(input.as_bytes()).unwrap().0.keep_alive(), keep, "{}", input.escape_debug());
    }
    let many = format!("Connection: {}\r\n", ["a"; 40].join(","));
    assert_eq!(with(&many).err(), Some(Error::ConnectionOptions));
    let many = format!("Connection: keep-alive\r\nConnection: {}\r\n", ["keep-alive"; 32].join(","));
    assert_eq!(with(&many).err(), Some(Error::ConnectionOptions));
}

#[test]
fn connection_names_fields_but_never_protected_ones() {
    let lines = "Connection: x-a, Host, content-length, X-Forwarded-For, x-request-id\r\nX-A: 1\r\nX-B: 2\r\n\
                 Content-Length: 0\r\nX-Forwarded-For: 1.2.3.4\r\n";
    let head = with(lines).unwrap();
    let ended: Vec<_> = head.fields().iter().filter(|f| f.hop_by_hop).map(|f| f.name.to_vec()).collect();
    assert_eq!(ended, [b"X-A".to_vec()]);
}

#[test]
fn expectations_other_than_100_continue_are_refused() {
    assert!(with("Expect: 100-Continue\r\nContent-Length: 5\r\n").unwrap().expects_continue());
    assert!(!with("Expect: 100-continue\r\nContent-Length: 0\r\n").unwrap().expects_continue());
    assert!(!with("Content-Length: 5\r\n").unwrap().expects_continue());
    assert_eq!(with("Expect: magic\r\n").err(), Some(Error::Expectation));
    let old = b"POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
    assert!(!request(old).unwrap().0.expects_continue());
}

#[test]
fn bounds_are_exact() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n";
    let parse = |limits: HeadLimits| RequestParser::new().feed(head, &limits, &mut RequestHead::new());
    assert_eq!(parse(HeadLimits { bytes: head.len(), fields: 2 }), Ok(Progress::Complete(head.len())));
    assert_eq!(parse(HeadLimits { bytes: head.len() - 1, fields: 2 }), Err(Error::HeadTooLarge));
    assert_eq!(parse(HeadLimits { bytes: head.len(), fields: 1 }), Err(Error::TooManyFields));
    assert_eq!(parse(HeadLimits { bytes: 15, fields: 2 }), Err(Error::TargetTooLong));
    let endless = [b"GET /".as_slice(), &[b'a'; 5000]].concat();
    let refused = RequestParser::new().feed(&endless, &LIMITS, &mut RequestHead::new());
    assert_eq!(refused.map_err(Error::status), Err(414));
}

#[test]
fn what_is_no_request_is_refused_at_its_first_byte() {
    for input in [&b"\x16"[..], b"\0", b" ", b"\n", b"\x80"] {
        let refused = RequestParser::new().feed(input, &LIMITS, &mut RequestHead::new());
        assert_eq!(refused, Err(Error::Method));
    }
}

#[test]
fn sane_request_ids_are_kept() {
    assert_eq!(with("X-Request-Id: a-B_9.:/+=@~\r\n").unwrap().request_id(), Some(&b"a-B_9.:/+=@~"[..]));
    for lines in ["", "X-Request-Id:\r\n", "X-Request-Id: a b\r\n", "X-Request-Id: a\r\nX-Request-Id: a\r\n"] {
        assert_eq!(with(lines).unwrap().request_id(), None, "{}", lines.escape_debug());
    }
    assert_eq!(with(&format!("X-Request-Id: {}\r\n", "a".repeat(129))).unwrap().request_id(), None);
}

#[test]
fn every_error_has_its_own_reason() {
    let reasons: std::collections::HashSet<_> = Error::ALL.iter().map(|e| e.reason()).collect();
    assert_eq!(reasons.len(), Error::ALL.len());
    assert!(Error::ALL.iter().all(|e| (400..=505).contains(&e.status())));
}

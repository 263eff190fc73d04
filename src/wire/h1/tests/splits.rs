//! At the limits, any split of the input gives the result of one piece.
use super::*;
use crate::wire::alike::judged;

/// Everything a request head says, and where it ended.
type Read = Result<Option<(String, usize)>, Error>;

fn read_request(pieces: &[&[u8]]) -> Read {
    let (mut parser, mut head, mut total) = (RequestParser::new(), RequestHead::new(), 0);
    for piece in pieces {
        match parser.feed(piece, &LIMITS, &mut head)? {
            Progress::Partial => total += piece.len(),
            Progress::Complete(used) => return Ok(Some((format!("{head:?}"), total + used))),
        }
    }
    Ok(None)
}

fn read_response(pieces: &[&[u8]], asked: AskedMethod) -> Read {
    let (mut parser, mut head, mut total) = (ResponseParser::new(), ResponseHead::new(), 0);
    for piece in pieces {
        match parser.feed(piece, &LIMITS, asked, &mut head)? {
            Progress::Partial => total += piece.len(),
            Progress::Complete(used) => return Ok(Some((format!("{head:?}"), total + used))),
        }
    }
    Ok(None)
}

fn read_chunks(pieces: &[&[u8]]) -> ReadBody {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    let (mut data, mut total) = (Vec::new(), 0);
    for piece in pieces {
        let mut used = 0;
        while used < piece.len() && !decoder.is_done() {
            let found = decoder.decode(&piece[used..])?;
            data.extend_from_slice(&piece[used..][found.data]);
            used += found.taken;
        }
        total += used;
    }
    Ok((data, format!("{:?}", pairs(decoder.trailers())), decoder.is_done(), total))
}

/// Everything a body says.
type ReadBody = Result<(Vec<u8>, String, bool, usize), Error>;

/// A text that ends so many bytes from the start, by filling in for `~`.
fn filled(text: &str, end: usize) -> Vec<u8> {
    let fill = end.checked_sub(text.len() - 1).expect("room for the text");
    text.replace('~', &"f".repeat(fill)).into_bytes()
}

/// How lines end, well and wrongly, and what may stand behind them.
const LINE_ENDS: [&str; 6] = ["\r\n", "\n", "\r", "\rX\n", " \r\n", ""];

#[test]
fn a_request_at_its_limits_is_judged_alike_in_any_pieces() {
    for end in LIMITS.bytes - 3..LIMITS.bytes + 4 {
        for line_end in LINE_ENDS {
            for start in [
                "GET /~ HTTP/1.1",
                "GET /~",
                "~",
                "GET / HTTP/1.1\r\nHost: a\r\nX: ~",
                "GET / HTTP/1.1\r\nHost: a\r\n~",
                "GET / HTTP/1.1\r\nHost: a\r\nX Y: ~",
                "GET / HTTP/1.1\r\nHost: a\r\n X: ~",
                "\r\nGET / HTTP/1.1\r\nHost: a\r\nX: \u{1}~",
                "GET / HTTP/1.1\r\nX: ~\r\nHost: a\r\n",
            ] {
                for behind in ["", "\r\n", "Host: a\r\n\r\nmore", "\n\n"] {
                    let text = format!("{start}{line_end}");
                    judged(&[filled(&text, end), behind.into()].concat(), read_request).ok();
                }
            }
        }
    }
    let many = "X: y\r\n".repeat(LIMITS.fields);
    for fields in [&many[6..], &many[..], &format!("{many}X\r\n"), &format!("{many}X: y\n")] {
        judged(format!("GET / HTTP/1.1\r\n{fields}\r\n").as_bytes(), read_request).ok();
    }
}

#[test]
fn a_line_that_ends_wrongly_behind_the_limit_is_too_long() {
    let head = |end: usize| filled("GET / HTTP/1.1\r\nHost: a\r\nX: ~\n", end);
    assert_eq!(judged(&head(LIMITS.bytes), read_request), Err(Error::BareLf));
    assert_eq!(judged(&head(LIMITS.bytes + 1), read_request), Err(Error::HeadTooLarge));
    assert_eq!(judged(&filled("GET /~\n", LIMITS.bytes + 1), read_request), Err(Error::TargetTooLong));
    let reply = |pieces: &[&[u8]]| read_response(pieces, AskedMethod::Other);
    assert_eq!(judged(&filled("HTTP/1.1 200 ~\n", LIMITS.bytes), reply), Err(Error::BareLf));
    assert_eq!(judged(&filled("HTTP/1.1 200 ~\n", LIMITS.bytes + 1), reply), Err(Error::HeadTooLarge));
}

#[test]
fn a_reply_at_its_limits_is_judged_alike_in_any_pieces() {
    for end in LIMITS.bytes - 3..LIMITS.bytes + 4 {
        for line_end in LINE_ENDS {
            for start in [
                "HTTP/1.1 200 ~",
                "HTTP/1.1 2~",
                "H~",
                "HTTP/1.1 200 OK\r\nX: ~",
                "HTTP/1.1 200 OK\r\n~",
                "HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\nX: ~",
            ] {
                for behind in ["", "\r\n", "Content-Length: 0\r\n\r\nmore", "\n\n"] {
                    let text = [filled(&format!("{start}{line_end}"), end), behind.into()].concat();
                    judged(&text, |pieces| read_response(pieces, AskedMethod::Other)).ok();
                }
            }
        }
    }
}

#[test]
fn chunks_and_trailers_at_their_limits_are_judged_alike_in_any_pieces() {
    let read = |text: &[u8]| -> ReadBody { judged(text, read_chunks) };
    for size in ["7fffffffffffffff", "8000000000000000", "ffffffffffffffff", "0000000000000005", "00000000000000005"] {
        for behind in ["\r\nhello\r\n0\r\n\r\nmore", "\n", "\r", ";x\r\nhello", " \r\n", "x"] {
            read(format!("{size}{behind}").as_bytes()).ok();
        }
    }
    for end in 4094..4100 {
        for extension in ["5;~\r\nhello\r\n0\r\n\r\n", "5;x=\"~\"\r\nhello\r\n0\r\n\r\n", "5;~\nhello", "5;x=~\r"] {
            read(&filled(extension, end)).ok();
        }
    }
    for end in 16 * 1024 - 3..16 * 1024 + 8 {
        for trailers in ["0\r\nX: ~\r\n\r\n", "0\r\nX: ~\n\r\n", "0\r\nHost: ~\r\n\r\n", "0\r\n~\r\n\r\n", "0\r\nX: ~"]
        {
            read(&filled(trailers, end)).ok();
        }
    }
    for count in 63..67 {
        for line in ["X: y\r\n", "Host: y\r\n", "X\r\n"] {
            read(format!("0\r\n{}\r\n", line.repeat(count)).as_bytes()).ok();
        }
    }
}

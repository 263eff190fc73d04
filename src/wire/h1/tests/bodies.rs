//! The rules for bodies in both directions.
use super::*;
use crate::wire::Fields;

/// Data, trailers and what follows the body.
type Decoded = (Vec<u8>, Vec<(String, String)>, usize);

fn decode(length: BodyLength, input: &[u8]) -> Result<Option<Decoded>, Error> {
    let mut decoder = BodyDecoder::new(length);
    let (mut data, mut used) = (Vec::new(), 0);
    loop {
        let piece = decoder.decode(&input[used..])?;
        data.extend_from_slice(&input[used..][piece.data]);
        used += piece.taken;
        if piece.done {
            return Ok(Some((data, pairs(decoder.trailers()), used)));
        }
        if used == input.len() {
            return Ok(None);
        }
    }
}

#[test]
fn chunks_are_read_exactly() {
    let input = b"5\r\nhello\r\nA\r\n, world!!!\r\n0\r\nX-T: 1\r\nContent-Length: 9\r\n\r\nnext";
    let (data, trailers, used) = decode(BodyLength::Chunked, input).unwrap().unwrap();
    assert_eq!(data, b"hello, world!!!");
    assert_eq!(trailers, [("X-T".to_owned(), "1".to_owned())]);
    assert_eq!(&input[used..], b"next");
}

#[test]
fn extensions_are_checked_and_dropped() {
    for size in ["1;a", "1;a=b", "1 ; a = b;c", "1;a=\"x\\\" ;\"", "1;a=\"\";b", "0001"] {
        let input = format!("{size}\r\nx\r\n0;last\r\n\r\n");
        assert_eq!(decode(BodyLength::Chunked, input.as_bytes()).unwrap().unwrap().0, b"x", "{size}");
    }
}

#[test]
fn chunks_that_are_not_exact_are_refused() {
    for (input, error) in [
        ("\r\n", Error::ChunkSize),
        ("g\r\n", Error::ChunkSize),
        ("-1\r\n", Error::ChunkSize),
        ("+1\r\n", Error::ChunkSize),
        ("0x1\r\n", Error::ChunkSize),
        (" 1\r\n", Error::ChunkSize),
        ("1_0\r\n", Error::ChunkSize),
        ("1\n", Error::ChunkSize),
        ("1\rx", Error::ChunkSize),
        ("1 \r\n", Error::ChunkExtension),
        ("1 x\r\n", Error::ChunkExtension),
        ("1;\r\n", Error::ChunkExtension),
        ("1;a=\r\n", Error::ChunkExtension),
        ("1;a\n", Error::ChunkExtension),
        ("1;a=\"b\r\n", Error::ChunkExtension),
        ("1;a=\"b\nc\"\r\n", Error::ChunkExtension),
        ("1;=b\r\n", Error::ChunkExtension),
        ("8000000000000000\r\n", Error::ChunkSize),
        ("ffffffffffffffff\r\n", Error::ChunkSize),
        ("10000000000000000\r\n", Error::ChunkSize),
        ("00000000000000001\r\n", Error::ChunkSize),
        ("1\r\nxy", Error::ChunkEnd),
        ("1\r\nx\n", Error::ChunkEnd),
        ("1\r\nx\r\r", Error::ChunkEnd),
        ("1\r\nx0\r\n\r\n", Error::ChunkEnd),
        ("0\r\nA: b\n\r\n", Error::BareLf),
        ("0\r\n A: b\r\n", Error::FoldedLine),
        ("0\r\nA : b\r\n", Error::SpaceBeforeColon),
        ("0\r\nGET / HTTP/1.1\r\n", Error::NoColon),
        ("0\r\nA: \0\r\n", Error::FieldValue),
    ] {
        assert_eq!(decode(BodyLength::Chunked, input.as_bytes()), Err(error), "{}", input.escape_debug());
    }
}

#[test]
fn extensions_and_trailers_are_bounded() {
    let long = format!("1;{}", "a".repeat(5000));
    assert_eq!(decode(BodyLength::Chunked, long.as_bytes()), Err(Error::ChunkExtensionsTooLong));
    let many = "1;abcdefghi\r\nx\r\n".repeat(500);
    assert_eq!(decode(BodyLength::Chunked, many.as_bytes()), Err(Error::ChunkExtensionsTooLong));
    let long = format!("0\r\nA: {}", "a".repeat(17_000));
    assert_eq!(decode(BodyLength::Chunked, long.as_bytes()), Err(Error::TrailersTooLarge));
    let many = format!("0\r\n{}", "A: b\r\n".repeat(65));
    assert_eq!(decode(BodyLength::Chunked, many.as_bytes()), Err(Error::TrailersTooLarge));
    let dropped = format!("0\r\n{}", "Host: b\r\n".repeat(65));
    assert_eq!(decode(BodyLength::Chunked, dropped.as_bytes()), Err(Error::TrailersTooLarge));
}

#[test]
fn fields_that_may_not_be_trailers_are_dropped() {
    let names =
        ["Host", "Transfer-Encoding", "content_length", "Authorization", "Set-Cookie", "X-Forwarded-For", "Trailer"];
    let lines: String = names.iter().map(|name| format!("{name}: x\r\n")).collect();
    let input = format!("0\r\nA: 1\r\n{lines}B: 2\r\n\r\n");
    let (_, trailers, used) = decode(BodyLength::Chunked, input.as_bytes()).unwrap().unwrap();
    assert_eq!(trailers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["A", "B"]);
    assert_eq!(used, input.len());
}

#[test]
fn a_cut_body_is_never_complete() {
    for (length, input) in
        [(BodyLength::Length(3), &b"ab"[..]), (BodyLength::Chunked, b"1\r\nx\r\n0\r\n"), (BodyLength::Chunked, b"")]
    {
        let mut decoder = BodyDecoder::new(length);
        let mut used = 0;
        while used < input.len() {
            used += decoder.decode(&input[used..]).unwrap().taken;
        }
        assert_eq!((decoder.is_done(), decoder.end_of_input()), (false, Err(Error::BodyCut)));
    }
    let mut decoder = BodyDecoder::new(BodyLength::UntilClose);
    assert!(!decoder.decode(b"abc").unwrap().done);
    assert_eq!((decoder.end_of_input(), decoder.is_done()), (Ok(()), true));
}

#[test]
fn what_was_found_wrong_stays_wrong() {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    let input = b"0\r\nGET / HTTP/1.1\r\n\r\n";
    for _ in 0..2 {
        let mut rest = &input[..];
        let mut error = None;
        while error.is_none() {
            error = decoder.decode(rest).map(|piece| rest = &rest[piece.taken..]).err();
        }
        assert_eq!((error, decoder.is_done()), (Some(Error::NoColon), false));
    }
    assert_eq!(decoder.decode(b"\r\n"), Err(Error::NoColon));
    assert_eq!(decoder.end_of_input(), Err(Error::NoColon));
    let (mut parser, mut head) = (RequestParser::new(), RequestHead::new());
    assert_eq!(parser.feed(b"GET / HTTP/3.0\r\n", &LIMITS, &mut head), Err(Error::Version));
    assert_eq!(parser.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &LIMITS, &mut head), Err(Error::Version));
    let (mut parser, mut head) = (ResponseParser::new(), ResponseHead::new());
    assert_eq!(parser.feed(b"ICY 200\r\n", &LIMITS, AskedMethod::Other, &mut head), Err(Error::StatusLine));
    assert_eq!(parser.feed(b"HTTP/1.1 200 OK\r\n\r\n", &LIMITS, AskedMethod::Other, &mut head), Err(Error::StatusLine));
}

#[test]
fn a_body_without_length_is_done_before_it_starts() {
    for length in [BodyLength::None, BodyLength::Length(0)] {
        assert_eq!(decode(length, b"next").unwrap().unwrap(), (vec![], vec![], 0));
    }
}

#[test]
fn data_that_nobody_looked_at_counts() {
    let mut decoder = BodyDecoder::new(BodyLength::Length(10));
    decoder.pass(4);
    assert_eq!((decoder.left(), decoder.is_done()), (Some(6), false));
    assert_eq!(decoder.decode(b"12").unwrap().data, 0..2);
    assert_eq!(decoder.end_of_input(), Err(Error::BodyCut));
    let mut decoder = BodyDecoder::new(BodyLength::Length(10));
    decoder.pass(10);
    assert!(decoder.is_done());
    let mut chunked = BodyDecoder::new(BodyLength::Chunked);
    chunked.pass(10);
    assert!(!chunked.is_done());
}

#[test]
fn the_encoder_keeps_the_stated_length() {
    let mut out = Vec::new();
    let mut encoder = BodyEncoder::new(BodyLength::Length(3));
    assert_eq!(encoder.encode(b"ab", &mut out), Ok(()));
    assert_eq!(encoder.finish(&Fields::new(), &mut out), Err(WrongLength));
    assert_eq!(encoder.encode(b"cd", &mut out), Err(WrongLength));
    assert_eq!(encoder.encode(b"c", &mut out), Ok(()));
    assert_eq!(encoder.finish(&Fields::new(), &mut out), Ok(()));
    assert_eq!(out, b"abc");
    assert_eq!(BodyEncoder::new(BodyLength::None).encode(b"x", &mut out), Err(WrongLength));
}

#[test]
fn the_encoder_never_writes_an_empty_chunk_but_the_last() {
    let mut out = Vec::new();
    let mut trailers = Fields::new();
    assert!(trailers.push(b"X-T", b"1"));
    let mut encoder = BodyEncoder::new(BodyLength::Chunked);
    encoder.encode(b"", &mut out).unwrap();
    encoder.encode(b"0123456789abcdef", &mut out).unwrap();
    encoder.finish(&trailers, &mut out).unwrap();
    assert_eq!(out, b"10\r\n0123456789abcdef\r\n0\r\nX-T: 1\r\n\r\n");
}

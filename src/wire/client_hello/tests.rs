//! ClientHellos whole, cut into pieces, and malformed.

use proptest::prelude::*;

use super::*;
use crate::wire::alike::judged;

fn with_length(width: usize, content: &[u8]) -> Vec<u8> {
    let mut bytes = content.len().to_be_bytes()[8 - width..].to_vec();
    bytes.extend_from_slice(content);
    bytes
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend(with_length(2, content));
    bytes
}

fn name(name: &str) -> Vec<u8> {
    let mut entry = vec![0];
    entry.extend(with_length(2, name.as_bytes()));
    extension(SERVER_NAME, &with_length(2, &entry))
}

fn alpn(names: &[&str]) -> Vec<u8> {
    let list: Vec<u8> = names.iter().flat_map(|name| with_length(1, name.as_bytes())).collect();
    extension(ALPN, &with_length(2, &list))
}

/// A hello's body; `None`: of a client that knows no extensions.
fn body(session: usize, extensions: Option<&[Vec<u8>]>) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend(with_length(1, &vec![9; session]));
    body.extend(with_length(2, &[0x1a, 0x1a, 0x13, 0x01]));
    body.extend(with_length(1, &[0]));
    if let Some(extensions) = extensions {
        body.extend(with_length(2, &extensions.concat()));
    }
    body
}

fn message(body: &[u8]) -> Vec<u8> {
    let mut message = vec![CLIENT_HELLO];
    message.extend(with_length(3, body));
    message
}

/// In records of at most so many bytes.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[HANDSHAKE, 3, 1][..], &with_length(2, part)].concat();
    message.chunks(size).flat_map(record).collect()
}

fn read(bytes: &[u8]) -> Result<Option<HelloRequest>, HelloError> {
    HelloReader::new().feed(bytes)
}

fn hello(extensions: &[Vec<u8>]) -> Vec<u8> {
    records(&message(&body(32, Some(extensions))), LONGEST_RECORD)
}

fn asked(name: Option<&str>, protocols: &[&str]) -> HelloRequest {
    let protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    HelloRequest { name: name.map(str::to_owned), protocols }
}

#[test]
fn a_hello_says_which_name_and_protocols_it_asks_for() {
    let grease = [extension(0x0a0a, &[]), extension(0x2b, &[2, 0x7a, 0x7a]), extension(0xfafa, &[0])];
    let mut all = grease[..2].to_vec();
    all.extend([name("Shop.Example.COM"), alpn(&["h2", "http/1.1"]), grease[2].clone()]);
    assert_eq!(read(&hello(&all)), Ok(Some(asked(Some("shop.example.com"), &["h2", "http/1.1"]))));
    assert_eq!(read(&hello(&grease)), Ok(Some(asked(None, &[]))));
    assert_eq!(read(&hello(&[])), Ok(Some(asked(None, &[]))));
    assert_eq!(read(&hello(&[alpn(&["imap"])])), Ok(Some(asked(None, &["imap"]))));
}

#[test]
fn a_client_without_extensions_is_understood() {
    for session in [0, 32] {
        let bytes = records(&message(&body(session, None)), LONGEST_RECORD);
        assert_eq!(read(&bytes), Ok(Some(asked(None, &[]))));
    }
}

#[test]
fn what_is_not_tls_is_told_apart_at_once() {
    for text in ["GET / HTTP/1.1\r\n\r\n", "SSH-2.0-x\r\n", "\u{0}\u{0}", "\r\n"] {
        assert_eq!(read(text.as_bytes()), Err(HelloError::NotTls), "{text:?}");
        assert_eq!(read(&text.as_bytes()[..1]), Err(HelloError::NotTls), "{text:?}");
    }
    // SSL 2's hello, a record of no version, an alert, a ServerHello, a record too long or empty.
    for bytes in [
        &[0x80, 0x2e, 1, 3, 1][..],
        &[22, 2],
        &[21, 3, 1, 0, 2, 1, 0],
        &[22, 3, 1, 0x40, 1],
        &[22, 3, 1, 0, 0],
        &[22, 3, 3, 0, 1, 2],
    ] {
        assert_eq!(read(bytes), Err(HelloError::NotTls), "{bytes:?}");
    }
}

#[test]
fn what_two_readers_could_understand_differently_is_refused() {
    let one = |extension: Vec<u8>| hello(&[extension]);
    let names = |list: &[u8]| one(extension(SERVER_NAME, &with_length(2, list)));
    let mut two = vec![0];
    two.extend(with_length(2, b"a.example.com"));
    let twice = [two.clone(), two.clone()].concat();
    let mut other_kind = two.clone();
    other_kind[0] = 1;
    let mut trailing = body(0, Some(&[name("a")]));
    trailing.push(0);
    let mut session = body(0, Some(&[]));
    session[34] = 33;
    for (what, bytes) in [
        ("two names", names(&twice)),
        ("a name of another kind", names(&other_kind)),
        ("no name", names(&[])),
        ("an empty name", names(&[0, 0, 0])),
        ("a name with a zero", names(&[0, 0, 2, b'a', 0])),
        ("a name beyond ASCII", names(&[0, 0, 2, 0xc3, 0xa9])),
        ("a name beyond its list", names(&[0, 0, 9, b'a'])),
        ("bytes behind the list", one(extension(SERVER_NAME, &[0, 4, 0, 0, 1, b'a', 0]))),
        ("two extensions of names", hello(&[name("a"), name("a")])),
        ("two offers", hello(&[alpn(&["h2"]), alpn(&["h2"])])),
        ("no protocols", hello(&[alpn(&[])])),
        ("a protocol without a name", hello(&[alpn(&["h2", ""])])),
        ("bytes behind the extensions", records(&message(&trailing), LONGEST_RECORD)),
        ("a session id that is too long", records(&message(&session), LONGEST_RECORD)),
        ("a body that ends early", records(&message(&body(32, None)[..40]), LONGEST_RECORD)),
        ("an empty body", records(&message(&[]), LONGEST_RECORD)),
    ] {
        assert!(matches!(read(&bytes), Err(HelloError::Malformed(_))), "{what}: {:?}", read(&bytes));
    }
    // Between two records of a hello nothing else may stand.
    let mut bytes = records(&message(&body(32, Some(&[name("a")]))), 20);
    bytes[25] = 21;
    assert_eq!(read(&bytes), Err(HelloError::Malformed("another record inside the hello")));
}

#[test]
fn a_hello_is_read_up_to_a_bound_and_not_beyond() {
    let filled = |length: usize| {
        let without = body(32, Some(&[extension(21, &[]), name("a.example.com")])).len();
        message(&body(32, Some(&[extension(21, &vec![0; length - 4 - without]), name("a.example.com")])))
    };
    let longest = filled(LONGEST);
    assert_eq!(longest.len(), LONGEST);
    assert_eq!(read(&records(&longest, LONGEST_RECORD)), Ok(Some(asked(Some("a.example.com"), &[]))));
    assert_eq!(read(&records(&longest, 5)), Ok(Some(asked(Some("a.example.com"), &[]))));
    // Refused by what it announces, before it is sent.
    assert_eq!(read(&records(&filled(LONGEST + 1), LONGEST_RECORD)[..9]), Err(HelloError::TooLong));
    assert_eq!(read(&records(&longest, 1)), Err(HelloError::TooLong));
}

fn in_pieces(pieces: &[&[u8]]) -> Result<Option<HelloRequest>, HelloError> {
    let mut reader = HelloReader::new();
    pieces.iter().find_map(|piece| reader.feed(piece).transpose()).transpose()
}

/// What stands behind a hello counts neither towards its bound nor for anything else, be it in the last record or behind it.
#[test]
fn a_hello_at_its_limits_is_judged_alike_in_any_pieces() {
    let longest = {
        let without = body(32, Some(&[extension(21, &[]), name("a.example.com")])).len();
        message(&body(32, Some(&[extension(21, &vec![0; LONGEST - 4 - without]), name("a.example.com")])))
    };
    // Thousands of records: 16 KiB of a hello, and more around it than inside. The last record brings what is not the hello's.
    for in_small in [LONGEST - 1, LONGEST - 1000, LONGEST - 6000] {
        for size in [1, 3] {
            for behind in [0, 500, LONGEST_RECORD - LONGEST.abs_diff(in_small)] {
                let mut bytes = records(&longest[..in_small], size);
                let last = [&longest[in_small..], &vec![22; behind]].concat();
                bytes.extend(records(&last, LONGEST_RECORD));
                judged(&bytes, in_pieces).ok();
            }
        }
    }
    // (All of it is on the wire within the bound: only what stands behind it is not.)
    let small = (LONGEST_ON_WIRE - LONGEST) / 5 - 2;
    let mut bytes = records(&longest[..small], 1);
    bytes.extend(records(&longest[small..], LONGEST_RECORD));
    bytes.extend([0; 100]);
    assert_eq!(judged(&bytes, in_pieces), Ok(Some(asked(Some("a.example.com"), &[]))));
    let mut bytes = records(&longest[..small], 1);
    bytes.extend(records(&[&longest[small..], &[0; 3000]].concat(), LONGEST_RECORD));
    assert_eq!(judged(&bytes, in_pieces), Ok(Some(asked(Some("a.example.com"), &[]))));
}

fn any_hello() -> impl Strategy<Value = (Vec<u8>, HelloRequest)> {
    let other = (17u16..0xffff, proptest::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(kind, content)| extension(kind, &content));
    let names = proptest::option::of("[a-zA-Z0-9-]{1,20}(\\.[a-z]{1,9}){0,3}");
    let offers = proptest::collection::vec("[a-z0-9/.]{1,12}", 0..4);
    let around = proptest::collection::vec(other, 0..6);
    (0usize..=32, names, offers, around, any::<bool>()).prop_map(
        |(session, asked_name, offers, mut all, name_first)| {
            let offers: Vec<&str> = offers.iter().map(String::as_str).collect();
            if let Some(asked_name) = &asked_name {
                all.insert(if name_first { 0 } else { all.len() }, name(asked_name));
            }
            if !offers.is_empty() {
                all.insert(all.len() / 2, alpn(&offers));
            }
            let lower = asked_name.as_deref().map(str::to_lowercase);
            (message(&body(session, Some(&all))), asked(lower.as_deref(), &offers))
        },
    )
}

proptest! {
    #[test]
    fn a_hello_is_the_same_in_records_and_segments_of_any_size(
        (message, expected) in any_hello(),
        record in 1usize..700,
        segments in proptest::collection::vec(1usize..200, 1..40),
        behind in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut bytes = records(&message, record);
        let length = bytes.len();
        bytes.extend(behind);
        let mut reader = HelloReader::new();
        let mut at = 0;
        let mut sizes = segments.iter().cycle();
        loop {
            let next = (at + sizes.next().copied().unwrap_or(1)).min(bytes.len());
            let read = reader.feed(&bytes[at..next]);
            at = next;
            if at < length {
                prop_assert_eq!(read, Ok(None));
            } else {
                prop_assert_eq!(read, Ok(Some(expected)));
                break;
            }
        }
    }

    #[test]
    fn a_hello_is_the_same_at_every_split((message, expected) in any_hello(), record in 1usize..100) {
        let bytes = records(&message, record);
        for split in 0..bytes.len() {
            let mut reader = HelloReader::new();
            prop_assert_eq!(reader.feed(&bytes[..split]), Ok(None));
            prop_assert_eq!(reader.feed(&bytes[split..]), Ok(Some(expected.clone())));
        }
    }

    #[test]
    fn any_bytes_get_the_same_answer_whole_and_one_by_one(
        (message, _) in any_hello(),
        record in 1usize..100,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        rest in proptest::collection::vec(any::<u8>(), 0..50),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut bytes = records(&message, record);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(keep.index(bytes.len() + 1));
        bytes.extend(rest);
        let whole = read(&bytes);
        let mut reader = HelloReader::new();
        let one_by_one = bytes.iter().find_map(|byte| match reader.feed(std::slice::from_ref(byte)) {
            Ok(None) => None,
            end => Some(end),
        });
        prop_assert_eq!(one_by_one.unwrap_or(Ok(None)), whole);
    }
}

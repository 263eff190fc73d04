//! PROXY headers of both versions, whole, cut into pieces, and malformed.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::wire::alike::judged;

fn ends(source: &str, destination: &str) -> Option<ConnectionEnds> {
    Some(ConnectionEnds { source: source.parse().unwrap(), destination: destination.parse().unwrap() })
}

fn complete(bytes: &[u8]) -> Option<ConnectionEnds> {
    match read(bytes) {
        Ok(HeaderProgress::Complete { length, ends }) if length == bytes.len() => ends,
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(bytes)),
    }
}

#[test]
fn headers_of_version_1_name_the_client() {
    for (text, expected) in [
        ("PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n", ends("192.0.2.1:56324", "10.0.0.1:443")),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 0\r\n", ends("255.255.255.255:65535", "255.255.255.255:0")),
        ("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", ends("[2001:db8::1]:1", "[::1]:2")),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None),
    ] {
        assert_eq!(complete(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn the_longest_header_of_version_1_is_taken_and_a_longer_one_is_not() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_V1 - 16));
    assert_eq!(longest.len(), LONGEST_V1);
    assert_eq!(complete(longest.as_bytes()), None);
    let longer = longest.replace(" x", " xx");
    assert_eq!(read(longer.as_bytes()), Err(ProxyHeaderError::Malformed("too long")));
    // It is known as soon as no end can come in time.
    assert_eq!(read(&longer.as_bytes()[..LONGEST_V1 - 1]), Err(ProxyHeaderError::Malformed("too long")));
    assert_eq!(read(&longer.as_bytes()[..LONGEST_V1 - 2]), Ok(HeaderProgress::Partial));
}

/// As the handshake reads: all that has come so far, again with each piece.
fn in_pieces(pieces: &[&[u8]]) -> Result<HeaderProgress, ProxyHeaderError> {
    let mut come = Vec::new();
    for piece in pieces {
        come.extend_from_slice(piece);
        match read(&come[..come.len().min(LONGEST)]) {
            Ok(HeaderProgress::Partial) => {}
            verdict => return verdict,
        }
    }
    Ok(HeaderProgress::Partial)
}

#[test]
fn headers_at_their_limits_are_judged_alike_in_any_pieces() {
    for length in LONGEST_V1 - 3..LONGEST_V1 + 4 {
        for start in ["PROXY UNKNOWN ", "PROXY TCP4 ", "PROXY TCP9 ", "PROXY "] {
            for end in ["\r\n", "\n", "\r", "\r\r", "\u{1}\r\n", ""] {
                for behind in ["", "GET / HTTP/1.1\r\n", "\n", "\u{0}"] {
                    let fill = "x".repeat(length - start.len() - end.len());
                    judged(format!("{start}{fill}{end}{behind}").as_bytes(), in_pieces).ok();
                }
            }
        }
    }
    for length in [0, 11, 12, 13, 35, 36, 37, 215, 216, 217, 4079, 4080, 4081, 65535] {
        for (command, family) in [(0x20, 0x00), (0x21, 0x00), (0x21, 0x11), (0x21, 0x21), (0x21, 0x31), (0x21, 0x12)] {
            for sent in [0, 10, usize::from(length), usize::from(length) + 5] {
                judged(&v2(command, family, length, &vec![1; sent]), in_pieces).ok();
            }
        }
    }
}

#[test]
fn what_is_not_exactly_version_1_is_refused() {
    for text in [
        "PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\r",
        "PROXY TCP4 192.0.2.1 10.0.0.1 56324\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 56324 443 \r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 56324 443 1\r\n",
        "PROXY  TCP4 192.0.2.1 10.0.0.1 56324 443\r\n",
        "PROXY TCP4  192.0.2.1 10.0.0.1 56324 443\r\n",
        "PROXY TCP4\t192.0.2.1 10.0.0.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.01 10.0.0.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.256 10.0.0.1 56324 443\r\n",
        "PROXY TCP4 192.0.2 10.0.0.1 56324 443\r\n",
        "PROXY TCP4 ::1 10.0.0.1 56324 443\r\n",
        "PROXY TCP6 192.0.2.1 ::1 56324 443\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 56324 443\r\n",
        "PROXY TCP6 [::1] ::1 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 056324 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 +1 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 -1 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 0x1 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1  443\r\n",
        "PROXY UDP4 192.0.2.1 10.0.0.1 56324 443\r\n",
        "PROXY tcp4 192.0.2.1 10.0.0.1 56324 443\r\n",
        "PROXY unknown\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY \r\n",
        "PROXY \0TCP4",
        "PROXY TCP4 192.0.2.1\u{e9}",
    ] {
        assert!(
            matches!(read(text.as_bytes()), Err(ProxyHeaderError::Malformed(_))),
            "{text:?}: {:?}",
            read(text.as_bytes())
        );
    }
}

#[test]
fn what_begins_otherwise_is_no_header() {
    for text in
        ["GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "PROPFIND / HTTP/1.1", "proxy TCP4", "\r\nGET", "\u{16}\u{3}\u{1}"]
    {
        assert_eq!(read(text.as_bytes()), Err(ProxyHeaderError::Absent), "{text:?}");
    }
    for text in ["", "P", "PRO", "PROXY", "PROXY ", "\r", "\r\n\r\n"] {
        assert_eq!(read(text.as_bytes()), Ok(HeaderProgress::Partial), "{text:?}");
    }
}

fn v2(command: u8, family: u8, length: u16, rest: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend(length.to_be_bytes());
    header.extend(rest);
    header
}

#[test]
fn headers_of_version_2_name_the_client_and_what_they_add_is_skipped() {
    let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0xdc, 0x04, 0x01, 0xbb];
    assert_eq!(complete(&v2(0x21, 0x11, 12, &v4)), ends("192.0.2.1:56324", "10.0.0.1:443"));
    // PP2_TYPE_AUTHORITY, and rubbish where values belong: neither is looked at.
    let mut more = v4.to_vec();
    more.extend(b"\x02\x00\x03abc\xff\xff\xff");
    assert_eq!(complete(&v2(0x21, 0x11, 21, &more)), ends("192.0.2.1:56324", "10.0.0.1:443"));
    let mut v6 = Vec::new();
    v6.extend("2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
    v6.extend(Ipv6Addr::LOCALHOST.octets());
    v6.extend([0, 1, 0, 2]);
    assert_eq!(complete(&v2(0x21, 0x21, 36, &v6)), ends("[2001:db8::7]:1", "[::1]:2"));
    // Nobody is named.
    assert_eq!(complete(&v2(0x20, 0x00, 0, &[])), None);
    assert_eq!(complete(&v2(0x20, 0x11, 12, &v4)), None);
    assert_eq!(complete(&v2(0x20, 0xff, 3, &[1, 2, 3])), None);
    assert_eq!(complete(&v2(0x21, 0x00, 0, &[])), None);
    assert_eq!(complete(&v2(0x21, 0x31, 216, &[b'/'; 216])), None);
    let most = (LONGEST - FIXED_V2) as u16;
    assert_eq!(complete(&v2(0x20, 0x00, most, &vec![0; usize::from(most)])), None);
}

#[test]
fn what_is_not_exactly_version_2_is_refused_as_soon_as_it_is_known() {
    for (header, why) in [
        (v2(0x11, 0x11, 12, &[]), "an unknown version"),
        (v2(0x31, 0x11, 12, &[]), "an unknown version"),
        (v2(0x22, 0x11, 12, &[]), "an unknown command"),
        (v2(0x21, 0x12, 12, &[]), "an unknown family, or one without connections"),
        (v2(0x21, 0x10, 12, &[]), "an unknown family, or one without connections"),
        (v2(0x21, 0x01, 12, &[]), "an unknown family, or one without connections"),
        (v2(0x21, 0x41, 12, &[]), "an unknown family, or one without connections"),
        (v2(0x21, 0x11, 11, &[]), "shorter than its addresses"),
        (v2(0x21, 0x21, 35, &[]), "shorter than its addresses"),
        (v2(0x21, 0x31, 215, &[]), "shorter than its addresses"),
        (v2(0x21, 0x11, (LONGEST - FIXED_V2) as u16 + 1, &[]), "too long"),
        (v2(0x20, 0x00, u16::MAX, &[]), "too long"),
    ] {
        assert_eq!(read(&header), Err(ProxyHeaderError::Malformed(why)), "{header:?}");
    }
    let mut signature = SIGNATURE.to_vec();
    signature[11] = b'\r';
    assert_eq!(read(&signature), Err(ProxyHeaderError::Absent));
}

#[test]
fn addresses_of_two_families_become_one() {
    let mapped = |ip: &str| IpAddr::V6(ip.parse::<Ipv4Addr>().unwrap().to_ipv6_mapped());
    let both = ConnectionEnds {
        source: SocketAddr::new(mapped("192.0.2.1"), 1),
        destination: SocketAddr::new(mapped("10.0.0.1"), 2),
    };
    assert_eq!(write(ProxyVersion::V1, Some(both)), b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n");
    let mixed = ends("192.0.2.1:1", "[2001:db8::1]:2");
    assert_eq!(write(ProxyVersion::V1, mixed), b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n");
    let again = complete(&write(ProxyVersion::V2, mixed)).unwrap();
    assert_eq!((again.source.ip(), again.destination), (mapped("192.0.2.1"), mixed.unwrap().destination));
}

fn any_ends() -> impl Strategy<Value = Option<ConnectionEnds>> {
    let v4 = (any::<[Ipv4Addr; 2]>(), any::<[u16; 2]>()).prop_map(|(ips, ports)| (ips.map(IpAddr::V4), ports));
    let v6 = (any::<[Ipv6Addr; 2]>(), any::<[u16; 2]>()).prop_map(|(ips, ports)| (ips.map(IpAddr::V6), ports));
    proptest::option::of(prop_oneof![v4, v6].prop_map(|(ips, ports)| ConnectionEnds {
        source: SocketAddr::new(ips[0], ports[0]),
        destination: SocketAddr::new(ips[1], ports[1]),
    }))
}

fn any_version() -> impl Strategy<Value = ProxyVersion> {
    prop_oneof![Just(ProxyVersion::V1), Just(ProxyVersion::V2)]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_at_every_split(
        version in any_version(),
        ends in any_ends(),
        behind in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut bytes = write(version, ends);
        let length = bytes.len();
        bytes.extend(behind);
        for split in 0..=bytes.len() {
            let expected = match split < length {
                true => HeaderProgress::Partial,
                false => HeaderProgress::Complete { length, ends: ends.map(of_one_family) },
            };
            prop_assert_eq!(read(&bytes[..split]), Ok(expected));
        }
    }

    #[test]
    fn any_bytes_get_an_answer_that_more_bytes_do_not_change(
        version in any_version(),
        ends in any_ends(),
        keep in 0usize..60,
        rest in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut bytes = write(version, ends);
        bytes.truncate(keep);
        bytes.extend(rest);
        let mut answer = None;
        for split in 0..=bytes.len() {
            let now = read(&bytes[..split]);
            match answer {
                None if now == Ok(HeaderProgress::Partial) => {}
                None => answer = Some(now),
                Some(before) => prop_assert_eq!(now, before),
            }
            if let Ok(HeaderProgress::Complete { length, .. }) = now {
                prop_assert!(length <= split && length <= LONGEST);
            }
        }
        if bytes.len() >= LONGEST {
            prop_assert!(answer.is_some());
        }
    }
}

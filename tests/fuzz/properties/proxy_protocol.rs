//! PROXY headers of both versions.

use std::net::{IpAddr, SocketAddr};

use standfast::config::ProxyVersion;
use standfast::wire::proxy_protocol::*;

use super::tools::{bounded, shown};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

pub fn check(input: &[u8]) {
    bounded(64 << 10, || {
        let whole = read(input);
        grows(input, whole);
        match (reference(input), whole) {
            (Some(wanted), Ok(HeaderProgress::Complete { length, ends })) => {
                assert_eq!((length, ends), wanted, "{}", shown(input))
            }
            (None, Ok(HeaderProgress::Complete { .. })) => panic!("a second reader sees no header: {}", shown(input)),
            (Some(_), other) => panic!("a second reader sees a header, we {other:?}: {}", shown(input)),
            (None, _) => {}
        }
        if let Ok(HeaderProgress::Complete { length, ends }) = whole {
            assert!(length <= input.len() && length <= LONGEST);
            assert_eq!(read(&input[..length]), whole);
            assert_eq!(read(&input[..length - 1]), Ok(HeaderProgress::Partial));
            written(ends);
        }
    });
}

/// What is decided of the first bytes is not decided otherwise by more.
fn grows(input: &[u8], whole: Result<HeaderProgress, ProxyHeaderError>) {
    for end in (0..=input.len()).step_by(1 + input.len() / 300) {
        match read(&input[..end]) {
            Ok(HeaderProgress::Partial) => {}
            decided => assert_eq!(decided, whole, "{end} bytes of {}", shown(input)),
        }
    }
}

/// The specification, read from a whole header: its length, and whom it names.
fn reference(input: &[u8]) -> Option<(usize, Option<ConnectionEnds>)> {
    if input.starts_with(SIGNATURE) {
        let (&command, &family) = (input.get(12)?, input.get(13)?);
        let length = 16 + usize::from(u16::from_be_bytes([*input.get(14)?, *input.get(15)?]));
        let addresses = input.get(16..length).filter(|_| length <= LONGEST)?;
        let port = |at: usize| Some(u16::from_be_bytes([*addresses.get(at)?, *addresses.get(at + 1)?]));
        let four = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(addresses.get(at..at + 4)?).ok()?));
        let six = |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(addresses.get(at..at + 16)?).ok()?));
        let ends = match (command, family) {
            (0x20, _) => None,
            (0x21, 0x00) => None,
            (0x21, 0x11) => Some((four(0)?, four(4)?, port(8)?, port(10)?)),
            (0x21, 0x21) => Some((six(0)?, six(16)?, port(32)?, port(34)?)),
            (0x21, 0x31) if addresses.len() >= 216 => None,
            _ => return None,
        };
        return Some((
            length,
            ends.map(|(from, to, source, destination)| ConnectionEnds {
                source: SocketAddr::new(from, source),
                destination: SocketAddr::new(to, destination),
            }),
        ));
    }
    let end = input.iter().take(107).position(|byte| *byte == b'\n')?;
    let text = std::str::from_utf8(input[..end].strip_suffix(b"\r")?).ok()?;
    if !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return None;
    }
    let port = |word: &str| word.parse::<u16>().ok().filter(|port| port.to_string() == word);
    let words: Vec<&str> = text.split(' ').collect();
    let ends = match words[..] {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", family, from, to, source, destination] => {
            let address = |word: &str| {
                let address: IpAddr = word.parse().ok()?;
                (family == if address.is_ipv4() { "TCP4" } else { "TCP6" }).then_some(address)
            };
            let source = SocketAddr::new(address(from)?, port(source)?);
            Some(ConnectionEnds { source, destination: SocketAddr::new(address(to)?, port(destination)?) })
        }
        _ => return None,
    };
    Some((end + 1, ends))
}

/// Written in either version it names the same, and writing that again gives the same bytes.
fn written(ends: Option<ConnectionEnds>) {
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let out = write(version, ends);
        let back = read(&out);
        let Ok(HeaderProgress::Complete { length, ends: back }) = back else {
            panic!("we would refuse it: {back:?}: {}", shown(&out))
        };
        assert_eq!(length, out.len());
        let plain =
            |ends: ConnectionEnds| [ends.source, ends.destination].map(|end| (end.ip().to_canonical(), end.port()));
        assert_eq!(back.map(plain), ends.map(plain), "{}", shown(&out));
        assert_eq!(write(version, back), out, "{}", shown(&out));
    }
}

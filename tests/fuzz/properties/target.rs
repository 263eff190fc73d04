//! The target and the host of a request: which ones pass, and that they pass as they came.

use standfast::wire::h1::*;

use super::heads::LARGE;
use super::tools::{bounded, shown};

pub fn check(input: &[u8]) {
    bounded((64 << 10) + 40 * input.len(), || {
        let origin = [&b"/"[..], input].concat();
        assert_eq!(read(&origin, b"h"), wanted(&origin, b"h"), "{}", shown(&origin));
        assert_eq!(read(input, b"h"), wanted(input, b"h"), "{}", shown(input));
        let absolute = [&b"http://"[..], input].concat();
        assert_eq!(read(&absolute, b"h"), wanted(&absolute, b"h"), "{}", shown(&absolute));
        // Spaces around a field's value are none of it.
        let host = input.trim_ascii();
        assert_eq!(read(b"/", host).is_some(), is_authority(host), "host {}", shown(host));
    });
}

/// Path and authority of a request for this target.
fn read(target: &[u8], host: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    if target.iter().chain(host).any(|byte| matches!(byte, b' ' | b'\r' | b'\n')) {
        return None;
    }
    let text = [b"GET ", target, b" HTTP/1.1\r\nHost: ", host, b"\r\n\r\n"].concat();
    let mut head = RequestHead::new();
    let read = RequestParser::new().feed(&text, &LARGE, &mut head);
    matches!(read, Ok(Progress::Complete(_))).then(|| (head.path_bytes().to_vec(), head.authority_bytes().to_vec()))
}

fn wanted(target: &[u8], host: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    if !target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') {
        return None;
    }
    let (authority, rest) = match target {
        [b'/', ..] => (host, target),
        _ => {
            let rest = target.get(7..).filter(|_| target[..7].eq_ignore_ascii_case(b"http://"))?;
            rest.split_at(rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len()))
        }
    };
    let path = rest.split(|byte| *byte == b'?').next().unwrap_or_default();
    let path = if path.is_empty() { b"/" } else { path };
    (is_authority(authority) && !climbs(path)).then(|| (path.to_vec(), authority.to_vec()))
}

/// Would an upstream that decodes, takes backslashes for slashes and cuts parameters off see a segment `.` or `..`?
fn climbs(path: &[u8]) -> bool {
    let mut plain = Vec::new();
    let mut rest = path;
    while let Some((&byte, behind)) = rest.split_first() {
        let escaped = match behind {
            [a, b, ..] if byte == b'%' => match [a.to_ascii_lowercase(), b.to_ascii_lowercase()] {
                [b'2', b'e'] => Some(b'.'),
                [b'2', b'f'] => Some(b'/'),
                [b'5', b'c'] => Some(b'/'),
                _ => None,
            },
            _ => None,
        };
        plain.push(escaped.unwrap_or(if byte == b'\\' { b'/' } else { byte }));
        rest = if escaped.is_some() { &behind[2..] } else { behind };
    }
    let name = |segment: &[u8]| segment.split(|byte| *byte == b';').next().map(<[u8]>::to_vec);
    plain.split(|byte| *byte == b'/').filter_map(name).any(|name| name == b"." || name == b"..")
}

/// `host [":" port]` with a name of letters, digits, `-._~`, or an IPv6 address in brackets.
fn is_authority(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let (host, port) = match text.rfind(']') {
        Some(end) => text.split_at(end + 1),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let name = || !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    let host = literal.map_or_else(name, |literal| literal.parse::<std::net::Ipv6Addr>().is_ok());
    let digits = |port: &str| {
        port.len() <= 5
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && (port.is_empty() || port.parse::<u16>().is_ok())
    };
    host && (port.is_empty() || port.strip_prefix(':').is_some_and(digits))
}

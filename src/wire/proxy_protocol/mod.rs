//! The PROXY protocol, versions 1 and 2: what a proxy says about its client before the client's first byte.
//!
//! Reading is strict: a header that is not exactly what the specification says is refused, because everything behind it would
//! be taken for something that the client did not say. What is not read is said here: the additional values (TLVs) of
//! version 2 are skipped unread, its checksum with them, and the addresses of unix sockets and of unknown families name
//! no client. UDP is refused, for no such header belongs in front of a TCP stream.
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::ProxyVersion;

/// The longest header of version 1, its end included.
const LONGEST_V1: usize = 107;
/// The longest header of version 2 that is read: addresses take 216 bytes at most, the rest is for additional values.
pub const LONGEST: usize = 4096;
/// How version 2 begins.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// How version 1 begins.
const WORD: &[u8] = b"PROXY ";
/// Signature, version and command, family, length.
const FIXED_V2: usize = 16;

/// The ends of the connection that the proxy before us accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionEnds {
    /// The client.
    pub source: SocketAddr,
    /// The address that the client reached.
    pub destination: SocketAddr,
}

/// What the bytes so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderProgress {
    /// The beginning of a header.
    Partial,
    /// A header; what is behind it was said by the client.
    Complete {
        /// Its length in bytes.
        length: usize,
        /// The ends that it names; `None`: the proxy speaks for itself (`LOCAL`), or does not know (`UNKNOWN`).
        ends: Option<ConnectionEnds>,
    },
}

/// Why bytes are not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeaderError {
    /// They begin otherwise: this is no PROXY header at all.
    Absent,
    /// They begin like one and go on otherwise.
    Malformed(&'static str),
}

/// Reads a header from the first bytes of a connection. What is [`HeaderProgress::Partial`] is asked again, with more behind
/// the same bytes.
///
/// # Errors
/// The bytes are not the beginning of a header, whatever follows them.
pub fn read(bytes: &[u8]) -> Result<HeaderProgress, ProxyHeaderError> {
    if begins_like(bytes, &SIGNATURE) {
        return read_v2(bytes);
    }
    if begins_like(bytes, WORD) {
        return read_v1(bytes);
    }
    Err(ProxyHeaderError::Absent)
}

/// As far as both go, they are the same.
fn begins_like(bytes: &[u8], beginning: &[u8]) -> bool {
    bytes.iter().zip(beginning).all(|(byte, wanted)| byte == wanted)
}

fn read_v1(bytes: &[u8]) -> Result<HeaderProgress, ProxyHeaderError> {
    // The end itself takes two bytes: what stands behind the last place where it may begin is not looked at, be it here or not.
    let line = &bytes[..bytes.len().min(LONGEST_V1 - 1)];
    let end = line.iter().position(|byte| *byte == b'\r' || *byte == b'\n');
    let text = &line[..end.unwrap_or(line.len())];
    if !text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        return Err(ProxyHeaderError::Malformed("a byte that is not text"));
    }
    let Some(end) = end else {
        return if line.len() < LONGEST_V1 - 1 {
            Ok(HeaderProgress::Partial)
        } else {
            Err(ProxyHeaderError::Malformed("too long"))
        };
    };
    let length = end + 2;
    match (bytes[end], bytes.get(end + 1)) {
        (b'\r', None) => Ok(HeaderProgress::Partial),
        (b'\r', Some(b'\n')) => {
            let text = std::str::from_utf8(text).map_err(|_| ProxyHeaderError::Malformed("a byte that is not text"))?;
            Ok(HeaderProgress::Complete { length, ends: ends_v1(text)? })
        }
        _ => Err(ProxyHeaderError::Malformed("a line that does not end by CR LF")),
    }
}

fn ends_v1(text: &str) -> Result<Option<ConnectionEnds>, ProxyHeaderError> {
    let mut words = text.split(' ').skip(1);
    let address: fn(&str) -> Option<IpAddr> = match words.next() {
        // What an unknown proxy adds says nothing.
        Some("UNKNOWN") => return Ok(None),
        Some("TCP4") => |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        Some("TCP6") => |text| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return Err(ProxyHeaderError::Malformed("an unknown family")),
    };
    let [source, destination] = [words.next(), words.next()].map(|word| word.and_then(address));
    let [from, to] = [words.next(), words.next()].map(|word| word.and_then(port));
    match (source, destination, from, to, words.next()) {
        (Some(source), Some(destination), Some(from), Some(to), None) => Ok(Some(ConnectionEnds {
            source: SocketAddr::new(source, from),
            destination: SocketAddr::new(destination, to),
        })),
        _ => Err(ProxyHeaderError::Malformed("addresses or ports that are none")),
    }
}

/// Digits alone, without zeros before them.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

fn read_v2(bytes: &[u8]) -> Result<HeaderProgress, ProxyHeaderError> {
    let fixed = |at: usize| bytes.get(at).copied();
    let Some(command) = fixed(12) else { return Ok(HeaderProgress::Partial) };
    let local = match command {
        0x20 => true,
        0x21 => false,
        _ if command >> 4 != 2 => return Err(ProxyHeaderError::Malformed("an unknown version")),
        _ => return Err(ProxyHeaderError::Malformed("an unknown command")),
    };
    let Some(family) = fixed(13) else { return Ok(HeaderProgress::Partial) };
    // The least that the addresses take; of a local connection nothing is read.
    let least = match family {
        _ if local => 0,
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => return Err(ProxyHeaderError::Malformed("an unknown family, or one without connections")),
    };
    let (Some(high), Some(low)) = (fixed(14), fixed(15)) else { return Ok(HeaderProgress::Partial) };
    let behind = usize::from(u16::from_be_bytes([high, low]));
    let length = FIXED_V2 + behind;
    if behind < least {
        return Err(ProxyHeaderError::Malformed("shorter than its addresses"));
    }
    if length > LONGEST {
        return Err(ProxyHeaderError::Malformed("too long"));
    }
    let Some(addresses) = bytes.get(FIXED_V2..length) else { return Ok(HeaderProgress::Partial) };
    let ends = match family {
        _ if local => None,
        0x11 => ends_v2::<4>(addresses),
        0x21 => ends_v2::<16>(addresses),
        _ => None,
    };
    Ok(HeaderProgress::Complete { length, ends })
}

/// Two addresses of `N` bytes, two ports.
fn ends_v2<const N: usize>(bytes: &[u8]) -> Option<ConnectionEnds>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = bytes.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (from, rest) = rest.split_first_chunk::<2>()?;
    let (to, _) = rest.split_first_chunk::<2>()?;
    let end = |ip: &[u8; N], port: &[u8; 2]| SocketAddr::new(IpAddr::from(*ip), u16::from_be_bytes(*port));
    Some(ConnectionEnds { source: end(source, from), destination: end(destination, to) })
}

/// Writes a header. `None`: the proxy speaks for itself (`LOCAL`; in version 1, which has no such word, `UNKNOWN`).
pub fn write(version: ProxyVersion, ends: Option<ConnectionEnds>) -> Vec<u8> {
    let ends = ends.map(of_one_family);
    match version {
        ProxyVersion::V1 => write_v1(ends),
        ProxyVersion::V2 => write_v2(ends),
    }
}

/// Both addresses as the client's network has them: an IPv4 address in IPv6's clothes is an IPv4 address, unless the
/// other one is not.
fn of_one_family(ends: ConnectionEnds) -> ConnectionEnds {
    let ips = [ends.source.ip().to_canonical(), ends.destination.ip().to_canonical()];
    let mapped = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => IpAddr::V6(ip.to_ipv6_mapped()),
        ip => ip,
    };
    let [source, destination] = if ips[0].is_ipv4() == ips[1].is_ipv4() { ips } else { ips.map(mapped) };
    ConnectionEnds {
        source: SocketAddr::new(source, ends.source.port()),
        destination: SocketAddr::new(destination, ends.destination.port()),
    }
}

fn write_v1(ends: Option<ConnectionEnds>) -> Vec<u8> {
    let Some(ConnectionEnds { source, destination }) = ends else { return b"PROXY UNKNOWN\r\n".to_vec() };
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.port(), destination.port());
    format!("PROXY {family} {} {} {from} {to}\r\n", source.ip(), destination.ip()).into_bytes()
}

fn write_v2(ends: Option<ConnectionEnds>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let Some(ConnectionEnds { source, destination }) = ends else {
        header.extend([0x20, 0, 0, 0]);
        return header;
    };
    header.push(0x21);
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            header.extend([0x11, 0, 12]);
            header.extend(source.octets());
            header.extend(destination.octets());
        }
        (source, destination) => {
            let octets = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            header.extend([0x21, 0, 36]);
            header.extend(octets(source));
            header.extend(octets(destination));
        }
    }
    header.extend(source.port().to_be_bytes());
    header.extend(destination.port().to_be_bytes());
    header
}

//! The client's address as text, made once a connection.

use std::fmt::{self, Write};
use std::net::IpAddr;

/// The client's address as it is written into `X-Forwarded-For` and `Forwarded`. Made once a connection, without
/// allocation. An IPv4 address mapped into IPv6 is written as IPv4.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress {
    text: [u8; ClientAddress::MAX],
    len: u8,
    is_v6: bool,
}

impl ClientAddress {
    /// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`
    const MAX: usize = 45;

    /// Of the connection's peer, or of a trusted PROXY header; never of what the client says.
    pub fn new(address: IpAddr) -> ClientAddress {
        let address = address.to_canonical();
        let mut made = ClientAddress { text: [0; ClientAddress::MAX], len: 0, is_v6: address.is_ipv6() };
        // Cannot fail: no address is longer than MAX.
        let _ = match address {
            IpAddr::V4(address) => made.write_dotted(address.octets()),
            IpAddr::V6(address) => write!(made, "{address}"),
        };
        made
    }

    fn write_dotted(&mut self, octets: [u8; 4]) -> fmt::Result {
        for (place, octet) in octets.into_iter().enumerate() {
            if place > 0 {
                self.write_char('.')?;
            }
            self.write_str(itoa::Buffer::new().format(octet))?;
        }
        Ok(())
    }

    /// The address without port or brackets.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.len)]
    }

    /// Does it need quotes and brackets in `Forwarded`.
    pub(super) const fn is_v6(&self) -> bool {
        self.is_v6
    }
}

impl fmt::Debug for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Write for ClientAddress {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let at = usize::from(self.len);
        let room = self.text.get_mut(at..at + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len() as u8;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::ClientAddress;

    #[test]
    fn addresses_are_written_canonically() {
        for (address, text) in [
            ("10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("2001:DB8::1", "2001:db8::1"),
            ("1111:2222:3333:4444:5555:6666:7777:8888", "1111:2222:3333:4444:5555:6666:7777:8888"),
        ] {
            assert_eq!(ClientAddress::new(address.parse().unwrap()).as_str(), text);
        }
    }
}

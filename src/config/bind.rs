//! Listen addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A listen address: one address, or every address of both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Bind {
    /// This address. An IPv6 one takes no IPv4 connections.
    Address(SocketAddr),
    /// `*:80`: every IPv6 and every IPv4 address, on this port.
    Every(u16),
}

impl Bind {
    /// Its port; 0 = a free one is taken.
    pub const fn port(self) -> u16 {
        match self {
            Bind::Address(address) => address.port(),
            Bind::Every(port) => port,
        }
    }

    /// The address, or the wildcards of both families.
    pub fn ips(self) -> impl Iterator<Item = IpAddr> {
        let (first, second) = match self {
            Bind::Address(address) => (address.ip(), None),
            Bind::Every(_) => (Ipv4Addr::UNSPECIFIED.into(), Some(Ipv6Addr::UNSPECIFIED.into())),
        };
        std::iter::once(first).chain(second)
    }

    /// Only this machine can connect.
    pub fn is_loopback(self) -> bool {
        self.ips().all(|ip| ip.to_canonical().is_loopback())
    }
}

impl From<SocketAddr> for Bind {
    fn from(address: SocketAddr) -> Bind {
        Bind::Address(address)
    }
}

impl<I: Into<IpAddr>> From<(I, u16)> for Bind {
    fn from(address: (I, u16)) -> Bind {
        Bind::Address(address.into())
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::Address(address) => address.fmt(f),
            Bind::Every(port) => write!(f, "*:{port}"),
        }
    }
}

/// A text is neither an address with a port nor `*:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither an address with a port nor `*:PORT`")]
pub struct ParseBindError;

impl FromStr for Bind {
    type Err = ParseBindError;

    fn from_str(text: &str) -> Result<Bind, ParseBindError> {
        let every = text.strip_prefix("*:").filter(|port| port.bytes().all(|b| b.is_ascii_digit()));
        match every.and_then(|port| port.parse().ok()) {
            Some(port) => Ok(Bind::Every(port)),
            None => text.parse().map(Bind::Address).map_err(|_| ParseBindError),
        }
    }
}

impl TryFrom<String> for Bind {
    type Error = ParseBindError;

    fn try_from(text: String) -> Result<Bind, ParseBindError> {
        text.parse()
    }
}

impl From<Bind> for String {
    fn from(bind: Bind) -> String {
        bind.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(text: &str) -> Bind {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn what_is_read_is_written_again() {
        for text in ["127.0.0.1:80", "[::1]:80", "[::]:0", "*:80", "*:0"] {
            assert_eq!(bind(text).to_string(), text);
            let json = serde_json::to_string(&bind(text)).unwrap();
            assert_eq!((json.as_str(), serde_json::from_str(&json).ok()), (&*format!("{text:?}"), Some(bind(text))));
        }
        for text in ["", "*", "*:", "*:+80", "*:65536", "[*]:80", ":80", "80", "**:80", "*:80 "] {
            assert_eq!(text.parse::<Bind>(), Err(ParseBindError), "{text}");
        }
    }
}

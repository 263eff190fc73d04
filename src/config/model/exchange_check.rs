//! Checks that belong to no one protocol.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::secret::Secret;
use super::tls::UpstreamTls;

/// A connect, and what is sent and expected then.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TcpCheck {
    /// Another port than the endpoint's.
    pub port: Option<u16>,
    /// A TLS handshake must succeed too, and what follows is sent over it.
    pub tls: Option<Arc<UpstreamTls>>,
    /// Sent once after that, in the notation of [`payload_bytes`].
    #[serde(default)]
    pub send: Option<Secret>,
    /// The first 64 KiB of the answer contain this, in the same notation.
    #[serde(default)]
    pub expect: Option<String>,
}

/// A program that is run for each probe, without a shell, in an environment of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecCheck {
    /// The program, by its whole path.
    pub program: PathBuf,
    /// Its arguments; a [placeholder](EXEC_PLACEHOLDERS) in one stands for what is checked.
    pub arguments: Vec<String>,
    /// Its environment beside the variables that say what is checked.
    pub environment: Vec<(String, Secret)>,
    /// Another port than the endpoint's, for it to ask.
    pub port: Option<u16>,
}

/// What stands in an argument for the address (an IP), the port, and the DNS name or else the address, of what is checked.
pub const EXEC_PLACEHOLDERS: [&str; 3] = ["{address}", "{port}", "{host}"];

/// A program beside the endpoint that states on one line how it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentCheck {
    /// Its port.
    pub port: u16,
    /// Sent to it first, in the notation of [`payload_bytes`].
    pub send: Option<Secret>,
}

/// A datagram, and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UdpCheck {
    /// What is sent, in the notation of [`payload_bytes`].
    pub send: Secret,
    /// What is expected.
    pub expect: UdpExpectation,
    /// Another port than the endpoint's.
    pub port: Option<u16>,
}

/// What a check expects after its datagram.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UdpExpectation {
    /// Any answer.
    Any,
    /// An answer with this in it, in the notation of [`payload_bytes`].
    Contains(String),
    /// None: only a refusal (ICMP) fails it.
    Nothing,
}

/// A question to DNS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DnsCheck {
    /// The name that is asked for; `.` is the root.
    pub name: String,
    /// The type of record, one of [`DNS_TYPES`].
    pub record: String,
    /// The code of the answer, one of [`DNS_RCODES`].
    pub rcode: u8,
    /// A record that the answer must have, as zone files write it.
    pub answer: Option<String>,
    /// Over TCP.
    pub tcp: bool,
    /// Another port than the endpoint's.
    pub port: Option<u16>,
}

/// Types of records that a check can ask for.
pub const DNS_TYPES: [&str; 9] = ["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"];

/// Codes of answers (RFC 1035, section 4.1.1), with their numbers.
pub const DNS_RCODES: [(&str, u8); 6] =
    [("NOERROR", 0), ("FORMERR", 1), ("SERVFAIL", 2), ("NXDOMAIN", 3), ("NOTIMP", 4), ("REFUSED", 5)];

/// The bytes that a text of a check stands for: its own, or what stands in hexadecimal digits behind `hex:`, with blanks and colons
/// between them as one likes.
///
/// # Errors
/// What is wrong with the digits.
pub fn payload_bytes(text: &str) -> Result<Vec<u8>, &'static str> {
    let Some(digits) = text.strip_prefix("hex:") else { return Ok(text.as_bytes().to_vec()) };
    let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b':').collect();
    let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    if !digits.len().is_multiple_of(2) {
        return Err("the number of its hexadecimal digits is odd");
    }
    let byte = |pair: &[u8]| Some(value(pair[0])? << 4 | value(pair[1])?);
    digits.chunks_exact(2).map(byte).collect::<Option<_>>().ok_or("what stands behind `hex:` are no hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_its_text_or_hexadecimal_digits() {
        assert_eq!(payload_bytes("PING\r\n").unwrap(), b"PING\r\n");
        assert_eq!(payload_bytes("ä").unwrap(), "ä".as_bytes());
        assert_eq!(payload_bytes("hex: 50 49:4e47\n0D0a").unwrap(), b"PING\r\n");
        assert_eq!(payload_bytes("hex:").unwrap(), b"");
        assert!(payload_bytes("hex:1").unwrap_err().contains("odd"));
        for wrong in ["hex:0x10", "hex:zz", "hex:ää", "hex:+1"] {
            assert!(payload_bytes(wrong).is_err(), "{wrong}");
        }
    }
}

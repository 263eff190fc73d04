//! How the clients of a database are told, in its own protocol, that there is no server for them: what they say first, as far as it
//! has to be known, and the error that follows it.

/// The longest first message of a PostgreSQL client. (A server takes 10,000 bytes; what clients send has some hundred.)
pub const LONGEST_STARTUP: usize = 8192;
/// The longest request to cancel: a head, the number of a process, and a key of up to 256 bytes.
pub const LONGEST_CANCEL: usize = 8 + 4 + 256;
/// The first byte of a TLS record that begins a handshake: no protocol here begins like that in the clear.
pub const TLS_HANDSHAKE: u8 = 0x16;

/// The answer to a PostgreSQL client that asks for encryption and gets none.
pub const POSTGRES_NOT_ENCRYPTED: &[u8] = b"N";
/// Bytes of a request for encryption.
pub const POSTGRES_ENCRYPTION_REQUEST: usize = 8;

const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;

/// What a PostgreSQL client begins with
/// ([message formats](https://www.postgresql.org/docs/current/protocol-message-formats.html)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostgresOpening {
    /// More bytes are needed.
    Incomplete,
    /// A request for TLS or GSSAPI encryption, after which the client waits for one byte.
    EncryptionRequest,
    /// A whole startup message: the client takes an error.
    Startup,
    /// A request to cancel what another session does: it gets no answer.
    Cancel,
    /// Something else, TLS for example.
    Other,
}

impl PostgresOpening {
    /// Of these first bytes.
    pub fn of(bytes: &[u8]) -> PostgresOpening {
        let number = |at: usize| {
            let four = bytes.get(at..at + 4)?;
            Some(u32::from_be_bytes(four.try_into().ok()?))
        };
        if bytes.first().is_some_and(|first| *first != 0) {
            // As a length this would be 16 MiB and more.
            return PostgresOpening::Other;
        }
        let Some(length) = number(0) else { return PostgresOpening::Incomplete };
        let Some(length) = usize::try_from(length).ok().filter(|length| (8..=LONGEST_STARTUP).contains(length)) else {
            return PostgresOpening::Other;
        };
        let Some(code) = number(4) else { return PostgresOpening::Incomplete };
        match code {
            SSL_REQUEST | GSSENC_REQUEST if length == POSTGRES_ENCRYPTION_REQUEST => PostgresOpening::EncryptionRequest,
            CANCEL_REQUEST => PostgresOpening::Cancel,
            // Protocol 3, whatever its minor version.
            _ if code >> 16 == 3 && bytes.len() < length => PostgresOpening::Incomplete,
            _ if code >> 16 == 3 => PostgresOpening::Startup,
            _ => PostgresOpening::Other,
        }
    }
}

/// An ErrorResponse of PostgreSQL that ends the connection. The message has no zero byte.
pub fn postgres_fatal(sqlstate: &str, message: &str) -> Vec<u8> {
    let mut fields = Vec::with_capacity(message.len() + 32);
    for (kind, text) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', sqlstate), (b'M', message)] {
        fields.push(kind);
        fields.extend_from_slice(text.as_bytes());
        fields.push(0);
    }
    fields.push(0);
    let length = u32::try_from(fields.len() + 4).unwrap_or(u32::MAX);
    [b"E".as_slice(), &length.to_be_bytes(), &fields].concat()
}

/// An error of Redis: the line begins with its kind. Neither has the end of a line in it.
pub fn redis_error(kind: &str, message: &str) -> Vec<u8> {
    format!("-{kind} {message}\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(length: u32, code: u32, rest: &[u8]) -> Vec<u8> {
        [&length.to_be_bytes(), &code.to_be_bytes(), rest].concat()
    }

    #[test]
    fn a_postgres_client_is_known_by_its_first_message() {
        let startup = message(22, 3 << 16, b"user\0standfast\0\0".get(..14).unwrap());
        assert_eq!(PostgresOpening::of(&startup), PostgresOpening::Startup);
        assert_eq!(PostgresOpening::of(&message(8, 3 << 16 | 2, b"")), PostgresOpening::Startup, "protocol 3.2");
        for code in [SSL_REQUEST, GSSENC_REQUEST] {
            assert_eq!(PostgresOpening::of(&message(8, code, b"")), PostgresOpening::EncryptionRequest);
        }
        assert_eq!(PostgresOpening::of(&message(16, CANCEL_REQUEST, &[0; 8])), PostgresOpening::Cancel);
        for end in 0..startup.len() {
            assert_eq!(PostgresOpening::of(&startup[..end]), PostgresOpening::Incomplete);
        }
    }

    #[test]
    fn what_is_no_postgres_client_is_known_at_once() {
        for bytes in [
            &b"\x16\x03\x01\x02\x00"[..],
            b"GET / HTTP/1.1\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            &message(7, 3 << 16, b""),
            &message(8193, 3 << 16, b""),
            &message(8, 2 << 16, b""),
            &message(9, SSL_REQUEST, b"x"),
        ] {
            assert_eq!(PostgresOpening::of(bytes), PostgresOpening::Other, "{bytes:?}");
        }
    }

    #[test]
    fn errors_are_written_as_their_servers_write_them() {
        let fatal = postgres_fatal("57P03", "no");
        assert_eq!(fatal, b"E\0\0\0\x1eSFATAL\0VFATAL\0C57P03\0Mno\0\0");
        assert_eq!(fatal.len(), 0x1e + 1);
        assert_eq!(redis_error("MASTERDOWN", "no"), b"-MASTERDOWN no\r\n");
    }

    proptest! {
        #[test]
        fn what_was_known_stays_known_with_more_bytes(bytes in prop::collection::vec(
            prop_oneof![Just(0), Just(3), Just(8), Just(0x16), any::<u8>()], 0..40)) {
            let whole = PostgresOpening::of(&bytes);
            for end in 0..bytes.len() {
                match PostgresOpening::of(&bytes[..end]) {
                    PostgresOpening::Incomplete => {}
                    earlier => prop_assert_eq!(earlier, whole),
                }
            }
        }
    }
}

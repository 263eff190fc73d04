//! Packets of MySQL and MariaDB ([client/server protocol](https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html)), as far
//! as checks need them: the handshake of version 10, answers to a login, and rows as text.

/// Bytes in front of a payload: its length, and its number.
const HEADER: usize = 4;
/// Bytes of the challenge that a password is mixed with.
pub const NONCE: usize = 20;

/// The client and the server speak the protocol of MySQL 4.1.
const PROTOCOL_41: u32 = 0x0000_0200;
const LONG_PASSWORD: u32 = 0x0000_0001;
const CONNECT_WITH_DB: u32 = 0x0000_0008;
const SSL: u32 = 0x0000_0800;
const SECURE_CONNECTION: u32 = 0x0000_8000;
const PLUGIN_AUTH: u32 = 0x0008_0000;

/// utf8mb4_general_ci.
const CHARSET: u8 = 45;

/// Bytes that are no packet of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MysqlError {
    /// A packet says that it is longer than is taken.
    #[error("a packet of {0} bytes, which is more than is taken")]
    TooLong(usize),
    /// A field ends behind its packet.
    #[error("a packet is shorter than it says")]
    Short,
    /// The first byte of the handshake is another version's, or none.
    #[error("no handshake of MySQL: it is no MySQL or MariaDB server")]
    Handshake,
    /// The server is older than MySQL 4.1.
    #[error("it does not speak the protocol of MySQL 4.1")]
    Old,
    /// A packet of another kind stands in the place of the one that is due.
    #[error("a packet that does not belong there")]
    Misplaced,
}

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MysqlPacket<'a> {
    /// Its number within the exchange.
    pub number: u8,
    /// What it holds.
    pub payload: &'a [u8],
    /// Bytes of the whole packet.
    pub length: usize,
}

/// The packet at the beginning of these bytes. `Ok(None)`: more bytes are needed. `most`: bytes of the longest payload.
///
/// # Errors
/// It is longer than that.
pub fn packet(bytes: &[u8], most: usize) -> Result<Option<MysqlPacket<'_>>, MysqlError> {
    let Some(&[low, middle, high, number]) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    let length = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
    if length > most {
        return Err(MysqlError::TooLong(length));
    }
    let payload = bytes.get(HEADER..HEADER + length);
    Ok(payload.map(|payload| MysqlPacket { number, payload, length: HEADER + length }))
}

/// Appends a packet with this number. What does not fit in one packet (16 MiB) is cut off.
pub fn write_packet(number: u8, payload: &[u8], into: &mut Vec<u8>) {
    let payload = &payload[..payload.len().min(0xff_fffe)];
    let [low, middle, high, ..] = (payload.len() as u32).to_le_bytes();
    into.extend_from_slice(&[low, middle, high, number]);
    into.extend_from_slice(payload);
}

/// What a server says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MysqlGreeting {
    /// It can go on over TLS.
    pub has_tls: bool,
    /// The challenge.
    pub nonce: [u8; NONCE],
    /// The way to log in that it proposes.
    pub method: Vec<u8>,
}

/// The payload of the first packet. An error in its place is told as one.
///
/// # Errors
/// It is neither.
pub fn greeting(payload: &[u8]) -> Result<Result<MysqlGreeting, MysqlRefusal<'_>>, MysqlError> {
    let mut fields = PacketFields(payload);
    match fields.byte().map_err(|_| MysqlError::Handshake)? {
        10 => {}
        0xff => return refusal(payload).map(Err),
        _ => return Err(MysqlError::Handshake),
    }
    fields.text()?;
    fields.take(4)?;
    let first = fields.take(8)?;
    fields.take(1)?;
    let low = fields.number(2)?;
    // (What follows is not there in answers of servers older than 4.1.)
    fields.take(3).map_err(|_| MysqlError::Old)?;
    let capabilities = (low | fields.number(2)? << 16) as u32;
    if capabilities & PROTOCOL_41 == 0 || capabilities & SECURE_CONNECTION == 0 {
        return Err(MysqlError::Old);
    }
    let length = usize::from(fields.byte()?);
    fields.take(10)?;
    let second = fields.take(length.saturating_sub(8).max(13))?;
    let method = match capabilities & PLUGIN_AUTH {
        0 => b"mysql_native_password",
        // (Some servers do not end it.)
        _ => fields.0.split(|byte| *byte == 0).next().unwrap_or_default(),
    };
    let mut nonce = [0; NONCE];
    nonce.iter_mut().zip(first.iter().chain(second)).for_each(|(into, byte)| *into = *byte);
    Ok(Ok(MysqlGreeting { has_tls: capabilities & SSL != 0, nonce, method: method.to_vec() }))
}

/// An error of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MysqlRefusal<'a> {
    /// Its number: 1045 is "access denied".
    pub code: u16,
    /// For people.
    pub text: &'a [u8],
}

/// The payload of a packet that begins with 0xff.
fn refusal(payload: &[u8]) -> Result<MysqlRefusal<'_>, MysqlError> {
    let mut fields = PacketFields(payload);
    fields.take(1)?;
    let code = fields.number(2)? as u16;
    // (The state is left out before the server knows what the client can read.)
    if fields.0.first() == Some(&b'#') {
        fields.take(6)?;
    }
    Ok(MysqlRefusal { code, text: fields.0 })
}

/// What a client says to log in.
#[derive(Clone, Copy, Debug)]
pub struct MysqlLogin<'a> {
    /// The user; no byte 0.
    pub user: &'a str,
    /// The proof of the password, for `method`; 255 bytes at most.
    pub proof: &'a [u8],
    /// The database, if one is to be used; no byte 0.
    pub database: Option<&'a str>,
    /// The way to log in.
    pub method: &'a str,
    /// Over TLS.
    pub tls: bool,
}

impl MysqlLogin<'_> {
    /// The request for TLS: what a login begins with.
    pub fn tls_request(&self) -> Vec<u8> {
        let mut flags = LONG_PASSWORD | PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH;
        flags |= if self.tls { SSL } else { 0 };
        flags |= if self.database.is_some() { CONNECT_WITH_DB } else { 0 };
        let mut payload = flags.to_le_bytes().to_vec();
        payload.extend_from_slice(&0x0100_0000_u32.to_le_bytes());
        payload.push(CHARSET);
        payload.extend_from_slice(&[0; 23]);
        payload
    }

    /// The whole login.
    pub fn request(&self) -> Vec<u8> {
        let mut payload = self.tls_request();
        let text = |payload: &mut Vec<u8>, text: &str| {
            payload.extend_from_slice(text.as_bytes());
            payload.push(0);
        };
        text(&mut payload, self.user);
        let proof = &self.proof[..self.proof.len().min(usize::from(u8::MAX))];
        payload.push(proof.len() as u8);
        payload.extend_from_slice(proof);
        self.database.iter().for_each(|database| text(&mut payload, database));
        text(&mut payload, self.method);
        payload
    }
}

/// What a server says to a login, or to a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MysqlLoginReply<'a> {
    /// The user is in.
    In,
    /// It is not.
    Refused(MysqlRefusal<'a>),
    /// This user logs in in another way, with this challenge.
    Switch {
        /// The way.
        method: &'a [u8],
        /// The challenge, with what the server puts behind it.
        nonce: &'a [u8],
    },
    /// The way of before MySQL 4.1.
    OldMethod,
    /// A part of an exchange of this way to log in.
    More(&'a [u8]),
}

/// The payload of a packet that answers a login.
///
/// # Errors
/// It is no such answer.
pub fn login_reply(payload: &[u8]) -> Result<MysqlLoginReply<'_>, MysqlError> {
    match payload {
        [0, ..] => Ok(MysqlLoginReply::In),
        [0xff, ..] => refusal(payload).map(MysqlLoginReply::Refused),
        [0xfe] => Ok(MysqlLoginReply::OldMethod),
        [0xfe, rest @ ..] => {
            let mut fields = PacketFields(rest);
            let method = fields.text()?;
            Ok(MysqlLoginReply::Switch { method, nonce: fields.0 })
        }
        [1, more @ ..] => Ok(MysqlLoginReply::More(more)),
        _ => Err(MysqlError::Misplaced),
    }
}

/// How the answer to a question begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MysqlAnswer<'a> {
    /// There are no rows to it.
    Done,
    /// It is refused.
    Refused(MysqlRefusal<'a>),
    /// So many columns follow, and then rows.
    Columns(usize),
}

/// The payload of the first packet of an answer.
///
/// # Errors
/// It is none.
pub fn answer(payload: &[u8]) -> Result<MysqlAnswer<'_>, MysqlError> {
    match payload {
        [0, ..] => Ok(MysqlAnswer::Done),
        [0xff, ..] => refusal(payload).map(MysqlAnswer::Refused),
        // (0xfb asks the client for a file.)
        [0xfb, ..] | [] => Err(MysqlError::Misplaced),
        _ => {
            let columns = PacketFields(payload).length()?.ok_or(MysqlError::Misplaced)?;
            Ok(MysqlAnswer::Columns(columns))
        }
    }
}

/// The name of a column.
///
/// # Errors
/// The packet describes none.
pub fn column_name(payload: &[u8]) -> Result<&[u8], MysqlError> {
    let mut fields = PacketFields(payload);
    // (Catalog, schema, table, and the table's own name.)
    for _ in 0..4 {
        fields.value()?;
    }
    fields.value()?.ok_or(MysqlError::Misplaced)
}

/// What follows the columns, and the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MysqlRow<'a> {
    /// A row; `None` is NULL.
    Values(Vec<Option<&'a [u8]>>),
    /// There are no more.
    End,
    /// They end with an error.
    Refused(MysqlRefusal<'a>),
}

/// The payload of a packet behind the columns: a row of so many, or the end.
///
/// # Errors
/// It is neither.
pub fn row(payload: &[u8], columns: usize) -> Result<MysqlRow<'_>, MysqlError> {
    match payload {
        [0xfe, ..] if payload.len() < 9 => return Ok(MysqlRow::End),
        [0xff, ..] => return refusal(payload).map(MysqlRow::Refused),
        _ => {}
    }
    let mut fields = PacketFields(payload);
    // (Each value takes a byte at least.)
    let mut values = Vec::with_capacity(columns.min(payload.len()));
    for _ in 0..columns {
        values.push(fields.value()?);
    }
    match fields.0 {
        [] => Ok(MysqlRow::Values(values)),
        _ => Err(MysqlError::Misplaced),
    }
}

/// What is left of a payload.
struct PacketFields<'a>(&'a [u8]);

impl<'a> PacketFields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], MysqlError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(MysqlError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, MysqlError> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// A number of so many bytes (eight at most), the lowest first.
    fn number(&mut self, length: usize) -> Result<u64, MysqlError> {
        let bytes = self.take(length)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A text that a byte 0 ends.
    fn text(&mut self) -> Result<&'a [u8], MysqlError> {
        let end = memchr::memchr(0, self.0).ok_or(MysqlError::Short)?;
        let text = self.take(end)?;
        self.take(1)?;
        Ok(text)
    }

    /// A length of variable size; `None` is the mark of NULL.
    fn length(&mut self) -> Result<Option<usize>, MysqlError> {
        let length = match self.byte()? {
            small @ 0..=0xfa => u64::from(small),
            0xfb => return Ok(None),
            0xfc => self.number(2)?,
            0xfd => self.number(3)?,
            0xfe => self.number(8)?,
            0xff => return Err(MysqlError::Misplaced),
        };
        usize::try_from(length).map(Some).map_err(|_| MysqlError::Short)
    }

    /// A value with its length in front of it; `None` is NULL.
    fn value(&mut self) -> Result<Option<&'a [u8]>, MysqlError> {
        self.length()?.map(|length| self.take(length)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As MariaDB 10.11 and MySQL 8 send it.
    fn greeted(capabilities: u32, method: &[u8]) -> Vec<u8> {
        let [a, b, c, d] = capabilities.to_le_bytes();
        let parts: [&[u8]; 9] = [
            b"\x0a10.11.6-MariaDB\0\x07\0\0\0",
            b"12345678\0",
            &[a, b, CHARSET, 2, 0, c, d, 21],
            &[0; 10],
            b"901234567890",
            b"\0",
            method,
            b"\0",
            b"",
        ];
        parts.concat()
    }

    const ALL: u32 = PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH | SSL;

    #[test]
    fn packets_are_cut_by_their_length() {
        assert_eq!(packet(b"\x02\0\0\x07abc", 64), Ok(Some(MysqlPacket { number: 7, payload: b"ab", length: 6 })));
        assert_eq!(packet(b"\x02\0\0\x07a", 64), Ok(None));
        assert_eq!(packet(b"\x02\0", 64), Ok(None));
        assert_eq!(packet(b"HTTP", 64), Err(MysqlError::TooLong(0x0054_5448)));
        let mut written = Vec::new();
        write_packet(3, b"abc", &mut written);
        assert_eq!(written, b"\x03\0\0\x03abc");
    }

    #[test]
    fn a_greeting_has_its_challenge_in_two_parts() {
        let found = greeting(&greeted(ALL, b"caching_sha2_password")).unwrap().unwrap();
        assert_eq!(&found.nonce, b"12345678901234567890");
        assert!(found.has_tls && found.method == b"caching_sha2_password");
        let plain = greeting(&greeted(ALL & !SSL & !PLUGIN_AUTH, b"")).unwrap().unwrap();
        assert!(!plain.has_tls && plain.method == b"mysql_native_password");
        assert_eq!(greeting(&greeted(ALL & !SECURE_CONNECTION, b"")), Err(MysqlError::Old));
        assert_eq!(greeting(b"\x0a5.0\0"), Err(MysqlError::Short));
        assert_eq!(greeting(b"SSH-2.0"), Err(MysqlError::Handshake));
        assert_eq!(greeting(b""), Err(MysqlError::Handshake));
    }

    #[test]
    fn errors_are_read_with_and_without_their_state() {
        let full = MysqlRefusal { code: 1040, text: b"Too many connections" };
        assert_eq!(greeting(b"\xff\x10\x04Too many connections"), Ok(Err(full)));
        assert_eq!(login_reply(b"\xff\x10\x04#08004Too many connections"), Ok(MysqlLoginReply::Refused(full)));
        assert_eq!(answer(b"\xff\x10\x04#08004Too many connections"), Ok(MysqlAnswer::Refused(full)));
        assert_eq!(login_reply(b"\xff\x10"), Err(MysqlError::Short));
        assert_eq!(login_reply(b"\xff\x10\x04#080"), Err(MysqlError::Short));
    }

    #[test]
    fn a_login_says_the_user_its_proof_the_database_and_the_way() {
        let login = MysqlLogin { user: "probe", proof: b"xy", database: Some("app"), method: "m", tls: false };
        let request = login.request();
        assert_eq!(&request[32..], b"probe\0\x02xyapp\0m\0");
        assert_eq!(request[..32], login.tls_request());
        assert_eq!(request[..4], (LONG_PASSWORD | PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH | 8).to_le_bytes());
    }

    #[test]
    fn answers_to_a_login_are_told_apart() {
        assert_eq!(login_reply(b"\0\0\0\x02\0\0\0"), Ok(MysqlLoginReply::In));
        assert_eq!(login_reply(b"\xfe"), Ok(MysqlLoginReply::OldMethod));
        assert_eq!(
            login_reply(b"\xfeclient_ed25519\0abc"),
            Ok(MysqlLoginReply::Switch { method: b"client_ed25519", nonce: b"abc" })
        );
        assert_eq!(login_reply(b"\x01\x03"), Ok(MysqlLoginReply::More(b"\x03")));
        assert_eq!(login_reply(b"\xfeabc"), Err(MysqlError::Short));
        assert_eq!(login_reply(b""), Err(MysqlError::Misplaced));
    }

    #[test]
    fn rows_have_a_value_or_none_for_each_column() {
        assert_eq!(answer(b"\x02"), Ok(MysqlAnswer::Columns(2)));
        assert_eq!(answer(b"\0\0\0"), Ok(MysqlAnswer::Done));
        assert_eq!(answer(b"\xfb/etc/passwd"), Err(MysqlError::Misplaced));
        assert_eq!(column_name(b"\x03def\0\0\0\x09read_only\0"), Ok(&b"read_only"[..]));
        assert_eq!(row(b"\x01a\xfb", 2), Ok(MysqlRow::Values(vec![Some(b"a"), None])));
        assert_eq!(row(b"\xfe\0\0\x02\0", 2), Ok(MysqlRow::End));
        assert_eq!(row(b"\x01a", 2), Err(MysqlError::Short));
        assert_eq!(row(b"\x01ab", 1), Err(MysqlError::Misplaced));
        assert_eq!(row(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff", 1), Err(MysqlError::Short));
    }

    proptest! {
        /// Nothing makes them panic, whatever is sent.
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in prop::collection::vec(prop_oneof![Just(0), Just(0xfe), Just(0xff), Just(0xfb), any::<u8>()], 0..80),
            columns in 0..usize::MAX,
        ) {
            let _ = (packet(&bytes, 8), greeting(&bytes), login_reply(&bytes), answer(&bytes), column_name(&bytes));
            let _ = (row(&bytes, 3), row(&bytes, columns));
        }
    }
}

//! A connection to MySQL or MariaDB: packets, and questions with their rows.

use std::collections::BTreeMap;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::super::error::{ProbeError, broken, closed, malformed};
use super::super::stream::ProbeStream;
use super::refusal::refusal;
use crate::wire::mysql::{self, MysqlAnswer, MysqlError, MysqlPacket, MysqlRow};

/// Bytes of one answer at most, with all its packets.
pub(super) const LONGEST_ANSWER: usize = 64 * 1024;

/// Bytes in front of a payload.
const HEADER: usize = 4;
/// Commands.
const QUIT: u8 = 1;
const QUERY: u8 = 3;

/// One packet, and no byte more: what follows may be TLS.
pub(super) async fn read_packet(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, ProbeError> {
    let mut bytes = vec![0; HEADER];
    let mut filled = 0;
    loop {
        let packet = mysql::packet(&bytes[..filled], LONGEST_ANSWER);
        match packet.map_err(not_understood)? {
            Some(packet) => return Ok(packet.payload.to_vec()),
            None if filled == bytes.len() && filled > HEADER => return Err(malformed("a packet without an end")),
            None if filled == HEADER => {
                let length = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]) as usize;
                bytes.resize(HEADER + length, 0);
            }
            None => {}
        }
        match stream.read(&mut bytes[filled..]).await.map_err(broken)? {
            0 => return Err(closed()),
            count => filled += count,
        }
    }
}

/// What a packet that is none says.
pub(super) fn not_understood(error: MysqlError) -> ProbeError {
    malformed(&error.to_string())
}

/// A connection behind the greeting.
pub(super) struct MysqlSession {
    stream: ProbeStream,
    received: BytesMut,
    /// The number of the next packet.
    number: u8,
    /// Bytes of the answer so far.
    taken: usize,
    /// No message may show it.
    secret: Option<String>,
}

impl MysqlSession {
    /// The next packet from this side has this number.
    pub(super) fn new(stream: ProbeStream, number: u8, secret: Option<String>) -> MysqlSession {
        MysqlSession { stream, received: BytesMut::new(), number, taken: 0, secret }
    }

    /// Is it in the clear?
    pub(super) fn is_plain(&self) -> bool {
        self.stream.is_plain()
    }

    /// The password, as long as no message shows it.
    pub(super) fn secret(&self) -> Option<&str> {
        self.secret.as_deref()
    }

    /// Sends a packet of the exchange that runs.
    pub(super) async fn send(&mut self, payload: &[u8]) -> Result<(), ProbeError> {
        let mut out = Vec::new();
        mysql::write_packet(self.number, payload, &mut out);
        self.stream.write_all(&out).await.map_err(broken)
    }

    /// The payload of the next packet.
    pub(super) async fn next(&mut self) -> Result<Vec<u8>, ProbeError> {
        loop {
            let packet = mysql::packet(&self.received, LONGEST_ANSWER);
            if let Some(MysqlPacket { number, payload, length }) = packet.map_err(not_understood)? {
                let payload = payload.to_vec();
                self.received.advance(length);
                self.number = number.wrapping_add(1);
                self.taken += length;
                if self.taken > LONGEST_ANSWER {
                    return Err(malformed("an answer of more than 64 KiB"));
                }
                return Ok(payload);
            }
            if self.stream.read_buf(&mut self.received).await.map_err(broken)? == 0 {
                return Err(closed());
            }
        }
    }

    /// Asks, and reads all rows. What is refused is an error of this probe.
    pub(super) async fn ask(&mut self, question: &str) -> Result<MysqlTable, ProbeError> {
        (self.number, self.taken) = (0, 0);
        self.send(&[&[QUERY], question.as_bytes()].concat()).await?;
        let first = self.next().await?;
        let columns = match mysql::answer(&first).map_err(not_understood)? {
            MysqlAnswer::Done => return Ok(MysqlTable::default()),
            MysqlAnswer::Refused(error) => return Err(refusal(error, self.secret())),
            MysqlAnswer::Columns(columns) => columns,
        };
        let mut table = MysqlTable::default();
        // (A number that is too great ends at the limit of the answer.)
        for _ in 0..columns {
            let payload = self.next().await?;
            table.columns.push(text(mysql::column_name(&payload).map_err(not_understood)?).to_ascii_lowercase());
        }
        let end = self.next().await?;
        if mysql::row(&end, 0) != Ok(MysqlRow::End) {
            return Err(malformed("the columns of an answer have no end"));
        }
        loop {
            let payload = self.next().await?;
            match mysql::row(&payload, columns).map_err(not_understood)? {
                MysqlRow::Values(values) => table.rows.push(values.into_iter().map(|value| value.map(text)).collect()),
                MysqlRow::End => return Ok(table),
                MysqlRow::Refused(error) => return Err(refusal(error, self.secret())),
            }
        }
    }

    /// Without a goodbye the server logs that its client went away.
    pub(super) async fn say_goodbye(&mut self) {
        self.number = 0;
        // (It may have closed already.)
        let _ = self.send(&[QUIT]).await;
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The rows of an answer.
#[derive(Debug, Default)]
pub(super) struct MysqlTable {
    /// Names in lower case.
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Option<String>>>,
}

impl MysqlTable {
    /// The value of the first of these columns that there is.
    pub(super) fn value<'a>(&'a self, row: &'a [Option<String>], columns: &[&str]) -> Option<&'a str> {
        let at = columns.iter().find_map(|name| self.columns.iter().position(|column| column == name))?;
        row.get(at)?.as_deref()
    }

    /// The first column by the second, as SHOW VARIABLES and SHOW STATUS give them; names in lower case.
    pub(super) fn pairs(self) -> BTreeMap<String, String> {
        let pair = |row: Vec<Option<String>>| match <[_; 2]>::try_from(row) {
            Ok([Some(name), value]) => Some((name.to_ascii_lowercase(), value.unwrap_or_default())),
            _ => None,
        };
        self.rows.into_iter().filter_map(pair).collect()
    }
}

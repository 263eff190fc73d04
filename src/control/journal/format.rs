//! The form of a segment: lines of JSON, each batch of them closed by a line with a checksum.
//!
//! ```text
//! {"standfast_journal":1, …}        the head
//! {"epoch":1,"clock":…}             the snapshot: the whole decision
//! {"c":"0123456789abcdef"}          the checksum of what stands before, back to the last one, and of that one
//! {"t":31536000000000,"e":{…}}      what the core was told, and when; `null` = a tick
//! {"c":"…"}
//! ```

use serde::{Deserialize, Serialize};

use crate::decision::Event;
use crate::digest::{hex, sha256};
use crate::time::MonoTime;

/// The version that this program writes and reads.
pub const JOURNAL_VERSION: u32 = 1;
/// Digits of a checksum.
const DIGITS: usize = 16;
/// What stands before the digits in their line, and behind them.
const BEFORE: &[u8] = b"{\"c\":\"";
const BEHIND: &[u8] = b"\"}";
/// The beginning of every segment.
pub(super) const MARK: &[u8] = b"{\"standfast_journal\":";
/// Bytes of a line with a checksum.
pub(super) const CHECK_BYTES: usize = BEFORE.len() + DIGITS + BEHIND.len() + 1;

/// Why a segment begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentReason {
    /// The control plane started.
    Start,
    /// The segment before it was full: its events lead to this snapshot.
    Full,
    /// Events were dropped since: the events of the segment before it end too early.
    Overflow,
}

impl SegmentReason {
    /// All reasons.
    pub const ALL: [SegmentReason; 3] = [SegmentReason::Start, SegmentReason::Full, SegmentReason::Overflow];

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            SegmentReason::Start => "start",
            SegmentReason::Full => "full",
            SegmentReason::Overflow => "overflow",
        }
    }
}

/// The head of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentHead {
    /// The version of the form.
    pub standfast_journal: u32,
    /// The version of the program.
    pub program: String,
    /// The life of the instance, as in the ids of its records.
    pub life: String,
    /// The number of the segment in this life, from 1.
    pub segment: u64,
    /// Why it begins.
    pub reason: SegmentReason,
    /// When, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// When, by the clock of the events.
    pub now: MonoTime,
}

/// What the core was told, borrowed.
#[derive(Serialize)]
pub(super) struct EventLine<'a> {
    pub(super) t: MonoTime,
    pub(super) e: Option<&'a Event>,
}

/// The same as it is read.
#[derive(Deserialize)]
pub(super) struct ReadEventLine {
    pub(super) t: MonoTime,
    pub(super) e: Option<Event>,
}

/// The chain of checksums of a segment: each is of the one before it and of the bytes since.
#[derive(Clone, Debug)]
pub(super) struct ChecksumChain(String);

impl ChecksumChain {
    pub(super) fn begin() -> ChecksumChain {
        ChecksumChain("0".repeat(DIGITS))
    }

    /// The line that closes a batch.
    pub(super) fn close(&mut self, batch: &[u8]) -> Vec<u8> {
        self.0 = self.of(batch);
        [BEFORE, self.0.as_bytes(), BEHIND, b"\n"].concat()
    }

    /// Does this line, without its end, close the batch? `None` = it is no such line.
    pub(super) fn closes(&mut self, batch: &[u8], line: &[u8]) -> Option<bool> {
        let digits = line.strip_prefix(BEFORE)?.strip_suffix(BEHIND)?;
        self.0 = self.of(batch);
        Some(digits == self.0.as_bytes())
    }

    fn of(&self, batch: &[u8]) -> String {
        hex(&sha256(&[self.0.as_bytes(), batch])[..DIGITS / 2])
    }
}

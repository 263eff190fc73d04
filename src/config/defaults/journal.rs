//! `journal:`

/// Hours of a busy instance, days of a quiet one: long enough to look at an outage on the next morning.
pub const JOURNAL_MAX_BYTES: u64 = 64 << 20;

/// Below it there is hardly room for a snapshot of the decision in each half.
pub const JOURNAL_LEAST_BYTES: u64 = 1 << 20;

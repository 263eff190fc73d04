//! `journal:`

/// A quiet service of four endpoints writes 30 MB a day, a busy endpoint 20 MB an hour at most: an outage can be looked at after it,
/// and no disk fills.
pub const JOURNAL_MAX_BYTES: u64 = 64 << 20;

/// Below it there is hardly room for a snapshot of the decision in each half.
pub const JOURNAL_LEAST_BYTES: u64 = 1 << 20;

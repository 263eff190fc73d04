//! [`AuditError`]: why something is not on record.

/// Why something is not on record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be written.
    #[error("the audit log cannot be written: {0}")]
    NotWritten(String),
    /// The disk did not answer in time.
    #[error("the audit log was not written within 1s")]
    Late,
    /// Too many records wait for the disk.
    #[error("the audit log is behind: too many records wait for the disk")]
    Full,
    /// The record would not fit in a line.
    #[error("the act has {0} bytes: too long for a record")]
    TooLong(usize),
    /// The log was closed.
    #[error("the audit log is closed")]
    Closed,
}

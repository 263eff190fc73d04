//! Why a probe did not pass.

use std::error::Error;
use std::io;

use crate::decision::ProbeFailure;

/// Why a probe did not pass.
#[derive(Debug)]
pub(super) enum ProbeError {
    /// The endpoint's fault.
    Fail(ProbeFailure, String),
    /// It is alive, and has no room for the probe.
    Busy(String),
    /// It is alive, and does not let the probe look.
    Blind(String),
    /// Ours.
    Local(String),
}

impl ProbeError {
    /// Its class, for tests.
    #[cfg(test)]
    pub(super) fn class(&self) -> String {
        match self {
            ProbeError::Fail(kind, _) => format!("{kind:?}"),
            ProbeError::Busy(_) => "Busy".to_owned(),
            ProbeError::Blind(_) => "Blind".to_owned(),
            ProbeError::Local(_) => "Local".to_owned(),
        }
    }

    pub(super) fn detail(&self) -> &str {
        let (ProbeError::Fail(_, detail)
        | ProbeError::Busy(detail)
        | ProbeError::Blind(detail)
        | ProbeError::Local(detail)) = self;
        detail
    }
}

/// Another answer than the one asked for.
pub(super) fn mismatch(detail: String) -> ProbeError {
    ProbeError::Fail(ProbeFailure::Mismatch, detail)
}

/// Bytes that are no answer.
pub(super) fn malformed(detail: &str) -> ProbeError {
    ProbeError::Fail(ProbeFailure::Malformed, detail.to_owned())
}

/// The connection broke.
pub(super) fn broken(error: io::Error) -> ProbeError {
    ProbeError::Fail(ProbeFailure::Reset, error.to_string())
}

/// The connection was closed in the place of an answer.
pub(super) fn closed() -> ProbeError {
    ProbeError::Fail(ProbeFailure::Reset, "closed without an answer".to_owned())
}

/// What an error of the exchange says about the endpoint.
pub(super) fn exchange_error(error: hyper::Error) -> ProbeError {
    let kind = if error.is_parse() {
        ProbeFailure::Malformed
    } else if error.is_timeout() || io_kind(&error) == Some(io::ErrorKind::TimedOut) {
        ProbeFailure::Timeout
    } else {
        ProbeFailure::Reset
    };
    let detail = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    ProbeError::Fail(kind, detail)
}

fn io_kind(error: &hyper::Error) -> Option<io::ErrorKind> {
    Some(error.source()?.downcast_ref::<io::Error>()?.kind())
}

//! Why a probe did not pass.

use std::error::Error;
use std::io;

use crate::decision::ProbeFailure;

/// Why a probe did not pass.
pub(super) enum ProbeError {
    /// The endpoint's fault.
    Fail(ProbeFailure, String),
    /// Ours.
    Local(String),
}

impl ProbeError {
    pub(super) fn detail(&self) -> &str {
        let (ProbeError::Fail(_, detail) | ProbeError::Local(detail)) = self;
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

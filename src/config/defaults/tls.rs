//! `tls:` of a listener, of `upstream:` and of a check.

use crate::config::model::{TlsVersion, UnknownName};

/// Older versions are broken, and every client of the last ten years speaks this one.
pub const TLS_VERSION: TlsVersion = TlsVersion::Tls12;
/// A client that asks for another name sees a certificate and can say what is wrong with it.
pub const UNKNOWN_NAME: UnknownName = UnknownName::First;

//! TLS in both roles: clients and servers from what the configuration names. Every file is read and checked before
//! anything takes effect.
//!
//! * [`ServerTls`]: certificates by server name, certificates of clients, resumption that outlives a reload.
//! * [`ClientTls`]: trusted CAs, the name that is verified, our certificate.
//! * [`TlsFileLoader`]: one pass over the files; it collects what is no error but should be known.
//!
//! The only cryptography is aws-lc-rs, and it is always named: no process-wide default is relied on.
mod client;
mod file;
mod leaf;
mod names;
mod server;
mod tickets;
mod trust;

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::{ProtocolVersion, SupportedProtocolVersion};

pub use client::{Alpn, ClientTls, TlsFailure, explain};
pub use file::{TlsAssetError, TlsFileLoader};
pub use leaf::{OwnCertificate, end_point_hash};
pub use server::{HandshakeOutcome, ServerTls, TlsAccepted};
pub use tickets::TicketKeys;

use crate::config::TlsVersion;

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())))
}

/// The versions spoken when this is the oldest.
fn versions(oldest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
    match oldest {
        TlsVersion::Tls12 => &BOTH,
        TlsVersion::Tls13 => &BOTH[..1],
    }
}

/// The version agreed on.
fn version_of(agreed: Option<ProtocolVersion>) -> TlsVersion {
    match agreed {
        Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
        _ => TlsVersion::Tls13,
    }
}

/// The error of TLS inside an error of IO.
fn tls_error(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

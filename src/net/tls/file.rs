//! Certificates, keys and roots from files. Every error names its file and says what to do.

use std::cell::OnceCell;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};

use super::leaf::{self, OwnCertificate};
use super::{provider, trust};
use crate::config::Certificate;

/// Why something for TLS cannot be loaded.
#[derive(Debug)]
pub enum TlsAssetError {
    /// A file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file that is damaged.
    NotPem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A file without a certificate.
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate that is none.
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A file without a private key.
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A key behind a passphrase.
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// A key that is none.
    BadKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Certificate and key are not a pair.
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// No root is good any more.
    ExpiredCa {
        /// The file.
        path: PathBuf,
        /// How long ago.
        days: i64,
    },
    /// The system has no roots.
    NoSystemRoots {
        /// What the search said.
        detail: String,
    },
    /// What was configured does not fit together.
    Unusable(String),
}

impl TlsAssetError {
    /// What is wrong. It names the file.
    pub fn what(&self) -> String {
        use TlsAssetError::*;
        match self {
            Unreadable { path, error } => format!("{}: cannot be read: {error}", path.display()),
            NotPem { path, detail } => format!("{}: not a PEM file that can be read: {detail}", path.display()),
            NoCertificate { path } => format!("{}: there is no certificate in it", path.display()),
            BadCertificate { path, detail } => {
                format!("{}: a certificate in it cannot be used: {detail}", path.display())
            }
            NoKey { path } => format!("{}: there is no private key in it", path.display()),
            EncryptedKey { path } => format!("{}: the private key is encrypted", path.display()),
            BadKey { path, detail } => format!("{}: the private key cannot be used: {detail}", path.display()),
            Mismatch { cert, key } => {
                format!("{}: the key is not that of the certificate {}", key.display(), cert.display())
            }
            ExpiredCa { path, days } => {
                format!("{}: every CA certificate in it has expired, the last one {days} days ago", path.display())
            }
            NoSystemRoots { detail } => format!("no CA certificates were found on this system{detail}"),
            Unusable(what) => what.clone(),
        }
    }

    /// What to do about it; may be empty.
    pub fn advice(&self) -> &'static str {
        use TlsAssetError::*;
        match self {
            Unreadable { error, .. } if error.kind() == io::ErrorKind::NotFound => {
                "check the path: a relative one counts from the folder of the configuration file"
            }
            Unreadable { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
                "the user that Standfast runs as must be allowed to read it"
            }
            Unreadable { .. } => "check the path, and that this process may read it",
            NotPem { .. } => "get the file again from its source",
            NoCertificate { .. } => "a PEM file with `-----BEGIN CERTIFICATE-----` is needed",
            BadCertificate { .. } | BadKey { .. } => "get a new one from its issuer",
            NoKey { .. } => "a PEM file with the key as PKCS#8, PKCS#1 or SEC1 is needed",
            EncryptedKey { .. } => {
                "store it without a passphrase (`openssl pkey -in KEY -out NEW`) and protect the file by its rights"
            }
            Mismatch { .. } => {
                "name the two files that were made together; the certificate itself must stand first in its chain"
            }
            ExpiredCa { .. } => "get the new one from the people who run that CA",
            NoSystemRoots { .. } => "install them (`ca-certificates`), set SSL_CERT_FILE, or name a file by `ca`",
            Unusable(_) => "",
        }
    }

    /// The file that has to be looked at, if it is one.
    pub fn file(&self) -> Option<&Path> {
        use TlsAssetError::*;
        match self {
            Unreadable { path, .. }
            | NotPem { path, .. }
            | NoCertificate { path }
            | BadCertificate { path, .. }
            | NoKey { path }
            | EncryptedKey { path }
            | BadKey { path, .. }
            | ExpiredCa { path, .. }
            | Mismatch { key: path, .. } => Some(path),
            NoSystemRoots { .. } | Unusable(_) => None,
        }
    }
}

/// What is wrong, and behind a `;` what to do.
impl fmt::Display for TlsAssetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what())?;
        match self.advice() {
            "" => Ok(()),
            advice => write!(f, "; {advice}"),
        }
    }
}

impl std::error::Error for TlsAssetError {}

/// One pass over the files of a configuration.
pub struct TlsFileLoader {
    /// Wall-clock time, in seconds since the Unix epoch.
    pub now: i64,
    /// What is no error but should be known.
    pub warnings: Vec<String>,
    system_roots: OnceCell<Arc<RootCertStore>>,
}

impl TlsFileLoader {
    /// At this time (seconds since the Unix epoch).
    pub fn new(now: i64) -> TlsFileLoader {
        TlsFileLoader { now, warnings: Vec::new(), system_roots: OnceCell::new() }
    }

    /// A chain and its key, and what is to be known of its leaf. Whatever went into it is added to `seen`.
    pub(super) fn certified(
        &mut self,
        files: &Certificate,
        seen: &mut Vec<u8>,
    ) -> Result<(CertifiedKey, OwnCertificate), TlsAssetError> {
        let chain = certificates(&files.cert, &self.read(&files.cert, seen)?)?;
        let key = private_key(&files.key, &self.read(&files.key, seen)?)?;
        let bad = |detail| TlsAssetError::BadCertificate { path: files.cert.clone(), detail };
        let leaf = OwnCertificate::read(&files.cert, &chain[0]).map_err(bad)?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsAssetError::Mismatch { cert: files.cert.clone(), key: files.key.clone() }
            }
            rustls::Error::InvalidCertificate(error) => bad(trust::words(&error)),
            error => TlsAssetError::BadKey { path: files.key.clone(), detail: error.to_string() },
        })?;
        if leaf.not_before > self.now {
            self.warnings
                .push(format!("{}: the certificate is not valid yet: is the clock right?", files.cert.display()));
        }
        Ok((certified, leaf))
    }

    /// Looks at a certificate and its key (either may be missing in the configuration): everything that is wrong, and the
    /// certificate when it is good.
    pub fn check_pair(
        &mut self,
        cert: Option<&Path>,
        key: Option<&Path>,
    ) -> (Option<OwnCertificate>, Vec<TlsAssetError>) {
        let chain = cert.map(|path| certificates(path, &self.read(path, &mut Vec::new())?));
        let private = key.map(|path| private_key(path, &self.read(path, &mut Vec::new())?));
        let mut wrong: Vec<_> = chain.and_then(Result::err).into_iter().chain(private.and_then(Result::err)).collect();
        let (Some(cert), Some(key), []) = (cert, key, &wrong[..]) else { return (None, wrong) };
        let files = Certificate { cert: cert.to_owned(), key: key.to_owned() };
        match self.certified(&files, &mut Vec::new()) {
            Ok((_, leaf)) => (Some(leaf), wrong),
            Err(error) => {
                wrong.push(error);
                (None, wrong)
            }
        }
    }

    /// Looks at a file of CAs.
    pub fn check_authorities(&mut self, path: &Path, pins: bool) -> Option<TlsAssetError> {
        self.roots(path, &mut Vec::new(), pins).err()
    }

    /// The certificates of a file, as CAs and as they stand in it. `pins`: those that are no CA are trusted as they stand, and sign
    /// nothing.
    pub(super) fn roots(
        &mut self,
        path: &Path,
        seen: &mut Vec<u8>,
        pins: bool,
    ) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsAssetError> {
        let bad = |detail| TlsAssetError::BadCertificate { path: path.to_owned(), detail };
        let mut store = RootCertStore::empty();
        let (mut expired, mut latest) = (0, i64::MIN);
        let found = certificates(path, &self.read(path, seen)?)?;
        for certificate in &found {
            let not_after = leaf::not_after(certificate).map_err(bad)?;
            expired += usize::from(not_after < self.now);
            latest = latest.max(not_after);
            if !pins || leaf::may_sign(certificate).map_err(bad)? {
                store.add(certificate.clone()).map_err(|error| bad(error.to_string()))?;
            }
        }
        if expired == found.len() {
            return Err(TlsAssetError::ExpiredCa { path: path.to_owned(), days: (self.now - latest) / (24 * 60 * 60) });
        }
        if expired > 0 {
            self.warnings.push(format!(
                "{}: {expired} of {} CA certificates have expired",
                path.display(),
                found.len()
            ));
        }
        Ok((store, found))
    }

    /// The system's roots.
    pub(super) fn system_roots(&self) -> Result<Arc<RootCertStore>, TlsAssetError> {
        if let Some(known) = self.system_roots.get() {
            return Ok(Arc::clone(known));
        }
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            let detail = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
            return Err(TlsAssetError::NoSystemRoots { detail });
        }
        Ok(Arc::clone(self.system_roots.get_or_init(|| Arc::new(store))))
    }

    fn read(&self, path: &Path, seen: &mut Vec<u8>) -> Result<Vec<u8>, TlsAssetError> {
        let bytes = std::fs::read(path).map_err(|error| TlsAssetError::Unreadable { path: path.to_owned(), error })?;
        seen.extend_from_slice(&bytes);
        Ok(bytes)
    }
}

/// All certificates of a PEM text; at least one.
fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsAssetError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(|error| not_pem(path, &error))?;
    if found.is_empty() {
        return Err(TlsAssetError::NoCertificate { path: path.to_owned() });
    }
    Ok(found)
}

fn private_key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsAssetError> {
    match PrivateKeyDer::from_pem_slice(text) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if memchr::memmem::find(text, b"ENCRYPTED PRIVATE KEY").is_some() => {
            Err(TlsAssetError::EncryptedKey { path: path.to_owned() })
        }
        Err(pem::Error::NoItemsFound) => Err(TlsAssetError::NoKey { path: path.to_owned() }),
        Err(error) => Err(not_pem(path, &error)),
    }
}

/// What is wrong, in words of ours: the library's quote the file, which may be a key.
fn not_pem(path: &Path, error: &pem::Error) -> TlsAssetError {
    let detail = match error {
        pem::Error::MissingSectionEnd { .. } => "an `-----END …-----` line is missing",
        pem::Error::IllegalSectionStart { .. } => {
            "a `-----BEGIN …-----` line has something behind it (were its line breaks lost?)"
        }
        pem::Error::Base64Decode(_) => "what stands between BEGIN and END is not base64",
        pem::Error::SectionTooLarge => "a section is too large",
        _ => "nothing in it can be read",
    };
    TlsAssetError::NotPem { path: path.to_owned(), detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a key file looks like when its line breaks were lost on the way, or when it was cut: no byte of it may be said.
    #[test]
    fn a_damaged_key_is_never_quoted() {
        let path = Path::new("/keys/shop.pem");
        for text in [
            "-----BEGIN PRIVATE KEY-----\\nTUlHSEFnRUE=\\n-----END PRIVATE KEY-----\n",
            "-----BEGIN PRIVATE KEY----- TUlHSEFnRUE= -----END PRIVATE KEY-----\n",
            "-----BEGIN TUlHSEFnRUE=-----\nTUlHSEFnRUE=\n",
            "-----BEGIN PRIVATE KEY-----\nTUlHSEFnRUE=\n",
            "-----BEGIN PRIVATE KEY-----\n?TUlHSEFnRUE=\n-----END PRIVATE KEY-----\n",
        ] {
            let said = private_key(path, text.as_bytes()).unwrap_err().to_string();
            assert!(said.contains("/keys/shop.pem"), "{said}");
            // `TUlH` as it stands, and as a list of numbers.
            assert!(!said.contains("TUlH") && !said.contains("84, 85"), "{said}");
        }
    }
}

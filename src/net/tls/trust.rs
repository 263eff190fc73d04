//! Which certificates of endpoints are accepted, and why not, in words.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::{leaf, provider};

/// Verifies certificates by the CAs that are trusted, or by being the very certificate that is trusted (pinning).
///
/// A pinned certificate may be self-signed with or without CA:TRUE, or signed by anything: holding its key is the proof. It has to
/// be in its time, and where it names hosts or addresses (subjectAltName) one of them has to be what is asked for.
#[derive(Debug)]
pub(super) struct TrustedRoots {
    /// `None`: no CA is trusted, only what is pinned.
    pub(super) by_ca: Option<Arc<WebPkiServerVerifier>>,
    /// The certificates of `ca`; empty = the system's roots are trusted.
    pub(super) pinned: Vec<CertificateDer<'static>>,
}

impl TrustedRoots {
    fn by_pin(&self, shown: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), Error> {
        let certificate = leaf::parse(shown).map_err(|_| Error::from(CertificateError::BadEncoding))?;
        let second = |timestamp: i64| UnixTime::since_unix_epoch(Duration::from_secs(timestamp.max(0) as u64));
        let validity = certificate.validity();
        let (not_before, not_after) = (second(validity.not_before.timestamp()), second(validity.not_after.timestamp()));
        if now < not_before {
            return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
        }
        if now > not_after {
            return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
        }
        if !names_anything(&certificate) {
            return Ok(());
        }
        verify_server_name(&ParsedCertificate::try_from(shown)?, name)
    }

    /// What is wrong with a certificate that no CA of ours has signed.
    fn unknown(&self, shown: &CertificateDer<'_>) -> Error {
        let Ok(certificate) = leaf::parse(shown) else { return CertificateError::UnknownIssuer.into() };
        let (trusted, advice) = match self.pinned.is_empty() {
            true => ("one of the system's CAs", "to trust it name it, or the CA that signed it, in `ca`"),
            false => ("in `ca`", "to trust it put it, or the CA that signed it, there"),
        };
        let text = if certificate.issuer() == certificate.subject() {
            format!("it is self-signed, and not {trusted}: {advice}")
        } else {
            let issuer = shown_text(&certificate.issuer().to_string());
            format!("it is signed by `{issuer}`, which is not {trusted}: {advice}")
        };
        CertificateError::Other(OtherError(Arc::new(TrustReason(text)))).into()
    }
}

/// Does it say for which hosts or addresses it is?
fn names_anything(certificate: &X509Certificate<'_>) -> bool {
    let of_a_server = |name: &GeneralName<'_>| matches!(name, GeneralName::DNSName(_) | GeneralName::IPAddress(_));
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return false };
    alternative.value.general_names.iter().any(of_a_server)
}

impl ServerCertVerifier for TrustedRoots {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let by_ca = match &self.by_ca {
            Some(by_ca) => by_ca.verify_server_cert(shown, intermediates, name, ocsp, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        match by_ca {
            Ok(verified) => Ok(verified),
            Err(_) if self.pinned.iter().any(|pinned| pinned == shown) => {
                self.by_pin(shown, name, now).map(|()| ServerCertVerified::assertion())
            }
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => Err(self.unknown(shown)),
            Err(error) => Err(error),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Accepts whatever is shown: only `insecure_skip_verify` builds it. Without a certificate that is known, a signature by its key
/// proves nothing, so that it is not verified either: X.509 version 1, RSA keys of 1024 bits and SHA-1 are taken.
#[derive(Debug)]
pub(super) struct NoVerification;

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = provider().signature_verification_algorithms.supported_schemes();
        schemes.extend([SignatureScheme::ED448, SignatureScheme::RSA_PKCS1_SHA1, SignatureScheme::ECDSA_SHA1_Legacy]);
        schemes
    }
}

/// A reason that the library has no word for.
#[derive(Debug)]
struct TrustReason(String);

impl fmt::Display for TrustReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TrustReason {}

/// The rule that a certificate breaks, as the end of "its certificate is not trusted: …".
pub(super) fn words(reason: &CertificateError) -> String {
    const CLOCK: &str = "or is our clock wrong?";
    match reason {
        CertificateError::NotValidForNameContext { expected, presented } => {
            let asked = expected.to_str();
            let names: Vec<String> = presented.iter().map(|name| plain(name)).collect();
            match names.is_empty() {
                true => format!("it names no host or address (no subjectAltName), asked for `{asked}`"),
                false => format!("it is for {}, asked for `{asked}` (`sni` says what is asked for)", names.join(", ")),
            }
        }
        CertificateError::NotValidForName => "it is for another name".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => format!("it expired on {} ({CLOCK})", day(*not_after)),
        CertificateError::Expired => format!("it has expired ({CLOCK})"),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("it is not valid before {} ({CLOCK})", day(*not_before))
        }
        CertificateError::NotValidYet => format!("it is not valid yet ({CLOCK})"),
        CertificateError::UnknownIssuer => "it is signed by a CA that is not trusted".to_owned(),
        CertificateError::BadEncoding => "it cannot be read: it is damaged, or no X.509 certificate".to_owned(),
        CertificateError::BadSignature => {
            "a signature of it is wrong, or its RSA key has fewer than 2048 bits".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not for servers (its extended key usage lacks serverAuth)".to_owned()
        }
        CertificateError::Revoked => "it was revoked".to_owned(),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its key, or what signed it, is of a kind that is not accepted (such as SHA-1 or RSA below 2048 bits)"
                .to_owned()
        }
        CertificateError::Other(OtherError(other)) => match other.to_string().as_str() {
            "UnsupportedCertVersion" => "it is of X.509 version 1 or 2: version 3 is needed".to_owned(),
            "CaUsedAsEndEntity" => {
                "it is a CA's own certificate (CA:TRUE): to trust it put this very certificate into `ca`".to_owned()
            }
            "EndEntityUsedAsCa" => "what signed it is not a CA (no CA:TRUE)".to_owned(),
            "NameConstraintViolation" => "its CA may not sign for this name".to_owned(),
            "PathLenConstraintViolated" | "MaximumPathDepthExceeded" => {
                "there are more CAs between it and the trusted one than are allowed".to_owned()
            }
            "UnsupportedCriticalExtension" => "it has a critical extension that is not understood".to_owned(),
            text => text.to_owned(),
        },
        other => other.to_string(),
    }
}

/// `DnsName("a.test")`, `IpAddress(10.0.0.1)` as the library writes them → `a.test`, `10.0.0.1` between backquotes.
fn plain(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    format!("`{}`", shown_text(inner.trim_matches('"')))
}

/// A text of a certificate, for a message.
fn shown_text(text: &str) -> String {
    crate::text::shortened(text, 100)
}

/// `2026-11-29`
fn day(time: UnixTime) -> String {
    const END_OF_9999: u64 = 253_402_300_799;
    let time = UNIX_EPOCH + Duration::from_secs(time.as_secs().min(END_OF_9999));
    humantime::format_rfc3339_seconds(time).to_string().chars().take(10).collect()
}

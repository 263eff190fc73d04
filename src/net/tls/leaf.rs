//! The leaf of a certificate chain: its names and its validity.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::x509::X509Version;

/// A certificate of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCertificate {
    /// Its file.
    pub path: PathBuf,
    /// The DNS names it is for, in lower case, wildcards as they stand in it.
    pub names: Vec<String>,
    /// Its last second, in seconds since the Unix epoch.
    pub not_after: i64,
    /// Its first second.
    pub not_before: i64,
}

impl OwnCertificate {
    /// Reads it; the error is for people.
    pub(super) fn read(path: &Path, der: &CertificateDer<'_>) -> Result<OwnCertificate, String> {
        let certificate = parse(der)?;
        Ok(OwnCertificate {
            path: path.to_owned(),
            names: names(&certificate),
            not_after: certificate.validity().not_after.timestamp(),
            not_before: certificate.validity().not_before.timestamp(),
        })
    }

    /// Whole days left at `now` (seconds since the Unix epoch); negative when it has expired.
    pub fn days_left(&self, now: i64) -> i64 {
        (self.not_after - now).div_euclid(24 * 60 * 60)
    }
}

/// The last second of a certificate.
pub(super) fn not_after(der: &CertificateDer<'_>) -> Result<i64, String> {
    Ok(parse(der)?.validity().not_after.timestamp())
}

/// What a login over TLS is bound to (`tls-server-end-point`, RFC 5929, 4.1): the hash of the certificate by the function that its own
/// signature uses, and by SHA-256 where that is MD5 or SHA-1. `None` = its signature has no such function by its name (Ed25519, RSA-PSS).
pub fn end_point_hash(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let certificate = parse(der).ok()?;
    let algorithm = match certificate.signature_algorithm.algorithm.to_id_string().as_str() {
        // RSA with MD5, SHA-1, SHA-256; ECDSA with SHA-1, SHA-256.
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.113549.1.1.11" => &SHA256,
        "1.2.840.10045.4.1" | "1.2.840.10045.4.3.2" => &SHA256,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &SHA384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &SHA512,
        _ => return None,
    };
    Some(digest(algorithm, der).as_ref().to_vec())
}

/// May it have signed others: CA:TRUE, or of a version that could not say so?
pub(super) fn may_sign(der: &CertificateDer<'_>) -> Result<bool, String> {
    let certificate = parse(der)?;
    let constraints = certificate.basic_constraints().map_err(|error| error.to_string())?;
    Ok(constraints.map_or(certificate.version() == X509Version::V1, |constraints| constraints.value.ca))
}

pub(super) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    match x509_parser::parse_x509_certificate(der) {
        Ok((_, certificate)) => Ok(certificate),
        Err(error) => Err(error.to_string()),
    }
}

/// From the subject's alternative names; from its common name only when it has none of them.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    if let Ok(Some(alternative)) = certificate.subject_alternative_name() {
        let dns = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        };
        return alternative.value.general_names.iter().filter_map(dns).collect();
    }
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    common.map(str::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;

    fn leaf(params: CertificateParams) -> OwnCertificate {
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        OwnCertificate::read(Path::new("a.pem"), certificate.der()).unwrap()
    }

    #[test]
    fn alternative_names_count_and_the_common_name_only_without_them() {
        let named = |names: &[&str]| {
            let mut params = CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
            params.distinguished_name.push(DnType::CommonName, "Common.Example");
            leaf(params).names
        };
        assert_eq!(named(&["A.example", "*.B.example", "10.0.0.1"]), ["a.example", "*.b.example"]);
        assert_eq!(named(&["10.0.0.1"]), Vec::<String>::new());
        assert_eq!(named(&[]), ["common.example"]);
    }

    #[test]
    fn the_hash_of_an_end_point_is_that_of_its_own_signature() {
        for (algorithm, length) in
            [(&PKCS_ECDSA_P256_SHA256, Some(32)), (&PKCS_ECDSA_P384_SHA384, Some(48)), (&PKCS_ED25519, None)]
        {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let certificate = CertificateParams::new(vec!["a".to_owned()]).unwrap().self_signed(&key).unwrap();
            assert_eq!(end_point_hash(certificate.der()).map(|hash| hash.len()), length);
        }
        assert_eq!(end_point_hash(&CertificateDer::from_slice(b"none")), None);
    }

    #[test]
    fn the_days_left_are_whole_and_go_below_zero() {
        let mut params = CertificateParams::new(vec!["a".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2030, 1, 3);
        let leaf = leaf(params);
        let day = 24 * 60 * 60;
        assert_eq!(leaf.days_left(leaf.not_after - 2 * day), 2);
        assert_eq!(leaf.days_left(leaf.not_after - 1), 0);
        assert_eq!(leaf.days_left(leaf.not_after + 1), -1);
    }
}

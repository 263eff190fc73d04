//! The certificate for a client: by the server name (SNI) that it asks for, exact names before wildcards; of several for one
//! name the first whose kind of key the client can verify.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificates of a listener by name.
#[derive(Debug, Default)]
pub(super) struct CertificateNames {
    exact: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// By what follows the first label (RFC 6125: a wildcard stands for one whole label).
    wildcard: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// In the order of the configuration.
    all: Vec<Arc<CertifiedKey>>,
    /// Without a match there is no certificate.
    only_known: bool,
}

impl CertificateNames {
    pub(super) fn new(only_known: bool) -> CertificateNames {
        CertificateNames { only_known, ..CertificateNames::default() }
    }

    /// A certificate for these names, in lower case.
    pub(super) fn add(&mut self, names: &[String], key: CertifiedKey) {
        let key = Arc::new(key);
        for name in names {
            let (map, name) = match name.strip_prefix("*.") {
                Some(suffix) => (&mut self.wildcard, suffix),
                None => (&mut self.exact, &**name),
            };
            map.entry(name.into()).or_default().push(Arc::clone(&key));
        }
        self.all.push(key);
    }

    /// Would a client that asks for this name be served?
    pub(super) fn serves(&self, name: Option<&str>) -> bool {
        !self.only_known || name.is_some_and(|name| self.of(&name.to_ascii_lowercase()).is_some())
    }

    fn of(&self, name: &str) -> Option<&[Arc<CertifiedKey>]> {
        let found = self.exact.get(name).or_else(|| self.wildcard.get(name.split_once('.')?.1));
        found.map(Vec::as_slice)
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let named = name.and_then(|name| self.of(&name.to_ascii_lowercase()));
        let candidates = match named {
            Some(named) => named,
            None if self.only_known => return None,
            None => &self.all[..],
        };
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        candidates.iter().find(fits).or_else(|| candidates.first()).cloned()
    }
}

impl ResolvesServerCert for CertificateNames {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
    use rustls::pki_types::PrivatePkcs8KeyDer;

    use super::*;
    use crate::net::tls::provider;

    fn key(algorithm: &'static SignatureAlgorithm) -> CertifiedKey {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::new(vec!["x".to_owned()]).unwrap().self_signed(&key).unwrap();
        let der = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        CertifiedKey::from_der(vec![certificate.der().clone()], der, &provider()).unwrap()
    }

    fn names(only_known: bool, lists: &[&[&str]]) -> CertificateNames {
        let mut names = CertificateNames::new(only_known);
        for list in lists {
            let list: Vec<String> = list.iter().map(|name| (*name).to_owned()).collect();
            names.add(&list, key(&rcgen::PKCS_ECDSA_P256_SHA256));
        }
        names
    }

    fn chosen(names: &CertificateNames, name: Option<&str>) -> Option<usize> {
        let chosen = names.choose(name, &[SignatureScheme::ECDSA_NISTP256_SHA256])?;
        names.all.iter().position(|key| Arc::ptr_eq(key, &chosen))
    }

    #[test]
    fn exact_names_come_before_wildcards_of_one_label() {
        let names = names(false, &[&["first.example"], &["*.shop.example"], &["pay.shop.example"]]);
        assert_eq!(chosen(&names, Some("pay.shop.example")), Some(2));
        assert_eq!(chosen(&names, Some("Cart.Shop.Example")), Some(1));
        for other in ["shop.example", "a.b.shop.example", "other.example", "example"] {
            assert_eq!(chosen(&names, Some(other)), Some(0), "{other}");
        }
        assert_eq!(chosen(&names, None), Some(0));
    }

    #[test]
    fn where_unknown_names_are_refused_nothing_is_shown_for_them() {
        let names = names(true, &[&["a.example", "*.b.example"]]);
        for (name, served) in [("a.example", true), ("x.b.example", true), ("b.example", false), ("c", false)] {
            assert_eq!((names.serves(Some(name)), chosen(&names, Some(name)).is_some()), (served, served), "{name}");
        }
        assert!(!names.serves(None) && chosen(&names, None).is_none());
    }

    #[test]
    fn of_two_certificates_for_one_name_the_client_gets_one_that_it_can_verify() {
        let mut names = CertificateNames::new(false);
        names.add(&["a.example".to_owned()], key(&rcgen::PKCS_ECDSA_P384_SHA384));
        names.add(&["a.example".to_owned()], key(&rcgen::PKCS_ECDSA_P256_SHA256));
        assert_eq!(chosen(&names, Some("a.example")), Some(1));
        let both = [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ECDSA_NISTP384_SHA384];
        assert!(Arc::ptr_eq(&names.choose(Some("a.example"), &both).unwrap(), &names.all[0]));
    }
}

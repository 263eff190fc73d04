//! Checkpoints: Ed25519 signatures over the end of a chain, written as signed notes (C2SP signed-note). A copy of one elsewhere is a
//! witness: everything up to it can no longer be replaced.
//!
//! ```text
//! standfast-audit/edge-1
//! 4711
//! mrFCJ3…=
//!
//! — edge-1 6f3c…=
//! ```
//! The lines are the origin, the number of the last record, and its hash in base 64.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use super::chain::{AuditChain, AuditHash};
use crate::config::is_name;
use crate::digest::{hex, sha256};

/// The algorithm's number in signed notes.
const ED25519_NUMBER: u8 = 1;
/// What the first line of a note begins with.
const ORIGIN: &str = "standfast-audit/";

/// Signs checkpoints. Its name is the instance's.
#[derive(Debug)]
pub struct CheckpointKey {
    name: String,
    pair: Ed25519KeyPair,
}

/// Verifies checkpoints of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointVerifier {
    name: String,
    public: [u8; 32],
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointKeyError {
    /// The text is no private key.
    #[error("not a private key: expected Ed25519 as PKCS #8 in PEM, as `standfast audit key new` writes it")]
    Private,
    /// The text is no public key.
    #[error("not a public key: expected NAME+ID+KEY, as `standfast audit key new` writes it")]
    Public,
    /// The name of the instance cannot stand in a note.
    #[error("the name of the instance must have letters, digits, `-`, `_` and `.` only")]
    Name,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

impl CheckpointKey {
    /// A new key, as PKCS #8 in PEM: the file that only the instance may read.
    pub fn generate() -> Result<String, CheckpointKeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| CheckpointKeyError::NoRandomness)?;
        let document = pair.to_pkcs8v1().map_err(|_| CheckpointKeyError::Private)?;
        let text = STANDARD.encode(document.as_ref());
        Ok(format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"))
    }

    /// Read a private key's PEM.
    pub fn parse(name: &str, pem: &str) -> Result<CheckpointKey, CheckpointKeyError> {
        if !is_name(name) {
            return Err(CheckpointKeyError::Name);
        }
        let document = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| CheckpointKeyError::Private)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document.secret_pkcs8_der());
        let pair = pair.map_err(|_| CheckpointKeyError::Private)?;
        Ok(CheckpointKey { name: name.to_owned(), pair })
    }

    /// The public half.
    pub fn verifier(&self) -> CheckpointVerifier {
        let mut public = [0; 32];
        public.copy_from_slice(self.pair.public_key().as_ref());
        CheckpointVerifier { name: self.name.clone(), public }
    }

    /// The note that signs the end of this chain.
    pub fn sign(&self, chain: &AuditChain) -> String {
        let text = note_text(&self.name, chain);
        let mut signature = self.verifier().id().to_vec();
        signature.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n\u{2014} {} {}\n", self.name, STANDARD.encode(signature))
    }
}

impl CheckpointVerifier {
    /// Read a public key, `NAME+ID+KEY`.
    pub fn parse(text: &str) -> Result<CheckpointVerifier, CheckpointKeyError> {
        let verifier = || {
            let (name, rest) = text.trim().split_once('+')?;
            let (id, key) = rest.split_once('+')?;
            let key = STANDARD.decode(key).ok()?;
            let (number, public) = key.split_first()?;
            let public = <[u8; 32]>::try_from(public).ok().filter(|_| *number == ED25519_NUMBER && is_name(name))?;
            let verifier = CheckpointVerifier { name: name.to_owned(), public };
            (hex(&verifier.id()) == id).then_some(verifier)
        };
        verifier().ok_or(CheckpointKeyError::Public)
    }

    /// The chain's end that this note signs; `None`: it is not signed by this key.
    pub fn verify(&self, note: &str) -> Option<AuditChain> {
        let (text, signatures) = note.split_once("\n\n")?;
        let text = format!("{text}\n");
        let key = UnparsedPublicKey::new(&ED25519, &self.public);
        let is_signed = signatures.lines().any(|line| {
            let parts = line.strip_prefix("\u{2014} ").and_then(|line| line.split_once(' '));
            let Some((name, signature)) = parts else { return false };
            let signature = STANDARD.decode(signature).unwrap_or_default();
            let signature = signature.strip_prefix(&self.id());
            name == self.name && signature.is_some_and(|signature| key.verify(text.as_bytes(), signature).is_ok())
        });
        let mut lines = text.lines();
        let (origin, seq, hash) = (lines.next()?, lines.next()?, lines.next()?);
        let hash: [u8; 32] = STANDARD.decode(hash).ok()?.try_into().ok()?;
        let is_ours = is_signed && lines.next().is_none() && origin.strip_prefix(ORIGIN) == Some(&self.name);
        let head = AuditHash::parse(hex(&hash).as_bytes())?;
        let seq = seq.parse().ok()?;
        is_ours.then_some(AuditChain { seq, head })
    }

    /// The key's number in notes: four bytes of SHA-256 over its name and itself.
    fn id(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = sha256(&[self.name.as_bytes(), &[b'\n', ED25519_NUMBER], &self.public]);
        [a, b, c, d]
    }
}

/// `NAME+ID+KEY`: what is kept elsewhere, and given to `audit verify --key`.
impl std::fmt::Display for CheckpointVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut key = vec![ED25519_NUMBER];
        key.extend_from_slice(&self.public);
        write!(f, "{}+{}+{}", self.name, hex(&self.id()), STANDARD.encode(key))
    }
}

fn note_text(name: &str, chain: &AuditChain) -> String {
    format!("{ORIGIN}{name}\n{}\n{}\n", chain.seq, STANDARD.encode(chain.head.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> CheckpointKey {
        CheckpointKey::parse(name, &CheckpointKey::generate().expect("a key")).expect("its own PEM")
    }

    fn chain() -> AuditChain {
        let mut chain = AuditChain::default();
        chain.append(&serde_json::Map::new()).expect("a line");
        chain
    }

    #[test]
    fn a_note_is_verified_by_the_public_half() {
        let key = key("edge-1");
        let public = CheckpointVerifier::parse(&key.verifier().to_string()).expect("a public key");
        assert_eq!(public.verify(&key.sign(&chain())), Some(chain()));
    }

    #[test]
    fn another_key_another_name_and_another_text_are_not_signed() {
        let (signer, other) = (key("edge-1"), key("edge-1"));
        let note = signer.sign(&chain());
        let public = signer.verifier();
        assert_eq!(other.verifier().verify(&note), None);
        let renamed = CheckpointVerifier { name: "edge-2".to_owned(), ..public.clone() };
        assert_eq!(renamed.verify(&note), None);
        assert_eq!(public.verify(&note.replacen("\n1\n", "\n2\n", 1)), None);
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 2;
            if let Ok(text) = String::from_utf8(bytes) {
                assert_eq!(public.verify(&text).filter(|_| text.trim() != note.trim()), None, "byte {at}");
            }
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let public = key("edge-1").verifier().to_string();
        for text in ["", "a+b+c", &public[1..], &public.replace("edge", "etch"), &format!("{public}A")] {
            assert_eq!(CheckpointVerifier::parse(text), Err(CheckpointKeyError::Public), "{text}");
        }
        for pem in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(matches!(CheckpointKey::parse("a", pem), Err(CheckpointKeyError::Private)), "{pem}");
        }
        let pem = CheckpointKey::generate().expect("a key");
        assert!(matches!(CheckpointKey::parse("a b", &pem), Err(CheckpointKeyError::Name)));
    }
}

//! Bearer tokens: `sft_ID_SECRET`. The secret has 256 random bits; a file keeps its SHA-256 alone. A hash without salt and
//! stretching is enough for a secret that cannot be guessed.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand;

use crate::digest::{from_hex, hex, sha256};

/// What every token begins with: secret scanners know tokens by it.
const PREFIX: &str = "sft_";
/// Characters of an id.
const ID_LENGTH: usize = 10;
/// Characters of a secret: 256 bits in base 32.
const SECRET_LENGTH: usize = 52;
/// Digits of ids and secrets (Crockford's base 32, lower case): none looks like another.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A token as its owner has it. `Debug` does not show the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken {
    id: String,
    secret: String,
}

/// Why a text is no token, or none could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not of the form `sft_ID_SECRET`.
    #[error("not a token: a token has the form sft_ID_SECRET")]
    Malformed,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

/// SHA-256 of a token's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretHash([u8; 32]);

impl BearerToken {
    /// A new one, from the system's random numbers.
    pub fn generate() -> Result<BearerToken, TokenError> {
        let mut bytes = [0; ID_LENGTH + SECRET_LENGTH];
        rand::fill(&mut bytes).map_err(|_| TokenError::NoRandomness)?;
        // Each byte gives five bits: 256 is a multiple of 32, so that every digit is equally likely.
        let text: String = bytes.iter().map(|byte| char::from(DIGITS[usize::from(*byte) % DIGITS.len()])).collect();
        let (id, secret) = text.split_at(ID_LENGTH);
        Ok(BearerToken { id: id.to_owned(), secret: secret.to_owned() })
    }

    /// Read one, as it stands in a header or a file. Surrounding white space is ignored.
    pub fn parse(text: &str) -> Result<BearerToken, TokenError> {
        let parts = text.trim().strip_prefix(PREFIX).and_then(|rest| rest.split_once('_'));
        match parts {
            Some((id, secret)) if is_id(id) && is_digits(secret, SECRET_LENGTH) => {
                Ok(BearerToken { id: id.to_owned(), secret: secret.to_owned() })
            }
            _ => Err(TokenError::Malformed),
        }
    }

    /// Its public part: it names the token in files, logs and the audit log.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The whole text, secret included. It is shown once, to its owner.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}_{}", self.id, self.secret)
    }

    /// What a file keeps of it.
    pub fn secret_hash(&self) -> SecretHash {
        SecretHash(sha256(&[self.secret.as_bytes()]))
    }
}

impl std::fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BearerToken").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SecretHash {
    /// Read 64 hexadecimal digits, of either case.
    pub fn parse(text: &str) -> Option<SecretHash> {
        from_hex(text.to_ascii_lowercase().as_bytes()).map(SecretHash)
    }

    /// As 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }

    /// Is it the same? In a time that does not depend on where they differ.
    pub fn is_same(&self, other: &SecretHash) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

/// Can this be the id of a token?
pub fn is_id(text: &str) -> bool {
    is_digits(text, ID_LENGTH)
}

fn is_digits(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| DIGITS.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_is_read_as_it_is_written() {
        let token = BearerToken::generate().expect("random numbers");
        let text = token.reveal();
        assert_eq!((text.len(), BearerToken::parse(&format!(" {text}\n"))), (4 + 10 + 1 + 52, Ok(token.clone())));
        assert!(!format!("{token:?}").contains(&token.secret));
        assert!(token.secret_hash().is_same(&SecretHash::parse(&token.secret_hash().to_hex()).expect("a hash")));
    }

    #[test]
    fn two_tokens_have_nothing_in_common() {
        let (one, other) = (BearerToken::generate().expect("one"), BearerToken::generate().expect("another"));
        assert!(one.id != other.id && one.secret != other.secret);
        assert!(!one.secret_hash().is_same(&other.secret_hash()));
    }

    #[test]
    fn the_hash_is_sha_256_of_the_secret() {
        let token = BearerToken::parse(&format!("sft_0123456789_{}", "a".repeat(52))).expect("a token");
        // printf 'a%.0s' {1..52} | sha256sum
        let known = "6c1b3dc7a706b9dc81352a6716b9c666c608d8626272c64b914ab05572fc6e84";
        assert_eq!(token.secret_hash().to_hex(), known);
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let secret = "0".repeat(52);
        for text in [
            String::new(),
            "sft_".to_owned(),
            format!("sft_0123456789{secret}"),
            format!("sft_012345678_{secret}"),
            format!("sft_0123456789_{secret}0"),
            format!("sft_012345678i_{secret}"),
            format!("SFT_0123456789_{secret}"),
            format!("sft_0123456789_{secret}_x"),
        ] {
            assert_eq!(BearerToken::parse(&text), Err(TokenError::Malformed), "{text}");
        }
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for text in ["", "12", &"g".repeat(64), &"0".repeat(63), &"0".repeat(65), &"é".repeat(32)] {
            assert!(SecretHash::parse(text).is_none(), "{text}");
        }
    }
}

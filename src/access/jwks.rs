//! [`KeySet`]: the public keys of an issuer (a JWK set, RFC 7517). A key that no accepted algorithm can use is left out; a set
//! without a single usable key is refused.

use std::ops::RangeInclusive;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::json_object::JsonObject;
use crate::text::shortened;

/// Bytes of the largest set that is read.
pub const LARGEST_SET: usize = 256 << 10;
/// Keys of the largest set.
const MOST_KEYS: usize = 64;
/// Keys that one token is tried with: several may have one `kid`, and a token may have none.
const MOST_TRIED: usize = 16;
/// Bits of the modulus of an RSA key.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;
/// Bytes of the largest public exponent of an RSA key.
const EXPONENT: usize = 4;

/// An algorithm of signatures that is accepted. Each needs another type of key, so that none can be taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// RSA (PKCS #1 v1.5) with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// EdDSA with Ed25519.
    EdDsa,
}

impl SignatureAlgorithm {
    /// All of them.
    pub const ALL: [SignatureAlgorithm; 3] =
        [SignatureAlgorithm::Rs256, SignatureAlgorithm::Es256, SignatureAlgorithm::EdDsa];

    /// Its name in `alg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            SignatureAlgorithm::Rs256 => "RS256",
            SignatureAlgorithm::Es256 => "ES256",
            SignatureAlgorithm::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of this name.
    pub fn parse(name: &str) -> Option<SignatureAlgorithm> {
        SignatureAlgorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// Keys that signatures are verified with.
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Vec<VerificationKey>,
    left_out: Vec<String>,
}

#[derive(Clone, Debug)]
struct VerificationKey {
    id: Option<String>,
    algorithm: SignatureAlgorithm,
    key: ParsedPublicKey,
}

/// What a signature comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureVerdict {
    /// One of the keys has made it.
    Good,
    /// No key has this id and can be used with this algorithm.
    UnknownKey,
    /// The keys that it could be of have not made it.
    Bad,
}

/// Why a text is no usable set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is too large.
    #[error("it is larger than {LARGEST_SET} bytes")]
    TooLarge,
    /// It is no set of keys.
    #[error("it is no JWK set: {0}")]
    NoSet(String),
    /// It has too many keys.
    #[error("it has {0} keys, and {MOST_KEYS} at most are read")]
    TooMany(usize),
    /// A private key is in it: everyone who reads the set can sign.
    #[error("key {0} is a private key: everyone who can read it can make tokens")]
    PrivateKey(usize),
    /// None of its keys can be used.
    #[error("it has no key for RS256, ES256 or EdDSA{}", reasons(.0))]
    NoKey(Vec<String>),
}

fn reasons(left_out: &[String]) -> String {
    const SAID: usize = 4;
    let said: Vec<&str> = left_out.iter().take(SAID).map(String::as_str).collect();
    if said.is_empty() { String::new() } else { format!(" ({})", said.join("; ")) }
}

#[derive(Deserialize)]
struct WrittenSet {
    keys: Vec<JsonObject>,
}

impl KeySet {
    /// Read one.
    pub fn parse(json: &[u8]) -> Result<KeySet, KeySetError> {
        if json.len() > LARGEST_SET {
            return Err(KeySetError::TooLarge);
        }
        let set: WrittenSet =
            serde_json::from_slice(json).map_err(|error| KeySetError::NoSet(shortened(&error.to_string(), 200)))?;
        if set.keys.len() > MOST_KEYS {
            return Err(KeySetError::TooMany(set.keys.len()));
        }
        let (mut keys, mut left_out) = (Vec::new(), Vec::new());
        for (number, written) in (1..).zip(&set.keys) {
            if written.get("d").is_some() {
                return Err(KeySetError::PrivateKey(number));
            }
            match verification_key(written) {
                Ok(key) => keys.push(key),
                Err(reason) => left_out.push(format!("key {number}: {reason}")),
            }
        }
        if keys.is_empty() { Err(KeySetError::NoKey(left_out)) } else { Ok(KeySet { keys, left_out }) }
    }

    /// One without keys: its issuer has withdrawn all of them.
    pub fn withdrawn(left_out: Vec<String>) -> KeySet {
        KeySet { keys: Vec::new(), left_out }
    }

    /// How many keys it has that can be used.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// The keys that cannot be used, and why.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Has a key of this set made the signature? With an id only keys of this id are tried.
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        id: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> SignatureVerdict {
        let is_meant =
            |key: &&VerificationKey| key.algorithm == algorithm && id.is_none_or(|id| key.id.as_deref() == Some(id));
        let mut verdict = SignatureVerdict::UnknownKey;
        for key in self.keys.iter().filter(is_meant).take(MOST_TRIED) {
            if key.key.verify_sig(message, signature).is_ok() {
                return SignatureVerdict::Good;
            }
            verdict = SignatureVerdict::Bad;
        }
        verdict
    }
}

/// A key by its members. `Err`: why it is left out.
fn verification_key(written: &JsonObject) -> Result<VerificationKey, String> {
    let id = written.optional_text("kid").map_err(|()| "its `kid` is no text")?.map(str::to_owned);
    let kind = (written.text("kty").unwrap_or_default(), written.text("crv").unwrap_or_default());
    let algorithm = match kind {
        ("RSA", _) => SignatureAlgorithm::Rs256,
        ("EC", "P-256") => SignatureAlgorithm::Es256,
        ("OKP", "Ed25519") => SignatureAlgorithm::EdDsa,
        (kty, "") => return Err(format!("its type `{}` is none that is used", shortened(kty, 20))),
        (_, crv) => return Err(format!("its curve `{}` is none that is used", shortened(crv, 20))),
    };
    let named = written.optional_text("alg").map_err(|()| "its `alg` is no text")?;
    if let Some(named) = named.filter(|named| *named != algorithm.as_str()) {
        return Err(format!("it is for `{}`", shortened(named, 20)));
    }
    if written.get("use").is_some_and(|usage| usage != "sig") {
        return Err("it is not for signatures".to_owned());
    }
    let may_verify = |operations: &serde_json::Value| {
        operations.as_array().is_some_and(|operations| operations.iter().any(|operation| operation == "verify"))
    };
    if !written.get("key_ops").is_none_or(may_verify) {
        return Err("it is not for verifying".to_owned());
    }
    let key = match algorithm {
        SignatureAlgorithm::Rs256 => rsa_key(written)?,
        SignatureAlgorithm::Es256 => {
            let (x, y) = (fixed::<32>(written, "x")?, fixed::<32>(written, "y")?);
            let point = [&[4][..], &x, &y].concat();
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .map_err(|_| "`x` and `y` are no point of the curve")?
        }
        SignatureAlgorithm::EdDsa => {
            ParsedPublicKey::new(&ED25519, fixed::<32>(written, "x")?).map_err(|_| "`x` is no key")?
        }
    };
    Ok(VerificationKey { id, algorithm, key })
}

fn rsa_key(written: &JsonObject) -> Result<ParsedPublicKey, String> {
    let (n, e) = (number(written, "n")?, number(written, "e")?);
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err(format!("it has {bits} bits, and {} to {} are taken", RSA_BITS.start(), RSA_BITS.end()));
    }
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    if !is_odd(&n) || !is_odd(&e) || e.len() > EXPONENT || e == [1] {
        return Err("`n` and `e` are no RSA key".to_owned());
    }
    let unusable = || "`n` and `e` are no RSA key".to_owned();
    let der = PublicKeyComponents { n, e }.as_der().map_err(|_| unusable())?;
    ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der.as_ref()).map_err(|_| unusable())
}

/// A number without leading zeros.
fn number(written: &JsonObject, name: &str) -> Result<Vec<u8>, String> {
    let bytes = decoded(written, name)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Ok(bytes[zeros..].to_vec())
}

fn fixed<const N: usize>(written: &JsonObject, name: &str) -> Result<[u8; N], String> {
    decoded(written, name)?.try_into().map_err(|_| format!("`{name}` has not {N} bytes"))
}

fn decoded(written: &JsonObject, name: &str) -> Result<Vec<u8>, String> {
    let text = written.text(name).ok_or_else(|| format!("`{name}` is missing"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("`{name}` is not base64url"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7515, A.2 and A.3; RFC 8037, A.2: keys, and what they signed.
    const RSA: &str = r#"{"kty": "RSA", "kid": "rsa", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#;
    const EC: &str = r#"{"kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig", "alg": "ES256", "key_ops": ["verify"], "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    const OKP: &str = r#"{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const BY_RSA: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    const BY_EC: &str = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    const BY_OKP: &str = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

    fn set(keys: &[&str]) -> Result<KeySet, KeySetError> {
        KeySet::parse(format!("{{\"keys\": [{}], \"more\": 1}}", keys.join(",")).as_bytes())
    }

    fn verdict(
        set: &KeySet,
        algorithm: SignatureAlgorithm,
        id: Option<&str>,
        signed: &str,
        by: &str,
    ) -> SignatureVerdict {
        set.verify(algorithm, id, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(by).expect("base64url"))
    }

    #[test]
    fn the_examples_of_the_standards_are_verified() {
        let set = set(&[RSA, EC, OKP]).expect("a set");
        let by_rsa = format!("eyJhbGciOiJSUzI1NiJ9.{JOE}");
        let by_ec = format!("eyJhbGciOiJFUzI1NiJ9.{JOE}");
        let by_okp = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".to_owned();
        for (algorithm, id, signed, by) in [
            (SignatureAlgorithm::Rs256, Some("rsa"), &by_rsa, BY_RSA),
            (SignatureAlgorithm::Es256, Some("ec"), &by_ec, BY_EC),
            (SignatureAlgorithm::EdDsa, None, &by_okp, BY_OKP),
        ] {
            let tried = |id, signed: &str| verdict(&set, algorithm, id, signed, by);
            assert_eq!(tried(id, signed), SignatureVerdict::Good, "{algorithm:?}");
            assert_eq!(tried(None, signed), SignatureVerdict::Good, "{algorithm:?}: every key of the type is tried");
            assert_eq!(tried(id, &signed[1..]), SignatureVerdict::Bad, "{algorithm:?}");
            assert_eq!(tried(Some("other"), signed), SignatureVerdict::UnknownKey, "{algorithm:?}");
        }
        // A key of another type is not tried, whatever its id.
        assert_eq!(
            verdict(&set, SignatureAlgorithm::Es256, Some("rsa"), &by_rsa, BY_RSA),
            SignatureVerdict::UnknownKey
        );
    }

    #[test]
    fn a_key_that_cannot_be_used_is_left_out_and_the_others_stay() {
        let left_out = [
            (RSA.replace("ofgWCu", "AAAAAA"), "key 2: it has 2010 bits"),
            (RSA.replace("AQAB", "AQ"), "no RSA key"),
            (RSA.replace("AQAB", "AQAA"), "no RSA key"),
            (RSA.replace("XpoQ", "XpoQ="), "`n` is not base64url"),
            (RSA.replace("\"e\"", "\"f\""), "`e` is missing"),
            (RSA.replace("\"kid\"", "\"alg\": \"PS256\", \"kid\""), "it is for `PS256`"),
            (EC.replace("f83OJ", "f83OK"), "no point of the curve"),
            (EC.replace("f83OJ", "83OJ"), "`x` "),
            (EC.replace("P-256", "P-384"), "its curve `P-384`"),
            (EC.replace("\"sig\"", "\"enc\""), "not for signatures"),
            (EC.replace("[\"verify\"]", "[\"encrypt\"]"), "not for verifying"),
            (EC.replace("\"ec\"", "7"), "its `kid` is no text"),
            (OKP.replace("11qY", ""), "`x` has not 32 bytes"),
            (r#"{"kty": "oct", "k": "c2VjcmV0"}"#.to_owned(), "its type `oct`"),
            ("{}".to_owned(), "its type ``"),
        ];
        for (key, reason) in left_out {
            let set = set(&[EC, &key]).expect("a set");
            assert!(set.count() == 1 && set.left_out()[0].contains(reason), "{key}: {:?}", set.left_out());
        }
    }

    #[test]
    fn a_set_that_is_none_is_refused() {
        assert!(matches!(set(&[]), Err(KeySetError::NoKey(_))));
        assert!(set(&["{}"]).unwrap_err().to_string().contains("(key 1: its type `` is none that is used)"));
        assert_eq!(set(&[EC, &EC.replace("\"x\"", "\"d\": \"AA\", \"x\"")]).unwrap_err(), KeySetError::PrivateKey(2));
        assert_eq!(set(&[OKP; 65]).unwrap_err(), KeySetError::TooMany(65));
        assert_eq!(set(&[OKP; 64]).map(|set| set.count()), Ok(64));
        assert_eq!(KeySet::parse(&vec![b' '; LARGEST_SET + 1]).unwrap_err(), KeySetError::TooLarge);
        for text in ["", "[]", "{}", "{\"keys\": {}}", "{\"keys\": [1]}", "{\"keys\": [], \"keys\": []}", "<html>"] {
            assert!(matches!(KeySet::parse(text.as_bytes()), Err(KeySetError::NoSet(_))), "{text}");
        }
        let twice = EC.replace("\"x\"", "\"y\": \"AA\", \"x\"");
        assert!(set(&[&twice]).unwrap_err().to_string().contains("`y` stands twice"));
    }
}

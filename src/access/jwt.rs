//! JSON web tokens of workload identities (RFC 7519, as signed by RFC 7515): [`UnverifiedJwt`] is what a text says, [`verify`]
//! whether it is believed. Pure: the time is an argument.
//!
//! What a token says of keys (`jku`, `jwk`, `x5u`, `x5c`) is not looked at: keys are those of its issuer's set alone.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::json_object::JsonObject;
use super::jwks::{KeySet, SignatureAlgorithm, SignatureVerdict};
use super::jwt_issuer::JwtIssuer;
use super::permit::Grant;
use crate::text::{is_command, shortened};

/// Bytes of the longest token that is read.
pub const LONGEST_TOKEN: usize = 8 << 10;
/// Bytes of the longest subject: it is shown whole, so that no two have one name on the record.
pub const LONGEST_SUBJECT: usize = 256;
/// How far the clocks of the issuer and of this machine may be apart.
const LEEWAY: Duration = Duration::from_secs(60);
/// Types of tokens that are taken where `typ` names one.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "jose"];

/// A token that was read and not verified.
#[derive(Clone, Debug)]
pub struct UnverifiedJwt<'t> {
    algorithm: SignatureAlgorithm,
    key_id: Option<String>,
    /// Header and claims, as they were signed.
    signed: &'t str,
    signature: Vec<u8>,
    issuer: String,
    claims: JsonObject,
}

/// A token that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtIdentity {
    /// Its subject.
    pub subject: String,
    /// What this subject may do.
    pub grant: Grant,
}

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtFault {
    /// It is no token, or one that cannot be understood.
    #[error("the token is malformed: {0}")]
    Malformed(String),
    /// It is not signed, or not by an algorithm that is accepted.
    #[error("the algorithm `{0}` of the token is not accepted")]
    Algorithm(String),
    /// Its issuer is none of the configuration.
    #[error("the issuer `{0}` of the token is unknown")]
    UnknownIssuer(String),
    /// Its issuer has no key that it could be signed with.
    #[error("the token is signed with a key that its issuer's key set does not have")]
    UnknownKey,
    /// Its issuer has not signed it.
    #[error("the signature of the token is wrong")]
    BadSignature,
    /// It is for others.
    #[error("the token is for another audience")]
    WrongAudience,
    /// Its time is over.
    #[error("the token of `{subject}` has expired")]
    Expired {
        /// Its subject.
        subject: String,
    },
    /// Its time has not come.
    #[error("the token of `{subject}` is not valid yet")]
    NotYetValid {
        /// Its subject.
        subject: String,
    },
    /// Its subject may do nothing here.
    #[error("the subject `{subject}` has no role")]
    NoRole {
        /// The subject.
        subject: String,
    },
}

impl JwtFault {
    /// The subject, where the signature shows that the issuer says so.
    pub fn subject(&self) -> Option<&str> {
        match self {
            JwtFault::Expired { subject } | JwtFault::NotYetValid { subject } | JwtFault::NoRole { subject } => {
                Some(subject)
            }
            _ => None,
        }
    }
}

fn malformed(what: impl Into<String>) -> JwtFault {
    JwtFault::Malformed(what.into())
}

/// Has it the form of a token: three parts? Nothing of them is looked at.
pub fn is_jwt(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() == 2
}

impl<'t> UnverifiedJwt<'t> {
    /// Read one, as it stands in a header. Surrounding white space is ignored.
    pub fn parse(text: &'t str) -> Result<UnverifiedJwt<'t>, JwtFault> {
        let text = text.trim();
        if text.len() > LONGEST_TOKEN {
            return Err(malformed(format!("it is longer than {LONGEST_TOKEN} bytes")));
        }
        let parts =
            || text.rsplit_once('.').and_then(|(signed, signature)| Some((signed, signed.split_once('.')?, signature)));
        let Some((signed, (header, claims), signature)) = parts().filter(|_| is_jwt(text)) else {
            return Err(malformed("it has not three parts"));
        };
        let decoded = |part: &str, name: &str| {
            URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed(format!("its {name} is not base64url")))
        };
        let object = |part: &str, name: &str| {
            let wrong =
                |error: serde_json::Error| malformed(format!("its {name}: {}", shortened(&error.to_string(), 120)));
            JsonObject::parse(&decoded(part, name)?).map_err(wrong)
        };
        let header = object(header, "header")?;
        let (algorithm, key_id) = checked_header(&header)?;
        let claims = object(claims, "claims")?;
        let issuer = claims.text("iss").ok_or_else(|| malformed("`iss` is missing"))?.to_owned();
        let signature = decoded(signature, "signature")?;
        Ok(UnverifiedJwt { algorithm, key_id, signed, signature, issuer, claims })
    }

    /// The issuer that it names. Nothing shows yet that it is of this issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
}

/// The algorithm and the key that a header names.
fn checked_header(header: &JsonObject) -> Result<(SignatureAlgorithm, Option<String>), JwtFault> {
    let named = header.text("alg").ok_or_else(|| malformed("`alg` is missing"))?;
    let algorithm = SignatureAlgorithm::parse(named).ok_or_else(|| JwtFault::Algorithm(shortened(named, 20)))?;
    if header.get("crit").is_some() {
        return Err(malformed("it has an extension (`crit`) that must be understood"));
    }
    let of_type = header.optional_text("typ").map_err(|()| malformed("`typ` is no text"))?;
    if let Some(named) = of_type {
        let bare = named.to_ascii_lowercase();
        if !TYPES.contains(&bare.strip_prefix("application/").unwrap_or(&bare)) {
            return Err(malformed(format!("its type `{}` is not that of an identity", shortened(named, 40))));
        }
    }
    let key_id = header.optional_text("kid").map_err(|()| malformed("`kid` is no text"))?;
    Ok((algorithm, key_id.map(str::to_owned)))
}

/// Is this token of this issuer, in its time, for us, and of a subject that has a role? Claims are looked at behind the signature:
/// what is said of them before proves nothing.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(
    token: &UnverifiedJwt<'_>,
    issuer: &JwtIssuer,
    keys: &KeySet,
    now: SystemTime,
) -> Result<JwtIdentity, JwtFault> {
    if token.issuer != issuer.issuer {
        return Err(JwtFault::UnknownIssuer(shortened(&token.issuer, 80)));
    }
    match keys.verify(token.algorithm, token.key_id.as_deref(), token.signed.as_bytes(), &token.signature) {
        SignatureVerdict::Good => {}
        SignatureVerdict::UnknownKey => return Err(JwtFault::UnknownKey),
        SignatureVerdict::Bad => return Err(JwtFault::BadSignature),
    }
    let claims = &token.claims;
    if !is_audience(claims.get("aud"), &issuer.audience)? {
        return Err(JwtFault::WrongAudience);
    }
    let subject = claims.text("sub").ok_or_else(|| malformed("`sub` is missing"))?;
    if subject.is_empty() || subject.len() > LONGEST_SUBJECT || subject.contains(is_command) {
        return Err(malformed(format!("`sub` is not a line of 1 to {LONGEST_SUBJECT} bytes")));
    }
    let subject = subject.to_owned();
    let expires = time(claims, "exp")?.ok_or_else(|| malformed("`exp` is missing"))?;
    if now >= expires + LEEWAY {
        return Err(JwtFault::Expired { subject });
    }
    if time(claims, "nbf")?.is_some_and(|begins| now + LEEWAY < begins) {
        return Err(JwtFault::NotYetValid { subject });
    }
    match issuer.grant(&subject).cloned() {
        Some(grant) => Ok(JwtIdentity { subject, grant }),
        None => Err(JwtFault::NoRole { subject }),
    }
}

/// Is this one of those that the token is for? `aud` is one text or a list of them.
fn is_audience(claim: Option<&Value>, audience: &str) -> Result<bool, JwtFault> {
    match claim {
        None => Err(malformed("`aud` is missing")),
        Some(Value::String(only)) => Ok(only == audience),
        Some(Value::Array(list)) if list.iter().all(Value::is_string) => Ok(list.iter().any(|one| one == audience)),
        Some(_) => Err(malformed("`aud` is neither a text nor a list of texts")),
    }
}

/// A time in seconds since 1970, with or without a fraction.
fn time(claims: &JsonObject, name: &str) -> Result<Option<SystemTime>, JwtFault> {
    // The end of the year 9999.
    const LAST: f64 = 253_402_300_799.0;
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..=LAST).contains(seconds));
    let seconds = seconds.ok_or_else(|| malformed(format!("`{name}` is not a time in seconds")))?;
    Ok(Some(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds)))
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;

//! [`CredentialStore`]: the credentials of the admin port, the tokens of a file and JSON web tokens of issuers.

use std::borrow::Cow;
use std::net::IpAddr;

use super::caller::{Caller, jwt_actor};
use super::jwt::{JwtRefusal, JwtStore};
use super::token_store::{ShownToken, TokenStore};
use crate::access::jwt::is_jwt;
use crate::access::{BearerToken, JwtFault};
use crate::decision::Actor;

/// Credentials in force.
#[derive(Debug, Default)]
pub(super) struct CredentialStore {
    /// `None`: there are no tokens.
    pub tokens: Option<TokenStore>,
    /// `None`: there are no issuers.
    pub jwt: Option<JwtStore>,
}

/// What is wrong with a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CredentialFault {
    /// There is none.
    Missing,
    /// It is none of this instance.
    Unknown,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It cannot be told now.
    NotVerifiable,
}

/// Why a credential is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CredentialRefusal {
    pub fault: CredentialFault,
    /// What is wrong, for people.
    pub detail: Cow<'static, str>,
    /// What to do.
    pub advice: &'static str,
    /// What it proves of its sender all the same.
    pub actor: Option<Actor>,
}

impl CredentialStore {
    /// Are there none at all?
    pub fn is_empty(&self) -> bool {
        self.tokens.is_none() && self.jwt.is_none()
    }

    /// Looks at what was shown as a bearer token. Cancel safe.
    pub async fn verify(&self, text: &str, source: IpAddr) -> Result<Caller, CredentialRefusal> {
        if let Some(jwt) = self.jwt.as_ref().filter(|_| is_jwt(text)) {
            let verified = jwt.verify(text).await;
            return verified
                .map(|identity| Caller::with_jwt(identity, source))
                .map_err(|refusal| jwt_refusal(&refusal, source));
        }
        let verified = match (&self.tokens, BearerToken::parse(text)) {
            (Some(tokens), Ok(token)) => tokens.verify(&token).await,
            _ => ShownToken::Unknown,
        };
        match verified {
            ShownToken::Good(entry) => Ok(Caller::with_token(&entry, source)),
            ShownToken::Expired(entry) => Err(CredentialRefusal {
                fault: CredentialFault::Expired,
                detail: "the token has expired".into(),
                advice: "`standfast token create` makes another one",
                actor: Some(Caller::with_token(&entry, source).actor),
            }),
            ShownToken::Unknown => Err(CredentialRefusal {
                fault: CredentialFault::Unknown,
                detail: "the token is none of this instance".into(),
                advice: "`standfast token list` shows the tokens of a file",
                actor: None,
            }),
        }
    }
}

fn jwt_refusal(refusal: &JwtRefusal, source: IpAddr) -> CredentialRefusal {
    let fault = match refusal {
        JwtRefusal::Fault(fault) => fault,
        JwtRefusal::NoKeys { issuer } => {
            return CredentialRefusal {
                fault: CredentialFault::NotVerifiable,
                detail: format!("the keys of the issuer `{issuer}` could not be fetched yet").into(),
                advice: "send it again later; `standfast status` says what is wrong with `jwks_url`",
                actor: None,
            };
        }
    };
    let (kind, advice) = match fault {
        JwtFault::Malformed(_) => (CredentialFault::Unknown, "send the token as its issuer gave it"),
        JwtFault::Algorithm(_) => (CredentialFault::Unknown, "RS256, ES256 and EdDSA are accepted"),
        JwtFault::UnknownIssuer(_) => (CredentialFault::Unknown, "`admin.jwt` names the issuers that are trusted"),
        JwtFault::UnknownKey => (CredentialFault::Unknown, "`jwks_url` or `jwks_file` has the keys of the issuer"),
        JwtFault::BadSignature => (CredentialFault::Unknown, "ask the issuer for another token"),
        JwtFault::WrongAudience => {
            (CredentialFault::Unknown, "ask for a token whose `aud` is the `audience` of the issuer")
        }
        JwtFault::Expired { .. } => (CredentialFault::Expired, "ask the issuer for another token"),
        JwtFault::NotYetValid { .. } => {
            (CredentialFault::NotYetValid, "wait until then, and compare the clocks of both machines")
        }
        JwtFault::NoRole { .. } => (CredentialFault::Unknown, "`subjects` of the issuer in `admin.jwt` gives roles"),
    };
    let actor = fault.subject().map(|subject| jwt_actor(subject, source));
    CredentialRefusal { fault: kind, detail: fault.to_string().into(), advice, actor }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_subject_where_the_signature_was_good() {
        let source = IpAddr::from([192, 0, 2, 1]);
        let subject = || "ci:deploy".to_owned();
        for (fault, kind, has_actor) in [
            (JwtFault::Malformed("x".to_owned()), CredentialFault::Unknown, false),
            (JwtFault::BadSignature, CredentialFault::Unknown, false),
            (JwtFault::WrongAudience, CredentialFault::Unknown, false),
            (JwtFault::Expired { subject: subject() }, CredentialFault::Expired, true),
            (JwtFault::NotYetValid { subject: subject() }, CredentialFault::NotYetValid, true),
            (JwtFault::NoRole { subject: subject() }, CredentialFault::Unknown, true),
        ] {
            let refusal = jwt_refusal(&JwtRefusal::Fault(fault.clone()), source);
            assert_eq!((refusal.fault, refusal.actor.is_some()), (kind, has_actor), "{fault:?}");
            assert_eq!(refusal.detail, fault.to_string());
            assert!(refusal.actor.is_none_or(|actor| actor.name == "ci:deploy"));
        }
    }
}

//! JSON web tokens of workload identities on the admin port.
//!
//! * [`JwtStore`]: the issuers that are trusted, with their keys;
//! * [`fetched_keys`]: keys at an address; [`refresh`]: when it is asked; [`fetch`]: how.
mod fetch;
mod fetched_keys;
mod refresh;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use self::fetched_keys::FetchedKeys;
use super::watched_file::{WatchedContent, WatchedFile};
use crate::access::jwt::verify;
use crate::access::{Grant, JwtFault, JwtIdentity, JwtIssuer, KeySet, ServiceScope, UnverifiedJwt};
use crate::config::{AdminJwt, AdminJwtSubject, JwksSource};
use crate::control::StandingTroubles;
use crate::control::credential_file::FileVersion;
use crate::control::jwks::{self, KeySetReadError, ReadKeySet};
use crate::sys::clock;
use crate::text::shortened;

/// How often a file is looked at although no token asks for it, so that the status shows what is wrong with it.
const LOOK: Duration = Duration::from_secs(10);

/// All issuers that are trusted.
#[derive(Debug)]
pub(super) struct JwtStore {
    issuers: Vec<Arc<TrustedIssuer>>,
}

/// One issuer.
#[derive(Debug)]
struct TrustedIssuer {
    rules: JwtIssuer,
    keys: IssuerKeys,
    troubles: StandingTroubles,
}

#[derive(Debug)]
enum IssuerKeys {
    File(WatchedFile<KeySet>),
    Url(FetchedKeys),
}

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JwtRefusal {
    /// Something is wrong with it.
    Fault(JwtFault),
    /// It cannot be told: the keys of its issuer could not be fetched yet.
    NoKeys {
        /// Its issuer.
        issuer: String,
    },
}

impl From<JwtFault> for JwtRefusal {
    fn from(fault: JwtFault) -> JwtRefusal {
        JwtRefusal::Fault(fault)
    }
}

impl JwtStore {
    /// Reads the files of keys. Blocks. Addresses are not asked yet.
    pub fn open(issuers: &[AdminJwt], troubles: &StandingTroubles) -> Result<JwtStore, KeySetReadError> {
        let issuer = |written: &AdminJwt| {
            let keys = match &written.keys {
                JwksSource::File(path) => IssuerKeys::File(WatchedFile::open(path)?),
                JwksSource::Url(url) => IssuerKeys::Url(FetchedKeys::new(url.clone())),
            };
            Ok(Arc::new(TrustedIssuer { rules: rules(written), keys, troubles: troubles.clone() }))
        };
        issuers.iter().map(issuer).collect::<Result<_, _>>().map(|issuers| JwtStore { issuers })
    }

    /// Keeps the keys of every issuer fresh, on the runtime that this is called on.
    pub fn keep_fresh(&self) {
        for issuer in &self.issuers {
            tokio::spawn(Arc::clone(issuer).keep_fresh());
        }
    }

    /// Looks at a token, and at the keys of its issuer first where that is due. Cancel safe.
    pub async fn verify(&self, text: &str) -> Result<JwtIdentity, JwtRefusal> {
        let token = UnverifiedJwt::parse(text)?;
        let issuer = self.issuers.iter().find(|issuer| issuer.rules.issuer == token.issuer());
        let issuer = issuer.ok_or_else(|| JwtFault::UnknownIssuer(shortened(token.issuer(), 80)))?;
        let mut identity = issuer.verify(&token).await?;
        if self.issuers.len() > 1 {
            // Two issuers may know one subject.
            identity.subject = format!("{} ({})", identity.subject, issuer.rules.issuer);
        }
        Ok(identity)
    }
}

impl TrustedIssuer {
    async fn verify(&self, token: &UnverifiedJwt<'_>) -> Result<JwtIdentity, JwtRefusal> {
        let verify = |keys: &KeySet| verify(token, &self.rules, keys, clock::wall_time());
        match &self.keys {
            IssuerKeys::File(file) => Ok(verify(&*file.current().await)?),
            IssuerKeys::Url(fetched) => {
                let before = fetched.current();
                let result = before.as_deref().map(verify);
                if !matches!(result, None | Some(Err(JwtFault::UnknownKey))) {
                    return result.unwrap_or(Err(JwtFault::UnknownKey)).map_err(JwtRefusal::from);
                }
                // The issuer may have another key by now.
                fetched.refresh().await;
                match fetched.current() {
                    Some(keys) => Ok(verify(&keys)?),
                    None => Err(JwtRefusal::NoKeys { issuer: self.rules.issuer.clone() }),
                }
            }
        }
    }

    async fn keep_fresh(self: Arc<Self>) {
        let about = format!("jwt {}", self.rules.issuer);
        let tell = |trouble: Option<String>| {
            let trouble = trouble.map(|trouble| format!("the keys of {}: {trouble}", self.rules.issuer));
            self.troubles.set(&about, trouble);
        };
        match &self.keys {
            IssuerKeys::Url(fetched) => fetched.keep_fresh(&self.rules.issuer, tell).await,
            IssuerKeys::File(file) => loop {
                file.current().await;
                tell(file.trouble().map(|trouble| format!("{trouble}; those of before stay in force")));
                tokio::time::sleep(LOOK).await;
            },
        }
    }
}

/// What the configuration says of an issuer.
fn rules(written: &AdminJwt) -> JwtIssuer {
    let subject = |written: &AdminJwtSubject| {
        // The configuration has looked at the patterns; one that is none covers nothing.
        let services = ServiceScope::parse(written.services.iter().map(String::as_str));
        let services = services.ok()?;
        Some((written.subject.clone(), Grant { role: written.role.into(), services }))
    };
    JwtIssuer {
        issuer: written.issuer.clone(),
        audience: written.audience.clone(),
        subjects: written.subjects.iter().filter_map(subject).collect(),
    }
}

impl WatchedContent for KeySet {
    type Error = KeySetReadError;
    const KEPT: &'static str = "the keys of before";

    fn read(path: &Path) -> Result<(KeySet, FileVersion), KeySetReadError> {
        jwks::read(path).map(|ReadKeySet { keys, version }| (keys, version))
    }

    fn is_refused(error: &KeySetReadError) -> bool {
        !matches!(error, KeySetReadError::Unreadable { .. })
    }

    fn advice(error: &KeySetReadError) -> String {
        error.advice()
    }

    fn tell_read(&self, path: &Path) {
        tracing::info!(path = %path.display(), keys = self.count(), "the key set was read again");
    }

    fn warn(&self, path: &Path) {
        for left_out in self.left_out() {
            tracing::warn!(path = %path.display(), "{left_out}: tokens that are signed with it are refused");
        }
    }
}

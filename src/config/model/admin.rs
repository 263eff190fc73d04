//! `admin:` and `metrics:`

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::tls::ListenerTls;
use crate::config::Bind;

/// The admin port and its unix socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Admin {
    /// Where to listen; `None` = on the unix socket alone.
    pub bind: Option<Bind>,
    /// A unix socket; its users are known by the kernel.
    #[serde(default)]
    pub socket: Option<AdminSocket>,
    /// The file that lists bearer tokens; `None` = there are none.
    #[serde(default)]
    pub tokens_file: Option<PathBuf>,
    /// Issuers of JSON web tokens; empty = there are none.
    #[serde(default)]
    pub jwt: Vec<AdminJwt>,
    /// TLS on `bind`.
    #[serde(default)]
    pub tls: Option<ListenerTls>,
    /// Names that requests may have as their host, in lower case. Addresses and `localhost` always may.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Requests without a credential may read, from everywhere.
    #[serde(default)]
    pub anonymous_viewer: bool,
    /// Acts need a reason.
    #[serde(default)]
    pub reasons: Reasons,
}

/// On this address, everything else left out.
impl From<Bind> for Admin {
    fn from(bind: Bind) -> Admin {
        Admin {
            bind: Some(bind),
            socket: None,
            tokens_file: None,
            jwt: Vec::new(),
            tls: None,
            hosts: Vec::new(),
            anonymous_viewer: false,
            reasons: Reasons::default(),
        }
    }
}

/// A unix socket for the users of this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminSocket {
    /// Where it stands.
    pub path: PathBuf,
    /// Its permissions: who may connect.
    pub mode: u32,
    /// Its group, by name or number; `None` = the process's.
    pub group: Option<String>,
    /// The role of users other than root and the process's own.
    pub role: AdminRole,
}

/// An issuer of JSON web tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminJwt {
    /// As `iss` says it. No two have the same.
    pub issuer: String,
    /// One of `aud` must be this.
    pub audience: String,
    /// Where its keys are.
    pub keys: JwksSource,
    /// At least one; no pattern twice.
    pub subjects: Vec<AdminJwtSubject>,
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JwksSource {
    /// In a file; it is read again when it changes.
    File(PathBuf),
    /// At an address that is asked from time to time.
    Url(JwksUrl),
}

/// An address of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwksUrl {
    /// `https`, or `http` of this host.
    pub url: String,
    /// Trusted certificate authorities: a PEM file; `None` = the system's roots.
    pub ca: Option<PathBuf>,
}

/// What a subject may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminJwtSubject {
    /// The subjects.
    pub subject: SubjectPattern,
    /// Their role.
    pub role: AdminRole,
    /// On these services: names, beginnings as `shop-*`, or `*`.
    pub services: Vec<String>,
}

/// Subjects of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectPattern {
    /// This one.
    Exact(String),
    /// All that begin so.
    Prefix(String),
}

impl SubjectPattern {
    /// A subject, or its beginning with `*` behind it. `None`: it is neither. A beginning ends with `:` or `/` and has two
    /// parts: `repo:acme*` would be the repositories of `acme-evil` too, and `repo:*` or `spiffe://*` all that the issuer knows.
    pub fn parse(text: &str) -> Option<SubjectPattern> {
        const SEPARATORS: [char; 2] = [':', '/'];
        let prefix = text.strip_suffix('*');
        let bare = prefix.unwrap_or(text);
        if bare.is_empty() || bare.contains('*') || bare.contains(crate::text::is_command) {
            return None;
        }
        match prefix {
            None => Some(SubjectPattern::Exact(text.to_owned())),
            Some(prefix)
                if prefix.ends_with(SEPARATORS)
                    && prefix.split(SEPARATORS).filter(|part| !part.is_empty()).count() >= 2 =>
            {
                Some(SubjectPattern::Prefix(prefix.to_owned()))
            }
            Some(_) => None,
        }
    }

    /// Is this one of them?
    pub fn matches(&self, subject: &str) -> bool {
        match self {
            SubjectPattern::Exact(exact) => exact == subject,
            SubjectPattern::Prefix(prefix) => subject.starts_with(prefix.as_str()),
        }
    }
}

/// As the configuration writes it.
impl std::fmt::Display for SubjectPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SubjectPattern::Exact(exact) => f.write_str(exact),
            SubjectPattern::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

/// A role, as the configuration writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminRole {
    /// Reads the state.
    Viewer,
    /// Starts and stops drills.
    Drill,
    /// Commands services.
    Operator,
    /// May do everything.
    Admin,
}

impl AdminRole {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            AdminRole::Viewer => "viewer",
            AdminRole::Drill => "drill",
            AdminRole::Operator => "operator",
            AdminRole::Admin => "admin",
        }
    }
}

/// Must an act say why?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reasons {
    /// One without a reason is refused.
    #[default]
    Required,
    /// It may.
    Optional,
}

/// How much `/metrics` tells of each endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricsDetail {
    /// Everything.
    #[default]
    Full,
    /// Its standing, its exchanges and its connections in use; the rest is summed up by pool.
    Lean,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_subjects_are_not_wider_than_they_look() {
        for text in ["ci", "repo:acme/shop:ref:refs/heads/main", "repo:acme/*", "repo:acme/shop:*", "spiffe://acme/*"] {
            assert_eq!(SubjectPattern::parse(text).map(|pattern| pattern.to_string()).as_deref(), Some(text));
        }
        for text in [
            "",
            "*",
            "**",
            "repo:*",
            "spiffe://*",
            "://*",
            "::*",
            "repo:acme*",
            "repo:acme/shop*",
            "*:main",
            "a:*:b",
            "a:b:**",
            "ci\n",
        ] {
            assert_eq!(SubjectPattern::parse(text), None, "{text}");
        }
    }
}

//! [`AdminGate`]: what every request of the admin port has to pass before a route sees it: the host that it is for, the page that
//! sends it, and its credential.
//!
//! **A good credential is never limited.** It is verified first; only failing ones are counted, by source, and after some in a minute
//! answered with 429 and a closed connection. So one client cannot lock out others behind the same address.

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::caller::Caller;
use super::credentials::{CredentialFault, CredentialRefusal, CredentialStore};
use super::problem::Problem;
use crate::access::{Denied, FailureLimit, FailureTable, Right, authorise_right};
use crate::control::audit::{AuditHandle, Denial};
use crate::decision::Actor;
use crate::sys::clock;
use crate::text::shortened;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    /// By TCP, from this address.
    Network(IpAddr),
    /// A user of this host, by the unix socket.
    Local(Caller),
}

/// The rules of one admin port.
#[derive(Debug)]
pub(super) struct AdminGate {
    /// Names that requests may be for, in lower case.
    pub hosts: Vec<String>,
    /// Without a credential requests may read.
    pub anonymous_viewer: bool,
    /// Credentials in force.
    pub credentials: CredentialStore,
    /// Failing credentials of the last minute.
    pub failures: RefCell<FailureTable>,
    /// Where refusals are on record; `None` = there is no audit log.
    pub audit: Option<AuditHandle>,
}

/// Does this path answer to any host, with any credential and with none? Probes and scrapers know no more than the address.
pub(super) fn is_open(path: &str) -> bool {
    matches!(path, "/metrics" | "/livez" | "/readyz" | "/health") || path.starts_with("/health/")
}

/// Is it a path of the API?
fn is_api(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/")
}

impl AdminGate {
    /// Lets a request in, with its [`Caller`] in its extensions, or answers it.
    pub async fn admit(&self, peer: &Peer, request: &mut Parts) -> Result<(), Response> {
        let path = request.uri.path();
        if is_open(path) {
            return Ok(());
        }
        if matches!(peer, Peer::Network(_)) {
            self.check_host(request).map_err(Problem::into_response)?;
        }
        let is_read = matches!(request.method, Method::GET | Method::HEAD);
        if !is_read && is_cross_origin(&request.headers) {
            let detail = "this request comes from a page of another origin";
            let problem = Problem::new(StatusCode::FORBIDDEN, "cross_origin", detail)
                .advice("acts come from programs, or from pages of this port");
            return Err(problem.into_response());
        }
        let caller = match peer {
            Peer::Local(caller) => caller.clone(),
            Peer::Network(source) => self.identify(*source, &request.headers, is_api(path)).await?,
        };
        // Routes of the API ask for the right that each of them needs.
        if !is_api(path) {
            authorise_right(&caller.grants, Right::ReadState, None).map_err(|denied| {
                if let Some(source) = caller.source {
                    self.record(source, Some(&caller.actor), &denied.to_string());
                }
                forbidden(&denied).into_response()
            })?;
        }
        request.extensions.insert(caller);
        Ok(())
    }

    /// A page of a foreign name that leads to this address (DNS rebinding) is of another origin, and the browser does not know it.
    fn check_host(&self, request: &Parts) -> Result<(), Problem> {
        let mut named = request.headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or(""));
        let by_target = request.uri.authority().map(|authority| authority.as_str());
        let first = named.next();
        let wrong = named.chain(first).chain(by_target).find(|host| !self.is_own_host(host));
        let detail = match (first, wrong) {
            (None, None) if by_target.is_none() => "this request does not say for which host it is".to_owned(),
            (_, Some(host)) => format!("this request is for the host `{}`", shortened(host, 80)),
            (_, None) => return Ok(()),
        };
        let problem = Problem::new(StatusCode::MISDIRECTED_REQUEST, "wrong_host", detail);
        Err(problem.advice("ask by address or as localhost, or add the name to `admin.hosts`"))
    }

    /// Is this value of Host an address, `localhost`, or a name of the configuration? The port is not looked at.
    fn is_own_host(&self, host: &str) -> bool {
        if let Some((address, port)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            return address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || is_port(port));
        }
        let name = match host.find(':') {
            Some(at) if is_port(&host[at..]) => &host[..at],
            Some(_) => return false,
            None => host,
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_it = |own: &str| own.eq_ignore_ascii_case(name);
        name.parse::<Ipv4Addr>().is_ok() || is_it("localhost") || self.hosts.iter().any(|own| is_it(own))
    }

    /// A refusal is in the audit log: of each source once a second at most.
    fn record(&self, source: IpAddr, actor: Option<&Actor>, what: &str) {
        if let Some(audit) = &self.audit {
            audit.denied(&Denial { source: &source.to_string(), actor, what, service: None });
        }
    }

    /// The sender of a request that came by TCP.
    async fn identify(&self, source: IpAddr, headers: &HeaderMap, is_api: bool) -> Result<Caller, Response> {
        let shown = bearer(headers);
        if self.credentials.is_empty() {
            // Pages are open, and the API to readers on this host.
            let is_open = !is_api || self.anonymous_viewer || source.to_canonical().is_loopback();
            return match is_open {
                true => Ok(Caller::anonymous(source)),
                false if shown.is_some() => Err(unauthorised(&REFUSED_UNKNOWN)),
                false => Err(unauthorised(&missing(NO_CREDENTIALS))),
            };
        }
        let text = match shown {
            Some(text) => text,
            None if self.anonymous_viewer => return Ok(Caller::anonymous(source)),
            None => return Err(unauthorised(&missing(SEND_ONE))),
        };
        let refusal = match self.credentials.verify(text, source).await {
            Ok(caller) => return Ok(caller),
            Err(refusal) => refusal,
        };
        if refusal.fault == CredentialFault::NotVerifiable {
            // It may be a good one: no failure of its sender.
            return Err(not_verifiable(&refusal));
        }
        self.record(source, refusal.actor.as_ref(), &refusal.detail);
        match self.failures.borrow_mut().failed(source, clock::now()) {
            FailureLimit::Answered => Err(unauthorised(&refusal)),
            FailureLimit::Limited { retry_after } => Err(limited(retry_after.as_secs() + 1)),
        }
    }
}

const NO_CREDENTIALS: &str = "this instance has no credentials: set `admin.tokens_file` or `admin.jwt`, or `admin.anonymous: viewer` for reading, or ask on its own host";
const SEND_ONE: &str = "send `Authorization: Bearer` with a token: `sft_…`, or a JSON web token";
/// Seconds after which keys that could not be fetched are asked for again.
const KEYS_AGAIN: u64 = 30;

/// A credential where there can be none.
const REFUSED_UNKNOWN: CredentialRefusal = CredentialRefusal {
    fault: CredentialFault::Unknown,
    detail: Cow::Borrowed("the token is none of this instance"),
    advice: NO_CREDENTIALS,
    actor: None,
};

fn missing(advice: &'static str) -> CredentialRefusal {
    let detail = "this needs a credential, and there is none".into();
    CredentialRefusal { fault: CredentialFault::Missing, detail, advice, actor: None }
}

/// The token that is shown; another scheme is none. Of several fields none is believed.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let (first, more) = (fields.next()?, fields.next().is_some());
    let (scheme, token) = first.to_str().ok()?.trim().split_once(' ').unwrap_or_default();
    match (scheme.eq_ignore_ascii_case("bearer"), more) {
        (true, false) => Some(token),
        (_, true) => Some(""),
        (false, false) => None,
    }
}

/// A browser says so of every request that a page sends.
fn is_cross_origin(headers: &HeaderMap) -> bool {
    headers.get_all("sec-fetch-site").iter().any(|site| site != "same-origin" && site != "none")
}

/// `:9901`
fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
}

/// 403, with the role that would be enough.
pub(super) fn forbidden(denied: &Denied) -> Problem {
    let advice = format!("use a credential with the role {}", denied.needs.as_str());
    Problem::new(StatusCode::FORBIDDEN, "not_allowed", denied.to_string()).advice(advice)
}

fn unauthorised(refusal: &CredentialRefusal) -> Response {
    const INVALID: &str = "Bearer error=\"invalid_token\"";
    let (code, challenge) = match refusal.fault {
        CredentialFault::Missing => ("credential_missing", "Bearer"),
        CredentialFault::Unknown | CredentialFault::NotVerifiable => ("credential_unknown", INVALID),
        CredentialFault::Expired => ("credential_expired", INVALID),
        CredentialFault::NotYetValid => ("credential_not_yet_valid", INVALID),
    };
    let problem = Problem::new(StatusCode::UNAUTHORIZED, code, &*refusal.detail).advice(refusal.advice);
    let mut response = problem.into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

/// The credential may be good or not: it cannot be told now.
fn not_verifiable(refusal: &CredentialRefusal) -> Response {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "credential_not_verifiable", &*refusal.detail);
    let mut response = problem.advice(refusal.advice).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(KEYS_AGAIN));
    response
}

/// Too many failing credentials: the connection is closed behind the answer.
fn limited(seconds: u64) -> Response {
    let detail = "too many credentials from this address have failed";
    let advice = format!("a good one is taken at any time; failing ones are answered again in {seconds} s");
    let mut response =
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", detail).advice(advice).into_response();
    let fields = response.headers_mut();
    fields.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> AdminGate {
        let hosts = vec!["standfast.internal".to_owned()];
        AdminGate {
            hosts,
            anonymous_viewer: false,
            credentials: CredentialStore::default(),
            failures: RefCell::default(),
            audit: None,
        }
    }

    #[test]
    fn hosts_are_addresses_localhost_and_names_of_the_configuration() {
        let gate = gate();
        for host in [
            "127.0.0.1",
            "127.0.0.1:9901",
            "[::1]",
            "[::1]:9901",
            "localhost",
            "LocalHost:1",
            "localhost.",
            "standfast.internal",
            "Standfast.Internal:9901",
            "10.0.0.5:443",
        ] {
            assert!(gate.is_own_host(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:9901",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "[::1",
            "::1",
            "[evil]",
            "localhost:x",
            "localhost:1:2",
            "127.0.0.1@evil.example",
            "a.standfast.internal",
            "2130706433",
        ] {
            assert!(!gate.is_own_host(host), "{host}");
        }
    }

    #[test]
    fn what_answers_to_everybody() {
        for path in ["/metrics", "/livez", "/readyz", "/health", "/health/shop", "/health/shop/eu"] {
            assert!(is_open(path), "{path}");
        }
        for path in ["/", "/status", "/v1/status", "/healthz", "/metrics/", "/livez/x", "//metrics"] {
            assert!(!is_open(path), "{path}");
        }
        assert!(is_api("/v1") && is_api("/v1/status") && !is_api("/v10") && !is_api("/V1/status"));
    }

    #[test]
    fn the_token_is_that_of_the_only_field() {
        let fields = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("authorization", HeaderValue::from_static(value));
            }
            headers
        };
        assert_eq!(bearer(&fields(&["Bearer sft_a"])), Some("sft_a"));
        assert_eq!(bearer(&fields(&["bearer  sft_a "])), Some(" sft_a"));
        assert_eq!(bearer(&fields(&["Basic YTpi"])), None);
        assert_eq!(bearer(&fields(&["Bearer"])), None);
        assert_eq!(bearer(&fields(&["Bearer sft_a", "Bearer sft_b"])), Some(""));
    }

    #[test]
    fn pages_of_other_origins_are_told_by_the_browser() {
        let fields = |site: &'static str| {
            HeaderMap::from_iter([("sec-fetch-site".parse().unwrap(), HeaderValue::from_static(site))])
        };
        assert!(!is_cross_origin(&HeaderMap::new()));
        assert!(!is_cross_origin(&fields("same-origin")) && !is_cross_origin(&fields("none")));
        assert!(is_cross_origin(&fields("cross-site")) && is_cross_origin(&fields("same-site")));
    }
}

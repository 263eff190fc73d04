//! `balance:`

use super::diagnostics::Diagnostics;
use super::header;
use crate::config::defaults;
use crate::config::model::{BalancePolicy, Protocol};
use crate::config::schema;
use crate::config::spanned::Spanned;
use crate::config::tree::shorten;

pub(super) fn balance(
    diagnostics: &mut Diagnostics,
    item: &Spanned<schema::BalancePolicy>,
    protocol: Protocol,
) -> BalancePolicy {
    let Some((at, typed)) = item.found() else { return defaults::BALANCE };
    match typed {
        schema::BalancePolicy::RoundRobin => BalancePolicy::RoundRobin,
        schema::BalancePolicy::LeastRequest => BalancePolicy::LeastRequest,
        schema::BalancePolicy::Random => BalancePolicy::Random,
        schema::BalancePolicy::Hash(None) => BalancePolicy::HashSource,
        schema::BalancePolicy::Hash(Some(by)) => {
            let of_http = match by {
                schema::HashBy::Source => None,
                schema::HashBy::Header(_) => Some("headers"),
                schema::HashBy::Cookie(_) => Some("cookies"),
                schema::HashBy::Query(_) => Some("queries"),
            };
            if let (Protocol::Tcp, Some(what)) = (protocol, of_http) {
                diagnostics.problem(at, format!("a tcp service sees no {what}"), "write `balance: {hash: source}`");
            }
            hash_by(diagnostics, by).unwrap_or(BalancePolicy::HashSource)
        }
    }
}

fn hash_by(diagnostics: &mut Diagnostics, by: &schema::HashBy) -> Option<BalancePolicy> {
    match by {
        schema::HashBy::Source => Some(BalancePolicy::HashSource),
        schema::HashBy::Header(name) => {
            let (at, name) = name.found()?;
            header::name(diagnostics, at, name, false).map(|name| BalancePolicy::HashHeader(name.to_lowercase()))
        }
        schema::HashBy::Cookie(name) => {
            let (at, name) = name.found()?;
            // (RFC 6265 §4.1.1: a token, as the name of a field is.)
            if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                let what = format!("`{}` is not the name of a cookie", shorten(name));
                diagnostics.problem(at, what, "letters, digits, `-` and `_`, such as `session_id`");
                return None;
            }
            Some(BalancePolicy::HashCookie(name.clone()))
        }
        schema::HashBy::Query(name) => {
            let (at, name) = name.found()?;
            if name.is_empty() || name.contains(['&', '=', '?', '#']) {
                let what = format!("`{}` is not the name of a parameter", shorten(name));
                diagnostics.problem(at, what, "write it as it is decoded, without `?` and `=`, such as `user`");
                return None;
            }
            Some(BalancePolicy::HashQuery(name.clone()))
        }
    }
}

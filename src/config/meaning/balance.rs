//! `balance:`

use super::diagnostics::Diagnostics;
use super::header;
use crate::config::defaults;
use crate::config::model::{Balance, Protocol};
use crate::config::schema;
use crate::config::spanned::Spanned;
use crate::config::tree::shorten;

pub(super) fn balance(diagnostics: &mut Diagnostics, item: &Spanned<schema::Balance>, protocol: Protocol) -> Balance {
    let Some((at, typed)) = item.found() else { return defaults::BALANCE };
    match typed {
        schema::Balance::RoundRobin => Balance::RoundRobin,
        schema::Balance::LeastRequest => Balance::LeastRequest,
        schema::Balance::Random => Balance::Random,
        schema::Balance::Hash(None) => Balance::HashSource,
        schema::Balance::Hash(Some(by)) => {
            let of_http = match by {
                schema::HashBy::Source => None,
                schema::HashBy::Header(_) => Some("headers"),
                schema::HashBy::Cookie(_) => Some("cookies"),
                schema::HashBy::Query(_) => Some("queries"),
            };
            if let (Protocol::Tcp, Some(what)) = (protocol, of_http) {
                diagnostics.problem(at, format!("a tcp service sees no {what}"), "write `balance: {hash: source}`");
            }
            hash_by(diagnostics, by).unwrap_or(Balance::HashSource)
        }
    }
}

fn hash_by(diagnostics: &mut Diagnostics, by: &schema::HashBy) -> Option<Balance> {
    match by {
        schema::HashBy::Source => Some(Balance::HashSource),
        schema::HashBy::Header(name) => {
            let (at, name) = name.found()?;
            header::name(diagnostics, at, name, false).map(|name| Balance::HashHeader(name.to_lowercase()))
        }
        schema::HashBy::Cookie(name) => {
            let (at, name) = name.found()?;
            // (RFC 6265 §4.1.1: a token, as the name of a field is.)
            if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                let what = format!("`{}` is not the name of a cookie", shorten(name));
                diagnostics.problem(at, what, "letters, digits, `-` and `_`, such as `session_id`");
                return None;
            }
            Some(Balance::HashCookie(name.clone()))
        }
        schema::HashBy::Query(name) => {
            let (at, name) = name.found()?;
            if name.is_empty() || name.contains(['&', '=', '?', '#']) {
                let what = format!("`{}` is not the name of a parameter", shorten(name));
                diagnostics.problem(at, what, "write it as it is decoded, without `?` and `=`, such as `user`");
                return None;
            }
            Some(Balance::HashQuery(name.clone()))
        }
    }
}

//! `balance:`

use serde::Deserialize;

use crate::config::spanned::Spanned;

/// `balance:` — `hash` alone is `hash: source`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum BalancePolicy {
    RoundRobin,
    LeastRequest,
    Random,
    Hash(Option<HashBy>),
}

/// `balance.hash`
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum HashBy {
    Source,
    Header(Spanned<String>),
    Cookie(Spanned<String>),
    Query(Spanned<String>),
}

//! `balance:`

use serde_yaml::Value;

use crate::config::model::Balance;

pub(super) fn balance(balance: &Balance) -> Value {
    match balance {
        Balance::RoundRobin => "round_robin".into(),
        Balance::LeastRequest => "least_request".into(),
        Balance::Random => "random".into(),
        Balance::HashSource => map! { "hash" => "source" },
        Balance::HashHeader(name) => map! { "hash" => map! { "header" => name.as_str() } },
        Balance::HashCookie(name) => map! { "hash" => map! { "cookie" => name.as_str() } },
        Balance::HashQuery(name) => map! { "hash" => map! { "query" => name.as_str() } },
    }
}

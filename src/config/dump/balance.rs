//! `balance:`

use serde_yaml::Value;

use crate::config::model::BalancePolicy;

pub(super) fn balance(balance: &BalancePolicy) -> Value {
    match balance {
        BalancePolicy::RoundRobin => "round_robin".into(),
        BalancePolicy::LeastRequest => "least_request".into(),
        BalancePolicy::Random => "random".into(),
        BalancePolicy::HashSource => map! { "hash" => "source" },
        BalancePolicy::HashHeader(name) => map! { "hash" => map! { "header" => name.as_str() } },
        BalancePolicy::HashCookie(name) => map! { "hash" => map! { "cookie" => name.as_str() } },
        BalancePolicy::HashQuery(name) => map! { "hash" => map! { "query" => name.as_str() } },
    }
}

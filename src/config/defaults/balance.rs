//! `balance:`

use crate::config::model::BalancePolicy;

/// Two choices by requests in flight: near the best at any load, and a slow endpoint gets less by itself.
pub const BALANCE: BalancePolicy = BalancePolicy::LeastRequest;

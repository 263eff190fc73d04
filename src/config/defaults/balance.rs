//! `balance:`

use crate::config::model::Balance;

/// Two choices by requests in flight: near the best at any load, and a slow endpoint gets less by itself.
pub const BALANCE: Balance = Balance::LeastRequest;

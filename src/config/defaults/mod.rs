//! Every default of the configuration, each with its reason. Nothing else in the project knows one.

mod admin;
mod audit;
mod balance;
mod check;
mod dns;
mod endpoint;
mod failover;
mod file;
mod journal;
mod listener;
mod logs;
mod outlier;
mod patience;
mod protocol;
mod retry;
mod route;
mod service;
mod state;
mod static_response;
mod tls;

use std::time::Duration;

pub use self::admin::*;
pub use self::audit::*;
pub use self::balance::*;
pub use self::check::*;
pub use self::dns::*;
pub use self::endpoint::*;
pub use self::failover::*;
pub use self::file::*;
pub use self::journal::*;
pub use self::listener::*;
pub use self::logs::*;
pub use self::outlier::*;
pub use self::patience::*;
pub use self::protocol::*;
pub use self::retry::*;
pub use self::route::*;
pub use self::service::*;
pub use self::state::*;
pub use self::static_response::*;
pub use self::tls::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

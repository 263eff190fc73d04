//! The configuration with every default filled in. Every value here is valid by construction of the
//! reader in this room; nothing below re-checks it.

mod admin;
mod balance;
mod check;
mod dns;
mod endpoint;
mod failover;
mod file;
mod listener;
mod logs;
mod names;
mod outlier;
mod patience;
mod pool;
mod protocol;
mod retry;
mod route;
mod secret;
mod service;
mod state;
mod static_response;
mod tls;
mod upstream;

pub use self::admin::*;
pub use self::balance::*;
pub use self::check::*;
pub use self::dns::*;
pub use self::endpoint::*;
pub use self::failover::*;
pub use self::file::*;
pub use self::listener::*;
pub use self::logs::*;
pub use self::names::*;
pub use self::outlier::*;
pub use self::patience::*;
pub use self::pool::*;
pub use self::protocol::*;
pub use self::retry::*;
pub use self::route::*;
pub use self::secret::*;
pub use self::service::*;
pub use self::state::*;
pub use self::static_response::*;
pub use self::tls::*;
pub use self::upstream::*;

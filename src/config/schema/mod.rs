//! What was typed: every key of `standfast.yaml`, its notation and its short forms. No defaults and no meaning in here: a
//! key that is absent stays absent. What a key means is said once, at the type of [`Config`](super::Config) that it fills.
//!
//! A field of type [`ReservedKey`](super::spanned::ReservedKey) is a key whose name is fixed by the design and whose function is not built:
//! it is refused.

#[macro_use]
mod macros;

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
mod pool;
mod protocol;
mod retry;
mod route;
mod service;
mod state;
mod static_response;
mod tls;
mod upstream;
mod webhook;

use super::units::RangedCount;

pub(super) use self::admin::*;
pub(super) use self::audit::*;
pub(super) use self::balance::*;
pub(super) use self::check::*;
pub(super) use self::dns::*;
pub(super) use self::endpoint::*;
pub(super) use self::failover::*;
pub(super) use self::file::*;
pub(super) use self::journal::*;
pub(super) use self::listener::*;
pub(super) use self::logs::*;
pub(super) use self::outlier::*;
pub(super) use self::pool::*;
pub(super) use self::protocol::*;
pub(super) use self::retry::*;
pub(super) use self::route::*;
pub(super) use self::service::*;
pub(super) use self::state::*;
pub(super) use self::static_response::*;
pub(super) use self::tls::*;
pub(super) use self::upstream::*;
pub(super) use self::webhook::*;

/// Any number of things that we hold in memory or count.
pub(super) type LargeCount = RangedCount<1, 10_000_000>;
/// A TCP port.
pub(super) type PortNumber = RangedCount<1, 65_535>;

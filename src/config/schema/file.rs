//! The keys of the file itself.

use super::admin::{Admin, Metrics};
use super::dns::Dns;
use super::listener::Listener;
use super::logs::{AccessLog, Log};
use super::service::Service;
use super::state::State;
use crate::config::spanned::{NamedEntries, OffOr, ReservedKey, Shorthand, Spanned};
use crate::config::units::{RangedCount, TypedDuration};

map! { /// The whole file.
File {
    workers: RangedCount<1, 1024>,
    drain_timeout: TypedDuration,
    admin: OffOr<Shorthand<Admin>>,
    metrics: Shorthand<Metrics>,
    state: OffOr<Shorthand<State>>,
    log: Shorthand<Log>,
    access_log: OffOr<Shorthand<AccessLog>>,
    listeners: Vec<Spanned<Listener>>,
    services: NamedEntries<Service>,
    dns: Dns,
    audit: ReservedKey,
    webhooks: ReservedKey,
    fleet: ReservedKey,
}}

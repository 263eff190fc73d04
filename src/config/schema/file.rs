//! The keys of the file itself.

use super::admin::{Admin, Metrics};
use super::audit::Audit;
use super::dns::Dns;
use super::journal::Journal;
use super::listener::Listener;
use super::logs::{AccessLog, Log};
use super::service::Service;
use super::state::State;
use crate::config::spanned::{NamedEntries, OffOr, ReservedKey, ShorthandMap, Spanned};
use crate::config::units::{RangedCount, TypedDuration};

map! { /// The whole file.
File {
    instance: String,
    workers: RangedCount<1, 1024>,
    drain_timeout: TypedDuration,
    admin: OffOr<ShorthandMap<Admin>>,
    metrics: ShorthandMap<Metrics>,
    state: OffOr<ShorthandMap<State>>,
    journal: OffOr<ShorthandMap<Journal>>,
    audit: OffOr<ShorthandMap<Audit>>,
    log: ShorthandMap<Log>,
    access_log: OffOr<ShorthandMap<AccessLog>>,
    listeners: Vec<Spanned<Listener>>,
    services: NamedEntries<Service>,
    dns: Dns,
    webhooks: ReservedKey,
    fleet: ReservedKey,
}}

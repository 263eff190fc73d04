//! The keys of the file itself.

use super::admin::{Admin, Metrics};
use super::dns::Dns;
use super::listener::Listener;
use super::logs::{AccessLog, Log};
use super::service::Service;
use super::state::State;
use crate::config::item::{Entries, Item, Later, Short, Switch};
use crate::config::units::{Count, Time};

map! { /// The whole file.
File {
    workers: Count<1, 1024>,
    drain_timeout: Time,
    admin: Switch<Short<Admin>>,
    metrics: Short<Metrics>,
    state: Switch<Short<State>>,
    log: Short<Log>,
    access_log: Switch<Short<AccessLog>>,
    listeners: Vec<Item<Listener>>,
    services: Entries<Service>,
    dns: Dns,
    audit: Later,
    webhooks: Later,
    fleet: Later,
}}

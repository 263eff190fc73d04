//! The keys of the file itself.

use serde_yaml::Value;

use super::admin::{admin, metrics};
use super::audit::audit;
use super::dns::dns;
use super::journal::journal;
use super::listener::listener;
use super::logs::{access_log, log};
use super::service::service;
use super::state::state;
use super::written::list;
use crate::config::model::Config;

pub(super) fn file(config: &Config) -> Value {
    map! {
        "instance" => config.instance.as_deref(),
        "workers" => config.workers,
        "drain_timeout" => config.drain_timeout,
        "admin" => admin(config.admin.as_ref()),
        "metrics" => metrics(config),
        "state" => state(config.state.as_ref()),
        "journal" => journal(config.journal.as_ref()),
        "audit" => audit(config.audit.as_ref()),
        "log" => log(&config.log),
        "access_log" => access_log(config.access_log.as_ref()),
        "dns" => dns(&config.dns),
        "listeners" => list(&config.listeners, |l| listener(l)),
        "services" => Value::Mapping(config.services.iter().map(|s| (Value::from(&*s.name), service(s))).collect()),
    }
}

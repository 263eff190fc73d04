//! `dns:`

use serde_yaml::Value;

use super::written::list;
use crate::config::model::Dns;

pub(super) fn dns(dns: &Dns) -> Value {
    map! {
        "servers" => list(&dns.servers, |server| server.to_string().into()),
        "timeout" => dns.timeout,
    }
}

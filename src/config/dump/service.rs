//! A value under `services:`

use serde_yaml::Value;

use super::balance::balance;
use super::failover::failover;
use super::pool::pool;
use super::retry::retry;
use super::upstream::upstream;
use super::written::{list, word};
use crate::config::model::{Protocol, Service};

pub(super) fn service(service: &Service) -> Value {
    let http = service.protocol == Protocol::Http;
    map! {
        "protocol" => word(&service.protocol),
        "mode" => word(&service.mode),
        "objectives" => map! {
            "rto" => service.objectives.rto,
            "rpo" => service.failover.following.and_then(|rule| rule.rpo),
        },
        "balance" => balance(&service.balance),
        "retry" => http.then(|| retry(&service.retry)),
        "limits" => map! {
            "max_connections" => service.limits.max_connections,
            "max_pending" => service.limits.max_pending,
            "queue_timeout" => service.limits.queue_timeout,
            "release" => (!http).then_some(service.limits.release),
        },
        "timeouts" => map! {
            "connect" => service.timeouts.connect,
            "response" => service.timeouts.response,
            "body" => service.timeouts.body,
            "tunnel" => service.timeouts.tunnel,
            "client" => service.timeouts.client,
            "upstream" => service.timeouts.upstream,
            "idle" => service.timeouts.idle,
            "stall" => service.timeouts.stall,
        },
        "failover" => failover(&service.failover),
        "slow_start" => service.slow_start,
        "hold_requests" => service.hold_requests,
        "hold_response" => service.hold_response,
        "refusals" => (!http).then(|| word(&service.refusals)),
        "upstream" => upstream(&service.upstream, service.protocol),
        "pools" => list(&service.pools, |p| pool(p, service.mode)),
    }
}

//! A value under `services:`

use super::Number;
use super::balance::Balance;
use super::check::HealthCheck;
use super::failover::Failover;
use super::outlier::OutlierDetection;
use super::pool::Pool;
use super::protocol::Protocol;
use super::retry::Retry;
use super::upstream::Upstream;
use crate::config::item::{Item, Later, Short, Switch};
use crate::config::units::{Bytes, Count, Delay, Time};

map! { /// A value under `services:`
Service {
    protocol: Protocol,
    mode: Mode,
    objectives: Objectives,
    balance: Balance,
    health_check: Switch<Short<HealthCheck>>,
    outlier_detection: Switch<OutlierDetection>,
    retry: Retry,
    limits: ServiceLimits,
    timeouts: ServiceTimeouts,
    failover: Failover,
    slow_start: Switch<Time>,
    hold_requests: Switch<Time>,
    hold_response: Bytes,
    pools: Vec<Item<Pool>>,
    upstream: Upstream,
}}

words! { /// `mode:`
Mode { ActivePassive, ActiveActive, }}

map! { /// `objectives:`
Objectives {
    rto: Time,
    rpo: Later,
}}

map! { /// `limits:` of a service
ServiceLimits {
    max_connections: Number,
    max_pending: Count<0, 10_000_000>,
    queue_timeout: Time,
}}

map! { /// `timeouts:` of a service
ServiceTimeouts {
    connect: Time,
    response: Time,
    body: Time,
    tunnel: Time,
    client: Time,
    upstream: Time,
    idle: Time,
    stall: Switch<Delay>,
}}

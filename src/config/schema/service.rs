//! A value under `services:`

use super::LargeCount;
use super::balance::BalancePolicy;
use super::check::HealthCheck;
use super::failover::Failover;
use super::outlier::OutlierDetection;
use super::pool::Pool;
use super::protocol::Protocol;
use super::retry::Retry;
use super::upstream::Upstream;
use crate::config::bytes_or_time::BytesOrTime;
use crate::config::spanned::{OffOr, ShorthandMap, Spanned};
use crate::config::units::{AutoOrDuration, RangedCount, SizeInBytes, TypedDuration};

map! { /// A value under `services:`
Service {
    protocol: Protocol,
    mode: Mode,
    objectives: Objectives,
    balance: BalancePolicy,
    health_check: OffOr<ShorthandMap<HealthCheck>>,
    outlier_detection: OffOr<OutlierDetection>,
    retry: Retry,
    limits: ServiceLimits,
    timeouts: ServiceTimeouts,
    failover: Failover,
    slow_start: OffOr<TypedDuration>,
    hold_requests: OffOr<TypedDuration>,
    hold_response: SizeInBytes,
    refusals: Refusals,
    pools: Vec<Spanned<Pool>>,
    upstream: Upstream,
}}

words! { /// `mode:`
Mode { ActivePassive, ActiveActive, }}

words! { /// `refusals:`
Refusals { Native, Reset, }}

map! { /// `objectives:`
Objectives {
    rto: TypedDuration,
    rpo: BytesOrTime,
}}

map! { /// `limits:` of a service
ServiceLimits {
    max_connections: LargeCount,
    max_pending: RangedCount<0, 10_000_000>,
    release: RangedCount<1, 10_000>,
    queue_timeout: TypedDuration,
}}

map! { /// `timeouts:` of a service
ServiceTimeouts {
    connect: TypedDuration,
    response: TypedDuration,
    body: TypedDuration,
    tunnel: TypedDuration,
    client: TypedDuration,
    upstream: TypedDuration,
    idle: TypedDuration,
    stall: OffOr<AutoOrDuration>,
}}

//! Reads at replicas: what `role: replica` of the checks means for the service.

use super::diagnostics::Diagnostics;
use super::services::PoolsByName;
use crate::config::defaults;
use crate::config::model::{MaxLag, Mode, OnAllDown, Pool, Protocol, ReadFallback, ReadRule, Service};
use crate::config::schema;
use crate::config::spanned::Spanned;
use crate::config::tree::NodeId;
use crate::config::units::write_time;

/// A service whose checks ask for replicas sends nothing to other endpoints, and has other defaults than other services.
pub(super) fn reads(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::Service, service: &mut Service) {
    let failover = typed.failover.get().cloned().unwrap_or_default();
    let asks = |pool: &Pool| pool.health_check.as_ref().is_some_and(|check| check.kind.replica().is_some());
    if service.failover.following.is_some() || !service.pools.iter().any(asks) {
        if let Some(at) = failover.fallback.at() {
            let what = "`fallback` has no effect: no check of this service asks for replicas";
            diagnostics.warning(at, what, "write `health_check: {postgres: {role: replica, …}}`, or leave it out");
        }
        return;
    }
    let by_name = PoolsByName::of(typed);
    for pool in service.pools.iter().filter(|pool| !asks(pool)) {
        let at = by_name.find(&pool.name).and_then(Spanned::at).unwrap_or(at);
        let what = match pool.is_static() {
            true => format!("pool `{}` is a page, and this service reads at replicas", pool.name),
            false => format!("the check of pool `{}` does not ask for replicas, as those of others do", pool.name),
        };
        diagnostics.problem(at, what, "give the check to the service, and not to its pools");
    }
    check_what_contradicts(diagnostics, at, typed, &failover, service);
    check_lag(diagnostics, at, typed, service);
    service.failover.reads = Some(ReadRule {
        fallback: match failover.fallback.get() {
            None => defaults::READ_FALLBACK,
            Some(schema::ReadFallback::Primary) => ReadFallback::Primary,
            Some(schema::ReadFallback::Refuse) => ReadFallback::Refuse,
        },
    });
    service.failover.on_all_down = OnAllDown::FailClosed;
}

/// What cannot be said beside `role: replica`.
fn check_what_contradicts(
    diagnostics: &mut Diagnostics,
    at: NodeId,
    typed: &schema::Service,
    failover: &schema::Failover,
    service: &Service,
) {
    if service.protocol == Protocol::Http {
        let what = "a service that reads at replicas passes connections through, and this one speaks HTTP";
        diagnostics.problem(typed.protocol.at().unwrap_or(at), what, "write `protocol: tcp`, or leave `role` out");
    }
    if service.mode == Mode::ActiveActive {
        let what = "an endpoint that becomes the primary would take its pool's share with it";
        let advice = "leave `mode` out: all replicas of a pool share its connections; or leave `role` out";
        diagnostics.problem(typed.mode.at().unwrap_or(at), what, advice);
    }
    if let Some((at, schema::OnAllDown::FailOpen)) = failover.on_all_down.found() {
        let what = "an endpoint that fails its checks may be anywhere in its history";
        let advice =
            "leave it out: it is `fail_closed`; where no replica is left, `fallback: primary` reads at the primary";
        diagnostics.problem(at, what, advice);
    }
}

/// `max_lag` against how it is measured.
fn check_lag(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::Service, service: &Service) {
    let limited = service.pools.iter().filter_map(|pool| {
        let check = pool.health_check.as_ref()?;
        Some((check, check.kind.replica()?.max_lag?))
    });
    let place = typed.health_check.at().unwrap_or(at);
    let mut limited = limited.peekable();
    let endpoints: usize = service.pools.iter().map(|pool| pool.members.endpoints().len() + 2 * pool.names.len()).sum();
    if limited.peek().is_some() && endpoints == 1 {
        let what =
            "`max_lag` is measured against the primary, and this service has one endpoint: its lag is never known";
        let advice = "add the primary to the endpoints: it gets nothing unless `fallback: primary` says so";
        diagnostics.warning(place, what, advice);
    }
    let short = limited.find_map(|(check, limit)| match limit {
        MaxLag::Time(time) if time < check.interval => Some((time, check.interval)),
        MaxLag::Time(_) | MaxLag::Bytes(_) => None,
    });
    if let Some((time, interval)) = short {
        let (time, interval) = (write_time(time), write_time(interval));
        let what = format!("`max_lag` {time} is shorter than interval {interval}: a shorter lag than that is not seen");
        diagnostics.warning(place, what, "make the interval shorter, or `max_lag` longer");
    }
}

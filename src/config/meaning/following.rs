//! Following the primary: what `role` of the checks means for the service.

use std::sync::Arc;

use super::diagnostics::Diagnostics;
use super::fence;
use super::services::PoolsByName;
use crate::config::bytes_or_time::BytesOrTime;
use crate::config::defaults;
use crate::config::model::{
    FailbackMode, FollowRule, FollowedRole, Mode, OnAllDown, OnMultiplePrimaries, OnRpoExceeded, Pool, Protocol,
    RecoveryPoint, Service, Sessions,
};
use crate::config::objective::worst_case;
use crate::config::schema;
use crate::config::spanned::{OffOr, Spanned};
use crate::config::tree::NodeId;
use crate::config::units::write_time;

/// A service whose checks ask for a role follows the endpoint that has it, and by other defaults than other services.
pub(super) fn following(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::Service, service: &mut Service) {
    let failover = typed.failover.get().cloned().unwrap_or_default();
    let rpo = typed.objectives.get().and_then(|objectives| objectives.rpo.found());
    let Some(role) = role(diagnostics, at, typed, &service.pools) else {
        let alone = [
            ("on_multiple_primaries", failover.on_multiple_primaries.at()),
            ("fence_after", failover.fence_after.at()),
            ("rpo", rpo.map(|(at, _)| at)),
            ("fence", failover.fence.at()),
            ("on_rpo_exceeded", failover.on_rpo_exceeded.at()),
            ("rpo_patience", failover.rpo_patience.at()),
        ];
        for (key, at) in alone.into_iter().filter_map(|(key, at)| Some((key, at?))) {
            let what = format!("`{key}` has no effect: no check of this service asks for its primary");
            diagnostics.warning(at, what, "write `health_check: {postgres: {role: primary, …}}`, or leave it out");
        }
        return;
    };
    check_what_contradicts(diagnostics, at, typed, &failover, service);
    service.failover.following = Some(FollowRule {
        role,
        on_multiple_primaries: match failover.on_multiple_primaries.get() {
            None | Some(schema::OnMultiplePrimaries::Freeze) => OnMultiplePrimaries::Freeze,
            Some(schema::OnMultiplePrimaries::Close) => OnMultiplePrimaries::Close,
        },
        fence_after: match failover.fence_after.get() {
            None | Some(OffOr::Off) => None,
            Some(OffOr::Value(_)) => Some(diagnostics.time_or_off(&failover.fence_after, defaults::CONFIRM_WINDOW)),
        },
        rpo: rpo.map(|(_, most)| match most {
            BytesOrTime::Bytes(bytes) => RecoveryPoint::Bytes(*bytes),
            BytesOrTime::Time(time) => RecoveryPoint::Time(*time),
        }),
        on_rpo_exceeded: match failover.on_rpo_exceeded.get() {
            None | Some(schema::OnRpoExceeded::Follow) => OnRpoExceeded::Follow,
            Some(schema::OnRpoExceeded::Hold) => OnRpoExceeded::Hold,
        },
        rpo_patience: match failover.rpo_patience.get() {
            None | Some(OffOr::Off) => None,
            Some(OffOr::Value(time)) => Some(time.0),
        },
    });
    service.failover.fence = fence::fence(diagnostics, &failover.fence).map(Arc::new);
    check_objective(diagnostics, rpo.map(|(at, _)| at), &failover, service);
    service.failover.on_all_down = OnAllDown::FailClosed;
    service.failover.sessions = Sessions::Close;
    service.failover.failback.mode = FailbackMode::Manual;
    if typed.hold_requests.at().is_none() {
        service.hold_requests = defaults::HOLD_FOR_PRIMARY;
    }
}

/// The recovery point objective, and what is said for the case that it is exceeded.
fn check_objective(diagnostics: &mut Diagnostics, at: Option<NodeId>, failover: &schema::Failover, service: &Service) {
    let Some(rule) = service.failover.following else { return };
    if let Some(RecoveryPoint::Time(most)) = rule.rpo
        && let Some(at) = at
        && let Some(found) = service.pools.iter().filter_map(|pool| pool.health_check.as_ref()).map(worst_case).max()
        && most < found
    {
        let (most, found) = (write_time(most), write_time(found));
        let what =
            format!("the last position of a primary that falls silent is up to {found} old, and `rpo` is {most}");
        diagnostics.warning(at, what, "make `interval` and `timeout` of the check shorter, or `rpo` longer");
    }
    if let (Some(at), OnRpoExceeded::Hold, None) = (failover.on_rpo_exceeded.at(), rule.on_rpo_exceeded, rule.rpo) {
        let what = "there is no objective that could be exceeded";
        diagnostics.problem(at, what, "add `objectives: {rpo: 16MiB}`, or leave it out");
    }
    if let (Some(at), Some(_), OnRpoExceeded::Follow) =
        (failover.rpo_patience.at(), rule.rpo_patience, rule.on_rpo_exceeded)
    {
        let what = "`rpo_patience` has no effect: what exceeds the objective is followed at once";
        diagnostics.warning(at, what, "add `on_rpo_exceeded: hold`, or leave it out");
    }
}

/// The role that the checks of all pools ask for.
fn role(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::Service, pools: &[Pool]) -> Option<FollowedRole> {
    let of = |pool: &Pool| pool.health_check.as_ref().and_then(|check| check.kind.role());
    let role = pools.iter().find_map(of)?;
    let by_name = PoolsByName::of(typed);
    for pool in pools.iter().filter(|pool| of(pool) != Some(role)) {
        let at = by_name.find(&pool.name).and_then(Spanned::at).unwrap_or(at);
        let what = match pool.is_static() {
            true => format!("pool `{}` is a page, and this service follows its primary", pool.name),
            false => format!("the check of pool `{}` does not ask for the same role as the others", pool.name),
        };
        let advice =
            "a service has one primary, in whichever pool: give the check to the service, and not to its pools";
        diagnostics.problem(at, what, advice);
    }
    Some(role)
}

/// What cannot be said beside `role`.
fn check_what_contradicts(
    diagnostics: &mut Diagnostics,
    at: NodeId,
    typed: &schema::Service,
    failover: &schema::Failover,
    service: &Service,
) {
    if service.protocol == Protocol::Http {
        let what = "a service that follows its primary passes connections through, and this one speaks HTTP";
        diagnostics.problem(typed.protocol.at().unwrap_or(at), what, "write `protocol: tcp`, or leave `role` out");
    }
    if service.mode == Mode::ActiveActive {
        let at = typed.mode.at().unwrap_or(at);
        diagnostics.problem(at, "there is one primary, and no shares of it", "leave `mode` out, or leave `role` out");
    }
    if let Some((at, schema::OnAllDown::FailOpen)) = failover.on_all_down.found() {
        let what =
            "without a primary nothing may be served: what answers then may be a replica, or a primary of the past";
        diagnostics.problem(at, what, "leave it out: it is `fail_closed`");
    }
    if let Some((at, schema::Sessions::Drain)) = failover.sessions.found() {
        let what = "sessions that go on at a former primary write what is lost";
        diagnostics.problem(at, what, "leave it out: it is `close`");
    }
    if let Some(at) = failover.failback.at()
        && service.failover.failback.mode == FailbackMode::Auto
    {
        let what = "`failback` has no effect: the service goes where its primary is";
        diagnostics.warning(at, what, "leave it out; to bring it home promote the endpoint there");
    }
}

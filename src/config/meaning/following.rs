//! Following the primary: what `role` of the checks means for the service.

use super::diagnostics::Diagnostics;
use super::services::PoolsByName;
use crate::config::defaults;
use crate::config::model::{
    FailbackMode, FollowRule, FollowedRole, Mode, OnAllDown, OnMultiplePrimaries, Pool, Protocol, Service, Sessions,
};
use crate::config::schema;
use crate::config::spanned::{OffOr, Spanned};
use crate::config::tree::NodeId;

/// A service whose checks ask for a role follows the endpoint that has it, and by other defaults than other services.
pub(super) fn following(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::Service, service: &mut Service) {
    let failover = typed.failover.get().cloned().unwrap_or_default();
    let rpo = typed.objectives.get().and_then(|objectives| objectives.rpo.found());
    let Some(role) = role(diagnostics, at, typed, &service.pools) else {
        let alone = [
            ("on_multiple_primaries", failover.on_multiple_primaries.at()),
            ("fence_after", failover.fence_after.at()),
            ("rpo", rpo.map(|(at, _)| at)),
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
        rpo: rpo.map(|(_, bytes)| bytes.0),
    });
    service.failover.on_all_down = OnAllDown::FailClosed;
    service.failover.sessions = Sessions::Close;
    service.failover.failback.mode = FailbackMode::Manual;
    if typed.hold_requests.at().is_none() {
        service.hold_requests = defaults::HOLD_FOR_PRIMARY;
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

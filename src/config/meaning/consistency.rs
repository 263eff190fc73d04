//! What the parts of one service say about each other.

use super::diagnostics::Diagnostics;
use super::services::PoolsByName;
use crate::config::advice::listed;
use crate::config::defaults;
use crate::config::model::{
    CrossPool, DelayThreshold, Endpoint, FailbackMode, Mode, Name, Pool, PoolMembers, Protocol, Service,
};
use crate::config::objective;
use crate::config::schema;
use crate::config::spanned::{OffOr, ShorthandMap, Spanned};
use crate::config::tree::NodeId;

/// What the parts of one service say about each other.
pub(super) fn consistency(
    diagnostics: &mut Diagnostics,
    at: NodeId,
    typed: &schema::Service,
    service: &Service,
    is_whole: bool,
) {
    let failover = typed.failover.get();
    let pools = PoolsByName::of(typed);
    for (index, pool) in service.pools.iter().enumerate() {
        let endpoints = weighted(pool);
        let place = pools.find(&pool.name).and_then(Spanned::at).unwrap_or(at);
        if let PoolMembers::Static(_) = pool.members {
            if index + 1 < service.pools.len() {
                let what = format!(
                    "`{}` is a page: it serves only when no pool with endpoints is available, also none of those after it",
                    pool.name
                );
                diagnostics.warning(place, what, "make it the last one");
            }
            continue;
        }
        if !takes_work(pool) {
            let what = format!("pool `{}` takes no new work: all its endpoints have weight 0", pool.name);
            diagnostics.warning(place, what, "the service leaves it; if that is not meant, give one of them a weight");
            continue;
        }
        if !pool.names.is_empty() || !is_whole {
            continue; // how many there are is for DNS to say, or not known yet
        }
        if endpoints > 0 && service.failover.min_healthy > endpoints {
            let at = failover.and_then(|typed| typed.min_healthy.at()).unwrap_or(place);
            let (min, name) = (service.failover.min_healthy, &pool.name);
            let weighted = if endpoints < pool.members.endpoints().len() { " with a weight" } else { "" };
            let what = format!(
                "min_healthy {min} is more than pool `{name}` has{weighted} ({endpoints}): it is never available"
            );
            diagnostics.problem(at, what, format!("at most {endpoints}"));
        }
        let has_lower = index + 1 < service.pools.len();
        let typed_share = typed.outlier_detection.at();
        if let (Some(rule), Some(at), false) = (&pool.outlier_detection, typed_share, has_lower)
            && rule.max_ejected != defaults::MAX_EJECTED
            && (rule.max_ejected * endpoints as f64) < 1.0
        {
            let percent = rule.max_ejected * 100.0;
            let what = format!("max_ejected {percent}% of {endpoints} endpoint(s) in `{}` is less than one", pool.name);
            diagnostics.warning(
                at,
                what,
                "no endpoint of it can be ejected while no lower pool can serve: raise the share",
            );
        }
    }
    if !service.pools.is_empty() && !service.pools.iter().any(takes_work) {
        let advice = "give one of them a weight, or add a pool with a `static_response` that says why";
        diagnostics.problem(at, "nothing takes work in this service: all endpoints have weight 0", advice);
    }
    if is_whole {
        check_hedge_targets(diagnostics, typed, service);
    }
    warn_of_database_failback(diagnostics, at, typed, service);
    let unchecked_pools = unchecked_pools(typed, &pools, service);
    check_unused_check_ports(diagnostics, &pools, &unchecked_pools);
    if typed.objectives.get().is_none_or(|objectives| objectives.rto.at().is_none()) {
        check_standby_health_check(diagnostics, at, typed, service, &unchecked_pools);
    }
    check_objective(diagnostics, at, typed, service, &unchecked_pools, is_whole);
}

/// Endpoints that the configuration gives a share of new work.
fn weighted(pool: &Pool) -> usize {
    pool.members.endpoints().iter().filter(|endpoint| endpoint.weight > 0).count()
}

/// May new work go there at all? (A pool without endpoints is another problem.)
fn takes_work(pool: &Pool) -> bool {
    let named = pool.names.iter().any(|name| name.weight != Some(0));
    let empty = pool.members.endpoints().is_empty() && pool.names.is_empty();
    named || empty || weighted(pool) > 0
}

/// A proxy promotes no database: clients that are sent home by themselves meet a primary that is one no more.
fn warn_of_database_failback(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::Service, service: &Service) {
    let database = |endpoint: &Endpoint| match endpoint.address.port() {
        5432 => Some("PostgreSQL"),
        3306 => Some("MySQL"),
        6379 => Some("Redis"),
        _ => None,
    };
    let pools = || service.pools.iter().filter(|pool| !pool.is_static());
    let goes_home = service.mode == Mode::ActivePassive && service.failover.failback.mode == FailbackMode::Auto;
    // (Where only replicas are read at, no client meets a wrong primary.)
    if service.protocol != Protocol::Tcp || !goes_home || service.failover.reads.is_some() || pools().count() < 2 {
        return;
    }
    let Some(name) = pools().flat_map(|pool| pool.members.endpoints()).find_map(database) else { return };
    let at = typed.failover.get().and_then(|failover| failover.failback.at()).unwrap_or(at);
    let what = format!(
        "this looks like {name}, and `failback: auto` would send its clients back to the old primary, which nothing here promotes"
    );
    diagnostics.warning(
        at,
        what,
        "write `failback: manual` under `failover`, and go home after the old primary was promoted again",
    );
}

/// A hedge after a time of its own needs a second endpoint: in the pool, or in another one that it may go to.
fn check_hedge_targets(diagnostics: &mut Diagnostics, typed: &schema::Service, service: &Service) {
    let DelayThreshold::After(_) = service.retry.hedge else { return };
    let Some(at) = typed.retry.get().and_then(|retry| retry.hedge.at()) else { return };
    // (A name may stand for several.)
    let most = |pool: &Pool| weighted(pool) + 2 * pool.names.len();
    let pools: Vec<usize> = service.pools.iter().map(most).filter(|n| *n > 0).collect();
    let inside = pools.iter().any(|endpoints| *endpoints > 1);
    let across = pools.len() > 1 && service.retry.cross_pool != CrossPool::Never;
    if !inside && !across {
        let what = if pools.len() > 1 {
            "`hedge` has no effect: no pool has a second endpoint, and `cross_pool: never` forbids the other pools"
        } else {
            "`hedge` has no effect: there is no second endpoint"
        };
        diagnostics.warning(at, what, "add an endpoint, or leave it out");
    }
}

/// `check_port` in a pool without a check.
fn check_unused_check_ports(diagnostics: &mut Diagnostics, pools: &PoolsByName<'_>, unchecked_pools: &[Name]) {
    let pools = unchecked_pools.iter().filter_map(|name| pools.find(name)?.get()?.endpoints.get());
    for at in pools.flat_map(|list| &list.0).filter_map(|endpoint| endpoint.get()?.0.check_port.at()) {
        let what = "`check_port` has no effect: the pool has no health check";
        diagnostics.warning(at, what, "add a `health_check`, or leave it out");
    }
}

/// Pools that have no check because none was asked for. (A check that was typed and refused is a problem already.)
fn unchecked_pools(typed: &schema::Service, pools: &PoolsByName<'_>, service: &Service) -> Vec<Name> {
    let none_asked = |item: &Spanned<OffOr<ShorthandMap<schema::HealthCheck>>>| matches!(item.get(), Some(OffOr::Off));
    let by_service = typed.health_check.at().is_none() || none_asked(&typed.health_check);
    let by_pool = |pool: &&Pool| match pools.find(&pool.name).and_then(Spanned::get).map(|pool| &pool.health_check) {
        Some(item) if item.at().is_some() => none_asked(item),
        _ => by_service,
    };
    let endpoints = |pool: &&Pool| !pool.is_static() && pool.health_check.is_none();
    service.pools.iter().filter(endpoints).filter(by_pool).map(|pool| pool.name.clone()).collect()
}

fn check_standby_health_check(
    diagnostics: &mut Diagnostics,
    at: NodeId,
    typed: &schema::Service,
    service: &Service,
    unchecked_pools: &[Name],
) {
    let several = service.pools.iter().filter(|pool| !pool.is_static()).count() > 1;
    if !several || unchecked_pools.is_empty() {
        return;
    }
    let what = format!("{} no health check", pools_have(unchecked_pools));
    let advice = "only failing requests show that it is down, and nothing shows that it is back: add \
                  `health_check: {http: {path: /healthz}}` or `{tcp: {}}`";
    diagnostics.warning(typed.health_check.at().unwrap_or(at), what, advice);
}

/// `objectives.rto` against the arithmetic of detection; pools with equal arithmetic are told together.
fn check_objective(
    diagnostics: &mut Diagnostics,
    at: NodeId,
    typed: &schema::Service,
    service: &Service,
    unchecked_pools: &[Name],
    is_whole: bool,
) {
    let Some(rto) = typed.objectives.get().and_then(|objectives| objectives.rto.at()) else { return };
    let mut late = objective::detections(service);
    late.retain(|detection| is_whole && !detection.holds() && detection.worst.is_some());
    for late in objective::by_sum(late) {
        let sum = &late[0];
        let pools: Vec<Name> = late.iter().map(|detection| detection.pool.clone()).collect();
        let parts = "interval × (1 + jitter) + fall × timeout + (fall − 1) × fast_interval";
        let what = format!("a silent fault can go unnoticed for {sum} ({})", listed(&pools).replace('`', ""));
        diagnostics.problem(rto, what, format!("the sum is {parts}: lower one of them, or promise less"));
    }
    if !unchecked_pools.is_empty() {
        let what = format!("{} no health check: a silent fault has no bound", pools_have(unchecked_pools));
        let advice = "add `health_check: {http: {path: /healthz}}` or `{tcp: {}}`, or promise nothing";
        diagnostics.problem(typed.health_check.at().unwrap_or(at), what, advice);
    }
}

/// `pool `a` has`, `pools `a`, `b` have`
fn pools_have(pools: &[Name]) -> String {
    let names = listed(pools);
    if pools.len() == 1 { format!("pool {names} has") } else { format!("pools {names} have") }
}

//! `pools:`: their members, and what they take over from their service.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::diagnostics::Diagnostics;
use super::names::unused_name_advice;
use super::{check, endpoint, outlier, static_response};
use crate::config::defaults;
use crate::config::model::{HealthCheck, Mode, Name, OutlierDetection, Pool, PoolMembers, Protocol, Upstream};
use crate::config::schema;
use crate::config::spanned::Spanned;
use crate::config::tree::NodeId;

/// What a pool takes over from its service.
#[derive(Clone, Copy)]
pub(super) struct FromService<'a> {
    pub(super) protocol: Protocol,
    pub(super) mode: Mode,
    pub(super) upstream: &'a Upstream,
    pub(super) health: Option<&'a HealthCheck>,
    pub(super) outlier: Option<&'a OutlierDetection>,
}

/// `pools:`, in the order of their priority.
pub(super) fn pools(
    diagnostics: &mut Diagnostics,
    at: NodeId,
    typed: &schema::Service,
    inherited: FromService<'_>,
) -> Vec<Pool> {
    let sample = "pools: [{name: main, endpoints: [127.0.0.1:3000]}]";
    let Some(list) = diagnostics.required(&typed.pools, at, "pools", sample) else { return Vec::new() };
    if list.is_empty() {
        diagnostics.problem(typed.pools.at().unwrap_or(at), "the service has no pool", format!("add one: `{sample}`"));
    }
    let mut found: Vec<(u64, Pool)> = Vec::new();
    let (mut named, mut priorities) = (HashSet::new(), HashMap::new());
    let mut taken = endpoint::TakenEndpoints::default();
    for (index, item) in list.iter().enumerate() {
        let Some((at, typed)) = item.found() else { continue };
        let Some(pool) = pool(diagnostics, at, typed, inherited, &mut taken) else { continue };
        let priority = typed.priority.get().map_or(index as u64, |priority| priority.0);
        if !named.insert(pool.name.clone()) {
            let at = typed.name.at().unwrap_or(at);
            let advice = unused_name_advice(&pool.name, |name| named.contains(name));
            diagnostics.problem(at, format!("a second pool is called `{}`", pool.name), advice);
        }
        if let Some(other) = priorities.get(&priority) {
            let what = format!("`{other}` and `{}` both have priority {priority}", pool.name);
            let advice = "give each its own; left out it is the pool's place in the list, from 0";
            diagnostics.problem(typed.priority.at().unwrap_or(at), what, advice);
        } else {
            priorities.insert(priority, pool.name.clone());
        }
        found.push((priority, pool));
    }
    found.sort_by_key(|(priority, _)| *priority);
    found.into_iter().map(|(_, pool)| pool).collect()
}

fn pool(
    diagnostics: &mut Diagnostics,
    at: NodeId,
    typed: &schema::Pool,
    inherited: FromService<'_>,
    taken: &mut endpoint::TakenEndpoints,
) -> Option<Pool> {
    let name = diagnostics
        .required(&typed.name, at, "name", "name: main")
        .and_then(|name| diagnostics.name(typed.name.at().unwrap_or(at), name));
    if let (Mode::ActivePassive, Some(at)) = (inherited.mode, typed.weight.at()) {
        diagnostics.warning(
            at,
            "a pool's weight has no effect in active_passive",
            "leave it out, or write `mode: active_active`",
        );
    }
    let health_check = check::health_check(diagnostics, &typed.health_check, inherited.health, inherited.upstream);
    let outlier_detection = outlier::outlier_detection(diagnostics, &typed.outlier_detection, inherited.outlier);
    let names = endpoint::names(diagnostics, typed);
    let members = members(diagnostics, at, typed, inherited, name.as_ref(), taken)?;
    let is_static = matches!(members, PoolMembers::Static(_));
    Some(Pool {
        name: name?,
        weight: typed.weight.get().map_or(defaults::WEIGHT, |weight| weight.0 as u32),
        zone: typed.zone.found().and_then(|(at, zone)| diagnostics.name(at, zone)),
        members,
        names,
        health_check: health_check.filter(|_| !is_static),
        outlier_detection: outlier_detection.filter(|_| !is_static),
    })
}

fn members(
    diagnostics: &mut Diagnostics,
    at: NodeId,
    typed: &schema::Pool,
    inherited: FromService<'_>,
    pool: Option<&Name>,
    taken: &mut endpoint::TakenEndpoints,
) -> Option<PoolMembers> {
    match (typed.endpoints.at(), typed.static_response.at()) {
        (Some(_), Some(at)) => {
            diagnostics.problem(at, "a pool has endpoints or a static_response, not both", "make it two pools");
            None
        }
        (Some(place), None) => {
            let list = &typed.endpoints.get()?.0;
            if list.is_empty() {
                diagnostics.problem(place, "a pool without endpoints", "add one: `endpoints: [127.0.0.1:3000]`");
            }
            let found = list.iter().filter_map(Spanned::found).filter_map(|(at, endpoint)| {
                let item = &endpoint.0.name;
                let endpoint = endpoint::endpoint(diagnostics, at, &endpoint.0)?;
                let pool = pool.cloned().unwrap_or_else(|| Name::from("?"));
                taken.name(diagnostics, &endpoint, item, &pool);
                match taken.addresses.insert(endpoint.address, pool) {
                    Some(other) => {
                        let what = format!("{} stands twice in this service (first in `{other}`)", endpoint.address);
                        diagnostics.problem(at, what, "keep it once; give it more weight if it should get more");
                        None
                    }
                    None => Some(endpoint),
                }
            });
            Some(PoolMembers::Endpoints(found.collect()))
        }
        (None, Some(place)) => {
            if inherited.protocol == Protocol::Tcp {
                diagnostics.problem(place, "a tcp service cannot answer by itself", "remove this pool");
            }
            if inherited.mode == Mode::ActiveActive {
                let advice = "write `mode: active_passive`, or remove this pool";
                diagnostics.not_supported(place, "a static_response in active_active", advice);
            }
            static_response::static_response(diagnostics, &typed.static_response.get()?.0)
                .map(|response| PoolMembers::Static(Arc::new(response)))
        }
        (None, None) => {
            if typed.discovery.at().is_none() && !diagnostics.is_supplied(at, &["endpoints", "static_response"]) {
                diagnostics.problem(
                    at,
                    "a pool without members",
                    "add `endpoints: [127.0.0.1:3000]` or a `static_response`",
                );
            }
            None
        }
    }
}

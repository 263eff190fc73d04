//! `/health/SERVICE` and `/health/SERVICE/POOL`: may traffic be sent here? 200 or 503 and one word, for load balancers, DNS and
//! supervisors. It is read from the published table: the engine is asked for nothing.

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::response::plain;
use super::source::AdminSource;
use crate::routing::{PoolView, RoutingTable, ServiceView};

/// What makes the answer stricter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct HealthRules {
    /// `home`: the service must be on its first pool.
    home: bool,
    /// `degraded=fail`: a pool that serves only because nothing better is left is not good enough.
    degraded_fails: bool,
}

impl HealthRules {
    /// Of the query. `None`: it has something that is not known. A misspelt rule must not pass as no rule.
    fn parse(query: &str) -> Option<HealthRules> {
        let mut rules = HealthRules::default();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part {
                "home" | "home=" | "home=true" => rules.home = true,
                "degraded=fail" => rules.degraded_fails = true,
                "degraded=pass" => rules.degraded_fails = false,
                _ => return None,
            }
        }
        Some(rules)
    }
}

/// May traffic be sent to this service? One word: `served`, `degraded`, `down`, `away`, `draining`, `unknown`, `unknown-rule`.
#[utoipa::path(get, path = "/health/{service}", operation_id = "health_of_service", tag = "probes",
    params(("service" = String, Path, description = "its name", example = "shop"),
        ("home" = Option<String>, Query, description = "there: it must be on its first pool", pattern = "^(true)?$"),
        ("degraded" = Option<String>, Query, pattern = "^(pass|fail)$",
            description = "`fail`: a pool that serves only because nothing better is left is not good enough")),
    responses(
        (status = 200, description = "endpoints serve it", body = String, content_type = "text/plain"),
        (status = 400, description = "`unknown-rule`: the query is not one of these", body = String, content_type = "text/plain"),
        (status = 404, description = "`unknown`: there is no such service", body = String, content_type = "text/plain"),
        (status = 503, description = "no traffic should be sent", body = String, content_type = "text/plain"),
    ))]
pub(super) async fn of_service(
    State(source): State<AdminSource>,
    Path(service): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    answer(&source, &service, None, query.as_deref())
}

/// May traffic be sent to this pool? As of a service, or `standby`: another pool serves.
#[utoipa::path(get, path = "/health/{service}/{pool}", operation_id = "health_of_pool", tag = "probes",
    params(("service" = String, Path, description = "its name", example = "shop"),
        ("pool" = String, Path, description = "the pool's name", example = "north"),
        ("home" = Option<String>, Query, description = "there: it must be on its first pool", pattern = "^(true)?$"),
        ("degraded" = Option<String>, Query, pattern = "^(pass|fail)$",
            description = "`fail`: a pool that serves only because nothing better is left is not good enough")),
    responses(
        (status = 200, description = "it serves the service", body = String, content_type = "text/plain"),
        (status = 400, description = "`unknown-rule`: the query is not one of these", body = String, content_type = "text/plain"),
        (status = 404, description = "`unknown`: there is no such service or pool", body = String, content_type = "text/plain"),
        (status = 503, description = "no traffic should be sent", body = String, content_type = "text/plain"),
    ))]
pub(super) async fn of_pool(
    State(source): State<AdminSource>,
    Path((service, pool)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    answer(&source, &service, Some(&pool), query.as_deref())
}

fn answer(source: &AdminSource, service: &str, pool: Option<&str>, query: Option<&str>) -> Response {
    let (code, word) = match HealthRules::parse(query.unwrap_or_default()) {
        None => (StatusCode::BAD_REQUEST, "unknown-rule"),
        Some(_) if source.draining() => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        Some(rules) => judge(&source.control().published().load(), service, pool, rules),
    };
    plain(code, format!("{word}\n"))
}

fn judge(table: &RoutingTable, service: &str, pool: Option<&str>, rules: HealthRules) -> (StatusCode, &'static str) {
    let Some(service) = table.service(service) else { return (StatusCode::NOT_FOUND, "unknown") };
    let wanted = match pool.map(|pool| service.pools.iter().position(|view| *view.name == *pool)) {
        Some(None) => return (StatusCode::NOT_FOUND, "unknown"),
        Some(Some(index)) => Some(index),
        None => None,
    };
    let no = |word| (StatusCode::SERVICE_UNAVAILABLE, word);
    let serving = || serving_pools(service).filter(|(index, _)| wanted.is_none_or(|wanted| wanted == *index));
    if wanted.is_some_and(|wanted| !service.serves(wanted)) && serves_requests(service) {
        return no("standby");
    }
    if !serves_requests(service) || !serving().any(|(_, pool)| takes_work(pool)) {
        return no("down");
    }
    if rules.home && !service.serves(0) {
        return no("away");
    }
    match (serving().any(|(_, pool)| pool.available), rules.degraded_fails) {
        (true, _) => (StatusCode::OK, "served"),
        (false, false) => (StatusCode::OK, "degraded"),
        (false, true) => no("degraded"),
    }
}

fn serving_pools(service: &ServiceView) -> impl Iterator<Item = (usize, &PoolView)> {
    service.pools.iter().enumerate().filter(|(index, _)| service.serves(*index))
}

/// Does anything but a page serve it?
fn serves_requests(service: &ServiceView) -> bool {
    service.serving.is_served() && !service.isolated && !service.shows_a_page()
}

/// Is there anything in it that a request could be sent to?
fn takes_work(pool: &PoolView) -> bool {
    pool.static_response().is_some() || pool.open() > 0 || !pool.trials.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_a_misspelt_one_is_no_rule() {
        let rules = |home, degraded_fails| Some(HealthRules { home, degraded_fails });
        for (query, expected) in [
            ("", rules(false, false)),
            ("home", rules(true, false)),
            ("home&degraded=fail", rules(true, true)),
            ("degraded=fail&", rules(false, true)),
            ("degraded=fial", None),
            ("Home", None),
            ("degraded", None),
        ] {
            assert_eq!(HealthRules::parse(query), expected, "{query}");
        }
    }
}

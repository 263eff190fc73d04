//! Matching by example. `tests/fuzz` holds it against a walk over all routes.

use proptest::prelude::*;

use super::*;
use crate::routing::fixture;

/// What a request carries.
#[derive(Clone, Debug)]
struct Request {
    host: String,
    path: String,
    method: String,
    headers: Vec<(String, String)>,
}

impl HasHeader for Request {
    fn has(&self, name: &str, value: Option<&str>) -> bool {
        self.headers.iter().any(|(n, v)| n == name && value.is_none_or(|value| v == value))
    }
}

fn found(matcher: &Matcher, request: &Request) -> Option<usize> {
    let [host, path, method] = [&request.host, &request.path, &request.method].map(|text| text.as_bytes());
    matcher.find(&RouteQuery { host, path, method, headers: request }).map(|route| route.index)
}

fn matcher(routes: &[RouteMatch]) -> Matcher {
    let routes: Vec<_> = routes.iter().map(|m| Arc::new(fixture::route(m.clone(), "s"))).collect();
    Matcher::new(&routes, 1, None, |_| 0)
}

proptest! {
    #[test]
    fn no_request_upsets_the_matcher(host in ".*", path in ".*", method in ".*") {
        let matcher = matcher(&[RouteMatch { host: Some(HostMatch::Wildcard(".b".into())), ..RouteMatch::default() }]);
        let request = Request { host, path, method, headers: vec![] };
        let _ = found(&matcher, &request);
        let _ = host_without_port(request.host.as_bytes());
    }
}

fn get(host: &str, path: &str) -> Request {
    Request { host: host.into(), path: path.into(), method: "GET".into(), headers: vec![] }
}

#[test]
fn a_prefix_ends_at_a_segment_border() {
    let prefix = |path: &str| RouteMatch { path: Some(PathMatch::Prefix(path.into())), ..RouteMatch::default() };
    let matcher = matcher(&[prefix("/api"), prefix("/docs/")]);
    for (path, route) in [
        ("/api", Some(0)),
        ("/api/", Some(0)),
        ("/api/x", Some(0)),
        ("/apiary", None),
        ("/docs", None),
        ("/docs/", Some(1)),
        ("/docs/x/y", Some(1)),
    ] {
        assert_eq!(found(&matcher, &get("h", path)), route, "{path}");
    }
}

#[test]
fn a_specific_host_without_a_fitting_path_leaves_the_request_to_the_next_host() {
    let matcher = matcher(&[
        RouteMatch {
            host: Some(HostMatch::Exact("a.b".into())),
            path: Some(PathMatch::Exact("/only".into())),
            ..RouteMatch::default()
        },
        RouteMatch { host: Some(HostMatch::Wildcard(".b".into())), ..RouteMatch::default() },
        RouteMatch::default(),
    ]);
    assert_eq!(found(&matcher, &get("A.b", "/only")), Some(0));
    assert_eq!(found(&matcher, &get("a.b", "/else")), Some(1));
    assert_eq!(found(&matcher, &get("b", "/")), Some(2), "a star stands for a label at least");
}

#[test]
fn a_monstrous_host_costs_no_more_than_the_deepest_wildcard() {
    let matcher = matcher(&[
        RouteMatch { host: Some(HostMatch::Wildcard(".b".into())), ..RouteMatch::default() },
        RouteMatch::default(),
    ]);
    assert_eq!(found(&matcher, &get(&"a.".repeat(30_000), "/")), Some(1));
    assert_eq!(found(&matcher, &get("h", &"/a".repeat(30_000))), Some(1));
}

#[test]
fn ports_and_the_root_dot_are_no_part_of_the_host() {
    for (given, host) in [
        ("example.com", "example.com"),
        ("example.com:80", "example.com"),
        ("example.com.", "example.com"),
        ("example.com.:80", "example.com"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("[::1", "[::1"),
        ("", ""),
        (":80", ""),
    ] {
        assert_eq!(host_without_port(given.as_bytes()), host.as_bytes(), "{given}");
    }
}

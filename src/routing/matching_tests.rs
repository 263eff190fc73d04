//! Matching against a reference that walks all routes.

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
    matcher.find(&Asked { host, path, method, headers: request }).map(|route| route.index)
}

/// The documentation, written down as a comparison.
fn reference(routes: &[Match], request: &Request) -> Option<usize> {
    let host = request.host.to_ascii_lowercase();
    let host_rank = |m: &Match| match &m.host {
        None => Some(0),
        Some(HostMatch::Exact(exact)) => (*exact == host).then_some(usize::MAX),
        Some(HostMatch::Wildcard(suffix)) => {
            (host.ends_with(suffix.as_str()) && host.len() > suffix.len()).then_some(suffix.len())
        }
    };
    let path_rank = |m: &Match| match &m.path {
        None => Some(0),
        Some(PathMatch::Exact(exact)) => (*exact == request.path).then_some(usize::MAX),
        Some(PathMatch::Prefix(prefix)) if prefix == "/" => Some(0),
        Some(PathMatch::Prefix(prefix)) => {
            let rest = request.path.strip_prefix(prefix.as_str())?;
            (rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/')).then_some(prefix.len())
        }
    };
    let rank = |(index, m): (usize, &Match)| {
        let (host, path) = (host_rank(m)?, path_rank(m)?);
        let method = m.methods.is_empty() || m.methods.contains(&request.method);
        let headers = m.headers.iter().all(|(name, value)| request.has(name, value.as_deref()));
        let order = (host, path, !m.methods.is_empty(), m.headers.len(), std::cmp::Reverse(index));
        (method && headers).then_some(order)
    };
    routes.iter().enumerate().filter_map(rank).max().map(|best| best.4.0)
}

fn label() -> impl Strategy<Value = String> {
    prop_oneof![Just("a"), Just("b"), Just("example"), Just("com")].prop_map(str::to_owned)
}

fn host() -> impl Strategy<Value = String> {
    proptest::collection::vec(label(), 1..5).prop_map(|labels| labels.join("."))
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![Just(""), Just("api"), Just("apiary"), Just("v1"), Just("x")];
    proptest::collection::vec(segment, 0..5).prop_map(|segments| format!("/{}", segments.join("/")))
}

fn method() -> impl Strategy<Value = String> {
    prop_oneof![Just("GET"), Just("POST"), Just("PUT")].prop_map(str::to_owned)
}

fn field() -> impl Strategy<Value = (String, String)> {
    (prop_oneof![Just("x-a"), Just("x-b")], prop_oneof![Just("1"), Just("2")]).prop_map(|(n, v)| (n.into(), v.into()))
}

fn matches() -> impl Strategy<Value = Match> {
    let host = prop_oneof![
        Just(None),
        host().prop_map(|host| Some(HostMatch::Exact(host))),
        host().prop_map(|host| Some(HostMatch::Wildcard(format!(".{host}")))),
    ];
    let path = prop_oneof![
        Just(None),
        path().prop_map(|path| Some(PathMatch::Exact(path))),
        path().prop_map(|path| Some(PathMatch::Prefix(path))),
    ];
    let condition = (field(), any::<bool>()).prop_map(|((name, value), exact)| (name, exact.then_some(value)));
    let methods = proptest::collection::vec(method(), 0..2);
    let headers = prop_oneof![3 => Just(vec![]), 1 => proptest::collection::vec(condition, 1..3)];
    (host, path, methods, headers).prop_map(|(host, path, methods, headers)| Match { host, path, methods, headers })
}

fn request() -> impl Strategy<Value = Request> {
    let upper = (host(), any::<bool>()).prop_map(|(host, upper)| if upper { host.to_uppercase() } else { host });
    (upper, path(), method(), proptest::collection::vec(field(), 0..3))
        .prop_map(|(host, path, method, headers)| Request { host, path, method, headers })
}

fn matcher(routes: &[Match]) -> Matcher {
    let routes: Vec<_> = routes.iter().map(|m| Arc::new(fixture::route(m.clone(), "s"))).collect();
    Matcher::new(&routes, 1, None, |_| 0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn the_matcher_finds_what_a_walk_over_all_routes_finds(
        routes in proptest::collection::vec(matches(), 0..24),
        requests in proptest::collection::vec(request(), 1..24),
    ) {
        let matcher = matcher(&routes);
        for request in &requests {
            prop_assert_eq!(found(&matcher, request), reference(&routes, request), "{:?} in {:#?}", request, routes);
        }
    }

    #[test]
    fn no_request_upsets_the_matcher(host in ".*", path in ".*", method in ".*") {
        let matcher = matcher(&[Match { host: Some(HostMatch::Wildcard(".b".into())), ..Match::default() }]);
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
    let prefix = |path: &str| Match { path: Some(PathMatch::Prefix(path.into())), ..Match::default() };
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
        Match {
            host: Some(HostMatch::Exact("a.b".into())),
            path: Some(PathMatch::Exact("/only".into())),
            ..Match::default()
        },
        Match { host: Some(HostMatch::Wildcard(".b".into())), ..Match::default() },
        Match::default(),
    ]);
    assert_eq!(found(&matcher, &get("A.b", "/only")), Some(0));
    assert_eq!(found(&matcher, &get("a.b", "/else")), Some(1));
    assert_eq!(found(&matcher, &get("b", "/")), Some(2), "a star stands for a label at least");
}

#[test]
fn a_monstrous_host_costs_no_more_than_the_deepest_wildcard() {
    let matcher =
        matcher(&[Match { host: Some(HostMatch::Wildcard(".b".into())), ..Match::default() }, Match::default()]);
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

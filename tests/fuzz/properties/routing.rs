//! Routes: by host, path, method and header, and by the name that a TLS client asks for. Routes and requests are made of the
//! input.

use std::sync::{Arc, LazyLock};

use standfast::config::{HostMatch, PathMatch, Route, RouteMatch, SniRoute};
use standfast::routing::matching::host_without_port;
use standfast::routing::{HasHeader, Matcher, RouteQuery, sni};
use standfast::wire::client_hello;

use super::fixture;
use super::tools::{Bytes, bounded, shown};

pub fn check(input: &[u8]) {
    let mut bytes = Bytes(input);
    let matches: Vec<RouteMatch> = (0..1 + bytes.byte() % 8).map(|_| some_match(&mut bytes)).collect();
    bounded(1 << 20, || {
        let matcher = matcher(&matches);
        for _ in 0..4 {
            let request = Request::made(&mut bytes);
            holds(&matches, &matcher, &request);
            if let Ok(name) = String::from_utf8(request.host.to_ascii_lowercase()) {
                by_name(&matches, name);
            }
        }
    });
}

/// What a request carries.
#[derive(Clone, Debug)]
pub struct Request {
    pub host: Vec<u8>,
    pub path: Vec<u8>,
    pub method: Vec<u8>,
    pub headers: Vec<(String, String)>,
}

impl HasHeader for Request {
    fn has(&self, name: &str, value: Option<&str>) -> bool {
        self.headers.iter().any(|(other, found)| other == name && value.is_none_or(|value| value == found))
    }
}

impl Request {
    fn made(bytes: &mut Bytes<'_>) -> Request {
        let given = match bytes.byte() % 4 {
            0 => bytes.text(40),
            1 => host(bytes).to_uppercase().into_bytes(),
            2 => format!("{}.:8{}", host(bytes), bytes.byte()).into_bytes(),
            _ => [bytes.text(4), b".".to_vec(), host(bytes).into_bytes()].concat(),
        };
        let host = host_without_port(&given).to_vec();
        assert!(given.starts_with(&host), "{}", shown(&given));
        let path = match bytes.byte() % 4 {
            0 => [b"/".to_vec(), bytes.text(20)].concat(),
            1 => b"*".to_vec(),
            2 => [path(bytes).into_bytes(), bytes.text(6)].concat(),
            _ => path(bytes).into_bytes(),
        };
        let headers =
            (0..bytes.byte() % 3).map(|_| (bytes.one_of(&["x-a", "x-b"]).into(), bytes.one_of(&["1", "2", ""]).into()));
        let headers = headers.collect();
        Request { host, path, method: bytes.one_of(&["GET", "POST", "PUT"]).into(), headers }
    }
}

fn host(bytes: &mut Bytes<'_>) -> String {
    let labels: Vec<&str> = (0..1 + bytes.byte() % 4).map(|_| bytes.one_of(&["a", "b", "com", "x-1"])).collect();
    labels.join(".")
}

fn path(bytes: &mut Bytes<'_>) -> String {
    let segments = ["", "api", "apiary", "a", "%2f", "*", "API"];
    let segments: Vec<&str> = (0..bytes.byte() % 6).map(|_| bytes.one_of(&segments)).collect();
    format!("/{}", segments.join("/"))
}

fn some_match(bytes: &mut Bytes<'_>) -> RouteMatch {
    RouteMatch {
        host: match bytes.byte() % 3 {
            0 => None,
            1 => Some(HostMatch::Exact(host(bytes))),
            _ => Some(HostMatch::Wildcard(format!(".{}", host(bytes)))),
        },
        path: match bytes.byte() % 3 {
            0 => None,
            1 => Some(PathMatch::Exact(path(bytes))),
            _ => Some(PathMatch::Prefix(path(bytes))),
        },
        methods: (0..bytes.byte() % 3).map(|_| bytes.one_of(&["GET", "POST"]).to_owned()).collect(),
        headers: (0..bytes.byte() % 3)
            .map(|_| {
                (
                    bytes.one_of(&["x-a", "x-b"]).to_owned(),
                    bytes.one_of(&[None, Some("1"), Some("2")]).map(str::to_owned),
                )
            })
            .collect(),
    }
}

/// A matcher of routes that differ in nothing else.
pub fn matcher(matches: &[RouteMatch]) -> Matcher {
    static ROUTE: LazyLock<Route> = LazyLock::new(|| fixture::route("{service: http, upgrades: off}"));
    let route =
        |matches: &RouteMatch| Arc::new(Route { matches: matches.clone(), service: "s".into(), ..ROUTE.clone() });
    let routes: Vec<Arc<Route>> = matches.iter().map(route).collect();
    Matcher::new(&routes, 1, None, |_| 0)
}

/// The matcher finds what a walk over all routes finds.
pub fn holds(matches: &[RouteMatch], matcher: &Matcher, request: &Request) {
    let asked = RouteQuery { host: &request.host, path: &request.path, method: &request.method, headers: request };
    let found = matcher.find(&asked).map(|route| route.index);
    assert_eq!(found, reference(matches, request), "{request:?} in {matches:#?}");
}

/// The documentation, written down as a comparison.
fn reference(routes: &[RouteMatch], request: &Request) -> Option<usize> {
    let host = request.host.to_ascii_lowercase();
    let host_rank = |m: &RouteMatch| match &m.host {
        None => Some(0),
        // No name is longer.
        Some(_) if host.len() > 255 => None,
        Some(HostMatch::Exact(exact)) => (exact.as_bytes() == host).then_some(usize::MAX),
        Some(HostMatch::Wildcard(suffix)) => {
            (host.ends_with(suffix.as_bytes()) && host.len() > suffix.len()).then_some(suffix.len())
        }
    };
    let path_rank = |m: &RouteMatch| match &m.path {
        None => Some(0),
        Some(PathMatch::Exact(exact)) => (exact.as_bytes() == request.path).then_some(usize::MAX),
        Some(PathMatch::Prefix(prefix)) if prefix == "/" => Some(0),
        Some(PathMatch::Prefix(prefix)) => {
            let rest = request.path.strip_prefix(prefix.as_bytes())?;
            (rest.is_empty() || prefix.ends_with('/') || rest.starts_with(b"/")).then_some(prefix.len())
        }
    };
    let rank = |(index, m): (usize, &RouteMatch)| {
        let (host, path) = (host_rank(m)?, path_rank(m)?);
        let method = m.methods.is_empty() || m.methods.iter().any(|method| method.as_bytes() == request.method);
        let headers = m.headers.iter().all(|(name, value)| request.has(name, value.as_deref()));
        let order = (host, path, !m.methods.is_empty(), m.headers.len(), std::cmp::Reverse(index));
        (method && headers).then_some(order)
    };
    routes.iter().enumerate().filter_map(rank).max().map(|best| best.4.0)
}

/// By the name of a ClientHello the first route wins; a wildcard takes the same names as that of a Host.
fn by_name(matches: &[RouteMatch], name: String) {
    let routes = matches.iter().map(|m| Arc::new(SniRoute { sni: m.host.clone(), alpn: vec![], service: "s".into() }));
    let routes: Vec<_> = routes.collect();
    let takes = |route: &Arc<SniRoute>| match &route.sni {
        None => true,
        Some(HostMatch::Exact(exact)) => *exact == name,
        Some(HostMatch::Wildcard(end)) => name.ends_with(end.as_str()) && name.len() > end.len(),
    };
    let wanted = routes.iter().position(takes);
    let asked = client_hello::HelloRequest { name: Some(name.clone()), protocols: vec![] };
    let found =
        sni::find(&routes, Some(&asked)).and_then(|found| routes.iter().position(|route| Arc::ptr_eq(route, found)));
    assert_eq!(found, wanted, "{name} in {routes:#?}");
}

//! Request → route. Of all routes that take a request the most specific wins: first by host (exact, then the longest
//! wildcard, then any), then by path (exact, then the longest prefix), then by method (named before any), then by the number of
//! header conditions, and last by the order of the file.
//!
//! The cost depends on the request (labels of its host, segments of its path, both cut at the deepest configured), not on
//! the number of routes; only routes that differ in nothing but method and headers are walked one by one. No allocation.

use std::collections::HashMap;
use std::sync::Arc;

use memchr::memchr;
use smallvec::SmallVec;

use super::LatencyEstimate;
use crate::config::{HostMatch, Name, PathMatch, Route, RouteMatch};

/// What a request asks for.
#[derive(Clone, Copy)]
pub struct RouteQuery<'a, H: ?Sized> {
    /// The host without its port (see [`host_without_port`]), in any case.
    pub host: &'a [u8],
    /// The path without the query, as received (nothing decoded).
    pub path: &'a [u8],
    /// The method.
    pub method: &'a [u8],
    /// The header.
    pub headers: &'a H,
}

/// What the matcher must be able to ask a header.
pub trait HasHeader {
    /// Is there a field of this name (lower case), with exactly this value if one is given?
    fn has(&self, name: &str, value: Option<&str>) -> bool;
}

impl<F: Fn(&str, Option<&str>) -> bool> HasHeader for F {
    fn has(&self, name: &str, value: Option<&str>) -> bool {
        self(name, value)
    }
}

/// The part of `Host` or `:authority` before its port; an IPv6 literal keeps its brackets. One trailing dot is dropped.
pub fn host_without_port(host: &[u8]) -> &[u8] {
    let end = match host {
        [b'[', rest @ ..] => memchr(b']', rest).map(|end| end + 2),
        _ => memchr(b':', host),
    };
    let host = &host[..end.unwrap_or(host.len())];
    host.strip_suffix(b".").unwrap_or(host)
}

/// A route, ready to be followed.
#[derive(Debug)]
pub struct RouteView {
    /// As configured.
    pub config: Arc<Route>,
    /// Its place in the file: a stable name for logs.
    pub index: usize,
    /// Its service, an index into [`RoutingTable::services`](super::RoutingTable::services).
    pub service: usize,
    /// How long its answers usually take. Survives republishing.
    pub latency: Arc<LatencyEstimate>,
}

/// The routes of one listener.
#[derive(Debug, Default)]
pub struct Matcher {
    routes: Vec<RouteView>,
    exact: HashMap<Box<[u8]>, PathTree>,
    /// By what follows the star, the dot included.
    wildcard: HashMap<Box<[u8]>, PathTree>,
    /// Most dots in a wildcard.
    wildcard_depth: usize,
    any: PathTree,
}

/// The longest host name there is; a longer one is only matched by routes for any host.
const LONGEST_HOST: usize = 255;

impl Matcher {
    /// Prepares these routes for so many workers; `place` finds a service's index. What `old` knew of routes to the same
    /// service by the same match is kept.
    pub fn new(
        routes: &[Arc<Route>],
        workers: usize,
        old: Option<&Matcher>,
        place: impl Fn(&Name) -> usize,
    ) -> Matcher {
        let known: HashMap<_, _> = old
            .iter()
            .flat_map(|old| &old.routes)
            .map(|view| ((&view.config.matches, &view.config.service), view))
            .collect();
        let mut matcher = Matcher::default();
        for (index, route) in routes.iter().enumerate() {
            let latency = known
                .get(&(&route.matches, &route.service))
                .map_or_else(|| Arc::new(LatencyEstimate::new(workers)), |old| Arc::clone(&old.latency));
            matcher.routes.push(RouteView {
                config: Arc::clone(route),
                index,
                service: place(&route.service),
                latency,
            });
            let paths = match &route.matches.host {
                Some(HostMatch::Exact(host)) => matcher.exact.entry(host.as_bytes().into()).or_default(),
                Some(HostMatch::Wildcard(suffix)) => {
                    let depth = suffix.bytes().filter(|b| *b == b'.').count();
                    matcher.wildcard_depth = matcher.wildcard_depth.max(depth);
                    matcher.wildcard.entry(suffix.as_bytes().into()).or_default()
                }
                None => &mut matcher.any,
            };
            paths.insert(route.matches.path.as_ref(), index as u32);
        }
        let routes = std::mem::take(&mut matcher.routes);
        let every = matcher.exact.values_mut().chain(matcher.wildcard.values_mut()).chain([&mut matcher.any]);
        every.for_each(|paths| paths.sort(&routes));
        matcher.routes = routes;
        matcher
    }

    /// Was it made from these routes and these indices?
    pub(super) fn is_of(&self, routes: &[Arc<Route>], place: impl Fn(&Name) -> usize) -> bool {
        self.routes.len() == routes.len()
            && self.routes.iter().zip(routes).all(|(view, route)| {
                (Arc::ptr_eq(&view.config, route) || view.config == *route) && view.service == place(&route.service)
            })
    }

    /// The routes, in the order of the file.
    pub fn routes(&self) -> &[RouteView] {
        &self.routes
    }

    /// The most specific route that takes this request.
    pub fn find<H: HasHeader + ?Sized>(&self, asked: &RouteQuery<'_, H>) -> Option<&RouteView> {
        if self.exact.is_empty() && self.wildcard.is_empty() {
            return self.any.find(asked, &self.routes);
        }
        let mut lower = [0; LONGEST_HOST];
        let named = lower_case(asked.host, &mut lower).and_then(|host| self.find_named(host, asked));
        named.or_else(|| self.any.find(asked, &self.routes))
    }

    fn find_named<H: HasHeader + ?Sized>(&self, host: &[u8], asked: &RouteQuery<'_, H>) -> Option<&RouteView> {
        if let Some(paths) = self.exact.get(host)
            && let Some(route) = paths.find(asked, &self.routes)
        {
            return Some(route);
        }
        if self.wildcard.is_empty() {
            return None;
        }
        // The last `wildcard_depth` dots, leftmost first: the longest suffix first. A star stands for one label at least.
        let dots: SmallVec<[usize; 8]> =
            memchr::memrchr_iter(b'.', host).take(self.wildcard_depth).filter(|dot| *dot > 0).collect();
        let suffixes = dots.iter().rev().filter_map(|dot| self.wildcard.get(&host[*dot..]));
        suffixes.filter_map(|paths| paths.find(asked, &self.routes)).next()
    }
}

/// The host in lower case, without allocation; `None` when no host name is that long.
fn lower_case<'a>(host: &'a [u8], buffer: &'a mut [u8; LONGEST_HOST]) -> Option<&'a [u8]> {
    if !host.iter().any(u8::is_ascii_uppercase) {
        return (host.len() <= LONGEST_HOST).then_some(host);
    }
    let lower = buffer.get_mut(..host.len())?;
    lower.copy_from_slice(host);
    lower.make_ascii_lowercase();
    Some(lower)
}

/// The routes of one host, as a tree of path segments.
#[derive(Debug)]
struct PathTree {
    /// Routes for any path.
    all: Rivals,
    /// The first is the root: the path before its first slash.
    nodes: Vec<PathNode>,
}

impl Default for PathTree {
    fn default() -> Self {
        PathTree { all: Rivals::default(), nodes: vec![PathNode::default()] }
    }
}

/// A place in the tree: the path up to here.
#[derive(Debug, Default)]
struct PathNode {
    children: HashMap<Box<[u8]>, u32>,
    /// The path ends here.
    exact: Rivals,
    /// The path ends here or goes on with a slash.
    prefix: Rivals,
    /// The path goes on with a slash (a prefix written with one at its end).
    below: Rivals,
}

/// Routes that differ in method, headers and order only, the most specific first.
type Rivals = SmallVec<[u32; 2]>;

impl PathTree {
    fn insert(&mut self, path: Option<&PathMatch>, route: u32) {
        let rivals = match path {
            None => &mut self.all,
            Some(PathMatch::Exact(path)) => &mut self.node(path).exact,
            Some(PathMatch::Prefix(path)) if path == "/" || path.is_empty() => &mut self.all,
            Some(PathMatch::Prefix(path)) => match path.strip_suffix('/') {
                Some(path) => &mut self.node(path).below,
                None => &mut self.node(path).prefix,
            },
        };
        rivals.push(route);
    }

    fn node(&mut self, path: &str) -> &mut PathNode {
        let mut at = 0;
        for segment in segments(path.as_bytes()) {
            at = match self.nodes[at].children.get(segment) {
                Some(child) => *child as usize,
                None => {
                    let child = self.nodes.len();
                    self.nodes[at].children.insert(segment.into(), child as u32);
                    self.nodes.push(PathNode::default());
                    child
                }
            };
        }
        &mut self.nodes[at]
    }

    fn sort(&mut self, routes: &[RouteView]) {
        let rank = |route: &u32| {
            let RouteMatch { methods, headers, .. } = &routes[*route as usize].config.matches;
            (methods.is_empty(), std::cmp::Reverse(headers.len()), *route)
        };
        self.all.sort_by_key(rank);
        for node in &mut self.nodes {
            node.exact.sort_by_key(rank);
            node.prefix.sort_by_key(rank);
            node.below.sort_by_key(rank);
        }
    }

    fn find<'r, H: HasHeader + ?Sized>(
        &self,
        asked: &RouteQuery<'_, H>,
        routes: &'r [RouteView],
    ) -> Option<&'r RouteView> {
        let (walked, whole) = self.walk(asked.path);
        let fits = |rivals: &Rivals| rivals.iter().map(|r| &routes[*r as usize]).find(|r| r.takes(asked));
        let deepest = walked.len() - 1;
        for (depth, node) in walked.iter().enumerate().rev() {
            let node = &self.nodes[*node as usize];
            let ends_here = whole && depth == deepest;
            let found = if ends_here {
                fits(&node.exact).or_else(|| fits(&node.prefix))
            } else {
                fits(&node.below).or_else(|| fits(&node.prefix))
            };
            if found.is_some() {
                return found;
            }
        }
        fits(&self.all)
    }

    /// The nodes along this path from the root on, and whether the last of them is the whole path.
    fn walk(&self, path: &[u8]) -> (SmallVec<[u32; 16]>, bool) {
        let mut walked = SmallVec::new();
        walked.push(0);
        let mut at = 0;
        for segment in segments(path) {
            match self.nodes[at].children.get(segment) {
                Some(child) => at = *child as usize,
                None => return (walked, false),
            }
            walked.push(at as u32);
        }
        (walked, true)
    }
}

/// What follows each slash; nothing for a path without a leading slash (`*`), which only routes for any path take.
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.strip_prefix(b"/").into_iter().flat_map(|rest| rest.split(|&b| b == b'/'))
}

impl RouteView {
    fn takes<H: HasHeader + ?Sized>(&self, asked: &RouteQuery<'_, H>) -> bool {
        let RouteMatch { methods, headers, .. } = &self.config.matches;
        (methods.is_empty() || methods.iter().any(|method| method.as_bytes() == asked.method))
            && headers.iter().all(|(name, value)| asked.headers.has(name, value.as_deref()))
    }
}

#[cfg(test)]
#[path = "matching_tests.rs"]
mod tests;

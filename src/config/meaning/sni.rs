//! `routes:` of a tcp listener: TLS passed through, by what its first message asks for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::diagnostics::Diagnostics;
use super::services::{ServiceIndex, service};
use super::tls;
use crate::config::model::{HostMatch, Protocol, SniRoute};
use crate::config::schema;
use crate::config::spanned::{ShorthandMap, Spanned};
use crate::config::tree::NodeId;

pub(super) fn routes(
    diagnostics: &mut Diagnostics,
    list: &[Spanned<ShorthandMap<schema::Route>>],
    services: &ServiceIndex,
) -> Vec<Arc<SniRoute>> {
    let mut found: Vec<Arc<SniRoute>> = Vec::new();
    let mut taken = EarlierRoutes::default();
    for (index, item) in list.iter().enumerate() {
        let Some((at, typed)) = item.found() else { continue };
        let before = diagnostics.found.len();
        let Some(route) = route(diagnostics, at, &typed.0, services) else { continue };
        // With a problem in it, what it matches is not known.
        if diagnostics.found.len() == before {
            let route = Arc::new(route);
            if let Some(first) = taken.before(index, &route) {
                let what = format!("this route never gets a connection: routes[{first}] takes the same before it");
                diagnostics.warning(
                    at,
                    what,
                    "put it before that one, or remove it: the first route that matches is taken",
                );
            }
            found.push(route);
        }
    }
    found
}

fn route(
    diagnostics: &mut Diagnostics,
    at: NodeId,
    typed: &schema::Route,
    services: &ServiceIndex,
) -> Option<SniRoute> {
    let bytes = "a tcp listener passes bytes through and sees no HTTP";
    let advice = "its routes match by `sni` and `alpn` alone";
    let besides = [typed.request_headers.at(), typed.response_headers.at(), typed.timeouts.at(), typed.upgrades.at()];
    for at in besides.into_iter().flatten() {
        diagnostics.problem(at, bytes, "leave it out");
    }
    let matches = typed.matches.get().cloned().unwrap_or_default();
    let of_http =
        [matches.host.at(), matches.path.at(), matches.path_prefix.at(), matches.method.at(), matches.headers.at()];
    for at in of_http.into_iter().flatten() {
        diagnostics.problem(at, bytes, advice);
    }
    let sni = matches.sni.found().and_then(|(at, text)| tls::asked_name(diagnostics, at, text));
    let alpn = matches.alpn.get().map_or(&[][..], |list| &list.0);
    let alpn = alpn.iter().filter_map(Spanned::found);
    let alpn = alpn.filter_map(|(at, text)| tls::protocol_name(diagnostics, at, text)).collect();
    let name = diagnostics.required(&typed.service, at, "service", "service: NAME")?;
    let service = service(diagnostics, typed.service.at().unwrap_or(at), name, Protocol::Tcp, services)?;
    Some(SniRoute { sni, alpn, service })
}

/// What the routes before one take, by the name that is asked for.
#[derive(Default)]
struct EarlierRoutes(HashMap<Option<HostMatch>, RoutesOfName>);

/// Of routes with one name: what they take by what a client offers. A route stands here only if none before it takes all of its
/// connections: what it takes beyond is taken by that one too.
#[derive(Default)]
struct RoutesOfName {
    /// The first route that takes every offer.
    all: Option<usize>,
    /// By each protocol the routes that take clients which offer it, first ones first.
    by_protocol: HashMap<String, Vec<RouteOffers>>,
}

/// The place of a route and the offers that it takes.
#[derive(Clone)]
struct RouteOffers {
    index: usize,
    offers: Arc<HashSet<String>>,
}

impl EarlierRoutes {
    /// The first route that takes every connection that this one would; otherwise it is noted, for those after it.
    fn before(&mut self, index: usize, route: &SniRoute) -> Option<usize> {
        let first = names_around(&route.sni).filter_map(|name| self.0.get(&name)?.before(&route.alpn)).min();
        if first.is_none() {
            self.0.entry(route.sni.clone()).or_default().note(index, &route.alpn);
        }
        first
    }
}

impl RoutesOfName {
    fn before(&self, offers: &[String]) -> Option<usize> {
        let lists = offers.iter().map(|offer| self.by_protocol.get(offer).map_or(&[][..], Vec::as_slice));
        // A route that takes all of the offers stands under each of them: the shortest list is as good as any.
        let few = lists.min_by_key(|list| list.len()).unwrap_or_default();
        let takes_all = |takes: &&RouteOffers| offers.iter().all(|offer| takes.offers.contains(offer));
        let some = few.iter().find(takes_all).map(|takes| takes.index);
        self.all.into_iter().chain(some).min()
    }

    fn note(&mut self, index: usize, offers: &[String]) {
        if offers.is_empty() {
            self.all = self.all.or(Some(index));
        }
        let takes = RouteOffers { index, offers: Arc::new(offers.iter().cloned().collect()) };
        for offer in takes.offers.iter() {
            self.by_protocol.entry(offer.clone()).or_default().push(takes.clone());
        }
    }
}

/// The names by which a route takes every connection that one with this name would: no name at all, the same, and every wildcard
/// around it.
fn names_around(name: &Option<HostMatch>) -> impl Iterator<Item = Option<HostMatch>> + use<> {
    let (exact, wildcards) = match name {
        None => (None, Vec::new()),
        Some(HostMatch::Exact(name)) => (Some(HostMatch::Exact(name.clone())), ends(name)),
        Some(HostMatch::Wildcard(end)) => (None, ends(end)),
    };
    std::iter::once(None).chain(exact.map(Some)).chain(wildcards.into_iter().map(|end| Some(HostMatch::Wildcard(end))))
}

/// `a.b.c` → `.b.c`, `.c`; `.b.c` → `.b.c`, `.c`: there are at most as many as a name has labels.
fn ends(name: &str) -> Vec<String> {
    name.match_indices('.').map(|(dot, _)| name[dot..].to_owned()).collect()
}

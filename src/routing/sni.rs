//! A TLS connection that is passed through → the first route that takes what its ClientHello asks for.

use std::sync::Arc;

use crate::config::{HostMatch, SniRoute};
use crate::wire::client_hello::HelloRequest;

/// The first route that takes it. `None` asked: what came is not TLS, and only a route that asks for
/// nothing takes it.
pub fn find<'r>(routes: &'r [Arc<SniRoute>], asked: Option<&HelloRequest>) -> Option<&'r Arc<SniRoute>> {
    routes.iter().find(|route| takes(route, asked))
}

/// The first route, if it takes whatever comes: nothing has to be known of the connection.
pub fn takes_all(routes: &[Arc<SniRoute>]) -> Option<&Arc<SniRoute>> {
    routes.first().filter(|route| takes(route, None))
}

fn takes(route: &SniRoute, asked: Option<&HelloRequest>) -> bool {
    let Some(asked) = asked else { return route.sni.is_none() && route.alpn.is_empty() };
    let name = match (&route.sni, &asked.name) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(HostMatch::Exact(name)), Some(asked)) => name == asked,
        // At least one label stands before the wildcard's end.
        (Some(HostMatch::Wildcard(end)), Some(asked)) => asked.len() > end.len() && asked.ends_with(end.as_str()),
    };
    let offered = |name: &String| asked.protocols.iter().any(|offer| offer == name.as_bytes());
    name && (route.alpn.is_empty() || route.alpn.iter().any(offered))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(sni: Option<&str>, alpn: &[&str], service: &str) -> Arc<SniRoute> {
        let sni = sni.map(|name| match name.strip_prefix('*') {
            Some(end) => HostMatch::Wildcard(end.into()),
            None => HostMatch::Exact(name.into()),
        });
        Arc::new(SniRoute { sni, alpn: alpn.iter().map(|name| (*name).into()).collect(), service: service.into() })
    }

    fn asked(name: Option<&str>, protocols: &[&str]) -> HelloRequest {
        HelloRequest {
            name: name.map(Into::into),
            protocols: protocols.iter().map(|name| name.as_bytes().to_vec()).collect(),
        }
    }

    #[test]
    fn the_first_route_that_takes_it_wins() {
        let routes = [
            route(Some("a.example.com"), &["h2", "imap"], "0"),
            route(Some("a.example.com"), &[], "1"),
            route(Some("*.example.com"), &[], "2"),
            route(None, &["xmpp"], "3"),
        ];
        for (name, offers, expected) in [
            (Some("a.example.com"), &["http/1.1", "h2"][..], Some("0")),
            (Some("a.example.com"), &["http/1.1"], Some("1")),
            (Some("a.example.com"), &["H2"], Some("1")),
            (Some("x.a.example.com"), &[], Some("2")),
            (Some("example.com"), &[], None),
            (Some(".example.com"), &[], None),
            (Some("badexample.com"), &["xmpp"], Some("3")),
            (None, &["xmpp"], Some("3")),
            (None, &["h2"], None),
        ] {
            let found = find(&routes, Some(&asked(name, offers)));
            assert_eq!(found.map(|route| &*route.service), expected, "{name:?} {offers:?}");
        }
        assert_eq!((find(&routes, None), takes_all(&routes)), (None, None));
    }

    #[test]
    fn a_route_that_asks_for_nothing_takes_what_is_not_tls() {
        let routes = [route(Some("a"), &[], "a"), route(None, &[], "rest")];
        assert_eq!(find(&routes, None), Some(&routes[1]));
        assert_eq!(find(&routes, Some(&asked(None, &[]))), Some(&routes[1]));
        assert_eq!((takes_all(&routes), takes_all(&routes[1..])), (None, Some(&routes[1])));
    }
}

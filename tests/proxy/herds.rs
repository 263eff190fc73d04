//! Many at once: everybody is served, and upstreams do not feel it.

use tokio::task::JoinSet;

use crate::support::plane::http_yaml;
use crate::support::{Behaviour, Client, Plane, Upstream, get};

/// All connect before anybody is answered, ask once, and leave.
async fn herd(plane: &Plane, count: usize) {
    let mut clients = JoinSet::new();
    for n in 0..count {
        let address = plane.address("web");
        clients.spawn(async move { Client::connect(address).await.ask(get("/", &n.to_string())).await.status() });
    }
    let answers = clients.join_all().await;
    assert_eq!(answers, vec![200; count]);
}

#[tokio::test]
async fn a_thousand_clients_at_once_are_served_over_as_many_connections_as_the_limit_allows() {
    let upstream = Upstream::start(Behaviour::ok("hello")).await;
    let limits = "    limits: {max_connections: 16, max_pending: 1000}\n";
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], limits));
    herd(&plane, 1000).await;
    assert_eq!(upstream.requests(), 1000);
    assert!(upstream.accepted() <= 16, "{} connects", upstream.accepted());
}

#[tokio::test]
async fn what_one_herd_has_opened_serves_the_next() {
    let upstream = Upstream::start(Behaviour::ok("hello")).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], "    limits: {max_connections: 1000}\n"));
    herd(&plane, 500).await;
    let first = upstream.accepted();
    assert!(first <= 500, "{first} connects");
    herd(&plane, 500).await;
    // Of each herd at most as many are under way at once as there are clients, and nothing was closed in between.
    assert!(upstream.accepted() <= 500, "{} connects", upstream.accepted());
    assert_eq!(upstream.open(), upstream.accepted());
}

//! One client's requests move nothing, on the shape of the README: home, standby, page, checks that are green all the time. What is
//! real is found all the same.

use std::net::{Ipv4Addr, SocketAddr};

use standfast::decision::{Cause, Operational};
use tokio::net::TcpSocket;

use super::scene::{Scene, good};
use crate::support::plane::http_yaml;
use crate::support::{Behaviour, Client, Instance, Then, Upstream, get, post, response};

/// Checks that are out of the way, and a page behind the standby.
const QUIET: &str = "    health_check: {http: {path: /health}, interval: 9s, timeout: 5s, fast_interval: 5s}\n    failover: {failback: {hold_down: 200ms}}\n    hold_response: 0\n";

fn with_page(yaml: String) -> String {
    let standby = yaml.rfind("      - {name: ").expect("pools");
    let end = standby + yaml[standby..].find('\n').expect("a line") + 1;
    let page = "      - {name: page, static_response: {status: 503, body: sorry}}\n";
    format!("{}{page}{}", &yaml[..end], &yaml[end..])
}

/// A client of another network: each loopback address is one.
async fn client_of(network: u8, address: SocketAddr) -> Client {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, network), 0))).expect("loopback");
    Client::over(socket.connect(address).await.expect("the proxy accepts"))
}

async fn clients(networks: std::ops::Range<u8>, address: SocketAddr) -> Vec<Client> {
    let mut clients = Vec::new();
    for network in networks {
        clients.push(client_of(network, address).await);
    }
    clients
}

/// Everybody is answered by home.
async fn others_are_served(others: &mut [Client]) {
    for client in others {
        assert_eq!(client.ask(get("/", "other")).await.text(), "home");
    }
}

#[tokio::test]
async fn one_clients_bad_url_moves_nothing() {
    let mut scene = Scene::start_with(QUIET, with_page).await;
    let bad = Behaviour::answer(503, "bad");
    scene.upstreams().for_each(|upstream| upstream.behave(good("home").but("/bad", bad.clone())));
    scene.standby.iter().for_each(|upstream| upstream.behave(good("standby").but("/bad", bad.clone())));
    let address = scene.proxy.address("web");
    let mut others = clients(10..16, address).await;
    let mut abuser = client_of(66, address).await;
    for round in 0..30 {
        others_are_served(&mut others).await;
        for n in 0..8 {
            let request = get(&format!("/bad/{}", n % 3), &format!("{round}-{n}"));
            assert_eq!(abuser.ask(request).await.status(), 503);
        }
    }
    others_are_served(&mut others).await;
    assert_eq!(scene.proxy.news(), Default::default());
}

#[tokio::test]
async fn an_abuser_that_home_limits_and_the_standby_answers_moves_nothing() {
    let mut scene = Scene::start_with(QUIET, with_page).await;
    let later = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n";
    let limited = Behaviour::Say(later.into(), Then::Keep);
    scene.home_behaves(&good("home").but("/api", limited));
    let address = scene.proxy.address("web");
    let mut others = clients(10..16, address).await;
    let mut abuser = client_of(66, address).await;
    for n in 0..200 {
        if n % 10 == 0 {
            others_are_served(&mut others).await;
        }
        abuser.ask(get("/api/orders", &format!("{n}"))).await;
    }
    others_are_served(&mut others).await;
    assert_eq!(scene.proxy.news(), Default::default());
}

#[tokio::test]
async fn a_query_of_death_is_not_sent_again() {
    let mut scene = Scene::start_with(QUIET, with_page).await;
    scene.home_behaves(&good("home").but("/death", Behaviour::reset()));
    scene.standby.iter().for_each(|upstream| upstream.behave(good("standby").but("/death", Behaviour::reset())));
    let address = scene.proxy.address("web");
    let mut others = clients(10..16, address).await;
    let deaths = |scene: &Scene| {
        let heads = scene.upstreams().flat_map(|upstream| upstream.heads()).collect::<Vec<_>>();
        heads.iter().filter(|head| head.starts_with("GET /death")).count()
    };
    let mut first = 0;
    for n in 0..12 {
        others_are_served(&mut others).await;
        let mut abuser = client_of(66, address).await;
        assert_eq!(abuser.ask(get("/death", &format!("{n}"))).await.status(), 502);
        if n == 0 {
            first = deaths(&scene);
        }
    }
    assert_eq!(deaths(&scene), first + 11, "one worker each, once it is known");
    others_are_served(&mut others).await;
    assert_eq!(scene.proxy.news(), Default::default());
}

#[tokio::test]
async fn a_database_that_is_down_behind_both_pools_is_no_reason_to_switch() {
    let mut scene = Scene::start_with(QUIET, with_page).await;
    scene.upstreams().for_each(|upstream| upstream.behave(Behaviour::answer(503, "no database").green()));
    let mut client = Client::connect(scene.proxy.address("web")).await;
    for n in 0..60 {
        assert_eq!(client.ask(get(&format!("/{}", n % 2), &format!("{n}"))).await.status(), 503);
    }
    assert_eq!(scene.proxy.news(), Default::default());
    scene.proxy.serves("web", 0).await;
}

#[tokio::test]
async fn posts_of_a_load_balancer_find_a_home_whose_check_lies() {
    let mut scene = Scene::start_with(QUIET, with_page).await;
    scene.home_behaves(&Behaviour::answer(503, "sorry").green());
    let mut client = Client::connect(scene.proxy.address("web")).await;
    let mut failed = 0;
    while client.ask(post("/orders", &format!("p{failed}"), "x")).await.status() != 200 {
        failed += 1;
        assert!(failed < 5_000, "home was not left"); // (five, and no good answer for as long as five take)
    }
    assert!(failed >= 10, "two endpoints of five each: {failed}");
    scene.proxy.serves("web", 1).await;
    assert_eq!(scene.proxy.news().causes(&scene.home()), [Cause::Consecutive]);
}

#[tokio::test]
async fn twelve_gets_in_a_row_to_a_home_of_one_that_answers_503_lose_none() {
    let home = Upstream::start(good("home").green()).await;
    let standby = Upstream::start(good("standby").green()).await;
    let mut proxy = Instance::start(&http_yaml(&[&[home.address], &[standby.address]], QUIET));
    proxy.stand(&[home.address, standby.address], Operational::Healthy).await;
    home.behave(Behaviour::Say(response(503, "sorry"), Then::Keep).green());
    let mut client = Client::connect(proxy.address("web")).await;
    for n in 0..12 {
        assert_eq!(client.ask(get("/", &format!("{n}"))).await.text(), "standby");
    }
    proxy.serves("web", 1).await;
    assert_eq!(proxy.news().causes(&[home.address]), [Cause::Consecutive]);
}

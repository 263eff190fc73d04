//! What operators do under load: nothing is lost.

use standfast::decision::{ActCommand, SwitchKind};
use tokio::sync::watch;

use super::scene::{QUICK, Scene, addresses};
use crate::support::instance::News;
use crate::support::plane::{http_yaml, parsed};
use crate::support::{Behaviour, Client, Then, Upstream, get, until, within};

#[tokio::test]
async fn reloads_lose_nothing() {
    let mut scene = Scene::start(QUICK).await;
    let load = scene.load();
    let (home, standby) = (scene.home(), addresses(&scene.standby));
    for (balance, home) in
        [("round_robin", &home[..]), ("random", &home[..1]), ("random", &home[..]), ("least_request", &home[1..])]
    {
        load.goes_on(30).await;
        let yaml = http_yaml(&[home, &standby], &format!("{QUICK}    balance: {balance}\n"));
        scene.proxy.control.apply(parsed(&yaml)).await.expect("it is good");
    }
    load.goes_on(30).await;
    let ledger = load.stop().await;
    scene.assert_calm(&ledger);
}

#[tokio::test]
async fn a_switchover_and_the_way_home_lose_nothing_and_streams_end_by_themselves() {
    const SWITCHED: &[u8] =
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    const HANDSHAKE: &str = "GET /live/socket HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    const GOING_AWAY: &[u8] = &[0x88, 2, 0x03, 0xe9];

    let (tell, _) = watch::channel(false);
    let last = Behaviour::Say(b"3\r\ntwo\r\n0\r\n\r\n".to_vec(), Then::Keep).when(&tell);
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n".to_vec();
    let events =
        Behaviour::Begin(head, Box::new(last)).but("/live/socket", Behaviour::Say(SWITCHED.to_vec(), Then::Stall));
    let live = [Upstream::start(events).await, Upstream::start(Behaviour::ok("standby")).await];
    let pools = addresses(&live).map(|address| format!("[\"{address}\"]"));
    let service = format!(
        "  live:\n    failover: {{drain_timeout: 1s}}\n    pools: [{{name: p0, endpoints: {}}}, {{name: p1, endpoints: {}}}]\n",
        pools[0], pools[1]
    );
    let routes = "routes: [{service: live, match: {path_prefix: /live}}, {service: web}]";
    let mut scene = Scene::start_with(QUICK, |yaml| yaml.replace("routes: [{service: web}]", routes) + &service).await;

    let address = scene.proxy.address("web");
    let (mut socket, mut events) = (Client::connect(address).await, Client::connect(address).await);
    assert_eq!(socket.ask(HANDSHAKE).await.status(), 101);
    events.send(get("/live/events", "events")).await;
    until("the events flow", || live[0].executed("events") == 1).await;

    let load = scene.load();
    load.goes_on(30).await;
    for service in ["web", "live"] {
        scene.proxy.order(ActCommand::Switchover { service: service.into(), pool: "p1".into() }).await;
        scene.proxy.serves(service, 1).await;
    }
    let switched = load.mark();
    tell.send_replace(true);
    assert_eq!(within(events.answer()).await.expect("to its end").text(), "onetwo");
    assert_eq!(socket.rest().await.0, GOING_AWAY);
    load.goes_on(30).await;
    scene.proxy.order(ActCommand::Failback { service: "web".into() }).await;
    scene.proxy.serves("web", 0).await;
    load.goes_on(30).await;
    let ledger = load.stop().await;
    assert!(ledger.failed().is_empty(), "{:?}", ledger.failed());
    scene.audit(&ledger);
    let by = |number: usize| ledger.0[number].answer.as_ref().map_or("", |answer| answer.text());
    assert_eq!((by(0), by(switched), by(ledger.0.len() - 1)), ("home", "standby", "home"));
    let switches = [SwitchKind::Switchover, SwitchKind::Switchover, SwitchKind::Failback];
    assert_eq!(scene.proxy.news(), News { switches: switches.to_vec(), verdicts: Vec::new() });
}

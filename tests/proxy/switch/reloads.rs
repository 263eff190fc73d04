//! What a reload takes away ends as `failover.sessions` says, and what it only renames goes on. Whole instances.

use std::net::SocketAddr;
use std::time::Duration;

use standfast::wire::websocket::GOING_AWAY;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::plane::{parsed, yaml};
use crate::support::upstream::{header, read_head};
use crate::support::{Behaviour, Client, Instance, Then, Upstream, get, until, within};

const DRAIN: Duration = Duration::from_millis(600);
const UPGRADE: &str = "GET /live HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// What goes on over a connection when the reload comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Session,
    Tunnel,
    Stream,
}

/// An upstream that says its name in `X-Name`: in an answer that does not end, or ahead of a tunnel.
async fn upstream(name: &str) -> Upstream {
    let stream = format!("HTTP/1.1 200 OK\r\nX-Name: {name}\r\nContent-Length: 100000\r\n\r\nbegun");
    let tunnel = format!(
        "HTTP/1.1 101 Switching Protocols\r\nX-Name: {name}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    let tunnel = Behaviour::Say(tunnel.into_bytes(), Then::Stall);
    let quick = Behaviour::ok(name);
    Upstream::start(Behaviour::Say(stream.into_bytes(), Then::Stall).but("/live", tunnel).but("/quick", quick)).await
}

struct Scene {
    upstreams: Vec<Upstream>,
    instance: Instance,
    work: Work,
    more: String,
}

impl Scene {
    /// The pools are [a, b] and [c]; d is in none.
    async fn start(work: Work, sessions: &str) -> Scene {
        let mut upstreams = Vec::new();
        for name in ["a", "b", "c", "d"] {
            upstreams.push(upstream(name).await);
        }
        let drain = humantime::format_duration(DRAIN);
        let more =
            format!("    balance: round_robin\n    failover: {{sessions: {sessions}, drain_timeout: {drain}}}\n");
        let addresses: Vec<SocketAddr> = upstreams.iter().map(|upstream| upstream.address).collect();
        let instance = Instance::start(&Scene::text(work, &more, &[&addresses[..2], &addresses[2..3]]));
        instance.serves("web", 0).await;
        Scene { upstreams, instance, work, more }
    }

    fn text(work: Work, more: &str, pools: &[&[SocketAddr]]) -> String {
        yaml(if work == Work::Session { "tcp" } else { "http" }, pools, "", more)
    }

    fn pools(&self, pools: [&[usize]; 2]) -> String {
        let [first, second] =
            pools.map(|pool| pool.iter().map(|at| self.upstreams[*at].address).collect::<Vec<SocketAddr>>());
        Scene::text(self.work, &self.more, &[&first, &second])
    }

    async fn reload(&self, text: &str) {
        let epoch = self.instance.control.apply(parsed(text)).await.expect("it is in order").epoch;
        let published = self.instance.control.published();
        until("the worker has taken it up", || published.all_acknowledged(epoch)).await;
    }

    /// Work that goes on at this upstream.
    async fn begin(&self, at: &str) -> TcpStream {
        for _ in 0..16 {
            let mut client = TcpStream::connect(self.instance.address("web")).await.expect("it accepts");
            let asked = if self.work == Work::Tunnel { UPGRADE.to_owned() } else { get("/", "1") };
            client.write_all(asked.as_bytes()).await.expect("alive");
            let head = within(read_head(&mut client, &mut Vec::new())).await.expect("an answer begins");
            if header(&head, "x-name") == Some(at) {
                return client;
            }
        }
        panic!("{at} is never asked");
    }

    /// Something else goes through the same worker: what was to end at once has ended by then.
    async fn something_else(&self) {
        let mut client = Client::connect(self.instance.address("web")).await;
        client.send(get("/quick", "2")).await;
        client.answer().await.expect("an answer");
    }
}

/// The same configuration with other names for the first pool and the service.
fn renamed(text: &str, pool: &str, service: &str) -> String {
    let text = text.replace("name: p0", &format!("name: {pool}"));
    text.replace("service: web", &format!("service: {service}")).replace("\n  web:\n", &format!("\n  {service}:\n"))
}

fn goes_on(client: &TcpStream) -> bool {
    let mut bytes = [0; 64];
    loop {
        match client.try_read(&mut bytes) {
            Ok(0) => return false,
            Ok(_) => {} // (what it had begun with)
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

/// Removes, replaces and moves the endpoint a under work, beside work at b.
async fn taken_away(work: Work, sessions: &str) {
    for (how, pools) in
        [("removed", [&[1][..], &[2][..]]), ("replaced", [&[3, 1][..], &[2][..]]), ("moved", [&[1][..], &[2, 0][..]])]
    {
        let scene = Scene::start(work, sessions).await;
        let (taken, kept) = (scene.begin("a").await, scene.begin("b").await);
        scene.reload(&scene.pools(pools)).await;
        let reloaded = tokio::time::Instant::now();
        if sessions == "drain" {
            scene.something_else().await;
            assert!(goes_on(&taken) || reloaded.elapsed() >= DRAIN / 2, "{work:?} {how}: it had time");
        }
        let (bytes, error) = Client::over(taken).rest().await;
        let reset = error.is_some();
        match work {
            Work::Tunnel => assert!(!reset && bytes.ends_with(&GOING_AWAY), "{how}: {bytes:?} {reset}"),
            Work::Session | Work::Stream => assert!(reset, "{work:?} {how}"),
        }
        if sessions == "close" {
            assert!(reloaded.elapsed() < DRAIN, "{work:?} {how}: at once, not after {:?}", reloaded.elapsed());
        }
        assert!(goes_on(&kept), "{work:?} {how}: an endpoint that stays keeps its work");
        until("the endpoint is let go", || scene.upstreams[0].open() == 0).await;
    }
}

#[tokio::test]
async fn with_sessions_close_what_is_at_an_endpoint_that_a_reload_takes_away_ends_at_once() {
    for work in [Work::Session, Work::Tunnel, Work::Stream] {
        taken_away(work, "close").await;
    }
}

#[tokio::test]
async fn with_sessions_drain_what_is_at_an_endpoint_that_a_reload_takes_away_ends_after_its_time() {
    for work in [Work::Session, Work::Tunnel, Work::Stream] {
        taken_away(work, "drain").await;
    }
}

#[tokio::test]
async fn a_service_that_is_taken_for_a_new_one_ends_the_sessions_of_the_old_one_by_its_rule() {
    for work in [Work::Session, Work::Tunnel, Work::Stream] {
        let scene = Scene::start(work, "close").await;
        let client = scene.begin("a").await;
        // The pool has another name too: in doubt it is another service.
        scene.reload(&renamed(&scene.pools([&[0, 1], &[2]]), "main", "shop")).await;
        let reloaded = tokio::time::Instant::now();
        Client::over(client).rest().await;
        assert!(reloaded.elapsed() < DRAIN, "{work:?}");
    }
}

#[tokio::test]
async fn what_a_reload_renames_keeps_its_work() {
    for work in [Work::Session, Work::Tunnel, Work::Stream] {
        for sessions in ["close", "drain"] {
            let scene = Scene::start(work, sessions).await;
            let kept = scene.begin("a").await;
            let text = scene.pools([&[0, 1], &[2]]);
            scene.reload(&renamed(&text, "main", "web")).await;
            scene.reload(&renamed(&text, "main", "shop")).await;
            scene.something_else().await;
            if sessions == "drain" {
                tokio::time::sleep(DRAIN + Duration::from_millis(100)).await;
            }
            assert!(goes_on(&kept), "{work:?} {sessions}");
            scene.instance.serves("shop", 0).await;
        }
    }
}

/// Renames the service and its pools, one after the other, again and again, until `done`.
async fn rename_until(instance: &Instance, text: &str, done: impl Fn() -> bool) {
    for turn in 1_usize.. {
        let pool = if turn == 1 { "p0".to_owned() } else { format!("home-{}", turn / 2) };
        let service = format!("s{}", turn.div_ceil(2));
        instance.control.apply(parsed(&renamed(text, &pool, &service))).await.expect("it is in order");
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn renaming_faster_than_probes_complete_refuses_no_request() {
    let slow_check = Behaviour::ok("ok").after(Duration::from_millis(300));
    let home = Upstream::start(Behaviour::ok("home").but("/health", slow_check.clone())).await;
    let away = Upstream::start(Behaviour::ok("away").but("/health", slow_check)).await;
    let check = "    health_check: {http: {path: /health}, timeout: 900ms}\n";
    let text = yaml("http", &[&[home.address], &[away.address]], "", check);
    let instance = Instance::start(&text);
    let address = instance.address("web");
    let asking = |n: usize| async move {
        let mut client = Client::connect(address).await;
        for turn in 0..60 {
            let answer = client.ask(get("/", &format!("{n}-{turn}"))).await;
            assert_eq!((answer.status(), answer.text()), (200, "home"), "request {turn} of client {n}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let clients: Vec<_> = (0..4).map(|n| tokio::spawn(asking(n))).collect();
    rename_until(&instance, &text, || clients.iter().all(tokio::task::JoinHandle::is_finished)).await;
    for client in clients {
        client.await.expect("every answer is home's");
    }
}

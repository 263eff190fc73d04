//! Bursts of requests that find no idle connection: how many connects they make, and what becomes of those that wait for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::ServerConfig;
use standfast::decision::Failure;
use standfast::routing::{EndpointStats, EndpointTotals};
use standfast::sys::clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::support::client::Answer;
use crate::support::pki::{self, Pki};
use crate::support::plane::{http_yaml, yaml};
use crate::support::{Behaviour, BlackHole, Client, Plane, Upstream, get, post, response, until};

/// Connects to one endpoint under way at once: `AT_ONCE` of `proxy/upstream/dial_gate.rs`.
const AT_ONCE: usize = 16;

/// A connect to such an endpoint lasts as long as its TLS handshake does.
const TLS: &str = "    upstream: {tls: {insecure_skip_verify: true}}\n";

/// An endpoint that accepts connections and says nothing: no TLS handshake with it ends.
struct Mute {
    address: std::net::SocketAddr,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
    end: watch::Sender<()>,
}

impl Mute {
    async fn start() -> Mute {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let accepted = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&accepted);
        let (end, mut ended) = watch::channel(());
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            loop {
                tokio::select! {
                    stream = listener.accept() => open.push(stream.expect("a connection")),
                    _ = ended.changed() => break,
                }
                count.fetch_add(1, Ordering::SeqCst);
            }
            // Nothing is accepted once a connection is closed.
            drop(listener);
        });
        Mute { address, accepted, task, end }
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Closes every connection; further ones are refused.
    async fn die(self) -> usize {
        let accepted = Arc::clone(&self.accepted);
        drop(self.end);
        self.task.await.expect("no panic");
        accepted.load(Ordering::SeqCst)
    }
}

fn stats(plane: &Plane) -> Arc<EndpointStats> {
    Arc::clone(&plane.published.load().services[0].pools[0].endpoints[0].stats)
}

fn totals(plane: &Plane) -> EndpointTotals {
    stats(plane).totals()
}

/// Connects to the first endpoint usually take so long that none is late soon.
fn is_far_away(plane: &Plane) {
    stats(plane).note_connect(Duration::from_secs(1));
}

/// Until so many requests have the first endpoint as theirs, in line or not.
async fn until_in_flight(plane: &Plane, count: usize) {
    until("the requests are there", || totals(plane).in_flight == count as u64).await;
}

/// So many clients ask this at once, each over a connection of its own.
async fn burst(plane: &Plane, count: usize, request: impl Fn(&str) -> String) -> JoinSet<Answer> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(Client::connect(plane.address("web")).await);
    }
    let mut asked = JoinSet::new();
    for (n, mut client) in clients.into_iter().enumerate() {
        let request = request(&n.to_string());
        asked.spawn(async move { client.ask(request).await });
    }
    asked
}

/// All of them are answered so.
async fn answered(burst: JoinSet<Answer>, count: usize, text: &str) {
    let answers = burst.join_all().await;
    assert_eq!(answers.len(), count);
    for answer in answers {
        assert_eq!((answer.status(), answer.text()), (200, text), "{}", answer.head);
    }
}

/// An upstream over TLS that stands still.
async fn frozen(text: &str) -> (Pki, Upstream) {
    let pki = Pki::new();
    let upstream = Upstream::start_tls(Behaviour::ok(text), pki::server(&pki.issue("up", &["up.test"]), &[])).await;
    upstream.freeze();
    (pki, upstream)
}

/// An upstream over TLS that accepts only as many connections as it is told to.
struct SlowAccept {
    address: std::net::SocketAddr,
    accepts: Arc<Semaphore>,
    accepted: Arc<AtomicUsize>,
}

impl SlowAccept {
    async fn start(tls: Arc<ServerConfig>) -> SlowAccept {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (accepts, accepted) = (Arc::new(Semaphore::new(0)), Arc::<AtomicUsize>::default());
        let (told, count) = (Arc::clone(&accepts), Arc::clone(&accepted));
        tokio::spawn(async move {
            loop {
                told.acquire().await.expect("open").forget();
                let (stream, _) = listener.accept().await.expect("a connection");
                count.fetch_add(1, Ordering::SeqCst);
                let tls = TlsAcceptor::from(Arc::clone(&tls));
                tokio::spawn(async move {
                    let mut stream = tls.accept(stream).await.expect("a handshake");
                    // One request at a time: what was read ends with its head.
                    let mut head = [0; 4096];
                    let mut length = 0;
                    while let Ok(count @ 1..) = stream.read(&mut head[length..]).await {
                        length += count;
                        if head[..length].ends_with(b"\r\n\r\n") {
                            length = 0;
                            stream.write_all(&response(200, "hello")).await.expect("the proxy reads");
                        }
                    }
                });
            }
        });
        SlowAccept { address, accepts, accepted }
    }
}

#[tokio::test]
async fn a_burst_is_served_over_a_few_connections() {
    let pki = Pki::new();
    let upstream = SlowAccept::start(pki::server(&pki.issue("up", &["up.test"]), &[])).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], TLS));
    is_far_away(&plane);
    let asked = burst(&plane, 200, |id| get("/", id)).await;
    until_in_flight(&plane, 200).await;
    upstream.accepts.add_permits(AT_ONCE);
    // Those are left that connect, since the first connects have ended. (More, if the kernel took milliseconds for a SYN.)
    until("most are served", || totals(&plane).in_flight <= 4 * AT_ONCE as u64).await;
    assert_eq!(upstream.accepted.load(Ordering::SeqCst), AT_ONCE);
    upstream.accepts.add_permits(200);
    answered(asked, 200, "hello").await;
    let accepted = upstream.accepted.load(Ordering::SeqCst);
    assert!(accepted <= 5 * AT_ONCE, "{accepted} connects for 200 requests");
    let counted = totals(&plane);
    assert_eq!(counted.connects, [accepted as u64, 0, 0, 0]);
    assert_eq!(counted.failed.iter().sum::<u64>(), 0);
}

#[tokio::test]
async fn requests_beyond_the_bound_make_no_connect_while_the_others_are_on_time() {
    let mute = Mute::start().await;
    let plane = Plane::start(&http_yaml(&[&[mute.address]], TLS));
    is_far_away(&plane);
    let _asked = burst(&plane, 40, |id| get("/", id)).await;
    until_in_flight(&plane, 40).await;
    until("the permits are used", || mute.accepted() >= AT_ONCE).await;
    assert_eq!(mute.accepted(), AT_ONCE);
}

#[tokio::test]
async fn what_can_use_no_connection_of_others_does_not_wait_for_one() {
    let unshared = "    upstream: {keepalive: off, tls: {insecure_skip_verify: true}}\n";
    let told = "    upstream: {proxy_protocol: v1, tls: {insecure_skip_verify: true}}\n";
    let cases = [("http", TLS, true), ("http", unshared, false), ("http", told, false), ("tcp", TLS, false)];
    for (protocol, upstream, posts) in cases {
        let mute = Mute::start().await;
        let plane = Plane::start(&yaml(protocol, &[&[mute.address]], "", upstream));
        is_far_away(&plane);
        let stats = stats(&plane);
        // A reused connection was reset: a request that must not be sent twice goes over fresh ones.
        stats.note_stale(stats.generation(), clock::now());
        let request = |id: &str| if posts { post("/", id, "body") } else { get("/", id) };
        let _asked = burst(&plane, 40, request).await;
        until("each has a connect of its own", || mute.accepted() == 40).await;
    }
}

#[tokio::test]
async fn when_an_endpoint_dies_all_that_wait_for_it_go_on_with_a_verdict_of_their_own() {
    let mute = Mute::start().await;
    let pki = Pki::new();
    let pair = pki.issue("up", &["up.test"]);
    let good = Upstream::start_tls(Behaviour::ok("good"), pki::server(&pair, &[])).await;
    let plane = Plane::start(&http_yaml(&[&[mute.address], &[good.address]], TLS));
    is_far_away(&plane);
    let asked = burst(&plane, 200, |id| get("/", id)).await;
    until_in_flight(&plane, 200).await;
    until("the permits are used", || mute.accepted() >= AT_ONCE).await;
    let reached = mute.die().await as u64;
    answered(asked, 200, "good").await;
    let counted = totals(&plane);
    let failed = |kind: Failure| counted.failed[kind as usize];
    let [connected, refused, unanswered, _] = counted.connects;
    assert_eq!((connected, unanswered), (reached, 0), "TCP connects");
    assert_eq!((failed(Failure::Reset), failed(Failure::Refused)), (reached, refused), "one failure a connect");
    assert_eq!(reached + refused, 200, "each request was told once");
}

#[tokio::test]
async fn time_in_line_is_no_evidence_against_an_endpoint() {
    let hole = BlackHole::start().await;
    let plane = Plane::start(&http_yaml(&[&[hole.address]], "    timeouts: {connect: 1s}\n"));
    let asked = burst(&plane, 60, |id| get("/", id)).await;
    let answers = asked.join_all().await;
    assert!(answers.iter().all(|answer| answer.status() >= 500));
    let counted = totals(&plane);
    let evidence = counted.failed[Failure::ConnectTimeout as usize];
    assert_eq!(counted.connects, [0, 0, 60, 0], "a line that is late connects");
    // (Half a line more, where the clients are slow.)
    assert!((1..=2 * AT_ONCE as u64).contains(&evidence), "{evidence} connects had all of their time");
}

#[tokio::test]
async fn a_line_that_is_late_is_answered_elsewhere() {
    let mute = Mute::start().await;
    let pki = Pki::new();
    let pair = pki.issue("up", &["up.test"]);
    let good = Upstream::start_tls(Behaviour::ok("good"), pki::server(&pair, &[])).await;
    let plane = Plane::start(&http_yaml(&[&[mute.address, good.address]], TLS));
    let asked = burst(&plane, 80, |id| post("/", id, "body")).await;
    answered(asked, 80, "good").await;
    assert_eq!(good.requests(), 80, "each was sent once");
}

#[tokio::test]
async fn requests_in_line_follow_a_switch() {
    let mute = Mute::start().await;
    let pki = Pki::new();
    let pair = pki.issue("up", &["up.test"]);
    let standby = Upstream::start_tls(Behaviour::ok("standby"), pki::server(&pair, &[])).await;
    let mut plane = Plane::start(&http_yaml(&[&[mute.address], &[standby.address]], TLS));
    is_far_away(&plane);
    let left = stats(&plane);
    let asked = burst(&plane, 100, |id| post("/", id, "body")).await;
    until("they are there", || left.totals().in_flight == 100).await;
    plane.switch(1).await;
    answered(asked, 100, "standby").await;
    assert_eq!(left.totals().in_flight, 0);
    assert_eq!(left.totals().failed.iter().sum::<u64>(), 0);
}

#[tokio::test]
async fn clients_that_leave_the_line_hold_up_no_others() {
    let (_pki, upstream) = frozen("hello").await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], TLS));
    is_far_away(&plane);
    let leaving = burst(&plane, 60, |id| get("/", id)).await;
    until_in_flight(&plane, 60).await;
    let staying = burst(&plane, 20, |id| get("/", id)).await;
    until_in_flight(&plane, 80).await;
    drop(leaving);
    until_in_flight(&plane, 20).await;
    upstream.thaw();
    answered(staying, 20, "hello").await;
    assert_eq!(totals(&plane).failed.iter().sum::<u64>(), 0);
}

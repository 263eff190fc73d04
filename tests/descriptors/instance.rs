//! A whole instance that runs out of descriptors.

use std::fs::File;
use std::net::SocketAddr;
use std::time::Duration;

use standfast::control::tally::PROBES;
use standfast::decision::{ConnectOutcome, Operational};

use crate::DescriptorLimit;
use crate::support::instance::News;
use crate::support::plane::http_yaml;
use crate::support::{Behaviour, Client, Instance, Then, Upstream, get, post, within};

#[test]
fn a_shortage_of_our_own_is_no_evidence_against_anybody() {
    DescriptorLimit::alone(run);
}

async fn run(descriptors: &DescriptorLimit) {
    // No connection is used again: every request needs one of its own.
    let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok".to_vec();
    let once = || Behaviour::Say(answer.clone(), Then::Close);
    let (home, standby) = (Upstream::start(once()).await, Upstream::start(once()).await);
    let addresses = [home.address, standby.address];
    let check =
        "    health_check: {http: {path: /health}, interval: 100ms, timeout: 90ms, fast_interval: 50ms, fall: 2}\n";
    let more = format!("{check}    outlier_detection: {{consecutive_failures: 2}}\n");
    let mut proxy = Instance::start(&http_yaml(&[&addresses[..1], &addresses[1..]], &more));
    proxy.stand(&addresses, Operational::Healthy).await;
    proxy.serves("web", 0).await;
    proxy.news();
    let mut clients = Vec::new();
    for _ in 0..9 {
        let mut client = Client::connect(proxy.address("web")).await;
        assert_eq!(client.ask(get("/", "early")).await.status(), 200);
        clients.push(client);
    }
    let mut last = clients.pop().expect("nine");
    let (passed, local) = (0, PROBES.iter().position(|outcome| *outcome == "local").expect("a kind"));

    descriptors.limit(256);
    let mut eaten = Vec::new();
    // Then nobody has a descriptor to give back.
    let before = probes(&proxy, addresses, local).await;
    eventually(async || {
        eaten.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
        probes(&proxy, addresses, local).await >= before + 10
    })
    .await;
    for client in &mut clients {
        client.send(get("/", "late")).await;
    }
    for client in &mut clients {
        let answer = client.answer().await.expect("a whole answer");
        assert_eq!((answer.status(), answer.header("standfast-cause")), (503, Some("local_error")));
    }
    let local = || proxy.stats(home.address).totals().connects[ConnectOutcome::Local as usize];
    let before = local();
    assert!(before >= 8, "{before}");

    // Who asks now waits, and is answered once there are descriptors again.
    for client in &mut clients {
        client.send(post("/", "waits", "x")).await;
    }
    eventually(async || local() >= before + 8).await;
    drop(eaten);
    for client in &mut clients {
        assert_eq!(client.answer().await.expect("a whole answer").status(), 200);
    }
    let crossed = proxy.service_stats("web").crossed.total();
    let asked = standby.heads().into_iter().filter(|head| !head.starts_with("GET /health ")).count();
    assert_eq!((crossed, asked), (0, 0), "requests went to the other pool");
    assert_eq!(last.ask(get("/", "after")).await.status(), 200);
    let before = probes(&proxy, addresses, passed).await;
    eventually(async || probes(&proxy, addresses, passed).await > before).await;
    assert_eq!(proxy.news(), News::default());
}

/// Probes of both with this outcome.
async fn probes(proxy: &Instance, endpoints: [SocketAddr; 2], outcome: usize) -> u64 {
    let tally = proxy.control.tally().await.expect("it runs");
    endpoints.iter().map(|address| tally.probes[&proxy.endpoint(*address, |endpoint| endpoint.id)][outcome]).sum()
}

async fn eventually(mut condition: impl AsyncFnMut() -> bool) {
    within(async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

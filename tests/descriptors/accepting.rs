//! Accepting without descriptors.

use std::fs::File;
use std::time::Duration;

use crate::DescriptorLimit;
use crate::support::plane::http_yaml;
use crate::support::{Behaviour, Client, Plane, Upstream, get, until};

#[test]
fn accepting_survives_a_shortage_of_descriptors_without_spinning() {
    DescriptorLimit::alone(run);
}

async fn run(descriptors: &DescriptorLimit) {
    let upstream = Upstream::start(Behaviour::ok("ok")).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut early = Client::connect(plane.address("web")).await;
    assert_eq!(early.ask(get("/", "1")).await.text(), "ok");

    descriptors.limit(256);
    let mut eaten = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        eaten.push(file);
    }
    eaten.pop();
    let mut late = Client::connect(plane.address("web")).await;
    let table = plane.published.load();
    let failures = || table.listeners[0].stats.rejected_accept.total();
    until("accepting fails", || failures() > 0).await;
    let before = failures();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(failures() - before < 30, "it backs off between its attempts");

    drop(eaten);
    assert_eq!(late.ask(get("/", "2")).await.text(), "ok");
    assert_eq!(early.ask(get("/", "3")).await.text(), "ok");
}

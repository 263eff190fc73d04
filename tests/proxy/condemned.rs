//! A request that waits for an endpoint which is condemned meanwhile: safe ones go elsewhere at once, others wait their
//! deadline out.

use standfast::decision::{Admission, Cause, Operational, Serving, Table};

use crate::support::plane::http_yaml;
use crate::support::{Behaviour, BlackHole, Client, Plane, Upstream, get, post, until, within};

/// The checks condemn the first pool's endpoint, and the service moves to the second pool.
fn fail_over(table: &mut Table) {
    let service = &mut table.services[0];
    let fallen = &mut service.pools[0].endpoints[0];
    fallen.standing.operational = Operational::Unhealthy;
    fallen.standing.cause = Cause::ChecksFailed;
    fallen.admission = Admission::Closed;
    service.pools[0].available = false;
    service.serving = Serving::Active(1);
}

#[tokio::test]
async fn a_safe_request_leaves_an_endpoint_that_is_condemned_while_it_waits() {
    let (frozen, standby) = (Upstream::start(Behaviour::Hang).await, Upstream::start(Behaviour::ok("standby")).await);
    let mut plane = Plane::start(&http_yaml(&[&[frozen.address], &[standby.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    until("the request waits", || frozen.requests() == 1).await;
    plane.publish(fail_over);
    assert_eq!(within(client.answer()).await.unwrap().text(), "standby");
    until("the frozen endpoint's connection was given up", || frozen.open() == 0).await;
}

#[tokio::test]
async fn a_post_waits_its_deadline_out_and_is_sent_once() {
    let (frozen, standby) = (Upstream::start(Behaviour::Hang).await, Upstream::start(Behaviour::ok("standby")).await);
    let more = "    timeouts: {response: 400ms}\n";
    let mut plane = Plane::start(&http_yaml(&[&[frozen.address], &[standby.address]], more));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(post("/", "1", "order")).await;
    until("the request waits", || frozen.requests() == 1).await;
    plane.publish(fail_over);
    assert_eq!(within(client.answer()).await.unwrap().status(), 504);
    assert_eq!(standby.requests(), 0);
}

#[tokio::test]
async fn a_safe_request_goes_on_waiting_for_an_endpoint_that_an_operator_drains() {
    let late = Behaviour::ok("late").after(std::time::Duration::from_millis(300));
    let (slow, standby) = (Upstream::start(late).await, Upstream::start(Behaviour::ok("standby")).await);
    let mut plane = Plane::start(&http_yaml(&[&[slow.address], &[standby.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    until("the request waits", || slow.requests() == 1).await;
    plane.publish(|table| {
        table.services[0].pools[0].endpoints[0].admission = Admission::Closed;
        table.services[0].serving = Serving::Active(1);
    });
    assert_eq!(within(client.answer()).await.unwrap().text(), "late");
}

#[tokio::test]
async fn a_post_leaves_a_connect_that_nobody_answers_when_its_endpoint_is_condemned() {
    let hole = BlackHole::start().await;
    let standby = Upstream::start(Behaviour::ok("standby")).await;
    let mut plane = Plane::start(&http_yaml(&[&[hole.address], &[standby.address]], "    timeouts: {connect: 8s}\n"));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(post("/", "p", "x")).await;
    let endpoint = plane.published.load().services[0].pools[0].endpoints[0].stats.clone();
    until("the request is on its way", || endpoint.in_flight() == 1).await;
    plane.publish(fail_over);
    #[allow(clippy::disallowed_methods, reason = "a test measures")]
    let before = std::time::SystemTime::now();
    assert_eq!(client.answer().await.unwrap().text(), "standby");
    assert!(before.elapsed().unwrap() < std::time::Duration::from_secs(4), "it did not wait for the connect timeout");
    assert_eq!(standby.executed("p"), 1);
}

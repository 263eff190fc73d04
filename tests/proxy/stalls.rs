//! Requests whose answer does not come: safe ones are asked elsewhere as well, others never; connects that nobody answers are
//! raced; idle connections that were dead are not trusted for a while.

use std::time::Duration;

use standfast::config::Retry;
use standfast::decision::Serving;
use standfast::routing::RetryReason;

use crate::support::plane::http_yaml;
use crate::support::{Behaviour, BlackHole, Client, Plane, Then, Upstream, get, post, until, within};

/// Hedges after 50 ms; no other deadline comes near.
const HEDGE: &str = "    retry: {hedge: 50ms}\n    balance: round_robin\n";

fn hedges(plane: &Plane) -> u64 {
    plane.stats("web").retries()[RetryReason::Hedge as usize]
}

/// Asks until this upstream has a request that waits; with `round_robin` over two endpoints at most twice.
async fn ask_until_it_waits(client: &mut Client, frozen: &Upstream) {
    for n in 0..2 {
        client.send(get("/", &format!("g{n}"))).await;
        let answer = within(client.answer()).await.unwrap();
        assert_eq!(answer.text(), "good");
        if frozen.requests() > 0 {
            return;
        }
    }
    panic!("nobody asked it");
}

#[tokio::test]
async fn a_late_answer_is_hedged_inside_the_pool_and_the_loser_is_cut_off() {
    let (frozen, good) = (Upstream::start(Behaviour::Hang).await, Upstream::start(Behaviour::ok("good")).await);
    let standby = Upstream::start(Behaviour::ok("standby")).await;
    let plane = Plane::start(&http_yaml(&[&[frozen.address, good.address], &[standby.address]], HEDGE));
    let mut client = Client::connect(plane.address("web")).await;
    ask_until_it_waits(&mut client, &frozen).await;
    assert_eq!((hedges(&plane), standby.requests()), (1, 0));
    until("the frozen endpoint's connection was given up", || frozen.open() == 0).await;
}

#[tokio::test]
async fn where_the_pool_has_nobody_else_the_hedge_goes_across() {
    let (frozen, standby) = (Upstream::start(Behaviour::Hang).await, Upstream::start(Behaviour::ok("good")).await);
    let plane = Plane::start(&http_yaml(&[&[frozen.address], &[standby.address]], HEDGE));
    let mut client = Client::connect(plane.address("web")).await;
    ask_until_it_waits(&mut client, &frozen).await;
    let stats = plane.stats("web");
    assert_eq!((hedges(&plane), stats.crossed.total(), standby.requests()), (1, 1, 1));
}

#[tokio::test]
async fn an_endpoint_that_is_as_silent_is_no_help() {
    let pool = [Upstream::start(Behaviour::Hang).await, Upstream::start(Behaviour::Hang).await];
    let standby = Upstream::start(Behaviour::ok("good")).await;
    let yaml = http_yaml(&[&[pool[0].address, pool[1].address], &[standby.address]], HEDGE);
    let plane = Plane::start(&yaml);
    let mut others = [Client::connect(plane.address("web")).await, Client::connect(plane.address("web")).await];
    for (n, other) in others.iter_mut().enumerate() {
        other.send(post("/", &format!("p{n}"), "x")).await;
    }
    until("both have something to answer", || pool.iter().all(|upstream| upstream.requests() == 1)).await;
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.text(), "good");
    assert_eq!(pool.iter().map(|upstream| upstream.executed("1")).sum::<usize>(), 1, "the hedge went across at once");
}

#[tokio::test]
async fn what_is_not_safe_is_never_asked_twice() {
    let (frozen, standby) = (Upstream::start(Behaviour::Hang).await, Upstream::start(Behaviour::ok("good")).await);
    let more = "    retry: {hedge: 20ms}\n    timeouts: {response: 300ms}\n";
    let plane = Plane::start(&http_yaml(&[&[frozen.address], &[standby.address]], more));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(post("/", "p", "order")).await.status(), 504);
    let put = "PUT / HTTP/1.1\r\nHost: test\r\nX-Request-Id: u\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(client.ask(put).await.status(), 504);
    assert_eq!((hedges(&plane), standby.requests(), frozen.executed("p")), (0, 0, 1));
}

#[tokio::test]
async fn the_first_answer_wins_whosever_it_is() {
    let slow = Upstream::start(Behaviour::ok("first").after(Duration::from_millis(150))).await;
    let slower = Upstream::start(Behaviour::Hang).await;
    let plane = Plane::start(&http_yaml(&[&[slow.address], &[slower.address]], HEDGE));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.text(), "first");
    assert_eq!((hedges(&plane), slower.requests()), (1, 1));
    until("the hedge was told not to go on", || slower.open() == 0).await;
    assert_eq!(client.ask(get("/", "2")).await.text(), "first", "and the connection goes on");
    assert_eq!(slow.accepted(), 1, "the winner's connection is used again");
}

#[tokio::test]
async fn another_pools_error_does_not_win_while_the_first_may_still_answer() {
    let slow = Upstream::start(Behaviour::ok("first").after(Duration::from_millis(250))).await;
    let standby = Upstream::start(Behaviour::answer(404, "unknown here")).await;
    let plane = Plane::start(&http_yaml(&[&[slow.address], &[standby.address]], HEDGE));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.text(), "first");
    assert_eq!(standby.requests(), 1);
}

#[tokio::test]
async fn a_first_try_that_fails_leaves_the_answer_to_the_hedge() {
    let slow = Upstream::start(Behaviour::reset().after(Duration::from_millis(150))).await;
    let standby = Upstream::start(Behaviour::ok("hedge").after(Duration::from_millis(300))).await;
    let plane = Plane::start(&http_yaml(&[&[slow.address], &[standby.address]], HEDGE));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.text(), "hedge");
    assert_eq!((slow.requests(), standby.requests()), (1, 1));
}

#[tokio::test]
async fn a_hedge_that_fails_leaves_the_answer_to_the_first() {
    let slow = Upstream::start(Behaviour::ok("first").after(Duration::from_millis(300))).await;
    let standby = Upstream::start(Behaviour::reset()).await;
    let plane = Plane::start(&http_yaml(&[&[slow.address], &[standby.address]], HEDGE));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.text(), "first");
    assert_eq!(standby.requests(), 1);
}

#[tokio::test]
async fn a_request_whose_hedge_failed_leaves_an_endpoint_that_is_condemned() {
    let (frozen, standby) = (Upstream::start(Behaviour::Hang).await, Upstream::start(Behaviour::reset()).await);
    // Nothing else than the newer table may wake it.
    let more = "    retry: {hedge: 50ms}\n    timeouts: {stall: 10ms}\n";
    let mut plane = Plane::start(&http_yaml(&[&[frozen.address], &[standby.address]], more));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    until("the hedge has failed", || standby.requests() == 1 && standby.open() == 0).await;
    standby.behave(Behaviour::ok("standby"));
    plane.publish(|table| {
        use standfast::decision::{Admission, Cause, Operational};
        let service = &mut table.services[0];
        let fallen = &mut service.pools[0].endpoints[0];
        (fallen.standing.operational, fallen.standing.cause) = (Operational::Ejected, Cause::Stalled);
        fallen.admission = Admission::Closed;
        service.pools[0].available = false;
        service.serving = Serving::Active(1);
    });
    assert_eq!(within(client.answer()).await.unwrap().text(), "standby");
}

fn condemn(plane: &mut Plane, pool: usize, endpoint: usize) {
    plane.publish(|table| {
        use standfast::decision::{Admission, Cause, Operational};
        let fallen = &mut table.services[0].pools[pool].endpoints[endpoint];
        (fallen.standing.operational, fallen.standing.cause) = (Operational::Ejected, Cause::Stalled);
        fallen.admission = Admission::Closed;
    });
}

#[tokio::test]
async fn a_hedge_leaves_an_endpoint_that_is_condemned() {
    let (first, second) = (Upstream::start(Behaviour::Hang).await, Upstream::start(Behaviour::Hang).await);
    let standby = Upstream::start(Behaviour::ok("standby")).await;
    let more = "    retry: {hedge: 30ms}\n    timeouts: {stall: 10ms}\n    balance: round_robin\n";
    let mut plane = Plane::start(&http_yaml(&[&[first.address, second.address], &[standby.address]], more));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    until("both were asked", || first.requests() + second.requests() == 2).await;
    condemn(&mut plane, 0, 0);
    condemn(&mut plane, 0, 1);
    plane.switch(1).await;
    assert_eq!(within(client.answer()).await.unwrap().text(), "standby");
}

#[tokio::test]
async fn a_late_503_leaves_the_answer_to_the_hedge() {
    let tired = Upstream::start(Behaviour::answer(503, "tired").after(Duration::from_millis(150))).await;
    let good = Upstream::start(Behaviour::ok("good").after(Duration::from_millis(300))).await;
    let plane = Plane::start(&http_yaml(&[&[tired.address, good.address]], HEDGE));
    let mut client = Client::connect(plane.address("web")).await;
    for n in 0..2 {
        assert_eq!(client.ask(get("/", &format!("{n}"))).await.text(), "good");
    }
    assert_eq!(tired.requests(), 2, "it was asked first once, and once beside the other");
}

#[tokio::test]
async fn a_cancelled_hedge_does_not_speak_against_a_standby_that_nobody_else_asks() {
    let slow = Upstream::start(Behaviour::ok("first").after(Duration::from_millis(120))).await;
    let standby = Upstream::start(Behaviour::Hang).await;
    let plane = Plane::start(&http_yaml(&[&[slow.address], &[standby.address]], HEDGE));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.text(), "first");
    until("the hedge was cancelled", || standby.requests() == 1 && standby.open() == 0).await;
    slow.behave(Behaviour::Hang);
    standby.behave(Behaviour::ok("standby"));
    assert_eq!(client.ask(get("/", "2")).await.text(), "standby");
}

#[tokio::test]
async fn a_client_that_leaves_ends_both_tries() {
    let (first, second) = (Upstream::start(Behaviour::Hang).await, Upstream::start(Behaviour::Hang).await);
    let plane = Plane::start(&http_yaml(&[&[first.address], &[second.address]], HEDGE));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    until("both wait", || first.requests() == 1 && second.requests() == 1).await;
    client.stream.set_zero_linger().unwrap();
    drop(client);
    until("both were given up", || first.open() == 0 && second.open() == 0).await;
}

#[tokio::test]
async fn hedges_are_extra_attempts_of_the_budget() {
    let (frozen, standby) = (Upstream::start(Behaviour::Hang).await, Upstream::start(Behaviour::ok("good")).await);
    let more = "    retry: {hedge: 20ms, budget: 0%}\n    timeouts: {response: 300ms}\n";
    let plane = Plane::start(&http_yaml(&[&[frozen.address], &[standby.address]], more));
    let mut saved = 0;
    let floor = Retry::BUDGET_FLOOR;
    for n in 0..floor + 2 {
        let mut client = Client::connect(plane.address("web")).await;
        saved += u32::from(client.ask(get("/", &format!("{n}"))).await.status() == 200);
    }
    assert_eq!(saved, floor, "the floor of the budget");
    assert!(plane.stats("web").budget_exhausted.total() >= 2);
}

#[tokio::test]
async fn switched_off_it_waits() {
    let slow = Upstream::start(Behaviour::ok("slow").after(Duration::from_millis(150))).await;
    let standby = Upstream::start(Behaviour::ok("standby")).await;
    let off = ["    retry: {hedge: off}\n", "    retry: {hedge: 30ms}\n    timeouts: {response: 5s}\n"];
    for (n, more) in off.into_iter().enumerate() {
        let yaml = http_yaml(&[&[slow.address], &[standby.address]], more);
        let yaml = if n == 1 { yaml.replace("{service: web}", "{service: web, timeouts: {stall: off}}") } else { yaml };
        let plane = Plane::start(&yaml);
        let mut client = Client::connect(plane.address("web")).await;
        assert_eq!(client.ask(get("/", "1")).await.text(), "slow");
    }
    assert_eq!(standby.requests(), 0);
}

#[tokio::test]
async fn event_streams_are_not_hedged() {
    let slow = Upstream::start(Behaviour::ok("events").after(Duration::from_millis(150))).await;
    let standby = Upstream::start(Behaviour::ok("standby")).await;
    let plane = Plane::start(&http_yaml(&[&[slow.address], &[standby.address]], HEDGE));
    let mut client = Client::connect(plane.address("web")).await;
    let events = "GET / HTTP/1.1\r\nHost: test\r\nAccept: text/event-stream\r\n\r\n";
    assert_eq!(client.ask(events).await.text(), "events");
    assert_eq!(standby.requests(), 0);
}

// ---- suspicion ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn silence_is_noted_when_four_wait_and_one_of_them_too_long() {
    let frozen = Upstream::start(Behaviour::Hang).await;
    let more = "    timeouts: {stall: 50ms, response: 5s}\n    retry: {hedge: off}\n";
    let plane = Plane::start(&http_yaml(&[&[frozen.address]], more));
    let stats = plane.published.load().services[0].pools[0].endpoints[0].stats.clone();
    let mut clients = Vec::new();
    for n in 0..4 {
        assert_eq!(stats.replies().silence(), None, "{n} wait");
        let mut client = Client::connect(plane.address("web")).await;
        client.send(post("/", &format!("{n}"), "x")).await;
        until("it waits", || frozen.requests() == n + 1).await;
        clients.push(client);
    }
    until("the endpoint is silent", || stats.replies().silence().is_some()).await;
    assert_eq!(stats.replies().silence().unwrap().witnesses, 0);
}

#[tokio::test]
async fn into_a_suspected_pool_safe_requests_are_hedged_at_once_and_others_wait_for_the_verdict() {
    let (frozen, standby) = (Upstream::start(Behaviour::Hang).await, Upstream::start(Behaviour::ok("good")).await);
    let more = "    retry: {hedge: 5s}\n";
    let mut plane = Plane::start(&http_yaml(&[&[frozen.address], &[standby.address]], more));
    plane.publish(|table| table.services[0].pools[0].endpoints[0].suspected = true);
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "g")).await.text(), "good");
    client.send(post("/", "p", "order")).await;
    let asked = plane.stats("web");
    until("the order has a permit", || asked.limits.in_use() == 1).await;
    plane.switch(1).await;
    assert_eq!(within(client.answer()).await.unwrap().text(), "good");
    assert_eq!((frozen.executed("p"), standby.executed("p")), (0, 1));
}

#[tokio::test]
async fn a_suspicion_that_ends_lets_the_waiting_go_on() {
    let (pool, standby) = (Upstream::start(Behaviour::ok("home")).await, Upstream::start(Behaviour::ok("away")).await);
    let mut plane = Plane::start(&http_yaml(&[&[pool.address], &[standby.address]], ""));
    plane.publish(|table| table.services[0].pools[0].endpoints[0].suspected = true);
    let mut client = Client::connect(plane.address("web")).await;
    client.send(post("/", "p", "order")).await;
    let asked = plane.stats("web");
    until("the order has a permit", || asked.limits.in_use() == 1).await;
    plane.publish(|table| table.services[0].pools[0].endpoints[0].suspected = false);
    assert_eq!(within(client.answer()).await.unwrap().text(), "home");
}

#[tokio::test]
async fn a_suspected_endpoint_is_avoided_while_there_are_others() {
    let (suspected, good) = (Upstream::start(Behaviour::Hang).await, Upstream::start(Behaviour::ok("good")).await);
    let mut plane = Plane::start(&http_yaml(&[&[suspected.address, good.address]], "    balance: round_robin\n"));
    plane.publish(|table| table.services[0].pools[0].endpoints[0].suspected = true);
    let mut client = Client::connect(plane.address("web")).await;
    for n in 0..20 {
        assert_eq!(client.ask(post("/", &format!("{n}"), "x")).await.text(), "good");
    }
    assert_eq!(suspected.requests(), 0);
}

// ---- connects ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_connect_that_nobody_answers_is_raced_inside_the_pool_by_every_request() {
    let hole = BlackHole::start().await;
    let good = Upstream::start(Behaviour::ok("good")).await;
    let more = "    balance: round_robin\n    timeouts: {connect: 9s}\n";
    let plane = Plane::start(&http_yaml(&[&[hole.address, good.address]], more));
    for n in 0..4 {
        let mut client = Client::connect(plane.address("web")).await;
        assert_eq!(client.ask(post("/", &format!("p{n}"), "order")).await.text(), "good");
        assert_eq!(good.executed(&format!("p{n}")), 1);
    }
    assert!(plane.stats("web").retries()[RetryReason::ConnectLate as usize] > 0);
}

#[tokio::test]
async fn only_what_is_safe_is_raced_into_another_pool() {
    let hole = BlackHole::start().await;
    let standby = Upstream::start(Behaviour::ok("standby")).await;
    let mut plane = Plane::start(&http_yaml(&[&[hole.address], &[standby.address]], "    timeouts: {connect: 9s}\n"));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "g")).await.text(), "standby");
    client.send(post("/", "p", "order")).await;
    let stats = plane.published.load().services[0].pools[0].endpoints[0].stats.clone();
    until("the order is late", || stats.connects().was_late(standfast::sys::clock::now())).await;
    assert_eq!(standby.executed("p"), 0);
    plane.switch(1).await;
    assert_eq!(within(client.answer()).await.unwrap().text(), "standby");
    assert_eq!(standby.executed("p"), 1);
}

// ---- idle connections that were dead -----------------------------------------------------------------------------------

#[tokio::test]
async fn after_a_dead_idle_connection_an_order_goes_over_a_fresh_one() {
    // Answers once on each connection, and resets it when it is asked again.
    let upstream = Upstream::start(Behaviour::ok("good")).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.status(), 200);
    upstream.behave(Behaviour::Say(Vec::new(), Then::Reset));
    client.send(get("/", "2")).await;
    until("the idle connection was used", || upstream.requests() >= 2).await;
    upstream.behave(Behaviour::ok("good"));
    within(client.answer()).await.unwrap();
    let before = upstream.accepted();
    for n in 0..3 {
        assert_eq!(client.ask(post("/", &format!("p{n}"), "order")).await.status(), 200);
    }
    assert_eq!(upstream.accepted(), before + 3, "each order had a connection of its own");
    assert_eq!(client.ask(get("/", "3")).await.status(), 200);
    assert_eq!(upstream.accepted(), before + 3, "what may be sent again still uses idle ones");
}

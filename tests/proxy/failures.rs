//! What clients see when endpoints fail: retries, waits, refusals, cut answers, limits.

use std::time::Duration;

use standfast::decision::{Admission, Failure, Serving};

use crate::support::plane::{http_yaml, yaml};
use crate::support::{Behaviour, Client, Plane, Then, Upstream, get, post, until};

fn failed(plane: &Plane, pool: usize, endpoint: usize, kind: Failure) -> u64 {
    plane.published.load().services[0].pools[pool].endpoints[endpoint].stats.totals().failed[kind as usize]
}

#[tokio::test]
async fn a_get_that_was_reset_is_answered_by_another_endpoint() {
    let bad = Upstream::start(Behaviour::reset()).await;
    let good = Upstream::start(Behaviour::ok("good")).await;
    let plane = Plane::start(&http_yaml(&[&[bad.address, good.address]], "    retry: {budget: 100%}\n"));
    let mut client = Client::connect(plane.address("web")).await;
    for n in 0..10 {
        assert_eq!(client.ask(get("/", &n.to_string())).await.text(), "good");
    }
    assert!(bad.requests() > 0);
    assert_eq!(failed(&plane, 0, 0, Failure::Reset), bad.requests() as u64);
}

#[tokio::test]
async fn what_one_endpoint_alone_fails_is_asked_of_the_others() {
    let lacks = Upstream::start(Behaviour::ok("first").but("/report", Behaviour::answer(503, "missing"))).await;
    let has = Upstream::start(Behaviour::ok("second")).await;
    let more = "    balance: round_robin\n    retry: {budget: 100%}\n";
    let plane = Plane::start(&http_yaml(&[&[lacks.address, has.address]], more));
    let mut client = Client::connect(plane.address("web")).await;
    while lacks.requests() < 3 {
        assert_eq!(client.ask(get("/report", "g")).await.text(), "second");
    }
    // A POST is sent once: it must not go where such a request fails.
    for n in 0..20 {
        assert_eq!(client.ask(post("/report?n=1", &format!("p{n}"), "x")).await.text(), "second");
    }
    assert_eq!(lacks.requests(), 3);
    let mut answers = Vec::new();
    for n in 0..10 {
        answers.push(client.ask(post("/other", &format!("q{n}"), "x")).await.text().to_owned());
    }
    assert_eq!(answers.iter().filter(|answer| *answer == "first").count(), 5, "{answers:?}");
}

#[tokio::test]
async fn where_all_endpoints_of_the_pool_fail_it_they_are_asked_as_before() {
    let lacks = Upstream::start(Behaviour::ok("first").but("/report", Behaviour::answer(503, "missing"))).await;
    let has = Upstream::start(Behaviour::ok("second")).await;
    let plane = Plane::start(&http_yaml(&[&[lacks.address], &[has.address]], "    retry: {budget: 100%}\n"));
    let mut client = Client::connect(plane.address("web")).await;
    for _ in 0..6 {
        assert_eq!(client.ask(get("/report", "g")).await.text(), "second", "a safe one is saved by the next pool");
    }
    let answer = client.ask(post("/report", "p", "x")).await;
    assert_eq!((answer.status(), answer.text()), (503, "missing"));
    assert_eq!((lacks.executed("p"), has.executed("p")), (1, 0), "the pool is not left for it");
}

#[tokio::test]
async fn a_post_that_was_reset_is_answered_502_and_never_sent_again() {
    let bad = Upstream::start(Behaviour::reset()).await;
    let plane = Plane::start(&http_yaml(&[&[bad.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    for n in 0..5 {
        let answer = client.ask(post("/", &format!("p{n}"), "x")).await;
        assert_eq!((answer.status(), answer.header("standfast-cause")), (502, Some("upstream_reset")));
        assert_eq!(bad.executed(&format!("p{n}")), 1);
    }
}

#[tokio::test]
async fn a_refused_endpoint_is_passed_over_by_every_method() {
    let mut refusing = Upstream::start(Behaviour::Hang).await;
    refusing.refuse().await;
    let good = Upstream::start(Behaviour::ok("good")).await;
    let plane = Plane::start(&http_yaml(&[&[refusing.address, good.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    for n in 0..10 {
        assert_eq!(client.ask(get("/", &n.to_string())).await.text(), "good");
        assert_eq!(client.ask(post("/", &format!("p{n}"), "x")).await.text(), "good");
        assert_eq!(good.executed(&format!("p{n}")), 1);
    }
    assert!(failed(&plane, 0, 0, Failure::Refused) > 0);
}

/// Passes connections on to an address that becomes known later, as a load balancer behind the proxy does.
async fn relay(to: tokio::sync::watch::Receiver<Option<std::net::SocketAddr>>) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut to = to.clone();
            tokio::spawn(async move {
                let Some(to) = to.wait_for(Option::is_some).await.ok().and_then(|to| *to) else { return };
                let Ok(mut server) = tokio::net::TcpStream::connect(to).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_request_that_comes_back_through_others_ends_with_508_in_every_protocol() {
    for upstream in ["http1", "http2"] {
        let (told, to) = tokio::sync::watch::channel(None);
        let relay = relay(to).await;
        let more = format!("    upstream: {{protocol: {upstream}}}\n    retry: {{hedge: off}}\n");
        let plane = Plane::start(&http_yaml(&[&[relay]], &more));
        told.send_replace(Some(plane.address("web")));
        let mut client = Client::connect(plane.address("web")).await;
        for (round, request) in [get("/", "1"), post("/", "2", "x")].into_iter().enumerate() {
            let answer = client.ask(request).await;
            assert_eq!((answer.status(), answer.header("standfast-cause")), (508, Some("loop")), "{upstream}");
            assert_eq!(plane.published.load().listeners[0].stats.looped.total(), round as u64 + 1, "once, at the end");
        }
    }
}

#[tokio::test]
async fn a_request_may_pass_through_several_proxies() {
    let upstream = Upstream::start(Behaviour::Echo).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    let with = |hops: u32| format!("GET / HTTP/1.1\r\nHost: t\r\nStandfast-Hops: {hops}\r\n\r\n");
    assert!(client.ask(get("/", "1")).await.text().contains("Standfast-Hops: 1\r\n"));
    assert!(client.ask(with(9)).await.text().contains("Standfast-Hops: 10\r\n"));
    assert_eq!(client.ask(with(10)).await.status(), 508);
    assert_eq!(client.ask(with(65_536)).await.status(), 200, "what is no count of ours says nothing");
    assert_eq!(upstream.requests(), 3);
}

#[tokio::test]
async fn a_post_refused_by_its_whole_pool_waits_for_the_verdict_and_goes_on() {
    let mut refusing = Upstream::start(Behaviour::Hang).await;
    refusing.refuse().await;
    let standby = Upstream::start(Behaviour::ok("standby")).await;
    let mut plane = Plane::start(&http_yaml(&[&[refusing.address], &[standby.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(post("/", "p", "body")).await;
    let published = plane.published.clone();
    crate::support::within(published.wait_urgent()).await;
    assert_eq!(standby.requests(), 0);
    plane.switch(1).await;
    assert_eq!(client.answer().await.unwrap().text(), "standby");
    assert_eq!((standby.executed("p"), standby.bodies()[0].as_slice()), (1, &b"body"[..]));
}

#[tokio::test]
async fn a_get_that_its_pool_failed_tries_the_next_pool_before_the_switch() {
    let bad = Upstream::start(Behaviour::reset()).await;
    let standby = Upstream::start(Behaviour::ok("standby")).await;
    let plane = Plane::start(&http_yaml(&[&[bad.address], &[standby.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.text(), "standby");
    assert_eq!(plane.stats("web").crossed.total(), 1);
    assert_eq!(client.ask(post("/", "2", "x")).await.status(), 502);
    assert_eq!(standby.requests(), 1);
}

#[tokio::test]
async fn a_503_is_retried_elsewhere_and_passed_on_when_everybody_says_it() {
    let busy = Upstream::start(Behaviour::answer(503, "busy")).await;
    let good = Upstream::start(Behaviour::ok("good")).await;
    let plane = Plane::start(&http_yaml(&[&[busy.address, good.address]], "    retry: {budget: 100%}\n"));
    let mut client = Client::connect(plane.address("web")).await;
    for n in 0..6 {
        assert_eq!(client.ask(get("/", &n.to_string())).await.text(), "good");
    }
    good.behave(Behaviour::answer(503, "busy"));
    let answer = client.ask(get("/", "last")).await;
    assert_eq!((answer.status(), answer.text()), (503, "busy"));
}

#[tokio::test]
async fn a_short_answer_that_is_cut_is_asked_for_again() {
    let bad = Upstream::start(Behaviour::cut(100, 50, Then::Close)).await;
    let good = Upstream::start(Behaviour::ok("good")).await;
    let plane = Plane::start(&http_yaml(&[&[bad.address, good.address]], "    retry: {budget: 100%}\n"));
    let mut client = Client::connect(plane.address("web")).await;
    for n in 0..6 {
        assert_eq!(client.ask(get("/", &n.to_string())).await.text(), "good");
    }
    assert!(bad.requests() > 0);
}

#[tokio::test]
async fn a_cut_answer_never_ends_clean() {
    for (head, sent) in [
        ("Content-Length: 1000000\r\n", "x".repeat(100)),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n".to_owned()),
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{head}\r\n{sent}");
        let upstream = Upstream::start(Behaviour::Say(bytes.into(), Then::Close)).await;
        let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
        let mut client = Client::connect(plane.address("web")).await;
        client.send(get("/", "1")).await;
        let (bytes, error) = client.rest().await;
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.ends_with("0\r\n\r\n"), "{text}");
        assert_eq!(error, Some(std::io::ErrorKind::ConnectionReset), "{text}");
        assert_eq!(failed(&plane, 0, 0, Failure::Reset), 1);
    }
}

#[tokio::test]
async fn a_cut_answer_until_close_is_reset_for_a_client_of_http_1_0() {
    let upstream = Upstream::start(Behaviour::cut(1_000_000, 100, Then::Close)).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send("GET / HTTP/1.0\r\nHost: t\r\n\r\n").await;
    assert_eq!(client.rest().await.1, Some(std::io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn no_answer_in_time_is_504() {
    let upstream = Upstream::start(Behaviour::Hang).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], "    timeouts: {response: 200ms}\n"));
    let mut client = Client::connect(plane.address("web")).await;
    for request in [get("/", "1"), post("/", "2", "x")] {
        let answer = client.ask(request).await;
        assert_eq!((answer.status(), answer.header("standfast-cause")), (504, Some("upstream_timeout")));
    }
    assert_eq!(failed(&plane, 0, 0, Failure::Timeout), 2);
    until("abandoned exchanges are reset", || upstream.open() == 0).await;
}

#[tokio::test]
async fn what_is_no_answer_is_502() {
    let upstream = Upstream::start(Behaviour::Say(b"SSH-2.0-OpenSSH\r\n".into(), Then::Keep)).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    let answer = client.ask(post("/", "1", "x")).await;
    assert_eq!((answer.status(), answer.header("standfast-cause")), (502, Some("upstream_malformed")));
    assert_eq!(failed(&plane, 0, 0, Failure::Malformed), 1);
}

#[tokio::test]
async fn an_idle_connection_closed_by_the_upstream_is_never_noticed() {
    let upstream = Upstream::start(Behaviour::Say(crate::support::response(200, "ok"), Then::Close)).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    for n in 0..20 {
        assert_eq!(client.ask(get("/", &n.to_string())).await.text(), "ok");
        assert_eq!(client.ask(post("/", &format!("p{n}"), "x")).await.text(), "ok");
        assert_eq!(upstream.executed(&format!("p{n}")), 1);
    }
    let totals = plane.published.load().services[0].pools[0].endpoints[0].stats.totals();
    assert_eq!(totals.failed.iter().sum::<u64>(), 0);
}

#[tokio::test]
async fn a_put_is_sent_again_with_its_whole_body() {
    let bad = Upstream::start(Behaviour::reset()).await;
    let good = Upstream::start(Behaviour::ok("good")).await;
    // In turn: by chance all of them might go to the good one.
    let more = "    balance: round_robin\n    retry: {budget: 100%}\n";
    let plane = Plane::start(&http_yaml(&[&[bad.address, good.address]], more));
    let mut client = Client::connect(plane.address("web")).await;
    let body: String = (0..4000).map(|n| format!("{n:08}")).collect();
    for n in 0..6 {
        let request = format!("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(client.ask(request).await.text(), "good", "request {n}");
    }
    assert!(bad.requests() > 0);
    assert!(good.bodies().iter().all(|received| received == body.as_bytes()));
}

#[tokio::test]
async fn a_body_too_large_to_keep_is_not_sent_again() {
    let bad = Upstream::start(Behaviour::reset()).await;
    let plane = Plane::start(&http_yaml(&[&[bad.address]], "    retry: {budget: 100%}\n"));
    let mut client = Client::connect(plane.address("web")).await;
    let body = "x".repeat(200_000);
    let request = format!("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(client.ask(request).await.status(), 502);
    assert_eq!(bad.requests(), 1);
}

#[tokio::test]
async fn beyond_its_limits_a_service_answers_503_at_once() {
    let upstream = Upstream::start(Behaviour::Hang).await;
    let more = "    limits: {max_connections: 1, max_pending: 1, queue_timeout: 300ms}\n";
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], more));
    let mut first = Client::connect(plane.address("web")).await;
    first.send(get("/", "1")).await;
    until("the first is there", || upstream.requests() == 1).await;
    let mut second = Client::connect(plane.address("web")).await;
    second.send(get("/", "2")).await;
    let stats = plane.stats("web");
    until("the second waits", || stats.limits.pending() == 1).await;
    let mut third = Client::connect(plane.address("web")).await;
    let answer = third.ask(get("/", "3")).await;
    assert_eq!((answer.status(), answer.header("standfast-cause")), (503, Some("overloaded")));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(second.answer().await.unwrap().status(), 503);
    drop(first);
    until("the permit came back", || stats.limits.in_use() == 0).await;
}

#[tokio::test]
async fn a_full_endpoint_is_waited_for() {
    let upstream = Upstream::start(Behaviour::ok("ok").after(Duration::from_millis(100))).await;
    let text = http_yaml(&[], "").replace(
        "    pools:\n",
        &format!(
            "    pools:\n      - {{name: p0, endpoints: [{{address: \"{}\", max_connections: 1}}]}}\n",
            upstream.address
        ),
    );
    let plane = Plane::start(&text);
    let mut clients = Vec::new();
    for n in 0..4 {
        let mut client = Client::connect(plane.address("web")).await;
        client.send(get("/", &n.to_string())).await;
        clients.push(client);
    }
    for client in &mut clients {
        assert_eq!(client.answer().await.unwrap().text(), "ok");
    }
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn with_everything_down_the_answer_is_503_at_once_with_retry_after() {
    let upstream = Upstream::start(Behaviour::ok("ok")).await;
    let mut plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    plane.publish(|table| {
        table.services[0].serving = Serving::Down;
        table.services[0].pools[0].available = false;
        table.services[0].pools[0].endpoints[0].admission = Admission::Closed;
    });
    let mut client = Client::connect(plane.address("web")).await;
    let answer = client.ask(get("/", "1")).await;
    assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("1")));
    assert_eq!(answer.header("standfast-cause"), Some("down"));
    assert_eq!(upstream.accepted(), 0);
}

#[tokio::test]
async fn a_service_that_is_starting_is_waited_for() {
    let upstream = Upstream::start(Behaviour::ok("ok")).await;
    let mut plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    plane.publish(|table| table.services[0].serving = Serving::Starting);
    let mut client = Client::connect(plane.address("web")).await;
    client.send(post("/", "1", "x")).await;
    let stats = plane.stats("web");
    until("the request waits", || stats.limits.in_use() == 1).await;
    plane.switch(0).await;
    assert_eq!(client.answer().await.unwrap().text(), "ok");
}

#[tokio::test]
async fn a_static_pool_answers_for_everybody() {
    let upstream = Upstream::start(Behaviour::ok("ok")).await;
    let text = http_yaml(&[&[upstream.address]], "")
        + "      - {name: sorry, static_response: {status: 503, body: \"sorry\"}}\n";
    let mut plane = Plane::start(&text);
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.text(), "ok");
    plane.switch(1).await;
    let answer = client.ask(get("/", "2")).await;
    assert_eq!((answer.status(), answer.text()), (503, "sorry"));
    assert_eq!(client.ask(post("/", "3", "x")).await.text(), "sorry");
    plane.switch(0).await;
    assert_eq!(client.ask(get("/", "4")).await.text(), "ok");
}

#[tokio::test]
async fn a_client_that_does_not_send_its_body_is_told_408() {
    let upstream = Upstream::start(Behaviour::ok("ok")).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "    timeouts: {body: 200ms}\n", ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc").await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status(), answer.header("connection")), (408, Some("close")));
    until("the upstream was told", || upstream.open() == 0).await;
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn a_cut_upload_never_looks_complete_upstream() {
    let upstream = Upstream::start(Behaviour::ok("ok")).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    for head in ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
        let mut client = Client::connect(plane.address("web")).await;
        client.send(format!("POST / HTTP/1.1\r\nHost: t\r\n{head}")).await;
        until("the connection is there", || upstream.open() == 1).await;
        drop(client);
        until("the upstream was told", || upstream.open() == 0).await;
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn a_slow_reader_stops_the_upstream() {
    use tokio::io::AsyncWriteExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let written = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = written.clone();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        crate::support::upstream::read_head(&mut stream, &mut head).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
        let chunk = vec![b'x'; 65536];
        while stream.write_all(&chunk).await.is_ok() {
            counter.fetch_add(chunk.len(), std::sync::atomic::Ordering::SeqCst);
        }
    });
    let plane = Plane::start(&http_yaml(&[&[address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    let mut last = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = written.load(std::sync::atomic::Ordering::SeqCst);
        if now == last && now > 0 {
            break;
        }
        last = now;
    }
    assert!(last < 40_000_000, "the kernel's buffers and one of ours, not {last} bytes");
}

//! Out-of-band checks against real upstreams.

use std::sync::Arc;
use std::time::Duration;

use standfast::config::{CheckKind, HealthCheck};
use standfast::decision::{Cause, Failure, Operational};

use super::support::{Manners, Plane, Upstream, answer, eventually, file, read, service};

const FAST: &str = "interval: 50ms, timeout: 2s, fast_interval: 10ms, fall: 2, rise: 2";

fn tcp(more: &str) -> String {
    format!("protocol: tcp\nhealth_check: {{tcp: {{}}, {more}}}")
}

fn http(check: &str, more: &str) -> String {
    format!("health_check: {{http: {{path: /health, {check}}}, {more}}}")
}

#[tokio::test]
async fn a_tcp_check_follows_an_endpoint_down_and_up_again() {
    let mut upstream = Upstream::start(Manners::Hang).await;
    let plane = Plane::start(&file(&[("s", service("s", &tcp(FAST), &[&[&upstream]]))], ""));
    plane.stands(&upstream, Operational::Healthy).await;

    upstream.die().await;
    let report = plane.stands(&upstream, Operational::Unhealthy).await;
    assert_eq!(report.state.standing.cause, Cause::ChecksFailed);
    assert!(report.state.evidence.contains("refused"), "{}", report.state.evidence);

    upstream.revive().await;
    let report = plane.stands(&upstream, Operational::Healthy).await;
    assert_eq!(report.state.standing.cause, Cause::ChecksPassed);
}

#[tokio::test]
async fn every_matcher_of_an_http_check_condemns_and_restores() {
    struct Case {
        name: &'static str,
        check: &'static str,
        good: Manners,
        bad: Manners,
        evidence: &'static str,
    }
    let long = format!("{}needle", "x".repeat(64 * 1024));
    let chunked =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nall \r\n6\r\nis wel\r\n1\r\nl\r\n0\r\n\r\n";
    let cases = [
        Case {
            name: "status",
            check: "status: [204, 300-399]",
            good: Manners::answer(307, "location: /x\r\n", ""),
            bad: Manners::answer(200, "", ""),
            evidence: "status 200, wanted 204, 300-399",
        },
        Case {
            name: "header",
            check: "headers: {x-role: primary}",
            good: Manners::answer(200, "X-Role: primary\r\n", ""),
            bad: Manners::answer(200, "X-Role: replica\r\n", ""),
            evidence: "header x-role is not",
        },
        Case {
            name: "body",
            check: "body: all is well",
            good: Manners::Say(chunked.to_vec()),
            bad: Manners::answer(200, "", "all is lost"),
            evidence: "do not contain",
        },
        Case {
            name: "body-late",
            check: "body: needle",
            good: Manners::answer(200, "", "a needle"),
            bad: Manners::answer(200, "", &long),
            evidence: "first 65536 bytes",
        },
        Case {
            name: "json",
            check: "json: {/db/nodes/1/up: true, /status: ok}",
            good: Manners::answer(200, "", r#"{"status":"ok","db":{"nodes":[{"up":false},{"up":true}]}}"#),
            bad: Manners::answer(200, "", r#"{"status":"ok","db":{"nodes":[{"up":true},{"up":false}]}}"#),
            evidence: "JSON /db/nodes/1/up is not true",
        },
        Case {
            name: "json-malformed",
            check: "json: {/status: ok}",
            good: Manners::answer(200, "", r#"{"status":"ok"}"#),
            bad: Manners::answer(200, "", r#"{"status":"ok""#),
            evidence: "not JSON",
        },
        Case {
            name: "garbage",
            check: "status: [200]",
            good: Manners::ok(),
            bad: Manners::Say(b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec()),
            evidence: "invalid HTTP",
        },
        Case {
            name: "closing",
            check: "status: [200]",
            good: Manners::ok(),
            bad: Manners::Close,
            evidence: "http 127.0.0.1",
        },
    ];
    let mut upstreams = Vec::new();
    for case in &cases {
        upstreams.push(Upstream::start(case.good.clone()).await);
    }
    let services: Vec<_> = cases
        .iter()
        .zip(&upstreams)
        .map(|(case, upstream)| (case.name, service(case.name, &http(case.check, FAST), &[&[upstream]])))
        .collect();
    let plane = Plane::start(&file(&services, ""));
    for upstream in &upstreams {
        plane.stands(upstream, Operational::Healthy).await;
    }
    for (case, upstream) in cases.iter().zip(&upstreams) {
        upstream.behave(case.bad.clone());
        let report = plane.stands(upstream, Operational::Unhealthy).await;
        assert!(report.state.evidence.contains(case.evidence), "{}: {}", case.name, report.state.evidence);
        upstream.behave(case.good.clone());
        plane.stands(upstream, Operational::Healthy).await;
    }
}

#[tokio::test]
async fn an_endpoint_that_never_answers_fails_by_the_timeout() {
    let upstream = Upstream::start(Manners::ok()).await;
    let check = http("status: [200]", "interval: 50ms, timeout: 40ms, fast_interval: 10ms, fall: 2, rise: 1");
    let plane = Plane::start(&file(&[("s", service("s", &check, &[&[&upstream]]))], ""));
    plane.stands(&upstream, Operational::Healthy).await;
    upstream.behave(Manners::Hang);
    let report = plane.stands(&upstream, Operational::Unhealthy).await;
    assert!(report.state.evidence.contains("no verdict within 40ms"), "{}", report.state.evidence);
}

#[tokio::test]
async fn a_check_asks_where_and_how_it_is_told() {
    let (served, checked) = (Upstream::start(Manners::Hang).await, Upstream::start(Manners::ok()).await);
    let check = http(
        &format!("port: {}, host: shop.example, status: [200]", checked.address.port()),
        "interval: 1h, timeout: 2s, fast_interval: 1s",
    );
    let other = Upstream::start(Manners::ok()).await;
    let plain = http("status: [200]", "interval: 1h, timeout: 2s, fast_interval: 1s");
    let services = [("s", service("s", &check, &[&[&served]])), ("plain", service("plain", &plain, &[&[&other]]))];
    let plane = Plane::start(&file(&services, ""));
    plane.stands(&served, Operational::Healthy).await;
    assert_eq!(served.asked(), 0);
    let head = checked.last_request();
    assert!(head.starts_with("GET /health HTTP/1.1\r\n") && head.contains("host: shop.example\r\n"), "{head}");
    plane.stands(&other, Operational::Healthy).await;
    assert!(other.last_request().contains(&format!("host: {}\r\n", other.address)), "{}", other.last_request());
}

#[tokio::test]
async fn request_headers_of_a_check_are_sent_with_each_probe_and_replace_our_own() {
    let upstream = Upstream::start(Manners::ok()).await;
    let check = http(
        "request_headers: {Authorization: Bearer 1234, User-Agent: probe/1, X-Tenant: main}",
        "interval: 1h, timeout: 2s, fast_interval: 1s",
    );
    let plane = Plane::start(&file(&[("s", service("s", &check, &[&[&upstream]]))], ""));
    plane.stands(&upstream, Operational::Healthy).await;
    let head = upstream.last_request().to_lowercase();
    let fields = [
        "\r\nauthorization: bearer 1234\r\n",
        "\r\nuser-agent: probe/1\r\n",
        "\r\nx-tenant: main\r\n",
        "\r\naccept: */*\r\n",
    ];
    assert!(fields.iter().all(|field| head.contains(field)) && !head.contains("standfast/"), "{head}");
}

#[tokio::test]
async fn a_check_asks_by_the_method_and_with_the_body_that_it_is_told() {
    struct Case {
        name: &'static str,
        check: &'static str,
        line: &'static str,
        length: Option<&'static str>,
        body: &'static str,
    }
    let cases = [
        Case { name: "get", check: "status: 200", line: "GET", length: None, body: "" },
        Case { name: "head", check: "method: HEAD", line: "HEAD", length: None, body: "" },
        Case { name: "options", check: "method: OPTIONS", line: "OPTIONS", length: None, body: "" },
        Case { name: "own", check: "method: M-SEARCH", line: "M-SEARCH", length: None, body: "" },
        Case { name: "put", check: "method: PUT", line: "PUT", length: Some("0"), body: "" },
        Case {
            name: "post",
            check: "method: POST, body: fine, request_headers: {Content-Type: application/json}, request_body: '{\"a\": 1}'",
            line: "POST",
            length: Some("8"),
            body: "{\"a\": 1}",
        },
        Case { name: "query", check: "method: GET, request_body: ä", line: "GET", length: Some("2"), body: "ä" },
    ];
    for reuse in ["off", "1h"] {
        let mut upstreams = Vec::new();
        for case in &cases {
            // (What follows the head of an answer to HEAD would be the next answer.)
            let body = if case.line == "HEAD" {
                &b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"[..]
            } else {
                &answer(200, "", "fine")
            };
            upstreams.push(Upstream::start(Manners::Say(body.to_vec())).await);
        }
        let services: Vec<_> = cases
            .iter()
            .zip(&upstreams)
            .map(|(case, upstream)| {
                let check = http(&format!("{}, reuse: {reuse}", case.check), REUSED);
                (case.name, service(case.name, &check, &[&[upstream]]))
            })
            .collect();
        let plane = Plane::start(&file(&services, ""));
        for (case, upstream) in cases.iter().zip(&upstreams) {
            plane.stands(upstream, Operational::Healthy).await;
            served_more(upstream, 5).await;
            let request = upstream.last_request();
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("{} /health HTTP/1.1\r\n", case.line)), "{request}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            assert_eq!((length, body), (case.length, case.body), "{request}");
            assert!(!head.contains("transfer-encoding"), "{request}");
        }
        let epoch = plane.status().await.epoch;
        let connections: Vec<_> = upstreams.iter().map(Upstream::asked).collect();
        for upstream in &upstreams {
            served_more(upstream, 5).await;
        }
        assert_eq!(plane.status().await.epoch, epoch, "nobody has fallen");
        let same = upstreams.iter().zip(&connections).all(|(upstream, before)| upstream.asked() == *before);
        assert_eq!(same, reuse != "off");
    }
}

#[tokio::test]
async fn the_slowest_dead_endpoint_delays_nobody() {
    let dead = Upstream::start(Manners::Hang).await;
    let alive = Upstream::start(Manners::ok()).await;
    let check = http("status: [200]", "interval: 20s, timeout: 19s, fast_interval: 10s");
    let quick = http("status: [200]", FAST);
    let services = [("dead", service("dead", &check, &[&[&dead]])), ("alive", service("alive", &quick, &[&[&alive]]))];
    let plane = Plane::start(&file(&services, ""));
    plane.stands(&alive, Operational::Healthy).await;
    eventually("ten probes of the one alive", || async { (alive.asked() >= 10).then_some(()) }).await;
    assert_eq!(plane.endpoint(dead.address).await.state.standing.operational, Operational::Checking);
    assert_eq!(dead.asked(), 1);
}

#[tokio::test]
async fn local_errors_are_no_evidence() {
    // A link-local address without a scope cannot even be asked (EINVAL; without IPv6: EAFNOSUPPORT). A file that says it is
    // refused; a machine can come to it by other ways.
    let upstream = Upstream::start(Manners::ok()).await;
    let check = http("address: \"::1\", status: [200]", "interval: 20ms, timeout: 1s, fast_interval: 10ms, fall: 1");
    let mut config = read(&file(&[("s", service("s", &check, &[&[&upstream]]))], ""));
    let pool = &mut Arc::make_mut(&mut config.services[0]).pools[0];
    let Some(HealthCheck { kind: CheckKind::Http(check), .. }) = &mut pool.health_check else {
        panic!("an HTTP check")
    };
    Arc::make_mut(check).address = Some("fe80::1".parse().unwrap());
    let plane = Plane::with(config, None);
    let id = plane.endpoint(upstream.address).await.state.id;
    let probes = eventually("five probes", || async {
        let tally = plane.handle.tally().await.unwrap();
        tally.probes.get(&id).copied().filter(|probes| probes.iter().sum::<u64>() >= 5)
    })
    .await;
    assert_eq!(probes[..6], [0; 6]);
    assert_eq!(plane.endpoint(upstream.address).await.state.standing.operational, Operational::Checking);
}

#[tokio::test]
async fn failures_of_real_traffic_fire_a_probe_at_once() {
    let upstream = Upstream::start(Manners::ok()).await;
    let check = http("status: [200]", "interval: 1h, timeout: 2s, fast_interval: 30m");
    let plane = Plane::start(&file(&[("s", service("s", &check, &[&[&upstream]]))], ""));
    plane.stands(&upstream, Operational::Healthy).await;
    assert_eq!(upstream.asked(), 1);
    (0..5).for_each(|_| plane.failed(&upstream, Failure::Timeout));
    eventually("a probe out of turn", || async { (upstream.asked() >= 2).then_some(()) }).await;
}

#[tokio::test]
async fn first_probes_go_out_at_once_however_long_the_interval() {
    let mut upstreams = Vec::new();
    for _ in 0..30 {
        upstreams.push(Upstream::start(Manners::ok()).await);
    }
    let check = http("status: [200]", "interval: 1h, timeout: 2s, fast_interval: 30m");
    let all: Vec<&Upstream> = upstreams.iter().collect();
    let plane = Plane::start(&file(&[("s", service("s", &check, &[&all]))], ""));
    let report = plane.active("s", "a").await;
    assert!(report.for_ms < Duration::from_secs(20).as_millis() as u64);
    for upstream in &upstreams {
        plane.stands(upstream, Operational::Healthy).await;
    }
    eventually("ready", || async { plane.handle.ready().then_some(()) }).await;
}

#[tokio::test]
async fn a_probe_of_endpoints_that_want_a_proxy_header_speaks_for_itself() {
    let upstream = Upstream::start(Manners::ok()).await;
    let more = format!("{}\nupstream: {{proxy_protocol: v1}}", http("status: [200]", FAST));
    let plane = Plane::start(&file(&[("s", service("s", &more, &[&[&upstream]]))], ""));
    plane.stands(&upstream, Operational::Healthy).await;
    let head = upstream.last_request();
    assert!(head.starts_with("PROXY UNKNOWN\r\nGET /health HTTP/1.1\r\n"), "{head}");

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let text = format!(
        "listeners: [{{name: l, bind: 127.0.0.1:0, protocol: tcp, service: s}}]\nservices: {{s: {{protocol: tcp, \
         upstream: {{proxy_protocol: v2}}, health_check: {{tcp: {{}}, interval: 50ms}}, \
         pools: [{{name: a, endpoints: [\"{address}\"]}}]}}}}"
    );
    let _plane = Plane::start(&text);
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut read = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut read).await.unwrap();
    assert_eq!(read, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "the header, and the end in order");
}

const REUSED: &str = "interval: 10ms, timeout: 2s, fast_interval: 10ms, fall: 1, rise: 1, jitter: 0%";

/// So many more requests than so far.
async fn served_more(upstream: &Upstream, more: usize) {
    let wanted = upstream.served() + more;
    eventually("more probes", || async { (upstream.served() >= wanted).then_some(()) }).await;
}

#[tokio::test]
async fn probes_go_on_on_one_connection_while_it_may_be_reused() {
    // The check wants the head alone: the body is what is in the way of the next answer.
    let upstream = Upstream::start(Manners::answer(200, "", &"x".repeat(20_000))).await;
    let plane = Plane::start(&file(&[("s", service("s", &http("reuse: 1h", REUSED), &[&[&upstream]]))], ""));
    plane.stands(&upstream, Operational::Healthy).await;
    // (Those before it is known to be healthy make their own.)
    served_more(&upstream, 10).await;
    let connections = upstream.asked();
    served_more(&upstream, 30).await;
    assert_eq!(upstream.asked(), connections);

    upstream.behave(Manners::answer(503, "", "not now"));
    let report = plane.stands(&upstream, Operational::Unhealthy).await;
    assert!(report.state.evidence.contains("status 503"), "{}", report.state.evidence);
    assert!(upstream.asked() > connections, "a new connection has condemned it");
}

#[tokio::test]
async fn a_connection_is_reused_no_longer_than_it_may_be() {
    let upstream = Upstream::start(Manners::ok()).await;
    let plane = Plane::start(&file(&[("s", service("s", &http("reuse: 100ms", REUSED), &[&[&upstream]]))], ""));
    plane.stands(&upstream, Operational::Healthy).await;
    eventually("a fifth connection", || async { (upstream.asked() >= 5).then_some(()) }).await;
    assert!(upstream.served() > upstream.asked(), "{} on {}", upstream.served(), upstream.asked());
}

#[tokio::test]
async fn what_happens_on_a_kept_connection_is_no_evidence() {
    let fine = || answer(200, "", "fine");
    let first = |then| Manners::First(fine(), Box::new(then));
    let endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nmore\r\n".to_vec();
    let manners = [
        first(Manners::Close),
        first(Manners::Hang),
        first(Manners::answer(503, "", "on new connections I am well")),
        first(Manners::Say(b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec())),
        // What the check does not look at, and is in the way of another answer.
        Manners::answer(200, "", &"x".repeat(200_000)),
        Manners::Say(endless),
        // Said without being asked.
        Manners::Say([fine(), answer(503, "", "two answers")].concat()),
        Manners::answer(200, "connection: close\r\n", "fine"),
    ];
    let mut all = Vec::new();
    for manners in manners {
        all.push(Upstream::start(manners).await);
    }
    let pool: Vec<&Upstream> = all.iter().collect();
    let plane = Plane::start(&file(&[("s", service("s", &http("reuse: 1h", REUSED), &[&pool]))], ""));
    for upstream in &all {
        plane.stands(upstream, Operational::Healthy).await;
    }
    let epoch = plane.status().await.epoch;
    for upstream in &all {
        served_more(upstream, 5).await;
    }
    assert_eq!(plane.status().await.epoch, epoch, "nobody has fallen");
}

#[tokio::test]
async fn a_redirect_is_judged_by_its_status_and_not_followed() {
    let target = Upstream::start(Manners::ok()).await;
    let redirect = format!("location: http://{}/health\r\n", target.address);
    let mut upstreams = Vec::new();
    for status in [301, 302, 303, 307, 308] {
        upstreams.push(Upstream::start(Manners::answer(status, &redirect, "")).await);
    }
    for reuse in ["off", "1h"] {
        let check = http(&format!("reuse: {reuse}"), REUSED);
        let pool: Vec<&Upstream> = upstreams.iter().collect();
        let plane = Plane::start(&file(&[("s", service("s", &check, &[&pool]))], ""));
        for (upstream, status) in upstreams.iter().zip([301, 302, 303, 307, 308]) {
            let report = plane.stands(upstream, Operational::Unhealthy).await;
            let told = format!("status {status}, wanted 200-299");
            assert!(report.state.evidence.contains(&told), "{}", report.state.evidence);
            served_more(upstream, 3).await;
        }
    }
    let check = http("status: 3xx, reuse: 1h", REUSED);
    let pool: Vec<&Upstream> = upstreams.iter().collect();
    let plane = Plane::start(&file(&[("s", service("s", &check, &[&pool]))], ""));
    for upstream in &upstreams {
        plane.stands(upstream, Operational::Healthy).await;
        served_more(upstream, 3).await;
    }
    assert_eq!(target.asked(), 0);
}

#[tokio::test]
async fn the_check_port_of_an_endpoint_is_asked_whatever_the_check_says() {
    let lazy = "interval: 1h, timeout: 2s, fast_interval: 1s";
    for kind in ["http: {path: /health, port: PORT}", "tcp: {port: PORT}"] {
        let (served, asked) = (Upstream::start(Manners::Hang).await, Upstream::start(Manners::ok()).await);
        let (plain, by_check) = (Upstream::start(Manners::Hang).await, Upstream::start(Manners::ok()).await);
        let check = format!("health_check: {{{kind}, {lazy}}}").replace("PORT", &by_check.address.port().to_string());
        let own = format!("{{address: \"{}\", check_port: {}}}", served.address, asked.address.port());
        let text = file(&[("s", service("s", &check, &[&[&served, &plain]]))], "")
            .replace(&format!("\"{}\"", served.address), &own);
        let plane = Plane::start(&text);
        plane.stands(&served, Operational::Healthy).await;
        plane.stands(&plain, Operational::Healthy).await;
        eventually("both are asked", || async { (asked.asked() + by_check.asked() == 2).then_some(()) }).await;
        assert_eq!([&served, &asked, &plain, &by_check].map(Upstream::asked), [0, 1, 0, 1], "{kind}");
        if kind.starts_with("http") {
            let host = format!("host: 127.0.0.1:{}\r\n", asked.address.port());
            assert!(asked.last_request().contains(&host), "{}", asked.last_request());
        }
    }
}

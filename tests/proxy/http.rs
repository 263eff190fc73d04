//! HTTP/1.1 through the proxy on real sockets: what a well-behaved client and upstream see.

use std::time::Duration;

use crate::support::plane::{http_yaml, yaml};
use crate::support::{Behaviour, Client, Plane, Then, Upstream, get, post, until};

#[tokio::test]
async fn requests_share_connections_on_both_sides() {
    let upstream = Upstream::start(Behaviour::ok("hello")).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    for n in 0..10 {
        let answer = client.ask(get("/", &n.to_string())).await;
        assert_eq!((answer.status(), answer.text()), (200, "hello"));
        let answer = client.ask(post("/", &format!("p{n}"), "body")).await;
        assert_eq!(answer.status(), 200);
    }
    assert_eq!((upstream.accepted(), upstream.requests()), (1, 20));
    assert!((0..10).all(|n| upstream.executed(&format!("p{n}")) == 1));
}

#[tokio::test]
async fn the_last_answer_arrives_whole_whatever_is_sent_behind_its_request() {
    let upstream = Upstream::start(Behaviour::ok("hello")).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    for more in ["", "GET / HTTP/1.1\r\n", &"x".repeat(500_000)] {
        // The second answer is the proxy's own.
        for (path, end) in [("/", "hello"), ("*", "supported.\n")] {
            let mut client = Client::connect(plane.address("web")).await;
            client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n{more}")).await;
            let (bytes, error) = client.rest().await;
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.starts_with("HTTP/1.1 ") && text.ends_with(end), "{text}");
            assert_eq!((text.matches("HTTP/1.1").count(), error), (1, None));
        }
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::start(Behaviour::Echo).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    let requests: String = (0..20).map(|n| post(&format!("/{n}"), &n.to_string(), &"x".repeat(n * 100))).collect();
    client.send(requests).await;
    for n in 0..20 {
        let answer = client.answer().await.unwrap();
        assert!(answer.text().starts_with(&format!("POST /{n} ")), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_chunked_body_with_trailers_passes_both_ways() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 6\r\n\r\n";
    let upstream = Upstream::start(Behaviour::Say(answer.into(), Then::Keep)).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    client
        .send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        .await;
    let (bytes, error) = client.rest().await;
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(error, None);
    assert!(text.ends_with("0\r\nX-Sum: 6\r\n\r\n"), "{text}");
    assert_eq!(upstream.bodies(), [b"abcde"]);
}

#[tokio::test]
async fn large_bodies_stream_whole_in_both_directions() {
    let body = "0123456789abcdef".repeat(100_000);
    let upstream = Upstream::start(Behaviour::ok(&body)).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    let (mut read, mut write) = client.stream.split();
    let request = post("/", "big", &body);
    let (sent, answer) = tokio::join!(tokio::io::AsyncWriteExt::write_all(&mut write, request.as_bytes()), async {
        let mut bytes = vec![0; 1_700_000];
        let mut length = 0;
        while length < body.len() {
            length +=
                crate::support::within(tokio::io::AsyncReadExt::read(&mut read, &mut bytes[length..])).await.unwrap();
        }
        bytes.truncate(length);
        bytes
    });
    sent.unwrap();
    assert!(answer.ends_with(body.as_bytes()));
    assert_eq!(upstream.bodies()[0].len(), body.len());
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_from_the_upstream() {
    let upstream = Upstream::start(Behaviour::ok("done")).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send("POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status(), 100);
    client.send("body").await;
    assert_eq!(client.answer().await.unwrap().text(), "done");
    assert_eq!(upstream.bodies(), [b"body"]);
}

#[tokio::test]
async fn early_hints_are_passed_on_before_the_answer() {
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let upstream = Upstream::start(Behaviour::Say(answer.into(), Then::Keep)).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    let hints = client.answer().await.unwrap();
    assert_eq!((hints.status(), hints.header("link")), (103, Some("</a.css>")));
    assert_eq!(client.answer().await.unwrap().text(), "ok");
}

#[tokio::test]
async fn answers_without_a_body_keep_the_connection() {
    let upstream =
        Upstream::start(Behaviour::Say(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n".into(), Then::Keep))
            .await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.status(), 304);
    upstream.behave(Behaviour::Say(b"HTTP/1.1 204 No Content\r\n\r\n".into(), Then::Keep));
    assert_eq!(client.ask(get("/", "2")).await.status(), 204);
    upstream.behave(Behaviour::Say(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n".into(), Then::Keep));
    let head = client.ask("HEAD / HTTP/1.1\r\nHost: t\r\n\r\n").await;
    assert_eq!((head.status(), head.header("content-length")), (200, Some("1234")));
    upstream.behave(Behaviour::ok("still here"));
    assert_eq!(client.ask(get("/", "3")).await.text(), "still here");
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let refusal = "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!";
    let upstream = Upstream::start(Behaviour::Early(refusal.into(), Then::Stall)).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10000000\r\n\r\nabc").await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status(), answer.text(), answer.header("connection")), (413, "no!", Some("close")));
    assert_eq!(client.rest().await, (Vec::new(), None));
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_an_answer_it_understands() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let upstream = Upstream::start(Behaviour::Say(answer.into(), Then::Keep)).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let (bytes, error) = client.rest().await;
    assert_eq!(error, None);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.ends_with("\r\n\r\nhello") && !text.to_lowercase().contains("chunked"), "{text}");
}

#[tokio::test]
async fn a_request_id_is_made_or_kept() {
    let upstream = Upstream::start(Behaviour::ok("")).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.ask("GET / HTTP/1.1\r\nHost: t\r\n\r\n").await;
    client.ask(get("/", "mine")).await;
    let heads = upstream.heads();
    assert_eq!(crate::support::upstream::header(&heads[0], "x-request-id").unwrap().len(), 32);
    assert_eq!(crate::support::upstream::header(&heads[1], "x-request-id"), Some("mine"));
    assert_eq!(crate::support::upstream::header(&heads[1], "x-forwarded-for"), Some("127.0.0.1"));
}

#[tokio::test]
async fn what_a_client_says_about_itself_is_replaced_unless_the_listener_says_otherwise() {
    let claim =
        "GET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: h\r\nX-Real-IP: 7.7.7.7\r\n\r\n";
    for (listener, [client, host, other]) in [
        ("", [Some("127.0.0.1"), Some("t"), None]),
        ("    forwarded: replace\n", [Some("127.0.0.1"), Some("t"), None]),
        ("    forwarded: append\n", [Some("6.6.6.6, 127.0.0.1"), Some("h"), Some("7.7.7.7")]),
        ("    forwarded: off\n", [None, None, None]),
    ] {
        let upstream = Upstream::start(Behaviour::ok("")).await;
        let plane = Plane::start(&yaml("http", &[&[upstream.address]], listener, ""));
        Client::connect(plane.address("web")).await.ask(claim).await;
        let heads = upstream.heads();
        let told = ["x-forwarded-for", "x-forwarded-host", "x-real-ip"]
            .map(|name| crate::support::upstream::header(&heads[0], name));
        assert_eq!(told, [client, host, other], "{listener:?}: {}", heads[0]);
    }
}

#[tokio::test]
async fn a_body_until_close_reaches_the_client_in_chunks() {
    let upstream = Upstream::start(Behaviour::Say(b"HTTP/1.1 200 OK\r\n\r\nall of it".into(), Then::Close)).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    let answer = client.ask(get("/", "1")).await;
    assert_eq!((answer.text(), answer.header("transfer-encoding")), ("all of it", Some("chunked")));
    assert_eq!(client.ask(get("/", "2")).await.text(), "all of it");
}

#[tokio::test]
async fn a_half_closed_client_gets_its_answer() {
    let upstream = Upstream::start(Behaviour::ok("late").after(Duration::from_millis(150))).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
    assert_eq!(client.answer().await.unwrap().text(), "late");
    assert_eq!(client.rest().await, (Vec::new(), None));
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_exchange() {
    let upstream = Upstream::start(Behaviour::Hang).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    until("the request is there", || upstream.requests() == 1).await;
    assert_eq!(upstream.open(), 1);
    drop(client);
    until("the upstream was told", || upstream.open() == 0).await;
}

#[tokio::test]
async fn unsolicited_bytes_cost_the_upstream_its_connection() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let upstream = Upstream::start(Behaviour::Say(answer.into(), Then::Keep)).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    for n in 0..3 {
        assert_eq!(client.ask(get("/", &n.to_string())).await.text(), "ok");
    }
    assert_eq!(upstream.accepted(), 3);
}

#[tokio::test]
async fn the_route_decides_by_host_path_and_header() {
    let (a, b) = (Upstream::start(Behaviour::ok("a")).await, Upstream::start(Behaviour::ok("b")).await);
    let text = format!(
        "listeners:\n  - name: web\n    bind: 127.0.0.1:0\n    protocol: http\n    routes:\n      - {{match: {{host: a.test}}, service: a}}\n      - {{match: {{path_prefix: /b}}, service: b}}\nservices:\n  a: {{pools: [{{name: p, endpoints: [\"{}\"]}}]}}\n  b: {{pools: [{{name: p, endpoints: [\"{}\"]}}]}}\n",
        a.address, b.address
    );
    let plane = Plane::start(&text);
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask("GET /x HTTP/1.1\r\nHost: A.test:80\r\n\r\n").await.text(), "a");
    assert_eq!(client.ask("GET /b/x HTTP/1.1\r\nHost: other\r\n\r\n").await.text(), "b");
    let nowhere = client.ask("GET /x HTTP/1.1\r\nHost: other\r\n\r\n").await;
    assert_eq!((nowhere.status(), nowhere.header("standfast-cause")), (404, Some("no_route")));
    assert_eq!(client.ask("GET /b HTTP/1.1\r\nHost: other\r\n\r\n").await.text(), "b");
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_the_connection_closed() {
    let upstream = Upstream::start(Behaviour::ok("")).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    for (bytes, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("\u{16}\u{3}\u{1}", 400),
    ] {
        let mut client = Client::connect(plane.address("web")).await;
        client.send(bytes).await;
        let answer = client.answer().await.unwrap_or_else(|| panic!("no answer to {bytes:?}"));
        assert_eq!((answer.status(), answer.header("connection")), (status, Some("close")), "{bytes:?}");
        assert_eq!(client.rest().await, (Vec::new(), None));
    }
    assert_eq!(upstream.accepted(), 0);
}

#[tokio::test]
async fn one_byte_at_a_time_does_not_extend_the_header_deadline() {
    let upstream = Upstream::start(Behaviour::ok("")).await;
    let listener = "    timeouts: {header: 300ms, idle: 300ms}\n";
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], listener, ""));
    let mut client = Client::connect(plane.address("web")).await;
    let drip = async {
        for byte in get("/", "1").repeat(10).bytes() {
            if tokio::io::AsyncWriteExt::write_all(&mut client.stream, &[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            let mut answer = [0; 64];
            if let Ok(count) = client.stream.try_read(&mut answer) {
                return String::from_utf8_lossy(&answer[..count]).into_owned();
            }
        }
        String::new()
    };
    assert!(crate::support::within(drip).await.starts_with("HTTP/1.1 408"));
}

/// Which of two endpoints this request goes to, with `more` lines in its head.
async fn chosen(client: &mut Client, target: &str, more: &str) -> String {
    client.ask(format!("GET {target} HTTP/1.1\r\nHost: t\r\n{more}\r\n")).await.text().to_owned()
}

#[tokio::test]
async fn a_hash_over_a_cookie_finds_it_in_whatever_field_it_stands() {
    let (a, b) = (Upstream::start(Behaviour::ok("a")).await, Upstream::start(Behaviour::ok("b")).await);
    let more = "    balance: {hash: {cookie: user}}\n";
    let plane = Plane::start(&http_yaml(&[&[a.address, b.address]], more));
    let mut client = Client::connect(plane.address("web")).await;
    let mut http2 = crate::support::Http2::connect(plane.address("web")).await;
    let mut homes = [0, 0];
    for key in 0..24 {
        let home = chosen(&mut client, "/", &format!("Cookie: user={key}\r\n")).await;
        homes[usize::from(home == "b")] += 1;
        for cookies in [
            format!("Cookie: x=1; user={key}; user=other\r\n"),
            format!("cookie: x=1; User=other\r\nCOOKIE: user={key}\r\nCookie: user=other\r\n"),
        ] {
            assert_eq!(chosen(&mut client, "/", &cookies).await, home, "{cookies}");
        }
        let split = [("cookie", "x=1"), ("cookie", &format!("user={key}")), ("cookie", "user=other")];
        let reply = http2.ask(crate::support::http2::request("GET", "/", &split)).await.unwrap();
        assert_eq!(reply.text(), home, "{split:?}");
    }
    assert!(homes.iter().all(|count| *count > 0), "{homes:?}");
    let by_source = chosen(&mut client, "/", "").await;
    for cookies in ["Cookie: x=1; users=2\r\n", "Cookie: User=3\r\n", "X-Cookie: user=4\r\n"] {
        assert_eq!(chosen(&mut client, "/", cookies).await, by_source, "{cookies}");
    }
}

#[tokio::test]
async fn a_hash_over_the_query_takes_every_spelling_of_a_value_for_the_same() {
    let (a, b) = (Upstream::start(Behaviour::ok("a")).await, Upstream::start(Behaviour::ok("b")).await);
    let more = "    balance: {hash: {query: user}}\n";
    let plane = Plane::start(&http_yaml(&[&[a.address, b.address]], more));
    let mut client = Client::connect(plane.address("web")).await;
    let mut homes = [0, 0];
    for key in 0..24 {
        let home = chosen(&mut client, &format!("/?user=k+{key}"), "").await;
        homes[usize::from(home == "b")] += 1;
        for target in [
            format!("/other/path?x=1&user=k%20{key}&user=other"),
            format!("/?%75ser=%6b+{key}"),
            format!("http://t?user=k+{key}"),
        ] {
            assert_eq!(chosen(&mut client, &target, "").await, home, "{target}");
        }
    }
    assert!(homes.iter().all(|count| *count > 0), "{homes:?}");
    let by_source = chosen(&mut client, "/", "").await;
    for target in ["/?", "/?users=2", "/user=3", "/?x=user=4"] {
        assert_eq!(chosen(&mut client, target, "").await, by_source, "{target}");
    }
}

#[tokio::test]
async fn with_keepalive_off_every_try_has_a_connection_of_its_own() {
    let (mut bad, good) = (Upstream::start(Behaviour::reset()).await, Upstream::start(Behaviour::ok("good")).await);
    let more = "    upstream: {keepalive: off}\n    balance: round_robin\n";
    let plane = Plane::start(&http_yaml(&[&[bad.address, good.address]], more));
    let mut client = Client::connect(plane.address("web")).await;
    for n in 0..6 {
        let answer = client.ask(get("/", &n.to_string())).await;
        assert_eq!((answer.status(), answer.text(), answer.header("connection")), (200, "good", None));
    }
    assert_eq!((good.accepted(), good.requests()), (6, 6));
    assert_eq!(bad.accepted(), bad.requests(), "a try of its own too");
    assert!(bad.requests() > 0);
    for head in good.heads() {
        assert!(head.lines().any(|line| line == "Connection: close"), "{head}");
    }
    // The endpoint would have kept them.
    until("none is kept", || good.open() == 0).await;
    let table = plane.published.load();
    assert!(table.services[0].pools[0].endpoints.iter().all(|endpoint| endpoint.stats.totals().idle == 0));
    bad.refuse().await;
    let mut http2 = crate::support::Http2::connect(plane.address("web")).await;
    let reply = http2.post(crate::support::http2::request("POST", "/", &[]), "body").await.unwrap();
    assert_eq!((reply.text(), reply.header("connection")), ("good", None));
    assert_eq!(good.accepted(), 7);
}

#[tokio::test]
async fn after_keepalive_is_turned_off_what_was_kept_is_not_used() {
    let upstream = Upstream::start(Behaviour::ok("good")).await;
    let mut plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.status(), 200);
    let kept = plane.published.load().services[0].pools[0].endpoints[0].stats.clone();
    until("it is kept", || kept.totals().idle == 1).await;
    let more = "    upstream: {keepalive: off}\n";
    plane.reload_kept(crate::support::plane::parsed(&http_yaml(&[&[upstream.address]], more)));
    until("the reload is taken up", || plane.published.all_acknowledged(plane.published.epoch())).await;
    for n in 2..4 {
        assert_eq!(client.ask(get("/", &n.to_string())).await.status(), 200);
        assert_eq!(upstream.accepted(), n);
    }
}

//! What a well-behaved client and an HTTP/1 upstream see of each other.
use std::sync::Arc;

use crate::support::http2::{
    self, END_HEADERS, END_STREAM, HEADERS, PREFACE, RawHttp2, SETTINGS, get, get_block, request,
};
use crate::support::pki::handshake;
use crate::support::plane::{http_yaml, yaml};
use crate::support::{Behaviour, Client, Http2, Pki, Plane, Then, Upstream};

async fn one(behaviour: Behaviour) -> (Upstream, Plane, Http2) {
    let upstream = Upstream::start(behaviour).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let client = Http2::connect(plane.address("web")).await;
    (upstream, plane, client)
}

#[tokio::test]
async fn requests_over_prior_knowledge_reach_an_http1_upstream() {
    let (upstream, _plane, mut client) = one(Behaviour::ok("hello")).await;
    for n in 0..10 {
        let reply = client.ask(get("/a?b", &n.to_string())).await.unwrap();
        assert_eq!((reply.status, reply.text(), reply.header("content-length")), (200, "hello", Some("5")));
        let reply = client.post(request("POST", "/", &[("content-length", "4")]), "body").await.unwrap();
        assert_eq!(reply.status, 200);
        let reply = client.post(request("PUT", "/", &[]), "unknown length").await.unwrap();
        assert_eq!(reply.status, 200);
    }
    assert_eq!((upstream.accepted(), upstream.requests()), (1, 30));
    let heads = upstream.heads();
    assert!(heads[0].starts_with("GET /a?b HTTP/1.1\r\n"), "{}", heads[0]);
    assert!(heads[0].contains("\r\nHost: test\r\n"), "{}", heads[0]);
    assert!(heads[1].contains("\r\ncontent-length: 4\r\n"), "{}", heads[1]);
    assert!(heads[2].contains("\r\nTransfer-Encoding: chunked"), "{}", heads[2]);
    assert_eq!(upstream.bodies()[1..3], [b"body".to_vec(), b"unknown length".to_vec()]);
}

#[tokio::test]
async fn answers_without_a_body_end_with_their_head() {
    let (upstream, _plane, mut client) = one(Behaviour::ok("hello")).await;
    let reply = client.ask(request("HEAD", "/", &[])).await.unwrap();
    assert_eq!((reply.status, reply.text(), reply.header("content-length")), (200, "", Some("5")));
    upstream.behave(Behaviour::Say(b"HTTP/1.1 204 No Content\r\n\r\n".into(), Then::Keep));
    assert_eq!(client.ask(get("/", "1")).await.unwrap().status, 204);
    upstream.behave(Behaviour::ok(""));
    let (answer, _) = client.begin(get("/", "2"), true).await;
    let answer = answer.await.unwrap();
    assert!(answer.body().is_end_stream(), "no frame of data for nothing");
}

#[tokio::test]
async fn answers_of_our_own_are_whole() {
    let (mut upstream, plane, mut client) = one(Behaviour::ok("")).await;
    upstream.refuse().await;
    let reply = client.ask(get("/", "mine")).await.unwrap();
    assert_eq!(
        (reply.status, reply.header("retry-after"), reply.header("x-request-id")),
        (503, Some("1"), Some("mine"))
    );
    assert!(reply.header("date").is_some() && reply.header("connection").is_none());
    assert!(reply.text().contains("mine"), "{}", reply.text());
    let length = reply.text().len();
    let head = client.ask(request("HEAD", "/", &[("x-request-id", "mine")])).await.unwrap();
    assert_eq!((head.status, head.text(), head.header("content-length")), (503, "", Some(&*length.to_string())));
    assert_eq!(plane.stats("web").responses().iter().sum::<u64>(), 2);
}

#[tokio::test]
async fn cookie_crumbs_reach_an_http1_upstream_as_one() {
    let (upstream, _plane, mut client) = one(Behaviour::ok("")).await;
    client.ask(request("GET", "/", &[("cookie", "a=1"), ("cookie", "b=2")])).await.unwrap();
    assert!(upstream.heads()[0].contains("\r\ncookie: a=1; b=2\r\n"), "{}", upstream.heads()[0]);
}

#[tokio::test]
async fn the_preface_may_come_in_any_pieces() {
    let (_upstream, plane, _client) = one(Behaviour::ok("")).await;
    for cut in 1..PREFACE.len() {
        let mut raw = RawHttp2::silent(plane.address("web")).await;
        raw.send(&PREFACE[..cut]).await;
        // Our SETTINGS come only to one whose preface is whole, so there is nothing to wait for.
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        raw.send(&PREFACE[cut..]).await;
        raw.send(http2::frame(SETTINGS, 0, 0, &[])).await;
        raw.send(http2::frame(HEADERS, END_HEADERS | END_STREAM, 1, &get_block("/", &[]))).await;
        let head = raw.next(HEADERS).await.unwrap();
        // `:status: 200` is the static table's number 8.
        assert_eq!((head.stream, head.payload[0]), (1, 0x88), "cut at {cut}");
    }
}

#[tokio::test]
async fn what_only_begins_like_http2_is_refused_as_http1() {
    let (_upstream, plane, _client) = one(Behaviour::ok("")).await;
    for text in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\rx", "PRI / HTTP/2.0\r\n\r\n", "PRI * HTTP/2.1\r\n\r\n"] {
        let mut client = Client::connect(plane.address("web")).await;
        client.send(text).await;
        assert_eq!(client.answer().await.unwrap().status(), 505, "{text:?}");
        assert_eq!(client.rest().await.0, b"");
    }
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask("PROPFIND / HTTP/1.1\r\nHost: t\r\n\r\n").await.status(), 200);
}

#[tokio::test]
async fn over_tls_the_protocol_is_what_alpn_says() {
    let pki = Pki::new();
    let pair = pki.issue("a", &["a.test"]);
    let upstream = Upstream::start(Behaviour::ok("hello")).await;
    let tls = format!("    tls: {{certificates: [{}]}}\n", pair.yaml());
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], &tls, ""));
    let mut config = pki.client();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = handshake(plane.address("web"), "a.test", &Arc::new(config)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut client = Http2::over(stream, &h2::client::Builder::new()).await;
    for body in ["", "hello"] {
        let reply = client.post(request("POST", "/", &[]), body).await.unwrap();
        assert_eq!((reply.status, reply.text()), (200, "hello"));
    }
    assert!(upstream.heads()[0].contains("\r\nX-Forwarded-Proto: https"), "{}", upstream.heads()[0]);
    let mut client = Client::secured(plane.address("web"), "a.test", &Arc::new(pki.client())).await;
    client.send(PREFACE).await;
    assert_eq!(client.answer().await.unwrap().status(), 505, "nothing was agreed on");
}

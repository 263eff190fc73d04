//! How connections end: told, in time, and with their streams finished.
use std::time::Duration;

use h2::Reason;

use crate::support::http2::{
    self, CONTINUATION, END_HEADERS, GOAWAY, HEADERS, PREFACE, RawHttp2, SETTINGS, get, get_block, whole,
};
use crate::support::plane::{http_yaml, yaml};
use crate::support::{Behaviour, Client, Http2, Plane, Upstream, until, within};

#[tokio::test]
async fn a_drain_says_goaway_and_lets_streams_finish() {
    let upstream = Upstream::start(Behaviour::ok("late").after(Duration::from_millis(300))).await;
    let mut plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Http2::connect(plane.address("web")).await;
    let idle = Http2::connect(plane.address("web")).await;
    let (answer, _) = client.begin(get("/", "1"), true).await;
    until("it is under way", || !upstream.heads().is_empty()).await;
    let report = plane.draining(Duration::from_secs(10));
    let refused = within(async {
        loop {
            match idle.sender.clone().ready().await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => break error,
            }
        }
    })
    .await;
    assert_eq!((refused.is_go_away(), refused.reason()), (true, Some(Reason::NO_ERROR)));
    assert_eq!(whole(within(answer).await.unwrap()).await.unwrap().text(), "late");
    within(client.end).await.unwrap().unwrap();
    let report = within(report).await.unwrap();
    assert_eq!((report.finished, report.cut), (1, 0));
}

#[tokio::test]
async fn a_drain_that_runs_out_cuts_what_is_left() {
    let upstream = Upstream::start(Behaviour::Hang).await;
    let mut plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Http2::connect(plane.address("web")).await;
    let (answer, _) = client.begin(get("/", "1"), true).await;
    until("it is under way", || upstream.requests() == 1).await;
    let report = within(plane.drain(Duration::from_millis(100))).await;
    assert_eq!((report.finished, report.cut), (0, 1));
    assert!(within(answer).await.is_err());
}

#[tokio::test]
async fn a_listener_that_a_reload_removes_says_goaway() {
    let upstream = Upstream::start(Behaviour::ok("")).await;
    let yaml = http_yaml(&[&[upstream.address]], "");
    let mut plane = Plane::start(&yaml);
    let mut client = Http2::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.unwrap().status, 200);
    plane.reload(&yaml.replace("name: web\n", "name: other\n"));
    within(client.end).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_ended_whatever_pings_it_sends() {
    let upstream = Upstream::start(Behaviour::ok("")).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "    timeouts: {idle: 200ms}\n", ""));
    let mut raw = RawHttp2::connect(plane.address("web")).await;
    raw.send(http2::frame(HEADERS, 5, 1, &get_block("/", &[]))).await;
    raw.next(HEADERS).await.unwrap();
    let (mut read, mut write) = raw.stream.into_split();
    let pings = async {
        while tokio::io::AsyncWriteExt::write_all(&mut write, &http2::frame(6, 0, 0, b"pingping")).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut bytes = Vec::new();
    let end = async { tokio::io::AsyncReadExt::read_to_end(&mut read, &mut bytes).await.unwrap() };
    within(async {
        tokio::select! {
            () = pings => {}
            _ = end => {}
        }
    })
    .await;
    let goaway = http2::frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
    assert!(bytes.windows(goaway.len()).any(|window| window == goaway));
}

#[tokio::test]
async fn a_connection_that_never_asks_is_ended() {
    let upstream = Upstream::start(Behaviour::ok("")).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "    timeouts: {header: 200ms}\n", ""));
    let mut raw = RawHttp2::connect(plane.address("web")).await;
    assert_eq!(raw.next(GOAWAY).await.unwrap().reason(), Reason::NO_ERROR);
    let mut half = Client::connect(plane.address("web")).await;
    half.send(&PREFACE[..20]).await;
    assert_eq!(half.answer().await.unwrap().status(), 408, "nobody knows yet what it speaks");
}

#[tokio::test]
async fn a_head_in_pieces_has_to_end_in_time() {
    let upstream = Upstream::start(Behaviour::ok("")).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "    timeouts: {header: 200ms}\n", ""));
    let block = get_block("/", &[]);
    for whole_frames in [true, false] {
        let mut raw = RawHttp2::connect(plane.address("web")).await;
        raw.send(http2::frame(HEADERS, 5, 1, &block)).await;
        raw.next(HEADERS).await.unwrap();
        if whole_frames {
            raw.send(http2::frame(HEADERS, 0, 3, &block)).await;
            raw.send(http2::frame(CONTINUATION, 0, 3, &[])).await;
        } else {
            raw.send(&http2::frame(HEADERS, END_HEADERS, 3, &block)[..20]).await;
        }
        assert_eq!(raw.next(GOAWAY).await.unwrap().reason(), Reason::ENHANCE_YOUR_CALM);
    }
    let excesses = plane.published.load().listeners[0].stats.excesses();
    assert_eq!(excesses[standfast::wire::h2::H2Excess::SlowHead as usize], 2);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_let_go_with_all_its_streams() {
    let upstream = Upstream::start(Behaviour::ok(&"x".repeat(20_000_000))).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "    timeouts: {body: 300ms}\n", ""));
    let mut raw = RawHttp2::silent(plane.address("web")).await;
    raw.send(PREFACE).await;
    // Windows as large as they can be, and nothing is read.
    raw.send(http2::frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff])).await;
    raw.send(http2::frame(8, 0, 0, &0x7ff0_0000_u32.to_be_bytes())).await;
    raw.send(http2::frame(HEADERS, 5, 1, &get_block("/", &[]))).await;
    until("it is given up", || upstream.requests() == 1 && upstream.open() == 0).await;
    until("the connection is gone", || plane.published.load().listeners[0].stats.open() == 0).await;
}

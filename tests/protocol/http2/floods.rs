//! Floods: each is found and ends its connection, and nobody else's.
use std::time::Duration;

use h2::Reason;
use standfast::wire::h2::H2Excess;

use crate::support::http2::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, RawHttp2, SETTINGS,
    WINDOW_UPDATE, get, get_block,
};
use crate::support::plane::http_yaml;
use crate::support::{Behaviour, Http2, Plane, Upstream, until};

fn excesses(plane: &Plane) -> u64 {
    plane.published.load().listeners[0].stats.excesses().iter().sum()
}

/// Sends pieces of a flood until the connection ends, and returns why it did.
async fn flood(plane: &Plane, mut piece: impl FnMut(u32) -> Vec<u8>) -> Option<Reason> {
    let mut raw = RawHttp2::connect(plane.address("web")).await;
    for n in 0..20_000 {
        if !raw.try_send(piece(n)).await {
            break;
        }
    }
    raw.next(GOAWAY).await.map(|frame| frame.reason())
}

#[tokio::test]
async fn floods_are_ended_and_the_others_go_on() {
    let upstream = Upstream::start(Behaviour::Hang).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let open = http2::frame(HEADERS, END_HEADERS, 1, &get_block("/", &[]));
    let first = move |n: u32, rest: Vec<u8>| if n == 0 { [open.clone(), rest].concat() } else { rest };
    let block = get_block("/", &[]);
    let mut ended = 0;
    let mut check = |reason: Option<Reason>, what: &str| {
        ended += 1;
        assert_eq!(reason, Some(Reason::ENHANCE_YOUR_CALM), "{what}");
    };
    check(flood(&plane, |_| http2::frame(PING, 0, 0, b"pingping")).await, "pings");
    check(flood(&plane, |_| http2::frame(SETTINGS, 0, 0, &[])).await, "settings");
    check(flood(&plane, |_| http2::frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1])).await, "priorities");
    check(flood(&plane, |n| first(n, http2::frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]))).await, "window updates");
    check(flood(&plane, |n| first(n, http2::frame(DATA, 0, 1, &[]))).await, "empty data");
    check(flood(&plane, |_| http2::frame(0xaa, 0, 0, b"unknown")).await, "unknown frames");
    let reset = |n: u32| {
        let stream = 2 * n + 1;
        let head = http2::frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
        [head, http2::frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    check(flood(&plane, reset).await, "rapid resets");
    let misuse = |n: u32| {
        let stream = 2 * n + 1;
        let head = http2::frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
        // The engine has to reset the stream itself: an increment of nothing.
        [head, http2::frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes())].concat()
    };
    check(flood(&plane, misuse).await, "resets that we are made to send");
    let begin = http2::frame(HEADERS, 0, 1, &block);
    let continued = |n: u32| if n == 0 { begin.clone() } else { http2::frame(CONTINUATION, 0, 1, &[]) };
    check(flood(&plane, continued).await, "empty continuations");
    until("all are counted", || excesses(&plane) == ended).await;
    let counted = plane.published.load().listeners[0].stats.excesses();
    let by_reason: Vec<_> = H2Excess::ALL.iter().map(|excess| (excess.reason(), counted[*excess as usize])).collect();
    assert!([H2Excess::Pings, H2Excess::Settings].iter().all(|excess| counted[*excess as usize] == 1), "{by_reason:?}");
    upstream.behave(Behaviour::ok("here"));
    let mut other = Http2::connect(plane.address("web")).await;
    assert_eq!(other.ask(get("/", "1")).await.unwrap().text(), "here");
}

#[tokio::test]
async fn a_page_that_is_left_is_no_flood() {
    let upstream = Upstream::start(Behaviour::ok("here").after(Duration::from_millis(200))).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut client = Http2::connect(plane.address("web")).await;
    for round in 0..2 {
        let mut answers = Vec::new();
        for n in 0..100 {
            answers.push(client.begin(get("/", &format!("{round}-{n}")), true).await);
        }
        answers.iter_mut().for_each(|(_, send)| send.send_reset(Reason::CANCEL));
        // Once more, when all of it has arrived.
        assert_eq!(client.ask(get("/", "1")).await.unwrap().text(), "here");
    }
    assert_eq!(excesses(&plane), 0);
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused_one_by_one() {
    let upstream = Upstream::start(Behaviour::Hang).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], ""));
    let mut raw = RawHttp2::connect(plane.address("web")).await;
    let block = get_block("/", &[]);
    for n in 0..129 {
        raw.send(http2::frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &block)).await;
    }
    let refused = raw.next(RST_STREAM).await.unwrap();
    assert_eq!((refused.stream, refused.reason()), (257, Reason::REFUSED_STREAM));
}

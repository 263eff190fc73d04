//! What leaves for upstreams and clients.
use super::*;
use crate::config::{Forwarded, HeaderChanges};

fn upstream(input: &str, change: impl FnOnce(&mut UpstreamHead<'_>)) -> String {
    upstream_with(input, &HeaderChanges::default(), change)
}

fn upstream_with(input: &str, changes: &HeaderChanges, change: impl FnOnce(&mut UpstreamHead<'_>)) -> String {
    let (head, _) = request(input.as_bytes()).unwrap();
    let client = ClientAddress::new("9.9.9.9".parse().unwrap());
    let mut to = UpstreamHead {
        forwarded: Forwarded::Off,
        client: &client,
        scheme: Scheme::Http,
        request_id: b"id",
        default_host: "10.0.0.1:80",
        expect_continue: false,
        closes: false,
        upgrades: &[],
        changes,
    };
    change(&mut to);
    let mut out = Vec::new();
    encode_request(&head, &to, &mut out);
    String::from_utf8(out).unwrap()
}

fn downstream(input: &str, version: Version, keep_alive: bool, changes: &HeaderChanges) -> String {
    let (head, _) = response(input.as_bytes(), AskedMethod::Other).unwrap();
    let to = DownstreamHead { version, framing: reply_framing(&head, version), keep_alive, changes };
    let mut out = Vec::new();
    encode_response(&head, &to, &mut out);
    String::from_utf8(out).unwrap()
}

fn own(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect()
}

#[test]
fn names_keep_case_and_order() {
    let input = "GET /x?y HTTP/1.1\r\nUSER-agent:  curl \r\nHost: a\r\nx-b:1\r\nX-A: 2\r\n\r\n";
    assert_eq!(
        upstream(input, |_| {}),
        "GET /x?y HTTP/1.1\r\nUSER-agent: curl\r\nHost: a\r\nx-b: 1\r\nX-A: 2\r\nX-Request-Id: id\r\nStandfast-Hops: 1\r\n\r\n"
    );
}

#[test]
fn hop_by_hop_fields_and_lookalikes_end_here() {
    let input = "POST / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Hop, upgrade\r\nKeep-Alive: 5\r\nX-Hop: 1\r\n\
                 Upgrade: h2c\r\nHTTP2-Settings: x\r\nProxy-Connection: x\r\nProxy: evil\r\nTE: gzip\r\nTrailer: T\r\n\
                 X_Forwarded_For: 1.1.1.1\r\nContent_Length: 7\r\nContent-Length: 007\r\nX-Request-Id: mine\r\n\r\n";
    assert_eq!(
        upstream(input, |to| to.request_id = b"mine"),
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\nX-Request-Id: mine\r\nStandfast-Hops: 1\r\n\r\n"
    );
}

#[test]
fn chunked_bodies_are_announced_anew() {
    let input = "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: CHUNKED\r\nTE: trailers\r\nTrailer: T\r\n\r\n";
    assert_eq!(
        upstream(input, |_| {}),
        "POST / HTTP/1.1\r\nHost: a\r\nTrailer: T\r\nX-Request-Id: id\r\nStandfast-Hops: 1\r\nTransfer-Encoding: chunked\r\n\
         TE: trailers\r\nConnection: TE\r\n\r\n"
    );
}

#[test]
fn host_is_the_authority_of_the_request() {
    for (input, expected) in [
        (
            "GET http://b:1/x HTTP/1.1\r\nA: 1\r\nhost: a\r\nB: 1\r\n\r\n",
            "GET /x HTTP/1.1\r\nA: 1\r\nhost: b:1\r\nB: 1\r\n",
        ),
        ("GET http://b?q HTTP/1.0\r\n\r\n", "GET /?q HTTP/1.1\r\nHost: b\r\n"),
        ("GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: 10.0.0.1:80\r\n"),
        ("OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: b\r\n"),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n"),
    ] {
        assert_eq!(upstream(input, |_| {}), format!("{expected}X-Request-Id: id\r\nStandfast-Hops: 1\r\n\r\n"));
    }
}

#[test]
fn the_client_is_told_about_by_policy() {
    let bare = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let claimed = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Host: h\r\nx-forwarded-for:\r\n\
                   X-Forwarded-Proto: https\r\nX-Real-IP: 2.2.2.2\r\nX-FORWARDED-FOR: 3.3.3.3\r\nForwarded: for=4.4.4.4\r\n\
                   X-Forwarded-Port: 1\r\n\r\n";
    let ours = "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n";
    for (policy, input, fields) in [
        (Forwarded::Off, bare, ""),
        (Forwarded::Off, claimed, ""),
        (Forwarded::Replace, bare, ours),
        (Forwarded::Replace, claimed, ours),
        (Forwarded::Append, bare, ours),
        (
            Forwarded::Append,
            claimed,
            "X-Forwarded-Host: h\r\nX-Real-IP: 2.2.2.2\r\nForwarded: for=4.4.4.4\r\nX-Forwarded-Port: 1\r\n\
             X-Forwarded-For: 1.1.1.1, 3.3.3.3, 9.9.9.9\r\nX-Forwarded-Proto: http\r\n\
             Forwarded: for=9.9.9.9;host=\"a\";proto=http\r\n",
        ),
    ] {
        let sent = upstream(input, |to| to.forwarded = policy);
        assert_eq!(
            sent,
            format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}X-Request-Id: id\r\nStandfast-Hops: 1\r\n\r\n"),
            "{policy:?}"
        );
    }
    let v6 = ClientAddress::new("2001:db8::1".parse().unwrap());
    let input = "GET / HTTP/1.1\r\nHost: a\r\nForwarded: for=x\r\n\r\n";
    let (head, _) = request(input.as_bytes()).unwrap();
    let to = UpstreamHead {
        forwarded: Forwarded::Append,
        client: &v6,
        scheme: Scheme::Https,
        request_id: b"id",
        default_host: "",
        expect_continue: false,
        closes: false,
        upgrades: &[],
        changes: &HeaderChanges::default(),
    };
    let mut out = Vec::new();
    encode_request(&head, &to, &mut out);
    let sent = String::from_utf8(out).unwrap();
    assert!(sent.contains("X-Forwarded-For: 2001:db8::1\r\nX-Forwarded-Proto: https\r\n"), "{sent}");
    assert!(sent.contains("Forwarded: for=\"[2001:db8::1]\";host=\"a\";proto=https\r\n"), "{sent}");
}

#[test]
fn expect_passes_only_when_the_caller_waits_for_it() {
    let input = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
    assert!(upstream(input, |to| to.expect_continue = true).contains("Expect: 100-continue\r\n"));
    assert!(!upstream(input, |_| {}).contains("Expect"));
}

#[test]
fn hops_are_counted_whatever_is_claimed_and_whatever_a_route_says() {
    let input = |lines: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    for (lines, count) in [
        ("", 1),
        ("Standfast-Hops: 3\r\n", 4),
        ("standfast-hops: 3\r\nStandfast-Hops: 9\r\nStandfast-Hops: 1\r\n", 10),
        ("Standfast-Hops: 3\r\nConnection: Standfast-Hops\r\n", 4),
        ("Standfast-Hops: -1\r\n", 1),
        ("Standfast-Hops: 99999999999999999999\r\n", 1),
        ("Standfast-Hops: 65535\r\n", 65536),
        ("Standfast_Hops: 7\r\n", 1),
    ] {
        let changes = HeaderChanges {
            set: own(&[("Standfast-Hops", "0")]),
            add: own(&[("standfast-hops", "0")]),
            remove: vec!["standfast-hops".into()],
        };
        for sent in [upstream(&input(lines), |_| {}), upstream_with(&input(lines), &changes, |_| {})] {
            assert_eq!(sent.to_lowercase().matches("hops").count(), 1, "{sent}");
            assert!(sent.contains(&format!("Standfast-Hops: {count}\r\n")), "{lines}: {sent}");
        }
    }
}

#[test]
fn route_changes_win_over_everything_but_framing() {
    let changes = HeaderChanges {
        set: own(&[("X-A", "new"), ("Host", "inner"), ("X-Forwarded-Proto", "https"), ("Content-Length", "9")]),
        add: own(&[("X-B", "2"), ("host", "second"), ("Transfer-Encoding", "chunked"), ("Connection", "close")]),
        remove: vec!["cookie".into(), "x-request-id".into(), "content-length".into(), "x-forwarded-host".into()],
    };
    let input =
        "POST / HTTP/1.1\r\nHost: a\r\nx-a: old\r\nX-B: 1\r\nCookie: c\r\nX-A: old\r\nContent-Length: 1\r\n\r\n";
    assert_eq!(
        upstream_with(input, &changes, |to| to.forwarded = Forwarded::Replace),
        "POST / HTTP/1.1\r\nX-B: 1\r\nContent-Length: 1\r\nX-Forwarded-For: 9.9.9.9\r\nStandfast-Hops: 1\r\nX-A: new\r\n\
         Host: inner\r\nX-Forwarded-Proto: https\r\nX-B: 2\r\n\r\n"
    );
    let remove = HeaderChanges { remove: vec!["host".into()], ..HeaderChanges::default() };
    assert!(upstream_with("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &remove, |_| {}).contains("Host: a\r\n"));
    let reply = HeaderChanges {
        set: own(&[("Server", "us"), ("Content-Length", "9")]),
        add: own(&[("Via", "x")]),
        remove: vec!["x-powered-by".into(), "content-length".into()],
    };
    let input = "HTTP/1.1 200 OK\r\nserver: them\r\nX-Powered-By: x\r\nContent-Length: 1\r\n\r\n";
    assert_eq!(
        downstream(input, Version::Http11, true, &reply),
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nServer: us\r\nVia: x\r\n\r\n"
    );
}

#[test]
fn replies_are_framed_for_the_version_of_the_client() {
    let none = HeaderChanges::default();
    for (input, version, keep, expected) in [
        (
            "HTTP/1.1 200 OK\r\nDate: d\r\ncontent-length: 01\r\nConnection: close, x\r\nX: 1\r\n\r\n",
            Version::Http11,
            true,
            "HTTP/1.1 200 OK\r\nDate: d\r\ncontent-length: 1\r\n\r\n",
        ),
        ("HTTP/1.0 200 OK\r\n\r\n", Version::Http11, true, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("HTTP/1.0 200 OK\r\n\r\n", Version::Http10, true, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
        (
            "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n",
            Version::Http11,
            false,
            "HTTP/1.1 200 \r\nTrailer: T\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        ),
        (
            "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n",
            Version::Http10,
            true,
            "HTTP/1.1 200 \r\nConnection: close\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
            Version::Http10,
            true,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n",
        ),
        ("HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n", Version::Http11, true, "HTTP/1.1 204 No\r\n\r\n"),
        (
            "HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\n",
            Version::Http11,
            true,
            "HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nUpgrade: h2\r\nKeep-Alive: 5\r\nContent-Length: 0\r\n\r\n",
            Version::Http11,
            true,
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
    ] {
        assert_eq!(downstream(input, version, keep, &none), expected, "{}", input.escape_debug());
    }
}

#[test]
fn interim_replies_carry_no_framing() {
    let (head, _) = response(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 1\r\nConnection: x\r\n\r\n",
        AskedMethod::Other,
    )
    .unwrap();
    let mut out = Vec::new();
    encode_interim(&head, &mut out);
    assert_eq!(out, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
}

#[test]
fn replies_of_our_own_are_complete() {
    let reply = OwnReply { status: 503, content_type: "text/plain", body: b"no", unix_seconds: 784_111_777 };
    let mut out = Vec::new();
    let fields = [("Retry-After", "1"), ("Content-Length", "9"), ("X", "a\r\nb"), ("Date", "now")];
    reply.encode(AskedMethod::Other, Version::Http11, false, fields, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "HTTP/1.1 503 Service Unavailable\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n\
         Retry-After: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    );
    let mut out = Vec::new();
    reply.encode(AskedMethod::Head, Version::Http11, true, [], &mut out);
    assert!(out.ends_with(b"Content-Length: 2\r\n\r\n"));
    let mut out = Vec::new();
    OwnReply { status: 204, ..reply }.encode(AskedMethod::Other, Version::Http11, true, [], &mut out);
    assert_eq!(out, b"HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
}

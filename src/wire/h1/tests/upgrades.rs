//! The rules for `Upgrade`: what is offered, what goes upstream, which 101 is an answer to it.
use super::*;
use crate::config::{Forwarded, HeaderChanges};

const ALLOWED: [&str; 3] = ["websocket", "example/1", "h2c"];

fn allowed() -> Vec<String> {
    ALLOWED.map(str::to_owned).to_vec()
}

fn ask(first: &str, fields: &str) -> RequestHead {
    request(format!("{first}\r\nHost: a\r\n{fields}\r\n").as_bytes()).unwrap().0
}

fn sent(head: &RequestHead, allowed: &[String]) -> String {
    sent_over(head, allowed, false)
}

/// `closes`: over a connection that ends with this request.
fn sent_over(head: &RequestHead, allowed: &[String], closes: bool) -> String {
    let client = ClientAddress::new("9.9.9.9".parse().unwrap());
    let to = UpstreamHead {
        forwarded: Forwarded::Off,
        client: &client,
        scheme: Scheme::Http,
        request_id: b"id",
        default_host: "default",
        expect_continue: false,
        closes,
        upgrades: allowed,
        changes: &HeaderChanges::default(),
    };
    let mut out = Vec::new();
    encode_request(head, &to, &mut out);
    String::from_utf8(out).unwrap()
}

const GET: &str = "GET / HTTP/1.1";
const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";

#[test]
fn a_connection_that_ends_with_its_request_says_so_unless_it_is_to_be_switched() {
    for (fields, line) in [
        ("", "Connection: close\r\n"),
        ("Connection: close\r\n", "Connection: close\r\n"),
        ("Connection: te\r\nTE: trailers\r\n", "TE: trailers\r\nConnection: close, TE\r\n"),
        (WEBSOCKET, "Upgrade: websocket\r\nConnection: Upgrade\r\n"),
        ("Connection: Upgrade\r\nUpgrade: unknown\r\n", "Connection: close\r\n"),
    ] {
        let text = sent_over(&ask(GET, fields), &allowed(), true);
        assert!(text.ends_with(&format!("{line}\r\n")), "{fields:?}: {text:?}");
        assert_eq!(text.matches("Connection").count(), 1, "{text:?}");
    }
}

#[test]
fn only_what_is_asked_for_properly_and_allowed_goes_upstream() {
    for (first, fields, line) in [
        (GET, "Connection: Upgrade\r\nUpgrade: websocket\r\n", "Upgrade: websocket\r\nConnection: Upgrade\r\n"),
        (
            GET,
            "Connection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\n",
            "Upgrade: WebSocket\r\nConnection: Upgrade\r\n",
        ),
        (
            GET,
            "Connection: upgrade\r\nUpgrade: x, websocket\r\nUpgrade: Example/1\r\n",
            "Upgrade: websocket, Example/1\r\nConnection: Upgrade\r\n",
        ),
        (
            GET,
            "Connection: upgrade, te\r\nTE: trailers\r\nUpgrade: websocket\r\n",
            "Upgrade: websocket\r\nTE: trailers\r\nConnection: Upgrade, TE\r\n",
        ),
        (
            GET,
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c, websocket\r\nHTTP2-Settings: AA\r\n",
            "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        ),
        (
            "POST / HTTP/1.1",
            "Content-Length: 0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n",
            "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        ),
        // Not allowed, not asked for, not to be granted.
        (GET, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n", ""),
        (GET, "Connection: Upgrade\r\nUpgrade: H2C\r\n", ""),
        (GET, "Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n", ""),
        (GET, "Connection: Upgrade\r\nUpgrade: example\r\n", ""),
        (GET, "Connection: Upgrade\r\nUpgrade: websocket2\r\n", ""),
        (GET, "Connection: Upgrade\r\nUpgrade: websocket/13\r\n", ""),
        (GET, "Connection: Upgrade\r\nUpgrade: web socket\r\n", ""),
        (GET, "Connection: Upgrade\r\nUpgrade: ,\r\n", ""),
        (GET, "Connection: Upgrade\r\n", ""),
        (GET, "Upgrade: websocket\r\n", ""),
        (GET, "Connection: websocket\r\nUpgrade: websocket\r\n", ""),
        (GET, "Connection: Upgrade, close\r\nUpgrade: websocket\r\n", ""),
        (GET, "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n", ""),
        (GET, "Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n", ""),
        ("HEAD / HTTP/1.1", WEBSOCKET, ""),
        ("GET / HTTP/1.0", "Connection: Upgrade, keep-alive\r\nUpgrade: websocket\r\n", ""),
    ] {
        let head = ask(first, fields);
        let text = sent(&head, &allowed());
        let lines = text.split_inclusive("\r\n");
        let about = lines
            .filter(|l| ["upgrade:", "connection:", "te:", "http2-"].iter().any(|n| l.to_lowercase().starts_with(n)));
        assert_eq!(about.collect::<String>(), line, "{first} {fields}");
        assert_eq!(offered(&head, &allowed()).next().is_some(), !line.is_empty(), "{fields}");
        assert!(!sent(&head, &[]).to_lowercase().contains("upgrade"), "nothing is allowed: {fields}");
    }
}

#[test]
fn the_rest_of_a_handshake_passes_as_it_came() {
    let handshake =
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a, b\r\n";
    let text = sent(&ask(GET, &format!("{WEBSOCKET}{handshake}Origin: http://a\r\n")), &allowed());
    assert!(text.contains(handshake), "{text}");
}

fn reply(text: &str) -> Result<ResponseHead, Error> {
    response(text.as_bytes(), AskedMethod::Upgrade).map(|(head, _)| head)
}

#[test]
fn a_101_must_say_what_it_switches_to() {
    const FIRST: &str = "HTTP/1.1 101 Switching Protocols\r\n";
    let head = ask(GET, "Connection: upgrade\r\nUpgrade: WebSocket, h2c\r\n");
    for (fields, protocol) in [
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", Some("websocket")),
        ("Upgrade: WEBSOCKET\r\nConnection: foo, upgrade\r\nContent-Length: 0\r\n", Some("WEBSOCKET")),
        ("Connection: Upgrade\r\nUpgrade: h2c\r\n", None),
        ("Connection: Upgrade\r\nUpgrade: example/1\r\n", None),
        ("Connection: Upgrade\r\nUpgrade: websocket, websocket\r\n", None),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: x\r\n", None),
        ("Connection: Upgrade\r\nUpgrade:\r\n", None),
        ("Connection: Upgrade\r\n", None),
    ] {
        let reply = reply(&format!("{FIRST}{fields}\r\n")).unwrap();
        assert!(!reply.is_interim() && reply.switches() && reply.body().is_empty());
        assert_eq!(agreed(&head, &allowed(), &reply), protocol.map(str::as_bytes), "{fields}");
        assert_eq!(agreed(&ask(GET, "Upgrade: websocket\r\n"), &allowed(), &reply), None, "nobody asked");
        assert_eq!(agreed(&head, &[], &reply), None, "nothing is allowed");
    }
    for fields in [
        "Upgrade: websocket\r\n",
        "Connection: close\r\nUpgrade: websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
    ] {
        assert_eq!(reply(&format!("{FIRST}{fields}\r\n")).err(), Some(Error::UnaskedUpgrade), "{fields}");
    }
    let good = format!("{FIRST}{WEBSOCKET}\r\n");
    assert_eq!(reply(&good.replace("/1.1", "/1.0")).err(), Some(Error::UnaskedUpgrade));
    for asked in [AskedMethod::Other, AskedMethod::Head] {
        assert_eq!(response(good.as_bytes(), asked).err(), Some(Error::UnaskedUpgrade));
    }
}

#[test]
fn a_reply_to_who_asked_for_an_upgrade_is_an_ordinary_one_unless_it_is_101() {
    let head = reply("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\n").unwrap();
    assert_eq!((head.body(), head.keep_alive()), (BodyLength::Length(2), true));
    assert!(reply("HTTP/1.1 103 Early Hints\r\n\r\n").unwrap().is_interim());
}

#[test]
fn a_101_goes_to_the_client_with_what_was_agreed_on() {
    let reply = reply(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket,\r\nConnection: Upgrade, X-Hop\r\nX-Hop: 1\r\nContent-Length: 0\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nKeep-Alive: timeout=5\r\n\r\n",
    )
    .unwrap();
    let to = DownstreamHead {
        version: Version::Http11,
        framing: reply_framing(&reply, Version::Http11),
        keep_alive: false,
        changes: &HeaderChanges::default(),
    };
    let mut out = Vec::new();
    encode_response(&reply, &to, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nConnection: Upgrade\r\n\r\n"
    );
}

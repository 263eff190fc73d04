//! The access log as the data plane writes it.

use std::time::Duration;

use crate::support::plane::http_yaml;
use crate::support::{Behaviour, Client, Plane, Then, Upstream, get};

#[tokio::test]
async fn a_line_says_where_a_request_went_and_how_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let bad = Upstream::start(Behaviour::cut(1_000_000, 10, Then::Close)).await;
    let text = http_yaml(&[&[bad.address]], "") + &format!("access_log: {{path: {}, format: json}}\n", path.display());
    let mut plane = Plane::start(&text);
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/cut?x=1", "first")).await;
    client.rest().await;
    bad.behave(Behaviour::ok("fine"));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/fine", "second")).await.text(), "fine");
    plane.drain(Duration::from_secs(1)).await;
    let mut lines = Vec::new();
    crate::support::until("two lines are written", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).collect();
        lines.len() == 2
    })
    .await;
    assert_eq!(lines[0]["termination"], "upstream_reset");
    assert_eq!(lines[0]["target"], "/cut?x=1");
    assert_eq!(lines[1]["termination"], "complete");
    assert_eq!((&lines[1]["status"], &lines[1]["tries"]), (&200.into(), &1.into()));
    assert_eq!(lines[1]["pool"], "p0");
    assert_eq!(lines[1]["request_id"], "second");
    assert_eq!(lines[1]["sent"], 4);
}

#[tokio::test]
async fn a_malformed_answer_is_told_by_the_rule_that_it_breaks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let upstream = Upstream::start(Behaviour::Hang).await;
    let text =
        http_yaml(&[&[upstream.address]], "") + &format!("access_log: {{path: {}, format: json}}\n", path.display());
    let mut plane = Plane::start(&text);
    let large = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(200_000));
    let cases = [
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer_encoding"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", "content_length_repeated"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "length_conflict"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "chunk_size"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "status_line"),
        ("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "unasked_upgrade"),
        (large.as_str(), "head_too_large"),
    ];
    for (bytes, _) in cases {
        upstream.behave(Behaviour::Say(bytes.into(), Then::Keep));
        let mut client = Client::connect(plane.address("web")).await;
        client.send(get("/", "1").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
        client.rest().await;
    }
    let counts = plane.published.load().services[0].stats.malformed();
    let counted = |reason: &str| {
        let place = standfast::wire::h1::Error::ALL.iter().position(|error| error.reason() == reason);
        counts[place.expect("a rule")]
    };
    for (bytes, reason) in cases {
        assert!(counted(reason) > 0, "{reason}: {bytes:.60}");
    }
    plane.drain(Duration::from_secs(1)).await;
    let mut said: Vec<String> = Vec::new();
    crate::support::until("all lines are written", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        said = lines.map(|line| line["malformed"].as_str().unwrap_or_default().to_owned()).collect();
        said.len() == cases.len()
    })
    .await;
    assert_eq!(said, cases.map(|(_, reason)| reason));
}

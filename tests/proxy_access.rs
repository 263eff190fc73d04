//! The access log as the data plane writes it.
mod support;

use std::time::Duration;

use support::plane::http_yaml;
use support::{Behaviour, Client, Plane, Then, Upstream, get};

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
    support::until("two lines are written", || {
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

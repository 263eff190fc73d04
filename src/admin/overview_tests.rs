//! The page of the admin port: what it shows, escaped and bounded.

use axum::http::HeaderValue;
use serde_json::{Value, json};

use super::*;

const HOSTILE: &str = "</h2><script>alert(\"x\")</script><img src=x onerror='y'>&amp;\u{1b}[2J\u{202e}";

fn endpoint(id: u32, operational: &str, evidence: &str) -> Value {
    let cause = if operational == "healthy" { "checks_passed" } else { "checks_failed" };
    json!({"id": id, "address": format!("10.{}.{}.{}:80", id >> 16, id >> 8 & 255, id & 255),
        "standing": {"operational": operational, "administrative": "ready", "cause": cause}, "admission": "open",
        "for_ms": 192_000, "evidence": evidence, "ejected_for_ms": null, "in_flight": 3})
}

fn pool(name: &str, endpoints: &[Value]) -> Value {
    json!({"name": name, "available": !endpoints.is_empty(), "usable": endpoints.len(), "page": endpoints.is_empty(),
        "endpoints": endpoints})
}

fn service(name: &str, pools: &[Value]) -> Value {
    json!({"name": name, "protocol": "http", "mode": "active_passive", "serving": {"active": 1}, "active": "b",
        "since_unix_ms": 1_700_000_000_000_u64, "for_ms": 192_000, "why": "failover", "failing_open": false,
        "hold_down_left_ms": 12_000, "frozen_for_ms": null, "pinned": null, "rto_objective_ms": 1_000, "pools": pools})
}

fn status(services: &[Value]) -> Status {
    let name = services.first().map_or(Value::Null, |service| service["name"].clone());
    let incident = json!({"id": 1, "service": name, "kind": "switchover", "from": "a", "to": null,
        "actor": {"operator": HOSTILE}, "epoch": 12, "fault_unix_ms": 1_700_000_000_000_u64, "age_ms": 192_000,
        "detected_ms": 0.4, "decided_ms": 51.0, "rto_ms": 1234.5, "evidence": [{"address": "10.0.0.1:80",
        "cause": "refused", "detail": HOSTILE, "seen_unix_ms": 1}]});
    serde_json::from_value(json!({
        "version": "0.1.0", "pid": 7, "config_path": null, "started_unix_ms": 1, "uptime_ms": 273_600_000,
        "now_unix_ms": 1_700_000_192_000_u64, "ready": true, "epoch": 12, "acknowledged": [12], "generation": 2,
        "loaded_unix_ms": 1, "last_reload": {"unix_ms": 1_700_000_182_000_u64, "ok": false, "messages": [HOSTILE]},
        "troubles": [HOSTILE], "listeners": [], "services": services,
        "names": [{"name": "app:80", "addresses": [], "answered_unix_ms": 0, "trouble": HOSTILE, "lookups": []}],
        "incidents": [incident],
    }))
    .expect("it follows the type")
}

fn page(status: Option<&Status>) -> String {
    OverviewPage { status, ready: true, draining: false, refreshes: true }.page()
}

/// The elements of a page, in their order. Panics where one is left open.
fn elements(page: &str) -> Vec<String> {
    let (mut found, mut open): (Vec<String>, Vec<String>) = Default::default();
    let body = page.split_once("</style>").map_or(page, |(_, body)| body);
    for tag in body.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap_or_else(|| panic!("an open tag: {tag}"));
        match tag.strip_prefix('/') {
            Some(end) => {
                // What the head began.
                if end != "head" && end != "html" {
                    assert_eq!(open.pop().as_deref(), Some(end), "{page}");
                }
            }
            None => {
                let name = tag.split(' ').next().unwrap_or_default().to_owned();
                found.push(name.clone());
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
    found
}

#[test]
fn what_comes_from_outside_is_text_wherever_it_stands() {
    let mut reported = endpoint(1, "unhealthy", HOSTILE);
    reported["name"] = HOSTILE.into();
    let mut hostile = service(HOSTILE, &[pool(HOSTILE, &[reported]), pool("b", &[endpoint(2, "healthy", "")])]);
    hostile["pinned"] = HOSTILE.into();
    hostile["active"] = HOSTILE.into();
    let mut status = status(&[hostile]);
    status.version = HOSTILE.into();
    let page = page(Some(&status));
    assert!(page.matches("&lt;script&gt;").count() >= 12, "it is shown: {page}");
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains(['\u{1b}', '\u{202e}']), "{page}");
    let known = "body main h1 p span section h2 ul li dl div dt dd table caption thead tr th tbody td footer a";
    let known: Vec<_> = known.split(' ').collect();
    for element in elements(&page) {
        assert!(known.contains(&&*element), "{element}");
    }
}

#[test]
fn people_see_what_serves_since_when_why_and_how_fast() {
    let pools = [
        pool("a", &[endpoint(1, "unhealthy", "3 probes failed")]),
        pool("b", &[endpoint(2, "healthy", "")]),
        pool("sorry", &[]),
    ];
    let page = page(Some(&status(&[service("shop", &pools)])));
    for shown in [
        "<h1>Standfast 0.1.0</h1>",
        ">ready</span> up 3d 4h, 2023-11-14T22:16:32Z",
        ">1 of 1 services are served</span>",
        "The last reload was refused 10s ago",
        "<h2>shop</h2>",
        "<dd><span class=\"badge warn\">b</span></dd>",
        "2023-11-14T22:13:20Z (3m 12s)",
        "<dd>failover</dd>",
        "<dd>1.23s of 1s (objectives.rto)</dd>",
        "home in 12s at the earliest",
        ">unhealthy (checks failed)</span>",
        "3 probes failed",
        "sorry <span class=\"badge bad\">unavailable</span> a static response",
        "switchover: a → (none), by ",
        ">+0.4ms</td>",
        ">+51ms</td>",
        ">+1.23s</td>",
        "href=\"/metrics\"",
    ] {
        assert!(page.contains(shown), "{shown}\n{page}");
    }
    elements(&page);
}

#[test]
fn a_service_that_is_not_served_is_counted_at_the_top() {
    let mut down = service("down", &[pool("a", &[endpoint(1, "unhealthy", "")])]);
    down["serving"] = "down".into();
    down["active"] = Value::Null;
    let served = service("shop", &[pool("a", &[endpoint(1, "healthy", "")]), pool("b", &[endpoint(2, "healthy", "")])]);
    let page = page(Some(&status(&[served, down])));
    assert!(page.contains(">1 of 2 services are NOT SERVED</span>") && page.contains(">DOWN</span>"), "{page}");
}

#[test]
fn of_thousands_it_shows_those_in_trouble_and_how_many_it_leaves_out() {
    let mut endpoints: Vec<Value> = (0..3_000).map(|id| endpoint(id, "healthy", &"x".repeat(2_000))).collect();
    endpoints[2_000] = endpoint(2_000, "unhealthy", "this one");
    let pools: Vec<Value> = (0..30).map(|n| pool(&format!("p{n}"), &endpoints[..100])).collect();
    let mut services = vec![service("first", &[pool("a", &endpoints), pool("b", &endpoints[..1])])];
    services.extend((0..400).map(|n| service(&format!("s{n}"), &pools)));
    let mut status = status(&services);
    status.troubles = vec![HOSTILE.repeat(1_000); 1_000];
    let page = page(Some(&status));
    assert!(page.len() < 2 << 20, "{} bytes", page.len());
    assert!(page.contains("10.0.7.208:80") && page.contains("this one"), "the one in trouble is shown");
    for told in [
        "2950 more endpoints are not shown: see",
        "50 more endpoints are not shown: see",
        "10 more pools are not shown: see",
        "301 more services are not shown: see",
        "983 more lines are not shown: see",
    ] {
        assert!(page.contains(told), "{told}");
    }
    elements(&page);
    let ill: Vec<Value> = (0..60).map(|id| endpoint(id, "ejected", "")).collect();
    let page = self::page(Some(&self::status(&[service("ill", &[pool("a", &ill)])])));
    assert!(page.contains("10 more endpoints are not shown, 10 of them not healthy: see"), "{page}");
}

#[test]
fn it_refreshes_itself_unless_it_is_told_not_to_and_while_nothing_answers() {
    let page = |refreshes| OverviewPage { status: None, ready: false, draining: false, refreshes }.page();
    assert!(page(true).contains(REFRESH) && page(true).contains("does not answer"));
    assert!(!page(false).contains("http-equiv") && page(false).contains("<a href=\"/\">"));
    elements(&page(true));
}

#[test]
fn html_is_for_clients_that_name_it() {
    for (accept, wanted) in [
        (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"][..], true),
        (&["application/json, Text/HTML ; level=1"], true),
        (&["application/json", "text/html;q=0.1"], true),
        (&["*/*"], false),
        (&["text/*"], false),
        (&["text/plain"], false),
        (&["application/json, text/html;q=0"], false),
        (&["text/html; Q=0.000"], false),
        (&["text/htmlx"], false),
        (&[""], false),
        (&[], false),
    ] {
        let mut fields = HeaderMap::new();
        for value in accept {
            fields.append(header::ACCEPT, HeaderValue::from_static(value));
        }
        assert_eq!(wants_html(&fields), wanted, "{accept:?}");
    }
}

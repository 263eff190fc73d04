//! Holds, evacuations, weights, ejections and reloads over the wire, by the API and by the command line.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;

use serde_json::Value;
use standfast::access::BearerToken;

use super::acts::{Operated, json, outcome, standfast};
use crate::support::exchange::{Answer, ask_local, bearer, post, post_local};
use crate::waiting::eventually;

fn act(operated: &Operated, command: &str, more: &str) -> Answer {
    operated.act(&format!(r#"{{"command": "{command}", "reason": "a test"{more}}}"#))
}

/// The records of acts, oldest first.
fn acts_on_record(operated: &Operated) -> Vec<Value> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = operated.app.control().records(after);
        let Some(last) = page.records.last() else { return found };
        after = Some(last.id);
        let records = page.records.iter().map(|record| serde_json::to_value(record).unwrap());
        found.extend(records.filter(|record| record["type"].as_str().unwrap().starts_with("act.")));
    }
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.code, json(answer)["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_hold_ends_by_itself_or_by_hand_and_is_told() {
    let operated = Operated::start(&[]);
    let hold = |more: &str| act(&operated, "hold", &format!(r#", "service": "shop"{more}"#));
    let held = json(&hold(r#", "scope": "all", "for": "1h""#));
    assert_eq!((&held["outcome"], &held["command"]), (&"done".into(), &"hold".into()));
    assert!(held["next"].as_str().unwrap().starts_with("no switch is made until release"), "{held}");
    let shop = operated.shop();
    assert_eq!(shop["hold"]["scope"], "all");
    assert!(shop["conditions"].as_array().unwrap().iter().any(|open| open["kind"] == "held"), "{shop}");
    let switch = act(&operated, "switchover", r#", "service": "shop", "pool": "eu-north""#);
    assert_eq!(code(&switch), (409, "held".to_owned()));
    assert_eq!(json(&switch)["advice"], "release it first");
    assert_eq!(code(&hold(r#", "for": "25h""#)), (422, "until_too_far".to_owned()));
    assert_eq!(code(&hold(r#", "until": "2020-01-01T00:00:00Z""#)), (422, "until_passed".to_owned()));
    assert_eq!(code(&hold(r#", "until": "2030-01-01T00:00:00""#)), (400, "malformed".to_owned()), "without an offset");
    assert_eq!(code(&hold("")), (400, "malformed".to_owned()));
    assert_eq!(json(&act(&operated, "release", r#", "service": "shop""#))["outcome"], "done");
    assert_eq!(code(&act(&operated, "release", r#", "service": "shop""#)), (409, "not_held".to_owned()));
    hold(r#", "for": "100ms""#);
    eventually("it has ended", || operated.shop()["hold"].is_null().then_some(()));
}

#[test]
fn a_zone_is_evacuated_and_returned_by_those_who_may_command_all_its_services() {
    let (all, other) = (BearerToken::generate().unwrap(), BearerToken::generate().unwrap());
    let operated = Operated::start(&[(&all, "operator", "shop"), (&other, "operator", "pay")]);
    let send = |token: &BearerToken, body: &str| {
        post(operated.address(), "/v1/acts", &bearer(&token.reveal()), &format!(r#"{{"reason": "a test", {body}}}"#))
    };
    let evacuate = r#""command": "evacuate", "zone": "z-eu-west", "for": "1h""#;
    assert_eq!(code(&send(&other, evacuate)).0, 403);
    assert_eq!(code(&send(&other, r#""command": "evacuate", "zone": "nowhere", "for": "1h""#)).0, 403, "nor is told");
    let moved = json(&send(&all, evacuate));
    assert_eq!(moved["moves"][0]["to"], "eu-north", "{moved}");
    assert_eq!((&moved["zone"], &moved["service"]), (&"z-eu-west".into(), &Value::Null));
    let shop = operated.shop();
    assert_eq!((&shop["active"], &shop["evacuated"][0]["zone"]), (&"eu-north".into(), &"z-eu-west".into()));
    assert_eq!(shop["pools"][0]["evacuated"], true);
    let back = act(&operated, "switchover", r#", "service": "shop", "pool": "eu-west""#);
    assert_eq!(code(&back), (409, "evacuated".to_owned()));
    let stuck = act(&operated, "evacuate", r#", "zone": "z-eu-north", "for": "1h""#);
    assert_eq!(code(&stuck), (409, "cannot_evacuate".to_owned()));
    assert!(json(&stuck)["detail"].as_str().unwrap().contains("shop (no pool outside it is available)"), "{stuck:?}");
    let partly = json(&act(&operated, "evacuate", r#", "zone": "z-eu-north", "for": "1h", "partial": true"#));
    assert_eq!((&partly["outcome"], &partly["stays"][0]["service"]), (&"partly".into(), &"shop".into()));
    assert_eq!(json(&send(&all, r#""command": "return", "zone": "z-eu-west""#))["outcome"], "done");
    // (By itself it would wait for the hold-down of a pool that has just started.)
    assert_eq!(json(&act(&operated, "failback", r#", "service": "shop""#))["outcome"], "done");
    assert_eq!(operated.shop()["active"], "eu-west");
    let unknown = act(&operated, "evacuate", r#", "zone": "z-eu-wst", "for": "1h""#);
    assert_eq!(json(&unknown)["advice"], "there are z-eu-north, z-eu-west; did you mean z-eu-west?");
    assert_eq!(code(&unknown), (404, "no_zone".to_owned()));
}

#[test]
fn endpoints_are_weighed_and_ejected_and_the_last_one_goes_by_force_alone() {
    let operated = Operated::start(&[]);
    let endpoint = operated.endpoints[0].local_addr().unwrap().to_string();
    let on = |command: &str, more: &str| {
        act(&operated, command, &format!(r#", "service": "shop", "endpoint": "{endpoint}"{more}"#))
    };
    let shown = || operated.shop()["pools"][0]["endpoints"][0].clone();
    assert_eq!(json(&on("weight", r#", "weight": 7, "for": "1h""#))["outcome"], "done");
    assert_eq!((&shown()["weight"], &shown()["weight_order"]["weight"]), (&7.into(), &7.into()));
    assert_eq!(code(&on("weight", r#", "weight": 1001"#)), (422, "weight_too_large".to_owned()));
    for (command, more) in [("weight", r#", "weight": 0"#), ("drain", ""), ("maint", ""), ("eject", "")] {
        let refused = on(command, more);
        assert_eq!(code(&refused), (409, "last_endpoint".to_owned()), "{command}");
        assert_eq!(json(&refused)["advice"], "with force the service goes to eu-north");
    }
    let refused = act(&operated, "drain", r#", "service": "shop", "zone": "z-eu-west""#);
    assert_eq!(code(&refused), (409, "last_endpoint".to_owned()));
    assert_eq!(code(&on("uneject", "")), (409, "not_ejected".to_owned()));
    let drained = json(&on("drain", r#", "force": true"#));
    assert_eq!((&drained["incident"]["from"], &drained["incident"]["to"]), (&"eu-west".into(), &"eu-north".into()));
    assert_eq!(json(&act(&operated, "ready", r#", "service": "shop", "pool": "eu-west""#))["outcome"], "done");
    let ejected = json(&on("eject", ""));
    assert_eq!(ejected["outcome"], "done", "it serves no more");
    assert_eq!(shown()["standing"]["cause"], "ordered");
    assert_eq!(json(&on("uneject", ""))["outcome"], "done");
}

#[test]
fn a_reload_is_an_act_with_a_reason_and_a_refused_one_says_every_problem() {
    let operator = BearerToken::generate().unwrap();
    let operated = Operated::start(&[(&operator, "operator", "*")]);
    let reload = r#"{"command": "reload", "reason": "new routes"}"#;
    let denied = post(operated.address(), "/v1/acts", &bearer(&operator.reveal()), reload);
    assert_eq!(denied.code, 403);
    assert!(json(&denied)["detail"].as_str().unwrap().contains("needs the role admin on all services"), "{denied:?}");
    let id = "Idempotency-Key: 0123456789abcdef0011223344556677\r\n";
    let done = json(&post_local(&operated.socket(), "/v1/acts", id, reload));
    assert_eq!((&done["outcome"], &done["acknowledged"]), (&"done".into(), &true.into()));
    let generation = || json(&ask_local(&operated.socket(), "GET /v1/status"))["generation"].clone();
    assert_eq!(generation(), 2);
    let again = json(&post_local(&operated.socket(), "/v1/acts", id, reload));
    assert_eq!((&again["repeated"], generation()), (&true.into(), 2.into()), "it is not carried out again");
    let marked = post_local(&operated.socket(), "/v1/acts", "If-Match: \"000000000000002a.7.12\"\r\n", reload);
    assert_eq!(code(&marked), (422, "no_mark".to_owned()), "it is not about one service");
    let file = operated.folder.path().join("standfast.yaml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("protocol: tcp, service: shop", "protocol: tcp, service: shpo")).unwrap();
    let refused = operated.act(reload);
    assert_eq!(code(&refused), (409, "config_refused".to_owned()));
    assert!(json(&refused)["problems"].to_string().contains("shpo"), "{refused:?}");
    let id = "Idempotency-Key: 0123456789abcdef0011223344556688\r\n";
    let first = post_local(&operated.socket(), "/v1/acts", id, reload);
    assert_eq!(code(&first), (409, "config_refused".to_owned()));
    fs::write(&file, &good).unwrap();
    let again = post_local(&operated.socket(), "/v1/acts", id, reload);
    assert_eq!(
        (code(&again), &json(&again)["problems"]),
        (code(&first), &json(&first)["problems"]),
        "it has its answer"
    );
    fs::write(&file, good.replace("protocol: tcp, service: shop", "protocol: tcp, service: shpo")).unwrap();
    let output = standfast(&operated.socket(), &["reload", "-m", "new routes"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("shpo"));
    fs::write(&file, good).unwrap();
    assert_eq!(standfast(&operated.socket(), &["reload", "-m", "new routes"]).status.code(), Some(0));
}

#[test]
fn the_command_line_has_a_word_for_each_of_them() {
    let operated = Operated::start(&[]);
    let socket = operated.socket();
    let run = |arguments: &[&str]| outcome(standfast(&socket, arguments));
    let reason = ["-m", "a test"];
    let with = |words: &[&'static str]| run(&[words, &reason[..]].concat());
    assert_eq!(with(&["hold", "shop", "all", "--for", "1h"]).0, 0);
    assert_eq!(with(&["evacuate", "z-eu-west", "--for", "1h"]).0, 1);
    assert_eq!(with(&["release", "shop"]).0, 0);
    assert_eq!(with(&["hold", "shop"]).0, 2, "an end is needed");
    let (code, out, _) = with(&["evacuate", "z-eu-west", "--for", "1h"]);
    assert!(code == 0 && out.contains("\n  shop: eu-west → eu-north\n"), "{out}");
    assert_eq!(with(&["return", "z-eu-west"]).0, 0);
    let endpoint = operated.endpoints[1].local_addr().unwrap().to_string();
    let one = |word: &str, more: &[&str]| run(&[&[word, "shop", &endpoint][..], more, &reason[..]].concat()).0;
    assert_eq!(with(&["failback", "shop"]).0, 0);
    assert_eq!(one("weight", &["5", "--for", "10m"]), 0);
    assert_eq!(one("eject", &[]), 0);
    assert_eq!(one("uneject", &[]), 0);
    assert_eq!(with(&["drain", "shop", "--pool", "eu-north", "--wait"]).0, 0);
    assert_eq!(with(&["ready", "shop", "--zone", "z-eu-north"]).0, 0);
    assert_eq!(run(&["pin", "shop", "eu-west", "--for", "1h", "-m", "a test"]).0, 0);
    assert!(operated.shop()["pinned_for_ms"].as_u64().is_some_and(|left| left > 3_500_000));
    assert_eq!(with(&["unpin", "shop"]).0, 0);
    let (code, out, _) = run(&["explain", "shop"]);
    assert!(code == 0 && out.starts_with("shop is served by eu-west, for ") && out.contains("\nnext: "), "{out}");
    assert_eq!(run(&["explain", "shpo"]).0, 1);
    let (code, out, _) = run(&["incidents"]);
    assert!(code == 0 && out.contains("switchover"), "{out}");
    let name = json(&ask_local(&socket, "GET /v1/incidents"))[0]["name"].as_str().unwrap().to_owned();
    let (code, out, _) = run(&["incidents", &name]);
    assert!(code == 0 && out.contains("switch      switchover eu-west → eu-north"), "{out}");
    assert_eq!(run(&["incidents", "4711"]).0, 1);
}

#[test]
fn one_command_goes_to_several_instances_with_one_id_and_the_worst_exit_code() {
    let (one, other) = (Operated::start(&[]), Operated::start(&[]));
    let address = |operated: &Operated| format!("unix:{}", operated.socket().display());
    let (first, second) = (address(&one), address(&other));
    let both = ["--admin", &*first, "--admin", &*second];
    let switch = [&["switchover", "shop", "eu-north", "-m", "a test"][..], &both].concat();
    let output = standfast(&one.socket(), &switch);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(text.lines().filter(|line| line.contains("shop: eu-west → eu-north")).count(), 2, "{text}");
    let id = |operated: &Operated| acts_on_record(operated).last().unwrap()["what"]["act"].clone();
    assert_eq!(id(&one), id(&other));
    other.act(r#"{"command": "pin", "service": "shop", "pool": "eu-north", "reason": "a test"}"#);
    let back = [&["failback", "shop", "-m", "a test"][..], &both].concat();
    let output = standfast(&one.socket(), &back);
    assert_eq!(output.status.code(), Some(1), "the second one refuses");
    assert_eq!((&one.shop()["active"], &other.shop()["active"]), (&"eu-west".into(), &"eu-north".into()));
}

/// A hundred acts at once from twenty clients: each is carried out or refused exactly once.
#[test]
fn acts_of_many_clients_at_once_each_have_one_outcome_on_record() {
    let operated = Operated::start(&[]);
    let outcomes = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for client in 0..20_u32 {
            let (socket, outcomes) = (operated.socket(), &outcomes);
            scope.spawn(move || {
                for number in 0..5_u32 {
                    let id = format!("{:032x}", client * 100 + number);
                    let body = match (client + number) % 3 {
                        0 => r#"{"command": "switchover", "service": "shop", "pool": "eu-north", "reason": "a test"}"#,
                        1 => r#"{"command": "failback", "service": "shop", "reason": "a test"}"#,
                        _ => r#"{"command": "release", "service": "shop", "reason": "a test"}"#,
                    };
                    // (A place may be taken: then nothing was done, and the same act is sent again.)
                    let answer = loop {
                        let field = format!("Idempotency-Key: {id}\r\n");
                        let answer = post_local(&socket, "/v1/acts", &field, body);
                        if answer.code != 503 {
                            break answer;
                        }
                        std::thread::yield_now();
                    };
                    outcomes.lock().unwrap().insert(id, answer.code);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap();
    assert_eq!(outcomes.len(), 100);
    assert!(outcomes.values().all(|code| matches!(code, 200 | 409)), "{outcomes:?}");
    let mut recorded = BTreeMap::new();
    for act in acts_on_record(&operated).iter().filter(|act| act["what"]["repeated"].is_null()) {
        *recorded.entry(act["what"]["act"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    assert!(recorded.len() == 100 && recorded.values().all(|count| *count == 1), "{recorded:?}");
}

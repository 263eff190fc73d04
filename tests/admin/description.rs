//! What the port says of itself: the description of the API, and the snapshot of the decision.

use std::fs;
use std::net::{SocketAddr, TcpListener};

use serde_json::Value;
use standfast::access::BearerToken;
use standfast::control::DecisionSnapshot;
use standfast::{App, config};

use crate::support::exchange::{ask, ask_for, bearer, post};
use crate::waiting::eventually;

const PASSWORD: &str = "swordfish-2341";

/// An instance with a check that sends a password, and a token of each of these roles.
fn start(tokens: &[(&BearerToken, &str)], folder: &tempfile::TempDir) -> (App, SocketAddr, TcpListener) {
    let line = |(token, role): &(&BearerToken, &str)| {
        format!("{} ada {role} * 2026-01-01 never {}\n", token.id(), token.secret_hash().to_hex())
    };
    fs::write(folder.path().join("tokens"), tokens.iter().map(line).collect::<String>()).unwrap();
    let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = endpoint.local_addr().unwrap();
    let text = format!(
        "admin: {{bind: '127.0.0.1:0', tokens_file: tokens}}\nworkers: 1\n\
         listeners: [{{name: db, bind: '127.0.0.1:0', protocol: tcp, service: shop}}]\n\
         services:\n  shop: {{protocol: tcp, health_check: {{tcp: {{}}}}, pools: [{{name: a, endpoints: ['{address}']}}]}}\n  \
         web: {{health_check: {{http: {{path: /, request_headers: {{authorization: {PASSWORD}}}}}}}, \
         pools: [{{name: b, endpoints: ['{address}']}}]}}\n"
    );
    let config = config::parse(&text, folder.path()).unwrap_or_else(|error| panic!("{}", error.explain(false)));
    let app = App::builder(config.config).start().unwrap();
    let admin = app.admin_address().unwrap();
    (app, admin, endpoint)
}

fn token() -> BearerToken {
    BearerToken::generate().expect("random numbers")
}

#[test]
fn the_description_needs_a_credential_and_no_role() {
    let (viewer, folder) = (token(), tempfile::tempdir().unwrap());
    let (_app, address, _endpoint) = start(&[(&viewer, "viewer")], &folder);
    let answer = ask(address, "GET /v1/openapi.json", &bearer(&viewer.reveal()));
    assert_eq!((answer.code, answer.field("content-type")), (200, Some("application/json")));
    assert_eq!(answer.body, standfast::admin::openapi_document());
    assert_eq!(ask(address, "GET /v1/openapi.json", "").code, 401);
    let elsewhere = ask_for(address, "evil.example", "GET /v1/openapi.json", &bearer(&viewer.reveal()));
    assert_eq!(elsewhere.problem(), "wrong_host");
}

#[test]
fn a_path_that_is_no_text_is_a_problem() {
    let (viewer, folder) = (token(), tempfile::tempdir().unwrap());
    let (_app, address, _endpoint) = start(&[(&viewer, "viewer")], &folder);
    for path in ["services", "incidents", "acts"] {
        let answer = ask(address, &format!("GET /v1/{path}/%ff"), &bearer(&viewer.reveal()));
        assert_eq!((answer.code, answer.problem().as_str()), (400, "malformed"), "{path}");
    }
}

#[test]
fn the_snapshot_is_the_decision_without_its_secrets() {
    let (admin, operator, folder) = (token(), token(), tempfile::tempdir().unwrap());
    let (_app, address, _endpoint) = start(&[(&admin, "admin"), (&operator, "operator")], &folder);
    let get = |path: &str| {
        let answer = ask(address, &format!("GET {path}"), &bearer(&admin.reveal()));
        assert_eq!(answer.code, 200, "{answer:?}");
        answer.body
    };
    let shop = || serde_json::from_str::<Value>(&get("/v1/services/shop")).unwrap();
    eventually("the service is served", || (shop()["active"] == "a").then_some(()));
    let pin = r#"{"command": "pin", "service": "shop", "pool": "a", "reason": "a test"}"#;
    assert_eq!(post(address, "/v1/acts", &bearer(&operator.reveal()), pin).code, 200);

    let text = get("/v1/decision");
    assert!(!text.contains(PASSWORD) && text.contains("\"***\""), "{text}");
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&value["format"], &value["version"]), (&1.into(), &env!("CARGO_PKG_VERSION").into()));
    let snapshot: DecisionSnapshot = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&snapshot).unwrap(), value, "nothing is lost");

    let told = shop();
    let status = snapshot.decision.status(snapshot.taken_us);
    let status = serde_json::to_value(status.iter().find(|service| &*service.name == "shop")).unwrap();
    for field in ["name", "mode", "serving", "active", "pinned", "isolated", "conditions", "comes_home"] {
        assert_eq!(status[field], told[field], "{field}");
    }
    for field in ["id", "address", "standing", "admission"] {
        let of = |service: &Value| service["pools"][0]["endpoints"][0][field].clone();
        assert_eq!(of(&status), of(&told), "{field}");
    }

    let denied = ask(address, "GET /v1/decision", &bearer(&operator.reveal()));
    assert_eq!((denied.code, denied.problem().as_str()), (403, "not_allowed"));
}

#[test]
fn a_dry_run_has_no_id_and_its_head_is_checked_as_that_of_an_act() {
    let (operator, folder) = (token(), tempfile::tempdir().unwrap());
    let (_app, address, _endpoint) = start(&[(&operator, "operator")], &folder);
    let fields = bearer(&operator.reveal());
    let dry = r#"{"command": "pin", "service": "shop", "pool": "a", "dry": true}"#;
    let answer = post(address, "/v1/acts", &fields, dry);
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.code, &told["dry"], &told["id"]), (200, &true.into(), &Value::Null), "{answer:?}");
    let wrong = post(address, "/v1/acts", &format!("{fields}Idempotency-Key: 7\r\n"), dry);
    assert_eq!((wrong.code, wrong.problem().as_str()), (400, "malformed"));
}

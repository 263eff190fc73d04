//! Acts over the wire: from a credential to a published switch and its answer, by the API and by the command line.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use standfast::access::BearerToken;
use standfast::{App, config};

use crate::support::exchange::{Answer, ask, ask_local, bearer, post, post_local};
use crate::waiting::eventually;

/// A whole instance with two pools of TCP endpoints, its unix socket, and tokens.
pub struct Operated {
    pub app: App,
    pub folder: tempfile::TempDir,
    pub endpoints: Vec<TcpListener>,
}

impl Operated {
    pub fn start(tokens: &[(&BearerToken, &str, &str)]) -> Operated {
        let folder = tempfile::tempdir().unwrap();
        let line = |(token, role, services): &(&BearerToken, &str, &str)| {
            let (id, hash) = (token.id(), token.secret_hash().to_hex());
            format!("{id} ada {role} {services} 2026-01-01 never {hash}\n")
        };
        fs::write(folder.path().join("tokens"), tokens.iter().map(line).collect::<String>()).unwrap();
        let endpoints: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let pools: Vec<String> = ["eu-west", "eu-north"]
            .iter()
            .zip(&endpoints)
            .map(|(pool, endpoint)| {
                format!("{{name: {pool}, zone: z-{pool}, endpoints: ['{}']}}", endpoint.local_addr().unwrap())
            })
            .collect();
        let text = format!(
            "admin: {{bind: '127.0.0.1:0', tokens_file: tokens, socket: ./admin.sock}}\nworkers: 1\n\
             listeners: [{{name: db, bind: '127.0.0.1:0', protocol: tcp, service: shop}}]\n\
             services: {{shop: {{protocol: tcp, pools: [{}]}}}}\n",
            pools.join(", ")
        );
        let config = config::parse(&text, folder.path()).unwrap_or_else(|error| panic!("{}", error.explain(false)));
        let file = folder.path().join("standfast.yaml");
        fs::write(&file, &text).unwrap();
        let app = App::builder(config.config).config_file(file).start().unwrap();
        let operated = Operated { app, folder, endpoints };
        eventually("both pools can serve", || {
            let shop = operated.shop();
            let is_available = |pool: usize| shop["pools"][pool]["available"] == true;
            (shop["active"] == "eu-west" && is_available(0) && is_available(1)).then_some(())
        });
        operated
    }

    pub fn address(&self) -> SocketAddr {
        self.app.admin_address().unwrap()
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }

    /// The service, as it is told on the socket.
    pub fn shop(&self) -> Value {
        json(&ask_local(&self.socket(), "GET /v1/services/shop"))
    }

    pub fn act(&self, body: &str) -> Answer {
        post_local(&self.socket(), "/v1/acts", "", body)
    }

    fn health(&self, path: &str) -> (u16, String) {
        let answer = ask(self.address(), &format!("GET /health/{path}"), "");
        (answer.code, answer.body.trim().to_owned())
    }
}

pub fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

const SWITCH: &str =
    r#"{"command": "switchover", "service": "shop", "pool": "eu-north", "reason": "maintenance of eu-west"}"#;

#[test]
fn an_act_is_answered_when_every_worker_goes_by_it() {
    let operated = Operated::start(&[]);
    assert_eq!(operated.health("shop/eu-west?home"), (200, "served".to_owned()));
    let answer = operated.act(SWITCH);
    let told = json(&answer);
    assert_eq!(answer.code, 200, "{answer:?}");
    for (field, value) in [
        ("outcome", Value::from("done")),
        ("command", "switchover".into()),
        ("pool", "eu-north".into()),
        ("acknowledged", true.into()),
        ("workers", 1.into()),
        ("reason", "maintenance of eu-west".into()),
        ("next", "it fails over by itself when this pool fails; no failback by itself until failback".into()),
    ] {
        assert_eq!(told[field], value, "{field}: {told}");
    }
    assert_eq!((&told["incident"]["from"], &told["incident"]["to"]), (&"eu-west".into(), &"eu-north".into()));
    assert_eq!(told["actor"]["kind"], "local");
    assert_eq!(operated.shop()["active"], "eu-north");

    let id = told["id"].as_str().unwrap();
    let looked_up = json(&ask_local(&operated.socket(), &format!("GET /v1/acts/{id}")));
    assert_eq!((&looked_up["outcome"], &looked_up["reason"]), (&"done".into(), &told["reason"]));
    let incidents = json(&ask_local(&operated.socket(), "GET /v1/incidents"));
    assert_eq!(incidents[0]["id"], told["incident"]["id"], "{incidents}");

    for (path, code, word) in [
        ("shop", 200, "served"),
        ("shop/eu-north", 200, "served"),
        ("shop/eu-west", 503, "standby"),
        ("shop?home", 503, "away"),
        ("shop?hone", 400, "unknown-rule"),
        ("shop/eu-wst", 404, "unknown"),
        ("shop2", 404, "unknown"),
    ] {
        assert_eq!(operated.health(path), (code, word.to_owned()), "{path}");
    }
    assert_eq!(json(&operated.act(SWITCH))["outcome"], "no_change");
    drop(operated.endpoints);
}

#[test]
fn an_act_that_is_sent_again_does_nothing_and_a_dry_one_neither() {
    let operated = Operated::start(&[]);
    let dry = json(&operated.act(r#"{"command": "switchover", "service": "shop", "pool": "eu-north", "dry": true}"#));
    assert_eq!((&dry["outcome"], &dry["dry"], &dry["epoch"]), (&"done".into(), &true.into(), &Value::Null), "{dry}");
    assert_eq!(dry["incident"]["to"], "eu-north");
    assert_eq!(dry["sessions"][0]["pool"], "eu-west", "{dry}");
    let before = operated.shop();
    assert_eq!((&before["active"], &before["why"]), (&"eu-west".into(), &Value::Null), "nothing has changed");

    let id = "Idempotency-Key: \"0123456789abcdef0011223344556677\"\r\n";
    let send = |fields: &str, body: &str| post_local(&operated.socket(), "/v1/acts", &format!("{id}{fields}"), body);
    let first = json(&send("", SWITCH));
    assert_eq!((&first["outcome"], &first["repeated"]), (&"done".into(), &Value::Null));
    let back = r#"{"command": "failback", "service": "shop", "reason": "it is over"}"#;
    assert_eq!(json(&operated.act(back))["outcome"], "done");
    let again = json(&send("", SWITCH));
    assert_eq!((&again["outcome"], &again["repeated"]), (&"done".into(), &true.into()), "{again}");
    assert_eq!(operated.shop()["active"], "eu-west");
    assert_eq!(send("", back).problem(), "id_reused");

    let mark = operated.shop()["mark"].as_str().unwrap().to_owned();
    assert!(ask_local(&operated.socket(), "GET /v1/services/shop").head.contains(&format!("etag: \"{mark}\"")));
    let marked =
        |mark: &str, body: &str| post_local(&operated.socket(), "/v1/acts", &format!("If-Match: \"{mark}\"\r\n"), body);
    assert_eq!(marked("7", SWITCH).problem(), "malformed");
    let other_id = "Idempotency-Key: 00000000000000000000000000000077\r\n";
    let with_both = format!("If-Match: {mark}\r\n{other_id}");
    let done = json(&post_local(&operated.socket(), "/v1/acts", &with_both, SWITCH));
    assert_eq!(done["outcome"], "done", "{done}");
    let again = json(&post_local(&operated.socket(), "/v1/acts", &with_both, SWITCH));
    assert_eq!((&again["outcome"], &again["repeated"]), (&"done".into(), &true.into()), "it changed the mark itself");
    assert_ne!(done["mark"], mark.as_str());
    let late = marked(&mark, back);
    assert_eq!((late.code, late.problem().as_str()), (412, "mark_changed"));
    assert_eq!(operated.shop()["active"], "eu-north");
    assert_eq!(operated.shop()["mark"], done["mark"], "what probes say does not change it");
}

#[test]
fn a_refusal_says_why_and_what_would_help() {
    let operated = Operated::start(&[]);
    let act = |command: &str, more: &str| {
        operated.act(&format!(r#"{{"command": "{command}", "service": "shop", "reason": "a test"{more}}}"#))
    };
    let problem = |answer: Answer| (answer.code, answer.problem());
    let unknown = act("switchover", r#", "pool": "eu-nrth""#);
    assert_eq!(json(&unknown)["advice"], "it has eu-west, eu-north; did you mean eu-north?");
    assert_eq!(problem(unknown), (404, "no_pool".to_owned()));
    let outcome = json(&act("pin", r#", "pool": "eu-west""#))["outcome"].clone();
    assert_eq!(outcome, "done");
    let pinned = act("switchover", r#", "pool": "eu-north""#);
    assert_eq!(json(&pinned)["advice"], "unpin it first");
    assert_eq!(problem(pinned), (409, "pinned".to_owned()));
    assert_eq!(problem(act("thaw", "")), (409, "not_frozen".to_owned()));
    assert_eq!(problem(act("drain", r#", "endpoint": "10.9.8.7:1""#)), (404, "no_endpoint".to_owned()));
    assert_eq!(problem(act("fly", "")), (400, "malformed".to_owned()));
    let silent = operated.act(r#"{"command": "unpin", "service": "shop"}"#);
    assert_eq!(problem(silent), (422, "reason".to_owned()));
    let large = operated.act(&format!(r#"{{"reason": "{}"}}"#, "x".repeat(64 << 10)));
    assert_eq!(problem(large), (413, "too_large".to_owned()));
    assert_eq!(problem(ask_local(&operated.socket(), "GET /v1/acts/7")), (400, "malformed".to_owned()));
    let nobody = "GET /v1/acts/00000000000000000000000000000007";
    assert_eq!(problem(ask_local(&operated.socket(), nobody)), (404, "no_act".to_owned()));
    assert_eq!(operated.shop()["pinned"], "eu-west", "what was refused has changed nothing");
}

#[test]
fn an_act_is_found_behind_many_records_and_a_refused_one_is_a_refusal() {
    let operated = Operated::start(&[]);
    let act = |command: &str, more: &str| {
        operated.act(&format!(r#"{{"command": "{command}", "service": "shop", "reason": "a test"{more}}}"#))
    };
    for _ in 0..150 {
        act("pin", r#", "pool": "eu-west""#);
        act("unpin", "");
    }
    let id = "0123456789abcdef0011223344556677";
    let field = format!("Idempotency-Key: {id}\r\n");
    let thaw = r#"{"command": "thaw", "service": "shop", "reason": "a test"}"#;
    assert_eq!(post_local(&operated.socket(), "/v1/acts", &field, thaw).problem(), "not_frozen");
    assert_eq!(post_local(&operated.socket(), "/v1/acts", &field, SWITCH).problem(), "id_reused");
    let found = json(&ask_local(&operated.socket(), &format!("GET /v1/acts/{id}")));
    assert_eq!((&found["outcome"], &found["command"]), (&"refused".into(), &"thaw".into()), "{found}");
    let shown = standfast(&operated.socket(), &["act", "show", id]);
    assert_eq!(shown.status.code(), Some(1));
}

#[test]
fn a_body_that_does_not_come_holds_no_place_of_one_who_may_not_act() {
    let viewer = BearerToken::generate().unwrap();
    let operated = Operated::start(&[(&viewer, "viewer", "*")]);
    let mut stream = std::net::TcpStream::connect(operated.address()).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let head = format!(
        "POST /v1/acts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n{}\r\n",
        bearer(&viewer.reveal())
    );
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    let mut start = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 403");
}

#[test]
fn a_token_does_what_its_role_says_and_nothing_else() {
    let token = || BearerToken::generate().unwrap();
    let (viewer, operator, other) = (token(), token(), token());
    let tokens = [(&viewer, "viewer", "*"), (&operator, "operator", "sho*"), (&other, "admin", "pay-*")];
    let operated = Operated::start(&tokens);
    let act = |fields: &str| post(operated.address(), "/v1/acts", fields, SWITCH);
    assert_eq!(act("").problem(), "credential_missing");
    let denied = act(&bearer(&viewer.reveal()));
    assert!(json(&denied)["detail"].as_str().unwrap().contains("needs the role operator"), "{denied:?}");
    assert_eq!((denied.code, denied.problem().as_str()), (403, "not_allowed"));
    assert_eq!(act(&bearer(&other.reveal())).code, 403);
    assert_eq!(operated.shop()["active"], "eu-west");
    let get =
        |token: &BearerToken, path: &str| ask(operated.address(), &format!("GET {path}"), &bearer(&token.reveal()));
    assert_eq!(get(&other, "/v1/services/shop").code, 403);
    assert_eq!(json(&get(&other, "/v1/services")), Value::Array(vec![]));
    for path in ["/v1/config", "/v1/status"] {
        assert_eq!(get(&operator, path).code, 403, "{path}");
    }
    assert_eq!(json(&get(&operator, "/v1/whoami"))["grants"][0]["services"], "sho*");

    let done = act(&(bearer(&operator.reveal()) + "Idempotency-Key: 01234567-89ab-cdef-0011-223344556677\r\n"));
    assert_eq!(json(&done)["id"], "0123456789abcdef0011223344556677", "{done:?}");
    assert_eq!(json(&done)["actor"]["kind"], "token");
    assert_eq!(get(&viewer, "/v1/acts/0123456789abcdef0011223344556677").code, 200);
    assert_eq!(
        get(&other, "/v1/acts/0123456789abcdef0011223344556677").problem(),
        "no_act",
        "as one that is not there"
    );
    assert_eq!(get(&operator, "/v1/acts/00000000000000000000000000000007").problem(), "no_act");
}

pub fn standfast(socket: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_standfast"));
    command.args(arguments).env("STANDFAST_ADMIN", format!("unix:{}", socket.display()));
    command.env_remove("STANDFAST_TOKEN_FILE").output().unwrap()
}

/// The exit code of a program and what it said, as text.
pub fn outcome(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_line_says_the_outcome_in_words_and_in_its_exit_code() {
    let operated = Operated::start(&[]);
    let socket = operated.socket();
    let run = |arguments: &[&str]| outcome(standfast(&socket, arguments));
    let (code, out, _) = run(&["switchover", "shop", "eu-north", "-m", "maintenance"]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with("shop: eu-west → eu-north, epoch ")
            && out.contains(", all of 1 workers\n")
            && out.contains("\nnext: "),
        "{out}"
    );
    let (code, out, _) = run(&["switchover", "shop", "eu-north", "-m", "maintenance", "--output", "json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["outcome"]), (0, &"no_change".into()));
    let id = told["id"].as_str().unwrap();
    assert_eq!(run(&["act", "show", id]).1, "shop: switchover eu-north: it is so already\n");
    let (code, _, error) = run(&["switchover", "shop", "eu-wst", "-m", "maintenance"]);
    assert_eq!((code, error.lines().count()), (1, 2));
    assert!(error.contains("did you mean eu-west?"), "{error}");
    let (code, _, error) = run(&["failback", "shop"]);
    assert_eq!(code, 1, "no terminal, no reason");
    assert!(error.contains("reason: it is missing"), "{error}");
    assert_eq!(run(&["failback", "shop", "-m", "it is over"]).0, 0);
    assert_eq!(operated.shop()["active"], "eu-west");

    let address = operated.address().to_string();
    let (code, _, error) = run(&["failback", "shop", "-m", "no token", "--admin", &address]);
    assert_eq!(code, 3, "{error}");
    let (code, _, error) = run(&["failback", "shop", "-m", "nobody", "--admin", "unix:/nowhere.sock"]);
    assert_eq!(code, 2, "{error}");
    assert_eq!(run(&["status"]).0, 0, "by the unix socket");
    let (code, out, _) = run(&["switchover", "shop", "eu-north", "--dry-run"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("would be: shop: eu-west → eu-north\n0 requests and sessions on eu-west"), "{out}");
    let old = "000000000000002a.1.12";
    assert_eq!(run(&["switchover", "shop", "eu-north", "-m", "too late", "--if-mark", old]).0, 4);
    assert_eq!(operated.shop()["active"], "eu-west");
}

#[test]
fn an_act_without_an_answer_is_an_outcome_that_is_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let hangs_up = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Read::read(&mut stream, &mut [0; 4096]).unwrap();
    });
    let output = standfast(&socket, &["thaw", "shop", "-m", "a test"]);
    hangs_up.join().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("The outcome is unknown: `standfast act show "), "{error}");
}

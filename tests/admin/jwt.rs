//! JSON web tokens of workload identities: a whole instance, from the token to the act.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use standfast::access::BearerToken;
use standfast::sys::clock::unix_millis;
use standfast::{App, config};

use crate::support::exchange::{Answer, ask, bearer, post};
use crate::waiting::eventually;

const ISSUER: &str = "https://issuer.example";
const SUBJECT: &str = "repo:acme/shop:ref:refs/heads/main";

/// A key of the issuer, with its id.
struct IssuerKey(Ed25519KeyPair, &'static str);

impl IssuerKey {
    fn new(id: &'static str) -> IssuerKey {
        IssuerKey(Ed25519KeyPair::generate().unwrap(), id)
    }

    fn set(keys: &[&IssuerKey]) -> String {
        let jwk = |key: &&IssuerKey| {
            let x = URL_SAFE_NO_PAD.encode(key.0.public_key());
            json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": key.1, "x": x})
        };
        json!({"keys": keys.iter().map(jwk).collect::<Vec<_>>()}).to_string()
    }

    /// For so many seconds from now.
    fn token(&self, subject: &str, seconds: i64) -> String {
        let exp = (unix_millis() / 1000) as i64 + seconds;
        let claims = json!({"iss": ISSUER, "aud": ["standfast"], "sub": subject, "exp": exp, "nbf": exp - 3600});
        self.signed(&claims)
    }

    fn signed(&self, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": self.1}).to_string();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.0.sign(signed.as_bytes())))
    }
}

fn text(admin: &str) -> String {
    format!(
        "admin: {{bind: '127.0.0.1:0', {admin}}}\nworkers: 1\n\
         listeners: [{{name: web, bind: '127.0.0.1:0', service: shop}}]\n\
         services:\n  shop: {{pools: [{{name: a, static_response: {{}}}}, {{name: b, static_response: {{}}}}]}}\n  \
         pay: {{pools: [{{name: a, static_response: {{}}}}]}}\n"
    )
}

fn start(folder: &Path, admin: &str) -> Result<App, String> {
    let config = config::parse(&text(admin), folder).map_err(|problems| problems.explain(false))?.config;
    App::builder(config).start().map_err(|error| error.to_string())
}

/// `jwt` with these keys.
fn jwt(keys: &str) -> String {
    format!(
        "jwt: [{{issuer: '{ISSUER}', audience: standfast, {keys}, subjects: {{\
         '{SUBJECT}': {{role: operator, services: [shop]}}, 'repo:acme/pay:*': {{role: viewer}}}}}}]"
    )
}

fn whoami(address: SocketAddr, token: &str) -> Answer {
    ask(address, "GET /v1/whoami", &bearer(token))
}

fn detail(answer: &Answer) -> String {
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    body["detail"].as_str().unwrap_or_default().to_owned()
}

fn act(address: SocketAddr, token: &str, service: &str) -> Answer {
    let body = json!({"command": "pin", "service": service, "pool": "a", "reason": "a deployment"}).to_string();
    post(address, "/v1/acts", &bearer(token), &body)
}

#[test]
fn a_subject_does_what_its_role_says_and_a_key_that_is_gone_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.json");
    let (first, second) = (IssuerKey::new("one"), IssuerKey::new("two"));
    fs::write(&keys, IssuerKey::set(&[&first])).unwrap();
    let opaque = BearerToken::generate().unwrap();
    let line = format!("{} ada viewer * 2026-01-01 never {}\n", opaque.id(), opaque.secret_hash().to_hex());
    fs::write(folder.path().join("tokens"), line).unwrap();
    let app = start(folder.path(), &format!("tokens_file: tokens, {}", jwt("jwks_file: keys.json"))).unwrap();
    let address = app.admin_address().unwrap();
    let good = first.token(SUBJECT, 300);

    let who: Value = serde_json::from_str(&whoami(address, &good).body).unwrap();
    assert_eq!((&who["actor"]["kind"], &who["actor"]["name"]), (&json!("jwt"), &json!(SUBJECT)), "{who}");
    assert_eq!(who["actor"]["origin"], "127.0.0.1");
    assert_eq!((&who["grants"][0]["role"], &who["grants"][0]["services"]), (&json!("operator"), &json!("shop")));
    assert_eq!(whoami(address, &opaque.reveal()).code, 200, "tokens of the file are taken beside it");

    let done = act(address, &good, "shop");
    assert!(matches!(done.code, 200 | 202), "{done:?}");
    let denied = act(address, &good, "pay");
    assert_eq!((denied.code, denied.problem().as_str()), (403, "not_allowed"));
    let reader = first.token("repo:acme/pay:environment:eu", 300);
    assert_eq!(act(address, &reader, "shop").code, 403);
    assert_eq!(ask(address, "GET /status", &bearer(&reader)).code, 200);

    let mut other = json!({"iss": ISSUER, "aud": "other", "sub": SUBJECT, "exp": 4_000_000_000_u64});
    for (token, code, says) in [
        (first.token(SUBJECT, -61), "credential_expired", "has expired"),
        (first.token(SUBJECT, 3600 + 90), "credential_not_yet_valid", "is not valid yet"),
        (first.token("repo:evil/shop:ref:refs/heads/main", 300), "credential_unknown", "has no role"),
        (second.token(SUBJECT, 300), "credential_unknown", "key set does not have"),
        (IssuerKey::new("one").token(SUBJECT, 300), "credential_unknown", "the signature"),
        (first.signed(&other), "credential_unknown", "another audience"),
        ("a.b.c".to_owned(), "credential_unknown", "malformed"),
    ] {
        let answer = whoami(address, &token);
        assert_eq!((answer.code, answer.problem().as_str()), (401, code), "{says}");
        assert!(detail(&answer).contains(says), "{answer:?}");
    }
    other["iss"] = json!("https://evil.example");
    assert!(detail(&whoami(address, &first.signed(&other))).contains("the issuer `https://evil.example`"));
    for _ in 0..10 {
        whoami(address, "a.b.c");
    }
    assert_eq!(whoami(address, "a.b.c").problem(), "too_many_failures");
    assert_eq!(whoami(address, &first.token(SUBJECT, -30)).code, 200, "a good one from the same address");

    // Rotation: with both keys, then with the new one alone, then a file that is wrong.
    let replace = |text: &str| {
        let beside = folder.path().join("beside");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, &keys).unwrap();
    };
    replace(&IssuerKey::set(&[&first, &second]));
    let token = second.token(SUBJECT, 300);
    eventually("the new key is taken", || (whoami(address, &token).code == 200).then_some(()));
    assert_eq!(whoami(address, &good).code, 200);
    replace(&IssuerKey::set(&[&second]));
    eventually("the old key is gone", || (whoami(address, &good).code != 200).then_some(()));
    assert_eq!(whoami(address, &token).code, 200);
    replace("{\"keys\": []}");
    let troubles = eventually("the wrong file is told", || {
        assert_eq!(whoami(address, &token).code, 200, "the keys of before stay");
        let status: Value = serde_json::from_str(&ask(address, "GET /status", &bearer(&opaque.reveal())).body).unwrap();
        status["troubles"][0].as_str().map(str::to_owned)
    });
    assert!(troubles.contains("keys.json: it has no key") && troubles.contains(ISSUER), "{troubles}");
    replace(&IssuerKey::set(&[&second]));
    eventually("the trouble is over", || {
        let status: Value = serde_json::from_str(&ask(address, "GET /status", &bearer(&opaque.reveal())).body).unwrap();
        (status["troubles"] == json!([])).then_some(())
    });
}

/// Answers every request with a key set until it is dropped.
struct KeyServer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl KeyServer {
    fn start(set: String) -> KeyServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let serve = move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", set.len());
                let _ = stream.write_all((head + &set).as_bytes());
            }
        };
        KeyServer { address, stop, thread: Some(std::thread::spawn(serve)) }
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = std::net::TcpStream::connect(self.address);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

#[test]
fn keys_of_an_address_stay_when_it_does_not_answer_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let key = IssuerKey::new("one");
    let server = KeyServer::start(IssuerKey::set(&[&key]));
    let url = format!("jwks_url: 'http://{}/keys'", server.address);
    let app = start(folder.path(), &jwt(&url)).unwrap();
    let address = app.admin_address().unwrap();
    let good = key.token(SUBJECT, 300);
    assert_eq!(whoami(address, &good).code, 200, "the first request waits for the keys");
    drop(server);
    let stranger = IssuerKey::new("two").token(SUBJECT, 300);
    assert_eq!(whoami(address, &stranger).problem(), "credential_unknown");
    assert_eq!(whoami(address, &good).code, 200);
}

#[test]
fn an_address_that_never_answered_delays_nothing_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let admin = format!("anonymous: viewer, {}", jwt(&format!("jwks_url: 'http://{closed}/keys'")));
    let app = start(folder.path(), &admin).unwrap();
    let address = app.admin_address().unwrap();
    for _ in 0..20 {
        let answer = whoami(address, &IssuerKey::new("one").token(SUBJECT, 300));
        assert_eq!((answer.code, answer.problem().as_str()), (503, "credential_not_verifiable"), "it is no failure");
        assert_eq!(answer.field("retry-after"), Some("30"));
    }
    let trouble = eventually("it is told", || {
        let status: Value = serde_json::from_str(&ask(address, "GET /status", "").body).unwrap();
        status["troubles"][0].as_str().map(str::to_owned)
    });
    assert!(trouble.contains("could not be fetched yet") && trouble.contains(ISSUER), "{trouble}");
    let metrics = ask(address, "GET /metrics", "").body;
    assert!(metrics.contains("\nstandfast_troubles 1\n"), "{metrics}");
}

#[test]
fn keys_that_cannot_be_used_refuse_the_start_and_check_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    fs::write(folder.path().join("standfast.yaml"), text(&jwt("jwks_file: keys.json"))).unwrap();
    let check = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_standfast"));
        let made = command.current_dir(folder.path()).args(["check", "standfast.yaml"]).output().unwrap();
        (made.status.code(), String::from_utf8_lossy(&[made.stdout, made.stderr].concat()).into_owned())
    };
    let mut wrong = vec![None, Some("{}".to_owned())];
    wrong.push(Some(r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#.to_owned()));
    for content in wrong {
        content.iter().for_each(|content| fs::write(&path, content).unwrap());
        let refused = start(folder.path(), &jwt("jwks_file: keys.json")).map(drop).unwrap_err();
        assert!(refused.contains("admin.jwt: ") && refused.contains("keys.json"), "{refused}");
        let (code, said) = check();
        assert!(code == Some(1) && said.contains("keys.json") && said.contains("jwks_uri"), "{code:?} {said}");
    }
    fs::write(&path, IssuerKey::set(&[&IssuerKey::new("one")])).unwrap();
    assert_eq!(check().0, Some(0), "{}", check().1);
}

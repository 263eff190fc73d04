//! What a request of the admin port has to show: its host, its origin, its credential.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use standfast::access::BearerToken;
use standfast::{App, config};

use crate::support::exchange::{Answer, ask, ask_for, bearer, exchange};
use crate::waiting::eventually;

/// A whole instance with a page, and its folder.
struct Guarded {
    app: App,
    folder: tempfile::TempDir,
}

impl Guarded {
    /// `admin`: its keys besides `bind`.
    fn start(admin: &str) -> Guarded {
        Guarded::on("127.0.0.1:0", admin)
    }

    fn on(bind: &str, admin: &str) -> Guarded {
        let folder = tempfile::tempdir().unwrap();
        Guarded { app: start(folder.path(), bind, admin).unwrap(), folder }
    }

    /// With a tokens file of these lines.
    fn with_tokens(lines: &[String]) -> Guarded {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tokens"), lines.concat()).unwrap();
        Guarded { app: start(folder.path(), "127.0.0.1:0", "tokens_file: tokens").unwrap(), folder }
    }

    fn address(&self) -> SocketAddr {
        self.app.admin_address().unwrap()
    }

    fn tokens_file(&self) -> PathBuf {
        self.folder.path().join("tokens")
    }

    fn status_with(&self, token: &str) -> Answer {
        ask(self.address(), "GET /status", &bearer(token))
    }
}

fn start(folder: &Path, bind: &str, admin: &str) -> Result<App, String> {
    let text = format!(
        "admin: {{bind: '{bind}', {admin}}}\nworkers: 1\n\
         listeners: [{{name: web, bind: '127.0.0.1:0', service: page}}]\n\
         services: {{page: {{pools: [{{name: page, static_response: {{}}}}]}}}}\n"
    );
    let config = config::parse(&text, folder).map_err(|problems| problems.explain(false))?.config;
    App::builder(config).start().map_err(|error| error.to_string())
}

fn line(token: &BearerToken, role: &str, services: &str, expires: &str) -> String {
    format!("{} ada {role} {services} 2026-01-01 {expires} {}\n", token.id(), token.secret_hash().to_hex())
}

fn token() -> BearerToken {
    BearerToken::generate().unwrap()
}

#[test]
fn a_credential_is_asked_for_as_soon_as_there_is_one() {
    let (good, viewer, expired, scoped) = (token(), token(), token(), token());
    let guarded = Guarded::with_tokens(&[
        line(&good, "operator", "*", "never"),
        line(&viewer, "viewer", "*", "2999-01-01"),
        line(&expired, "admin", "*", "2026-02-01"),
        line(&scoped, "viewer", "other", "never"),
    ]);
    let address = guarded.address();
    for page in ["/status", "/", "/v1/status", "/nowhere"] {
        let answer = ask(address, &format!("GET {page}"), "");
        assert_eq!((answer.code, answer.problem().as_str()), (401, "credential_missing"), "{page}");
        assert_eq!(answer.field("www-authenticate"), Some("bearer"));
    }
    for (token, code, problem) in [
        (format!("sft_{}_{}", good.id(), "0".repeat(52)), 401, "credential_unknown"),
        (token().reveal(), 401, "credential_unknown"),
        ("admin".to_owned(), 401, "credential_unknown"),
        (expired.reveal(), 401, "credential_expired"),
        (scoped.reveal(), 403, "not_allowed"),
    ] {
        let answer = guarded.status_with(&token);
        assert_eq!((answer.code, answer.problem().as_str()), (code, problem), "{token}");
    }
    for token in [&good, &viewer] {
        assert_eq!(guarded.status_with(&token.reveal()).code, 200);
        assert_eq!(ask(address, "GET /v1/nowhere", &bearer(&token.reveal())).code, 404, "it has got to the routes");
    }
    for other in ["Authorization: Basic YWRhOmFkYQ==\r\n", "Cookie: token=sft_a\r\n"] {
        assert_eq!(ask(address, "GET /status", other).problem(), "credential_missing", "{other}");
    }
    let twice = bearer(&good.reveal()) + &bearer(&token().reveal());
    assert_eq!(ask(address, "GET /status", &twice).problem(), "credential_unknown");
    for page in ["/metrics", "/livez", "/readyz"] {
        let answer = ask(address, &format!("GET {page}"), &bearer("sft_wrong"));
        assert!(matches!(answer.code, 200 | 503) && answer.field("www-authenticate").is_none(), "{page}: {answer:?}");
    }
}

#[test]
fn without_any_credential_pages_are_open_and_the_api_is_for_readers_on_this_host() {
    let guarded = Guarded::on("0.0.0.0:0", "");
    let port = guarded.address().port();
    for path in ["/status", "/", "/v1/nowhere"] {
        let answer = ask(([127, 0, 0, 1], port).into(), &format!("GET {path}"), "");
        assert_eq!(answer.code, if path == "/v1/nowhere" { 404 } else { 200 }, "{path}");
    }
    let Some(outside) = own_address() else { return };
    assert_eq!(ask((outside, port).into(), "GET /status", "").code, 200, "as open as before");
    for (fields, problem) in [("", "credential_missing"), (&*bearer("sft_a"), "credential_unknown")] {
        let answer = ask((outside, port).into(), "GET /v1/status", fields);
        assert_eq!((answer.code, answer.problem().as_str()), (401, problem));
    }
    let anonymous = Guarded::on("0.0.0.0:0", "anonymous: viewer");
    assert_eq!(ask((outside, anonymous.address().port()).into(), "GET /v1/nowhere", "").code, 404);
}

/// An address of this machine that is not loopback's; `None`: it has none. (Nothing is sent.)
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[test]
fn an_anonymous_viewer_reads_and_a_wrong_token_is_told_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let good = token();
    fs::write(folder.path().join("tokens"), line(&good, "admin", "*", "never")).unwrap();
    let app = start(folder.path(), "127.0.0.1:0", "tokens_file: tokens, anonymous: viewer").unwrap();
    let guarded = Guarded { app, folder };
    assert_eq!(ask(guarded.address(), "GET /status", "").code, 200);
    assert_eq!(guarded.status_with(&token().reveal()).problem(), "credential_unknown");
    assert_eq!(guarded.status_with(&good.reveal()).code, 200);
}

#[test]
fn failing_credentials_are_slowed_and_a_good_one_from_the_same_address_is_not() {
    let good = token();
    let guarded = Guarded::with_tokens(&[line(&good, "viewer", "*", "never")]);
    let begun = std::cell::Cell::new(0);
    for attempt in 0..40 {
        let answer = guarded.status_with(&token().reveal());
        if attempt < 10 {
            assert_eq!((answer.code, answer.problem().as_str()), (401, "credential_unknown"), "{attempt}");
        } else {
            assert_eq!((answer.code, answer.problem().as_str()), (429, "too_many_failures"), "{attempt}");
            let seconds: u64 = answer.field("retry-after").unwrap().parse().unwrap();
            assert!((1..=61).contains(&seconds), "{seconds}");
            begun.set(begun.get() + 1);
        }
        assert_eq!(guarded.status_with(&good.reveal()).code, 200, "{attempt}");
    }
    assert_eq!(begun.get(), 30);
    // No credential is no guess.
    assert_eq!(ask(guarded.address(), "GET /status", "").code, 401);
    // The connection of a failing one is closed, although the client would go on.
    let mut stream = TcpStream::connect(guarded.address()).unwrap();
    let request = format!("GET /status HTTP/1.1\r\nHost: localhost\r\n{}\r\n", bearer(&token().reveal()));
    stream.write_all(request.repeat(3).as_bytes()).unwrap();
    let mut answers = String::new();
    let _ = stream.read_to_string(&mut answers);
    assert!(answers.matches("HTTP/1.1 429").count() == 1 && answers.contains("connection: close"), "{answers}");
}

#[test]
fn a_flood_of_wrong_tokens_does_not_keep_a_good_one_out() {
    let good = token();
    let guarded = Guarded::with_tokens(&[line(&good, "viewer", "*", "never")]);
    let (address, stop) = (guarded.address(), std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let Ok(mut stream) = TcpStream::connect(address) else { continue };
                    let wrong = format!("GET /status HTTP/1.1\r\nHost: localhost\r\n{}\r\n", bearer("sft_wrong"));
                    let _ = stream.write_all(wrong.as_bytes());
                    let _ = stream.read(&mut [0; 512]);
                }
            });
        }
        let codes: Vec<u16> = (0..50).map(|_| guarded.status_with(&good.reveal()).code).collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(codes.iter().all(|code| *code == 200), "{codes:?}");
    });
}

#[test]
fn a_page_of_another_name_is_refused_whoever_it_resolves_to() {
    let guarded = Guarded::start("hosts: [standfast.internal]");
    let address = guarded.address();
    for host in ["localhost", "127.0.0.1", "[::1]:9901", "Standfast.Internal", "standfast.internal:9901"] {
        assert_eq!(ask_for(address, host, "GET /status", "").code, 200, "{host}");
    }
    for host in ["evil.example", "evil.example:9901", "standfast.internal.evil.example", ""] {
        for path in ["/status", "/", "/v1/status", "/nowhere"] {
            let answer = ask_for(address, host, &format!("GET {path}"), "");
            assert_eq!((answer.code, answer.problem().as_str()), (421, "wrong_host"), "{host} {path}");
        }
        for path in ["/metrics", "/livez", "/health/shop"] {
            assert_ne!(ask_for(address, host, &format!("GET {path}"), "").code, 421, "{host} {path}");
        }
    }
    assert_eq!(ask(address, "GET http://evil.example/status", "").code, 421, "in the target");
    assert_eq!(ask(address, "GET /status", "Host: evil.example\r\n").code, 421, "in a second field");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /status HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.contains("421"), "no host at all: {answer}");
}

#[test]
fn a_page_of_another_origin_cannot_act() {
    let guarded = Guarded::start("");
    let post = |fields: &str| ask(guarded.address(), "POST /status", &format!("Content-Length: 0\r\n{fields}"));
    let json = "Content-Type: application/json\r\n";
    for site in ["cross-site", "same-site", "cross-origin"] {
        let answer = post(&format!("{json}Sec-Fetch-Site: {site}\r\nOrigin: http://evil.example\r\n"));
        assert_eq!((answer.code, answer.problem().as_str()), (403, "cross_origin"), "{site}");
    }
    for media in ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"] {
        let answer = ask(guarded.address(), "POST /v1/acts", &format!("Content-Length: 0\r\n{media}"));
        assert_eq!((answer.code, answer.problem().as_str()), (415, "content_type"), "{media}");
    }
    for own in ["", "Sec-Fetch-Site: same-origin\r\n", "Sec-Fetch-Site: none\r\n"] {
        assert_eq!(post(&format!("{json}{own}")).code, 405, "it has got to the routes");
    }
    assert_eq!(post("Content-Type: application/json; charset=utf-8\r\n").code, 405);
    let asked = "Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\nSec-Fetch-Site: cross-site\r\n";
    let preflight = ask(guarded.address(), "OPTIONS /v1/status", asked);
    assert!(preflight.code == 403 && !preflight.head.contains("access-control"), "{preflight:?}");
    let read = ask(guarded.address(), "GET /status", "Origin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\n");
    assert!(read.code == 200 && !read.head.contains("access-control"), "read, and not to be seen: {}", read.head);
}

#[test]
fn the_tokens_file_is_read_again_when_it_changes_and_a_wrong_one_changes_nothing() {
    let (first, second) = (token(), token());
    let guarded = Guarded::with_tokens(&[line(&first, "viewer", "*", "never")]);
    let is_good = |token: &BearerToken| guarded.status_with(&token.reveal()).code == 200;
    assert!(is_good(&first) && !is_good(&second));
    let both = line(&first, "viewer", "*", "never") + &line(&second, "viewer", "*", "never");
    fs::write(guarded.tokens_file(), &both).unwrap();
    eventually("the second token", || is_good(&second).then_some(()));
    for (text, mode) in [("nonsense\n", 0o600), (&*line(&first, "root", "*", "never"), 0o600), (&*both, 0o666)] {
        fs::write(guarded.tokens_file(), text).unwrap();
        fs::set_permissions(guarded.tokens_file(), Permissions::from_mode(mode)).unwrap();
        let looked = std::time::Duration::from_millis(1_300);
        std::thread::sleep(looked);
        assert!(is_good(&first) && is_good(&second), "{text}");
    }
    fs::set_permissions(guarded.tokens_file(), Permissions::from_mode(0o600)).unwrap();
    fs::write(guarded.tokens_file(), line(&second, "viewer", "*", "never")).unwrap();
    eventually("the first token is gone", || (!is_good(&first)).then_some(()));
    assert!(is_good(&second));
}

#[test]
fn a_wrong_tokens_file_refuses_the_start_with_every_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let refused = || start(folder.path(), "127.0.0.1:0", "tokens_file: tokens").unwrap_err();
    assert!(refused().contains("cannot be read") && refused().contains("standfast token create"), "{}", refused());
    let one = token();
    let lines = [
        line(&one, "viewer", "*", "never"),
        line(&one, "viewer", "*", "never"),
        line(&token(), "root", "*", "never"),
        line(&token(), "viewer", "*", "2026-01-01").replace('\n', "0\n"),
        line(&token(), "viewer", "*", "2026-01-02"),
    ];
    fs::write(&path, lines.concat()).unwrap();
    let text = refused();
    for part in ["line 2: the id", "line 3: `root` is no role", "line 4: the last field is no SHA-256"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("line 5"), "an expired one is no problem: {text}");
    fs::write(&path, line(&one, "viewer", "*", "never")).unwrap();
    for mode in [0o666, 0o660, 0o622] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        assert!(refused().contains("chmod go-w"), "{mode:o} {}", refused());
    }
    fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
    assert!(start(folder.path(), "127.0.0.1:0", "tokens_file: tokens").is_ok());
}

#[test]
fn tokens_do_not_travel_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tokens"), "").unwrap();
    for bind in ["0.0.0.0:0", "*:0", "192.0.2.1:0"] {
        let text = start(folder.path(), bind, "tokens_file: tokens").unwrap_err();
        let says = format!("tokens would travel in the clear on {bind}: set admin.tls, or bind 127.0.0.1");
        assert!(text.contains(&says), "{text}");
    }
}

#[test]
fn over_tls_the_port_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let issued = rcgen::generate_simple_self_signed(["standfast.internal".to_owned()]).unwrap();
    fs::write(folder.path().join("cert.pem"), issued.cert.pem()).unwrap();
    fs::write(folder.path().join("key.pem"), issued.signing_key.serialize_pem()).unwrap();
    let good = token();
    fs::write(folder.path().join("tokens"), line(&good, "viewer", "*", "never")).unwrap();
    let keys = "tokens_file: tokens, hosts: standfast.internal, tls: {certificates: [{cert: cert.pem, key: key.pem}]}";
    let app = start(folder.path(), "0.0.0.0:0", keys).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], app.admin_address().unwrap().port()));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(folder.path().join("cert.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = Arc::new(client.with_root_certificates(roots).with_no_client_auth());
    let over_tls = |fields: &str| {
        let name = ServerName::try_from("standfast.internal").unwrap();
        let connection = rustls::ClientConnection::new(Arc::clone(&client), name).unwrap();
        let stream = TcpStream::connect(address).unwrap();
        exchange(&mut rustls::StreamOwned::new(connection, stream), "standfast.internal", "GET /status", fields)
    };
    assert_eq!(over_tls(&bearer(&good.reveal())).code, 200);
    assert_eq!(over_tls("").problem(), "credential_missing");
    // In the clear there is nothing.
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
}

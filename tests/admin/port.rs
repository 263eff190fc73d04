//! The admin port on real sockets, before a real engine and real workers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use standfast::access::{Grant, authorise};
use standfast::admin::{AdminError, AdminHandle, AdminSetup};
use standfast::config::{Bind, Name};
use standfast::control::{self, ControlHandle, ControlSetup, Status};
use standfast::decision::{Act, ActCommand, ActId, Actor};
use standfast::proxy::{self, ProxyHandle, ProxySetup};
use standfast::sys::clock;
use standfast::telemetry::access::AccessLog;

use crate::support;
use crate::support::exposition::parse;

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const PATIENCE: Duration = Duration::from_secs(20);

/// A running Standfast in this process: engine, one worker (on demand), admin port.
struct Instance {
    control: ControlHandle,
    admin: Option<AdminHandle>,
    proxy: Option<ProxyHandle>,
    access_log: AccessLog,
    _upstreams: Vec<TcpListener>,
}

impl Instance {
    fn start() -> Instance {
        let upstreams: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind(LOCAL).unwrap()).collect();
        let addresses: Vec<SocketAddr> = upstreams.iter().map(|upstream| upstream.local_addr().unwrap()).collect();
        let config = support::config(&[("shop", &addresses[..2], &addresses[2..])]);
        let control = control::start(ControlSetup { config, path: None, workers: 1 }).unwrap();
        let access_log = AccessLog::start(None).unwrap();
        let mut instance = Instance { control, admin: None, proxy: None, access_log, _upstreams: upstreams };
        instance.admin = Some(standfast::admin::start(instance.setup(Some(LOCAL), Some(LOCAL))).unwrap());
        instance
    }

    fn setup(&self, admin: Option<SocketAddr>, metrics: Option<SocketAddr>) -> AdminSetup {
        let (control, access_log) = (self.control.clone(), self.access_log.clone());
        let (admin, metrics) = (admin.map(|admin| Bind::from(admin).into()), metrics.map(Bind::from));
        AdminSetup { admin, metrics, control, access_log, log: None, recorder: None }
    }

    fn with_worker(mut self) -> Instance {
        let setup = ProxySetup { published: self.control.published().clone(), access_log: self.access_log.clone() };
        self.proxy = Some(proxy::start(setup).unwrap());
        until(|| self.get("/readyz").0 == 200);
        self
    }

    fn address(&self) -> SocketAddr {
        self.admin.as_ref().and_then(AdminHandle::address).unwrap()
    }

    fn get(&self, path: &str) -> (u16, String, String) {
        ask(self.address(), "GET", path)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        drop(self.proxy.take());
        if let Some(admin) = self.admin.take() {
            admin.stop();
        }
    }
}

fn until(mut holds: impl FnMut() -> bool) {
    let begun = clock::now();
    while !holds() {
        assert!(clock::now().since(begun) < PATIENCE, "it never held");
        std::thread::yield_now();
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Status, head in lower case, body of one exchange on a connection of its own.
fn ask(address: SocketAddr, method: &str, path: &str) -> (u16, String, String) {
    ask_with(address, method, path, "")
}

/// The same with more fields.
fn ask_with(address: SocketAddr, method: &str, path: &str, fields: &str) -> (u16, String, String) {
    let (code, head, body) = ask_bytes(address, method, path, fields);
    (code, head, String::from_utf8(body).unwrap())
}

/// The same with the body as it came.
fn ask_bytes(address: SocketAddr, method: &str, path: &str, fields: &str) -> (u16, String, Vec<u8>) {
    let mut stream = connect(address);
    // In one write: what is refused early may be answered before the rest has left.
    let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let code = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{head}"));
    (code, head.to_ascii_lowercase(), answer[end + 4..].to_vec())
}

#[test]
fn a_running_instance_exposes_every_documented_metric_and_no_other() {
    let instance = Instance::start().with_worker();
    let metrics_port = instance.admin.as_ref().and_then(AdminHandle::metrics_address).unwrap();
    for (address, path) in [(instance.address(), "/metrics"), (metrics_port, "/metrics")] {
        let (code, head, body) = ask(address, "GET", path);
        assert_eq!(code, 200);
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        let families = parse(&body);
        support::known(&families);
        // This instance speaks no TLS, names no endpoint, reads at no replica, has no audit log, has met no malformed answer, and has not failed over yet.
        let absent = [
            "_tls_",
            "_dns_",
            "standfast_audit_writable",
            "standfast_last_recovery_seconds",
            "standfast_malformed_replies_total",
            "standfast_replica_lag_",
        ];
        let has_samples = |name: &str| !absent.iter().any(|part| name.contains(part));
        let empty: Vec<_> =
            families.iter().filter(|(name, family)| has_samples(name) && family.samples.is_empty()).collect();
        assert!(empty.is_empty(), "{empty:?}");
        assert_eq!(families["standfast_ready"].value(&[]), 1.0);
        assert_eq!(families["standfast_service_up"].value(&[("service", "shop")]), 1.0);
        assert_eq!(families["standfast_pinned"].value(&[("pool", "active")]), 0.0);
        assert_eq!(families["standfast_pool_priority"].value(&[("pool", "active")]), 0.0);
        assert_eq!(families["standfast_failing_open"].value(&[("service", "shop")]), 0.0);
        assert_eq!(families["standfast_config_last_reload_successful"].value(&[]), 1.0, "before the first reload");
        let epoch = families["standfast_table_epoch"].value(&[]);
        assert!(epoch >= 1.0);
        until(|| {
            let families = parse(&ask(address, "GET", path).2);
            families["standfast_table_acknowledged_epoch"].value(&[("worker", "0")])
                == families["standfast_table_epoch"].value(&[])
        });
    }
    until(|| {
        let families = parse(&instance.get("/metrics").2);
        let probes = &families["standfast_probes_total"].samples;
        probes.iter().filter(|(_, count)| *count > 0.0).count() == 3
    });
}

#[test]
fn large_pages_are_compressed_for_those_who_take_it() {
    let instance = Instance::start().with_worker();
    for (page, media) in [("/metrics", "text/plain; version=0.0.4"), ("/status", "application/json")] {
        let (code, head, body) = ask_bytes(instance.address(), "GET", page, "Accept-Encoding: br, gzip;q=0.5\r\n");
        assert_eq!(code, 200);
        for field in ["content-encoding: gzip", "vary: accept-encoding", &format!("content-type: {media}")] {
            assert!(head.contains(field), "{field}\n{head}");
        }
        let mut text = String::new();
        flate2::read::GzDecoder::new(&*body).read_to_string(&mut text).unwrap();
        match page {
            "/metrics" => support::known(&parse(&text)),
            _ => assert!(serde_json::from_str::<Status>(&text).unwrap().ready),
        }
        assert!(body.len() * 2 < text.len(), "{} of {}", body.len(), text.len());
        let (_, head, _) = ask(instance.address(), "GET", page);
        assert!(!head.contains("content-encoding") && head.contains("vary: accept-encoding"), "{head}");
    }
}

#[test]
fn reads_share_a_look_at_the_engine_and_see_every_order_before_them() {
    let instance = Instance::start().with_worker();
    let status = || serde_json::from_str::<Status>(&instance.get("/status").2).unwrap();
    until(|| status().now_unix_ms == status().now_unix_ms);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let order = |command| {
        let act = Act::new(ActId(fastrand::u128(..)), Actor::local("ada"), command);
        let permit = authorise(&[Grant::admin()], act).unwrap();
        runtime.block_on(instance.control.act(permit, None)).unwrap();
    };
    let (service, pool) = (Name::from("shop"), Name::from("standby"));
    for _ in 0..5 {
        order(ActCommand::Pin { service: service.clone(), pool: pool.clone(), until: None });
        assert_eq!(status().services[0].pinned.as_ref(), Some(&pool));
        let pinned = |metrics: &str| parse(metrics)["standfast_pinned"].value(&[("pool", "standby")]);
        assert_eq!(pinned(&instance.get("/metrics").2), 1.0);
        order(ActCommand::Unpin { service: service.clone() });
        assert_eq!(pinned(&instance.get("/metrics").2), 0.0);
        assert_eq!(status().services[0].pinned, None);
    }
}

#[test]
fn the_metrics_port_shows_nothing_else() {
    let instance = Instance::start();
    let address = instance.admin.as_ref().and_then(AdminHandle::metrics_address).unwrap();
    for path in ["/", "/status", "/readyz", "/livez"] {
        assert_eq!(ask(address, "GET", path).0, 404, "{path}");
    }
}

#[test]
fn ready_says_why_not_before_the_workers_are_there_and_when_draining() {
    let instance = Instance::start();
    let (code, _, body) = instance.get("/readyz");
    assert_eq!(code, 503);
    assert!(body.starts_with("not ready\n") && body.lines().count() >= 2, "{body}");
    until(|| instance.get("/readyz").2.contains("worker 0"));
    let instance = instance.with_worker();
    assert_eq!(instance.get("/readyz").0, 200);
    instance.admin.as_ref().unwrap().draining();
    let (code, _, body) = instance.get("/readyz");
    assert!(code == 503 && body.contains("draining"), "{code} {body}");
    assert_eq!(instance.get("/livez").0, 200, "draining is no reason for a kill");
    assert_eq!(parse(&instance.get("/metrics").2)["standfast_ready"].value(&[]), 0.0);
}

#[test]
fn a_control_plane_that_has_ended_is_not_alive() {
    let instance = Instance::start().with_worker();
    assert_eq!(instance.get("/livez").0, 200);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(instance.control.stop());
    assert_eq!(instance.get("/livez").0, 503);
    assert_eq!(instance.get("/status").0, 503);
    let (code, _, metrics) = instance.get("/metrics");
    assert_eq!(code, 200);
    assert!(parse(&metrics)["standfast_switches_total"].samples.is_empty());
}

#[test]
fn status_is_the_engines_own_value() {
    let instance = Instance::start().with_worker();
    let (code, head, body) = instance.get("/status");
    assert!(code == 200 && head.contains("content-type: application/json"), "{head}");
    let status: Status = serde_json::from_str(&body).unwrap();
    assert!(status.ready);
    assert_eq!(status.services[0].active.as_deref(), Some("active"));
    assert_ne!(status.listeners[0].bound[0].port(), 0);
}

/// As a browser asks.
const BROWSER: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";

#[test]
fn a_browser_gets_a_page_that_refreshes_itself_and_others_the_list() {
    let instance = Instance::start().with_worker();
    let (code, head, page) = ask_with(instance.address(), "GET", "/", BROWSER);
    assert_eq!(code, 200);
    for field in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'; style-src 'unsafe-inline';",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "referrer-policy: no-referrer",
        "vary: accept",
    ] {
        assert!(head.contains(field), "{field}\n{head}");
    }
    let shown =
        ["<meta http-equiv=\"refresh\" content=\"2\">", "<h2>shop</h2>", ">ready</span>", "1 of 1 services are served"];
    for part in shown {
        assert!(page.contains(part), "{part}\n{page}");
    }
    assert!(!page.contains("<script"), "{page}");
    let (code, _, paused) = ask_with(instance.address(), "GET", "/?refresh=off", BROWSER);
    assert!(code == 200 && !paused.contains("http-equiv") && paused.contains("<h2>shop</h2>"), "{paused}");
    for fields in ["", "Accept: */*\r\n", "Accept: text/plain\r\n"] {
        let (code, head, list) = ask_with(instance.address(), "GET", "/", fields);
        assert!(code == 200 && head.contains("content-type: text/plain") && head.contains("vary: accept"), "{head}");
        assert!(list.contains("/metrics") && !list.contains('<'), "{list}");
    }
    let (code, head, body) = ask_with(instance.address(), "HEAD", "/", BROWSER);
    assert!(code == 200 && head.contains("text/html") && body.is_empty(), "{head}");
    instance.admin.as_ref().unwrap().draining();
    assert!(ask_with(instance.address(), "GET", "/", BROWSER).2.contains(">draining</span>"));
}

#[test]
fn the_page_of_an_engine_that_does_not_answer_is_503_and_tries_again() {
    let instance = Instance::start().with_worker();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(instance.control.stop());
    let (code, head, page) = ask_with(instance.address(), "GET", "/", BROWSER);
    assert!(code == 503 && head.contains("text/html"), "{code} {head}");
    assert!(page.contains("The control plane does not answer") && page.contains("http-equiv=\"refresh\""), "{page}");
    assert_eq!(instance.get("/").0, 200, "the list needs no engine");
}

#[test]
fn it_is_read_only_and_bounded() {
    let instance = Instance::start();
    for path in ["/", "/metrics", "/livez", "/readyz", "/status"] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let json = "Content-Type: application/json\r\n";
            let (code, head, _) = ask_with(instance.address(), method, path, json);
            assert!(code == 405 && head.contains("allow: get,head"), "{method} {path}: {head}");
        }
    }
    assert_eq!(instance.get("/nothing").0, 404);
    assert!(instance.get("/").2.contains("/metrics"));
    let (code, _, body) = ask(instance.address(), "HEAD", "/metrics");
    assert_eq!((code, body.as_str()), (200, ""));
    let (code, _, _) = ask(instance.address(), "GET", &format!("/{}", "x".repeat(64 << 10)));
    assert!((400..500).contains(&code), "{code}");
}

/// Did its other end close it? (What it sent before is read first.)
fn is_closed(stream: &mut TcpStream) -> bool {
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

const PAGES: [&str; 4] = ["/livez", "/readyz", "/metrics", "/status"];

#[test]
fn idle_connections_make_room_for_requests_the_longest_idle_first() {
    let instance = Instance::start().with_worker();
    let mut held: Vec<TcpStream> = (0..64).map(|_| connect(instance.address())).collect();
    // One of them was used a moment ago: it is the last one to go.
    held[0].write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(held[0].read(&mut [0; 512]).unwrap() > 0);
    for page in PAGES {
        assert_eq!(instance.get(page).0, 200, "{page}");
    }
    assert!(is_closed(&mut held[1]), "its place was needed");
    held[0].write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(held[0].read(&mut [0; 512]).unwrap() > 0, "it was not");
}

#[test]
fn connections_whose_answers_are_not_read_make_room_for_requests() {
    let instance = Instance::start().with_worker();
    // More than the kernel holds for a client that reads nothing.
    let asked = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    let greedy = || {
        let mut stream = connect(instance.address());
        stream.set_nonblocking(true).unwrap();
        let _ = stream.write(asked.as_bytes());
        stream
    };
    let _held: Vec<TcpStream> = (0..64).map(|_| greedy()).collect();
    for page in ["/livez", "/readyz"] {
        assert_eq!(instance.get(page).0, 200, "places are kept for it: {page}");
    }
    for page in ["/metrics", "/status"] {
        // While all others wait for their pages it is told to try again.
        until(|| instance.get(page).0 == 200);
    }
}

#[test]
fn a_head_that_does_not_come_to_its_end_has_five_seconds() {
    let instance = Instance::start();
    let begun = clock::now();
    let mut silent = connect(instance.address());
    let mut slow = connect(instance.address());
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n").unwrap();
    assert!(is_closed(&mut slow) && is_closed(&mut silent));
    let waited = clock::now().since(begun);
    assert!(waited > Duration::from_millis(4_500) && waited < Duration::from_secs(15), "{waited:?}");
}

#[test]
fn a_stop_does_not_wait_for_idle_connections() {
    let mut instance = Instance::start();
    let address = instance.address();
    let mut idle = connect(address);
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(idle.read(&mut [0; 512]).unwrap() > 0);
    let begun = clock::now();
    instance.admin.take().unwrap().stop();
    assert!(clock::now().since(begun) < Duration::from_millis(1_500), "{:?}", clock::now().since(begun));
    assert!(matches!(idle.read(&mut [0; 16]), Ok(0)));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn the_admin_port_takes_both_families_where_it_is_told_to() {
    if TcpListener::bind("[::1]:0").is_err() {
        return eprintln!("SKIPPED: this machine has no IPv6");
    }
    let instance = Instance::start();
    let setup = instance.setup(None, None);
    let every = Some(Bind::Every(0));
    let admin = standfast::admin::start(AdminSetup { admin: every.map(Into::into), metrics: every, ..setup }).unwrap();
    for port in [admin.address(), admin.metrics_address()].map(|address| address.unwrap().port()) {
        for host in ["127.0.0.1", "::1"] {
            let mut stream = TcpStream::connect((host, port)).unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    }
    admin.stop();
}

#[test]
fn a_port_in_use_is_told_by_its_key() {
    let instance = Instance::start();
    let taken = Some(instance.address());
    for (setup, key) in [(instance.setup(taken, None), "admin.bind"), (instance.setup(None, taken), "metrics.bind")] {
        let error = standfast::admin::start(setup).unwrap_err();
        assert!(matches!(error, AdminError::Bind { .. }));
        let text = error.to_string();
        assert!(text.starts_with(key) && text.contains("already in use"), "{text}");
    }
    assert!(standfast::admin::start(instance.setup(None, None)).unwrap().address().is_none());
}

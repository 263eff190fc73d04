//! Programs that others wrote, through the program itself: curl, node, Java's HttpClient, nghttp, h2load, openssl, Python's
//! `websockets` and `grpcio`.
//! A test whose program is not on the machine says so and judges nothing.

use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tempfile::TempDir;

use crate::support::pki::{Pair, Pki};

/// What `/big` is.
const BIG: usize = 1 << 20;
/// The interpreter that Debian's packages are for, whatever else is on the path.
const PYTHON: &str = "/usr/bin/python3";

// ---- programs ---------------------------------------------------------------------------------------------------------

/// Whether this can be run; says so if not.
fn there(program: &str, arguments: &[&str]) -> bool {
    let tried = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let there = tried.is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("SKIPPED: `{program} {}` does not run here", arguments.join(" "));
    }
    there
}

/// Everything that a program says on both outputs, and whether it ended well; one that hangs is ended.
fn run(program: &str, arguments: &[&str], input: &str) -> (bool, String) {
    use std::io::Write;
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "120", program]).args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that does not read has its pipe closed.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.success(), said)
}

/// The same of one that must end well.
fn says(program: &str, arguments: &[&str]) -> String {
    let (well, said) = run(program, arguments, "");
    assert!(well, "{program} {}: {said}", arguments.join(" "));
    said
}

/// A child that ends with the test.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One of our scripts as a server.
struct Served {
    address: SocketAddr,
    _child: Kept,
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocol/real_clients").join(name)
}

/// The server of a script.
fn serve(name: &str) -> Served {
    let mut child = Kept(Command::new(PYTHON).arg(script(name)).arg("serve").stdout(Stdio::piped()).spawn().unwrap());
    let mut port = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let port: u16 = port.trim().parse().unwrap_or_else(|_| panic!("{name} has no port: {port}"));
    Served { address: ([127, 0, 0, 1], port).into(), _child: child }
}

/// Every case of a script.
fn talk(name: &str, to: &[&str]) {
    let script = script(name);
    let (well, said) = run(PYTHON, &[&[script.to_str().unwrap(), "talk"], to].concat(), "");
    assert!(well, "{name} {}:\n{said}", to.join(" "));
}

// ---- the proxy --------------------------------------------------------------------------------------------------------

/// A running program with the listeners `clear` and `tls`, which have the same routes.
struct Proxy {
    folder: TempDir,
    pki: Pki,
    clear: u16,
    tls: u16,
    child: Kept,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = std::fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
            eprintln!("---- what the program said\n{said}");
        }
        let _ = self.child.0.kill();
    }
}

impl Proxy {
    /// `routes` and `services` as the items of a configuration.
    fn start(routes: &[&str], services: &[&str]) -> Proxy {
        let (folder, pki) = (tempfile::tempdir().unwrap(), Pki::new());
        let pairs = [pki.issue("localhost", &["localhost", "127.0.0.1"]), pki.issue("other", &["other.test"])];
        let routes: String = routes.iter().map(|route| format!("      - {route}\n")).collect();
        let services: String = services.iter().map(|service| format!("  {service}\n")).collect();
        let certificates = pairs.each_ref().map(Pair::yaml).join(", ");
        let text = format!(
            "admin: {{bind: 127.0.0.1:0}}\nlisteners:\n\
             \x20 - name: clear\n    bind: 127.0.0.1:0\n    routes:\n{routes}\
             \x20 - name: tls\n    bind: 127.0.0.1:0\n    tls: {{certificates: [{certificates}]}}\n    routes:\n{routes}\
             services:\n{services}"
        );
        let (file, said) = (folder.path().join("standfast.yaml"), folder.path().join("said"));
        std::fs::write(&file, &text).unwrap();
        let log = std::fs::File::create(&said).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_standfast"));
        command.args(["run", "-c"]).arg(&file).env_remove("STANDFAST_LOG").stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = Kept(command.stderr(log).spawn().unwrap());
        // The line that says where the admin port is; the rest the admin port knows.
        let admin = loop {
            let ended = child.0.try_wait().unwrap();
            let lines = std::fs::read_to_string(&said).unwrap();
            assert!(ended.is_none(), "it did not start: {lines}\n{text}");
            let values = lines.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            let digits = |value: &str| value.trim_matches(|c: char| !c.is_ascii_digit()).to_owned();
            if let Some(admin) = values.filter_map(|value| value["admin"].as_str().map(digits)).next() {
                break admin;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        let ports = loop {
            let asked = ["status", "--admin", &admin, "--output", "json"];
            let answer = Command::new(env!("CARGO_BIN_EXE_standfast")).args(asked).output().unwrap();
            let status: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap_or_default();
            let serves = |service: &serde_json::Value| !service["active"].is_null();
            if status["services"].as_array().is_some_and(|services| services.iter().all(serves)) {
                break [0, 1].map(|listener| {
                    let bound = status["listeners"][listener]["bound"][0].as_str().unwrap().to_owned();
                    bound.parse::<SocketAddr>().unwrap().port()
                });
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        Proxy { folder, pki, clear: ports[0], tls: ports[1], child }
    }

    /// In front of an HTTP/1 upstream.
    fn web() -> Proxy {
        let service = format!("web: {{pools: [{{name: main, endpoints: [\"{}\"]}}]}}", web());
        Proxy::start(&["{service: web}"], &[&service])
    }

    fn http(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.clear)
    }

    fn https(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.tls)
    }

    fn ca(&self) -> String {
        self.pki.ca().display().to_string()
    }

    /// A file of so many bytes.
    fn file(&self, name: &str, size: usize) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, vec![b'x'; size]).unwrap();
        path.display().to_string()
    }
}

/// An upstream that speaks HTTP/1: `/big`, `/early`, which is answered before its body is read, and for the rest the request's method and the length of its body.
fn web() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(hyper_util::rt::TokioIo::new(stream), hyper::service::service_fn(answer));
                tokio::spawn(serving);
            }
        });
    });
    address
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/early" {
        let mut refused = Response::new(Full::new(Bytes::from_static(b"too large\n")));
        *refused.status_mut() = http::StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(refused);
    }
    let length = body.collect().await.map_or(0, |body| body.to_bytes().len());
    let body = match parts.uri.path() {
        "/big" => Bytes::from(vec![b'b'; BIG]),
        _ => Bytes::from(format!("{} {length}\n", parts.method)),
    };
    Ok(Response::new(Full::new(body)))
}

// ---- claims -----------------------------------------------------------------------------------------------------------

#[test]
fn curl_is_served_in_every_version() {
    if !there("curl", &["--version"]) {
        return;
    }
    let proxy = Proxy::web();
    let (upload, ca) = (proxy.file("upload", 5_000_000), proxy.ca());
    let curl = |arguments: &[&str]| {
        let usual = ["-sS", "--cacert", &ca, "-w", " %{http_version} %{http_code} %{size_download}"];
        says("curl", &[&usual, arguments].concat())
    };
    let data = format!("@{upload}");
    for (version, options, base) in [
        ("1.1", &[][..], proxy.http("")),
        ("2", &["--http2-prior-knowledge"][..], proxy.http("")),
        ("1.1", &["--http1.1"][..], proxy.https("")),
        ("2", &["--http2"][..], proxy.https("")),
        ("2", &["--http2", "--tls-max", "1.2"][..], proxy.https("")),
        ("1.1", &["--no-alpn"][..], proxy.https("")),
    ] {
        let with = |more: &[&str], path: &str| curl(&[options, more, &[&format!("{base}{path}")]].concat());
        let what = format!("{base} {options:?}");
        assert_eq!(with(&[], "/"), format!("GET 0\n {version} 200 6"), "{what}");
        assert_eq!(with(&["-o", "/dev/null"], "/big"), format!(" {version} 200 {BIG}"), "{what}");
        assert_eq!(with(&["-o", "/dev/null", "-I"], "/big"), format!(" {version} 200 0"), "{what}");
        assert_eq!(with(&["--data-binary", &data], "/"), format!("POST 5000000\n {version} 200 13"), "{what}");
        // Of unknown length, and told to go on before it is sent.
        let streamed = with(&["-T", "-", "-H", "Expect: 100-continue", "-X", "POST"], "/");
        assert_eq!(streamed, format!("POST 0\n {version} 200 7"), "{what}");
    }
    // An offer to upgrade to HTTP/2 in the clear is not taken up.
    assert_eq!(curl(&["--http2", &proxy.http("/")]), "GET 0\n 1.1 200 6");
}

/// What is uploaded to an endpoint that answers before the upload's end: less and more than is dropped of it.
const EARLY: [usize; 2] = [2_000_000, 30_000_000];

#[test]
fn an_answer_before_the_end_of_the_upload_reaches_curl() {
    if !there("curl", &["--version"]) {
        return;
    }
    let proxy = Proxy::web();
    let ca = proxy.ca();
    for size in EARLY {
        let file = proxy.file("upload", size);
        let data = format!("@{file}");
        for (version, option, base) in [
            ("2", "--http2-prior-knowledge", proxy.http("")),
            ("2", "--http2", proxy.https("")),
            ("1.1", "--http1.1", proxy.https("")),
        ] {
            for upload in [["--data-binary", &data], ["-T", &file]] {
                let usual =
                    ["-sS", "--cacert", &ca, "-X", "POST", "-H", "Expect:", "-w", "%{http_version} %{http_code}"];
                let url = format!("{base}/early");
                let said = says("curl", &[&usual[..], &[option], &upload, &[&url]].concat());
                assert_eq!(said, format!("too large\n{version} 413"), "{size} bytes {option} {upload:?}");
            }
        }
    }
}

#[test]
fn an_answer_before_the_end_of_the_upload_reaches_node() {
    if !there("node", &["--version"]) {
        return;
    }
    let proxy = Proxy::web();
    let (script, ca) = (script("early_answer.js").display().to_string(), proxy.ca());
    for size in EARLY.map(|size| size.to_string()) {
        assert_eq!(says("node", &[&script, &proxy.http("/early"), &size]), "413 too large\n", "{size} bytes");
        assert_eq!(says("node", &[&script, &proxy.https("/early"), &size, &ca]), "413 too large\n", "{size} over TLS");
    }
}

#[test]
fn an_answer_before_the_end_of_the_upload_reaches_java() {
    // The source is compiled as it is started.
    if !there("java", &["--version"]) || !there("javac", &["--version"]) {
        return;
    }
    let proxy = Proxy::web();
    let (source, ca) = (script("EarlyAnswer.java").display().to_string(), proxy.ca());
    for size in EARLY.map(|size| size.to_string()) {
        let said = says("java", &[&source, &proxy.https("/early"), &size, &ca]);
        assert_eq!(said, "HTTP_2 413 too large\n", "{size} bytes");
    }
}

#[test]
fn nghttp_and_h2load_are_served_with_many_streams() {
    if !there("h2load", &["--version"]) || !there("nghttp", &["--version"]) {
        return;
    }
    let proxy = Proxy::web();
    let upload = proxy.file("upload", 100_000);
    let load = |arguments: &[&str]| says("h2load", arguments);
    for base in [proxy.http(""), proxy.https("")] {
        let (root, big) = (format!("{base}/"), format!("{base}/big"));
        let small = load(&["-n", "2000", "-c", "8", "-m", "100", &root]);
        assert!(small.contains("status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{small}");
        let large = load(&["-n", "64", "-c", "4", "-m", "16", &big]);
        assert!(large.contains("status codes: 64 2xx, 0 3xx, 0 4xx, 0 5xx"), "{large}");
        let uploads = load(&["-n", "200", "-c", "4", "-m", "20", "-d", &upload, &root]);
        assert!(uploads.contains("status codes: 200 2xx, 0 3xx, 0 4xx, 0 5xx"), "{uploads}");
        // Windows of 1 KiB, padding, and fields after the body.
        let answer = says("nghttp", &["-v", "-w", "10", &big]);
        assert!(answer.contains(":status: 200"), "{answer}");
        let answer = says("nghttp", &["-v", "-b", "100", "-d", &upload, "--trailer", "x-sum: 1", &root]);
        assert!(answer.contains(":status: 200") && answer.contains("POST 100000"), "{answer}");
    }
}

#[test]
fn openssl_finds_the_versions_the_names_and_the_sessions() {
    if !there("openssl", &["version"]) {
        return;
    }
    let proxy = Proxy::web();
    let (to, ca) = (format!("127.0.0.1:{}", proxy.tls), proxy.ca());
    let client = |arguments: &[&str], input: &str| {
        run("openssl", &[&["s_client", "-connect", &to, "-CAfile", &ca], arguments].concat(), input)
    };
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

    for version in ["1.2", "1.3"] {
        let flag = format!("-tls{}", version.replace('.', "_"));
        let named = ["-verify_return_error", "-servername", "localhost", "-verify_hostname", "localhost"];
        let (well, said) = client(&[&[&*flag, "-ign_eof"], &named[..]].concat(), request);
        assert!(well && said.contains("Verify return code: 0 (ok)"), "{version}: {said}");
        assert!(said.contains(&format!("TLSv{version}")) && said.contains("GET 0"), "{version}: {said}");
    }
    // The flag as well as the library's own limits must allow the old version: the refusal has to be the proxy's.
    let (well, said) = client(&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "");
    assert!(!well && said.contains("alert"), "{said}");

    for (name, subject) in [("other.test", "CN=other"), ("localhost", "CN=localhost"), ("unknown.test", "CN=localhost")]
    {
        let (_, said) = client(&["-servername", name], "");
        let shown = said.replace(' ', "");
        assert!(shown.contains(&format!("subject={subject}\n")), "{name}: {said}");
    }

    let (_, said) = client(&["-alpn", "h2,http/1.1"], "");
    assert!(said.contains("ALPN protocol: h2"), "{said}");
    let (well, said) = client(&["-alpn", "imap"], "");
    assert!(!well && said.contains("alert"), "nothing in common: {said}");

    let (_, said) = client(&["-tls1_2", "-reconnect"], "");
    assert_eq!(said.matches("Reused, TLSv1.2").count(), 5, "{said}");
    let session = proxy.folder.path().join("session").display().to_string();
    let (well, said) = client(&["-tls1_3", "-ign_eof", "-sess_out", &session], request);
    assert!(well && said.contains("New, TLSv1.3"), "{said}");
    let (well, said) = client(&["-tls1_3", "-ign_eof", "-sess_in", &session], request);
    assert!(well && said.contains("Reused, TLSv1.3") && said.contains("GET 0"), "{said}");
    assert!(!said.contains("Early data was accepted"), "a replay could be anybody's: {said}");
}

#[test]
fn the_last_answer_and_the_end_of_the_connection_take_one_segment() {
    if !there(PYTHON, &["-c", "import ssl"]) {
        return;
    }
    let proxy = Proxy::web();
    let script = script("segments.py").display().to_string();
    let said = says(PYTHON, &[&script, &proxy.clear.to_string(), &proxy.tls.to_string(), &proxy.ca()]);
    // In the clear: SYN, an acknowledgement of the request, answer with FIN. Over TLS: the flight; tickets, answer and farewell.
    assert_eq!(said.trim(), "3 2");
}

#[test]
fn websockets_go_through_in_both_listeners() {
    if !there(PYTHON, &["-c", "import websockets"]) {
        return;
    }
    let sockets = serve("websocket.py");
    let services = [
        format!("web: {{pools: [{{name: main, endpoints: [\"{}\"]}}]}}", web()),
        format!("sockets: {{pools: [{{name: main, endpoints: [\"{}\"]}}]}}", sockets.address),
    ];
    let routes = ["{match: {path_prefix: /socket}, service: sockets}", "{service: web}"];
    let proxy = Proxy::start(&routes, &services.each_ref().map(String::as_str));
    talk("websocket.py", &[&format!("ws://127.0.0.1:{}/socket", proxy.clear)]);
    talk("websocket.py", &[&format!("wss://localhost:{}/socket", proxy.tls), &proxy.ca()]);
}

#[test]
fn grpc_goes_through_in_both_listeners() {
    if !there(PYTHON, &["-c", "import grpc"]) {
        return;
    }
    let server = serve("grpc_echo.py");
    // A port that is bound but not listened on: whoever connects is refused.
    let gone = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    gone.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let gone_at = gone.local_addr().unwrap().as_socket().unwrap();
    let services = [
        format!(
            "echo: {{upstream: {{protocol: http2}}, health_check: {{grpc: {{}}}}, pools: [{{name: main, endpoints: [\"{}\"]}}]}}",
            server.address
        ),
        format!("gone: {{upstream: {{protocol: http2}}, pools: [{{name: main, endpoints: [\"{gone_at}\"]}}]}}"),
    ];
    let routes = ["{match: {path_prefix: /test.Gone/}, service: gone}", "{service: echo}"];
    let proxy = Proxy::start(&routes, &services.each_ref().map(String::as_str));
    talk("grpc_echo.py", &[&format!("localhost:{}", proxy.clear)]);
    talk("grpc_echo.py", &[&format!("localhost:{}", proxy.tls), &proxy.ca()]);
}

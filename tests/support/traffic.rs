//! A client and an upstream in a process of their own, so that whatever this process allocates or executes meanwhile is
//! the proxy's. The process is the same program again: its `main` calls [`Traffic::play_if_asked`] first.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::ServerName;

use super::http2::{self, Http2};
use super::plane::{Plane, yaml};
use super::{Pki, response};

const ROLE: &str = "STANDFAST_TRAFFIC";
/// Length of the bodies of POST and of all answers.
const BODY: usize = 1024;

const GET: &[u8] = b"GET /catalogue/shoes?page=2 HTTP/1.1\r\nHost: test\r\nUser-Agent: traffic\r\nAccept: */*\r\n\r\n";

/// What its clients say, each over one connection that it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// HTTP/1.1, no body.
    Get,
    /// HTTP/1.1 with a body.
    Post,
    /// The GET over TLS 1.3.
    Tls,
    /// A GET over HTTP/2 in the clear.
    Http2,
    /// The bytes of the GET, which the proxy does not look at.
    Tcp,
}

const ALL: [Speech; 5] = [Speech::Get, Speech::Post, Speech::Tls, Speech::Http2, Speech::Tcp];

/// What stands behind the proxy, and how it finds it.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Of the one pool, each on an address of its own.
    pub endpoints: usize,
    /// The last of them is the one that is taken; the others ask for hosts of their own.
    pub routes: usize,
}

impl Size {
    pub const ONE: Size = Size { endpoints: 1, routes: 1 };
}

/// A proxy of one worker with traffic through it.
pub struct Traffic {
    plane: Plane,
    child: Child,
    orders: ChildStdin,
    reports: BufReader<ChildStdout>,
}

impl Traffic {
    /// Becomes the other process and does not return, if this is what the program was started for.
    pub fn play_if_asked() {
        let Ok(role) = std::env::var(ROLE) else { return };
        let (name, endpoints) = role.split_once(' ').expect("two words");
        let speech = ALL.into_iter().find(|speech| format!("{speech:?}") == name).expect("a name of this list");
        play(speech, endpoints.parse().expect("a number"));
        std::process::exit(0);
    }

    /// Starts both processes' parts. Nothing is connected yet.
    pub fn start(speech: Speech, size: Size) -> Traffic {
        let program = std::env::current_exe().expect("Linux knows");
        let mut child = Command::new(program)
            .env(ROLE, format!("{speech:?} {}", size.endpoints))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let orders = child.stdin.take().expect("piped");
        let mut reports = BufReader::new(child.stdout.take().expect("piped"));
        let place = line(&mut reports);
        let [upstreams, cert, key] = place.split(' ').collect::<Vec<_>>()[..] else { panic!("it said {place:?}") };
        let upstreams: Vec<SocketAddr> = upstreams.split(',').map(|each| each.parse().expect("an address")).collect();
        let protocol = if speech == Speech::Tcp { "tcp" } else { "http" };
        let tls = format!("    tls: {{certificates: [{{cert: {cert}, key: {key}}}]}}\n");
        let listener = if speech == Speech::Tls { tls.as_str() } else { "" };
        let others = (1..size.routes).map(|n| format!("{{match: {{host: shop-{n}.example.com}}, service: web}}, "));
        let routes = format!("routes: [{}{{service: web}}]", others.collect::<String>());
        let more = "    balance: round_robin\n";
        let plane =
            Plane::start(&yaml(protocol, &[&upstreams], listener, more).replace("routes: [{service: web}]", &routes));
        let mut traffic = Traffic { plane, child, orders, reports };
        let address = traffic.plane.address("web");
        writeln!(traffic.orders, "{address}").expect("it listens");
        traffic
    }

    /// Has this many requests sent, one after another, and answered.
    pub fn send(&mut self, requests: usize) {
        writeln!(self.orders, "{requests}").expect("it listens");
        assert_eq!(line(&mut self.reports), "answered");
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(from: &mut impl BufRead) -> String {
    let mut text = String::new();
    from.read_line(&mut text).expect("text");
    text.trim_end().to_owned()
}

fn play(speech: Speech, endpoints: usize) {
    let pki = Pki::new();
    let pair = pki.issue("proxy", &["test"]);
    let upstreams: Vec<_> = (0..endpoints).map(|_| upstream().to_string()).collect();
    println!("{} {} {}", upstreams.join(","), pair.cert.display(), pair.key.display());
    let mut orders = std::io::stdin().lock();
    let proxy: SocketAddr = line(&mut orders).parse().expect("an address");
    let socket = || {
        let socket = TcpStream::connect(proxy).expect("the proxy accepts");
        socket.set_nodelay(true).expect("alive");
        socket
    };
    match speech {
        Speech::Get | Speech::Tcp => converse(socket(), GET, &mut orders),
        Speech::Post => {
            let head = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {BODY}\r\n\r\n");
            converse(socket(), &[head.as_bytes(), &[b'x'; BODY]].concat(), &mut orders);
        }
        Speech::Tls => {
            let name = ServerName::try_from("test").expect("a name");
            let session = rustls::ClientConnection::new(Arc::new(pki.client()), name).expect("a client");
            converse(rustls::StreamOwned::new(session, socket()), GET, &mut orders);
        }
        Speech::Http2 => converse_http2(proxy, &mut orders),
    }
}

/// Does what it is told until nobody tells it anything any more.
fn obey(orders: &mut impl BufRead, mut ask: impl FnMut()) {
    while let Ok(count) = line(orders).parse::<usize>() {
        (0..count).for_each(|_| ask());
        println!("answered");
    }
}

fn converse(mut stream: impl Read + Write, request: &[u8], orders: &mut impl BufRead) {
    let mut bytes = [0; 4096];
    obey(orders, || {
        stream.write_all(request).expect("the proxy reads");
        let mut length = 0;
        // The fields before the body differ from case to case, its end does not.
        while length == 0 || bytes[length - 1] != b'\n' {
            length += stream.read(&mut bytes[length..]).expect("the proxy answers");
        }
        assert!(bytes.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&bytes[..length]));
    });
}

fn converse_http2(proxy: SocketAddr, orders: &mut impl BufRead) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut client = runtime.block_on(Http2::connect(proxy));
    let fields = [("user-agent", "traffic"), ("accept", "*/*")];
    obey(orders, || {
        let request = http2::request("GET", "/catalogue/shoes?page=2", &fields);
        let reply = runtime.block_on(client.ask(request)).expect("an answer");
        assert_eq!((reply.status, reply.body.len()), (200, BODY));
    });
}

/// Answers every request, which are small and come one at a time.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let answer = response(200, &format!("{}\n", "x".repeat(BODY - 1)));
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                stream.set_nodelay(true).expect("alive");
                let mut request = Vec::new();
                let mut bytes = [0; 4096];
                while let Ok(count) = stream.read(&mut bytes)
                    && count > 0
                {
                    request.extend_from_slice(&bytes[..count]);
                    if is_whole(&request) {
                        request.clear();
                        stream.write_all(&answer).expect("the proxy reads");
                    }
                }
            });
        }
    });
    address
}

fn is_whole(request: &[u8]) -> bool {
    let head = request.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    head.is_some_and(|end| request.len() == end + 4 + if request.starts_with(b"POST") { BODY } else { 0 })
}

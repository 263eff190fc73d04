//! One proxied request over loopback, everything in this process: what a whole exchange takes, wake-ups of three threads
//! included. For the proxy's own share of CPU use the perf lab; this one is for comparing two versions of the code.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use divan::Bencher;
use divan::counter::ItemsCount;

#[path = "../tests/support/mod.rs"]
mod support;
use support::plane::{Plane, yaml};

fn main() {
    divan::main();
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n";

/// Answers every read with the same bytes: requests here come one at a time and whole.
fn upstream(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let answer = answer.clone();
            stream.set_nodelay(true).expect("alive");
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                while stream.read(&mut request).is_ok_and(|count| count > 0) && stream.write_all(&answer).is_ok() {}
            });
        }
    });
    address
}

fn answer(body: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; body]].concat()
}

fn exchange(stream: &mut TcpStream, request: &[u8], tail: usize) {
    stream.write_all(request).expect("the proxy reads");
    let mut bytes = [0; 64 * 1024];
    let mut received = 0;
    while received < tail {
        received += stream.read(&mut bytes).expect("the proxy answers");
    }
}

fn bench(bencher: Bencher, protocol: &str, address: SocketAddr, body: usize) {
    let plane = Plane::start(&yaml(protocol, &[&[address]], "", ""));
    let mut stream = TcpStream::connect(plane.address("web")).expect("the proxy accepts");
    stream.set_nodelay(true).expect("alive");
    let length = answer(body).len();
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| exchange(&mut stream, REQUEST, length));
}

#[divan::bench(args = [128, 16 * 1024, 1024 * 1024])]
fn http(bencher: Bencher, body: usize) {
    bench(bencher, "http", upstream(answer(body)), body);
}

#[divan::bench(args = [128, 16 * 1024, 1024 * 1024])]
fn tcp(bencher: Bencher, body: usize) {
    bench(bencher, "tcp", upstream(answer(body)), body);
}

/// The same without a proxy: what the sockets and threads alone take.
#[divan::bench(args = [128, 16 * 1024, 1024 * 1024])]
fn direct(bencher: Bencher, body: usize) {
    let mut stream = TcpStream::connect(upstream(answer(body))).expect("the upstream accepts");
    stream.set_nodelay(true).expect("alive");
    let length = answer(body).len();
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| exchange(&mut stream, REQUEST, length));
}

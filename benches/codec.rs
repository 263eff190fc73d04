//! What the codec costs: heads in and out, chunked bodies, and all of it for one proxied request.
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use standfast::config::{Forwarded, HeaderChanges};
use standfast::wire::h1::*;

const SMALL: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: wrk\r\nAccept: */*\r\n\r\n";
const BROWSER: &[u8] = b"GET /catalogue/shoes?page=2&sort=price HTTP/1.1\r\nHost: shop.example.com\r\nConnection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"142\", \"Not A(Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n\
    Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/142.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,\
    */*;q=0.8\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nReferer: \
    http://shop.example.com/catalogue\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: en-GB,en;q=0.9\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\n\r\n";
const REPLY: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/html\r\n\
    Content-Length: 128\r\nConnection: keep-alive\r\n\r\n";
const LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, fields: 100 };
const CHANGES: HeaderChanges = HeaderChanges { set: Vec::new(), add: Vec::new(), remove: Vec::new() };

fn main() {
    divan::main();
}

#[divan::bench(args = [SMALL.len(), BROWSER.len()])]
fn parse_request(bencher: Bencher, len: usize) {
    let input = if len == SMALL.len() { SMALL } else { BROWSER };
    let mut head = RequestHead::new();
    bencher
        .counter(BytesCount::new(len))
        .bench_local(|| RequestParser::new().feed(black_box(input), &LIMITS, &mut head));
}

#[divan::bench]
fn parse_request_byte_by_byte(bencher: Bencher) {
    let mut head = RequestHead::new();
    bencher.counter(BytesCount::new(BROWSER.len())).bench_local(|| {
        let mut parser = RequestParser::new();
        BROWSER.iter().map(|byte| parser.feed(black_box(std::slice::from_ref(byte)), &LIMITS, &mut head)).last()
    });
}

#[divan::bench]
fn parse_reply(bencher: Bencher) {
    let mut head = ResponseHead::new();
    bencher
        .counter(BytesCount::new(REPLY.len()))
        .bench_local(|| ResponseParser::new().feed(black_box(REPLY), &LIMITS, Asked::Other, &mut head));
}

#[divan::bench(args = [1, 1024, 65_536])]
fn decode_chunks(bencher: Bencher, chunk: usize) {
    let mut input = Vec::new();
    let mut encoder = BodyEncoder::new(BodyLength::Chunked);
    for _ in 0..65_536 / chunk {
        encoder.encode(&vec![b'x'; chunk], &mut input).expect("chunks have no length");
    }
    encoder.finish(&standfast::wire::Fields::new(), &mut input).expect("chunks have no length");
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    bencher.counter(BytesCount::new(input.len())).bench_local(|| {
        decoder.reset(BodyLength::Chunked);
        let mut used = 0;
        while !decoder.is_done() {
            used += decoder.decode(black_box(&input[used..])).expect("it is valid").taken;
        }
        used
    });
}

/// The codec's whole share of one proxied request: both heads in, both heads out.
#[divan::bench(args = [SMALL.len(), BROWSER.len()])]
fn exchange(bencher: Bencher, len: usize) {
    let input = if len == SMALL.len() { SMALL } else { BROWSER };
    let mut work = Exchange {
        client: ClientAddress::new(std::net::Ipv4Addr::LOCALHOST.into()),
        request: RequestHead::new(),
        reply: ResponseHead::new(),
        up: Vec::new(),
        down: Vec::new(),
    };
    bencher.bench_local(|| work.run(black_box(input)));
}

struct Exchange {
    /// Made once a connection.
    client: ClientAddress,
    request: RequestHead,
    reply: ResponseHead,
    up: Vec<u8>,
    down: Vec<u8>,
}

impl Exchange {
    fn run(&mut self, input: &[u8]) -> usize {
        let to = Upstream {
            forwarded: Forwarded::Append,
            client: &self.client,
            scheme: Scheme::Http,
            request_id: "0123456789abcdef0123456789abcdef",
            default_host: "10.0.0.1:80",
            expect_continue: false,
            upgrades: &[],
            changes: &CHANGES,
        };
        self.up.clear();
        self.down.clear();
        RequestParser::new().feed(input, &LIMITS, &mut self.request).expect("it is valid");
        encode_request(&self.request, &to, &mut self.up);
        let asked = Asked::from(self.request.method());
        ResponseParser::new().feed(REPLY, &LIMITS, asked, &mut self.reply).expect("it is valid");
        let version = self.request.version();
        let framing = reply_framing(&self.reply, version);
        let to = Downstream { version, framing, keep_alive: self.request.keep_alive(), changes: &CHANGES };
        encode_response(&self.reply, &to, &mut self.down);
        self.up.len() + self.down.len()
    }
}

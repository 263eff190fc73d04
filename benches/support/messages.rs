//! Messages as they come, and the codec's whole share of one proxied request.

use standfast::config::{Forwarded, HeaderChanges};
use standfast::wire::h1::*;

pub const SMALL: &[u8] =
    b"GET /index.html HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: wrk\r\nAccept: */*\r\n\r\n";
pub const BROWSER: &[u8] = b"GET /catalogue/shoes?page=2&sort=price HTTP/1.1\r\nHost: shop.example.com\r\nConnection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"142\", \"Not A(Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n\
    Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/142.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,\
    */*;q=0.8\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nReferer: \
    http://shop.example.com/catalogue\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: en-GB,en;q=0.9\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\n\r\n";
pub const REPLY: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/html\r\n\
    Content-Length: 128\r\nConnection: keep-alive\r\n\r\n";
pub const LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, fields: 100 };
pub const CHANGES: HeaderChanges = HeaderChanges { set: Vec::new(), add: Vec::new(), remove: Vec::new() };

/// Both heads in, both heads out.
pub struct Exchange {
    /// Made once a connection.
    client: ClientAddress,
    pub request: RequestHead,
    pub reply: ResponseHead,
    up: Vec<u8>,
    down: Vec<u8>,
}

impl Exchange {
    pub fn new() -> Exchange {
        Exchange {
            client: ClientAddress::new(std::net::Ipv4Addr::LOCALHOST.into()),
            request: RequestHead::new(),
            reply: ResponseHead::new(),
            up: Vec::new(),
            down: Vec::new(),
        }
    }

    pub fn run(&mut self, input: &[u8]) -> usize {
        self.parse_request(input);
        self.parse_reply();
        self.encode_request() + self.encode_reply()
    }

    pub fn parse_request(&mut self, input: &[u8]) {
        RequestParser::new().feed(input, &LIMITS, &mut self.request).expect("it is valid");
    }

    pub fn parse_reply(&mut self) {
        let asked = AskedMethod::from(self.request.method());
        ResponseParser::new().feed(REPLY, &LIMITS, asked, &mut self.reply).expect("it is valid");
    }

    pub fn encode_request(&mut self) -> usize {
        let to = UpstreamHead {
            forwarded: Forwarded::Replace,
            client: &self.client,
            scheme: Scheme::Http,
            request_id: b"0123456789abcdef0123456789abcdef",
            default_host: "10.0.0.1:80",
            expect_continue: false,
            closes: false,
            upgrades: &[],
            changes: &CHANGES,
        };
        self.up.clear();
        encode_request(&self.request, &to, &mut self.up);
        self.up.len()
    }

    pub fn encode_reply(&mut self) -> usize {
        let version = self.request.version();
        let framing = reply_framing(&self.reply, version);
        let to = DownstreamHead { version, framing, keep_alive: self.request.keep_alive(), changes: &CHANGES };
        self.down.clear();
        encode_response(&self.reply, &to, &mut self.down);
        self.down.len()
    }
}

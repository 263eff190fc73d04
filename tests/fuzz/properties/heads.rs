//! What must hold of every head that we write, over whichever version of HTTP its message came.

use standfast::config::{Forwarded, HeaderChanges};
use standfast::wire::h1::*;
use standfast::wire::{Fields, Known};

use super::tools::shown;

/// Large enough for whatever we make of a head that was within its limits.
pub const LARGE: HeadLimits = HeadLimits { bytes: 1 << 24, fields: 1000 };
/// Protocols that a route lets pass; the second one never passes.
pub const UPGRADES: [&str; 3] = ["websocket", "h2c", "foo/1"];

/// How a request is passed on, chosen by a seed.
pub struct Way {
    pub client: ClientAddress,
    pub scheme: Scheme,
    pub forwarded: Forwarded,
    pub changes: HeaderChanges,
    pub upgrades: Vec<String>,
    pub expect_continue: bool,
}

impl Way {
    pub fn of(seed: u64) -> Way {
        let client = if seed & 1 == 0 { "9.9.9.9" } else { "2001:db8::1" };
        Way {
            client: ClientAddress::new(client.parse().expect("an address")),
            scheme: if seed & 2 == 0 { Scheme::Http } else { Scheme::Https },
            forwarded: [Forwarded::Append, Forwarded::Replace, Forwarded::Off][(seed >> 2) as usize % 3],
            changes: changes(seed >> 8),
            upgrades: if seed & 64 == 0 { UPGRADES.map(str::to_owned).into() } else { Vec::new() },
            expect_continue: seed & 128 == 0,
        }
    }

    fn changes_nothing(&self) -> bool {
        self.changes == HeaderChanges::default()
    }

    fn to<'w>(&'w self, request_id: &'w [u8]) -> UpstreamHead<'w> {
        UpstreamHead {
            forwarded: self.forwarded,
            client: &self.client,
            scheme: self.scheme,
            request_id,
            default_host: "10.0.0.1:80",
            expect_continue: self.expect_continue,
            closes: false,
            upgrades: &self.upgrades,
            changes: &self.changes,
        }
    }
}

/// A route's changes of a head: mostly none, and some that try what is not theirs to change.
pub fn changes(seed: u64) -> HeaderChanges {
    let pairs =
        |pairs: &[(&str, &str)]| pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    match seed % 4 {
        1 => HeaderChanges {
            set: pairs(&[("X-A", "new"), ("Host", "inner"), ("Content-Length", "9")]),
            add: pairs(&[("X-B", "2"), ("Transfer-Encoding", "chunked"), ("Connection", "close")]),
            remove: names(&["cookie", "content-length", "transfer-encoding", "host", "x-request-id"]),
        },
        2 => HeaderChanges {
            set: pairs(&[("X-Forwarded-For", "me"), ("X-Request-Id", "z")]),
            add: pairs(&[("host", "second"), ("X-A", "3")]),
            remove: names(&["forwarded", "x-forwarded-host", "upgrade", "te", "trailer"]),
        },
        _ => HeaderChanges::default(),
    }
}

/// Every field, as bytes that can be compared.
pub fn tell(fields: &Fields, out: &mut Vec<u8>) {
    for field in fields.iter() {
        out.extend_from_slice(field.name);
        out.push(b':');
        out.extend_from_slice(field.value);
        out.extend_from_slice(&[0, field.known as u8, u8::from(field.hop_by_hop)]);
    }
}

/// One head, its lines ended by CR LF, without a control byte, and nothing behind its end.
pub fn is_one_head(out: &[u8]) {
    assert!(out.ends_with(b"\r\n\r\n"), "no end: {}", shown(out));
    for (at, byte) in out.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(out.get(at + 1), Some(&b'\n'), "a bare CR: {}", shown(out)),
            b'\n' => assert!(at > 0 && out[at - 1] == b'\r', "a bare LF: {}", shown(out)),
            b'\t' => {}
            0..=31 | 127 => panic!("control byte {byte}: {}", shown(out)),
            _ => {}
        }
    }
    let end = out.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
    assert_eq!(end, Some(out.len()), "two heads in one: {}", shown(out));
}

/// Names and values.
type Pairs = Vec<(String, Vec<u8>)>;

/// A head as `httparse` reads it: the words of its first line, and its fields.
pub fn second_reader(out: &[u8], is_request: bool) -> (Vec<String>, Pairs) {
    let mut room = [httparse::EMPTY_HEADER; 600];
    let (words, headers) = if is_request {
        let mut request = httparse::Request::new(&mut room);
        let read = request.parse(out);
        assert_eq!(read, Ok(httparse::Status::Complete(out.len())), "{}", shown(out));
        let words =
            [request.method.unwrap_or(""), request.path.unwrap_or(""), &request.version.unwrap_or(9).to_string()];
        (words.map(str::to_owned).to_vec(), request.headers.to_vec())
    } else {
        let mut response = httparse::Response::new(&mut room);
        let read = response.parse(out);
        assert_eq!(read, Ok(httparse::Status::Complete(out.len())), "{}", shown(out));
        (
            vec![response.code.unwrap_or(0).to_string(), response.version.unwrap_or(9).to_string()],
            response.headers.to_vec(),
        )
    };
    (words, headers.iter().map(|header| (header.name.to_owned(), header.value.to_vec())).collect())
}

fn count(fields: &Pairs, name: &str) -> usize {
    fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).count()
}

/// What was accepted states its length once at most.
fn is_unambiguous(fields: &Fields) {
    let count = |name: &str| fields.get_all(name).count();
    let lengths = (count("content-length"), count("transfer-encoding"));
    assert!(matches!(lengths, (0, 0 | 1) | (1, 0)), "lengths {lengths:?}");
}

/// What is sent upstream says what the client said, to ourselves and to another reader.
pub fn check_request(head: &RequestHead, way: &Way) {
    is_unambiguous(head.fields());
    let hosts = head.fields().get_all("host").count();
    assert!(hosts <= 1, "{hosts} hosts");
    let id = head.request_id().unwrap_or(b"made").to_vec();
    let to = way.to(&id);
    let mut out = Vec::new();
    encode_request(head, &to, &mut out);
    is_one_head(&out);
    let sent = read_by_ourselves(head, way, &out);
    let (words, fields) = second_reader(&out, true);
    assert_eq!(words[1].split('?').next().map(str::as_bytes), Some(head.path_bytes()));
    assert_eq!(count(&fields, "host"), 1, "{}", shown(&out));
    framing_of_a_request(head, &fields, &out);
    for name in ["connection", "upgrade", "x-request-id"] {
        assert!(count(&fields, name) <= 1, "{name}: {}", shown(&out));
    }
    let hops: Vec<_> = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("standfast-hops")).collect();
    let claimed = head
        .fields()
        .get_all("standfast-hops")
        .filter_map(|value| std::str::from_utf8(value).ok()?.parse::<u16>().ok());
    let hop = claimed.max().map_or(1, |most| u32::from(most) + 1).to_string();
    assert!(matches!(&hops[..], [(_, value)] if *value == hop.as_bytes()), "hops {hop}: {}", shown(&out));
    if way.changes_nothing() {
        end_to_end(head, &fields, &out);
        about_the_client(head, way, &fields, &out);
        sent_once_more(head, &sent, &to, &out);
    }
}

/// We would accept what we send, and understand the same.
fn read_by_ourselves(head: &RequestHead, way: &Way, out: &[u8]) -> RequestHead {
    let mut sent = RequestHead::new();
    let read = RequestParser::new().feed(out, &LARGE, &mut sent);
    assert_eq!(read, Ok(Progress::Complete(out.len())), "we would refuse it: {}", shown(out));
    assert_eq!((sent.method_bytes(), sent.path_bytes()), (head.method_bytes(), head.path_bytes()), "{}", shown(out));
    let query = |head: &RequestHead| head.path_and_query().split_once('?').map(|(_, query)| query.to_owned());
    assert_eq!(query(&sent), query(head), "{}", shown(out));
    assert_eq!((sent.is_asterisk(), sent.body()), (head.is_asterisk(), head.body()), "{}", shown(out));
    assert!(sent.keep_alive() && sent.accepts_trailers() == head.accepts_trailers(), "{}", shown(out));
    let sets_host = way.changes.set.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    let authority = match head.authority() {
        _ if sets_host => "inner",
        "" => "10.0.0.1:80",
        authority => authority,
    };
    assert_eq!(sent.authority(), authority, "{}", shown(out));
    assert!(offered(&sent, &way.upgrades).eq(offered(head, &way.upgrades)), "{}", shown(out));
    assert_eq!(sent.asks_for_upgrade(), offered(head, &way.upgrades).next().is_some(), "{}", shown(out));
    assert_eq!(sent.expects_continue(), head.expects_continue() && way.expect_continue, "{}", shown(out));
    for field in sent.fields().iter() {
        let ends_here = matches!(
            field.known,
            Known::Lookalike | Known::Proxy | Known::KeepAlive | Known::ProxyConnection | Known::Http2Settings
        );
        assert!(!ends_here, "{} leaves: {}", shown(field.name), shown(out));
        assert!(field.known != Known::Te || field.value == b"trailers", "{}", shown(out));
    }
    let h2c = |value: &[u8]| value.to_ascii_lowercase().windows(2).any(|w| w == b"h2");
    assert!(!sent.fields().known(Known::Upgrade).any(h2c), "{}", shown(out));
    sent
}

/// One statement of the length, and the right one.
fn framing_of_a_request(head: &RequestHead, fields: &Pairs, out: &[u8]) {
    let (length, coding) = (count(fields, "content-length"), count(fields, "transfer-encoding"));
    match head.body() {
        BodyLength::None => assert_eq!((length, coding), (0, 0), "{}", shown(out)),
        BodyLength::Length(bytes) => {
            assert_eq!((length, coding), (1, 0), "{}", shown(out));
            let stated = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            assert_eq!(stated.map(|(_, value)| value.clone()), Some(bytes.to_string().into_bytes()), "{}", shown(out));
        }
        BodyLength::Chunked => assert_eq!((length, coding), (0, 1), "{}", shown(out)),
        BodyLength::UntilClose => panic!("a request until close"),
    }
}

/// Fields that mean nothing to a proxy pass in order, except those that Connection names (RFC 9110 §7.6.1).
fn end_to_end(head: &RequestHead, fields: &Pairs, out: &[u8]) {
    let connection = head.fields().iter().filter(|field| field.name.eq_ignore_ascii_case(b"connection"));
    let options: Vec<&[u8]> =
        connection.flat_map(|field| field.value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii).collect();
    let named = |name: &[u8]| options.iter().any(|option| option.eq_ignore_ascii_case(name));
    let of_others = |name: &[u8]| Known::of(name) == Known::Other;
    let wanted: Vec<_> = head
        .fields()
        .iter()
        .filter(|field| of_others(field.name) && !named(field.name))
        .map(|field| (field.name, field.value))
        .collect();
    let found: Vec<_> =
        fields.iter().map(|(name, value)| (name.as_bytes(), &value[..])).filter(|(name, _)| of_others(name)).collect();
    assert_eq!(found, wanted, "{}", shown(out));
}

/// The table of `encode_request`, read naively.
fn about_the_client(head: &RequestHead, way: &Way, fields: &Pairs, out: &[u8]) {
    let claims = |wanted: &str| -> Vec<Vec<u8>> { head.fields().get_all(wanted).map(<[u8]>::to_vec).collect() };
    let (peer, authority) = (way.client.as_str(), head.authority());
    let scheme = if way.scheme == Scheme::Http { "http" } else { "https" };
    let append = way.forwarded == Forwarded::Append;
    let mut wanted: Vec<(String, Vec<u8>)> = Vec::new();
    if way.forwarded != Forwarded::Off {
        let mut hops = if append { claims("x-forwarded-for") } else { Vec::new() };
        hops.retain(|hop| !hop.is_empty());
        hops.push(peer.as_bytes().to_vec());
        wanted.push(("x-forwarded-for".into(), hops.join(&b", "[..])));
        wanted.push(("x-forwarded-proto".into(), scheme.into()));
        let hosts = if append { claims("x-forwarded-host") } else { Vec::new() };
        if hosts.is_empty() && !authority.is_empty() {
            wanted.push(("x-forwarded-host".into(), authority.into()));
        }
        wanted.extend(hosts.into_iter().map(|host| ("x-forwarded-host".into(), host)));
    }
    if append {
        let elements = claims("forwarded");
        if !elements.is_empty() {
            let node = if peer.contains(':') { format!("\"[{peer}]\"") } else { peer.to_owned() };
            let host = if authority.is_empty() { String::new() } else { format!(";host=\"{authority}\"") };
            wanted.push(("forwarded".into(), format!("for={node}{host};proto={scheme}").into_bytes()));
        }
        wanted.extend(elements.into_iter().map(|element| ("forwarded".into(), element)));
        for field in head.fields().iter() {
            let name = String::from_utf8_lossy(field.name).to_ascii_lowercase();
            let ours = matches!(&name[..], "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host");
            let other = name == "x-real-ip"
                || name.len() > 12 && name.starts_with("x-forwarded-") && !name.contains('_') && !ours;
            if other {
                wanted.push((name, field.value.to_vec()));
            }
        }
    }
    let family = |name: &str| {
        let name = name.to_ascii_lowercase().replace('_', "-");
        name == "forwarded" || name == "x-real-ip" || name.len() > 12 && name.starts_with("x-forwarded-")
    };
    let mut found: Vec<(String, Vec<u8>)> = fields
        .iter()
        .filter(|(name, _)| family(name))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .collect();
    // Values of one name keep their order, ours is the last of Forwarded's.
    wanted.sort_by(|a, b| a.0.cmp(&b.0));
    found.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(own) = wanted.iter().position(|(name, _)| name == "forwarded") {
        let end = wanted.iter().filter(|(name, _)| name == "forwarded").count() + own;
        wanted[own..end].rotate_left(1);
    }
    assert_eq!(found, wanted, "{}", shown(out));
}

/// What was sent once is sent again as it is, but for the count of hops.
fn sent_once_more(head: &RequestHead, sent: &RequestHead, to: &UpstreamHead<'_>, out: &[u8]) {
    if to.forwarded == Forwarded::Append || head.authority().is_empty() {
        return;
    }
    let mut again = Vec::new();
    encode_request(sent, to, &mut again);
    let lines = |out: &[u8]| {
        let lines =
            out.split(|byte| *byte == b'\n').filter(|line| !line.to_ascii_lowercase().starts_with(b"standfast-hops:"));
        let mut lines: Vec<Vec<u8>> = lines.map(<[u8]>::to_vec).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(out), lines(&again), "{} / {}", shown(out), shown(&again));
}

/// What a client is answered, over every version.
pub fn check_reply(head: &ResponseHead, asked: AskedMethod, seed: u64) {
    is_unambiguous(head.fields());
    let changes = changes(seed >> 8);
    if head.is_interim() {
        let mut out = Vec::new();
        encode_interim(head, &mut out);
        is_one_head(&out);
        let (_, fields) = second_reader(&out, false);
        for name in ["content-length", "transfer-encoding", "connection"] {
            assert_eq!(count(&fields, name), 0, "{name}: {}", shown(&out));
        }
        return;
    }
    for version in [Version::Http11, Version::Http10] {
        let framing = reply_framing(head, version);
        let mut out = Vec::new();
        encode_response(
            head,
            &DownstreamHead { version, framing, keep_alive: seed & 1 == 0, changes: &changes },
            &mut out,
        );
        is_one_head(&out);
        let (words, fields) = second_reader(&out, false);
        assert_eq!(words, [head.status().to_string(), "1".to_owned()], "{}", shown(&out));
        let (length, coding) = (count(&fields, "content-length"), count(&fields, "transfer-encoding"));
        assert!(length + coding <= 1, "{}", shown(&out));
        assert!(coding == 0 || version != Version::Http10, "{}", shown(&out));
        if head.switches() {
            assert_eq!((length, coding, count(&fields, "connection")), (0, 0, 1), "{}", shown(&out));
            continue;
        }
        assert!(head.status() != 204 || length + coding == 0, "{}", shown(&out));
        assert_eq!(count(&fields, "upgrade"), 0, "{}", shown(&out));
        let closes = fields.iter().any(|(name, value)| name.eq_ignore_ascii_case("connection") && value == b"close");
        assert!(closes || framing != BodyLength::UntilClose, "{}", shown(&out));
        let mut back = ResponseHead::new();
        let read = ResponseParser::new().feed(&out, &LARGE, asked, &mut back);
        assert_eq!(read, Ok(Progress::Complete(out.len())), "we would refuse it: {}", shown(&out));
        assert_eq!(
            (back.body(), back.status(), back.reason()),
            (framing, head.status(), head.reason()),
            "{}",
            shown(&out)
        );
        if changes == HeaderChanges::default() {
            let plain = |head: &ResponseHead| -> Vec<_> {
                let fields = head.fields().iter().filter(|field| field.known == Known::Other && !field.hop_by_hop);
                fields.map(|field| (field.name.to_vec(), field.value.to_vec())).collect()
            };
            assert_eq!(plain(&back), plain(head), "{}", shown(&out));
        }
        let ends_here =
            |known| matches!(known, Known::KeepAlive | Known::ProxyConnection | Known::Http2Settings | Known::Te);
        assert!(!back.fields().iter().any(|field| ends_here(field.known)), "{}", shown(&out));
    }
    if !head.switches() {
        let reply = standfast::wire::h2::reply(head, &changes);
        assert_eq!(reply.status().as_u16(), head.status());
        for name in reply.headers().keys() {
            assert!(!Known::of(name.as_str().as_bytes()).is_hop_by_hop(), "{name} over HTTP/2");
        }
        assert!(reply.headers().get_all("content-length").iter().count() <= 1);
    }
}

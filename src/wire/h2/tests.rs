//! The translation as a whole: valid requests mean the same in HTTP/1, hostile ones are refused, floods are told from honest
//! clients, nothing panics.
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use proptest::prelude::*;

use super::*;
use crate::config::{Forwarded, HeaderChanges};
use crate::time::MonoTime;
use crate::wire::Fields;
use crate::wire::h1::{
    AskedMethod, BodyLength, ClientAddress, Error, HeadLimits, OwnReply, Progress, RequestHead, RequestParser,
    ResponseHead, ResponseParser, Scheme, UpstreamHead, Version, encode_request,
};

const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 32 };

fn parts(method: &str, uri: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn read(parts: &Parts, ends: bool) -> Result<RequestHead, Error> {
    let mut head = RequestHead::new();
    read_request(parts, ends, &LIMITS, &mut head).map(|()| head)
}

fn as_http1(head: &RequestHead) -> Vec<u8> {
    let client = ClientAddress::new("9.9.9.9".parse().unwrap());
    let to = UpstreamHead {
        forwarded: Forwarded::Off,
        client: &client,
        scheme: Scheme::Https,
        request_id: b"id",
        default_host: "",
        expect_continue: false,
        closes: false,
        upgrades: &[],
        changes: &HeaderChanges::default(),
    };
    let mut out = Vec::new();
    encode_request(head, &to, &mut out);
    out
}

fn parse(text: &[u8]) -> (RequestHead, usize) {
    let mut head = RequestHead::new();
    let limits = HeadLimits { bytes: 1 << 20, fields: 1000 };
    match RequestParser::new().feed(text, &limits, &mut head) {
        Ok(Progress::Complete(used)) => (head, used),
        other => panic!("{other:?}: {}", text.escape_ascii()),
    }
}

#[test]
fn a_plain_request_is_understood() {
    let head = read(&parts("GET", "https://a.b:81/x/y?q", &[("accept", "*/*"), ("te", "trailers")]), true).unwrap();
    assert_eq!((head.method_name(), head.path(), head.path_and_query()), ("GET", "/x/y", "/x/y?q"));
    assert_eq!((head.authority(), head.host()), ("a.b:81", "a.b"));
    assert_eq!((head.version(), head.version().as_str(), head.body()), (Version::Http2, "HTTP/2.0", BodyLength::None));
    assert!(head.accepts_trailers() && head.keep_alive());
    assert_eq!(
        String::from_utf8(as_http1(&head)).unwrap(),
        "GET /x/y?q HTTP/1.1\r\naccept: */*\r\nHost: a.b:81\r\nX-Request-Id: id\r\nStandfast-Hops: 1\r\nTE: trailers\r\nConnection: TE\r\n\r\n"
    );
}

#[test]
fn the_authority_overrides_host_and_one_of_them_must_be_there() {
    let head = read(&parts("GET", "http://real/", &[("host", "forged")]), true).unwrap();
    assert_eq!(head.host(), "real");
    assert_eq!(parse(&as_http1(&head)).0.host(), "real");
    assert_eq!(read(&parts("GET", "/", &[("host", "a")]), true).unwrap().host(), "a");
    for (fields, error) in [
        (&[][..], Error::HostMissing),
        (&[("host", "a"), ("host", "a")], Error::HostRepeated),
        (&[("host", "a b")], Error::HostInvalid),
    ] {
        assert_eq!(read(&parts("GET", "/", fields), true).err(), Some(error));
    }
    assert_eq!(
        read(&parts("GET", "http://a/", &[("host", "a"), ("host", "a")]), true).err(),
        Some(Error::HostRepeated)
    );
    assert_eq!(read(&parts("GET", "http://a/", &[("host", "a/b")]), true).err(), Some(Error::HostInvalid));
    assert_eq!(read(&parts("GET", "http://u@a/", &[]), true).err(), Some(Error::HostInvalid));
    assert_eq!(read(&parts("GET", "http://a!b/", &[]), true).err(), Some(Error::HostInvalid));
}

#[test]
fn what_two_readers_could_read_in_two_ways_is_refused() {
    for (method, uri, fields, error) in [
        ("CONNECT", "a:80", &[][..], Error::Connect),
        ("GET", "ftp://a/", &[], Error::Target),
        ("GET", "http://a/../b", &[], Error::DotSegment),
        ("GET", "http://a/%2e%2e/b", &[], Error::DotSegment),
        ("GET", "http://a/é", &[], Error::Target),
        ("GET", "http://a/", &[("transfer-encoding", "chunked")], Error::FieldName),
        ("GET", "http://a/", &[("connection", "x")], Error::FieldName),
        ("GET", "http://a/", &[("keep-alive", "1")], Error::FieldName),
        ("GET", "http://a/", &[("proxy-connection", "x")], Error::FieldName),
        ("GET", "http://a/", &[("upgrade", "h2c")], Error::FieldName),
        ("GET", "http://a/", &[("http2-settings", "x")], Error::FieldName),
        ("GET", "http://a/", &[("te", "gzip")], Error::FieldName),
        ("GET", "http://a/", &[("x", " a")], Error::FieldValue),
        ("GET", "http://a/", &[("x", "a\t")], Error::FieldValue),
        ("GET", "http://a/", &[("content-length", "1")], Error::ContentLength),
        ("GET", "http://a/", &[("content-length", "+0")], Error::ContentLength),
        ("GET", "http://a/", &[("content-length", "0"), ("content-length", "0")], Error::ContentLengthRepeated),
        ("GET", "http://a/", &[("expect", "miracles")], Error::Expectation),
    ] {
        assert_eq!(read(&parts(method, uri, fields), true).err(), Some(error), "{method} {uri} {fields:?}");
    }
    let head = read(&parts("GET", "http://a/", &[("transfer_encoding", "chunked")]), true).unwrap();
    assert_eq!(parse(&as_http1(&head)).0.fields().get("transfer_encoding"), None, "nobody sees a look-alike");
    assert_eq!(read(&parts("GET", "*", &[("host", "a")]), true).err(), Some(Error::Target));
    let star = read(&parts("OPTIONS", "*", &[("host", "a")]), true).unwrap();
    assert!(star.is_asterisk());
    assert!(as_http1(&star).starts_with(b"OPTIONS * HTTP/1.1\r\n"));
}

#[test]
fn limits_hold() {
    let long = "x".repeat(LIMITS.bytes);
    assert_eq!(read(&parts("GET", &format!("http://a/{long}"), &[]), true).err(), Some(Error::TargetTooLong));
    assert_eq!(read(&parts("GET", "http://a/", &[("x", &long)]), true).err(), Some(Error::HeadTooLarge));
    let names: Vec<_> = (0..LIMITS.fields + 1).map(|n| format!("x{n}")).collect();
    let fields: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(read(&parts("GET", "http://a/", &fields), true).err(), Some(Error::TooManyFields));
    assert!(read(&parts("GET", "http://a/", &fields[1..]), true).is_ok());
}

#[test]
fn the_body_ends_where_the_stream_says_and_the_length_agrees() {
    for (fields, ends, body) in [
        (&[][..], true, BodyLength::None),
        (&[], false, BodyLength::Chunked),
        (&[("content-length", "0")], true, BodyLength::Length(0)),
        (&[("content-length", "7")], false, BodyLength::Length(7)),
    ] {
        assert_eq!(read(&parts("POST", "http://a/", fields), ends).unwrap().body(), body);
    }
}

#[test]
fn cookie_crumbs_become_one_field() {
    let head = read(&parts("GET", "http://a/", &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]), true).unwrap();
    assert_eq!(head.fields().get_all("cookie").collect::<Vec<_>>(), [b"a=1; b=2"]);
    assert!(as_http1(&head).windows(19).any(|line| line == b"cookie: a=1; b=2\r\nx"));
}

fn reply_of(text: &str, asked: AskedMethod) -> ResponseHead {
    let mut head = ResponseHead::new();
    ResponseParser::new().feed(text.as_bytes(), &HeadLimits::REPLY, asked, &mut head).unwrap();
    head
}

fn pairs(map: &HeaderMap) -> Vec<(&str, &str)> {
    map.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
}

#[test]
fn a_reply_loses_what_belongs_to_its_connection() {
    let head = reply_of(
        "HTTP/1.1 200 OK\r\nServer: x\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nUpgrade: h2c\r\n\
         Content-Length: 5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX-Old: 1\r\nTrailer: T\r\n\r\n",
        AskedMethod::Other,
    );
    let changes = HeaderChanges {
        set: vec![("X-Set".into(), "s".into())],
        add: vec![("X-Add".into(), "a".into())],
        remove: vec!["x-old".into()],
    };
    let response = reply(&head, &changes);
    assert_eq!(response.status(), 200);
    let mut fields = pairs(response.headers());
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            ("content-length", "5"),
            ("server", "x"),
            ("set-cookie", "a"),
            ("set-cookie", "b"),
            ("x-add", "a"),
            ("x-set", "s")
        ]
    );
    assert_eq!(reply_framing(&head), BodyLength::Length(5));
}

#[test]
fn replies_of_unknown_length_end_with_the_stream() {
    let head = reply_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n", AskedMethod::Other);
    assert_eq!(reply_framing(&head), BodyLength::UntilClose);
    assert_eq!(pairs(reply(&head, &HeaderChanges::default()).headers()), [("trailer", "T")]);
    let head = reply_of("HTTP/1.0 200 OK\r\n\r\n", AskedMethod::Other);
    assert_eq!(reply_framing(&head), BodyLength::UntilClose);
    let head = reply_of("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", AskedMethod::Head);
    assert_eq!(reply_framing(&head), BodyLength::None);
    assert_eq!(pairs(reply(&head, &HeaderChanges::default()).headers()), [("content-length", "9")]);
}

#[test]
fn interim_replies_pass_and_our_own_are_whole() {
    let head = reply_of("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nConnection: close\r\n\r\n", AskedMethod::Other);
    let response = interim(&head).unwrap();
    assert_eq!((response.status().as_u16(), pairs(response.headers())), (103, vec![("link", "</x>")]));
    let reply = OwnReply { status: 503, content_type: "text/plain", body: b"no", unix_seconds: 0 };
    let response =
        own_reply(&reply, [("Retry-After", "1"), ("connection", "close"), ("Content-Length", "9"), ("a b", "")]);
    assert_eq!(
        pairs(response.headers()),
        [
            ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("content-type", "text/plain"),
            ("retry-after", "1"),
            ("content-length", "2")
        ]
    );
    let reply = OwnReply { status: 204, ..reply };
    assert_eq!(own_reply(&reply, []).headers().len(), 1);
}

#[test]
fn trailers_pass_without_what_may_not_stand_there() {
    let mut map = HeaderMap::new();
    for (name, value) in [("grpc-status", "0"), ("content-length", "5"), ("authorization", "x"), ("x-a", "1")] {
        map.append(name, HeaderValue::from_static(value));
    }
    let mut fields = Fields::new();
    read_trailers(&map, &mut fields).unwrap();
    assert_eq!(pairs(&trailers(&fields)), [("grpc-status", "0"), ("x-a", "1")]);
    map.append("x-b", HeaderValue::from_static(" x"));
    assert_eq!(read_trailers(&map, &mut fields), Err(Error::FieldValue));
    let many: HeaderMap =
        (0..65).map(|n| (HeaderName::try_from(format!("x{n}")).unwrap(), HeaderValue::from_static(""))).collect();
    assert_eq!(read_trailers(&many, &mut fields), Err(Error::TrailersTooLarge));
}

fn field() -> impl Strategy<Value = (String, String)> {
    let name = prop_oneof![
        "[a-z0-9!#$%&'*+.^_`|~-]{1,20}",
        Just("cookie".to_owned()),
        Just("x-forwarded-for".to_owned()),
        Just("x-request-id".to_owned()),
        Just("expect".to_owned()),
        Just("host".to_owned()),
        Just("content-length".to_owned()),
        Just("transfer-encoding".to_owned()),
        Just("connection".to_owned()),
        Just("te".to_owned()),
    ];
    let value = prop_oneof!["[ -~\t]{0,30}", "[0-9]{1,20}", Just("trailers".to_owned()), Just("a.example".to_owned())];
    (name, value)
}

proptest! {
    /// What passes means to the strict reader of HTTP/1 exactly what it meant to us: whole, nothing behind it, the same
    /// method, target, host, length and fields.
    #[test]
    fn what_passes_means_the_same_in_http1(
        method in prop_oneof![Just("GET"), Just("POST"), Just("OPTIONS"), Just("PURGE")],
        path in "/[a-zA-Z0-9._~%?/;=&-]{0,30}",
        host in prop_oneof![Just("a.example"), Just("a:80"), Just("[::1]:8"), Just("A_b")],
        fields in prop::collection::vec(field(), 0..12),
        ends: bool,
    ) {
        let uri = format!("http://{host}{path}");
        let mut builder = Request::builder().method(method).uri(uri);
        for (name, value) in &fields {
            builder = builder.header(name, value);
        }
        let Ok(request) = builder.body(()) else { return Ok(()) };
        let Ok(head) = read(&request.into_parts().0, ends) else { return Ok(()) };
        let text = as_http1(&head);
        let (seen, used) = parse(&text);
        prop_assert_eq!(used, text.len());
        prop_assert_eq!(seen.method_name(), method);
        prop_assert_eq!(seen.path_and_query(), path);
        prop_assert_eq!((seen.authority(), seen.host()), (host, head.host()));
        prop_assert_eq!(seen.body(), head.body());
        let end_to_end = |head: &RequestHead| -> Vec<(Vec<u8>, Vec<u8>)> {
            let mut all: Vec<_> = head
                .fields()
                .iter()
                .filter(|field| field.known == crate::wire::Known::Other)
                .map(|field| (field.name.to_vec(), field.value.to_vec()))
                .collect();
            all.sort();
            all
        };
        prop_assert_eq!(end_to_end(&seen), end_to_end(&head));
    }

    #[test]
    fn nothing_that_the_engine_can_give_panics(
        method in prop::collection::vec(any::<u8>(), 0..8),
        uri in prop::collection::vec(any::<u8>(), 0..40),
        fields in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..10), prop::collection::vec(any::<u8>(), 0..20)), 0..40),
        ends: bool,
    ) {
        let (mut parts, ()) = Request::new(()).into_parts();
        if let Ok(method) = Method::from_bytes(&method) {
            parts.method = method;
        }
        if let Ok(uri) = http::Uri::try_from(uri) {
            parts.uri = uri;
        }
        for (name, value) in fields {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&name), HeaderValue::from_bytes(&value)) {
                parts.headers.append(name, value);
            }
        }
        let mut trailers = Fields::new();
        let _ = read_trailers(&parts.headers, &mut trailers);
        if let Ok(head) = read(&parts, ends) {
            let text = as_http1(&head);
            let (seen, used) = parse(&text);
            prop_assert_eq!((used, seen.host()), (text.len(), head.host()));
        }
    }

    #[test]
    fn the_meter_sees_the_same_however_the_bytes_are_cut(
        frames in prop::collection::vec((0_u8..12, any::<u8>(), 0_usize..40), 0..60),
        cuts in prop::collection::vec(1_usize..30, 1..60),
    ) {
        let mut bytes = PREFACE.to_vec();
        frames.iter().for_each(|&(kind, flags, len)| bytes.extend(frame(kind, flags, len)));
        let mut whole = meter();
        let expected = whole.feed(&bytes, || at(0));
        let mut pieces = meter();
        let mut result = Ok(());
        let mut rest = &bytes[..];
        for cut in cuts.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, more) = rest.split_at(cut.min(rest.len()));
            result = pieces.feed(piece, || at(0));
            rest = more;
        }
        prop_assert_eq!(result, expected);
        prop_assert_eq!(pieces.is_in_head(), whole.is_in_head());
    }
}

fn at(ms: u64) -> MonoTime {
    MonoTime::ZERO.after(Duration::from_millis(ms))
}

fn frame(kind: u8, flags: u8, len: usize) -> Vec<u8> {
    [&[0, (len >> 8) as u8, len as u8, kind, flags, 0, 0, 0, 1][..], &vec![0; len]].concat()
}

fn meter() -> ClientMeter {
    ClientMeter::new(at(0))
}

fn begun() -> ClientMeter {
    let mut meter = meter();
    meter.feed(PREFACE, || at(0)).unwrap();
    meter
}

#[test]
fn every_flood_is_found() {
    for (excess, kind, flags, len) in [
        (H2Excess::Resets, 3, 0, 4),
        (H2Excess::Pings, 6, 0, 8),
        (H2Excess::Settings, 4, 0, 6),
        (H2Excess::Priorities, 2, 0, 5),
        (H2Excess::WindowUpdates, 8, 0, 4),
        (H2Excess::EmptyData, 0, 0, 0),
        (H2Excess::OtherFrames, 77, 0, 1),
        (H2Excess::Head, 9, 0, 0),
    ] {
        let mut meter = begun();
        let flood = (0..5000).find_map(|_| meter.feed(&frame(kind, flags, len), || at(10)).err());
        assert_eq!(flood, Some(excess));
        assert_eq!(meter.feed(b"", || at(1_000_000)), Err(excess), "an excess stays one");
    }
}

#[test]
fn honest_clients_are_left_alone() {
    // A page that is left, ten times a second apart.
    let mut meter = begun();
    for second in 0..10 {
        let resets = [frame(1, 5, 30), frame(3, 0, 4)].concat().repeat(100);
        meter.feed(&resets, || at(second * 10_000)).unwrap();
    }
    // Streams that are cancelled when enough of the answer has come.
    for _ in 0..100_000 {
        meter.feed(&frame(1, 5, 30), || at(100_000)).unwrap();
        meter.answered();
        meter.feed(&frame(3, 0, 4), || at(100_000)).unwrap();
    }
    // A download: window updates and pings for what is sent. An upload: data.
    for _ in 0..100_000 {
        meter.sent(64 * 1024);
        meter.feed(&[frame(8, 0, 4), frame(8, 0, 4), frame(6, 0, 8)].concat(), || at(100_000)).unwrap();
        meter.feed(&[frame(0, 0, 1), frame(0, 1, 0)].concat(), || at(100_000)).unwrap();
    }
    // Keep-alive pings for days.
    for second in 0..100_000 {
        meter.feed(&frame(6, 0, 8), || at(200_000 + second * 1000)).unwrap();
    }
}

#[test]
fn a_head_is_open_until_its_last_frame_is_whole() {
    let mut meter = begun();
    let check = |meter: &mut ClientMeter, bytes: &[u8], open: bool| {
        meter.feed(bytes, || at(0)).unwrap();
        assert_eq!(meter.is_in_head(), open);
    };
    let head = frame(1, 0, 10);
    check(&mut meter, &head[..8], false);
    check(&mut meter, &head[8..], true);
    let rest = frame(9, 4, 10);
    check(&mut meter, &rest[..15], true);
    check(&mut meter, &rest[15..], false);
    check(&mut meter, &frame(0, 0, 100)[..50], false);
}

#[test]
fn the_preface_is_told_at_every_byte() {
    for len in 0..PREFACE.len() {
        assert_eq!(PrefaceMatch::of(&PREFACE[..len]), PrefaceMatch::Partial);
        let mut wrong = PREFACE[..=len].to_vec();
        wrong[len] ^= 1;
        assert_eq!(PrefaceMatch::of(&wrong), PrefaceMatch::No);
    }
    assert_eq!(PrefaceMatch::of(&[PREFACE, b"more"].concat()), PrefaceMatch::Whole);
    assert_eq!(PrefaceMatch::of(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n"), PrefaceMatch::No);
}

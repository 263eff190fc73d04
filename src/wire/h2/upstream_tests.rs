//! The endpoint's half, held against HTTP/1: what is said in HTTP/2 means the same.
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{read_reply, upstream_request};
use crate::config::{Forwarded, HeaderChanges};
use crate::wire::h1::{
    AskedMethod, BodyLength, ClientAddress, DownstreamHead, Error, HeadLimits, Progress, RequestHead, RequestParser,
    ResponseHead, ResponseParser, Scheme, UpstreamHead, Version, encode_request, encode_response, reply_framing,
};

const LIMITS: HeadLimits = HeadLimits::REPLY;

fn lines(input: &[u8]) -> Option<(RequestHead, Vec<u8>)> {
    let mut head = RequestHead::new();
    let Ok(Progress::Complete(_)) = RequestParser::new().feed(input, &LIMITS, &mut head) else { return None };
    let client = ClientAddress::new("9.9.9.9".parse().unwrap());
    let to = UpstreamHead {
        forwarded: Forwarded::Append,
        client: &client,
        scheme: Scheme::Http,
        request_id: b"id",
        default_host: "10.0.0.1:80",
        expect_continue: true,
        closes: false,
        upgrades: &[],
        changes: &HeaderChanges::default(),
    };
    let mut out = Vec::new();
    encode_request(&head, &to, &mut out);
    Some((head, out))
}

fn sent(input: &str) -> http::Request<()> {
    upstream_request(lines(input.as_bytes()).expect("a request").1, Scheme::Https).unwrap()
}

#[test]
fn what_describes_the_connection_ends_with_it() {
    let request = sent(
        "POST /a?b HTTP/1.1\r\nHost: Shop.example:81\r\nTransfer-Encoding: chunked\r\nTE: gzip, trailers\r\n\
         Connection: TE, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nUpgrade: h2c\r\nCookie: a\r\nCookie: b\r\nX-Y: z\r\n\r\n",
    );
    assert_eq!(request.uri(), "https://Shop.example:81/a?b");
    let mut fields: Vec<_> = request.headers().iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
    fields.sort();
    let wanted = [
        "cookie: a",
        "cookie: b",
        "standfast-hops: 1",
        "te: trailers",
        "x-forwarded-for: 9.9.9.9",
        "x-forwarded-host: Shop.example:81",
        "x-forwarded-proto: http",
        "x-request-id: id",
        "x-y: z",
    ];
    assert_eq!(fields, wanted);
}

#[test]
fn targets_of_every_form_are_said() {
    for (input, uri) in [
        ("GET / HTTP/1.0\r\n\r\n", "https://10.0.0.1:80/"),
        ("GET http://other HTTP/1.1\r\nHost: a\r\n\r\n", "https://other/"),
        ("GET http://other?q HTTP/1.1\r\nHost: a\r\n\r\n", "https://other/?q"),
        ("GET /%2f//x?y=/?z HTTP/1.1\r\nHost: [::1]:8\r\n\r\n", "https://[::1]:8/%2f//x?y=/?z"),
    ] {
        assert_eq!(sent(input).uri().to_string(), uri, "{input}");
    }
    let asterisk = sent("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((asterisk.uri().path(), asterisk.uri().host()), ("*", Some("a")));
}

#[test]
fn every_byte_of_a_target_is_passed_as_it_is_or_refused() {
    let mut refused = Vec::new();
    for byte in 0x21..0x7f_u8 {
        let target = format!("/a{}b", char::from(byte));
        let input = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let Some((_, lines)) = lines(input.as_bytes()) else { continue };
        match upstream_request(lines, Scheme::Http) {
            Ok(request) => assert_eq!(request.uri().path_and_query().unwrap().as_str(), target),
            Err(error) => {
                assert_eq!(error, Error::Target);
                refused.push(char::from(byte));
            }
        }
    }
    assert_eq!(refused.iter().collect::<String>(), REFUSED);
}

const REFUSED: &str = "<>`";

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let value = HeaderValue::from_str(value).expect("a value");
        map.append(HeaderName::from_bytes(name.as_bytes()).expect("a name"), value);
    }
    map
}

fn reply(status: u16, fields: &[(&str, &str)], ended: bool, asked: AskedMethod) -> Result<BodyLength, Error> {
    let mut head = ResponseHead::new();
    read_reply(status, &map(fields), ended, asked, &mut head).map(|()| head.body())
}

#[test]
fn the_length_of_a_reply_follows_from_its_fields_and_its_end() {
    let length = [("content-length", "5")];
    let zero = [("content-length", "0")];
    for (status, fields, ended, asked, wanted) in [
        (200, &length[..], false, AskedMethod::Other, Ok(BodyLength::Length(5))),
        (200, &length[..], true, AskedMethod::Other, Err(Error::ContentLength)),
        (200, &length[..], true, AskedMethod::Head, Ok(BodyLength::None)),
        (304, &length[..], true, AskedMethod::Other, Ok(BodyLength::None)),
        (200, &zero[..], true, AskedMethod::Other, Ok(BodyLength::Length(0))),
        (200, &[], true, AskedMethod::Other, Ok(BodyLength::Length(0))),
        (200, &[], false, AskedMethod::Other, Ok(BodyLength::Chunked)),
        (204, &[], true, AskedMethod::Other, Ok(BodyLength::None)),
        (103, &[], false, AskedMethod::Other, Ok(BodyLength::None)),
        (101, &[], false, AskedMethod::Other, Err(Error::UnaskedUpgrade)),
        (600, &[], true, AskedMethod::Other, Err(Error::StatusLine)),
        (200, &[("connection", "close")], true, AskedMethod::Other, Err(Error::FieldName)),
        (200, &[("keep-alive", "1")], true, AskedMethod::Other, Err(Error::FieldName)),
        (200, &[("proxy-connection", "x")], true, AskedMethod::Other, Err(Error::FieldName)),
        (200, &[("transfer-encoding", "chunked")], false, AskedMethod::Other, Err(Error::FieldName)),
        (
            200,
            &[("content-length", "1"), ("content-length", "1")],
            false,
            AskedMethod::Other,
            Err(Error::ContentLengthRepeated),
        ),
        (200, &[("content-length", "1, 1")], false, AskedMethod::Other, Err(Error::ContentLength)),
    ] {
        assert_eq!(reply(status, fields, ended, asked), wanted, "{status} {fields:?} {ended} {asked:?}");
    }
}

/// Pieces of which requests are made that are valid often enough.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("GET / HTTP/1.1\r\n".to_owned()),
        "(POST|PUT|BREW|OPTIONS) /[a-z%?/.;=&<>\"{}|^`]{0,12} HTTP/1\\.[01]\r\n",
        Just("OPTIONS * HTTP/1.1\r\n".to_owned()),
        Just("GET http://b:1/x HTTP/1.1\r\n".to_owned()),
    ];
    let field = prop_oneof![
        "Host: [a-z.:0-9]{1,9}\r\n",
        "(X|Y|accept|Te|Connection|Upgrade|Proxy|Cookie): ?[ -~]{0,12}\r\n",
        Just("Content-Length: 3\r\n".to_owned()),
        Just("Transfer-Encoding: chunked\r\n".to_owned()),
        Just("TE: trailers\r\n".to_owned()),
        Just("Expect: 100-continue\r\n".to_owned()),
        Just("X: \u{e9}\r\n".to_owned()),
    ];
    (line, vec(field, 0..6)).prop_map(|(line, fields)| format!("{line}{}\r\n", fields.concat()).into_bytes())
}

proptest! {
    /// The lines and what is made of them say the same: method, target, authority, and every field that stays.
    #[test]
    fn a_request_means_the_same_in_http_2(input in request()) {
        let Some((_, lines)) = lines(&input) else { return Ok(()) };
        let mut one = RequestHead::new();
        RequestParser::new().feed(&lines, &LIMITS, &mut one).expect("what is encoded is valid");
        let two = match upstream_request(lines, Scheme::Http) {
            Ok(two) => two,
            Err(Error::Target | Error::HostInvalid) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        prop_assert_eq!(two.method().as_str(), one.method_name());
        prop_assert_eq!(two.uri().path(), one.path());
        prop_assert_eq!(two.uri().path_and_query().unwrap().as_str(), one.path_and_query());
        prop_assert_eq!(two.uri().authority().unwrap().as_str(), one.authority());
        let mut wanted: Vec<(String, Vec<u8>)> = Vec::new();
        for field in one.fields().iter().filter(|field| field.known != crate::wire::Known::Host) {
            let name = String::from_utf8_lossy(field.name).to_lowercase();
            let ends_here = field.known.is_hop_by_hop() && (name != "te" || field.value != b"trailers");
            if !ends_here {
                wanted.push((name, field.value.to_vec()));
            }
        }
        let mut said: Vec<_> =
            two.headers().iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
        wanted.sort();
        said.sort();
        prop_assert_eq!(said, wanted);
    }

    /// A reply that is taken is one that a client of HTTP/1 reads as it was meant; any other is refused.
    #[test]
    fn a_reply_means_the_same_in_http_1(
        status in prop_oneof![Just(200_u16), 200_u16..=599, 0_u16..=999],
        fields in vec(("(x|y|content-length|connection|te|set-cookie|date|trailer)", "[!-~]{0,6}|[0-9]{1,3}|[ -~]{0,6}"), 0..6),
        ended: bool,
        head_only: bool,
    ) {
        let asked = if head_only { AskedMethod::Head } else { AskedMethod::Other };
        let mut map = HeaderMap::new();
        for (name, value) in &fields {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let mut head = ResponseHead::new();
        if read_reply(status, &map, ended, asked, &mut head).is_err() || status < 200 {
            return Ok(());
        }
        prop_assert!((200..600).contains(&status));
        let to = DownstreamHead {
            version: Version::Http11,
            framing: reply_framing(&head, Version::Http11),
            keep_alive: true,
            changes: &HeaderChanges::default(),
        };
        let mut out = Vec::new();
        encode_response(&head, &to, &mut out);
        let mut read = ResponseHead::new();
        let progress = ResponseParser::new().feed(&out, &LIMITS, asked, &mut read);
        prop_assert_eq!(progress, Ok(Progress::Complete(out.len())));
        prop_assert_eq!((read.status(), read.body()), (status, to.framing));
        prop_assert!(read.keep_alive(), "a reply whose end is known does not cost the connection");
        for name in ["x", "y", "set-cookie", "date"] {
            let values: Vec<_> = map.get_all(name).iter().map(|value| value.as_bytes()).collect();
            prop_assert_eq!(read.fields().get_all(name).collect::<Vec<_>>(), values);
        }
    }

    #[test]
    fn hostile_replies_never_panic(
        status in any::<u16>(),
        fields in vec(("[!#-'*+.0-9a-z^_`|~-]{1,20}", vec(any::<u8>(), 0..20)), 0..20),
        ended: bool,
    ) {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(&value)) {
                map.append(name, value);
            }
        }
        let _ = read_reply(status, &map, ended, AskedMethod::Other, &mut ResponseHead::new());
    }

    #[test]
    fn lines_that_are_none_never_panic(lines in vec(any::<u8>(), 0..200)) {
        let _ = upstream_request(lines, Scheme::Http);
    }
}

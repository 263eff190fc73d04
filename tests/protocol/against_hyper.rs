//! The codec beside hyper: on every valid message that is generated, both read the same method, target, status, fields,
//! body and trailers – from the message as it came, and from what the codec makes of it for the other side. And the
//! list of what hyper accepts and the codec refuses.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::collection::vec;
use proptest::prelude::*;
use standfast::config::{Forwarded, HeaderChanges};
use standfast::wire::Fields;
use standfast::wire::h1::*;
use tokio::io::AsyncWriteExt;

/// A message as either reader understands it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Read {
    /// `method target` or `status reason`.
    first: String,
    /// Names in lower case; sorted by name, values of one name in their order.
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
}

/// One generated message, before it is bytes.
#[derive(Clone, Debug)]
struct Message {
    first: String,
    fields: Vec<(String, Vec<u8>, &'static str)>,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    None,
    Length(Vec<u8>),
    Chunked(Vec<(Vec<u8>, &'static str)>, Vec<(String, Vec<u8>, &'static str)>),
    UntilClose(Vec<u8>),
}

impl Message {
    fn bytes(&self) -> Vec<u8> {
        let mut out = format!("{}\r\n", self.first).into_bytes();
        lines(&self.fields, &mut out);
        match &self.body {
            Body::None => out.extend_from_slice(b"\r\n"),
            Body::UntilClose(data) => {
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(data);
            }
            Body::Length(data) => {
                out.extend_from_slice(format!("content-Length: {}\r\n\r\n", data.len()).as_bytes());
                out.extend_from_slice(data);
            }
            Body::Chunked(chunks, trailers) => {
                out.extend_from_slice(b"Transfer-encoding: chunked\r\n\r\n");
                for (data, extension) in chunks.iter().filter(|(data, _)| !data.is_empty()) {
                    out.extend_from_slice(format!("{:X}{extension}\r\n", data.len()).as_bytes());
                    out.extend_from_slice(data);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"0\r\n");
                lines(trailers, &mut out);
                out.extend_from_slice(b"\r\n");
            }
        }
        out
    }
}

fn lines(fields: &[(String, Vec<u8>, &'static str)], out: &mut Vec<u8>) {
    for (name, value, space) in fields {
        out.extend_from_slice(format!("{name}:{space}").as_bytes());
        out.extend_from_slice(value);
        out.extend_from_slice(format!("{space}\r\n").as_bytes());
    }
}

fn field() -> impl Strategy<Value = (String, Vec<u8>, &'static str)> {
    let name = prop_oneof!["X-[A-Za-z0-9!#$%&'*+.^`|~-]{1,12}", Just("Accept".to_owned()), Just("COOKIE".to_owned())];
    let byte = prop_oneof![8 => 0x21_u8..0x7f, 1 => 0x80_u8..=0xff, 1 => prop::sample::select(&b" \t,"[..])];
    let value = vec(byte, 0..30).prop_map(|value| value.trim_ascii().to_vec());
    let kept = |name: &String| !name.to_ascii_lowercase().starts_with("x-forwarded") && !name.contains('_');
    (name.prop_filter("not forwarding", kept), value, prop::sample::select(&["", " ", "\t ", "  "][..]))
}

fn chunked() -> impl Strategy<Value = Body> {
    let extension = prop::sample::select(&["", ";a", ";a=b", ";a=\"b c\""][..]);
    let data = prop_oneof![vec(any::<u8>(), 0..40), vec(any::<u8>(), 1000..3000)];
    let trailer = field().prop_filter("may stand in trailers", |(name, ..)| name.starts_with("X-"));
    (vec((data, extension), 0..5), vec(trailer, 0..4)).prop_map(|(chunks, trailers)| Body::Chunked(chunks, trailers))
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..100), vec(any::<u8>(), 10_000..20_000)]
}

fn request_message() -> impl Strategy<Value = Message> {
    let method = prop_oneof![
        4 => prop::sample::select(&["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"][..]).prop_map(str::to_owned),
        1 => "[A-Z!#$%&'*+-]{1,10}".prop_filter("not CONNECT", |m| m != "CONNECT"),
    ];
    let target = "/([a-zA-Z0-9_~!$&'()*+,;=:@-]{1,8}(%2F|%41|/|[.]x){0,2}){0,4}([?][a-zA-Z0-9/?:@&=+.%~-]{0,12})?";
    let host = "[a-z0-9.-]{1,20}(:[0-9]{1,4})?";
    let body = prop_oneof![Just(Body::None), data().prop_map(Body::Length), chunked()];
    (method, target, any::<bool>(), host, vec(field(), 0..8), body).prop_map(
        |(method, target, new, host, mut fields, body)| {
            let new = new || matches!(body, Body::Chunked(..));
            fields.insert(fields.len() / 2, ("Host".to_owned(), host.into_bytes(), " "));
            Message { first: format!("{method} {target} HTTP/1.{}", u8::from(new)), fields, body }
        },
    )
}

fn response_message() -> impl Strategy<Value = Message> {
    let status = prop_oneof![Just(200_u16), 200_u16..=599, Just(204), Just(304)];
    let body = prop_oneof![data().prop_map(Body::UntilClose), data().prop_map(Body::Length), chunked()];
    (status, "[A-Za-z -]{0,12}", any::<bool>(), vec(field(), 0..8), body).prop_map(
        |(status, reason, new, fields, body)| {
            let new = new || matches!(body, Body::Chunked(..));
            let body = if matches!(status, 204 | 304) { Body::None } else { body };
            Message { first: format!("HTTP/1.{} {status} {reason}", u8::from(new)), fields, body }
        },
    )
}

fn sorted(mut fields: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields
}

fn fields_of(map: &http::HeaderMap) -> Vec<(String, Vec<u8>)> {
    sorted(map.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect())
}

fn our_fields(fields: &Fields) -> Vec<(String, Vec<u8>)> {
    let lower = |name: &[u8]| String::from_utf8(name.to_ascii_lowercase()).unwrap();
    sorted(fields.iter().map(|field| (lower(field.name), field.value.to_vec())).collect())
}

fn collected(read: &mut Read, body: Collected<Bytes>) {
    read.trailers = body.trailers().map(fields_of).unwrap_or_default();
    read.body = body.to_bytes().to_vec();
}

/// Runs a future on a runtime of its own, with a deadline.
fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    #[allow(clippy::disallowed_methods, reason = "a test that hangs must fail")]
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), future).await.expect("it ends") })
}

/// What hyper's server makes of a request; `None` = it refuses it.
fn hyper_request(input: Vec<u8>) -> Option<Read> {
    let seen = Arc::new(Mutex::new(None));
    let service = {
        let seen = Arc::clone(&seen);
        service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let seen = Arc::clone(&seen);
            async move {
                let target = request.uri().path_and_query().map_or("", |t| t.as_str());
                let mut read = Read { first: format!("{} {target}", request.method()), ..Read::default() };
                read.fields = fields_of(request.headers());
                collected(&mut read, request.into_body().collect().await?);
                *seen.lock().unwrap() = Some(read);
                Ok::<_, hyper::Error>(hyper::Response::new(Full::new(Bytes::new())))
            }
        })
    };
    run(async move {
        let (mut ours, theirs) = tokio::io::duplex(1 << 20);
        ours.write_all(&input).await.unwrap();
        ours.shutdown().await.unwrap();
        let _ = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(theirs), service)
            .await;
    });
    seen.lock().unwrap().take()
}

/// What hyper's client makes of a reply; `None` = it refuses it.
fn hyper_response(input: Vec<u8>) -> Option<Read> {
    run(async move {
        let (mut ours, theirs) = tokio::io::duplex(1 << 20);
        let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(theirs)).await.unwrap();
        let exchange = async move {
            let request = hyper::Request::get("/").header("host", "a").body(Full::new(Bytes::new())).unwrap();
            let response = send.send_request(request).await.ok()?;
            let reason = response.extensions().get::<hyper::ext::ReasonPhrase>();
            let reason = reason.map_or(response.status().canonical_reason().unwrap_or("").as_bytes(), |r| r.as_bytes());
            let reason = String::from_utf8_lossy(reason).into_owned();
            let mut read = Read { first: format!("{} {reason}", response.status().as_u16()), ..Read::default() };
            read.fields = fields_of(response.headers());
            collected(&mut read, response.into_body().collect().await.ok()?);
            Some(read)
        };
        let server = async move {
            let mut asked = [0; 16];
            tokio::io::AsyncReadExt::read_exact(&mut ours, &mut asked).await.unwrap();
            ours.write_all(&input).await.unwrap();
            ours.shutdown().await.unwrap();
            ours
        };
        let (read, _connection, _server) = tokio::join!(exchange, connection, server);
        read
    })
}

/// Body and trailers as the codec reads them; and as it frames them for the other side.
fn our_body(
    length: BodyLength,
    framing: BodyLength,
    input: &[u8],
    read: &mut Read,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut decoder = BodyDecoder::new(length);
    let mut encoder = BodyEncoder::new(framing);
    let mut used = 0;
    while !decoder.is_done() {
        if used == input.len() {
            decoder.end_of_input()?;
            break;
        }
        let piece = decoder.decode(&input[used..])?;
        let data = &input[used..][piece.data];
        read.body.extend_from_slice(data);
        encoder.encode(data, out).unwrap();
        used += piece.taken;
    }
    encoder.finish(decoder.trailers(), out).unwrap();
    read.trailers = our_fields(decoder.trailers());
    Ok(())
}

const LIMITS: HeadLimits = HeadLimits::REPLY;

/// What the codec makes of a request, and what it sends on.
fn our_request(input: &[u8]) -> Result<(Read, Vec<u8>), Error> {
    let mut head = RequestHead::new();
    let Progress::Complete(used) = RequestParser::new().feed(input, &LIMITS, &mut head)? else {
        panic!("incomplete: {}", input.escape_ascii());
    };
    let mut read = Read { first: format!("{} {}", head.method_name(), head.path_and_query()), ..Read::default() };
    read.fields = our_fields(head.fields());
    let client = ClientAddress::new("9.9.9.9".parse().unwrap());
    let to = UpstreamHead {
        forwarded: Forwarded::Off,
        client: &client,
        scheme: Scheme::Http,
        request_id: b"id",
        default_host: "default",
        expect_continue: false,
        closes: false,
        upgrades: &[],
        changes: &HeaderChanges { remove: vec!["x-request-id".to_owned()], ..HeaderChanges::default() },
    };
    let mut out = Vec::new();
    encode_request(&head, &to, &mut out);
    our_body(head.body(), head.body(), &input[used..], &mut read, &mut out)?;
    Ok((read, out))
}

/// What the codec makes of a reply (interim ones skipped), and what it sends on to a client of HTTP/1.1.
fn our_response(mut input: &[u8]) -> Result<(Read, Vec<u8>), Error> {
    let (mut head, mut parser) = (ResponseHead::new(), ResponseParser::new());
    let mut out = Vec::new();
    loop {
        let Progress::Complete(used) = parser.feed(input, &LIMITS, AskedMethod::Other, &mut head)? else {
            panic!("incomplete: {}", input.escape_ascii());
        };
        input = &input[used..];
        if !head.is_interim() {
            break;
        }
        encode_interim(&head, &mut out);
    }
    let reason = String::from_utf8_lossy(head.reason()).into_owned();
    let mut read = Read { first: format!("{} {reason}", head.status()), ..Read::default() };
    read.fields = our_fields(head.fields());
    let framing = reply_framing(&head, Version::Http11);
    let changes = HeaderChanges::default();
    encode_response(
        &head,
        &DownstreamHead { version: Version::Http11, framing, keep_alive: true, changes: &changes },
        &mut out,
    );
    our_body(head.body(), framing, input, &mut read, &mut out)?;
    Ok((read, out))
}

/// Without what frames a body: that may change on the way.
fn without_framing(mut read: Read) -> Read {
    // (Hops are counted on the way.)
    let ours = ["transfer-encoding", "content-length", "standfast-hops"];
    read.fields.retain(|(name, _)| !ours.contains(&name.as_str()));
    read
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn requests_read_like_hyper_reads_them(message in request_message()) {
        let bytes = message.bytes();
        let (ours, sent) = our_request(&bytes).unwrap();
        let theirs = hyper_request(bytes).expect("hyper takes it");
        prop_assert_eq!(&ours, &theirs);
        let onward = hyper_request(sent).expect("hyper takes what we send on");
        prop_assert_eq!(without_framing(onward), without_framing(ours));
    }

    #[test]
    fn replies_read_like_hyper_reads_them(message in response_message(), hints in 0_usize..3) {
        let bytes = [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(hints), message.bytes()].concat();
        let (ours, sent) = our_response(&bytes).unwrap();
        let theirs = hyper_response(bytes).expect("hyper takes it");
        prop_assert_eq!(&ours, &theirs);
        let onward = hyper_response(sent).expect("hyper takes what we send on");
        prop_assert_eq!(without_framing(onward), without_framing(ours));
    }
}

/// What hyper's server accepts and we refuse, with the reason we give. Each is legal to refuse, and each is read in two ways
/// by some pair of servers.
const REFUSED_REQUESTS: &[(&str, &str)] = &[
    ("GET / HTTP/1.1\nHost: a\n\n", "bare_lf"),
    ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "method"),
    ("GET / HTTP/1.1\r\n\r\n", "host_missing"),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "host_repeated"),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "host_invalid"),
    ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "host_invalid"),
    ("GET /../a HTTP/1.1\r\nHost: a\r\n\r\n", "dot_segment"),
    ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", "target"),
    ("GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "target"),
    ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "connect"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", "content_length_repeated"),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "length_conflict",
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "transfer_coding"),
    ("POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\nContent-Length: 1\r\n\r\nx", "expectation"),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n", "chunk_extension"),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;=\r\nx\r\n0\r\n\r\n", "chunk_extension"),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000001\r\nx\r\n0\r\n\r\n",
        "chunk_size",
    ),
];

/// The same for replies.
const REFUSED_RESPONSES: &[(&str, &str)] = &[
    ("HTTP/1.1 200 OK\nContent-Length: 0\n\n", "bare_lf"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", "content_length_repeated"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "length_conflict"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "transfer_coding"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx", "transfer_coding"),
    ("HTTP/1.1 204 No Content\r\nContent-Length: x\r\n\r\n", "content_length"),
];

#[test]
fn what_hyper_accepts_and_we_refuse_is_listed() {
    let mut wrong = Vec::new();
    for (input, reason) in REFUSED_REQUESTS {
        let ours = our_request(input.as_bytes()).map_err(Error::reason).err();
        let theirs = hyper_request(input.as_bytes().to_vec()).is_some();
        if (ours, theirs) != (Some(*reason), true) {
            wrong.push((input, ours, theirs));
        }
    }
    for (input, reason) in REFUSED_RESPONSES {
        let ours = our_response(input.as_bytes()).map_err(Error::reason).err();
        let theirs = hyper_response(input.as_bytes().to_vec()).is_some();
        if (ours, theirs) != (Some(*reason), true) {
            wrong.push((input, ours, theirs));
        }
    }
    assert!(wrong.is_empty(), "(input, our reason, does hyper accept): {wrong:#?}");
}

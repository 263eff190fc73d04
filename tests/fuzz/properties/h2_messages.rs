//! Messages of HTTP/2 as the engine gives them: requests, replies, trailers. The input is a first line and field lines:
//! `method target`, a status, or nothing (trailers), then `name:value`.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use standfast::config::{Forwarded, HeaderChanges};
use standfast::wire::h1::*;
use standfast::wire::{Fields, Known, h2};

use super::heads::{LARGE, Way, check_reply, check_request, tell};
use super::tools::{bounded, seed, shown};

pub fn check(input: &[u8]) {
    let seed = seed(input);
    let (first, lines) =
        input.iter().position(|byte| *byte == b'\n').map_or((input, &b""[..]), |at| (&input[..at], &input[at + 1..]));
    let fields = fields(lines);
    bounded((256 << 10) + 60 * input.len(), || {
        match std::str::from_utf8(first).ok().and_then(|text| text.parse().ok()) {
            Some(status) => reply(seed, status, &fields),
            None if first.is_empty() => trailers(&fields),
            None => request(seed, first, fields),
        }
    });
}

/// What the engine would let through.
fn fields(lines: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':').filter(|at| *at > 0) else { continue };
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]))
        {
            map.append(name, value);
        }
    }
    map
}

fn request(seed: u64, first: &[u8], fields: HeaderMap) {
    let Some(space) = first.iter().position(|byte| *byte == b' ') else { return };
    let (Ok(method), Ok(uri)) = (Method::from_bytes(&first[..space]), http::Uri::try_from(&first[space + 1..])) else {
        return;
    };
    let mut request = Request::new(());
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, fields);
    let (parts, ()) = request.into_parts();
    let ends = seed & 256 != 0;
    let mut head = RequestHead::new();
    if h2::read_request(&parts, ends, &HeadLimits { bytes: 64 << 10, fields: 100 }, &mut head).is_err() {
        return;
    }
    assert!(if ends { head.body().is_empty() } else { head.body() != BodyLength::None });
    assert!(!head.asks_for_upgrade());
    let of_a_connection = |known: Known, value: &[u8]| {
        known.is_hop_by_hop() && !(known == Known::Te && value.eq_ignore_ascii_case(b"trailers"))
    };
    assert!(!head.fields().iter().any(|field| of_a_connection(field.known, field.value)), "{:?}", parts.headers);
    check_request(&head, &Way::of(seed));
    up_again(&head, ends);
}

/// Over HTTP/2 to an endpoint as well: the other side reads the same request.
fn up_again(head: &RequestHead, ends: bool) {
    let to = UpstreamHead {
        forwarded: Forwarded::Append,
        client: &ClientAddress::new([9, 9, 9, 9].into()),
        scheme: Scheme::Http,
        request_id: b"id",
        default_host: "d",
        expect_continue: true,
        closes: false,
        upgrades: &["websocket".to_owned()],
        changes: &HeaderChanges::default(),
    };
    let mut out = Vec::new();
    encode_request(head, &to, &mut out);
    let request = match h2::upstream_request(out.clone(), Scheme::Https) {
        Ok(request) => request,
        Err(error) => {
            assert!(matches!(error, Error::Target | Error::HostInvalid), "{error:?}: {}", shown(&out));
            return;
        }
    };
    for (name, value) in request.headers() {
        let known = Known::of(name.as_str().as_bytes());
        let trailers = known == Known::Te && value == "trailers";
        assert!(known != Known::Host && (trailers || !known.is_hop_by_hop()), "{name} over HTTP/2");
    }
    let (parts, ()) = request.into_parts();
    let mut back = RequestHead::new();
    let read = h2::read_request(&parts, ends, &LARGE, &mut back);
    assert_eq!(read, Ok(()), "we would refuse it: {}", shown(&out));
    let says = |head: &RequestHead| {
        (head.method_bytes().to_vec(), head.path_bytes().to_vec(), head.authority().to_owned(), head.body())
    };
    assert_eq!(says(&back), says(head), "{}", shown(&out));
    assert_eq!(back.path_and_query().split_once('?'), head.path_and_query().split_once('?'), "{}", shown(&out));
}

fn reply(seed: u64, status: u16, fields: &HeaderMap) {
    let asked = [AskedMethod::Other, AskedMethod::Head, AskedMethod::Upgrade][(seed >> 16) as usize % 3];
    let ended = seed & 256 != 0;
    let mut head = ResponseHead::new();
    if h2::read_reply(status, fields, ended, asked, &mut head).is_ok() {
        assert!((100..600).contains(&head.status()) && !head.switches() && head.status() == status);
        assert_ne!(head.body(), BodyLength::UntilClose);
        assert!(!ended || head.body().is_empty());
        check_reply(&head, asked, seed);
    }
}

/// Trailers that are passed on are those that are read, over either version.
fn trailers(map: &HeaderMap) {
    let mut fields = Fields::new();
    if h2::read_trailers(map, &mut fields).is_err() {
        return;
    }
    assert!(fields.iter().all(|field| field.known == Known::Other));
    let told = |fields: &Fields| {
        let mut out = Vec::new();
        tell(fields, &mut out);
        out
    };
    let mut again = Fields::new();
    assert_eq!(h2::read_trailers(&h2::trailers(&fields), &mut again), Ok(()));
    assert_eq!(told(&again), told(&fields));
    let mut out = Vec::new();
    BodyEncoder::new(BodyLength::Chunked).finish(&fields, &mut out).expect("an empty body");
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    let read = decoder.decode(&out).map(|piece| (piece.done, piece.taken));
    assert_eq!(read, Ok((true, out.len())), "{}", shown(&out));
    assert_eq!(told(decoder.trailers()), told(&fields), "{}", shown(&out));
}

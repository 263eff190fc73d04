//! Requests on their way to an upstream: what is added, replaced and never passed on.
//!
//! | field | what happens |
//! |---|---|
//! | Host | the one authority of the request, at its place |
//! | Content-Length, Transfer-Encoding | written again from the parsed length |
//! | Connection, Keep-Alive, Proxy-Connection, TE, Upgrade, HTTP2-Settings, and what Connection names | end here; `TE: trailers` is said again if the client said it, `Upgrade` with what was [`offered`] and may pass, `Connection: close` where connections are not kept |
//! | Proxy, and `_` spellings of any field in this table | end here |
//! | X-Forwarded-For, -Proto, -Host, other X-Forwarded-…, X-Real-IP, Forwarded | by [`Forwarded`], see [`encode_request`] |
//! | X-Request-Id | the caller's |
//! | Standfast-Hops | one more than it was, whatever a route says: it ends requests that go round in a circle |
//! | Expect | as the caller decides |
//! | all others | pass in order and case |

use super::address::ClientAddress;
use super::head::{BodyLength, Scheme};
use super::header_lines::{HeaderEdits, number_line, write_line};
use super::request::RequestHead;
use super::upgrade::offered;
use crate::config::{Forwarded, HeaderChanges};
use crate::wire::Known;

/// How a request goes to an upstream.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamHead<'a> {
    /// What we tell about the client.
    pub forwarded: Forwarded,
    /// The address of the client.
    pub client: &'a ClientAddress,
    /// How the client reached us.
    pub scheme: Scheme,
    /// [`RequestHead::request_id`], or one that was made.
    pub request_id: &'a [u8],
    /// Host for a request of HTTP/1.0 that has none: the endpoint's address.
    pub default_host: &'a str,
    /// Pass `Expect: 100-continue` on. Only if the body has not begun to arrive and the upstream's 100 is waited for.
    pub expect_continue: bool,
    /// Say that the connection ends with this request (`Connection: close`). Not said with an offer to switch protocols: where
    /// the connection is to end, servers decline it.
    pub closes: bool,
    /// Protocols that the client may switch to, see [`offered`].
    pub upgrades: &'a [String],
    /// The route's changes. They come last, so they win over everything but the framing.
    pub changes: &'a HeaderChanges,
}

/// Appends a request's head for an upstream, empty line included. The version is HTTP/1.1 whatever the client's.
///
/// What is told about the client:
///
/// | | `append` | `replace` | `off` |
/// |---|---|---|---|
/// | X-Forwarded-For | the client's lines joined, then the peer | the peer | removed |
/// | X-Forwarded-Proto | how the client reached us | the same | removed |
/// | X-Forwarded-Host | kept if present, else the authority | the authority | removed |
/// | Forwarded | if present, an element about the peer is appended | removed | removed |
/// | other X-Forwarded-…, X-Real-IP | kept | removed | removed |
pub fn encode_request(head: &RequestHead, to: &UpstreamHead<'_>, out: &mut Vec<u8>) {
    let edits = HeaderEdits::new(to.changes);
    request_line(head, out);
    let own_id = head.request_id() == Some(to.request_id);
    let mut seen = SeenFields { own_id, ..SeenFields::default() };
    head.fields().write(out, |line, run| match line.known() {
        Known::Other => !line.hop_by_hop() && edits.leaves(&line),
        Known::Host => {
            seen.host = true;
            let keep = edits.leaves_host();
            if keep && line.value() != head.authority_bytes() {
                write_line(run.out(), line.name(), head.authority_bytes());
                return false;
            }
            keep
        }
        Known::ContentLength => {
            if let BodyLength::Length(length) = head.body() {
                number_line(run.out(), line.name(), length);
            }
            false
        }
        Known::Expect => to.expect_continue && head.expects_continue(),
        known => edits.leaves(&line) && seen.keeps(known, head, to),
    });
    if !seen.host && edits.leaves_host() {
        let authority = head.authority_bytes();
        write_line(out, b"Host", if authority.is_empty() { to.default_host.as_bytes() } else { authority });
    }
    about_the_client(head, to, &seen, &edits, out);
    if !seen.id && edits.leaves_name(b"X-Request-Id") {
        write_line(out, b"X-Request-Id", to.request_id);
    }
    number_line(out, b"Standfast-Hops", u64::from(head.hops()) + 1);
    edits.write(out, |name| !name.eq_ignore_ascii_case("host"));
    if head.body() == BodyLength::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    let upgrade = upgrade_line(head, to.upgrades, out);
    if head.accepts_trailers() {
        out.extend_from_slice(b"TE: trailers\r\n");
    }
    out.extend_from_slice(match (upgrade, to.closes, head.accepts_trailers()) {
        (true, _, true) => b"Connection: Upgrade, TE\r\n",
        (true, _, false) => b"Connection: Upgrade\r\n",
        (false, true, true) => b"Connection: close, TE\r\n",
        (false, true, false) => b"Connection: close\r\n",
        (false, false, true) => b"Connection: TE\r\n",
        (false, false, false) => b"",
    });
    out.extend_from_slice(b"\r\n");
}

/// What the client offers to switch to, as far as it may pass. False: nothing.
#[inline]
fn upgrade_line(head: &RequestHead, allowed: &[String], out: &mut Vec<u8>) -> bool {
    if !head.asks_for_upgrade() {
        return false;
    }
    let mut any = false;
    for protocol in offered(head, allowed) {
        out.extend_from_slice(if any { b", " } else { b"Upgrade: " });
        out.extend_from_slice(protocol);
        any = true;
    }
    if any {
        out.extend_from_slice(b"\r\n");
    }
    any
}

#[inline]
fn request_line(head: &RequestHead, out: &mut Vec<u8>) {
    out.extend_from_slice(head.method_bytes());
    out.push(b' ');
    out.extend_from_slice(head.missing_path().as_bytes());
    out.extend_from_slice(head.target_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Which of the fields we would add have passed.
#[derive(Clone, Copy, Debug, Default)]
struct SeenFields {
    host: bool,
    own_id: bool,
    id: bool,
    forwarded: bool,
    forwarded_host: bool,
}

impl SeenFields {
    /// Does a field pass that is neither unknown nor framing.
    fn keeps(&mut self, known: Known, head: &RequestHead, to: &UpstreamHead<'_>) -> bool {
        let append = to.forwarded == Forwarded::Append;
        match known {
            Known::Trailer => head.body() == BodyLength::Chunked,
            Known::XRequestId => {
                self.id = self.own_id;
                self.own_id
            }
            Known::XForwardedHost => {
                self.forwarded_host |= append;
                append
            }
            Known::Forwarded => {
                self.forwarded |= append;
                append
            }
            Known::XForwardedOther => append,
            _ => false,
        }
    }
}

/// The `X-Forwarded-…` fields of our own.
fn about_the_client(
    head: &RequestHead,
    to: &UpstreamHead<'_>,
    seen: &SeenFields,
    edits: &HeaderEdits<'_>,
    out: &mut Vec<u8>,
) {
    if to.forwarded == Forwarded::Off {
        return;
    }
    if edits.leaves_name(b"X-Forwarded-For") {
        out.extend_from_slice(b"X-Forwarded-For: ");
        if to.forwarded == Forwarded::Append {
            for claimed in head.fields().known(Known::XForwardedFor).filter(|value| !value.is_empty()) {
                out.extend_from_slice(claimed);
                out.extend_from_slice(b", ");
            }
        }
        out.extend_from_slice(to.client.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if edits.leaves_name(b"X-Forwarded-Proto") {
        write_line(out, b"X-Forwarded-Proto", to.scheme.as_str().as_bytes());
    }
    if !seen.forwarded_host && !head.authority_bytes().is_empty() && edits.leaves_name(b"X-Forwarded-Host") {
        write_line(out, b"X-Forwarded-Host", head.authority_bytes());
    }
    if seen.forwarded {
        forwarded_line(head, to, out);
    }
}

/// One more element of RFC 7239, in a line of its own.
fn forwarded_line(head: &RequestHead, to: &UpstreamHead<'_>, out: &mut Vec<u8>) {
    let quote: (&[u8], &[u8]) = if to.client.is_v6() { (b"\"[", b"]\"") } else { (b"", b"") };
    out.extend_from_slice(b"Forwarded: for=");
    out.extend_from_slice(quote.0);
    out.extend_from_slice(to.client.as_bytes());
    out.extend_from_slice(quote.1);
    if !head.authority_bytes().is_empty() {
        out.extend_from_slice(b";host=\"");
        out.extend_from_slice(head.authority_bytes());
        out.push(b'"');
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(to.scheme.as_str().as_bytes());
    out.extend_from_slice(b"\r\n");
}

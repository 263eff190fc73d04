//! The strict HTTP/1 codec for both sides: requests from clients, replies from upstreams, and what we send to each.
//!
//! It is sans-IO: bytes are fed in as they come, split anywhere, and every byte is looked at once. What leaves is
//! encoded again from checked values, never copied with its framing.
//!
//! # The way of one exchange
//!
//! 1. [`RequestParser::feed`] fills a [`RequestHead`] (an arena that is reused); route on [`RequestHead::host`],
//!    [`RequestHead::path`], [`RequestHead::method_name`] and [`RequestHead::fields`].
//! 2. [`encode_request`] writes the head for the upstream, [`UpstreamHead`] says what is added and removed.
//! 3. [`BodyDecoder`] walks the request's body, [`BodyEncoder`] frames it again.
//! 4. [`ResponseParser::feed`] fills a [`ResponseHead`]; an interim one goes on by [`encode_interim`].
//! 5. [`reply_framing`] and [`encode_response`] write the head for the client, again with a [`BodyDecoder`] on the one side
//!    and a [`BodyEncoder`] on the other.
//!
//! An [`Error`] names why something was refused ([`Error::reason`]) and what the client is answered ([`Error::status`];
//! always 502 for a malformed reply). The connection that brought it is lost.
//!
//! # What is refused
//!
//! Stricter than RFC 9112 allows wherever two readers could differ: bare LF, folded lines, space before a colon, lines
//! without a colon, control bytes, anything but exactly one valid Host, more than one Content-Length even when equal,
//! Content-Length beside Transfer-Encoding, any Transfer-Encoding but a single `chunked`, Transfer-Encoding under
//! HTTP/1.0, dot segments in the path, CONNECT, 101 that was not asked for or to a protocol that was not offered.
//!
//! # What we neither add nor touch
//!
//! `Date` and `Server` of an upstream pass untouched. No `Via` is added, as with HAProxy, nginx and Envoy: it tells
//! clients about the inside and makes some servers stop compressing. Replies of our own ([`OwnReply`]) carry `Date`.
mod address;
mod body;
mod chunked;
mod date;
mod encode;
mod error;
mod head;
mod head_parser;
mod header_lines;
mod host;
mod own;
mod request;
mod response;
mod target;
mod upgrade;
mod upstream;

pub(in crate::wire) use chunked::{MAX_TRAILERS, is_forbidden};
pub(in crate::wire) use encode::{interim_lines, response_lines};
pub(in crate::wire) use request::StatedHead;

pub use address::ClientAddress;
pub use body::BodyDecoder;
pub use encode::{BodyEncoder, ChunkSize, DownstreamHead, WrongLength, encode_interim, encode_response, reply_framing};
pub use error::Error;
pub use head::{BodyLength, HeadLimits, Piece, Progress, Scheme, Version};
pub use own::OwnReply;
pub use request::{Method, RequestHead, RequestParser};
pub use response::{AskedMethod, ResponseHead, ResponseParser};
pub use upgrade::{agreed, offered};
pub use upstream::{UpstreamHead, encode_request};

#[cfg(test)]
mod tests;

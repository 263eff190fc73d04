//! What a client is answered over HTTP/2: the same fields as over HTTP/1, without what belongs to a connection.

use http::{HeaderMap, Response, StatusCode};

use super::fields::map_of;
use crate::config::HeaderChanges;
use crate::wire::h1::{BodyLength, OwnReply, ResponseHead, interim_lines, response_lines};

/// How a reply's body goes out: [`BodyLength::UntilClose`] = where the stream ends.
pub const fn reply_framing(head: &ResponseHead) -> BodyLength {
    match head.body() {
        BodyLength::Chunked | BodyLength::UntilClose => BodyLength::UntilClose,
        length => length,
    }
}

/// A final reply's head, with the route's changes.
pub fn reply(head: &ResponseHead, changes: &HeaderChanges) -> Response<()> {
    let framing = match reply_framing(head) {
        // What can carry trailers may announce them.
        BodyLength::UntilClose => BodyLength::Chunked,
        length => length,
    };
    let mut lines = Vec::with_capacity(head.fields().text_len() + 64);
    response_lines(head, framing, changes, &mut lines);
    let count = head.fields().len() + changes.set.len() + changes.add.len();
    with(head.status(), map_of(lines, count))
}

/// An interim reply (100, 103 …). `None` for 101, which HTTP/2 does not know.
pub fn interim(head: &ResponseHead) -> Option<Response<()>> {
    if head.status() == 101 {
        return None;
    }
    let mut lines = Vec::new();
    interim_lines(head, &mut lines);
    Some(with(head.status(), map_of(lines, head.fields().len())))
}

/// The head of a reply of our own: with `Date`, and with type and length if it has a body. What is no field, and framing
/// fields, are left out.
pub fn own_reply<'f>(reply: &OwnReply<'_>, fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> Response<()> {
    let mut lines = Vec::new();
    reply.lines(fields, &mut lines);
    with(reply.status, map_of(lines, 8))
}

fn with(status: u16, fields: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = fields;
    response
}

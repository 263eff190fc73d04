//! Replies of our own: refusals, static responses, and what we say when no upstream can.

use super::date::http_date;
use super::encode::connection_line;
use super::head::Version;
use super::header_lines::number_line;
use super::response::AskedMethod;
use crate::wire::{Fields, Known};

/// A reply of our own. Its body is complete and has a length; it always carries `Date`.
#[derive(Clone, Copy, Debug)]
pub struct OwnReply<'a> {
    /// 200 to 599. With 204 and 304 neither the body nor its type and length are sent.
    pub status: u16,
    /// Value of `Content-Type`.
    pub content_type: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// Seconds since the Unix epoch, for `Date`.
    pub unix_seconds: u64,
}

impl OwnReply<'_> {
    /// Appends the whole reply, for HEAD without the body. `fields` are further fields such as `Retry-After`; framing fields,
    /// `Date` and `Content-Type` among them are left out.
    pub fn encode<'f>(
        &self,
        asked: AskedMethod,
        client: Version,
        keep_alive: bool,
        fields: impl IntoIterator<Item = (&'f str, &'f str)>,
        out: &mut Vec<u8>,
    ) {
        let status = http::StatusCode::from_u16(self.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
        self.lines(fields, out);
        connection_line(client, keep_alive, out);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.body_for(asked));
    }

    /// The body as it is sent: none for HEAD, and none with a status that has none.
    pub fn body_for(&self, asked: AskedMethod) -> &[u8] {
        if asked != AskedMethod::Head && self.has_body() { self.body } else { b"" }
    }

    fn has_body(&self) -> bool {
        !matches!(self.status, 204 | 304)
    }

    /// The fields that every version of HTTP has, one `name: value` line each. What is no field is left out: it cannot break
    /// the reply.
    pub(in crate::wire) fn lines<'f>(&self, fields: impl IntoIterator<Item = (&'f str, &'f str)>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(&http_date(self.unix_seconds));
        out.extend_from_slice(b"\r\n");
        let mut checked = Fields::new();
        let _ = self.has_body() && checked.push(b"Content-Type", self.content_type.as_bytes());
        for (name, value) in fields.into_iter().filter(|(name, _)| !is_ours(name)) {
            let _ = checked.push(name.as_bytes(), value.as_bytes());
        }
        checked.write(out, |_, _| true);
        if self.has_body() {
            number_line(out, b"Content-Length", self.body.len() as u64);
        }
    }
}

/// Fields that the encoder itself writes into a reply of our own.
fn is_ours(name: &str) -> bool {
    let known = Known::of(name.as_bytes());
    known.is_hop_by_hop()
        || known == Known::ContentLength
        || name.eq_ignore_ascii_case("date")
        || name.eq_ignore_ascii_case("content-type")
}

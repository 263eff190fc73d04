//! Replies on their way to the client, and bodies on their way out to either side.

use std::io::Write;

use super::head::{BodyLength, Version, list};
use super::header_lines::{HeaderEdits, number_line, write_line};
use super::response::ResponseHead;
use crate::config::HeaderChanges;
use crate::wire::{Fields, Known};

/// How a reply goes to the client.
#[derive(Clone, Copy, Debug)]
pub struct DownstreamHead<'a> {
    /// The client's version.
    pub version: Version,
    /// How the body goes out; see [`reply_framing`].
    pub framing: BodyLength,
    /// Does the connection to the client go on after this reply. With [`BodyLength::UntilClose`] it does not, whatever
    /// stands here.
    pub keep_alive: bool,
    /// The route's changes.
    pub changes: &'a HeaderChanges,
}

/// How a reply's body goes to a client of this version: as it came where the client can read it, in chunks where its length
/// is not known, until close under HTTP/1.0 (which then must be reset, not closed, when the upstream cuts it).
pub const fn reply_framing(head: &ResponseHead, client: Version) -> BodyLength {
    match (head.body(), client) {
        (BodyLength::Chunked | BodyLength::UntilClose, Version::Http11 | Version::Http2) => BodyLength::Chunked,
        (BodyLength::Chunked | BodyLength::UntilClose, Version::Http10) => BodyLength::UntilClose,
        (length, _) => length,
    }
}

/// Appends a final reply's head for the client, empty line included. (101 is final: check it by
/// [`agreed`](super::agreed) first.)
pub fn encode_response(head: &ResponseHead, to: &DownstreamHead<'_>, out: &mut Vec<u8>) {
    status_line(head, out);
    response_lines(head, to.framing, to.changes, out);
    // A length that was not stated but is known: a reply over HTTP/2 that ended with its head.
    if let (BodyLength::Length(length), None) = (to.framing, head.content_length()) {
        number_line(out, b"Content-Length", length);
    }
    if to.framing == BodyLength::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if head.switches() {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
    } else {
        connection_line(to.version, to.keep_alive && to.framing != BodyLength::UntilClose, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// The fields of a final reply that every version of HTTP passes on, one `name: value` line each.
#[inline]
pub(in crate::wire) fn response_lines(
    head: &ResponseHead,
    framing: BodyLength,
    changes: &HeaderChanges,
    out: &mut Vec<u8>,
) {
    let edits = HeaderEdits::new(changes);
    head.fields().write(out, |line, run| match line.known() {
        Known::ContentLength => {
            if let Some(length) = stated_length(head, framing) {
                number_line(run.out(), line.name(), length);
            }
            false
        }
        Known::Trailer => framing == BodyLength::Chunked && edits.leaves(&line),
        Known::Upgrade if head.switches() => {
            for protocol in list(line.value()) {
                write_line(run.out(), b"Upgrade", protocol);
            }
            false
        }
        known => !known.is_hop_by_hop() && !line.hop_by_hop() && edits.leaves(&line),
    });
    edits.write(out, |_| true);
}

/// Appends an interim reply's head (100, 103 …) for the client. Not for a client of HTTP/1.0, which knows none; 100 only
/// for a client that waits for it.
pub fn encode_interim(head: &ResponseHead, out: &mut Vec<u8>) {
    status_line(head, out);
    interim_lines(head, out);
    out.extend_from_slice(b"\r\n");
}

/// The fields of an interim reply that every version of HTTP passes on.
pub(in crate::wire) fn interim_lines(head: &ResponseHead, out: &mut Vec<u8>) {
    head.fields().write(out, |line, _| {
        line.known() != Known::ContentLength && !line.known().is_hop_by_hop() && !line.hop_by_hop()
    });
}

#[inline]
fn status_line(head: &ResponseHead, out: &mut Vec<u8>) {
    let status = head.status();
    let digit = |n: u16| b'0' + (n % 10) as u8;
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&[digit(status / 100), digit(status / 10), digit(status), b' ']);
    out.extend_from_slice(head.reason());
    out.extend_from_slice(b"\r\n");
}

/// The Content-Length that a reply carries: of its own body, or of the one that HEAD and 304 do not bring.
const fn stated_length(head: &ResponseHead, framing: BodyLength) -> Option<u64> {
    match framing {
        BodyLength::Length(length) => Some(length),
        BodyLength::None if head.status() >= 200 && head.status() != 204 => head.content_length(),
        _ => None,
    }
}

/// What the client has to know about the connection.
pub(super) fn connection_line(client: Version, keep_alive: bool, out: &mut Vec<u8>) {
    match (client, keep_alive) {
        (_, false) => out.extend_from_slice(b"Connection: close\r\n"),
        (Version::Http10, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (Version::Http11 | Version::Http2, true) => {}
    }
}

/// Frames a body on its way out, and keeps the books: a body can neither be longer than stated nor be finished before its end.
#[derive(Clone, Copy, Debug)]
pub struct BodyEncoder {
    framing: BodyLength,
    left: u64,
}

/// The body is longer or shorter than was stated to the receiver: cut the connection, so that it never looks complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body does not have the length that was stated")]
pub struct WrongLength;

impl BodyEncoder {
    /// For a body that was announced like this.
    pub const fn new(framing: BodyLength) -> BodyEncoder {
        let left = if let BodyLength::Length(bytes) = framing { bytes } else { 0 };
        BodyEncoder { framing, left }
    }

    /// What stands before and behind `len` bytes of data: for writers that gather. Nothing unless the framing is chunked;
    /// no data has neither, because an empty chunk would end the body.
    pub fn wrap(&mut self, len: usize) -> Result<(ChunkSize, &'static [u8]), WrongLength> {
        match self.framing {
            _ if len == 0 => Ok((ChunkSize::NONE, b"")),
            BodyLength::Chunked => Ok((ChunkSize::new(len), b"\r\n")),
            BodyLength::UntilClose => Ok((ChunkSize::NONE, b"")),
            BodyLength::None | BodyLength::Length(_) => {
                self.left = self.left.checked_sub(len as u64).ok_or(WrongLength)?;
                Ok((ChunkSize::NONE, b""))
            }
        }
    }

    /// Appends data with its framing.
    pub fn encode(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), WrongLength> {
        let (before, behind) = self.wrap(data.len())?;
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(data);
        out.extend_from_slice(behind);
        Ok(())
    }

    /// Appends the end of the body: the last chunk with the trailers. Trailers are dropped where the framing has no room
    /// for them.
    pub fn finish(&mut self, trailers: &Fields, out: &mut Vec<u8>) -> Result<(), WrongLength> {
        if self.left > 0 {
            return Err(WrongLength);
        }
        if self.framing == BodyLength::Chunked {
            out.extend_from_slice(b"0\r\n");
            trailers.write(out, |_, _| true);
            out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    /// Bytes that may still be written, where a length was stated.
    pub const fn left(&self) -> Option<u64> {
        match self.framing {
            BodyLength::None | BodyLength::Length(_) => Some(self.left),
            BodyLength::Chunked | BodyLength::UntilClose => None,
        }
    }
}

/// The line before a chunk's data, or nothing.
#[derive(Clone, Copy, Debug)]
pub struct ChunkSize {
    text: [u8; 18],
    len: u8,
}

impl ChunkSize {
    const NONE: ChunkSize = ChunkSize { text: [0; 18], len: 0 };

    fn new(size: usize) -> ChunkSize {
        let mut line = ChunkSize::NONE;
        let mut room = &mut line.text[..];
        // Cannot fail: sixteen hex digits and CRLF fit.
        let _ = write!(room, "{size:x}\r\n");
        let unused = room.len();
        line.len = (line.text.len() - unused) as u8;
        line
    }

    /// As it goes out.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.len)]
    }
}

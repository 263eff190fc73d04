//! Requests that the engine refuses by itself, before we see them: it only resets their streams. Here that reset becomes an
//! answer, as long as nothing was said on the stream: 400, and NO_ERROR behind it.
//!
//! The frames that go out are followed from head to head. What is put in uses the static table alone, so that the engine's
//! own compression state stays as the client has it.

use std::collections::VecDeque;

/// A frame's head in bytes.
const HEAD: usize = 9;
/// A whole RST_STREAM in bytes.
pub const RESET: usize = HEAD + 4;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
/// END_HEADERS and END_STREAM.
const WHOLE: u8 = 5;
const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
/// `:status: 400` in the static table.
const STATUS_400: u8 = 0x8c;
/// Fields that follow it, as literals that are not indexed.
const FIELDS: [(&str, &str); 2] = [("content-length", "0"), ("standfast-cause", "http2_message")];

/// The newest of a connection's streams, of which something is known.
#[derive(Debug, Default)]
pub struct RecentStreams {
    ids: VecDeque<u32>,
    /// The highest that is not listed any more.
    forgotten: u32,
}

impl RecentStreams {
    const KEPT: usize = 128;

    /// This one as well. What may be one of them already is not added again: bytes that wait are looked at as often as the
    /// socket takes some of them.
    pub fn add(&mut self, id: u32) {
        if self.may_have(id) {
            return;
        }
        if self.ids.len() == RecentStreams::KEPT {
            self.forgotten = self.forgotten.max(self.ids.pop_front().unwrap_or_default());
        }
        self.ids.push_back(id);
    }

    /// Whether it may be one of them: an old one may always be.
    pub fn may_have(&self, id: u32) -> bool {
        id <= self.forgotten || self.ids.contains(&id)
    }
}

/// Follows the frames that the engine writes.
#[derive(Debug, Default)]
pub struct RefusedRequests {
    head: [u8; HEAD],
    /// Bytes of `head` that have gone.
    have: usize,
    /// Bytes of the payload that are to go.
    left: usize,
    answered: RecentStreams,
}

impl RefusedRequests {
    /// How many of the bytes that follow those [written](RefusedRequests::wrote) may be written as they are: those before the
    /// next reset that becomes an answer. It begins with the first of them when that is none.
    pub fn as_they_are<'b>(&mut self, pieces: impl IntoIterator<Item = &'b [u8]>) -> usize {
        let (head, have, left) = (self.head, self.have, self.left);
        let mut count = 0;
        for bytes in pieces {
            let plain = self.follow(bytes, true);
            count += plain;
            if plain < bytes.len() {
                break;
            }
        }
        (self.head, self.have, self.left) = (head, have, left);
        count
    }

    /// These have been written.
    pub fn wrote(&mut self, bytes: &[u8]) {
        self.follow(bytes, false);
    }

    /// What goes out instead of the [`RESET`] bytes, which are a reset that becomes an answer; and on which stream.
    pub fn answer(reset: &[u8]) -> (u32, Vec<u8>) {
        let stream = reset.get(5..HEAD).map_or(0, number);
        let mut payload = vec![STATUS_400];
        for (name, value) in FIELDS {
            payload.push(0);
            for text in [name, value] {
                payload.push(text.len() as u8);
                payload.extend_from_slice(text.as_bytes());
            }
        }
        let mut frames = vec![0, 0, payload.len() as u8, HEADERS, WHOLE];
        frames.extend_from_slice(&stream.to_be_bytes());
        frames.extend_from_slice(&payload);
        frames.extend_from_slice(&[0, 0, 4, RST_STREAM, 0]);
        frames.extend_from_slice(&stream.to_be_bytes());
        frames.extend_from_slice(&NO_ERROR.to_be_bytes());
        (stream, frames)
    }

    /// Goes over the bytes; with `looking` to the first reset that becomes an answer. Returns how far it came.
    fn follow(&mut self, bytes: &[u8], looking: bool) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if self.left > 0 {
                let count = self.left.min(rest.len());
                (self.left, at) = (self.left - count, at + count);
                continue;
            }
            if looking && self.have == 0 && self.becomes_answer(rest) {
                break;
            }
            let count = (HEAD - self.have).min(rest.len());
            self.head[self.have..self.have + count].copy_from_slice(&rest[..count]);
            (self.have, at) = (self.have + count, at + count);
            if self.have == HEAD {
                let [a, b, c, kind, _, stream @ ..] = self.head;
                (self.have, self.left) = (0, usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c));
                if looking && kind == HEADERS {
                    self.answered.add(number(&stream));
                }
            }
        }
        at
    }

    fn becomes_answer(&self, frame: &[u8]) -> bool {
        frame.len() >= RESET
            && frame[3] == RST_STREAM
            && number(&frame[HEAD..RESET]) == PROTOCOL_ERROR
            && !self.answered.may_have(number(&frame[5..HEAD]))
    }
}

/// A number of four bytes; a stream's has 31 bits.
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, (payload.len() >> 8) as u8, payload.len() as u8, kind, 0];
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    fn reset(stream: u32, reason: u32) -> Vec<u8> {
        frame(RST_STREAM, stream, &reason.to_be_bytes())
    }

    /// What goes out when the engine writes this and the socket takes so much at once.
    fn through(bytes: &[u8], step: usize) -> Vec<u8> {
        let (mut refused, mut out, mut at) = (RefusedRequests::default(), Vec::new(), 0);
        while at < bytes.len() {
            match refused.as_they_are([&bytes[at..], b""]) {
                0 => {
                    out.extend(RefusedRequests::answer(&bytes[at..at + RESET]).1);
                    at += RESET;
                }
                plain => {
                    let count = plain.min(step);
                    refused.wrote(&bytes[at..at + count]);
                    out.extend_from_slice(&bytes[at..at + count]);
                    at += count;
                }
            }
        }
        out
    }

    #[test]
    fn only_a_reset_for_an_error_on_a_stream_of_which_nothing_was_said_becomes_an_answer() {
        let kept = [
            frame(4, 0, &[]),
            frame(HEADERS, 1, b"head"),
            frame(0, 1, &reset(9, PROTOCOL_ERROR)),
            reset(1, PROTOCOL_ERROR),
            reset(3, 8),
            frame(0, 1, &[7; 300]),
        ]
        .concat();
        let both =
            [kept.clone(), reset(5, PROTOCOL_ERROR), frame(HEADERS, 7, b"next"), reset(7, PROTOCOL_ERROR)].concat();
        let answer = RefusedRequests::answer(&reset(5, PROTOCOL_ERROR)).1;
        let wanted = [kept, answer, frame(HEADERS, 7, b"next"), reset(7, PROTOCOL_ERROR)].concat();
        for step in [1, 2, 9, 10, 13, 14, 100, 10_000] {
            assert!(through(&both, step) == wanted, "in steps of {step}");
        }
    }

    #[test]
    fn answers_do_not_depend_on_how_much_the_socket_takes_at_once() {
        let heads: Vec<u8> = (0..120).flat_map(|n| frame(HEADERS, 2 * n + 101, b"head")).collect();
        let bytes = [heads.clone(), reset(7, PROTOCOL_ERROR), heads].concat();
        let wanted = through(&bytes, 10_000);
        assert!(wanted.len() > bytes.len(), "the reset becomes an answer");
        for step in [1, 13, 500] {
            assert!(through(&bytes, step) == wanted, "in steps of {step}");
        }
    }

    #[test]
    fn old_streams_may_have_been_answered() {
        let mut streams = RecentStreams::default();
        assert!(!streams.may_have(1));
        (0..200).for_each(|n| streams.add(2 * n + 1));
        assert!(streams.may_have(1) && streams.may_have(399) && !streams.may_have(401) && streams.may_have(0));
        assert!(!streams.may_have(400));
    }
}

//! The search for expected bytes in an answer as it arrives. Pure. Details name what was wanted, never what was answered.

use memchr::memmem;

use super::error::{ProbeError, mismatch};
use crate::text::shortened;

/// Bytes of an answer that a check looks at.
pub(super) const ANSWER: usize = 64 * 1024;

/// Characters of what was expected that a detail shows.
const SHOWN: usize = 60;

/// An answer that must contain something.
pub(super) struct ExpectedBytes<'a> {
    wanted: &'a [u8],
    bytes: Vec<u8>,
}

impl<'a> ExpectedBytes<'a> {
    /// Nothing of it has come yet.
    pub(super) fn new(wanted: &'a [u8]) -> ExpectedBytes<'a> {
        ExpectedBytes { wanted, bytes: Vec::new() }
    }

    /// More of the answer has come. `Some`: the verdict, which nothing that follows changes.
    pub(super) fn push(&mut self, piece: &[u8]) -> Option<Result<(), ProbeError>> {
        // (What was searched before is searched again only as far as the wanted bytes may have begun in it.)
        let from = self.bytes.len().saturating_sub(self.wanted.len().saturating_sub(1));
        let room = ANSWER - self.bytes.len();
        self.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        if memmem::find(&self.bytes[from..], self.wanted).is_some() {
            return Some(Ok(()));
        }
        (self.bytes.len() == ANSWER).then(|| Err(self.missing()))
    }

    /// The answer has ended without it.
    pub(super) fn missing(&self) -> ProbeError {
        let wanted = match std::str::from_utf8(self.wanted) {
            Ok(text) => format!("{:?}", shortened(text.trim_end(), SHOWN)),
            Err(_) => {
                let digits: String = self.wanted.iter().take(SHOWN / 3).map(|byte| format!(" {byte:02x}")).collect();
                format!("`hex:{digits}`")
            }
        };
        match self.bytes.len() {
            0 => mismatch(format!("nothing was answered, wanted {wanted}")),
            count => mismatch(format!("the first {count} bytes of the answer do not contain {wanted}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict(wanted: &[u8], pieces: &[&[u8]]) -> Result<(), String> {
        let mut expected = ExpectedBytes::new(wanted);
        for piece in pieces {
            if let Some(verdict) = expected.push(piece) {
                return verdict.map_err(|error| error.detail().to_owned());
            }
        }
        Err(expected.missing().detail().to_owned())
    }

    #[test]
    fn what_is_wanted_is_named_and_what_was_answered_is_not() {
        assert_eq!(verdict(b"+PONG", &[b"+PO", b"NG\r\n"]), Ok(()));
        let told = verdict(b"+PONG\r\n", &[b"-ERR secret"]).unwrap_err();
        assert_eq!(told, "the first 11 bytes of the answer do not contain \"+PONG\"");
        assert_eq!(verdict(b"x", &[]).unwrap_err(), "nothing was answered, wanted \"x\"");
        assert_eq!(verdict(&[0xff, 1], &[]).unwrap_err(), "nothing was answered, wanted `hex: ff 01`");
    }

    #[test]
    fn an_answer_without_an_end_is_read_up_to_64_kib() {
        let mut expected = ExpectedBytes::new(b"needle");
        let piece = [b'x'; 1000];
        let pieces = (0..1000).position(|_| expected.push(&piece).is_some());
        assert_eq!((pieces, expected.bytes.len()), (Some(65), ANSWER));
        let long = [&vec![b'x'; ANSWER - 3][..], b"needle"].concat();
        assert!(verdict(b"needle", &[&long]).is_err(), "it begins within and ends outside");
    }

    proptest! {
        #[test]
        fn the_pieces_of_an_answer_do_not_matter(
            wanted in proptest::collection::vec(0..3_u8, 1..5),
            answer in proptest::collection::vec(0..3_u8, 0..200),
            cuts in proptest::collection::vec(1..20_usize, 0..30),
        ) {
            let mut rest = &answer[..];
            let mut pieces = Vec::new();
            for cut in cuts {
                let (piece, more) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = more;
            }
            pieces.push(rest);
            let contains = answer.windows(wanted.len()).any(|part| part == wanted);
            prop_assert_eq!(verdict(&wanted, &pieces).is_ok(), contains);
        }
    }
}

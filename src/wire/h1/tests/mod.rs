//! Tests of the codec as a whole: rules by table, limits, round trips. Any input in any pieces: `tests/fuzz`.
mod bodies;
mod encoding;
mod requests;
mod responses;
mod splits;
mod upgrades;

use super::*;

pub(super) const LIMITS: HeadLimits = HeadLimits { bytes: 4096, fields: 32 };

/// Parses a head in one piece; the rest of the input is returned too.
pub(super) fn request(input: &[u8]) -> Result<(RequestHead, usize), Error> {
    let mut head = RequestHead::new();
    match RequestParser::new().feed(input, &LIMITS, &mut head)? {
        Progress::Complete(used) => Ok((head, used)),
        Progress::Partial => panic!("incomplete: {}", input.escape_ascii()),
    }
}

/// Parses a reply's head in one piece.
pub(super) fn response(input: &[u8], asked: AskedMethod) -> Result<(ResponseHead, usize), Error> {
    let mut head = ResponseHead::new();
    match ResponseParser::new().feed(input, &LIMITS, asked, &mut head)? {
        Progress::Complete(used) => Ok((head, used)),
        Progress::Partial => panic!("incomplete: {}", input.escape_ascii()),
    }
}

/// Names and values as text.
pub(super) fn pairs(fields: &crate::wire::Fields) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    fields.iter().map(|field| (text(field.name), text(field.value))).collect()
}

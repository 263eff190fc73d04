//! Where the frames of a relayed WebSocket end.

use standfast::wire::websocket::*;

use super::tools::{bounded, cuts, seed, shown};

pub fn check(input: &[u8]) {
    let ends = ends(input);
    bounded((64 << 10) + 40 * input.len(), || {
        let mut whole = Frames::new();
        whole.pass(input);
        for pieces in cuts(seed(input), input) {
            let (mut frames, mut at) = (Frames::new(), 0);
            for piece in pieces {
                let end = ends.iter().find(|(end, _)| *end == at as u128);
                let between = at == 0 || end.is_some();
                assert_eq!(frames.is_between(), between, "at {at} of {}", shown(input));
                assert_eq!(frames.is_closed(), end.is_some_and(|(_, closes)| *closes), "at {at} of {}", shown(input));
                let next = ends.iter().map(|(end, _)| *end).find(|end| *end >= at as u128);
                let rest = next.map_or(piece.len() as u128, |next| (next - at as u128).min(piece.len() as u128));
                let rest = if between { 0 } else { rest };
                assert_eq!(frames.rest_of_frame(piece) as u128, rest, "at {at} of {}", shown(input));
                frames.pass(piece);
                at += piece.len();
            }
            assert_eq!(frames, whole, "{}", shown(input));
        }
    });
}

/// The ends of frames by RFC 6455 §5.2, and whether each is a Close. The last one may be far beyond the input.
fn ends(input: &[u8]) -> Vec<(u128, bool)> {
    let (mut at, mut found) = (0_u128, Vec::new());
    while let Some(rest) = usize::try_from(at).ok().and_then(|at| input.get(at..)) {
        let &[first, second, ..] = rest else { break };
        let (header, length) = match (second & 127, rest) {
            (126, &[_, _, a, b, ..]) => (4, u128::from(u16::from_be_bytes([a, b]))),
            (127, &[_, _, a, b, c, d, e, f, g, h, ..]) => {
                (10, u128::from(u64::from_be_bytes([a, b, c, d, e, f, g, h])))
            }
            (126 | 127, _) => break,
            (short, _) => (2, u128::from(short)),
        };
        at += header + length + if second & 128 == 0 { 0 } else { 4 };
        found.push((at, first & 15 == 8));
    }
    found
}

//! Frames of HTTP/2 as far as we follow them: floods on the way in, refused requests on the way out.

use std::collections::VecDeque;

use standfast::time::MonoTime;
use standfast::wire::h2::{ClientMeter, H2Excess, PREFACE, PrefaceMatch, RESET, RefusedRequests};

use super::tools::{Rng, bounded, cuts, seed, shown};

const HEAD: usize = 9;

pub fn check(input: &[u8]) {
    let seed = seed(input);
    bounded((512 << 10) + 40 * input.len(), || {
        meter(seed, input);
        meter(seed, &[PREFACE, input].concat());
        // A flood of it.
        if (1..=40).contains(&input.len()) {
            meter(seed, &[PREFACE, &input.repeat(20_000 / input.len())].concat());
        }
        preface(input);
        refused_requests(seed, input);
    });
}

/// A frame: its kind, flags, stream, length of its payload, and where it begins.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    length: usize,
    at: usize,
}

/// Frames whose heads are whole (RFC 9113 §4.1).
fn frames(bytes: &[u8]) -> Vec<Frame> {
    let (mut at, mut found) = (0, Vec::new());
    while let Some(head) = bytes.get(at..at + HEAD) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        found.push(Frame { kind: head[3], flags: head[4], stream, length, at });
        at += HEAD + length;
    }
    found
}

fn meter(seed: u64, input: &[u8]) {
    let run = |pieces: &[&[u8]]| {
        let now = MonoTime::from_micros(1_000_000);
        let mut meter = ClientMeter::new(now);
        let verdict = pieces.iter().try_for_each(|piece| meter.feed(piece, || now));
        assert!(verdict.is_ok() || meter.feed(b"x", || now) == verdict, "an excess stays one");
        (verdict, verdict.is_ok() && meter.is_in_head())
    };
    let whole = run(&[input]);
    assert_eq!(whole, metered(input), "{}", shown(input));
    for pieces in cuts(seed, input) {
        assert_eq!(whole, run(&pieces), "{}", shown(input));
    }
}

/// What a connection may cost before time passes: 2000 for control frames, 250 resets, and eight for each request.
fn metered(input: &[u8]) -> (Result<(), H2Excess>, bool) {
    let input = input.get(PREFACE.len()..).unwrap_or_default();
    let (mut control, mut resets, mut open, mut inside) = (2000_i32, 250, false, false);
    for frame in frames(input) {
        let (cost, excess) = match frame.kind {
            0 if frame.length > 0 || frame.flags & 1 != 0 => (0, H2Excess::EmptyData),
            0 => (20, H2Excess::EmptyData),
            1 => {
                control = (control + 8).min(2000);
                (0, H2Excess::Head)
            }
            2 => (1, H2Excess::Priorities),
            3 => {
                resets -= 1;
                if resets < 0 {
                    return (Err(H2Excess::Resets), false);
                }
                (0, H2Excess::Resets)
            }
            4 => (20, H2Excess::Settings),
            6 => (2, H2Excess::Pings),
            8 => (1, H2Excess::WindowUpdates),
            9 => (10, H2Excess::Head),
            _ => (1, H2Excess::OtherFrames),
        };
        control -= cost;
        if control < 0 {
            return (Err(excess), false);
        }
        let of_head = matches!(frame.kind, 1 | 9);
        if of_head {
            open = frame.flags & 4 == 0;
        }
        inside = of_head && input.len() < frame.at + HEAD + frame.length;
    }
    (Ok(()), open || inside)
}

/// What is decided of a beginning is not decided otherwise by more bytes.
fn preface(input: &[u8]) {
    for input in [input, &[&PREFACE[..input.len() % 30 % PREFACE.len()], input].concat()] {
        let whole = PrefaceMatch::of(input);
        assert_eq!(whole == PrefaceMatch::Whole, input.starts_with(PREFACE));
        for end in 0..input.len().min(30) {
            let so_far = PrefaceMatch::of(&input[..end]);
            assert!(so_far == PrefaceMatch::Partial || so_far == whole, "{end} bytes of {}", shown(input));
        }
    }
}

/// Which resets become answers does not depend on how much the socket takes at once.
fn refused_requests(seed: u64, input: &[u8]) {
    let (frames, mut wanted, mut from) = (frames(input), Vec::new(), 0);
    let (mut recent, mut forgotten) = (VecDeque::new(), 0);
    for frame in &frames {
        let whole = input.get(frame.at..frame.at + RESET);
        let error = whole.is_some_and(|reset| reset[HEAD..] == [0, 0, 0, 1]);
        let said = frame.stream <= forgotten || recent.contains(&frame.stream);
        if frame.kind == 3 && frame.length == 4 && error && !said {
            let (stream, answer) = RefusedRequests::answer(whole.unwrap_or_default());
            assert_eq!(stream, frame.stream);
            wanted.extend_from_slice(&input[from..frame.at]);
            wanted.extend_from_slice(&answer);
            from = frame.at + RESET;
        }
        if frame.kind == 1 && !said {
            recent.push_back(frame.stream);
            if recent.len() > 128 {
                forgotten = forgotten.max(recent.pop_front().unwrap_or_default());
            }
        }
    }
    // A reset of another length is none that an engine writes.
    if frames.iter().any(|frame| frame.kind == 3 && frame.length != 4) {
        return;
    }
    wanted.extend_from_slice(&input[from..]);
    let mut rng = Rng(seed | 1);
    for most in [1, 13, 1 << 20] {
        let (mut refused, mut out, mut at) = (RefusedRequests::default(), Vec::new(), 0);
        while at < input.len() {
            match refused.as_they_are([&input[at..]]) {
                0 => {
                    out.extend(RefusedRequests::answer(&input[at..at + RESET]).1);
                    at += RESET;
                }
                plain => {
                    let count = plain.min(1 + rng.below(most));
                    refused.wrote(&input[at..at + count]);
                    out.extend_from_slice(&input[at..at + count]);
                    at += count;
                }
            }
        }
        assert!(out == wanted, "in steps of at most {most}: {} / {}", shown(&out), shown(&wanted));
    }
}

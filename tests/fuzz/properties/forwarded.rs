//! What a client says about itself and the way that its request took: Forwarded, X-Forwarded-…, X-Real-IP, Connection. Each
//! line of the input is the value of one such field; its first byte chooses which.

use standfast::wire::h1::*;

use super::heads::{LARGE, Way, check_request};
use super::tools::{bounded, seed};

const NAMES: [&str; 16] = [
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "Forwarded",
    "X-Real-IP",
    "X_Forwarded_For",
    "X-Forwarded_For",
    "Connection",
    "Standfast-Hops",
    "x-forwarded-for",
    "FORWARDED",
    "X-Request-Id",
    "X-Forwardedfor",
    "TE",
    "Keep-Alive",
];

pub fn check(input: &[u8]) {
    let seed = seed(input);
    let mut text = b"GET / HTTP/1.".to_vec();
    text.extend_from_slice(if seed & 512 == 0 { b"1\r\nHost: a.example:81\r\n" } else { b"0\r\n" });
    for line in input.split(|byte| *byte == b'\n') {
        let Some((which, value)) = line.split_first() else { continue };
        text.extend_from_slice(NAMES[usize::from(*which) % NAMES.len()].as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    bounded((256 << 10) + 60 * input.len(), || {
        let mut head = RequestHead::new();
        if let Ok(Progress::Complete(_)) = RequestParser::new().feed(&text, &LARGE, &mut head) {
            for flip in 0..3 {
                check_request(&head, &Way::of((seed & !0x300) ^ flip << 2 ^ flip));
            }
        }
    });
}

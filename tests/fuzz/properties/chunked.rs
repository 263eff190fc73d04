//! The chunked coding, of requests and of replies.

use standfast::wire::Fields;
use standfast::wire::h1::*;

use super::heads::tell;
use super::tools::{bounded, cut, cuts, seed, shown};

/// A body as far as it was read.
struct Read {
    data: Vec<u8>,
    trailers: Fields,
    done: bool,
    used: usize,
}

impl Read {
    fn told(&self) -> (Vec<u8>, Vec<u8>, bool, usize) {
        let mut trailers = Vec::new();
        tell(&self.trailers, &mut trailers);
        (self.data.clone(), trailers, self.done, self.used)
    }
}

pub fn check(input: &[u8]) {
    let seed = seed(input);
    for of_a_reply in [false, true] {
        bounded((64 << 10) + 40 * input.len(), || {
            let whole = read(&[input], of_a_reply);
            for pieces in cuts(seed, input) {
                let cut = read(&pieces, of_a_reply);
                match (&whole, &cut) {
                    (Ok(whole), Ok(cut)) => {
                        assert!(whole.told() == cut.told(), "whole and in pieces: {}", shown(input))
                    }
                    (Err(whole), Err(cut)) => assert_eq!(whole, cut, "{}", shown(input)),
                    _ => panic!("refused whole or in pieces alone: {}", shown(input)),
                }
            }
            let strict = read(&[input], false);
            assert!(strict.is_err() || whole.is_ok(), "a request may be what a reply may not: {}", shown(input));
            if let Ok(whole) = whole
                && whole.done
            {
                let wanted = reference(input, of_a_reply)
                    .unwrap_or_else(|| panic!("a second reader sees no body: {}", shown(input)));
                assert_eq!(wanted, (whole.data.clone(), whole.used), "{}", shown(input));
                framed_again(&whole, seed);
            }
        });
    }
}

fn read(pieces: &[&[u8]], of_a_reply: bool) -> Result<Read, Error> {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    if of_a_reply {
        decoder.reset_for_reply(BodyLength::Chunked);
    }
    let (mut data, mut used) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() && !decoder.is_done() {
            let found = decoder.decode(rest)?;
            data.extend_from_slice(&rest[found.data.clone()]);
            rest = &rest[found.taken..];
            used += found.taken;
        }
    }
    Ok(Read { data, trailers: decoder.trailers().clone(), done: decoder.is_done(), used })
}

/// RFC 9112 §7.1, read line by line: the data of a complete body and its length on the wire.
fn reference(input: &[u8], padded: bool) -> Option<(Vec<u8>, usize)> {
    let (mut rest, mut data) = (input, Vec::new());
    let line = |rest: &mut &[u8]| -> Option<Vec<u8>> {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let line = rest[..end].to_vec();
        *rest = &rest[end + 2..];
        Some(line)
    };
    loop {
        let first = line(&mut rest)?;
        let digits = first.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let behind = first[digits..].trim_ascii();
        let bare = behind.is_empty() && (padded || digits == first.len());
        if !bare && behind.first() != Some(&b';') {
            return None;
        }
        let size = usize::from_str_radix(std::str::from_utf8(&first[..digits]).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        data.extend_from_slice(rest.get(..size)?);
        rest = rest[size..].strip_prefix(b"\r\n")?;
    }
    while !line(&mut rest)?.is_empty() {}
    Some((data, input.len() - rest.len()))
}

/// What was read is written, read as the same, and never complete when it is cut.
fn framed_again(body: &Read, seed: u64) {
    let mut out = Vec::new();
    let mut encoder = BodyEncoder::new(BodyLength::Chunked);
    for piece in cut(seed, &body.data) {
        encoder.encode(piece, &mut out).expect("chunks have any length");
    }
    encoder.finish(&body.trailers, &mut out).expect("chunks may end at any time");
    let again = read(&[&out], false).unwrap_or_else(|error| panic!("we would refuse it: {error:?}: {}", shown(&out)));
    assert_eq!(again.told(), (body.data.clone(), body.told().1, true, out.len()), "{}", shown(&out));
    for end in [out.len() - 1, out.len() / 2, seed as usize % out.len()] {
        assert!(
            read(&[&out[..end]], false).is_ok_and(|cut| !cut.done),
            "a cut body is complete: {}",
            shown(&out[..end])
        );
    }
}

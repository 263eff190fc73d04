//! Replies of HTTP/1: interim heads, the head, its body and trailers.

use standfast::wire::h1::*;

use super::heads::{check_reply, tell};
use super::tools::{bounded, cuts, seed, shown};

pub fn check(input: &[u8]) {
    let seed = seed(input);
    let small =
        HeadLimits { bytes: [60, 200, 2049][(seed >> 16) as usize % 3], fields: 1 + (seed >> 20) as usize % 16 };
    let asked = [AskedMethod::Other, AskedMethod::Head, AskedMethod::Upgrade][(seed >> 24) as usize % 3];
    for (limits, asked) in [(HeadLimits::REPLY, AskedMethod::Other), (HeadLimits::REPLY, asked), (small, asked)] {
        bounded((64 << 10) + 40 * input.len(), || {
            let whole = read(&[input], &limits, asked, &mut |head| check_reply(head, asked, seed));
            for pieces in cuts(seed, input) {
                let cut = read(&pieces, &limits, asked, &mut |_| ());
                assert!(whole == cut, "{limits:?}\nwhole:  {}\npieces: {}", shown(&whole), shown(&cut));
            }
        });
    }
}

fn read(pieces: &[&[u8]], limits: &HeadLimits, asked: AskedMethod, seen: &mut dyn FnMut(&ResponseHead)) -> Vec<u8> {
    let (mut parser, mut head) = (ResponseParser::new(), ResponseHead::new());
    let mut body = BodyDecoder::new(BodyLength::None);
    let (mut told, mut total, mut in_body) = (Vec::new(), 0, false);
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            if in_body {
                match body.decode(rest) {
                    Err(error) => {
                        told.extend_from_slice(format!("\x02body: {error:?}").as_bytes());
                        return told;
                    }
                    Ok(found) => {
                        told.extend_from_slice(&rest[found.data.clone()]);
                        total += found.taken;
                        rest = &rest[found.taken..];
                        if found.done {
                            told.extend_from_slice(format!("\x02end at {total}").as_bytes());
                            tell(body.trailers(), &mut told);
                            return told;
                        }
                    }
                }
                continue;
            }
            match parser.feed(rest, limits, asked, &mut head) {
                Err(error) => {
                    told.extend_from_slice(format!("\x02head: {error:?}").as_bytes());
                    return told;
                }
                Ok(Progress::Partial) => {
                    total += rest.len();
                    rest = &[];
                }
                Ok(Progress::Complete(used)) => {
                    assert!(used <= rest.len() && used > 0);
                    total += used;
                    rest = &rest[used..];
                    let facts = (head.status(), head.version(), head.body(), head.keep_alive(), head.content_length());
                    told.extend_from_slice(format!("{total} {facts:?}").as_bytes());
                    told.extend_from_slice(head.reason());
                    tell(head.fields(), &mut told);
                    seen(&head);
                    if head.switches() {
                        return told;
                    }
                    if !head.is_interim() {
                        body.reset_for_reply(head.body());
                        if body.is_done() {
                            return told;
                        }
                        in_body = true;
                    }
                }
            }
        }
    }
    if in_body {
        told.extend_from_slice(format!("\x02closed: {:?}", body.end_of_input()).as_bytes());
    }
    told
}

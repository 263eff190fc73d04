//! Requests of HTTP/1: heads, bodies and trailers of a whole connection.

use standfast::wire::h1::*;

use super::heads::{Way, check_request, tell};
use super::tools::{bounded, cuts, seed, shown};

pub fn check(input: &[u8]) {
    let seed = seed(input);
    let way = Way::of(seed);
    let small = HeadLimits {
        bytes: [48, 200, 2048, 2050][(seed >> 16) as usize % 4],
        fields: [1, 3, 32][(seed >> 20) as usize % 3],
    };
    for limits in [HeadLimits { bytes: 64 << 10, fields: 100 }, small] {
        bounded((64 << 10) + 40 * input.len(), || {
            alike(input, cuts(seed, input), &limits, &way);
        });
    }
}

/// The same is read in one piece and in any of these.
pub fn alike<'i>(input: &'i [u8], cuts: impl IntoIterator<Item = Vec<&'i [u8]>>, limits: &HeadLimits, way: &Way) {
    let whole = read(&[input], limits, way, &mut |head| check_request(head, way));
    for pieces in cuts {
        let cut = read(&pieces, limits, way, &mut |_| ());
        assert!(whole == cut, "{limits:?}\nwhole:  {}\npieces: {}", shown(&whole), shown(&cut));
    }
}

/// Everything that is read off a connection until something is wrong.
fn read(pieces: &[&[u8]], limits: &HeadLimits, way: &Way, seen: &mut dyn FnMut(&RequestHead)) -> Vec<u8> {
    let (mut parser, mut head) = (RequestParser::over(way.scheme), RequestHead::new());
    let mut body = BodyDecoder::new(BodyLength::None);
    let (mut told, mut total, mut in_body) = (Vec::new(), 0, false);
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            if in_body {
                match body.decode(rest) {
                    Err(error) => {
                        assert_eq!(body.decode(rest), Err(error), "an error stays one");
                        told.extend_from_slice(format!("\x02body: {error:?}").as_bytes());
                        return told;
                    }
                    Ok(found) => {
                        assert!(
                            found.taken <= rest.len()
                                && found.data.end <= found.taken
                                && (found.taken > 0 || found.done)
                        );
                        told.extend_from_slice(&rest[found.data.clone()]);
                        total += found.taken;
                        rest = &rest[found.taken..];
                        if found.done {
                            told.extend_from_slice(format!("\x02end at {total}").as_bytes());
                            tell(body.trailers(), &mut told);
                            in_body = false;
                        }
                    }
                }
                continue;
            }
            match parser.feed(rest, limits, &mut head) {
                Err(error) => {
                    assert_eq!(parser.feed(rest, limits, &mut head), Err(error), "an error stays one");
                    told.extend_from_slice(format!("\x02head: {error:?}").as_bytes());
                    return told;
                }
                Ok(Progress::Partial) => {
                    assert!(parser.has_started());
                    total += rest.len();
                    rest = &[];
                }
                Ok(Progress::Complete(used)) => {
                    assert!(used <= rest.len() && used > 0);
                    total += used;
                    rest = &rest[used..];
                    tell_head(&head, total, &mut told);
                    seen(&head);
                    body.reset(head.body());
                    in_body = !body.is_done();
                }
            }
        }
    }
    told.extend_from_slice(format!("\x02open {in_body} {}", parser.has_started()).as_bytes());
    told
}

fn tell_head(head: &RequestHead, end: usize, told: &mut Vec<u8>) {
    for part in [
        head.method_bytes(),
        head.path_bytes(),
        head.path_and_query().as_bytes(),
        head.authority_bytes(),
        head.host_bytes(),
    ] {
        told.extend_from_slice(part);
        told.push(1);
    }
    let facts = (head.version(), head.body(), head.keep_alive(), head.expects_continue(), head.accepts_trailers());
    told.extend_from_slice(format!("{end} {facts:?} {} {}", head.asks_for_upgrade(), head.hops()).as_bytes());
    tell(head.fields(), told);
}

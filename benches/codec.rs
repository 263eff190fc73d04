//! What the codec costs: heads in and out, chunked bodies, and all of it for one proxied request.
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use standfast::wire::h1::*;

#[path = "support/messages.rs"]
#[allow(dead_code, reason = "shared by several benches")]
mod messages;
use messages::{BROWSER, Exchange, LIMITS, REPLY, SMALL};

fn main() {
    divan::main();
}

#[divan::bench(args = [SMALL.len(), BROWSER.len()])]
fn parse_request(bencher: Bencher, len: usize) {
    let input = if len == SMALL.len() { SMALL } else { BROWSER };
    let mut head = RequestHead::new();
    bencher
        .counter(BytesCount::new(len))
        .bench_local(|| RequestParser::new().feed(black_box(input), &LIMITS, &mut head));
}

#[divan::bench]
fn parse_request_byte_by_byte(bencher: Bencher) {
    let mut head = RequestHead::new();
    bencher.counter(BytesCount::new(BROWSER.len())).bench_local(|| {
        let mut parser = RequestParser::new();
        BROWSER.iter().map(|byte| parser.feed(black_box(std::slice::from_ref(byte)), &LIMITS, &mut head)).last()
    });
}

#[divan::bench]
fn parse_reply(bencher: Bencher) {
    let mut head = ResponseHead::new();
    bencher
        .counter(BytesCount::new(REPLY.len()))
        .bench_local(|| ResponseParser::new().feed(black_box(REPLY), &LIMITS, AskedMethod::Other, &mut head));
}

#[divan::bench(args = [1, 1024, 65_536])]
fn decode_chunks(bencher: Bencher, chunk: usize) {
    let mut input = Vec::new();
    let mut encoder = BodyEncoder::new(BodyLength::Chunked);
    for _ in 0..65_536 / chunk {
        encoder.encode(&vec![b'x'; chunk], &mut input).expect("chunks have no length");
    }
    encoder.finish(&standfast::wire::Fields::new(), &mut input).expect("chunks have no length");
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    bencher.counter(BytesCount::new(input.len())).bench_local(|| {
        decoder.reset(BodyLength::Chunked);
        let mut used = 0;
        while !decoder.is_done() {
            used += decoder.decode(black_box(&input[used..])).expect("it is valid").taken;
        }
        used
    });
}

/// The codec's whole share of one proxied request: both heads in, both heads out.
#[divan::bench(args = [SMALL.len(), BROWSER.len()])]
fn exchange(bencher: Bencher, len: usize) {
    let input = if len == SMALL.len() { SMALL } else { BROWSER };
    let mut work = Exchange::new();
    bencher.bench_local(|| work.run(black_box(input)));
}

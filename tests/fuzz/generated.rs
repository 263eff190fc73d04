//! Generated inputs: arbitrary bytes, changed inputs of the corpus, and soups of the words that mean something to a reader.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use standfast::config::ProxyVersion;
use standfast::wire::h1::{BodyEncoder, BodyLength, HeadLimits};
use standfast::wire::proxy_protocol::{ConnectionEnds, write};

use crate::corpus;
use crate::properties::heads::Way;
use crate::properties::tools::seed;
use crate::properties::{self, TARGETS};

/// One change of an input.
#[derive(Clone, Debug)]
enum Change {
    Cut(Index, Index),
    Twice(Index, Index),
    Put(Index, Vec<u8>),
    Turn(Index, u8),
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Cut(from, to)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Twice(from, to)),
        (any::<Index>(), vec(any::<u8>(), 1..6)).prop_map(|(at, bytes)| Change::Put(at, bytes)),
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Change::Turn(at, bit)),
    ]
}

fn changed(mut input: Vec<u8>, change: &Change) -> Vec<u8> {
    let end = input.len() + 1;
    let at = |index: &Index| index.index(end);
    match change {
        Change::Cut(a, b) => drop(input.drain(at(a).min(at(b))..at(a).max(at(b)))),
        Change::Twice(a, b) => {
            let (from, to) = (at(a).min(at(b)), at(a).max(at(b)));
            let part = input[from..to].to_vec();
            input.splice(to..to, part);
        }
        Change::Put(place, bytes) => drop(input.splice(at(place)..at(place), bytes.iter().copied())),
        Change::Turn(place, bit) => {
            if let Some(byte) = input.get_mut(at(place)) {
                *byte ^= 1 << bit;
            }
        }
    }
    input
}

#[test]
fn arbitrary_bytes_keep_the_properties() {
    for target in &TARGETS {
        proptest!(ProptestConfig::with_cases(64), |(input in vec(any::<u8>(), 0..200))| (target.check)(&input));
    }
}

#[test]
fn changed_inputs_of_the_corpus_keep_the_properties() {
    for target in &TARGETS {
        let inputs: Vec<Vec<u8>> = corpus::inputs(target).into_iter().map(|(_, input)| input).collect();
        let strategy = (select(inputs), vec(any_change(), 1..4));
        proptest!(ProptestConfig::with_cases(128), |((input, changes) in strategy)| {
            let input = changes.iter().fold(input, changed);
            (target.check)(&input[..input.len().min(2 * target.longest)]);
        });
    }
}

/// A hello in so many records that its length on the wire is at the bound gets one verdict, however it was cut.
#[test]
fn a_hello_at_the_bound_is_the_same_in_pieces() {
    use standfast::wire::client_hello::{HelloReader, LONGEST_ON_WIRE};
    let body = vec![0; 12_000];
    let message = [&[1, 0][..], &(body.len() as u16).to_be_bytes(), &body].concat();
    for small in [10_700, 10_850, 10_900, 10_920] {
        let records = message[..small].iter().flat_map(|byte| [22, 3, 1, 0, 1, *byte]);
        let rest = [&message[small..], &[0; 300]].concat();
        let input: Vec<u8> = records.chain([22, 3, 1]).chain((rest.len() as u16).to_be_bytes()).chain(rest).collect();
        let verdict = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut reader = HelloReader::new();
            pieces.map(|piece| reader.feed(piece)).find(|read| *read != Ok(None))
        };
        let whole = verdict(&mut std::iter::once(&input[..]));
        for size in [1, 7, 1460] {
            let pieces = verdict(&mut input.chunks(size));
            assert_eq!(whole, pieces, "{} bytes, {LONGEST_ON_WIRE} may be, in pieces of {size}", input.len());
        }
    }
}

/// All splits in two, and byte by byte.
fn splits(input: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let step = 1 + input.len() / 200;
    let two = (1..input.len()).step_by(step).map(|at| vec![&input[..at], &input[at..]]);
    two.chain(std::iter::once(input.chunks(1).collect()))
}

/// Text made of the pieces that matter, valid and not; mostly behind a good start.
fn soup(start: &'static str, words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        16 => select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => (0_usize..1500).prop_map(|len| [b"X-Long: ", vec![b'l'; len].as_slice(), b"\r\n"].concat()),
        1 => vec(any::<u8>(), 0..4),
    ];
    let start = prop_oneof![3 => Just(start), 1 => Just("")];
    (start, vec(word, 0..12)).prop_map(|(start, words)| [start.as_bytes(), &words.concat()].concat())
}

const REQUEST: &[&str] = &[
    "GET ",
    "POST ",
    "/",
    "/a?b",
    "http://h/",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    "GET / HTTP/1.1\r\n",
    "Host: a\r\n",
    "Host: ",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Connection: Upgrade\r\n",
    "Connection: Upgrade, HTTP2-Settings\r\n",
    "Upgrade: websocket\r\n",
    "Upgrade: h2c, WebSocket, x\r\n",
    "HTTP2-Settings: AA\r\n",
    "X: y\r\n",
    "\r\n",
    "\n",
    "\r",
    ":",
    " ",
    "\t",
    "Expect: 100-continue\r\n",
    "\r\n\r\n",
];
const RESPONSE: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 ",
    "HTTP/1.1 ",
    "204",
    " No",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "HTTP/1.1 103 x\r\n",
    "HTTP/1.1 101 x\r\n",
    "Connection: upgrade\r\n",
    "Upgrade: websocket\r\n",
    "Host: a\r\n",
    "X: y\r\n",
    "\r\n",
    "\n",
    "\r",
    ":",
    " ",
    "\r\n\r\n",
];
const CHUNKS: &[&str] = &[
    "1\r\nx\r\n",
    "5\r\nhello\r\n",
    "0\r\n",
    "0\r\n\r\n",
    "\r\n",
    "\n",
    "a",
    ";",
    ";x=y",
    "\"",
    "A: b\r\n",
    "Host: b\r\n",
    " ",
    "3",
];

/// Pieces that YAML gives a meaning to.
const PIECES: [&str; 41] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ": ",
    "- ",
    "-",
    "\n",
    "\n  ",
    "\n    ",
    " ",
    "\t",
    "&a ",
    "*a",
    "? ",
    "|\n",
    ">-\n",
    "'",
    "\"",
    "%",
    "!!str ",
    "<<: ",
    "...\n",
    "---\n",
    "#",
    "listeners:",
    "services:",
    "name: x",
    "bind: 127.0.0.1:80",
    "pools",
    ",",
    "\\",
    "\u{feff}",
    "\r\n",
    "é",
    "null",
    "5s",
    "\u{0}",
    "\u{2028}",
    "\u{85}",
];

fn change(text: &str, at: usize, kind: u8, piece: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = at % (chars.len() + 1);
    let (before, after) = chars.split_at(at);
    let (before, after): (String, String) = (before.iter().collect(), after.iter().collect());
    match kind {
        0 => format!("{before}{piece}{after}"),
        1 => format!("{before}{}", after.chars().skip(1).collect::<String>()),
        2 => format!("{before}{piece}{}", after.chars().skip(1).collect::<String>()),
        3 => before,
        // A line twice, a line away, a value replaced.
        4 => {
            let line = after.split_inclusive('\n').nth(1).unwrap_or_default();
            format!("{before}{after}").replacen(line, &format!("{line}{line}"), 1)
        }
        5 => {
            let line = after.split_inclusive('\n').nth(1).unwrap_or_default();
            format!("{before}{after}").replacen(line, "", 1)
        }
        _ => match after.split_once(": ") {
            Some((key, rest)) => {
                let end = rest.find([',', '}', ']', '\n']).unwrap_or(rest.len());
                format!("{before}{key}: {piece}{}", &rest[end..])
            }
            None => format!("{before}{after}"),
        },
    }
}

const EXAMPLES: [&str; 4] = ["minimal.yaml", "two-regions.yaml", "api-gateway.yaml", "passthrough.yaml"];

fn example(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A WebSocket frame with its length in one of the three forms that can hold it.
fn frame(opcode: u8, form: usize, masked: bool, payload: &[u8]) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let length = match (form, payload.len()) {
        (0, length @ 0..=125) => vec![mask | length as u8],
        (0 | 1, length @ 0..=0xffff) => [&[mask | 126][..], &(length as u16).to_be_bytes()].concat(),
        (_, length) => [&[mask | 127][..], &(length as u64).to_be_bytes()].concat(),
    };
    [&[0x80 | opcode][..], &length, &[1, 2, 3, 4][..if masked { 4 } else { 0 }], payload].concat()
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![8 => 0..200_usize, 1 => Just(125), 1 => Just(126), 1 => 65_530..65_540_usize];
    (0..16_u8, 0..3_usize, any::<bool>(), size, any::<u8>())
        .prop_map(|(opcode, form, masked, size, fill)| frame(opcode, form, masked, &vec![fill; size]))
}

proptest! {
    #[test]
    fn soups_of_requests_keep_the_properties(input in soup("GET / HTTP/1.1\r\nHost: a\r\n", REQUEST)) {
        properties::h1_request::check(&input);
    }

    #[test]
    fn a_request_that_is_filled_to_its_limit_reads_like_one_piece(
        input in soup("GET / HTTP/1.1\r\nHost: a\r\n", REQUEST),
        fill in 3000_usize..4200,
        behind in soup("", REQUEST),
    ) {
        let long = [b"X: ", vec![b'l'; fill].as_slice()].concat();
        let input = [input, long, behind].concat();
        let limits = HeadLimits { bytes: 4096, fields: 32 };
        properties::h1_request::alike(&input, splits(&input), &limits, &Way::of(seed(&input)));
    }

    #[test]
    fn soups_of_replies_keep_the_properties(input in soup("HTTP/1.1 200 OK\r\n", RESPONSE)) {
        properties::h1_response::check(&input);
    }

    #[test]
    fn soups_of_chunks_keep_the_properties(input in soup("", CHUNKS)) {
        properties::chunked::check(&input);
    }

    #[test]
    fn bodies_that_we_wrote_keep_the_properties(pieces in vec(vec(any::<u8>(), 0..40), 0..8)) {
        let mut out = Vec::new();
        let mut encoder = BodyEncoder::new(BodyLength::Chunked);
        pieces.iter().for_each(|piece| encoder.encode(piece, &mut out).expect("chunks have any length"));
        encoder.finish(&standfast::wire::Fields::new(), &mut out).expect("chunks may end at any time");
        properties::chunked::check(&out);
    }

    #[test]
    fn websocket_frames_keep_the_properties(frames in vec(any_frame(), 1..4), cut in any::<Index>()) {
        let bytes = frames.concat();
        properties::websocket::check(&bytes);
        properties::websocket::check(&bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn proxy_headers_that_we_wrote_keep_the_properties(
        ends: Option<((std::net::IpAddr, std::net::IpAddr), (u16, u16))>,
        version in select(vec![ProxyVersion::V1, ProxyVersion::V2]),
        behind in vec(any::<u8>(), 0..64),
    ) {
        let ends = ends.map(|(ips, ports)| ConnectionEnds { source: (ips.0, ports.0).into(), destination: (ips.1, ports.1).into() });
        properties::proxy_protocol::check(&[write(version, ends), behind].concat());
    }

    #[test]
    fn routes_and_requests_of_arbitrary_bytes_keep_the_properties(input in vec(any::<u8>(), 0..400)) {
        properties::routing::check(&input);
    }

    #[test]
    fn any_text_gets_an_answer(text in any::<String>()) {
        properties::config::holds(&text);
    }

    #[test]
    fn any_soup_of_yaml_gets_an_answer(pieces in vec(0..PIECES.len(), 0..60)) {
        properties::config::holds(&pieces.into_iter().map(|piece| PIECES[piece]).collect::<String>());
    }

    #[test]
    fn a_changed_file_gets_an_answer(
        file in select(EXAMPLES.to_vec()),
        changes in vec((any::<usize>(), 0u8..8, 0..PIECES.len()), 1..4),
    ) {
        let text = example(file);
        let change = |text: String, (at, kind, piece): (usize, u8, usize)| change(&text, at, kind, PIECES[piece]);
        properties::config::holds(&changes.into_iter().fold(text, change));
    }
}

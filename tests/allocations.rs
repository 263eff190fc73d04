//! Allocations per proxied request: each kind of request has a budget, and whoever exceeds it is told where the
//! allocations come from. `cargo test --test allocations`, with `-- all` the sources are printed in any case.
//!
//! Client and upstream live in another process, so everything that is counted here is the proxy's. The connections are
//! open and have carried requests before the count begins.
mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;

use support::traffic::{Size, Speech, Traffic};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const WARM_UP: usize = 500;
const REQUESTS: usize = 1000;
/// What sweeps and timers may allocate in a whole run, and a buffer that grows once more.
const STRAY: u64 = 20;

/// Name, what is asked, allocations a request. Those of TLS are rustls' own (a record in, a record out); of HTTP/2's, two are
/// the engine's (the map of a request's fields), the others the answer's head and its body on their way into the engine.
const CASES: [(&str, Speech, u64); 5] = [
    ("GET over HTTP/1.1", Speech::Get, 0),
    ("POST over HTTP/1.1", Speech::Post, 0),
    ("GET over TLS", Speech::Tls, 2),
    ("GET over HTTP/2", Speech::Http2, 7),
    ("TCP", Speech::Tcp, 0),
];

fn main() -> ExitCode {
    Traffic::play_if_asked();
    let explain = std::env::args().any(|word| word == "all");
    let mut exceeded = false;
    for (name, speech, budget) in CASES {
        let sources = count(speech);
        let total: u64 = sources.values().sum();
        let over = total > budget * REQUESTS as u64 + STRAY;
        let verdict = if over { "EXCEEDED" } else { "kept" };
        println!("{name}: {:.2} allocations a request, budget {budget}: {verdict}", total as f64 / REQUESTS as f64);
        if over || explain {
            print!("{}", explained(&sources));
        }
        exceeded |= over;
    }
    if exceeded { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Allocations and reallocations of a thousand requests, by where they come from.
fn count(speech: Speech) -> BTreeMap<String, u64> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("heap.json");
    let mut traffic = Traffic::start(speech, Size::ONE);
    traffic.send(WARM_UP);
    let profiler = dhat::Profiler::builder().file_name(&file).trim_backtraces(None).build();
    traffic.send(REQUESTS);
    drop(profiler);
    let text = std::fs::read_to_string(file).expect("it was written");
    let profile: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let frames = profile["ftbl"].as_array().expect("frames");
    let mut sources = BTreeMap::new();
    for point in profile["pps"].as_array().expect("points") {
        let stack =
            point["fs"].as_array().expect("frames").iter().filter_map(|at| frames[at.as_u64()? as usize].as_str());
        *sources.entry(source(stack)).or_default() += point["tbk"].as_u64().expect("a count");
    }
    sources
}

/// The innermost frames beyond the allocator and the standard library's containers.
fn source<'a>(stack: impl Iterator<Item = &'a str>) -> String {
    const DULL: [&str; 5] = ["(alloc/src/", "(core/src/", "(src/vec/", "(src/boxed.rs", "raw_vec"];
    let mut stack = stack.skip_while(|frame| !frame.contains("(dhat-")).skip_while(|frame| frame.contains("(dhat-"));
    let stack = stack.by_ref().filter(|frame| !DULL.iter().any(|dull| frame.contains(dull)));
    stack.take(6).fold(String::new(), |mut text, frame| {
        let _ = writeln!(text, "        {}", frame.split_once(": ").map_or(frame, |(_, name)| name));
        text
    })
}

fn explained(sources: &BTreeMap<String, u64>) -> String {
    let mut sources: Vec<_> = sources.iter().filter(|(_, count)| **count > STRAY).collect();
    sources.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    sources.iter().fold(String::new(), |mut text, (stack, count)| {
        let _ = write!(text, "    {:.2} a request:\n{stack}", **count as f64 / REQUESTS as f64);
        text
    })
}

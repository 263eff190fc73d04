//! Where instructions go: callgrind's counts by line of source, inlined code included, summed up by part of the proxy.

use std::collections::HashMap;

/// Part → how paths of its sources look. The first that fits counts.
const PARTS: &[(&str, &[&str])] = &[
    ("parse the request", &["wire/h1/request", "wire/h1/target"]),
    ("parse the reply", &["wire/h1/response"]),
    (
        "parse either: fields, lists, lines",
        &["wire/h1/head.rs", "wire/h1/head_parser", "wire/fields", "wire/ascii", "memchr", "httparse"],
    ),
    ("encode either", &["wire/h1/encode", "wire/h1/header_lines", "wire/h1/upstream", "itoa"]),
    ("frame bodies", &["wire/h1/"]),
    ("HTTP/2", &["wire/h2", "http/h2", "/h2-", "/http-", "/slab-"]),
    ("route", &["routing/matching"]),
    ("permit", &["routing/limits"]),
    ("pick", &["routing/pick", "routing/balance", "fastrand"]),
    ("retry, hedge and budget rules", &["routing/tries", "routing/budget", "http/hedge"]),
    ("take, place and park connections", &["proxy/upstream"]),
    ("count and account", &["routing/stats", "http/account", "telemetry", "proxy/outcome"]),
    ("TLS", &["rustls", "aws-lc", "aws_lc", "net/tls"]),
    ("read and write", &["proxy/buffer", "src/net/", "/mio-", "tokio-1", "socket"]),
    ("deadlines and clock", &["proxy/deadline", "sys/clock", "vdso"]),
    ("table and sessions", &["src/routing/", "proxy/worker", "proxy/clients", "http/memory", "arc-swap"]),
    ("TCP relay", &["proxy/tcp"]),
    ("request function and connection", &["proxy/http", "src/proxy/"]),
    ("the rest of Standfast", &["standfast", "src/"]),
];
const RUNTIME: &[&str] = &["tokio-1"];
const STD: &[&str] = &["/rustc/", "library/core", "library/alloc", "library/std", "hashbrown"];

/// Instructions by part, of the files that callgrind wrote.
pub fn by_part(files: &[String]) -> HashMap<&'static str, u64> {
    let mut sums = HashMap::new();
    for text in files {
        add(text, &mut sums);
    }
    sums
}

fn add(text: &str, sums: &mut HashMap<&'static str, u64>) {
    let mut names = HashMap::new();
    // The file and object of the function, and the file that the line was inlined from.
    let (mut object, mut home, mut file) = ("", "", "");
    let mut is_call = false;
    for line in text.lines() {
        if let Some((key @ ("ob" | "fl" | "fi" | "fe"), value)) = line.split_once('=') {
            let kind = if key == "ob" { "ob" } else { "fl" };
            let name = resolve(kind, value, &mut names);
            match key {
                "ob" => object = name,
                "fl" => (home, file) = (name, name),
                _ => file = name,
            }
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if let Some((key @ ("cfi" | "cfl" | "cob"), value)) = line.split_once('=') {
            resolve(if key == "cob" { "ob" } else { "fl" }, value, &mut names);
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            // The line after a call tells the cost of what was called, which is counted there.
            if !std::mem::take(&mut is_call) {
                let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok()).unwrap_or(0);
                *sums.entry(part(object, home, file)).or_default() += cost;
            }
        }
    }
}

/// Names are written once and then called by number; files and objects have numbers of their own.
fn resolve<'a>(kind: &'static str, value: &'a str, names: &mut HashMap<(&'static str, &'a str), &'a str>) -> &'a str {
    match value.split_once(' ') {
        Some((number, name)) => {
            names.insert((kind, number), name);
            name
        }
        None => names.get(&(kind, value)).copied().unwrap_or(""),
    }
}

fn part(object: &str, home: &str, file: &str) -> &'static str {
    let is = |path: &str, signs: &[&str]| signs.iter().any(|sign| path.contains(sign));
    let source = if is(file, STD) { home } else { file };
    if object.contains("/libc") || object.contains("/ld-") || source == "???" {
        return if object.contains("/libc") { "libc: copies, system calls" } else { "unknown" };
    }
    if is(source, STD) {
        return "standard library";
    }
    if is(source, RUNTIME) {
        return "tokio";
    }
    PARTS.iter().find(|(_, signs)| is(source, signs)).map_or("other libraries", |(part, _)| part)
}

//! Configurations that are big: what is held, and how the work grows with them. Of twice as much the reader allocates and
//! computes about twice as much; instructions are counted by callgrind, where there is valgrind.

use std::path::Path;
use std::process::Command;

use standfast::config;

use crate::properties::tools::{Used, measured};

/// What reading holds at once: so much, and so much for each byte of the file.
const HELD: usize = 8 << 20;
const HELD_PER_BYTE: usize = 144;
/// What it holds at most.
const MOST_HELD: usize = 64 << 20;
/// Twice as much of something costs at most so many times as much: sorting and maps that grow are more than linear.
const GROWTH: f64 = 2.5;

/// Something of which there may be many.
struct Shape {
    name: &'static str,
    text: fn(usize) -> String,
    many: usize,
}

/// A configuration of one listener and one service but for these parts.
fn file(routes: &str, pools: &str, rest: &str) -> String {
    format!(
        "listeners:\n  - name: l\n    bind: 127.0.0.1:8080\n    routes:\n      - {{service: s}}\n{routes}{rest}services:\n  s:\n    \
         health_check: {{tcp: {{}}}}\n    pools:\n      - {{name: home, endpoints: [127.0.0.1:1]}}\n{pools}"
    )
}

fn each(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect()
}

/// Routes behind the first one.
fn routes(count: usize, one: impl Fn(usize) -> String) -> String {
    file(&each(count, |n| format!("      - {}\n", one(n))), "", "")
}

/// A second pool with these endpoints.
fn endpoints(count: usize, one: impl Fn(usize) -> String) -> String {
    let list = each(count, |n| one(n) + ", ");
    file("", &format!("      - {{name: p, endpoints: [{list}]}}\n"), "")
}

fn address(n: usize) -> String {
    format!("10.{}.{}.{}:{}", n >> 16 & 255, n >> 8 & 255, n & 255, 1024 + n % 60_000)
}

const SHAPES: [Shape; 17] = [
    Shape {
        name: "pools",
        many: 1000,
        text: |n| {
            let pool = |n| format!("      - {{name: p{n}, endpoints: [{}]}}\n", address(n));
            file("", &each(n, pool), "")
        },
    },
    Shape {
        name: "anchors around anchors",
        many: 20_000,
        text: |n| {
            let (open, close) = (each(20, |n| format!("&a{n} [")), "]".repeat(20));
            format!("{}x: {open}{}{close}\n", file("", "", ""), "a, ".repeat(n))
        },
    },
    Shape {
        name: "routes to services that are not there",
        many: 4000,
        text: |n| routes(n, |n| format!("{{match: {{path: /r{n}}}, service: s-{n}}}")),
    },
    Shape { name: "routes", many: 4000, text: |n| routes(n, |n| format!("{{match: {{path: /r{n}}}, service: s}}")) },
    Shape {
        name: "routes by one path",
        many: 4000,
        text: |n| routes(n, |n| format!("{{match: {{path: /r, headers: {{x-{n}: a}}}}, service: s}}")),
    },
    Shape {
        name: "hosts",
        many: 4000,
        text: |n| routes(n, |n| format!("{{match: {{host: \"*.h{n}.example.com\"}}, service: s}}")),
    },
    Shape {
        name: "header conditions",
        many: 4000,
        text: |n| {
            let conditions = each(n, |n| format!("x-h{n}: v, "));
            routes(1, |_| format!("{{service: s, match: {{path: /x, headers: {{{conditions}}}}}}}"))
        },
    },
    Shape {
        name: "listeners",
        many: 2000,
        text: |n| {
            let listener = |n| format!("  - {{name: l{n}, bind: 127.1.{}.{}:9000, service: s}}\n", n >> 8, n & 255);
            file("", "", &each(n, listener))
        },
    },
    Shape {
        name: "services",
        many: 2000,
        text: |n| {
            let pools = |n| format!("[{{name: p, endpoints: [{}]}}]", address(n));
            file("", &each(n, |n| format!("  s{n}: {{health_check: {{tcp: {{}}}}, pools: {}}}\n", pools(n))), "")
        },
    },
    Shape { name: "endpoints", many: 8000, text: |n| endpoints(n, address) },
    Shape { name: "endpoints that stand twice", many: 4000, text: |n| endpoints(n, |_| "10.0.0.1:80".into()) },
    Shape {
        name: "endpoints that are our own listener",
        many: 4000,
        text: |n| endpoints(n, |n| format!("127.0.0.1:8080{}", n % 10)),
    },
    Shape { name: "unknown keys", many: 8000, text: |n| file("", "", "") + &each(n, |n| format!("key{n}: 1\n")) },
    Shape { name: "values that are wrong, in one line", many: 4000, text: |n| endpoints(n, |n| format!("nowhere{n}")) },
    Shape {
        name: "a long text",
        many: 1 << 20,
        text: |n| file("", &format!("      - {{name: p, static_response: {{body: \"{}\"}}}}\n", "x".repeat(n)), ""),
    },
    Shape {
        name: "a long name that is wrong",
        many: 1 << 20,
        text: |n| file("", &format!("      - {{name: \"{}\", endpoints: [10.0.0.1:80]}}\n", "x ".repeat(n / 2)), ""),
    },
    Shape {
        name: "aliases",
        many: 4000,
        text: |n| file("", "", "").replace("[127.0.0.1:1]", &format!("[&a 127.0.0.1:1, {}]", "*a, ".repeat(n))),
    },
];

/// Reads it and shows what is wrong with it, as a start would.
fn used(text: &str) -> Used {
    let (told, used) = measured(|| match config::parse(text, Path::new("/nonexistent")) {
        Ok(loaded) => loaded.warnings.iter().map(ToString::to_string).collect::<String>(),
        Err(problems) => problems.explain(false) + &problems.to_string(),
    });
    assert!(told.len() < 256 << 10, "{} bytes are told", told.len());
    used
}

#[test]
fn a_big_configuration_is_held_and_allocated_in_proportion() {
    let mut wrong = String::new();
    for shape in &SHAPES {
        let [once, twice] = [1, 2].map(|times| (shape.text)(times * shape.many));
        let [small, large] = [used(&once), used(&twice)];
        let most = (HELD + HELD_PER_BYTE * twice.len()).min(MOST_HELD);
        let growth = large.total as f64 / small.total as f64;
        let found = format!(
            "{}: {} bytes are held, {most} may be; {growth:.2} times as much is allocated for twice as many",
            shape.name, large.peak
        );
        println!("{found}");
        if large.peak > most || growth > GROWTH {
            wrong.push_str(&(found + "\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn nesting_is_refused_before_it_costs() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", "")] {
        for depth in [40, 100_000] {
            let text = format!("listeners: \n  {}x{}\n", open.repeat(depth), close.repeat(depth));
            let used = used(&text);
            assert!(used.peak < HELD + HELD_PER_BYTE * text.len(), "{open} {depth} deep: {used:?}");
        }
    }
}

/// Shapes that check each against the others, and how many of each are enough to see it.
const COUNTED: [(&str, usize); 7] = [
    ("pools", 2000),
    ("routes to services that are not there", 500),
    ("routes", 500),
    ("hosts", 500),
    ("listeners", 500),
    ("services", 500),
    ("endpoints", 1000),
];

#[test]
fn checking_a_big_configuration_takes_instructions_in_proportion() {
    if !Command::new("valgrind").arg("--version").output().is_ok_and(|out| out.status.success()) {
        println!("SKIPPED: there is no valgrind on this machine");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    // What a start of the program takes in any case.
    let least = instructions(folder.path(), &file("", "", ""));
    let mut wrong = String::new();
    for (name, many) in COUNTED {
        let shape = SHAPES.iter().find(|shape| shape.name == name).expect("a shape");
        let [small, large] =
            [many, 2 * many].map(|many| instructions(folder.path(), &(shape.text)(many)).saturating_sub(least));
        let growth = large as f64 / small as f64;
        let found = format!("{name}: {small} instructions for {many}, {growth:.2} times as many for twice as many");
        println!("{found}");
        if growth > GROWTH {
            wrong.push_str(&(found + "\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Instructions of `standfast check`.
fn instructions(folder: &Path, text: &str) -> u64 {
    let file = folder.join("standfast.yaml");
    std::fs::write(&file, text).expect("a file");
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env!("CARGO_BIN_EXE_standfast"))
        .arg("check")
        .arg(&file)
        .output()
        .expect("valgrind runs");
    let said = String::from_utf8_lossy(&out.stderr);
    let count =
        said.lines().find_map(|line| line.split_once("Collected : ")).and_then(|(_, count)| count.trim().parse().ok());
    count.unwrap_or_else(|| panic!("no count: {said}"))
}

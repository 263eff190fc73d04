//! Instructions of the parts, of whole requests, and of both as tables grow, counted by callgrind and compared with
//! `instructions.txt`: `cargo bench --bench instructions`. More than 5 % above what is written there fails, and more than
//! 5 % below asks for `cargo bench --bench instructions -- save`.
//!
//! `-- shares request/get` tells where the instructions of a part go.
//!
//! Counts do not depend on what else the machine does, but on the compiler and the C library. The file says which ones it
//! is for; where others are in use, the commit that last changed it is built and counted here, and is the measure instead.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, ExitCode};

#[path = "support/messages.rs"]
#[allow(dead_code, reason = "shared by several benches")]
mod messages;
#[path = "support/parts.rs"]
mod parts;
#[path = "support/shares.rs"]
mod shares;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "support/tables.rs"]
mod tables;

const WRITTEN: &str = "benches/instructions.txt";
/// The gate's name where this program and git are told it.
const BENCH: &str = "instructions";
/// How far a count may leave what is written (of it).
const SLACK: f64 = 0.05;

/// Part → instructions.
type Counts = BTreeMap<String, u64>;

fn main() -> ExitCode {
    support::traffic::Traffic::play_if_asked();
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["run", part, times] => parts::run(part, times.parse().expect("a number")),
        ["list"] => parts::names().iter().for_each(|part| println!("{part}")),
        _ if !has_valgrind() => println!("instructions: SKIPPED, there is no valgrind on this machine"),
        ["count"] => print!("{}", text(&count("", true))),
        ["save"] => {
            let text = format!("# {}\n{}", machine(), text(&count("", true)));
            std::fs::write(WRITTEN, text).expect("benches/ is there");
        }
        ["shares", part] => print!("{}", divided(part)),
        [filter] => print!("{}", text(&count(filter, true))),
        _ => return gate(),
    }
    ExitCode::SUCCESS
}

fn has_valgrind() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|out| out.status.success())
}

/// What counts depend on beside the code.
fn machine() -> String {
    let said = |program: &str, word: &str| {
        let out = Command::new(program).arg(word).output().map(|out| out.stdout).unwrap_or_default();
        String::from_utf8_lossy(&out).lines().next().unwrap_or("unknown").to_owned()
    };
    #[cfg(target_arch = "x86_64")]
    let wide = if std::arch::is_x86_feature_detected!("avx2") { " with avx2" } else { "" };
    #[cfg(not(target_arch = "x86_64"))]
    let wide = "";
    let arch = std::env::consts::ARCH;
    format!(
        "{arch}{wide} · {} · {} · {}",
        said("rustc", "--version"),
        said("ldd", "--version"),
        said("valgrind", "--version")
    )
}

/// Counts all parts whose names contain this.
fn count(filter: &str, tell: bool) -> Counts {
    let parts = parts::names().into_iter().filter(|part| part.contains(filter));
    parts
        .map(|part| {
            if tell {
                eprintln!("counting {part}");
            }
            let count = count_one(&part);
            (part, count)
        })
        .collect()
}

/// Instructions of one repetition: what stands before and after the repetitions is the same in both counts.
fn count_one(part: &str) -> u64 {
    let [few, many] = parts::times(part);
    (callgrind(part, many) - callgrind(part, few)) / (many - few)
}

/// Instructions of this program while it repeats a part so often.
fn callgrind(part: &str, times: u64) -> u64 {
    let total = |text: &String| -> Option<u64> {
        let last = text.lines().rev().find_map(|line| line.strip_prefix("totals: "))?;
        last.trim().parse().ok()
    };
    profile(part, times).iter().filter_map(total).sum()
}

/// What callgrind writes about it, one text a thread.
fn profile(part: &str, times: u64) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "-q", "--error-exitcode=1", "--separate-threads=yes"])
        .arg(format!("--callgrind-out-file={}/out", folder.path().display()))
        .arg(std::env::current_exe().expect("Linux knows"))
        .args(["run", part, &times.to_string()])
        // The same memcpy on every machine.
        .env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2_Usable,-AVX512F_Usable,-ERMS,-FSRM,-AVX2,-AVX512F")
        .status()
        .expect("valgrind runs");
    assert!(status.success(), "{part} failed under valgrind");
    let files = std::fs::read_dir(folder.path()).expect("it was written").flatten();
    files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect()
}

/// Where the instructions of one repetition go, as a table.
fn divided(part: &str) -> String {
    let [few, many] = parts::times(part);
    let [less, more] = [few, many].map(|times| shares::by_part(&profile(part, times)));
    let each = |name| more[name].saturating_sub(less.get(name).copied().unwrap_or(0)) / (many - few);
    let mut rows: Vec<(u64, &str)> =
        more.keys().map(|name| (each(*name), *name)).filter(|(count, _)| *count > 0).collect();
    rows.sort_unstable_by(|one, other| other.cmp(one));
    let total: u64 = rows.iter().map(|(count, _)| count).sum();
    rows.insert(0, (total, part));
    rows.iter().fold(String::new(), |mut text, (count, name)| {
        let _ = writeln!(text, "| {name:<40} | {count:>7} | {:>3} % |", (100 * count + total / 2) / total);
        text
    })
}

fn text(counts: &Counts) -> String {
    counts.iter().fold(String::new(), |mut text, (part, count)| {
        let _ = writeln!(text, "{part:<44} {count:>9}");
        text
    })
}

fn read(text: &str) -> Counts {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            line.split_once(' ').and_then(|(part, count)| Some((part.to_owned(), count.trim().parse().ok()?)))
        })
        .collect()
}

fn gate() -> ExitCode {
    let written = std::fs::read_to_string(WRITTEN).unwrap_or_default();
    let here = machine();
    let for_here = written.lines().next().is_some_and(|line| line == format!("# {here}"));
    // Before anything else is built: that may take this program's place.
    let now = count("", false);
    let measure = if for_here { Some(read(&written)) } else { before(&here) };
    let Some(measure) = measure else {
        println!(
            "instructions: NOT COMPARED, {WRITTEN} is for another machine and the commit of it cannot be built here"
        );
        return ExitCode::SUCCESS;
    };
    let (mut worse, mut better) = (false, false);
    for (part, now) in &now {
        let Some(before) = measure.get(part) else {
            println!("{part}: {now}, new");
            better = true;
            continue;
        };
        let change = |now: u64| now as f64 / *before as f64 - 1.0;
        // Whole requests share their process with sweeps, of which a slow moment has more: seen twice is worse.
        let now = if for_here && change(*now) > SLACK { count_one(part).min(*now) } else { *now };
        let change = change(now);
        let verdict = match change {
            change if change > SLACK => "WORSE",
            change if change < -SLACK => "better",
            _ => "",
        };
        println!("{part:<44} {before:>9} {now:>9} {:>+6.1} % {verdict}", change * 100.0);
        worse |= change > SLACK;
        better |= change < -SLACK;
    }
    for gone in measure.keys().filter(|part| !now.contains_key(*part)) {
        println!("{gone}: is not counted any more");
        better = true;
    }
    if better {
        println!("{WRITTEN} is out of date: cargo bench --bench {BENCH} -- save");
    }
    if worse { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Builds and counts the commit that last wrote the file, with this machine's tools.
fn before(here: &str) -> Option<Counts> {
    let git = |words: &[&str]| {
        let out = Command::new("git").args(words).output().ok()?;
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let commit = git(&["log", "-1", "--format=%H", "--", WRITTEN]).filter(|commit| !commit.is_empty())?;
    println!("{WRITTEN} is not for {here}: {commit} is counted instead");
    let target = Path::new(&git(&["rev-parse", "--show-toplevel"])?).join("target");
    let tree = target.join("instructions-before");
    let place = tree.to_string_lossy().into_owned();
    let _ = git(&["worktree", "remove", "--force", &place]);
    git(&["worktree", "add", "--detach", &place, &commit])?;
    let counted = Command::new("cargo")
        .args(["bench", "--locked", "--bench", BENCH, "--", "count"])
        .current_dir(&tree)
        .env("CARGO_TARGET_DIR", &target)
        .stderr(std::process::Stdio::inherit())
        .output();
    let _ = git(&["worktree", "remove", "--force", &place]);
    let counted = counted.ok().filter(|out| out.status.success())?;
    Some(read(&String::from_utf8_lossy(&counted.stdout))).filter(|counts| !counts.is_empty())
}

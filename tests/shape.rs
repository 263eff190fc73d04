//! The shape of the sources: which rooms may import which, circles between files, lengths, module documentation, one style of
//! modules and of unit tests. `src/lib.rs` has the picture.
//!
//! What the sources do not keep yet is forgiven by name in the lists below. A name that no longer applies fails the test: the
//! lists only become shorter.

#[path = "support/sources.rs"]
mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each room may import. `text`, `time` and `digest` are below all of them.
const ARROWS: [(&str, &[&str]); 18] = [
    ("text", &[]),
    ("time", &[]),
    ("digest", &[]),
    ("manual", &[]),
    ("config", &["text"]),
    ("decision", &["config", "digest", "text", "time"]),
    ("access", &["config", "decision", "digest", "text", "time"]),
    ("audit", &["config", "digest"]),
    ("wire", &["config", "time"]),
    ("sys", &["time"]),
    ("telemetry", &["config", "text"]),
    ("net", &["config", "decision", "sys", "text", "time"]),
    ("routing", &["config", "decision", "net", "sys", "telemetry", "time", "wire"]),
    ("simulation", &["config", "decision", "routing", "time", "wire"]),
    (
        "control",
        &[
            "access",
            "audit",
            "config",
            "decision",
            "digest",
            "net",
            "routing",
            "sys",
            "telemetry",
            "text",
            "time",
            "wire",
        ],
    ),
    ("proxy", &["config", "decision", "net", "routing", "sys", "telemetry", "time", "wire"]),
    (
        "admin",
        &["access", "config", "control", "decision", "net", "routing", "sys", "telemetry", "text", "time", "wire"],
    ),
    (
        "wiring",
        &[
            "access",
            "admin",
            "audit",
            "config",
            "control",
            "decision",
            "net",
            "proxy",
            "routing",
            "sys",
            "telemetry",
            "text",
            "time",
            "wire",
        ],
    ),
];

/// Lines of a file, without its unit tests.
const LINES: usize = 450;
/// Longer files.
const LONG: [&str; 1] = ["src/routing/tries.rs"];
/// Files in circles of imports: each of a group imports, by way of others of it, itself. And why it is so.
const CIRCLES: [(&str, &[&str]); 2] = [
    ("a buffer moves into a pipe and back", &["src/proxy/buffer.rs", "src/proxy/pipe.rs"]),
    ("two halves of one relay", &["src/proxy/tcp/relay.rs", "src/proxy/tcp/silence.rs"]),
];

// ---- sources ----------------------------------------------------------------------------------------------------------

struct Source {
    /// `src/routing/pick.rs`
    path: String,
    /// Without comments, literals and unit tests.
    code: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let source = |(path, text): (String, String)| Source { code: code(&text), path, text };
    files::sources().into_iter().map(source).collect()
}

/// Files of unit tests see everything.
fn is_test(path: &str) -> bool {
    path.ends_with("_tests.rs") || path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// What a compiler sees of a file without its unit tests, line by line.
fn code(text: &str) -> String {
    let mut code = String::new();
    for line in text.lines() {
        if line.starts_with("#[cfg(test)]") {
            break;
        }
        let bare = line.trim_start();
        if !bare.starts_with("//") {
            code.push_str(&without_literals(line));
        }
        code.push('\n');
    }
    code
}

/// A line without what stands between quotation marks, and without the comment at its end.
fn without_literals(line: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    let mut escaped = false;
    for (index, letter) in line.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            _ if inside => {}
            '/' if line[index..].starts_with("//") => break,
            _ => out.push(letter),
        }
    }
    out
}

/// The room of a file.
fn room(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    match inside.split_once('/') {
        Some(("cli", _)) => "wiring",
        Some((room, _)) => room,
        None if inside == "text.rs" => "text",
        None if inside == "time.rs" => "time",
        None if inside == "digest.rs" => "digest",
        None => "wiring",
    }
}

/// The paths behind `crate::` (and `standfast::` in the program), braces opened: `net::tls::ServerTls`.
fn imports(source: &Source) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let text = source.code.split_whitespace().collect::<Vec<_>>().join(" ");
    for prefix in ["crate::", "standfast::"] {
        for (at, _) in text.match_indices(prefix) {
            let before = text[..at].chars().next_back();
            if before.is_none_or(|letter| !letter.is_alphanumeric() && letter != '_' && letter != ':') {
                open(&text[at + prefix.len()..], "", &mut found);
            }
        }
    }
    found
}

/// One path, or the list in braces at its end.
fn open(text: &str, before: &str, found: &mut BTreeSet<String>) {
    let end =
        text.find(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != ':').unwrap_or(text.len());
    let path = format!("{before}{}", &text[..end]);
    if !text[end..].starts_with('{') || !path.is_empty() && !path.ends_with("::") {
        found.insert(path.trim_end_matches(':').to_owned());
        return;
    }
    let (mut depth, mut start) = (0, end + 1);
    for (at, letter) in text[end..].char_indices().map(|(at, letter)| (at + end, letter)) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || depth == 1 && letter == ',' {
            let part = text[start..at].trim();
            if !part.is_empty() {
                open(part, &path, found);
            }
            start = at + 1;
        }
        if depth == 0 {
            return;
        }
    }
}

// ---- rooms ------------------------------------------------------------------------------------------------------------

#[test]
fn rooms_import_only_what_is_below_them() {
    let rooms: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for source in sources().iter().filter(|source| !is_test(&source.path)) {
        let from = room(&source.path);
        let below = rooms.get(from).unwrap_or_else(|| panic!("{}: a room that is not in the picture", source.path));
        for import in imports(source) {
            let to = import.split(':').next().unwrap_or_default();
            if to == from || !rooms.contains_key(to) {
                continue;
            }
            used.insert((from.to_owned(), to.to_owned()));
            if !below.contains(&to) {
                wrong.push(format!("{}: `{import}`", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that do not point down:\n{}", wrong.join("\n"));
    // (What wires everything together may see everything.)
    for (from, below) in ARROWS.into_iter().filter(|(room, _)| *room != "wiring") {
        let unused = below.iter().filter(|to| !used.contains(&(from.to_owned(), (**to).to_owned())));
        let unused: Vec<_> = unused.collect();
        assert!(unused.is_empty(), "{from} imports nothing from {unused:?}: take them out of the picture");
    }
}

#[test]
fn the_picture_in_the_library_names_every_room() {
    let text = fs::read_to_string(root().join("src/lib.rs")).expect("the library");
    for (room, _) in ARROWS {
        assert!(
            text.contains(&format!("{room}/")) || text.contains(&format!("{room}.rs")) || room == "wiring",
            "{room}"
        );
    }
}

// ---- circles ----------------------------------------------------------------------------------------------------------

/// The files, and what a folder's `mod.rs` (or a file) names again: `(file, name)` -> the path behind it, from its folder.
struct Files {
    paths: BTreeSet<String>,
    named_again: BTreeMap<(String, String), Vec<String>>,
}

impl Files {
    fn new(sources: &[Source]) -> Files {
        let paths = sources.iter().map(|source| source.path.clone()).collect();
        let mut named_again = BTreeMap::new();
        for source in sources.iter().filter(|source| !is_test(&source.path)) {
            for statement in uses(&source.code).iter().filter(|statement| statement.public) {
                for path in &statement.paths {
                    let parts: Vec<String> =
                        path.split("::").filter(|part| *part != "self").map(str::to_owned).collect();
                    if let Some(name) = parts.last() {
                        named_again.insert((source.path.clone(), name.clone()), parts.clone());
                    }
                }
            }
        }
        Files { paths, named_again }
    }

    /// The file that a path leads to: the longest part of it that is one, and beyond it what that file names again.
    fn target(&self, parts: &[&str], folder: &Path) -> Option<String> {
        let mut inside = folder.to_path_buf();
        let mut found = None;
        for (index, part) in parts.iter().enumerate() {
            let beside = inside.join(format!("{part}.rs")).to_string_lossy().into_owned();
            inside.push(part);
            let within = inside.join("mod.rs").to_string_lossy().into_owned();
            match [beside, within].into_iter().find(|path| self.paths.contains(path)) {
                Some(path) => found = Some((path, index + 1)),
                None => break,
            }
        }
        let (file, used) = found?;
        let Some(name) = parts.get(used) else { return Some(file) };
        Some(self.behind(&file, name).unwrap_or(file))
    }

    /// The file that really has what this one names again.
    fn behind(&self, file: &str, name: &str) -> Option<String> {
        let path = self.named_again.get(&(file.to_owned(), name.to_owned()))?;
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        let real = self.target(&parts, &below(file))?;
        (real != file).then_some(real)
    }
}

/// A `use` statement with its braces opened.
struct Use {
    public: bool,
    paths: BTreeSet<String>,
}

fn uses(code: &str) -> Vec<Use> {
    let text = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut found = Vec::new();
    for statement in text.split_inclusive([';', '}', '{']).collect::<String>().split(';') {
        let Some(at) = statement.rfind("use ").filter(|at| *at == 0 || statement[..*at].ends_with(' ')) else {
            continue;
        };
        let mut paths = BTreeSet::new();
        open(statement[at + 4..].split(" as ").next().unwrap_or_default(), "", &mut paths);
        found.push(Use { public: statement[..at].trim_end().ends_with(['b', ')']), paths });
    }
    found
}

/// The folder of the modules below this file.
fn below(path: &str) -> PathBuf {
    let path = Path::new(path);
    let parent = path.parent().unwrap_or(Path::new("")).to_path_buf();
    match path.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") | None => parent,
        Some(stem) => parent.join(stem),
    }
}

/// Which file imports which. A file that names parts of its own again imports nothing by that: who imports the name, imports
/// the part.
fn graph(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let files = Files::new(sources);
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !is_test(&source.path)) {
        let again: BTreeSet<String> = uses(&source.code)
            .into_iter()
            .filter(|statement| statement.public)
            .flat_map(|statement| statement.paths)
            .collect();
        let mut leads = BTreeSet::new();
        for import in imports(source).iter().filter(|import| !again.contains(&format!("crate::{import}"))) {
            let parts: Vec<&str> = import.split("::").collect();
            leads.extend(files.target(&parts, Path::new("src")));
        }
        let text = source.code.split_whitespace().collect::<Vec<_>>().join(" ");
        for (prefix, up) in [("super::super::super::", 3), ("super::super::", 2), ("super::", 1), ("self::", 0)] {
            for (at, _) in text.match_indices(prefix) {
                let before = text[..at].chars().next_back();
                if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == ':') {
                    continue;
                }
                let mut found = BTreeSet::new();
                open(&text[at + prefix.len()..], "", &mut found);
                let mut folder = below(&source.path);
                for _ in 0..up {
                    folder.pop();
                }
                let parent = folder.join("mod.rs").to_string_lossy().into_owned();
                let own = [parent, format!("{}.rs", folder.to_string_lossy())];
                let own = own.into_iter().find(|path| files.paths.contains(path));
                for import in found.iter().filter(|import| !import.starts_with("super")) {
                    if again.contains(&format!("{prefix}{import}")) {
                        continue;
                    }
                    let parts: Vec<&str> = import.split("::").collect();
                    let named = || own.as_ref().and_then(|own| files.behind(own, parts[0])).or_else(|| own.clone());
                    leads.extend(files.target(&parts, &folder).or_else(named));
                }
            }
        }
        for path in
            uses(&source.code).iter().filter(|statement| !statement.public).flat_map(|statement| &statement.paths)
        {
            let parts: Vec<&str> = path.split("::").collect();
            leads.extend(files.target(&parts, &below(&source.path)));
        }
        leads.remove(&source.path);
        graph.insert(source.path.clone(), leads);
    }
    graph
}

/// Groups of files each of which leads to all others of its group.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reach = |from: &str| {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = vec![from];
        while let Some(file) = open.pop() {
            for next in graph.get(file).into_iter().flatten() {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> = graph.keys().map(|file| (file.as_str(), reach(file))).collect();
    let mut groups: BTreeSet<Vec<String>> = BTreeSet::new();
    for (file, seen) in reached.iter().filter(|(file, seen)| seen.contains(*file)) {
        let group = seen.iter().filter(|other| reached.get(*other).is_some_and(|back| back.contains(file)));
        groups.insert(group.map(|file| (*file).to_owned()).collect());
    }
    groups.into_iter().collect()
}

#[test]
fn files_do_not_import_themselves_by_way_of_others() {
    let found = circles(&graph(&sources()));
    let told = |group: &Vec<String>| format!("{} files: {}", group.len(), group.join(", "));
    let forgiven: BTreeSet<Vec<String>> =
        CIRCLES.iter().map(|(_, group)| group.iter().map(|file| (*file).to_owned()).collect()).collect();
    let new: Vec<_> = found.iter().filter(|group| !forgiven.contains(*group)).map(told).collect();
    assert!(new.is_empty(), "circles of imports:\n{}", new.join("\n"));
    let gone: Vec<_> = forgiven.iter().filter(|group| !found.contains(group)).map(told).collect();
    assert!(gone.is_empty(), "no circles any more; take them out of the list:\n{}", gone.join("\n"));
}

// ---- files ------------------------------------------------------------------------------------------------------------

#[test]
fn files_are_one_thing() {
    let mut wrong = Vec::new();
    let mut long = BTreeSet::new();
    for source in sources() {
        let lines =
            if is_test(&source.path) { 0 } else { source.code.lines().filter(|line| !line.trim().is_empty()).count() };
        if lines > LINES {
            long.insert(source.path.clone());
            if !LONG.contains(&source.path.as_str()) {
                wrong.push(format!("{}: {lines} lines of code; beyond {LINES} it is two things", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let short: Vec<_> = LONG.iter().filter(|path| !long.contains(**path)).collect();
    assert!(short.is_empty(), "short enough now; take them out of the list: {short:?}");
}

#[test]
fn each_file_says_what_it_is() {
    let without: Vec<_> =
        sources().into_iter().filter(|source| !source.text.starts_with("//!")).map(|source| source.path).collect();
    assert!(without.is_empty(), "begin with a line `//! What it is.`:\n{}", without.join("\n"));
}

#[test]
fn modules_with_parts_are_folders_with_a_mod_rs() {
    let beside = |source: &Source| {
        let folder = root().join(source.path.trim_end_matches(".rs"));
        folder.is_dir() && !source.path.ends_with("mod.rs")
    };
    let found: Vec<String> = sources().into_iter().filter(beside).map(|source| source.path).collect();
    assert!(found.is_empty(), "`x.rs` beside `x/`: move it to `x/mod.rs`:\n{}", found.join("\n"));
}

#[test]
fn what_is_imported_is_found() {
    let source = |code: &str| Source { path: "src/proxy/x.rs".into(), code: code.into(), text: String::new() };
    let found =
        imports(&source("use crate::net::{tls::{A, B}, Socket}; fn f(x: &crate::wire::h1::Head) { mycrate::no(); }"));
    let expected = ["net::Socket", "net::tls::A", "net::tls::B", "wire::h1::Head"];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(without_literals("let a = \"crate::b \\\" crate::c\"; d // crate::e"), "let a = ; d ");
}

#[test]
fn a_circle_is_found() {
    let edges = [("a", "b"), ("b", "c"), ("c", "b"), ("c", "d"), ("d", "d")];
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in edges {
        graph.entry(from.to_owned()).or_default().insert(to.to_owned());
    }
    assert_eq!(circles(&graph), [vec!["b".to_owned(), "c".to_owned()], vec!["d".to_owned()]]);
}

//! Configurations: any text gets an answer, within bounds.

use std::path::Path;

use standfast::config::{self, LoadedConfig, Problems};

use super::tools::bounded;

pub fn check(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        holds(text);
    }
}

fn parse(text: &str) -> Result<LoadedConfig, Problems> {
    config::parse(text, Path::new("/nonexistent"))
}

/// What must hold of any text: an answer that people and logs can show, a dump that reads back as the same, and the same
/// answer one line further down.
pub fn holds(text: &str) {
    let most = (8 << 20) + 2000 * text.len();
    let found = bounded(most, || parse(text));
    match &found {
        Ok(loaded) => {
            let dump = config::dump(&loaded.config);
            let again = parse(&dump)
                .unwrap_or_else(|problems| panic!("a dump is refused: {}\n{dump}", problems.explain(false)));
            assert_eq!(config::dump(&again.config), dump);
            // What is secret is not in a dump.
            assert!(
                dump.contains(config::Secret::HIDDEN) || again.config == loaded.config,
                "a dump reads as another: {dump}"
            );
            told(&loaded.warnings, text);
        }
        Err(problems) => {
            assert!(problems.errors() > 0);
            told(&problems.list, text);
            let _ = (problems.explain(true), problems.to_json());
        }
    }
    one_line_down(text, &found);
}

/// Each is one line without control characters, is about a line of the text, and is not long.
fn told(problems: &[config::Problem], text: &str) {
    // A CR alone ends a line in YAML.
    let lines = text.split(['\n', '\r']).count();
    assert!(problems.len() <= 101, "{}", problems.len());
    for problem in problems {
        let line = problem.to_string();
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(line.len() < 16 << 10, "{} bytes: {line}", line.len());
        assert!(problem.line <= lines + 1, "{problem} in a text of {lines} lines");
        assert!(problem.explain(Path::new("f"), true).len() < 32 << 10);
    }
}

/// A comment in front changes nothing but the lines.
fn one_line_down(text: &str, found: &Result<LoadedConfig, Problems>) {
    // Neither a directive nor a mark of the byte order may have a comment in front.
    if text.starts_with(['\u{feff}', '%']) {
        return;
    }
    let below = parse(&format!("# a comment\n{text}"));
    let list = |found: &Result<LoadedConfig, Problems>| match found {
        Ok(loaded) => loaded.warnings.clone(),
        Err(problems) => problems.list.clone(),
    };
    match (found, &below) {
        (Ok(found), Ok(below)) => assert_eq!(below.config, found.config),
        (Err(_), Err(_)) => {}
        _ => panic!("a comment decides whether it is valid"),
    }
    let (above, below) = (list(found), list(&below));
    let what = |list: &[config::Problem]| -> Vec<_> {
        list.iter().map(|problem| (problem.what.clone(), problem.path.clone())).collect()
    };
    assert_eq!(what(&above), what(&below));
    for (above, below) in above.iter().zip(&below) {
        assert!(below.line == above.line + 1 || above.line <= 1 && below.line <= 2, "{above} / {below}");
    }
}

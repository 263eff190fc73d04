//! Words and lengths.

use super::page::{Page, pages};

/// Words for persons: endpoints, connections and requests are things.
const FOR_PERSONS: [&str; 6] = ["nobody", "somebody", "whoever", "whom", "everybody", "anew"];
/// Columns of a line outside of tables and blocks.
const WIDTH: usize = 120;
const README_LINES: usize = 250;

/// Pages for users.
fn for_users() -> impl Iterator<Item = Page> {
    let is_for_users = |page: &Page| {
        let path = page.path.as_str();
        matches!(path, "README.md" | "docker/README.md")
            || path.starts_with("config/guides/")
            || path.starts_with(".github/")
    };
    pages().into_iter().filter(is_for_users)
}

#[test]
fn pages_speak_of_things_as_of_things() {
    let mut wrong = Vec::new();
    for page in for_users() {
        for (number, line) in &page.lines {
            let words = line.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
            let found = words.filter(|word| FOR_PERSONS.contains(&word.as_str()));
            wrong.extend(found.map(|word| format!("{}:{number}: {word}", page.path)));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn lines_are_not_too_long() {
    let mut wrong = Vec::new();
    for page in for_users() {
        let text = page.lines.iter().filter(|(_, line)| !line.starts_with('|'));
        let long = text.filter(|(_, line)| line.chars().count() > WIDTH);
        wrong.extend(long.map(|(number, _)| format!("{}:{number}", page.path)));
    }
    assert!(wrong.is_empty(), "more than {WIDTH} columns:\n{}", wrong.join("\n"));
}

#[test]
fn the_readme_is_short() {
    let lines = Page::read("README.md").lines.last().map_or(0, |(number, _)| *number);
    assert!(lines <= README_LINES, "README.md has {lines} lines; at most {README_LINES}");
}

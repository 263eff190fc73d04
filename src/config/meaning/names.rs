//! Names to write instead of those that cannot be taken.

use crate::config::model::is_name;

/// What to write where a name is taken.
pub(super) fn unused_name_advice(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let other = (2..100).map(|n| format!("{name}-{n}")).find(|name| is_name(name) && !is_taken(name));
    other.map_or_else(|| "give each its own name".to_owned(), |name| format!("write another name, such as `{name}`"))
}

/// A name made of what was meant as one.
pub(super) fn suggested_name(text: &str) -> Option<String> {
    let kept = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = text.trim().chars().take(64).map(kept).collect();
    let name = name.trim_matches(['-', '_', '.']).to_owned();
    is_name(&name).then_some(name)
}

//! Lists of known words for messages, and the one nearest to what was written.

use super::tree::shorten;

/// "did you mean `x`? Known: …" for a word that is none of `known`. Looks at each of them.
pub(super) fn nearest(word: &str, known: &[&str]) -> String {
    let listed = listed(known);
    let word: String = word.chars().take(40).collect::<String>().to_lowercase().replace('-', "_");
    let likely = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&word, known), known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .min_by_key(|(distance, _)| *distance);
    match likely {
        Some((_, likely)) => format!("did you mean `{}`? Known here: {listed}", shorten(likely)),
        None => format!("known here: {listed}"),
    }
}

/// "`a`, `b`, `c`", and where there are many of them the first ten and how many more.
pub(super) fn listed(names: &[impl AsRef<str>]) -> String {
    /// So many are listed whole: the keys of a section, the pools of a service.
    const FEW: usize = 24;
    const FIRST: usize = 10;
    let shown = if names.len() > FEW { FIRST } else { names.len() };
    let text = names[..shown].iter().map(|name| format!("`{}`", shorten(name.as_ref()))).collect::<Vec<_>>().join(", ");
    match names.len() - shown {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

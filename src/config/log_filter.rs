//! `log.filter` and `STANDFAST_LOG`: which lines are written. A typing error must not silence errors: a word that is no level is
//! refused, and so is a target that nothing here writes under. Where no level is said for all, errors are written.

use super::advice::nearest;

/// Levels as `tracing` reads them.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// What else people write.
const ALSO: [(&str, &str); 5] =
    [("warning", "warn"), ("err", "error"), ("information", "info"), ("none", "off"), ("verbose", "debug")];
/// Crates that write lines.
const CRATES: [&str; 12] = [
    "standfast",
    "axum",
    "h2",
    "hickory_net",
    "hickory_proto",
    "hickory_resolver",
    "hyper",
    "hyper_util",
    "mio",
    "rustls",
    "tokio",
    "tokio_rustls",
];
/// Parts of `standfast`.
const PARTS: [&str; 10] =
    ["admin", "app", "cli", "config", "control", "decision", "net", "proxy", "routing", "telemetry"];

/// The filter in `tracing`'s own words.
///
/// # Errors
/// What is wrong, and what to write.
pub fn understand(filter: &str) -> Result<String, (String, String)> {
    let mut understood = Vec::new();
    let mut for_all = false;
    for directive in filter.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        let (target, level) = match directive.rsplit_once('=') {
            Some((target, level)) => (Some(target), Some(level)),
            None if directive.contains("::") => (Some(directive), None),
            None => (None, Some(directive)),
        };
        for_all |= target.is_none();
        let target = target.map(known).transpose()?;
        let level = level.map(level_of).transpose()?;
        understood.push(target.into_iter().chain(level).collect::<Vec<_>>().join("="));
    }
    if understood.is_empty() {
        return Err(("an empty log filter".to_owned(), advice()));
    }
    if !for_all {
        understood.push("error".to_owned());
    }
    Ok(understood.join(","))
}

fn level_of(word: &str) -> Result<&str, (String, String)> {
    let lower = word.to_ascii_lowercase();
    let level = LEVELS.iter().find(|level| **level == lower);
    let also = || ALSO.iter().find(|(said, _)| *said == lower).map(|(_, level)| level);
    level.or_else(also).copied().ok_or_else(|| {
        let word = super::tree::shorten(word);
        (
            format!("`{word}` is not a log level"),
            format!("{}; a part of the program as `standfast::control=debug`", nearest(&lower, &LEVELS)),
        )
    })
}

fn known(target: &str) -> Result<&str, (String, String)> {
    let mut segments = target.split("::");
    let first = segments.next().unwrap_or_default();
    let wrong = |word: &str, known: &[&str]| {
        let word = super::tree::shorten(word);
        Err((format!("nothing writes log lines as `{word}`"), nearest(&word, known)))
    };
    if !CRATES.contains(&first) {
        return wrong(first, &CRATES);
    }
    match segments.next() {
        Some(part) if first == "standfast" && !PARTS.contains(&part) => wrong(part, &PARTS),
        _ => Ok(target),
    }
}

fn advice() -> String {
    format!("write one of {}, or `standfast::control=debug,info`", LEVELS.map(|level| format!("`{level}`")).join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_understood_in_all_their_spellings() {
        for (said, understood) in [
            ("info", "info"),
            ("WARN", "warn"),
            ("warning", "warn"),
            ("err", "error"),
            ("information", "info"),
            ("off", "off"),
            (" standfast::control=debug , info ", "standfast::control=debug,info"),
            ("standfast=trace,warning", "standfast=trace,warn"),
            ("hyper=debug", "hyper=debug,error"),
            ("standfast::decision", "standfast::decision,error"),
        ] {
            assert_eq!(understand(said).as_deref(), Ok(understood), "{said}");
        }
    }

    #[test]
    fn what_would_silence_the_log_is_refused() {
        for (said, wrong) in [
            ("inof", "`inof` is not a log level"),
            ("standfast", "`standfast` is not a log level"),
            ("", "an empty log filter"),
            ("standfast=verbos", "`verbos` is not a log level"),
            ("standfats=debug,info", "nothing writes log lines as `standfats`"),
            ("standfast::contrl=debug,info", "nothing writes log lines as `contrl`"),
            ("info,debgu", "`debgu` is not a log level"),
        ] {
            assert_eq!(understand(said).unwrap_err().0, wrong, "{said}");
        }
    }

    #[test]
    fn what_is_understood_is_a_filter() {
        for (first, also) in ALSO.iter().copied().chain(LEVELS.map(|level| (level, level))) {
            let text = understand(&format!("standfast::proxy={first},{also}")).unwrap();
            assert!(text.parse::<tracing_subscriber::EnvFilter>().is_ok(), "{text}");
        }
    }
}

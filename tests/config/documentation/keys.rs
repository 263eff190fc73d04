//! Configuration keys and other words of the program that the guides name in their text.

use std::collections::BTreeSet;

use serde_yaml::Value;
use standfast::config;
use standfast::control::RecordType;

use super::page::{Page, pages};

/// Keys of other programs stand there.
const OF_OTHERS: &str = "config/guides/from-other-proxies.md";

/// The known keys as lists of names, without `[]` and `*`.
fn known() -> Vec<Vec<String>> {
    let names = |path: &str| {
        let names = path.split('.').map(|name| name.trim_end_matches("[]")).filter(|name| *name != "*");
        names.map(str::to_owned).collect()
    };
    config::keys().iter().filter(|key| key.supported).map(|key| names(&key.path)).collect()
}

/// Do these names follow one another in a known key?
fn is_known(keys: &[Vec<String>], names: &[String]) -> bool {
    keys.iter().any(|key| key.windows(names.len()).any(|part| part == names))
}

/// Is it a name under which other keys stand?
fn is_section(keys: &[Vec<String>], name: &str) -> bool {
    keys.iter().any(|key| key.iter().rev().skip(1).any(|part| part == name))
}

/// The code in the text of a page, with its line.
fn spans(page: &Page) -> impl Iterator<Item = (usize, &str)> {
    page.lines.iter().flat_map(|(line, text)| text.split('`').skip(1).step_by(2).map(|span| (*line, span)))
}

/// The paths that a code such as `limits: {max_pending: 5}` or `limits.max_pending` names, where they begin with a section.
fn paths(keys: &[Vec<String>], span: &str) -> Vec<Vec<String>> {
    let dotted = span.split('.').map(str::to_owned).collect::<Vec<_>>();
    let is_name = |name: &String| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let is_file =
        dotted.iter().any(|part| ["json", "jsonl", "yaml", "yml", "md", "pem", "log"].contains(&part.as_str()));
    // (A type of records is no key.)
    let is_type = RecordType::ALL.iter().any(|kind| kind.as_str() == span);
    if dotted.len() > 1 && !is_type && dotted.iter().all(is_name) && is_section(keys, &dotted[0]) && !is_file {
        return vec![dotted];
    }
    let mut found = Vec::new();
    if let Ok(Value::Mapping(map)) = serde_yaml::from_str(span) {
        collect(keys, &Value::Mapping(map), &mut Vec::new(), &mut found);
    }
    found
}

fn collect(keys: &[Vec<String>], value: &Value, above: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    for (key, inner) in value.as_mapping().into_iter().flatten() {
        let Some(key) = key.as_str() else { continue };
        // What stands under a leaf is a value; what begins with no key of ours is not for us to judge.
        if above.last().is_some_and(|last| !is_section(keys, last)) || above.is_empty() && !is_section(keys, key) {
            continue;
        }
        above.push(key.to_owned());
        found.push(above.clone());
        collect(keys, inner, above, found);
        above.pop();
    }
}

#[test]
fn keys_that_guides_name_exist() {
    let keys = known();
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for page in pages().iter().filter(|page| page.path.starts_with("config/guides/")) {
        for (line, span) in spans(page) {
            let paths = paths(&keys, span);
            checked += paths.len();
            let unknown = paths.iter().filter(|names| !is_known(&keys, names));
            wrong.extend(unknown.map(|names| format!("{}:{line}: `{}` is no key", page.path, names.join("."))));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(checked > 50, "only {checked} keys");
}

/// `max_pending`, `one_source`, `standfast_ready`: the program has each word, in its configuration, its metrics or its tables.
#[test]
fn words_that_guides_quote_exist() {
    let sources = ["config/reference.yaml", "config/metrics.md", "config/guides/tables.md"];
    let words = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(|word| word.contains('_')).map(str::to_owned).collect()
    };
    let text = |path: &&str| std::fs::read_to_string(super::page::root().join(path)).expect("a file of config/");
    let mut known: BTreeSet<String> = sources.iter().flat_map(|path| words(&text(path))).collect();
    // Of systemd, Compose, Prometheus and PostgreSQL.
    known.extend(["sd_notify", "stop_grace_period", "runbook_url", "default_transaction_read_only"].map(str::to_owned));
    known.extend(words(&text(&"config/openapi.json")));
    // Of MySQL and MariaDB.
    known.extend(
        [
            "caching_sha2_password",
            "client_ed25519",
            "gtid_executed",
            "max_connect_errors",
            "mysql_native_password",
            "public_key",
            "read_only",
            "super_read_only",
            "wsrep_cluster_state_uuid",
            "wsrep_last_committed",
        ]
        .map(str::to_owned),
    );
    let mut wrong = Vec::new();
    let guides = |page: &&Page| page.path.starts_with("config/guides/") && page.path != OF_OTHERS;
    for page in pages().iter().filter(guides) {
        for (line, span) in spans(page) {
            let unknown =
                words(span).into_iter().filter(|word| word.starts_with(char::is_lowercase) && !known.contains(word));
            wrong.extend(unknown.map(|word| format!("{}:{line}: `{word}`", page.path)));
        }
    }
    assert!(wrong.is_empty(), "the program knows no such word:\n{}", wrong.join("\n"));
}

#[test]
fn a_key_that_does_not_exist_is_found() {
    let keys = known();
    for good in ["limits.max_pending", "failover: {failback: {mode: auto}}", "timeouts: {response: 5s, body: 1s}"] {
        assert!(
            paths(&keys, good).iter().all(|names| is_known(&keys, names)) && !paths(&keys, good).is_empty(),
            "{good}"
        );
    }
    for bad in ["limits.max_waiting", "failover: {failback: {modus: auto}}", "timeouts: {respond: 5s}"] {
        assert!(paths(&keys, bad).iter().any(|names| !is_known(&keys, names)), "{bad}");
    }
    for other in ["state.json", "app.internal", "balance: {hash: {header: x}}", "standfast check FILE"] {
        assert!(paths(&keys, other).iter().all(|names| is_known(&keys, names)), "{other}");
    }
}

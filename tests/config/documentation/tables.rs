//! Tables of the guides against the values that the program knows.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use serde::de::DeserializeOwned;
use standfast::config::{self, AccessFormat};
use standfast::control::{ChangeRecord, NEED_RESTART, RecordType};
use standfast::decision;
use standfast::routing::RetryReason;
use standfast::telemetry::access::{AccessLog, AccessRecord, Termination};
use standfast::telemetry::cause::Cause;
use standfast::wire::h1;

use super::page::Page;
use crate::sources::sources;

/// Environment variables of the build; not for users.
const OF_THE_BUILD: [&str; 1] = ["STANDFAST_REVISION"];
/// Set for programs that are run, and not read.
const OF_HOOKS: [&str; 6] =
    ["STANDFAST_EVENT", "STANDFAST_SERVICE", "STANDFAST_FROM", "STANDFAST_TO", "STANDFAST_INSTANCE", "STANDFAST_PORT"];
/// Read by a library (`rustls-native-certs`).
const OF_LIBRARIES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

fn tables() -> Page {
    Page::read("config/guides/tables.md")
}

/// The first column of a table, and nothing twice.
fn first_column(page: &Page, name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for row in page.table(name) {
        for word in codes(&row[0]) {
            assert!(found.insert(word.clone()), "{}: {name}: {word} is there twice", page.path);
        }
    }
    found
}

/// What stands between backticks.
fn codes(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[track_caller]
fn same<T: AsRef<str>>(page: &BTreeSet<String>, program: impl IntoIterator<Item = T>) {
    let program: BTreeSet<String> = program.into_iter().map(|word| word.as_ref().to_owned()).collect();
    let missing: Vec<_> = program.difference(page).collect();
    let unknown: Vec<_> = page.difference(&program).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing on the page: {missing:?}; not in the program: {unknown:?}"
    );
}

/// The words that a type is written as: its reader names them all when it meets another one.
fn words<T: DeserializeOwned>() -> Vec<String> {
    let error = serde_json::from_str::<T>("\"?\"").err().expect("no such word").to_string();
    let (_, list) = error.split_once("expected").expect("the reader names the words");
    codes(list)
}

#[test]
fn the_access_log_has_exactly_these_fields() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let log = AccessLog::start(Some(&config::AccessLog { path: Some(path.clone()), format: AccessFormat::Json }));
    let log = log.expect("the log");
    let address = "192.0.2.7:50000".parse().expect("an address");
    log.writer().record(&AccessRecord {
        began_unix_millis: 1,
        listener: "web",
        client: address,
        method: b"GET",
        target: b"/",
        version: "HTTP/1.1",
        host: b"example.com",
        request_id: b"1",
        user_agent: b"a",
        referer: b"b",
        status: Some(200),
        service: "shop",
        pool: "main",
        endpoint: Some(address),
        endpoint_name: "app-1",
        epoch: 1,
        tries: 2,
        retried: "reset",
        malformed: "version",
        received: 1,
        sent: 1,
        duration: Duration::from_millis(1),
        first_byte: Some(Duration::from_millis(1)),
        termination: Termination::Complete,
    });
    log.finish(Duration::from_secs(10));
    let line = std::fs::read_to_string(path).expect("the access log");
    let record: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).expect("one line of JSON");
    same(&first_column(&tables(), "access log"), record.keys());
}

#[test]
fn terminations_retries_and_causes_are_those_of_the_program() {
    let page = tables();
    same(&first_column(&page, "termination"), Termination::ALL.iter().map(|termination| termination.as_str()));
    same(&first_column(&page, "retried"), RetryReason::ALL.iter().map(|reason| reason.as_str()));
    same(&first_column(&page, "cause"), Cause::ALL.iter().map(|cause| cause.as_str()));
    same(&first_column(&page, "endpoint causes"), words::<decision::Cause>());
    same(&first_column(&Page::read("config/guides/failover.md"), "switches"), words::<decision::SwitchKind>());
    same(&first_column(&Page::read("config/guides/health.md"), "states"), words::<decision::Operational>());
}

#[test]
fn records_have_the_words_and_the_form_of_the_page() {
    let page = Page::read("config/guides/records.md");
    same(&first_column(&page, "record types"), RecordType::ALL.iter().map(|word| word.as_str()));
    same(&first_column(&page, "conditions"), words::<decision::ConditionKind>());
    let mut shown = BTreeSet::new();
    for block in page.blocks.iter().filter(|block| block.language == "json") {
        let place = format!("{}:{}", page.path, block.line);
        let record: ChangeRecord = serde_json::from_str(&block.text).unwrap_or_else(|e| panic!("{place}: {e}"));
        let typed: serde_json::Value = serde_json::from_str(&block.text).expect("JSON");
        let word = record.change.record_type().as_str();
        assert_eq!(serde_json::to_value(&record).expect("JSON"), typed, "{place}");
        assert_eq!(typed["type"], word, "{place}");
        shown.insert(word.to_owned());
    }
    same(&shown, RecordType::ALL.iter().filter(|word| !word.is_of_the_audit_log()).map(|word| word.as_str()));
}

#[test]
fn malformed_messages_have_these_words_and_statuses() {
    let rows: BTreeSet<String> =
        tables().table("malformed").iter().map(|row| format!("{} {}", codes(&row[0]).join(" "), row[1])).collect();
    same(&rows, h1::Error::ALL.iter().map(|error| format!("{} {}", error.reason(), error.status())));
}

#[test]
fn a_reload_changes_what_the_guide_says() {
    let page = Page::read("config/guides/operate.md");
    let rows = page.table("reload");
    let key = |row: &Vec<String>| codes(&row[0]).join(" ");
    let restart: BTreeSet<String> = rows.iter().filter(|row| row[1].starts_with("by restart")).map(key).collect();
    same(&restart, NEED_RESTART);
    // Every key of the top is in the table, itself or by all that is in it.
    let listed: BTreeSet<String> = rows.iter().map(key).collect();
    for known in config::keys().iter().filter(|key| key.supported) {
        let top = known.path.split(['.', '[']).next().unwrap_or_default();
        let is_listed = |key: &String| key == top || key == &known.path || known.path.starts_with(&format!("{key}."));
        let by_its_parts = || known.path == top && listed.iter().any(|key| key.starts_with(&format!("{top}.")));
        assert!(listed.iter().any(is_listed) || by_its_parts(), "`{}` is not in the table", known.path);
    }
    for key in &listed {
        assert!(config::keys().iter().any(|known| known.path == *key), "`{key}` is no key");
    }
}

// ---- the command line -------------------------------------------------------------------------------------------------

fn standfast(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_standfast"));
    command.env_clear().args(arguments);
    let output = command.output().expect("the program runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The lines of a section of `--help`, such as `Exit codes:`; none when it has no such section.
fn section(help: &str, heading: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != heading).skip(1);
    let lines = lines.take_while(|line| line.starts_with(' ')).filter_map(|line| line.strip_prefix("  "));
    // (What is indented further goes on with the line before.)
    lines.filter(|line| !line.starts_with(' ')).map(str::to_owned).collect()
}

#[test]
fn every_command_has_its_exit_codes_on_the_page() {
    let rows = tables().table("exit codes");
    let commands: BTreeSet<String> = rows.iter().flat_map(|row| codes(&row[0])).collect();
    let (_, help) = standfast(&["--help"]);
    let listed = section(&help, "Commands:");
    let names = listed.iter().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    same(&commands, names);
    for command in &commands {
        let (_, help) = standfast(&[command, "--help"]);
        let told = section(&help, "Exit codes:");
        if !told.is_empty() {
            let told = told.iter().filter_map(|line| line.split_whitespace().next());
            let rows = rows.iter().filter(|row| codes(&row[0]) == [command.as_str()]);
            same(&rows.map(|row| row[1].clone()).collect(), told);
        }
    }
}

#[test]
fn exit_codes_are_those_of_the_page() {
    let rows = tables().table("exit codes");
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_string_lossy().into_owned()
    };
    let good = file(
        "good.yaml",
        "listeners: [{name: web, bind: '127.0.0.1:0', service: app}]\n\
         services: {app: {pools: [{name: page, static_response: {}}]}}\n",
    );
    let bad = file("bad.yaml", "listeners: 1\n");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("its address").to_string();
    let occupied = file("occupied.yaml", &std::fs::read_to_string(&good).expect("good").replace("127.0.0.1:0", &taken));
    // Nothing speaks HTTP there: the connection is accepted by the kernel, so a port that refuses is taken instead.
    let refusing = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let refusing = refusing.to_string();
    let nowhere = folder.path().join("nowhere.yaml").to_string_lossy().into_owned();
    let tokens = folder.path().join("tokens").to_string_lossy().into_owned();
    let log = format!("{}/tests/formats/audit-1.jsonl", env!("CARGO_MANIFEST_DIR"));
    let cases: &[(&str, i32, &[&str])] = &[
        ("run", 1, &["-c", &bad]),
        ("run", 1, &["-c", &occupied]),
        ("run", 2, &["-c", &nowhere]),
        ("run", 2, &["--nonsense"]),
        ("check", 0, &[&good]),
        ("check", 1, &[&bad]),
        ("check", 2, &[&nowhere]),
        ("check", 2, &["--nonsense"]),
        ("status", 2, &["--admin", &refusing]),
        ("status", 2, &["--nonsense"]),
        ("healthcheck", 1, &["--admin", &refusing]),
        ("healthcheck", 1, &["--nonsense"]),
        ("demo", 1, &["--http", &taken, "--tcp", "127.0.0.1:0", "--admin", "127.0.0.1:0"]),
        ("demo", 2, &["--nonsense"]),
        ("journal", 2, &[&nowhere]),
        ("journal", 2, &[&good]),
        ("journal", 2, &["--nonsense"]),
        ("token", 0, &["create", "--name", "ada", "--role", "viewer", "--file", &tokens]),
        ("token", 0, &["list", "--file", &tokens]),
        ("token", 1, &["revoke", "0123456789", "--file", &tokens]),
        ("token", 2, &["list", "--file", &nowhere]),
        ("token", 2, &["--nonsense"]),
        ("audit", 0, &["verify", &log]),
        ("audit", 1, &["verify", &log, &log]),
        ("audit", 2, &["verify", &nowhere]),
        ("audit", 2, &["verify", "-c", &good]),
        ("audit", 2, &["show", "--since", "yesterday", &log]),
        ("audit", 2, &["--nonsense"]),
        ("upstream", 1, &["--http", "192.0.2.1:80"]),
        ("upstream", 2, &["--nonsense"]),
        ("completions", 0, &["bash"]),
        ("completions", 2, &["no-shell"]),
    ];
    for (command, code, arguments) in cases {
        let arguments = [&[*command][..], arguments].concat();
        let on_page = rows.iter().any(|row| codes(&row[0]) == [*command] && row[1] == code.to_string());
        assert!(on_page, "{command} {code} is not on the page");
        assert_eq!(standfast(&arguments).0, Some(*code), "{arguments:?}");
    }
}

#[test]
fn environment_variables_are_those_that_the_program_reads() {
    let page = first_column(&tables(), "variables");
    let mut read: BTreeSet<String> = OF_LIBRARIES.iter().map(|name| (*name).to_owned()).collect();
    for (_, text) in sources() {
        let literals = text.split('"').skip(1).step_by(2);
        let is_variable = |word: &&str| {
            let named = word
                .strip_prefix("STANDFAST_")
                .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
            named || *word == "NO_COLOR"
        };
        read.extend(literals.filter(is_variable).map(str::to_owned));
    }
    read.retain(|name| !OF_THE_BUILD.contains(&name.as_str()) && !OF_HOOKS.contains(&name.as_str()));
    same(&page, read);
}

//! The configuration from outside: the files in `config/`, the two lab configurations, the corpus of
//! `tests/config/cases/*.case`. Any text at all is asked by `tests/fuzz`.
//!
//! A case is an input, a line `=====`, and what must come of it: `ok` (with its warnings, and the part of the dump
//! that a `# show: path` in the input asks for) or every problem. `UPDATE_CASES=1 cargo test --test config` writes what
//! comes of each; read the difference before keeping it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use standfast::config::{self, Config, LoadedConfig, Problems};

use crate::memory;

/// How many cases there are: a corpus that is not found must not pass.
const CASES: usize = 219;
const SEPARATOR: &str = "\n=====\n";

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Relative paths of a text in here count from `tests/config/cases`.
fn parse(text: &str) -> Result<LoadedConfig, Problems> {
    config::parse(text, &root("tests/config/cases"))
}

#[track_caller]
fn good(text: &str) -> Config {
    let loaded = parse(text).unwrap_or_else(|problems| panic!("{}", problems.explain(false)));
    assert_eq!(loaded.warnings, [], "unexpected warnings");
    loaded.config
}

#[test]
fn the_corpus_says_what_it_said() {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root("tests/config/cases")).expect("the corpus") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "case") {
            found.push(path);
        }
    }
    found.sort();
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let mut wrong = Vec::new();
    for path in &found {
        let case = read(path);
        let (input, expected) = case.split_once(SEPARATOR).unwrap_or((&case, ""));
        let actual = outcome(input);
        if update {
            std::fs::write(path, format!("{input}{SEPARATOR}{actual}")).expect("the case is written");
        } else if actual != expected {
            wrong.push(format!("{}\n--- expected\n{expected}--- actual\n{actual}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases differ:\n{}", wrong.len(), found.len(), wrong.join("\n"));
    assert_eq!(found.len(), CASES, "cases in tests/config/cases");
}

fn outcome(input: &str) -> String {
    match parse(input) {
        Ok(loaded) => {
            let again = parse(&config::dump(&loaded.config)).unwrap_or_else(|problems| panic!("{problems}\n{input}"));
            assert_eq!(again.config, as_dumped(&loaded.config), "by way of its dump\n{input}");
            let warnings: String = loaded.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
            let shown: String = input
                .lines()
                .filter_map(|line| line.strip_prefix("# show: "))
                .map(|path| show(&loaded.config, path))
                .collect();
            format!("ok\n{warnings}{shown}")
        }
        Err(problems) => problems
            .list
            .iter()
            .map(|problem| {
                format!(
                    "{}: {problem}\n",
                    if problem.severity == config::Severity::Error { "error" } else { "warning" }
                )
            })
            .collect(),
    }
}

/// The same with every secret hidden.
fn as_dumped(config: &Config) -> Config {
    let mut config = config.clone();
    for pool in config.services.iter_mut().flat_map(|service| &mut Arc::make_mut(service).pools) {
        let hidden = |secret: &config::Secret| config::Secret::from(secret.hidden().to_owned());
        match pool.health_check.as_mut().map(|check| &mut check.kind) {
            Some(config::CheckKind::Http(check)) => {
                let check = Arc::make_mut(check);
                check
                    .request_headers
                    .iter_mut()
                    .for_each(|(_, value)| *value = config::Secret::HIDDEN.to_owned().into());
                check.request_body = check.request_body.as_ref().map(hidden);
            }
            Some(config::CheckKind::Tcp(check)) => {
                let check = Arc::make_mut(check);
                check.send = check.send.as_ref().map(hidden);
            }
            Some(config::CheckKind::Agent(check)) => {
                let check = Arc::make_mut(check);
                check.send = check.send.as_ref().map(hidden);
            }
            Some(config::CheckKind::Udp(check)) => {
                let check = Arc::make_mut(check);
                check.send = hidden(&check.send);
            }
            Some(config::CheckKind::Exec(check)) => {
                Arc::make_mut(check).environment.iter_mut().for_each(|(_, value)| *value = hidden(value));
            }
            _ => {}
        }
    }
    config
}

/// A part of the dump, by a path such as `services.shop.pools.0`.
fn show(config: &Config, path: &str) -> String {
    let dump: serde_yaml::Value = serde_yaml::from_str(&config::dump(config)).expect("a dump is YAML");
    let part = path.split('.').fold(&dump, |value, step| match step.parse::<usize>() {
        Ok(index) => &value[index],
        Err(_) => &value[step],
    });
    format!("{path}:\n{}", serde_yaml::to_string(part).expect("a part of it too"))
}

const EXAMPLES: [&str; 14] = [
    "reference.yaml",
    "admin.yaml",
    "minimal.yaml",
    "two-regions.yaml",
    "api-gateway.yaml",
    "tcp.yaml",
    "front-door.yaml",
    "passthrough.yaml",
    "postgres-pair.yaml",
    "postgres-patroni.yaml",
    "mariadb-gtid.yaml",
    "galera.yaml",
    "redis-replicas.yaml",
    "jenkins-standby.yaml",
];

#[test]
fn every_file_in_config_loads_without_a_warning_and_survives_a_dump() {
    let found = std::fs::read_dir(root("config")).expect("config/").map(|entry| entry.expect("an entry").path());
    let found = found.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    assert_eq!(found.count(), EXAMPLES.len(), "a file in config/ is not tested");
    for name in EXAMPLES {
        let loaded =
            config::load(&root("config").join(name)).unwrap_or_else(|problems| panic!("{}", problems.explain(false)));
        assert_eq!(loaded.warnings, [], "{name}");
        assert_eq!(good(&config::dump(&loaded.config)), loaded.config, "{name}");
    }
}

/// The reference with nothing but what has no default.
const BARE: &str = "
listeners:
  - {name: web, bind: 0.0.0.0:8080, routes: [{service: shop, match: {path_prefix: /}}]}
  - {name: raw, bind: 0.0.0.0:8081, protocol: tcp, service: raw}
services:
  shop:
    health_check: {http: {}}
    pools:
      - {name: main, endpoints: [10.0.1.11:8080]}
      - {name: standby, endpoints: [10.0.2.11:8080]}
      - {name: sorry, static_response: {}}
  raw:
    protocol: tcp
    health_check: {tcp: {}}
    pools:
      - {name: main, endpoints: [10.0.1.11:9000]}
      - {name: standby, endpoints: [10.0.2.11:9000]}
";

#[test]
fn the_reference_equals_the_defaults() {
    assert_eq!(good(&read(&root("config/reference.yaml"))), good(BARE));
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    let text = with_absent_keys(&read(&root("config/reference.yaml")));
    let value: serde_yaml::Value = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut written = BTreeSet::new();
    collect("", &value, &mut written);
    let keys = config::keys();
    let known: BTreeSet<String> = keys.iter().filter(|key| key.supported).map(|key| key.path.clone()).collect();
    assert!(known.len() > 100, "the schema is walked: {known:?}");
    // Keys of a pool's own check are those of its service's, and those of a check's `tls` are those of `upstream.tls`; `hash`
    // and `header` are choices, not keys of a map.
    let again = |key: &&String| {
        key.contains("pools[].health_check.")
            || key.contains("pools[].outlier_detection.")
            || key.contains(".health_check.") && key.contains(".tls.")
    };
    let missing: Vec<_> = known.difference(&written).filter(|key| !again(key)).collect();
    assert!(missing.is_empty(), "keys that the reference does not show: {missing:#?}");
    let unknown: Vec<_> = written.difference(&known).collect();
    assert!(unknown.is_empty(), "keys that the reader does not know: {unknown:#?}");
}

/// Takes away every `#~`; a map that was written empty and has such keys below loses its `{}`.
fn with_absent_keys(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let mut following = lines[index + 1..].iter().filter(|line| !line.trim_start().starts_with("# "));
        let next = following.next().copied().unwrap_or_default();
        let deeper = next.trim_start().strip_prefix("#~").is_some_and(|rest| {
            next.len() - next.trim_start().len() + rest.len() - rest.trim_start().len() > indent + 1
        });
        match (line.trim_start().strip_prefix("#~ "), line.strip_suffix(" {}")) {
            (Some(rest), _) => out.push_str(&format!("{}{rest}\n", &line[..indent])),
            (None, Some(key)) if deeper => out.push_str(&format!("{key}\n")),
            _ => out.push_str(&format!("{line}\n")),
        }
    }
    out
}

/// Names that the user gives.
const FREE: [&str; 9] = [
    "jwt[].subjects",
    "services",
    "set",
    "add",
    "match.headers",
    "http.headers",
    "http.request_headers",
    "static_response.headers",
    "json",
];

fn collect(path: &str, value: &serde_yaml::Value, found: &mut BTreeSet<String>) {
    match value {
        serde_yaml::Value::Mapping(map) => {
            for (key, value) in map {
                let free = FREE.iter().any(|free| path.ends_with(free));
                let key = if free { "*" } else { key.as_str().unwrap_or("?") };
                let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                if !free {
                    found.insert(path.clone());
                }
                collect(&path, value, found);
            }
        }
        serde_yaml::Value::Sequence(list) => list.iter().for_each(|value| collect(&format!("{path}[]"), value, found)),
        _ => {}
    }
}

const LAB_PERF: &str = r#"
workers: 2
admin: {bind: 127.0.0.1:9901}
listeners:
  - name: http
    bind: 127.0.0.1:8080
    protocol: http
    limits: {max_connections: 20000}
    timeouts: {idle: 300s}
    routes: [{service: web}]
  - {name: tcp, bind: 127.0.0.1:8081, protocol: tcp, limits: {max_connections: 20000}, service: raw}
services:
  web:
    health_check: {http: {path: /}, interval: 1s, timeout: 500ms}
    limits: {max_connections: 20000, max_pending: 20000}
    pools:
      - {name: active, endpoints: ["127.0.0.1:1", "127.0.0.1:2"]}
      - {name: standby, endpoints: ["127.0.0.1:3", "127.0.0.1:4"]}
  raw:
    protocol: tcp
    health_check: {tcp: {}, interval: 1s, timeout: 500ms}
    limits: {max_connections: 20000, max_pending: 20000}
    pools:
      - {name: active, endpoints: ["127.0.0.1:1", "127.0.0.1:2"]}
      - {name: standby, endpoints: ["127.0.0.1:3", "127.0.0.1:4"]}
"#;

const LAB_FAULTS_SERVICE: &str = "
    health_check: {http: {path: /health, port: 8000}, interval: 1s, timeout: 500ms, fall: 2, rise: 2}
    timeouts: {connect: 500ms, response: 3s}
    failover: {SESSIONSfailback: {mode: auto, hold_down: 2s}}

    pools:
      - {name: active, endpoints: [\"10.0.0.1:80\", \"10.0.0.2:80\"]}
      - {name: standby, endpoints: [\"10.0.0.3:80\", \"10.0.0.4:80\"]}
";

#[test]
fn the_lab_configurations_load_without_a_warning() {
    assert_eq!(good(LAB_PERF).workers, Some(2));
    let http = "
admin: {bind: 127.0.0.1:9901}
listeners:
  - name: web
    bind: 127.0.0.1:8080
    protocol: http
    routes: [{service: app, response_headers: {set: {X-Gen: \"1\"}}}]
services:
  app:
";
    let http = good(&format!("{http}{}", LAB_FAULTS_SERVICE.replace("SESSIONS", "")));
    assert_eq!(http.services[0].failover.sessions, config::Sessions::Drain);
    let tcp = "
admin: {bind: 127.0.0.1:9901}
listeners:
  - {name: l4, bind: 127.0.0.1:8080, protocol: tcp, service: app}
services:
  app:
    protocol: tcp
";
    let tcp = good(&format!("{tcp}{}", LAB_FAULTS_SERVICE.replace("SESSIONS", "sessions: close, ")));
    assert_eq!(tcp.services[0].failover.sessions, config::Sessions::Close);
}

#[test]
fn problems_are_told_to_people_with_the_line_and_a_caret() {
    let text = "listeners:\n  - name: web\n    bnid: 0.0.0.0:80\n    service: app\nservices: {app: {pools: [{name: a, static_response: {}}]}}\n";
    let problems = parse(text).expect_err("a key is wrong");
    let expected = "\
error: unknown key `bnid`
  --> standfast.yaml:3:5  listeners[0].bnid
   |
 3 |     bnid: 0.0.0.0:80
   |     ^^^^
   = did you mean `bind`? Known here: `name`, `bind`, `protocol`, `timeouts`, `limits`, `forwarded`, `routes`, `service`, `tls`, `proxy_protocol`

";
    assert_eq!(problems.explain(false), expected);
    assert!(problems.explain(true).contains("\u{1b}[1;31m^^^^\u{1b}[0m"));
}

#[test]
fn problems_are_told_to_programs_as_json() {
    let value = parse("services: 5").expect_err("not a map").to_json();
    assert_eq!(value["file"], "standfast.yaml");
    assert_eq!(value["unreadable"], false);
    let problem = &value["list"][1];
    assert_eq!((problem["severity"].as_str(), problem["path"].as_str()), (Some("error"), Some("services")));
    assert_eq!((problem["line"].as_u64(), problem["column"].as_u64()), (Some(1), Some(11)));
}

#[test]
fn a_file_that_cannot_be_read_is_told_apart() {
    assert!(config::load(&root("no/such/file.yaml")).expect_err("no file").unreadable);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("latin1.yaml");
    std::fs::write(&file, b"# caf\xe9\nlisteners: []\n").expect("a file");
    let problems = config::load(&file).expect_err("not UTF-8");
    assert!(problems.unreadable && problems.to_string().contains("line 1"), "{problems}");
    assert!(config::load(folder.path()).expect_err("a folder is no file").unreadable);
    // Larger than what is read of it, and cut in the middle of a character.
    std::fs::write(&file, format!("a{}", "ü".repeat(4 << 20))).unwrap();
    let problems = config::load(&file).expect_err("too large");
    let said = "it has 8388609 bytes: at most 4194304 are read";
    assert!(problems.unreadable && problems.to_string().contains(said), "{problems}");
}

#[test]
fn secrets_of_a_check_are_in_neither_dump_nor_debug_output() {
    let text = "listeners: [{name: w, bind: 127.0.0.1:80, service: s}]\n\
                services: {s: {health_check: {http: {request_headers: {Authorization: Bearer tell-no-one}}}, \
                pools: [{name: a, endpoints: [10.0.0.1:80]}]}}\n";
    let config = good(text);
    let json = serde_json::to_string(&config).expect("a configuration is JSON");
    for shown in [config::dump(&config), format!("{config:?}"), json] {
        assert!(shown.contains("***") && !shown.contains("tell-no-one"), "{shown}");
    }
}

/// Where a value may be a secret, no message repeats it: neither the words of the problem, nor its path, nor the line of the file
/// below it.
#[test]
fn secrets_are_in_no_message() {
    let in_check = |headers: &str| {
        format!(
            "listeners: [{{name: w, bind: 127.0.0.1:80, service: s}}]\nservices:\n  s:\n    health_check:\n      http:\n\
             \x20       request_headers: {headers}\n    pools: [{{name: a, endpoints: [10.0.0.1:80]}}]\n"
        )
    };
    let in_route = |key: &str, changes: &str| {
        format!(
            "listeners:\n  - name: w\n    bind: 127.0.0.1:80\n    routes:\n      - service: s\n        {key}: {changes}\n\
             services: {{s: {{pools: [{{name: a, endpoints: [10.0.0.1:80]}}]}}}}\n"
        )
    };
    let endpoint = |endpoint: &str| {
        format!(
            "listeners: [{{name: w, bind: 127.0.0.1:80, service: s}}]\nservices: {{s: {{pools: [{{name: a, endpoints:\n  \
             [{endpoint}]}}]}}}}\n"
        )
    };
    for text in [
        in_check("\"Authorization: Bearer hunter2\""),
        in_check("Bearer hunter2"),
        in_check("[\"Authorization: Bearer hunter2\"]"),
        in_check("{\"Authorization: Bearer hunter2\": x}"),
        in_check("{\"Authorization=hunter2\": }"),
        in_check("{Authorization: [Bearer hunter2]}"),
        in_check("{Authorization: {Bearer: hunter2}}"),
        in_check("{Authorization: \"Bearer hunter2 \"}"),
        in_check("{Authorization: \"Bearer hunter2\\u0001\"}"),
        in_check("\n          Authorization: Bearer: hunter2"),
        in_check("\n          Authorization: \"Bearer hunter2"),
        in_check("\n          Authorization: Bearer hunter2\n          Authorization: Bearer hunter2"),
        in_check("{Host: a, Authorization: Bearer hunter2}"),
        in_check("|\n          Authorization: Bearer hunter2"),
        in_check("!!binary hunter2"),
        in_check("\n          - Authorization: Bearer hunter2\n         x: y"),
        in_route("request_headers", "\"Authorization: Bearer hunter2\""),
        in_route("request_headers", "{set: \"Authorization: Bearer hunter2\"}"),
        in_route("request_headers", "{set: [\"Authorization: Bearer hunter2\"]}"),
        in_route("request_headers", "{\"Authorization: Bearer hunter2\": x}"),
        in_route("request_headers", "{set: {Authorization: \"Bearer hunter2 \"}, nonsense: 1}"),
        in_route("response_headers", "{add: {Set-Cookie: \"id=hunter2 \"}}"),
        in_route("response_headers", "hunter2"),
        in_route("match", "{headers: \"X-Token: hunter2\"}"),
        in_route("match", "{headers: {X-Token: \"hunter2 \"}}"),
        in_route("match", "{headers: {X-Token: {exact: hunter2, present: true}}}"),
        "listeners: {name: w, bind: 127.0.0.1:80, routes: {service: s, request_headers: {set: {A: hunter2}}}}\nservices: {}\n".into(),
        "listeners: []\nservices: [{name: s, health_check: {http: {request_headers: {A: hunter2}, request_body: hunter2}}}]\n"
            .into(),
        in_check("{A: b}").replace("      http:\n", "      http://user:hunter2@10.0.0.1/?hunter2\n      #"),
        endpoint("{url: \"http://user:hunter2@10.0.0.1:80\"}"),
        endpoint("\"${USER}:hunter2@10.0.0.1:80\""),
        endpoint("\"user:hunter2@10.0.0.1:80,10.0.0.2:80\""),
        endpoint("\"http://user:hunter2@10.0.0.1:80\""),
        endpoint("\"user:hunter2@10.0.0.1:80\""),
        endpoint("{dns: \"user:hunter2@app.internal\"}"),
        endpoint("{dns: \"https://user:hunter2@app.internal\"}"),
    ] {
        let problems = parse(&text).expect_err(&text);
        for shown in [problems.explain(false), problems.to_string(), problems.to_json().to_string()] {
            assert!(!shown.contains("hunter2"), "{text}\n{shown}");
        }
    }
    // What is no secret is still shown with its line.
    let problems =
        parse(&in_check("{X-A: b}").replace("127.0.0.1:80", "127.0.0.1")).expect_err("no port").explain(false);
    assert!(problems.contains("listeners: [{name: w, bind: 127.0.0.1, service: s}]"), "{problems}");
}

/// Whatever stands in a file, its messages are text: nothing in them commands a terminal, breaks a line of a log, or turns around
/// what stands behind it.
#[test]
fn texts_of_the_file_are_printable_in_its_messages() {
    let text = |name: &str, bind: &str, more: &str, service: &str| {
        format!("listeners: [{{name: {name}, bind: {bind}, {more}}}]\nservices: {{{service}}}\n")
    };
    let pools = "pools: [{name: a, endpoints: [10.0.0.1:80]}]";
    for hostile in
        ["\\e[2J", "\\x9b31m", "\\u202Etxt", "\\u2066x", "\\r\\nforged", "\\0", "\\x7F", "\\N", "\\L", "\\u061C"]
    {
        let hostile = format!("\"a{hostile}b\"");
        let s = format!("s: {{{pools}}}");
        for text in [
            text(&hostile, "127.0.0.1:80", "service: s", &s),
            text("w", &hostile, "service: s", &s),
            text("w", "127.0.0.1:80", &format!("service: {hostile}"), &s),
            text("w", "127.0.0.1:80", &format!("service: s, {hostile}: 1"), &s),
            text("w", "127.0.0.1:80", &format!("protocol: {hostile}"), &s),
            text("w", "127.0.0.1:80", &format!("timeouts: {{idle: {hostile}}}"), &s),
            text("w", "127.0.0.1:80", &format!("limits: {hostile}"), &s),
            text("w", "127.0.0.1:80", &format!("proxy_protocol: {{trusted: [{hostile}]}}"), &s),
            text("w", "127.0.0.1:80", &format!("tls: {{certificates: [], alpn: [{hostile}]}}, service: s"), &s),
            text("w", "127.0.0.1:80", &format!("routes: [{{service: s, match: {{host: {hostile}}}}}]"), &s),
            text("w", "127.0.0.1:80", &format!("routes: [{{service: s, match: {{path: {hostile}}}}}]"), &s),
            text("w", "127.0.0.1:80", &format!("routes: [{{service: s, match: {{method: {hostile}}}}}]"), &s),
            text("w", "127.0.0.1:80", &format!("routes: [{{service: s, upgrades: [{hostile}]}}]"), &s),
            text(
                "w",
                "127.0.0.1:80",
                &format!("routes: [{{service: s, request_headers: {{remove: [{hostile}]}}}}]"),
                &s,
            ),
            text("w", "127.0.0.1:80", "service: s", &format!("{hostile}: {{{pools}}}")),
            text("w", "127.0.0.1:80", "service: s", &format!("s: {{pools: [{{name: {hostile}}}]}}")),
            text("w", "127.0.0.1:80", "service: s", &format!("s: {{pools: [{{name: a, endpoints: [{hostile}]}}]}}")),
            text(
                "w",
                "127.0.0.1:80",
                "service: s",
                &format!("s: {{pools: [{{name: a, endpoints: [{{dns: {hostile}}}]}}]}}"),
            ),
            text("w", "127.0.0.1:80", "service: s", &format!("s: {{retry: {{on: {hostile}}}, {pools}}}")),
            text("w", "127.0.0.1:80", "service: s", &format!("s: {{balance: {hostile}, {pools}}}")),
            text(
                "w",
                "127.0.0.1:80",
                "service: s",
                &format!("s: {{health_check: {{http: {{path: {hostile}}}}}, {pools}}}"),
            ),
            text(
                "w",
                "127.0.0.1:80",
                "service: s",
                &format!("s: {{health_check: {{http: {{json: {{{hostile}: 1}}}}}}, {pools}}}"),
            ),
            text(
                "w",
                "127.0.0.1:80",
                "service: s",
                &format!("s: {{pools: [{{name: a, static_response: {{body_file: {hostile}}}}}]}}"),
            ),
            text("w", "127.0.0.1:80", "service: s", &format!("s: {{{pools}}}, {hostile}: {{}}, {hostile}: {{}}")),
            format!("{}log: {hostile}\nnonsense: 1\n", text("w", "127.0.0.1:80", "service: s", &s)),
            format!("{}state: {{path: {hostile}}}\nnonsense: 1\n", text("w", "127.0.0.1:80", "service: s", &s)),
            format!("{}\u{202e}\u{9b}2J: 1\n", text("w", "127.0.0.1:80", "service: s", &s)),
        ] {
            let problems = parse(&text).expect_err(&text);
            let json = problems.to_json();
            let strings = json["list"].as_array().expect("a list").iter().flat_map(|problem| {
                ["path", "what", "advice"].map(|key| problem[key].as_str().expect("a text").to_owned())
            });
            for shown in strings.chain(problems.to_string().lines().map(str::to_owned)) {
                assert!(!shown.contains(standfast::text::is_command), "{text}\n{shown:?}");
            }
            let explained = problems.explain(false).replace('\n', "");
            assert!(!explained.contains(standfast::text::is_command), "{text}\n{explained:?}");
        }
    }
    let missing = config::load(Path::new("/no/\u{1b}[2J\u{202e}.yaml")).expect_err("no file");
    for shown in [missing.to_string(), missing.explain(false).replace('\n', "")] {
        assert!(!shown.contains(standfast::text::is_command), "{shown:?}");
    }
}

#[test]
fn a_state_path_that_is_no_file_of_its_own_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let fifo = folder.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).expect("a FIFO");
    std::fs::write(folder.path().join("access.log"), "").expect("a file");
    std::fs::hard_link(folder.path().join("access.log"), folder.path().join("linked")).expect("a link");
    std::os::unix::fs::symlink(folder.path(), folder.path().join("here")).expect("a link");
    std::os::unix::net::UnixListener::bind(folder.path().join("socket")).expect("a socket");
    let file = folder.path().join("standfast.yaml");
    let problems = |state: &str, log: &str| {
        let text = format!(
            "state: {state}\naccess_log: {{path: {log}}}\nlisteners: [{{name: w, bind: 127.0.0.1:80, service: s}}]\n\
             services: {{s: {{pools: [{{name: a, endpoints: [10.0.0.1:80]}}]}}}}\n"
        );
        std::fs::write(&file, text).expect("a file");
        config::load(&file).err().map(|problems| problems.to_string())
    };
    for (state, log, said) in [
        ("fifo", "access.log", "is a FIFO"),
        ("here", "access.log", "is a folder"),
        ("socket", "access.log", "is a socket"),
        ("access.log", "access.log", "is the access log"),
        ("linked", "access.log", "is the access log"),
        ("here/access.log", "./access.log", "is the access log"),
        ("here/new.log", "new.log", "is the access log"),
        ("here/standfast.yaml", "access.log", "is the configuration itself"),
    ] {
        assert!(
            problems(state, log).is_some_and(|problems| problems.contains(said)),
            "{state}: {:?}",
            problems(state, log)
        );
    }
    assert_eq!(problems("state.json", "access.log"), None);
    assert_eq!(problems("state.json", "fifo"), None, "lines may go to a FIFO");
}

#[test]
fn relative_paths_count_from_the_folder_of_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("sorry.html"), "<p>Back soon").expect("a body");
    let file = folder.path().join("standfast.yaml");
    let text = "state: state.json\nlisteners: [{name: w, bind: 127.0.0.1:80, service: s}]\n\
                services: {s: {pools: [{name: a, static_response: {body_file: sorry.html}}]}}\n";
    std::fs::write(&file, text).expect("a file");
    let config = config::load(&file).expect("valid").config;
    assert_eq!(config.state.as_ref().map(|state| state.path.clone()), Some(folder.path().join("state.json")));
    let config::PoolMembers::Static(answer) = &config.services[0].pools[0].members else { panic!("a static response") };
    assert_eq!((answer.body.as_str(), answer.content_type.as_str()), ("<p>Back soon", "text/html; charset=utf-8"));
    assert_eq!(good(&config::dump(&config)), config);
}

#[test]
fn aliases_cannot_unfold_into_more_than_the_bound() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let before = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{before}]\n"));
    }
    let problems = parse(&bomb).expect_err("a bomb");
    assert!(problems.to_string().contains("more than 400000 values"), "{problems}");
}

/// Files of up to 4 MiB that are short ways to say much. What is held at once is bounded by the file's bounds, whatever is in it:
/// the tree of 400,000 values, and what the schema makes of them.
#[test]
fn no_file_makes_its_reader_hold_much_more_than_the_file() {
    const MIB: usize = 1 << 20;
    let front = "listeners: [{name: w, bind: 127.0.0.1:80, service: s}]\n";
    let nested = |depth: usize| {
        let open: String = (0..depth).map(|n| format!("&a{n} [")).collect();
        format!("[{open}{}], ", "]".repeat(depth))
    };
    let service =
        |more: &str| format!("{front}services: {{s: {{{more}, pools: [{{name: a, endpoints: ['10.0.0.1:80']}}]}}}}\n");
    let long = "x".repeat(1000);
    let bombs: Vec<(&str, String)> = vec![
        ("nested anchors", format!("a: [{}]\n", nested(29).repeat(4_000))),
        ("anchors around a list", {
            let (open, close) = ((0..29).map(|n| format!("&a{n} [")).collect::<String>(), "]".repeat(29));
            format!("a: {open}{}{close}\n", "x,".repeat(150_000))
        }),
        ("a list many times", format!("a: &a [{}]\nb: [{}]\n", "x,".repeat(1_000), "*a,".repeat(1_000))),
        ("a long text many times", format!("a: &a {long}\nb: [{}]\n", "*a,".repeat(100_000))),
        ("a long key many times", format!("a: &a {{{long}: 1}}\nb: [{}]\n", "*a,".repeat(100_000))),
        ("a map in each value", format!("a: [{}]\n", "{a: {}},".repeat(99_000))),
        (
            "empty services",
            format!("{front}services: {{{}}}\n", (0..100_000).map(|n| format!("s{n}: ,")).collect::<String>()),
        ),
        ("empty pools", format!("{front}services: {{s: {{pools: [{}]}}}}\n", "~,".repeat(390_000))),
        ("empty listeners", format!("listeners: [{}]\nservices: {{}}\n", "{},".repeat(390_000))),
        (
            "empty routes",
            format!("listeners: [{{name: w, bind: '127.0.0.1:80', routes: [{}]}}]\n", "~,".repeat(390_000)),
        ),
        (
            "empty endpoints",
            format!("{front}services: {{s: {{pools: [{{name: a, endpoints: [{}]}}]}}}}\n", "~,".repeat(390_000)),
        ),
        ("unknown keys", format!("{}\n", (0..190_000).map(|n| format!("k{n}: 1\n")).collect::<String>())),
        ("a long check of many pools", {
            let headers: String = (0..2_000).map(|n| format!("x{n}: {}, ", "y".repeat(800))).collect();
            let pools: String = (0..20_000)
                .map(|n| format!("{{name: p{n}, endpoints: ['10.0.{}.{}:80']}}, ", n >> 8, n & 255))
                .collect();
            let check = format!("{{http: {{request_headers: {{{headers}}}}}}}");
            format!("{front}services: {{s: {{health_check: {check}, pools: [{pools}]}}}}\n")
        }),
        ("statuses", service(&format!("retry: {{on: [{}]}}", "4xx,".repeat(390_000)))),
        ("failures", service(&format!("outlier_detection: {{failures: [{}]}}", "4xx,".repeat(390_000)))),
    ];
    for (name, text) in bombs {
        assert!(text.len() <= 4 * MIB, "{name}: {} bytes", text.len());
        let (_, used) = memory::used(|| parse(&text));
        assert!(used.peak < 256 * MIB, "{name}: {} MiB held for {} KiB", used.peak / MIB, text.len() >> 10);
    }
}

#[test]
fn statuses_are_kept_as_ranges() {
    let retry = |on: &str| {
        let text = format!(
            "listeners: [{{name: w, bind: 127.0.0.1:80, service: s}}]\n\
             services: {{s: {{retry: {{on: {on}}}, pools: [{{name: a, endpoints: [10.0.0.1:80]}}]}}}}\n"
        );
        good(&text).services[0].retry.on.clone()
    };
    assert_eq!(retry("[5xx, 429, 4xx]").statuses, [(400, 599)]);
    assert_eq!(retry("[504, 502, 503, 502, 429]").statuses, [(429, 429), (502, 504)]);
    let on = retry("[reset, 502-503]");
    assert_eq!((on.reset, on.timeout), (true, false));
    assert_eq!([501, 502, 503, 504].map(|status| on.has_status(status)), [false, true, true, false]);
    assert!(retry("[]").is_empty() && !retry("timeout").is_empty());
}

#[test]
fn hostile_sizes_are_refused_and_not_worked_on() {
    let deep = format!("listeners: {}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(parse(&deep).is_err());
    let block: String = (0..2000).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    assert!(parse(&block).expect_err("deep").to_string().contains("nested deeper"));
    assert!(parse(&"x".repeat(5 << 20)).expect_err("long").to_string().contains("bytes"));
    let wrong: String = (0..5000).map(|n| format!("key{n}: 1\n")).collect();
    let problems = parse(&wrong).expect_err("unknown keys");
    assert!(problems.list.len() <= 101 && problems.to_string().contains("more"));
}

/// Words of the file that a terminal would obey are shown as something else, in advice and among names too.
#[test]
fn no_message_holds_a_control_character() {
    let listeners = |service: &str| format!("listeners: [{{name: w, bind: 127.0.0.1:80, service: {service}}}]\n");
    let services = |name: &str, endpoint: &str| {
        format!("services: {{{name}: {{pools: [{{name: a, endpoints: [{endpoint}]}}]}}}}\n")
    };
    let escape = r#""10.0.0\x1b[2Jhost:80""#;
    for text in [
        listeners("s") + &services("s", escape),
        listeners("t") + &services(r#""t\x1b[2J""#, "10.0.0.1:80"),
        listeners("t") + &services(&format!("\"{}\"", "t".repeat(1 << 20)), "10.0.0.1:80"),
    ] {
        let problems = parse(&text).expect_err("it is wrong");
        for problem in &problems.list {
            let line = problem.to_string();
            assert!(!line.contains(char::is_control) && line.len() < 1000, "{} bytes: {line:.1000}", line.len());
        }
    }
}

#[test]
fn lines_are_counted_as_yaml_counts_them() {
    for end in ["\n", "\r\n", "\r"] {
        let text = format!("listeners: []{end}# a comment{end}services: 5{end}");
        let problems = parse(&text).expect_err("not a map");
        let shown = problems.list.iter().map(|problem| problem.explain(Path::new("f"), false)).collect::<String>();
        assert!(shown.contains("f:3:11  services\n   |\n 3 | services: 5\n"), "{end:?}: {shown}");
    }
}

/// A big file that is wrong everywhere says what a person can read. (Each name held against each other took half a minute.)
#[test]
fn a_big_configuration_that_is_wrong_everywhere_is_refused_in_few_words() {
    const MANY: usize = 8_000;
    let routes: String = (0..MANY).map(|n| format!("      - {{match: {{path: /r{n}}}, service: s-{n}}}\n")).collect();
    let services: String =
        (0..MANY).map(|n| format!("  s{n}: {{pools: [{{name: p, endpoints: [127.0.0.1:{}]}}]}}\n", 1024 + n)).collect();
    let text = format!("listeners:\n  - name: l\n    bind: 127.0.0.1:8080\n    routes:\n{routes}services:\n{services}");
    let problems = parse(&text).unwrap_err();
    assert_eq!(problems.list.len(), 101);
    let first = &problems.list[0];
    assert!(first.what.contains("no service `s-0`") && first.advice.contains("did you mean `s0`?"), "{first}");
    assert!(first.advice.ends_with("and 7990 more"), "{first}");
    let words = problems.to_string();
    assert!(words.len() < 64 << 10, "{}", words.len());
    assert!(words.contains("more; mend these first"), "{}", &words[words.len() - 200..]);
}

/// A configuration with `n` of everything that may be many. What is held against each other is looked up, not searched: twice as
/// many of them take twice the work. (Each of these took minutes where every one was compared with all before it.)
fn many(part: &str, n: usize) -> String {
    let address = |at: usize| format!("10.{}.{}.{}:80", at >> 16 & 255, at >> 8 & 255, at & 255);
    let own = |at: usize| format!("127.{}.{}.{}:80", at >> 16 & 255, at >> 8 & 255, at & 255);
    let each = |text: &dyn Fn(usize) -> String| (0..n).map(text).collect::<Vec<_>>().join(", ");
    let front = "{name: front, bind: '127.1.0.0:81', service: s}";
    let service =
        |more: &str| format!("listeners: [{front}]\nservices: {{s: {{health_check: {{tcp: {{}}}}, {more}}}}}\n");
    let of_service = |listeners: &str| {
        let pools = "pools: [{name: a, endpoints: ['10.0.0.1:80']}]";
        format!("listeners: [{listeners}]\nservices: {{s: {{{pools}}}, t: {{protocol: tcp, {pools}}}}}\n")
    };
    match part {
        "pools" => service(&format!(
            "objectives: {{rto: 1h}}, pools: [{}]",
            each(&|at| format!("{{name: p{at}, endpoints: ['{}']}}", address(at)))
        )),
        "pools with checks of their own" => service(&format!(
            "objectives: {{rto: 1h}}, pools: [{}]",
            each(&|at| {
                let check = format!("{{tcp: {{}}, interval: {}ms}}", 2_000 + at);
                format!("{{name: p{at}, health_check: {check}, endpoints: ['{}']}}", address(at))
            })
        )),
        "names" => {
            service(&format!("pools: [{{name: p, endpoints: [{}]}}]", each(&|at| format!("{{dns: 'h{at}.x:80'}}"))))
        }
        "endpoints" => {
            service(&format!("pools: [{{name: p, endpoints: [{}]}}]", each(&|at| format!("'{}'", address(at)))))
        }
        "listeners" => of_service(&each(&|at| format!("{{name: l{at}, bind: '{}', service: s}}", own(at)))),
        "routes" => {
            let routes = each(&|at| format!("{{match: {{path: /r{at}}}, service: s}}"));
            of_service(&format!("{{name: l, bind: '127.0.0.1:80', routes: [{routes}]}}"))
        }
        "hosts" => {
            let routes = each(&|at| format!("{{match: {{host: h{at}.x}}, service: s}}"));
            of_service(&format!("{{name: l, bind: '127.0.0.1:80', routes: [{routes}]}}"))
        }
        "routes by SNI" => {
            let routes = each(&|at| format!("{{match: {{sni: h{at}.x, alpn: [h2, p{at}]}}, service: t}}"));
            of_service(&format!("{front}, {{name: l, protocol: tcp, bind: '127.0.0.1:80', routes: [{routes}]}}"))
        }
        "protocols of one name" => {
            let routes = each(&|at| format!("{{match: {{sni: h.x, alpn: [h2, p{at}]}}, service: t}}"));
            of_service(&format!("{front}, {{name: l, protocol: tcp, bind: '127.0.0.1:80', routes: [{routes}]}}"))
        }
        "certificates" => {
            let certificates = each(&|at| format!("{{cert: c{at}.pem, key: k{at}.pem}}"));
            let alpn = each(&|at| format!("p{at}"));
            let tls = format!("{{certificates: [{certificates}], alpn: [{alpn}]}}");
            of_service(&format!("{front}, {{name: l, protocol: tcp, bind: '127.0.0.1:80', service: t, tls: {tls}}}"))
        }
        "services" => {
            let services = each(&|at| {
                format!(
                    "s{at}: {{failover: {{failback: manual}}, pools: [{{name: a, endpoints: ['{}']}}, {{name: b, static_response: {{}}}}]}}",
                    address(at)
                )
            });
            let routes = each(&|at| format!("{{match: {{path: /{at}}}, service: s{at}}}"));
            format!("listeners: [{{name: l, bind: '127.0.0.1:80', routes: [{routes}]}}]\nservices: {{{services}}}\n")
        }
        "listeners of our own" => {
            let listeners = each(&|at| format!("{{name: l{at}, bind: '{}', service: s{at}}}", own(at)));
            let services = each(&|at| format!("s{at}: {{pools: [{{name: a, endpoints: ['{}']}}]}}", own(at + 1)));
            format!("listeners: [{listeners}]\nservices: {{{services}}}\n")
        }
        part => panic!("{part}"),
    }
}

#[test]
fn twice_as_much_takes_twice_the_work() {
    const N: usize = 5_000;
    for part in [
        "pools",
        "pools with checks of their own",
        "names",
        "endpoints",
        "listeners",
        "routes",
        "hosts",
        "routes by SNI",
        "protocols of one name",
        "certificates",
        "services",
        "listeners of our own",
    ] {
        let work = |n: usize| {
            let text = many(part, n);
            let (loaded, used) = memory::used(|| parse(&text));
            let loaded = loaded.unwrap_or_else(|problems| panic!("{part}: {problems}"));
            assert!(loaded.warnings.len() <= 101, "{part}: {:?}", &loaded.warnings[..2]);
            used
        };
        let (once, twice) = (work(N), work(2 * N));
        assert!(
            twice.calls as f64 <= 2.2 * once.calls as f64,
            "{part}: {} and {} allocations",
            once.calls,
            twice.calls
        );
        assert!(twice.peak as f64 <= 2.5 * once.peak as f64, "{part}: {} and {} bytes", once.peak, twice.peak);
    }
}

#[test]
fn pools_of_a_big_service_are_not_all_named_in_one_warning() {
    let pools: Vec<String> =
        (0..2_000).map(|n| format!("{{name: p{n}, endpoints: [\"127.0.0.1:{}\"]}}", 1024 + n)).collect();
    let text = format!(
        "listeners:\n  l: {{bind: 127.0.0.1:80, service: s}}\nservices:\n  s: {{objectives: {{rto: 1s}}, pools: [{}]}}\n",
        pools.join(", ")
    );
    let problems = parse(&text).unwrap_err();
    assert!(problems.to_string().len() < 16 << 10, "{}", problems.to_string().len());
    assert!(problems.to_string().contains("`p9` and 1990 more have no health check"), "{problems}");
}

const TOP: &str = "@\nlisteners: [{name: web, bind: 127.0.0.1:8080, service: web}]\n\
                   services: {web: {pools: [{name: main, endpoints: [10.0.0.1:80]}]}}\n";
const NO_LISTENERS: &str = "@\nservices: {web: {pools: [{name: main, endpoints: [10.0.0.1:80]}]}, app: {pools: [{name: main, endpoints: [10.0.0.2:80]}]}}\n";
const NO_SERVICES: &str = "listeners: [{name: web, bind: 127.0.0.1:8080, service: web}]\n@\n";
const LISTENER: &str = "listeners: [{name: web, service: web, bind: 127.0.0.1:8080, @}]\n\
                        services: {web: {pools: [{name: main, endpoints: [10.0.0.1:80]}]}}\n";
const BOUND: &str = "listeners:\n  - name: web\n    service: web\n    @\n\
                     services: {web: {pools: [{name: main, endpoints: [10.0.0.1:80]}]}}\n";
const ROUTED: &str = "listeners: [{name: web, bind: 127.0.0.1:8080, @}]\n\
                      services: {web: {pools: [{name: main, endpoints: [10.0.0.1:80]}]}}\n";
const ROUTE: &str = "listeners: [{name: web, bind: 127.0.0.1:8080, routes: [{service: web, @}]}]\n\
                     services: {web: {pools: [{name: main, endpoints: [10.0.0.1:80]}]}}\n";
const SERVICE: &str = "listeners: [{name: web, bind: 127.0.0.1:8080, service: web}]\n\
                       services: {web: {pools: [{name: main, endpoints: [10.0.0.1:80]}, {name: standby, endpoints: [10.0.0.2:80]}], @}}\n";
const POOLS: &str = "listeners: [{name: web, bind: 127.0.0.1:8080, service: web}]\nservices: {web: {@}}\n";
const POOL: &str = "listeners: [{name: web, bind: 127.0.0.1:8080, service: web}]\n\
                    services: {web: {pools: [{name: main, @}]}}\n";
const ENDPOINT: &str = "listeners: [{name: web, bind: 127.0.0.1:8080, service: web}]\n\
                        services: {web: {pools: [{name: main, endpoints: [@]}]}}\n";
const CHECK: &str = "listeners: [{name: web, bind: 127.0.0.1:8080, service: web}]\n\
                     services: {web: {health_check: {@}, pools: [{name: main, endpoints: [10.0.0.1:80]}]}}\n";
const APPS: &str = "listeners: [{name: web, bind: 127.0.0.1:8080, @}]\n\
                    services: {app: {pools: [{name: main, endpoints: [10.0.0.1:80]}]}}\n";
const CERTIFIED: &str = "tls: {certificates: [{cert: fullchain.pem, key: key.pem}]}";
/// Natural mistakes: a file with `@` for the part that is wrong, what is written there, and what is right. The message offers it, or
/// what is between `«` and `»` of it.
const MISTAKES: &[(&str, &str, &str)] = &[
    // The shape of the file.
    (
        "@",
        "[]",
        "{listeners: [{name: web, bind: 0.0.0.0:8080, service: web}], services: {web: {pools: [{name: main, endpoints: [10.0.0.1:8080]}]}}}",
    ),
    (NO_LISTENERS, "port: 8080", "listeners: [{name: web, bind: 0.0.0.0:8080, service: web}]"),
    (NO_LISTENERS, "listen: 80", "listeners: [{name: web, bind: 0.0.0.0:80, service: web}]"),
    (NO_LISTENERS, "frontends: []", "listeners: [{name: web, bind: 0.0.0.0:8080, service: web}]"),
    (
        NO_LISTENERS,
        "listeners: {app: {bind: 127.0.0.1:80, service: app}}",
        "listeners: [{name: app, bind: 127.0.0.1:80, service: app}]",
    ),
    (
        NO_LISTENERS,
        "listeners: {name: app, bind: 127.0.0.1:80, service: app}",
        "listeners: [{name: app, bind: 127.0.0.1:80, service: app}]",
    ),
    (NO_LISTENERS, "listeners: [8080]", "listeners: [«{name: web, bind: 0.0.0.0:8080, service: web}»]"),
    (NO_SERVICES, "upstreams: [10.0.0.1:80]", "services: {web: {pools: [{name: main, endpoints: [10.0.0.1:80]}]}}"),
    (NO_SERVICES, "backends: {}", "services: {web: {pools: [{name: main, endpoints: [10.0.0.1:8080]}]}}"),
    (NO_SERVICES, "servers: 10.0.0.1:80", "services: {web: {pools: [{name: main, endpoints: [10.0.0.1:80]}]}}"),
    (
        NO_SERVICES,
        "services: [{name: web, pools: [{name: main, endpoints: [10.0.0.1:80]}]}]",
        "services: {web: {pools: [{name: main, endpoints: [10.0.0.1:80]}]}}",
    ),
    (
        NO_SERVICES,
        "services: {web: [10.0.0.1:80]}",
        "services: {web: «{pools: [{name: main, endpoints: [10.0.0.1:80]}]}»}",
    ),
    // Where it listens.
    (BOUND, "port: 8080", "bind: 0.0.0.0:8080"),
    (BOUND, "listen: 80", "bind: 0.0.0.0:80"),
    (BOUND, "address: 127.0.0.1:80", "bind: 127.0.0.1:80"),
    (BOUND, "bind: 8080", "bind: «0.0.0.0:8080»"),
    (BOUND, "bind: :8080", "bind: «\"*:8080\"»"),
    (BOUND, "bind: *:8080", "bind: «\"*:8080\"»"),
    (BOUND, "bind: \"*\"", "bind: «\"*:8080\"»"),
    (BOUND, "bind: [::]:8080", "bind: «\"[::]:8080\"»"),
    (BOUND, "bind: localhost:8080", "bind: «127.0.0.1:8080»"),
    (BOUND, "bind: 127.0.0.1", "bind: «127.0.0.1:8080»"),
    (BOUND, "bind: 127.0.0.1:http", "bind: «127.0.0.1:8080»"),
    (BOUND, "bind: on", "bind: «0.0.0.0:8080»"),
    (BOUND, "bind: http://0.0.0.0:80", "bind: «0.0.0.0:80»"),
    (BOUND, "bind: https://localhost", "bind: «127.0.0.1:443»"),
    (BOUND, "bind: unix:/run/web.sock", "bind: «127.0.0.1:8080»"),
    (LISTENER, "protocol: https", "protocol: «http»"),
    (LISTENER, "mode: http", "protocol: http"),
    (LISTENER, "tls: true", CERTIFIED),
    (LISTENER, "cert: fullchain.pem", CERTIFIED),
    (LISTENER, "tls: {cert: a.pem, key: key.pem}", "tls: {«certificates: [{cert: a.pem, key: key.pem}]»}"),
    (LISTENER, "tls: {certificates: {cert: a.pem, key: k.pem}}", "tls: {«certificates: [{cert: a.pem, key: k.pem}]»}"),
    (LISTENER, "proxy_protocol: on", "proxy_protocol: «required»"),
    (LISTENER, "timeouts: 30s", "timeouts: {idle: 30s}"),
    (ROUTED, "backend: web", "service: web"),
    (ROUTED, "service: wbe", "service: «web»"),
    (ROUTED, "routes: web", "routes: [{service: web}]"),
    (ROUTED, "routes: {service: web}", "routes: [{service: web}]"),
    (ROUTED, "host: shop.example.com", "routes: [{service: web, match: {host: shop.example.com}}]"),
    (ROUTE, "path: /api", "match: {path: /api}"),
    (ROUTE, "prefix: /api", "match: {path_prefix: /api}"),
    (ROUTE, "match: /api", "match: {path_prefix: /api}"),
    (ROUTE, "match: {path_prefix: api}", "match: {path_prefix: «/api»}"),
    (ROUTE, "match: {path: ^/api}", "match: {«path_prefix: /api»}"),
    (ROUTE, "match: {host: \"https://shop.example.com/\"}", "match: {host: «shop.example.com»}"),
    (ROUTE, "match: {method: get}", "match: {method: «GET»}"),
    // How it serves.
    (SERVICE, "mode: active-passive", "mode: «active_passive»"),
    (SERVICE, "mode: active_standby", "mode: «active_passive»"),
    (SERVICE, "mode: http", "protocol: http"),
    (SERVICE, "failback: auto", "failover: {failback: auto}"),
    (SERVICE, "failback: on", "failover: {failback: auto}"),
    (SERVICE, "failover: {failback: on}", "failover: {failback: «auto»}"),
    (SERVICE, "failover: {failback: off}", "failover: {failback: «manual»}"),
    (SERVICE, "failover: auto", "failover: {failback: auto}"),
    (SERVICE, "rto: 100s", "«objectives: {rto: 100s}», health_check: /healthz"),
    (SERVICE, "retries: 3", "retry: {attempts: 4}"),
    (SERVICE, "retry: 3", "retry: {attempts: 4}"),
    (SERVICE, "retry: off", "retry: {attempts: 1, hedge: off}"),
    (SERVICE, "retry: {retries: 2}", "retry: {«attempts: 3»}"),
    (SERVICE, "sticky: cookie", "balance: {hash: {cookie: session}}"),
    (SERVICE, "sticky: source", "balance: {hash: source}"),
    (SERVICE, "balance: roundrobin", "balance: «round_robin»"),
    (SERVICE, "balance: round-robin", "balance: «round_robin»"),
    (SERVICE, "balance: leastconn", "balance: «least_request»"),
    (SERVICE, "balance: ip_hash", "balance: «{hash: source}»"),
    (SERVICE, "balance: source", "balance: «{hash: source}»"),
    (SERVICE, "algorithm: source", "balance: {hash: source}"),
    (SERVICE, "balance: {hash: cookie}", "balance: {«hash: {cookie: session}»}"),
    (SERVICE, "algorithm: leastconn", "balance: least_request"),
    (SERVICE, "timeout: 5", "timeouts: {response: 5s}"),
    (SERVICE, "timeouts: 5", "timeouts: {response: 5s}"),
    (SERVICE, "timeouts: {response: 5}", "timeouts: {response: «5s»}"),
    (SERVICE, "timeouts: {response: 5S}", "timeouts: {response: «5s»}"),
    (SERVICE, "limits: {max_connections: 10k}", "limits: {max_connections: «10000»}"),
    (SERVICE, "max_connections: 500", "limits: {max_connections: 500}"),
    (SERVICE, "tls: on", "upstream: {tls: on}"),
    (SERVICE, "upstream: {protocol: h2}", "upstream: {protocol: «http2»}"),
    (SERVICE, "upstream: {proxy_protocol: true}", "upstream: {proxy_protocol: «v2»}"),
    (SERVICE, "outlier_detection: {max_ejected: 50}", "outlier_detection: {max_ejected: «50%»}"),
    (SERVICE, "health_check: on", "health_check: /healthz"),
    (SERVICE, "health_check: http://10.0.0.1/up", "health_check: /up"),
    (SERVICE, "health_check: {tcp: 8088}", "health_check: {«tcp: {port: 8088}»}"),
    (SERVICE, "health: /up", "health_check: /up"),
    (CHECK, "path: /x", "http: {path: /x}"),
    (CHECK, "http: healthz", "http: «/healthz»"),
    (CHECK, "http: on", "http: /healthz"),
    (CHECK, "type: tcp", "tcp: {}"),
    (CHECK, "http: /x, interval: 5", "http: /x, interval: «5s»"),
    // Its servers.
    (
        POOLS,
        "servers: [10.0.0.1:80, \"localhost:81\"]",
        "pools: [{name: main, endpoints: [10.0.0.1:80, 127.0.0.1:81]}]",
    ),
    (POOLS, "endpoints: 10.0.0.1:80", "pools: [{name: main, endpoints: [10.0.0.1:80]}]"),
    (
        POOLS,
        "pools: {main: [10.0.0.1:80], standby: [10.0.0.2:80]}",
        "pools: [{name: main, endpoints: [10.0.0.1:80]}, {name: standby, endpoints: [10.0.0.2:80]}]",
    ),
    (POOLS, "pools: {main: {endpoints: [10.0.0.1:80]}}", "pools: [{name: main, endpoints: [10.0.0.1:80]}]"),
    (
        POOLS,
        "pools: [[10.0.0.1:80], {name: sorry, static_response: {}}]",
        "pools: [«{name: main, endpoints: [10.0.0.1:80]}», {name: sorry, static_response: {}}]",
    ),
    (POOLS, "pools: {name: main, endpoints: [10.0.0.1:80]}", "pools: [{name: main, endpoints: [10.0.0.1:80]}]"),
    (POOLS, "pools: {endpoints: [10.0.0.1:80]}", "pools: [{name: main, endpoints: [10.0.0.1:80]}]"),
    (POOLS, "pools: 10.0.0.1:80", "pools: [{name: main, endpoints: [10.0.0.1:80]}]"),
    (POOL, "servers: [10.0.0.1:80]", "endpoints: [10.0.0.1:80]"),
    (POOL, "endpoints: \"10.0.0.1:80,10.0.0.2:80\"", "endpoints: «[10.0.0.1:80, 10.0.0.2:80]»"),
    (POOL, "static_response: 503", "static_response: {status: 503}"),
    (ENDPOINT, "10.0.0.1", "10.0.0.1:8080"),
    (ENDPOINT, "\"::1\"", "\"[::1]:8080\""),
    (ENDPOINT, "3000", "127.0.0.1:3000"),
    (ENDPOINT, "localhost:3000", "127.0.0.1:3000"),
    (ENDPOINT, "app.internal:3000", "{dns: app.internal:3000}"),
    (ENDPOINT, "app.internal", "{dns: app.internal:8080}"),
    (ENDPOINT, "http://10.0.0.1:8080", "10.0.0.1:8080"),
    (ENDPOINT, "https://app.internal/x", "{dns: app.internal:443}"),
    (ENDPOINT, "tcp://app.internal", "{dns: app.internal:80}"),
    (ENDPOINT, "unix:/run/app.sock", "127.0.0.1:3000"),
    (ENDPOINT, "10.0.0.1:80 weight=5", "{address: 10.0.0.1:80, weight: 5}"),
    (ENDPOINT, "{host: 10.0.0.1:80}", "{address: 10.0.0.1:80}"),
    (ENDPOINT, "{dns: app.internal}", "{dns: \"«app.internal:8080»\"}"),
    (ENDPOINT, "{url: \"app.internal:80\"}", "{dns: app.internal:80}"),
    (ENDPOINT, "{address: 10.0.0.1:80, weight: 50%}", "{address: 10.0.0.1:80, weight: «50»}"),
    // What is around it.
    (TOP, "admin: on", "admin: 127.0.0.1:9901"),
    (TOP, "admin: 9901", "admin: 127.0.0.1:9901"),
    (TOP, "admin: {port: 9902}", "admin: {«bind: 127.0.0.1:9902»}"),
    (
        TOP,
        "admin: {bind: 127.0.0.1:9901, tokens: /run/secrets/tokens}",
        "admin: {bind: 127.0.0.1:9901, «tokens_file: /run/secrets/tokens»}",
    ),
    (TOP, "admin: {unix_socket: /run/s.sock}", "admin: {«socket: /run/s.sock»}"),
    (TOP, "admin: {socket: on}", "admin: {«socket: /run/standfast/admin.sock»}"),
    (TOP, "metrics: on", "metrics: 0.0.0.0:9902"),
    (TOP, "log: {level: debug}", "log: {«filter: debug»}"),
    (TOP, "log_level: debug", "log: debug"),
    (TOP, "log: {format: text}", "log: {format: «human»}"),
    (TOP, "access_log: json", "access_log: {format: json}"),
    (TOP, "access_log: stdout", "access_log: on"),
    (TOP, "state: on", "state: /var/lib/standfast/state.json"),
    (TOP, "dns: 10.0.0.53", "dns: {servers: [\"10.0.0.53:53\"]}"),
    // What would weaken security, or change what is served.
    (LISTENER, "x_forwarded_for: true", "«forwarded: replace»"),
    (LISTENER, "forwarded: on", "forwarded: «replace»"),
    (
        ROUTE,
        "match: \"Host(`a.example.com`) && PathPrefix(`/api`)\"",
        "match: {host: a.example.com, path_prefix: /api}",
    ),
    (ROUTE, "rule: \"Host(`a.example.com`)\"", "match: {host: a.example.com}"),
    (ROUTE, "match: \"Host(`a.example.com`) && Query(`a`)\"", "match: {host: shop.example.com, path_prefix: /api}"),
    (ROUTE, "match: \"Host(`a.example.com`) || Path(`/b`)\"", "match: {host: shop.example.com, path_prefix: /api}"),
    (ROUTE, "match: a.example.com/api", "match: {host: a.example.com, path_prefix: /api}"),
    (ROUTE, "match: \"https://a.example.com/api\"", "match: {host: a.example.com, path_prefix: /api}"),
    (ROUTE, "match: {host_regex: \"^a\"}", "«match: {host: shop.example.com}»"),
    (
        POOLS,
        "pools: [{name: main, endpoints: [10.0.0.9:80 backup]}]",
        "pools: [{name: main, endpoints: [10.0.0.1:8080]}, {name: standby, endpoints: [10.0.0.9:80]}]",
    ),
    (ENDPOINT, "10.0.0.9:80, 10.0.0.1:80 down", "10.0.0.9:80, «{address: 10.0.0.1:80, weight: 0}»"),
    (ENDPOINT, "server a 10.0.0.1:80 check weight 5", "{address: 10.0.0.1:80, weight: 5}"),
    (
        ENDPOINT,
        "10.0.0.9:80, {address: 10.0.0.1:80, enabled: false}",
        "10.0.0.9:80, {address: 10.0.0.1:80, «weight: 0»}",
    ),
    (CHECK, "http: /x, inter: 4s", "http: /x, «interval: 4s»"),
    (CHECK, "http: /x, fastinter: 500ms", "http: /x, «fast_interval: 500ms»"),
    // Keys of nginx, HAProxy, Traefik, Envoy and Kubernetes.
    (SERVICE, "max_fails: 3, fail_timeout: 20s", "outlier_detection: {consecutive_failures: 3, base_ejection: 20s}"),
    (SERVICE, "max_fails: 3", "outlier_detection: {consecutive_failures: 3}"),
    (
        POOLS,
        "pools: [{name: main, endpoints: [{address: 10.0.0.1:80, max_fails: 3, fail_timeout: 20s}]}]",
        "pools: [{name: main, endpoints: [10.0.0.1:80]}], «outlier_detection: {consecutive_failures: 3, base_ejection: 20s}»",
    ),
    (
        POOLS,
        "pools: [{name: main, endpoints: [{address: 10.0.0.1:80, check: true}]}]",
        "pools: [{name: main, endpoints: [10.0.0.1:80]}], «health_check: /healthz»",
    ),
    (CHECK, "httpGet: {path: /up, port: 8088}", "http: {path: /up, port: 8088}"),
    (CHECK, "tcpSocket: {port: 8088}", "tcp: {port: 8088}"),
    (CHECK, "http: /x, periodSeconds: 4", "http: /x, «interval: 4s»"),
    (CHECK, "http: /x, failureThreshold: 4", "http: /x, «fall: 4»"),
    (CHECK, "http: /x, successThreshold: 3", "http: /x, «rise: 3»"),
    (CHECK, "http: /x, timeoutSeconds: 1", "http: /x, «timeout: 1s»"),
    (SERVICE, "livenessProbe: {httpGet: {path: /up, port: 80}}", "health_check: /up"),
    (
        SERVICE,
        "outlier_detection: {consecutive_5xx: 7}",
        "outlier_detection: {«consecutive_failures: 7, failures: [reset, timeout, malformed, cut, 5xx]»}",
    ),
    (SERVICE, "outlier_detection: {base_ejection_time: 20s}", "outlier_detection: {«base_ejection: 20s»}"),
    (SERVICE, "outlier_detection: {max_ejection_percent: 40}", "outlier_detection: {«max_ejected: 40%»}"),
    (
        LISTENER,
        "trusted_proxies: [10.1.0.0/16, \"fd00::/8\"]",
        "«proxy_protocol: {required: true, trusted: [10.1.0.0/16, \"fd00::/8\"]}»",
    ),
    (LISTENER, "trustedIPs: 10.1.0.0/16", "«proxy_protocol: {required: true, trusted: [10.1.0.0/16]}»"),
    (LISTENER, "real_ip_header: X-Forwarded-For", "«forwarded: append»"),
    (ROUTE, "set_header: {X-Env: prod}", "request_headers: {set: {X-Env: prod}}"),
    (ROUTE, "add_header: {X-Env: prod}", "response_headers: {add: {X-Env: prod}}"),
    (ROUTE, "set_header: {Authorization: Basic abc}", "request_headers: {set: {Authorization: VALUE}}"),
    (ROUTE, "headers: {X-A: b}", "match: {headers: {X-A: VALUE}}"),
    (ROUTE, "headers: {X-A: c}", "request_headers: {set: {X-A: VALUE}}"),
    (ROUTE, "match: {query: {a: b}}", "match: {«host»: a.example.com}"),
    (ROUTE, "match: {host: [a.example.com, b.example.com]}", "match: {host: b.example.com}"),
    (ROUTE, "match: {host: [a.example.com]}", "match: {«host: a.example.com»}"),
    (ROUTE, "match: {hosts: c.example.com}", "match: {«host: c.example.com»}"),
    (ROUTE, "hosts: [c.example.com, \"*.example.org\"]", "match: {host: \"*.example.org\"}"),
    (ROUTE, "match: {methods: [get, put]}", "match: {«method: [GET, PUT]»}"),
    (ROUTED, "routes: [{service: [web, web]}]", "routes: [{«service: web»}]"),
    (LISTENER, "http2: true", "«protocol: http»"),
    (
        "@\nservices: {web: {pools: [{name: main, endpoints: [10.0.0.1:80]}]}}",
        "listeners: [{name: web, bind: 127.0.0.1:80, service: web, access_log: on}]",
        "listeners: [{name: web, bind: 127.0.0.1:80, service: web}]\n«access_log: on»",
    ),
    (TOP, "global: {nbthread: 4}", "«workers: 4»"),
    (TOP, "defaults: {timeout: 5s}", "# «timeouts: {response: 30s}»"),
    (TOP, "log: json", "log: {format: json}"),
    (SERVICE, "active_active: true", "mode: active_active"),
    (SERVICE, "upstream: {tls: {ca_file: ca.pem}}", "upstream: {tls: {«ca: ca.pem»}}"),
    (CHECK, "http: /x, rise: two", "http: /x, rise: «2»"),
    (CHECK, "http: /x, rise: often", "http: /x, rise: «1»"),
    (ENDPOINT, "{address: 10.0.0.1:80, weight: 2000}", "{address: 10.0.0.1:80, weight: «1000»}"),
    // What was written is kept.
    (CHECK, "http: /x, expected_status: 200-399", "«http: {path: /x, status: [200-399]}»"),
    (CHECK, "path: /up, port: 8088, expected_status: [2xx, 304]", "http: {path: /up, port: 8088, status: [2xx, 304]}"),
    (CHECK, "http: {path: /x, codes: 200-399}", "http: {path: /x, «status: [200-399]»}"),
    (SERVICE, "health_check: {http: {path: /x, interval: 4s}}", "health_check: {http: {path: /x}, interval: 4s}"),
    (APPS, "proxy_pass: \"http://app\"", "service: app"),
    (APPS, "proxy_pass: \"http://127.0.0.1:3000\"", "service: app"),
    (APPS, "host: a.example.com, service: app", "routes: [{service: app, match: {host: a.example.com}}]"),
    (APPS, "path: /api, service: app", "routes: [{service: app, match: {path: /api}}]"),
    (
        "services: {app: {pools: [{name: main, endpoints: [10.0.0.1:80]}]}}\n@",
        "frontends: {}",
        "listeners: [{name: web, bind: 0.0.0.0:8080, service: app}]",
    ),
    (
        "@",
        "backends: {app: [10.0.0.1:80]}",
        "«services: {app: {pools: [{name: main, endpoints: [10.0.0.1:80]}]}}»\nlisteners: [{name: web, bind: 0.0.0.0:8080, service: app}]",
    ),
    (
        "@",
        "backends: {app: {servers: [10.0.0.1:80]}}",
        "services: {app: {pools: [{name: main, endpoints: [10.0.0.1:80]}]}}\n«listeners: [{name: web, bind: 0.0.0.0:8080, service: app}]»",
    ),
    (
        "listeners: [{name: web, bind: 127.0.0.1:80, service: shop}]\n@",
        "servers: [10.0.0.1:80]",
        "services: {shop: {pools: [{name: main, endpoints: [10.0.0.1:80]}]}}",
    ),
    (BOUND, "address: 10.0.0.5\n    port: 9000", "bind: 10.0.0.5:9000"),
    (BOUND, "bind: 10.0.0.5\n    port: 9000", "bind: 10.0.0.5:9000"),
    (BOUND, "address: 10.0.0.5", "bind: 10.0.0.5:8080"),
    (BOUND, "bind: \"::1:3000\"", "bind: «\"[::1]:3000\"»"),
    (ENDPOINT, "\"::1:3000\"", "\"[::1]:3000\""),
    (
        LISTENER,
        "ssl_certificate: a.pem, ssl_certificate_key: b.pem",
        "tls: {certificates: [{cert: a.pem, key: b.pem}]}",
    ),
    (LISTENER, "tls: {cert: a.pem, key: b.pem}", "tls: {«certificates: [{cert: a.pem, key: b.pem}]»}"),
];

/// What is written in a message to be pasted: between backquotes.
fn is_offered(advice: &str, text: &str) -> bool {
    advice.split('`').skip(1).step_by(2).any(|offered| offered == text)
}

#[test]
fn natural_mistakes_are_answered_with_text_that_is_accepted() {
    let mut wrong = Vec::new();
    for (file, mistake, right) in MISTAKES {
        let hint = right.split_once('«').and_then(|(_, rest)| rest.split_once('»')).map_or(*right, |(hint, _)| hint);
        match parse(&file.replace('@', mistake)) {
            Ok(_) => wrong.push(format!("{mistake}: accepted")),
            Err(problems) if problems.list.iter().any(|problem| is_offered(&problem.advice, hint)) => {}
            Err(problems) => wrong.push(format!("{mistake}: `{hint}` is not offered: {problems}")),
        }
        let right = file.replace('@', &right.replace(['«', '»'], ""));
        if let Err(problems) = parse(&right) {
            wrong.push(format!("{mistake}: what is offered is refused: {right}{problems}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), MISTAKES.len(), wrong.join("\n"));
}

/// One mistake is one problem: what the advice on a key gives is not told to be missing too, and one answer is given once.
#[test]
fn what_an_answer_gives_is_not_told_to_be_missing() {
    for (file, mistake, count) in [
        (BOUND, "listen: 80", 1),
        (BOUND, "bnid: 127.0.0.1:80", 1),
        (BOUND, "nothing: 1", 2),
        (ROUTED, "backend: web", 1),
        (ROUTED, "host: a.example.com", 1),
        (ROUTED, "routes: [{backend: web}]", 1),
        (NO_LISTENERS, "frontends: []", 1),
        (NO_LISTENERS, "nothing: []", 2),
        (NO_SERVICES, "backends: {}", 1),
        (POOLS, "servers: [10.0.0.1:80]", 1),
        (POOL, "servers: [10.0.0.1:80]", 1),
        (ENDPOINT, "{host: 10.0.0.1:80}", 1),
        (ENDPOINT, "{url: \"app.internal:80\"}", 1),
        (ENDPOINT, "{nothing: 1}", 2),
        (CHECK, "path: /x", 1),
        (CHECK, "nothing: 1", 2),
    ] {
        let problems = parse(&file.replace('@', mistake)).expect_err(mistake);
        assert_eq!(problems.errors(), count, "{mistake}: {problems}");
    }
    for mistake in ["ssl_certificate: a.pem, ssl_certificate_key: b.pem", "tls: {cert: a.pem, key: b.pem}"] {
        let problems = parse(&LISTENER.replace('@', mistake)).expect_err(mistake);
        let offered = problems.list.iter().filter(|problem| problem.advice.contains("certificates:")).count();
        assert_eq!(offered, 1, "{mistake}: {problems}");
    }
}

/// Of a long line the place is shown with what stands before and behind it.
#[test]
fn a_long_line_is_shown_around_the_place() {
    let padding = "a".repeat(150);
    let text =
        LISTENER.replace('@', &format!("protocol: http, forwarded: off, nothing: 1, x{padding}: 2, limits: {{}}"));
    let problems = parse(&text).expect_err("unknown keys");
    let told = problems.list.iter().find(|problem| problem.what.contains("`nothing`")).expect("a problem");
    let shown = told.explain(Path::new("f.yaml"), false);
    let lines: Vec<&str> = shown.lines().collect();
    let caret = lines[4].find('^').expect("a caret");
    assert!(lines[3][caret..].starts_with("nothing: 1, xaaaa"), "{shown}");
    assert!(lines[3][..caret].ends_with("forwarded: off, "), "{shown}");
    let short = parse(&LISTENER.replace('@', "nothing: 1")).expect_err("an unknown key").explain(false);
    assert!(short.contains("listeners: [{name: web"), "a line that fits is shown from its beginning: {short}");
}

/// What can be meant in one way only is taken.
#[test]
fn short_forms_say_the_same_as_the_long_ones() {
    for (file, short, long) in [
        (TOP, "access_log: on", "access_log: {}"),
        (TOP, "access_log: true", "access_log: {}"),
        (TOP, "access_log: logs/access.log", "access_log: {path: logs/access.log}"),
        (TOP, "access_log: off", ""),
        (TOP, "log: debug", "log: {filter: debug}"),
        (TOP, "admin: 127.0.0.1:9901", "admin: {bind: 127.0.0.1:9901}"),
        (TOP, "admin: {socket: /run/s.sock}", "admin: {socket: {path: /run/s.sock, mode: 0660, role: operator}}"),
        (SERVICE, "health_check: /healthz", "health_check: {http: {path: /healthz}}"),
        (SERVICE, "health_check: tcp", "health_check: {tcp: {}}"),
        (SERVICE, "health_check: http", "health_check: {http: {}}"),
        (SERVICE, "health_check: grpc", "health_check: {grpc: {}}"),
        (POOL, "endpoints: 10.0.0.1:80", "endpoints: [{address: 10.0.0.1:80}]"),
        (POOL, "endpoints: {dns: app.internal:80}", "endpoints: [{dns: app.internal:80}]"),
        (POOL, "static_response: Back soon", "static_response: {status: 503, body: Back soon}"),
    ] {
        let config = |text: &str| {
            let text = file.replace('@', text).replace("}, }", "}}");
            parse(&text).unwrap_or_else(|problems| panic!("{text}\n{problems}")).config
        };
        assert_eq!(config(short), config(long), "{short}");
        assert_eq!(good(&config::dump(&config(short))), config(short), "{short}, by way of its dump");
    }
}

/// What is not YAML is answered with the usual cause.
#[test]
fn what_is_not_yaml_is_answered_with_its_usual_cause() {
    for (text, says) in [
        ("listeners:\n\t- name: web\n", "line 2 is indented with a tab"),
        ("listeners:\n  - name: web\n\tbind: 0.0.0.0:80\n", "line 3 is indented with a tab"),
        ("listeners:\n  - name: web\n    bind: *:81\n", "in quotes: `\"*:81\"`"),
        ("listeners:\n  - name: web\n    bind: [::]:81\n", "in quotes: `\"[::]:81\"`"),
        ("listeners:\n  - name: web\n    bind: {{ address }}\n", "variables are not filled in"),
        ("log: @debug\n", "is written in quotes"),
        ("a:\n  body: Sorry: back soon\n", "`body: \"Sorry: back soon\"`"),
        ("a: {body: Sorry: back soon}\n", "`body: \"Sorry: back soon\"`"),
        ("listeners:\n  - name:web\n    bind: 0.0.0.0:80\n", "on line 2 a space is missing behind the colon"),
        ("listeners:\n - name: web\n    bind: 0.0.0.0:80\n", "in the same column"),
        ("listeners: [{name: web}\nservices: {}\n", "add the `]` or `}`"),
        ("listeners:\n  - name: \"web\n    bind: 0.0.0.0:80\n", "is not closed"),
    ] {
        let problems = parse(text).expect_err(text);
        assert!(problems.list.iter().any(|problem| problem.advice.contains(says)), "{text}{says}: {problems}");
    }
}

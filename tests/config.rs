//! The configuration from outside: files that must load, and the corpus of `tests/config/*.case`.

use std::path::Path;

use standfast::config::{self, Config};

fn good(text: &str) -> Config {
    let loaded =
        config::parse(text, Path::new("config")).unwrap_or_else(|problems| panic!("{}", problems.explain(false)));
    assert_eq!(loaded.warnings, [], "unexpected warnings");
    loaded.config
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

const LAB_FAULTS_L4: &str = r#"
admin: {bind: 127.0.0.1:9901}
listeners:
  - {name: l4, bind: 127.0.0.1:8080, protocol: tcp, service: app}
services:
  app:
    protocol: tcp

    health_check: {http: {path: /health, port: 8000}, interval: 1s, timeout: 500ms, fall: 2, rise: 2}
    timeouts: {connect: 500ms, response: 3s}
    failover: {sessions: close, failback: {mode: auto, hold_down: 2s}}

    pools:
      - {name: active, endpoints: ["10.0.0.1:80", "10.0.0.2:80"]}
      - {name: standby, endpoints: ["10.0.0.3:80", "10.0.0.4:80"]}
"#;

#[test]
fn the_lab_configurations_load_without_a_warning() {
    assert_eq!(good(LAB_PERF).workers, Some(2));
    let app = &good(LAB_FAULTS_L4).services[0];
    assert_eq!(app.failover.sessions, config::Sessions::Close);
}

//! Keys of other programs in a health check and in the detection of outliers.

use super::{FoundValue, url_path};
use crate::config::model::is_dns_name;

const PATHS: [&str; 4] = ["path", "uri", "url", "endpoint"];
const STATUSES: [&str; 6] = ["status", "expected_status", "expect", "codes", "expected_codes", "code"];

/// In `health_check:`.
pub(super) fn health_check(key: &str, value: FoundValue<'_>) -> Option<String> {
    let text = value.text();
    Some(match key {
        "path" | "uri" | "url" | "endpoint" | "port" | "method" | "status" | "host" | "body" | "headers" | "json"
        | "expected_status" | "expect" | "codes" | "expected_codes" | "code" => {
            let http = http_check(key, value);
            match (key, value.port()) {
                ("port", Some(port)) => format!("write `{http}` or `tcp: {{port: {port}}}`"),
                ("port", None) => format!("write `{http}` or `tcp: {{port: 8088}}`"),
                _ => format!("write `{http}`"),
            }
        }
        "httpget" | "http_get" => {
            let path = value.entry("path").and_then(path).unwrap_or_else(|| "/healthz".to_owned());
            match value.entry("port").and_then(FoundValue::port) {
                Some(port) => format!("write `http: {{path: {path}, port: {port}}}`"),
                None => format!("write `http: {{path: {path}}}`"),
            }
        }
        "tcpsocket" | "tcp_socket" => match value.entry("port").and_then(FoundValue::port) {
            Some(port) => format!("write `tcp: {{port: {port}}}`"),
            None => "write `tcp: {}`".to_owned(),
        },
        "type" | "kind" | "protocol" | "mode" => match text {
            Some("tcp") => "write `tcp: {}`".to_owned(),
            Some("grpc") => "write `grpc: {}`".to_owned(),
            Some("redis" | "valkey") => "write `redis: {}`".to_owned(),
            Some("mysql" | "mariadb" | "galera") => "write `mysql: {user: standfast}`".to_owned(),
            Some("postgres" | "postgresql" | "pgsql") => "write `postgres: {user: standfast}`".to_owned(),
            _ => format!("write `{}`", http_check("path", value)),
        },
        "inter" | "periodseconds" | "period_seconds" | "period" | "every" | "check_interval" => {
            format!("write `interval: {}`", value.time_or("2s"))
        }
        "fastinter" | "unhealthy_interval" => {
            format!("write `fast_interval: {}`", value.time_or("1s"))
        }
        "timeoutseconds" | "timeout_seconds" => {
            format!("write `timeout: {}`", value.time_or("1s"))
        }
        "retries" | "max_fails" | "failures" | "fails" | "failurethreshold" | "failure_threshold" => {
            format!("write `fall: {}`", value.number(1..=100).unwrap_or(3))
        }
        "passes" | "successthreshold" | "success_threshold" => {
            format!("write `rise: {}`", value.number(1..=100).unwrap_or(2))
        }
        "downinter" | "initialdelayseconds" | "initial_delay_seconds" | "start_period" => {
            "leave it out: the first check is done at once, and each endpoint is checked every `interval`".to_owned()
        }
        "command" | "cmd" | "script" | "external_check" => {
            "write `exec: {command: [/usr/local/bin/check-app, \"{address}\"]}`".to_owned()
        }
        "enabled" => "leave it out; a service without a check says `health_check: off`".to_owned(),
        _ => return None,
    })
}

/// In `http:` of a check.
pub(super) fn http(key: &str, value: FoundValue<'_>) -> Option<String> {
    Some(match key {
        "uri" | "url" => format!("write `path: {}`", path(value).unwrap_or_else(|| "/healthz".to_owned())),
        "expect" | "expected_status" | "codes" | "expected_codes" | "code" => format!("write `{}`", status(value)),
        "interval" | "timeout" | "fall" | "rise" => {
            let time = |default: &str| value.time_or(default);
            let number = |default| value.number(1..=100).unwrap_or(default);
            let written = match key {
                "interval" => format!("interval: {}", time("2s")),
                "timeout" => format!("timeout: {}", time("1s")),
                "fall" => format!("fall: {}", number(3)),
                _ => format!("rise: {}", number(2)),
            };
            let path = value.beside(&PATHS).and_then(path).unwrap_or_else(|| "/healthz".to_owned());
            format!("`{key}` stands beside `http`: write `health_check: {{http: {{path: {path}}}, {written}}}`")
        }
        _ => return None,
    })
}

/// In `outlier_detection:`.
pub(super) fn outlier_detection(key: &str, value: FoundValue<'_>) -> Option<String> {
    let count = || value.number(1..=10_000).unwrap_or(5);
    Some(match key {
        "consecutive_5xx" | "consecutive_5xx_errors" => {
            format!("write `consecutive_failures: {}, failures: [reset, timeout, malformed, cut, 5xx]`", count())
        }
        "consecutive_gateway_failure" | "consecutive_gateway_errors" | "consecutive_errors" | "max_fails" => {
            format!("write `consecutive_failures: {}`", count())
        }
        "base_ejection_time" | "fail_timeout" => {
            format!("write `base_ejection: {}`", value.time_or("30s"))
        }
        "max_ejection_time" => format!("write `max_ejection: {}`", value.time_or("5m")),
        "max_ejection_percent" => {
            let percent = value.text().map(|text| text.trim_end_matches('%')).and_then(|text| text.parse::<u8>().ok());
            format!("write `max_ejected: {}%`", percent.filter(|percent| *percent <= 100).unwrap_or(50))
        }
        "interval" => "leave it out: an endpoint is judged at each answer".to_owned(),
        "enabled" => "leave it out: it is on; `outlier_detection: off` is none".to_owned(),
        _ => return None,
    })
}

/// `max_fails` and `fail_timeout`, wherever they stand.
pub(super) fn max_fails(value: FoundValue<'_>) -> String {
    let count = value.beside(&["max_fails"]).and_then(|value| value.number(1..=10_000));
    let time = value.beside(&["fail_timeout"]).and_then(FoundValue::time);
    let written = match (count, time) {
        (count, Some(time)) => format!("consecutive_failures: {}, base_ejection: {time}", count.unwrap_or(5)),
        (count, None) => format!("consecutive_failures: {}", count.unwrap_or(5)),
    };
    format!("outlier_detection: {{{written}}}")
}

/// The path of a check, alone or in a URL.
pub(super) fn path(value: FoundValue<'_>) -> Option<String> {
    let path = value.text().and_then(url_path).or_else(|| value.path().map(str::to_owned));
    path.filter(|path| path.starts_with('/'))
}

/// `http: {…}` with everything that was written beside `key`.
fn http_check(key: &str, value: FoundValue<'_>) -> String {
    let beside = |keys: &[&str]| value.beside(keys);
    let http = beside(&["http"]);
    let known = http.and_then(|http| http.entry("path").or(Some(http)));
    let path = beside(&PATHS).or(known).and_then(path).unwrap_or_else(|| "/healthz".to_owned());
    let mut parts = vec![format!("path: {path}")];
    match beside(&["port"]).map(FoundValue::port) {
        Some(port) => parts.push(format!("port: {}", port.unwrap_or(8088))),
        None if key == "port" => parts.push("port: 8088".to_owned()),
        None => {}
    }
    if let Some(method) = beside(&["method"]) {
        let method = method.text().filter(|text| (3..=7).contains(&text.len()));
        let method = method.filter(|text| text.bytes().all(|b| b.is_ascii_alphabetic())).unwrap_or("HEAD");
        parts.push(format!("method: {}", method.to_ascii_uppercase()));
    }
    if let Some(host) = beside(&["host"]) {
        parts.push(format!("host: {}", host.text().filter(|text| is_dns_name(text)).unwrap_or("shop.example.com")));
    }
    if let Some(value) = beside(&STATUSES) {
        parts.push(status(value));
    }
    if let Some(body) = beside(&["body"]) {
        parts.push(format!("body: {}", body.flow().unwrap_or_else(|| "ok".to_owned())));
    }
    match key {
        "json" => parts.push("json: {/status: ok}".to_owned()),
        "headers" => parts.push("headers: {x-health: ok}".to_owned()),
        _ => {}
    }
    format!("http: {{{}}}", parts.join(", "))
}

/// `status: [200-399]`
fn status(value: FoundValue<'_>) -> String {
    let texts = value.texts();
    match texts.iter().all(|text| super::is_status(text)) && !texts.is_empty() {
        true => format!("status: [{}]", texts.join(", ")),
        false => "status: [200]".to_owned(),
    }
}

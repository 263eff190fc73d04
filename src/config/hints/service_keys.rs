//! Keys of other programs in a service, its pools and its endpoints.

use std::net::SocketAddr;

use super::check_keys::{max_fails, path};
use super::words::balance;
use super::{FoundValue, LISTENERS, normal};
use crate::config::flow::endpoint;
use crate::config::model::is_dns_name;

/// In a value of `services:`.
pub(super) fn service(key: &str, value: FoundValue<'_>) -> Option<String> {
    Some(match key {
        "servers" | "server" | "backends" | "backend" | "endpoints" | "upstreams" | "hosts" | "members" | "targets"
        | "nodes" | "addresses" | "loadbalancer" | "pool" | "url" | "address" => {
            format!("write `pools: [{{name: main, endpoints: {}}}]`", value.endpoints_or_sample())
        }
        "primary" | "active" => {
            let list = value.endpoints_or_sample();
            format!("write `pools: [{{name: main, endpoints: {list}}}, {{name: standby, endpoints: [10.0.0.2:8080]}}]`")
        }
        "retries" | "num_retries" | "max_retries" => match value.number(0..=9) {
            Some(more) => format!("write `retry: {{attempts: {}}}`: the first one counts", more + 1),
            None => "write `retry: {attempts: 2}`: the first one counts".to_owned(),
        },
        "algorithm" | "lb" | "load_balancing" | "lb_policy" | "policy" | "balancer" | "strategy" | "lb_algorithm"
        | "load_balancer" => {
            let word = value.text().map(normal);
            let known = word.as_deref().map(|word| balance(word).unwrap_or(word));
            let known = known.filter(|word| ["round_robin", "least_request", "random", "hash"].contains(word));
            match known {
                Some("hash") => "write `balance: {hash: source}`".to_owned(),
                known => format!("write `balance: {}`", known.unwrap_or("round_robin")),
            }
        }
        "health" | "check" | "checks" | "probe" | "health_checks" | "livenessprobe" | "readinessprobe" => {
            let of_get = || ["httpGet", "http_get"].iter().find_map(|key| path(value.entry(key)?.entry("path")?));
            format!("write `health_check: {}`", path(value).or_else(of_get).unwrap_or_else(|| "/healthz".to_owned()))
        }
        "failback" => match (value.is_on(), value.is_off(), value.text()) {
            (_, true, _) | (_, _, Some("manual")) => "write `failover: {failback: manual}`".to_owned(),
            _ => "write `failover: {failback: auto}`".to_owned(),
        },
        "rto" | "objective" | "slo" => format!("write `objectives: {{rto: {}}}`", value.time_or("10s")),
        "timeout" | "response_timeout" | "read_timeout" | "request_timeout" | "proxy_read_timeout" => {
            format!("write `timeouts: {{response: {}}}`", value.time_or("30s"))
        }
        "connect_timeout" | "proxy_connect_timeout" => {
            format!("write `timeouts: {{connect: {}}}`", value.time_or("2s"))
        }
        "interval" | "fall" | "rise" => "write `health_check: {http: {path: /healthz}, interval: 2s, fall: 3, rise: 2}`".to_owned(),
        "max_connections" | "maxconn" => {
            format!("write `limits: {{max_connections: {}}}`", value.number(1..=10_000_000).unwrap_or(1024))
        }
        "tls" | "ssl" | "https" => match value.is_off() {
            true => "write `upstream: {tls: off}`".to_owned(),
            false => "towards the servers: `upstream: {tls: on}`; towards clients TLS belongs to the listener".to_owned(),
        },
        "proxy_protocol" | "send_proxy" => match (key, value.text()) {
            ("proxy_protocol", Some("v1")) => "write `upstream: {proxy_protocol: v1}`".to_owned(),
            _ => "write `upstream: {proxy_protocol: v2}`".to_owned(),
        },
        "keepalive" => match value.is_off() {
            true => "write `upstream: {keepalive: off}`".to_owned(),
            false => "write `upstream: {keepalive: on}`".to_owned(),
        },
        "http2" | "h2" => "write `upstream: {protocol: http2}`".to_owned(),
        "bind" | "listen" | "port" => format!("ports are listened on by a listener: `{LISTENERS}`"),
        "routes" | "match" | "path" | "path_prefix" | "host" => {
            "routes belong to a listener: `routes: [{service: web, match: {path_prefix: /api}}]`".to_owned()
        }
        "static_response" | "error_page" | "fallback_response" => {
            "it is a pool, the last one: `pools: [{name: main, endpoints: [10.0.0.1:8080]}, {name: sorry, static_response: \"Back soon.\\n\"}]`"
                .to_owned()
        }
        "max_fails" | "fail_timeout" => format!("write `{}`", max_fails(value)),
        "active_active" | "active_passive" => {
            let active = (key == "active_active") != value.is_off();
            format!("write `mode: {}`", if active { "active_active" } else { "active_passive" })
        }
        "passive_health_check" | "circuit_breaker" => "write `outlier_detection: {consecutive_failures: 5}`".to_owned(),
        _ => return None,
    })
}

/// In an item of `pools:`.
pub(super) fn pool(key: &str, value: FoundValue<'_>) -> Option<String> {
    let text = value.text();
    Some(match key {
        "servers" | "server" | "backends" | "backend" | "hosts" | "members" | "targets" | "nodes" | "upstreams"
        | "addresses" | "address" | "dns" | "url" | "urls" => {
            let list = value.endpoints().or_else(|| {
                let text = text.filter(|_| key == "dns").filter(|text| is_dns_name(text))?;
                Some(format!("[{{dns: {text}:8080}}]"))
            });
            format!("write `endpoints: {}`", list.unwrap_or_else(|| "[10.0.0.1:8080]".to_owned()))
        }
        "balance" | "mode" | "failover" | "retry" | "upstream" | "protocol" | "timeouts" | "limits" => {
            format!("`{key}` belongs to the service: write it beside `pools`")
        }
        "tls" | "ssl" => "of the service, beside `pools`: `upstream: {tls: on}`".to_owned(),
        "max_fails" | "fail_timeout" => format!("write `{}`", max_fails(value)),
        _ => return None,
    })
}

/// In an item of `endpoints:`.
pub(super) fn endpoint_of_a_pool(key: &str, value: FoundValue<'_>) -> Option<String> {
    Some(match key {
        "url" | "uri" | "host" | "hostname" | "ip" | "server" | "target" | "addr" | "port" => {
            format!("write address and port together: `{{{}}}`", address_and_port(value))
        }
        "tls" | "ssl" | "https" | "protocol" | "scheme" => {
            "of the service, beside `pools`: `upstream: {tls: on}`".to_owned()
        }
        "disabled" | "down" | "drain" if value.is_off() => "leave it out: an endpoint gets work".to_owned(),
        "enabled" if value.is_on() => "leave it out: an endpoint gets work".to_owned(),
        "state" if matches!(value.text(), Some("up" | "ready" | "active")) || value.is_on() => {
            "leave it out: an endpoint gets work".to_owned()
        }
        "disabled" | "down" | "drain" | "enabled" | "state" => "write `weight: 0`: it gets no new work".to_owned(),
        "maxconn" | "max_conns" => {
            format!("write `max_connections: {}`", value.number(1..=10_000_000).unwrap_or(512))
        }
        "max_fails" | "fail_timeout" => format!("of the service, beside `pools`: `{}`", max_fails(value)),
        "check" | "health_check" | "healthcheck" | "health" => {
            "leave it out: `health_check: /healthz` of the service, beside `pools`, checks every endpoint".to_owned()
        }
        _ => return None,
    })
}

/// In `upstream.tls`.
pub(super) fn upstream_tls(key: &str, value: FoundValue<'_>) -> Option<String> {
    let text = value.text();
    Some(match key {
        "ca_file" | "cafile" | "ca_cert" | "cacert" | "root_ca" | "trusted_ca" | "ssl_trusted_certificate" => {
            format!("write `ca: {}`", value.path().unwrap_or("internal-ca.pem"))
        }
        "cert" | "certificate" | "cert_file" | "crt" => {
            format!("write `client_cert: {}`", value.path().unwrap_or("proxy.pem"))
        }
        "key" | "key_file" | "private_key" => {
            format!("write `client_key: {}`", value.path().unwrap_or("proxy-key.pem"))
        }
        "server_name" | "servername" | "hostname" => {
            format!("write `sni: {}`", text.filter(|text| is_dns_name(text)).unwrap_or("shop.internal"))
        }
        "verify" | "insecure" | "skip_verify" | "insecure_skip_tls_verify" => {
            "write `ca: internal-ca.pem` to trust a CA; `insecure_skip_verify: true` accepts any certificate".to_owned()
        }
        _ => return None,
    })
}

/// In `retry:`.
pub(super) fn retry(key: &str, value: FoundValue<'_>) -> Option<String> {
    Some(match key {
        "retries" | "num_retries" | "max_retries" | "count" => match value.number(0..=9) {
            Some(more) => format!("write `attempts: {}`: the first one counts", more + 1),
            None => "write `attempts: 2`: the first one counts".to_owned(),
        },
        "tries" | "max" | "max_attempts" => format!("write `attempts: {}`", value.number(1..=10).unwrap_or(2)),
        "timeout" => format!("write `per_try_timeout: {}`", value.time_or("1s")),
        _ => return None,
    })
}

/// In `static_response:`.
pub(super) fn static_response(key: &str, value: FoundValue<'_>) -> Option<String> {
    Some(match key {
        "code" | "status_code" => format!("write `status: {}`", value.number(200..=599).unwrap_or(503)),
        "text" | "content" | "message" => "write `body: \"Back soon.\\n\"`".to_owned(),
        "file" | "path" => format!("write `body_file: {}`", value.path().unwrap_or("sorry.html")),
        "location" => "redirects are not supported yet".to_owned(),
        _ => return None,
    })
}

/// In `failover:`.
pub(super) fn failover(key: &str, value: FoundValue<'_>) -> Option<String> {
    Some(match key {
        "mode" | "auto_failback" | "preempt" | "nopreempt" => match value.is_off() || key == "nopreempt" {
            true => "write `failback: manual`".to_owned(),
            false => "write `failback: auto`".to_owned(),
        },
        "hold_down" | "delay" => {
            let time = value.time_or("30s");
            format!("write `failback: {{mode: auto, hold_down: {time}}}`")
        }
        _ => return None,
    })
}

/// In `upstream:`.
pub(super) fn upstream(key: &str, value: FoundValue<'_>) -> Option<String> {
    Some(match key {
        "servers" | "server" | "endpoints" | "hosts" | "address" => {
            let list = value.endpoints_or_sample();
            format!("servers stand beside `upstream`: `pools: [{{name: main, endpoints: {list}}}]`")
        }
        "ssl" | "https" => "write `tls: on`".to_owned(),
        "http2" | "h2" => "write `protocol: http2`".to_owned(),
        _ => return None,
    })
}

/// In `timeouts:` of a service or a route.
pub(super) fn timeouts(key: &str, value: FoundValue<'_>) -> Option<String> {
    Some(match key {
        "request" | "read" | "server" | "proxy_read" | "total" => {
            format!("write `response: {}`", value.time_or("30s"))
        }
        _ => return None,
    })
}

/// `address: 10.0.0.1:80` or `dns: app:80`, from the keys that other programs have for it.
fn address_and_port(value: FoundValue<'_>) -> String {
    let beside = |keys: &[&str]| value.beside(keys);
    let host = beside(&["host", "hostname", "ip", "addr", "address", "server", "target", "url", "uri"]);
    let host = host.and_then(FoundValue::text);
    let port = beside(&["port"]).and_then(FoundValue::port).unwrap_or(8080);
    let whole = host.and_then(|host| {
        let ip = host.parse::<std::net::IpAddr>().ok().map(|ip| SocketAddr::new(ip, port).to_string());
        endpoint(&ip.unwrap_or_else(|| host.to_owned())).or_else(|| endpoint(&format!("{host}:{port}")))
    });
    let whole = whole.unwrap_or_else(|| format!("10.0.0.1:{port}"));
    match whole.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
        Some(name) => name.to_owned(),
        None => format!("address: {whole}"),
    }
}

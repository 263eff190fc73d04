//! Keys of other programs at the top of the file, and in what is around the proxy.

use super::check_keys::max_fails;
use super::{CERTIFICATES, FoundValue, LISTENERS, SERVICES, listener_keys};
use crate::config::log_filter;
use crate::config::model::is_name;
use crate::config::tree::TreeValue;

/// At the top of the file.
pub(super) fn file(key: &str, value: FoundValue<'_>) -> Option<String> {
    Some(match key {
        "servers" | "server" | "upstreams" | "upstream" | "backends" | "backend" | "clusters" | "cluster" | "pools"
        | "pool" | "endpoints" | "targets" | "http" | "tcp" | "stream" => {
            let name = format!("{{{}: {{pools", value.first_service().unwrap_or("web"));
            let servers = SERVICES.replace("{web: {pools", &name);
            let servers = match servers_of(value) {
                Some(list) => servers.replace("[10.0.0.1:8080]", &list),
                None => servers,
            };
            format!("servers are written as `{servers}`, and what is listened on as `{}`", listeners(value))
        }
        "frontends" | "frontend" | "entrypoints" | "entry_points" | "listen" | "bind" | "port" | "ports" => {
            match value.port() {
                Some(port) => format!("write `{}`", listeners(value).replace(":8080", &format!(":{port}"))),
                None => format!("write `{}`", listeners(value)),
            }
        }
        "global" => "its keys stand at the top of the file, such as `workers: 4` and `log: info`".to_owned(),
        "defaults" | "default" => {
            "there is no section of defaults: write its keys in each service, such as `timeouts: {response: 30s}`"
                .to_owned()
        }
        "routes" | "route" | "rules" | "routers" => {
            "routes belong to a listener: `listeners: [{name: web, bind: 0.0.0.0:8080, routes: [{service: web}]}]`"
                .to_owned()
        }
        "log_level" | "loglevel" | "logging" | "logs" | "level" => {
            format!("write `log: {}`", level(value))
        }
        "accesslog" | "access_logs" => "write `access_log: on`".to_owned(),
        "admin_port" | "admin_bind" | "stats" | "api" | "dashboard" => {
            format!("write `admin: 127.0.0.1:{}`", value.port().unwrap_or(9901))
        }
        "prometheus" | "metrics_port" => {
            format!("write `metrics: 0.0.0.0:{}`", value.port().unwrap_or(9902))
        }
        "tls" | "ssl" | "cert" | "certificates" => format!("of a listener: `{CERTIFICATES}`"),
        "health_check" | "healthcheck" | "health_checks" => "of a service: `health_check: /healthz`".to_owned(),
        "retry" | "retries" => "of a service: `retry: {attempts: 2}`".to_owned(),
        "threads" | "nbthread" | "worker_processes" => {
            format!("write `workers: {}`", value.number(1..=1024).unwrap_or(4))
        }
        "resolver" | "resolvers" | "nameservers" => "write `dns: {servers: [\"127.0.0.1:53\"]}`".to_owned(),
        "state_file" => format!("write `state: {}`", value.path().unwrap_or("/var/lib/standfast/state.json")),
        "journal_file" | "journal_path" | "event_log" => {
            format!("write `journal: {}`", value.path().unwrap_or("/var/lib/standfast/journal"))
        }
        "audit_log" | "audit_file" | "audit_path" => {
            format!("write `audit: {}`", value.path().unwrap_or("/var/log/standfast/audit.jsonl"))
        }
        "hostname" | "host_name" | "instance_name" | "instance_id" | "node" | "node_name" => {
            format!("write `instance: {}`", value.name().unwrap_or("edge-1"))
        }
        "version" => "leave it out: the file has no version".to_owned(),
        "timeout" | "timeouts" => "of a service: `timeouts: {response: 30s}`".to_owned(),
        "max_fails" | "fail_timeout" => format!("of a service: `{}`", max_fails(value)),
        _ => return listener_keys::around(key, value),
    })
}

/// A listener for the service that the file has, so that both can be pasted.
fn listeners(value: FoundValue<'_>) -> String {
    LISTENERS.replace("service: web", &format!("service: {}", value.first_service().unwrap_or("web")))
}

/// Servers where a service or a map of services was meant: `10.0.0.1:80`, `{app: [10.0.0.1:80]}`, `{app: {servers: […]}}`.
fn servers_of(value: FoundValue<'_>) -> Option<String> {
    let TreeValue::Map(entries) = &value.node.value else { return value.endpoints() };
    let first = value.of(&entries.first()?.1);
    let below = |key| first.entry(key).and_then(FoundValue::endpoints);
    first.endpoints().or_else(|| ["servers", "endpoints", "hosts", "members", "server"].into_iter().find_map(below))
}

/// In `log:`.
pub(super) fn log(key: &str, value: FoundValue<'_>) -> Option<String> {
    Some(match key {
        "level" | "verbosity" | "severity" => format!("write `filter: {}`", level(value)),
        "path" | "file" | "output" => {
            "the log goes to standard error, which the service manager keeps: leave it out".to_owned()
        }
        _ => return None,
    })
}

/// The level that is meant, or a sample.
fn level(value: FoundValue<'_>) -> String {
    let level = value.text().and_then(|level| log_filter::understand(level).ok());
    level.filter(|level| is_name(level)).unwrap_or_else(|| "info".to_owned())
}

/// In `access_log:`.
pub(super) fn access_log(key: &str, value: FoundValue<'_>) -> Option<String> {
    Some(match key {
        "file" | "output" | "filename" => {
            format!("write `path: {}`", value.path().unwrap_or("/var/log/standfast/access.log"))
        }
        "enabled" => "leave it out; `access_log: off` is none".to_owned(),
        _ => return None,
    })
}

/// In `admin:` and `metrics:`.
pub(super) fn port_of_its_own(key: &str, value: FoundValue<'_>) -> Option<String> {
    Some(match key {
        "port" | "listen" | "address" | "addr" => {
            format!("write `bind: 127.0.0.1:{}`", value.port().unwrap_or(9901))
        }
        "enabled" => "write `bind: 127.0.0.1:9901`".to_owned(),
        _ => return None,
    })
}

/// In `admin:`.
pub(super) fn admin(key: &str, value: FoundValue<'_>) -> Option<String> {
    Some(match key {
        "tokens" | "token" | "token_file" | "api_keys" | "api_key" => {
            format!("write `tokens_file: {}`", value.path().unwrap_or("/etc/standfast/tokens"))
        }
        "unix" | "unix_socket" | "sock" => {
            format!("write `socket: {}`", value.path().unwrap_or("/run/standfast/admin.sock"))
        }
        "allowed_hosts" | "host" | "server_names" => "write `hosts: [standfast.internal]`".to_owned(),
        _ => return port_of_its_own(key, value),
    })
}

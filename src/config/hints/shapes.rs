//! Values of another shape: a list where a map belongs, one value where a list does.

use std::net::SocketAddr;

use super::listener_keys::{of_text, several_hosts};
use super::{CERTIFICATES, FoundValue, LISTENERS, SERVICES, WHOLE};
use crate::config::Bind;
use crate::config::model::is_name;
use crate::config::tree::{TreeNode, TreeValue};

/// What to write where the map `section` (a type of the schema) belongs and something else stands.
pub(in crate::config) fn not_that_map(section: &str, found: FoundValue<'_>, index: Option<usize>) -> Option<String> {
    let text = found.text();
    Some(match section {
        "File" => format!("a whole file is `{WHOLE}`"),
        "ListenerTls" => format!("write `{CERTIFICATES}`"),
        "ClientAuth" => "write `client_auth: {mode: required, ca: clients-ca.pem}`".to_owned(),
        "Certificate" => {
            format!("write `{{cert: {}, key: key.pem}}`", found.path().unwrap_or("fullchain.pem"))
        }
        "Retry" if found.is_off() => "write `retry: {attempts: 1, hedge: off}`".to_owned(),
        "Retry" => match found.number(1..=9) {
            Some(more) => format!("write `retry: {{attempts: {}}}`: the first try and {more} more", more + 1),
            None => "write `retry: {attempts: 2}`: the first try and one more".to_owned(),
        },
        "ServiceTimeouts" | "RouteTimeouts" => {
            format!("write `timeouts: {{response: {}}}`", found.time_or("30s"))
        }
        "ListenerTimeouts" => format!("write `timeouts: {{idle: {}}}`", found.time_or("60s")),
        "Objectives" => format!("write `objectives: {{rto: {}}}`", found.time_or("10s")),
        "Failover" => match found.is_off() || text == Some("manual") {
            true => "write `failover: {failback: manual}`".to_owned(),
            false => "write `failover: {failback: auto}`".to_owned(),
        },
        "AuditCheckpoints" => match found.path().filter(|path| path.contains('/')) {
            Some(key) => format!("write `checkpoint: {{key_file: {key}}}`"),
            None => "write `checkpoint: {every: 1000, interval: 60s}`".to_owned(),
        },
        "MaxFailovers" => {
            format!("write `max_failovers: {{count: {}, per: 10m}}`", found.number(1..=1000).unwrap_or(3))
        }
        "ServiceLimits" | "ListenerLimits" => {
            format!("write `limits: {{max_connections: {}}}`", found.number(1..=10_000_000).unwrap_or(1024))
        }
        "RouteMatch" => match of_text(found) {
            Some(matched) => format!("write `match: {matched}`"),
            None => "write each condition as a key: `match: {host: shop.example.com, path_prefix: /api}`".to_owned(),
        },
        "Upstream" => match text {
            Some("http2" | "h2" | "h2c" | "grpc") => "write `upstream: {protocol: http2}`".to_owned(),
            Some("https" | "tls" | "ssl") => "write `upstream: {tls: on}`".to_owned(),
            _ => {
                let list = found.endpoints_or_sample();
                format!("servers stand beside it: `pools: [{{name: main, endpoints: {list}}}]`")
            }
        },
        "Pool" => {
            let named = text.filter(|text| text.parse::<SocketAddr>().is_err() && is_name(text));
            let (name, list) = match found.endpoints() {
                Some(list) => (pool_name(index), list),
                None => (named.map_or_else(|| pool_name(index), str::to_owned), "[10.0.0.1:8080]".to_owned()),
            };
            format!("write `{{name: {name}, endpoints: {list}}}`")
        }
        "Listener" => {
            let port = found.items().first().and_then(|item| {
                let item = found.of(item);
                item.port().or_else(|| Some(item.text()?.parse::<Bind>().ok()?.port())).filter(|port| *port > 0)
            });
            format!("write `{{name: web, bind: 0.0.0.0:{}, service: web}}`", port.unwrap_or(8080))
        }
        "Service" => format!("write `{{pools: [{{name: main, endpoints: {}}}]}}`", found.endpoints_or_sample()),
        "Endpoint" => match found.endpoints() {
            Some(list) => format!("write each of them alone: `endpoints: {list}`"),
            None => "write `10.0.0.1:8080`, or `{address: 10.0.0.1:8080, weight: 1}`".to_owned(),
        },
        "HealthCheck" => "write `health_check: /healthz` for HTTP, or `health_check: tcp`".to_owned(),
        "TcpCheck" => match found.port() {
            Some(port) => format!("write `tcp: {{port: {port}}}`"),
            None => "write `tcp: {}`".to_owned(),
        },
        "ExecCheck" => match found.path() {
            Some(path) => format!("write `exec: {{command: {path}}}`"),
            None => "write `exec: {command: [/usr/local/bin/check-app, \"{address}\"]}`".to_owned(),
        },
        "AgentCheck" => match found.port() {
            Some(port) => format!("write `agent: {{port: {port}}}`"),
            None => "write `agent: {port: 9777}`".to_owned(),
        },
        "DnsCheck" => match text.filter(|text| super::is_dns_name(text)) {
            Some(name) => format!("write `dns: {{name: {name}}}`"),
            None => "write `dns: {name: app.internal}`".to_owned(),
        },
        "UdpCheck" => "write `udp: {send: ping, expect: pong}`".to_owned(),
        "PostgresCheck" => "write `postgres: {user: standfast}`".to_owned(),
        "MysqlCheck" => "write `mysql: {user: standfast}`".to_owned(),
        "RedisCheck" => "write `redis: {}`".to_owned(),
        "GrpcCheck" => match text.filter(|text| is_name(text) && !found.is_on()) {
            Some(service) => format!("write `grpc: {{service: {service}}}`"),
            None => "write `grpc: {}`".to_owned(),
        },
        "HttpCheck" => "write `http: /healthz`, or `http: {path: /healthz, status: [200]}`".to_owned(),
        "OutlierDetection" => "leave it out: it is on; `outlier_detection: off` is none".to_owned(),
        "Dns" => match text.and_then(|text| text.parse::<std::net::IpAddr>().ok()) {
            Some(ip) => format!("write `dns: {{servers: [\"{}\"]}}`", SocketAddr::new(ip, 53)),
            None => "write `dns: {servers: [\"127.0.0.1:53\"]}`".to_owned(),
        },
        "StaticResponse" => "write `static_response: {status: 503, body: \"Back soon.\\n\"}`".to_owned(),
        "UpstreamTls" => "write `tls: on`, or `tls: {ca: internal-ca.pem, sni: shop.internal}`".to_owned(),
        "Route" => "write `{service: web, match: {path_prefix: /api}}`".to_owned(),
        "AccessLog" => "write `access_log: on`, or `access_log: {path: /var/log/standfast/access.log}`".to_owned(),
        _ => return None,
    })
}

fn pool_name(index: Option<usize>) -> String {
    match index {
        None | Some(0) => "main".to_owned(),
        Some(1) => "standby".to_owned(),
        Some(more) => format!("standby-{more}"),
    }
}

/// What to write where the list of `key` belongs and something else stands.
pub(in crate::config) fn not_a_list(key: &str, found: FoundValue<'_>) -> String {
    let alone = found.flow().filter(|_| matches!(found.node.value, TreeValue::Map(_)));
    let is_one = |key: &str| found.entry(key).is_some();
    match key {
        "pools" => {
            let TreeValue::Map(entries) = &found.node.value else {
                return format!("write `pools: [{{name: main, endpoints: {}}}]`", found.endpoints_or_sample());
            };
            if let (true, Some(alone)) = (is_one("endpoints") || is_one("static_response"), alone) {
                let name = if is_one("name") { "" } else { "name: main, " };
                return format!("write `pools: [{{{name}{}]`", &alone[1..]);
            }
            let pool = |(key, value): &'_ (TreeNode, TreeNode)| {
                let name = found.of(key).name()?;
                Some(format!("{{name: {name}, endpoints: {}}}", found.of(value).endpoints()?))
            };
            let pools: Option<Vec<String>> = entries.iter().map(pool).collect();
            let pools =
                pools.filter(|pools| !pools.is_empty() && pools.len() <= 4).map(|p| format!("[{}]", p.join(", ")));
            let pools = pools.or_else(|| found.named_list());
            format!(
                "write a list: `pools: {}`",
                pools.unwrap_or_else(|| "[{name: main, endpoints: [10.0.0.1:8080]}]".into())
            )
        }
        "listeners" => {
            let one = alone.filter(|_| is_one("bind") && is_one("name")).map(|one| format!("[{one}]"));
            match one.or_else(|| found.named_list()) {
                Some(list) => format!("write a list: `listeners: {list}`"),
                None => format!("write a list: `{LISTENERS}`"),
            }
        }
        "routes" => match (found.name(), alone.filter(|_| is_one("service"))) {
            (Some(name), _) => format!("write `routes: [{{service: {name}}}]`"),
            (None, Some(one)) => format!("write a list: `routes: [{one}]`"),
            _ => "write a list: `routes: [{service: web}]`".to_owned(),
        },
        "certificates" => match (found.path(), alone.filter(|_| is_one("cert") && is_one("key"))) {
            (Some(cert), _) => format!("write `certificates: [{{cert: {cert}, key: key.pem}}]`"),
            (None, Some(one)) => format!("write a list: `certificates: [{one}]`"),
            _ => "write `certificates: [{cert: fullchain.pem, key: key.pem}]`".to_owned(),
        },
        _ => "write `[a, b]`, or one `- item` a line".to_owned(),
    }
}

/// What to write where the text of `key` belongs and a list or a map stands.
pub(in crate::config) fn not_a_text(key: &str, found: FoundValue<'_>) -> String {
    let TreeValue::List(items) = &found.node.value else { return "write one value".to_owned() };
    let texts = found.texts();
    match (key, &texts[..], &items[..]) {
        (_, _, [one]) if matches!(one.value, TreeValue::Scalar { .. }) => match found.of(one).flow() {
            Some(one) => format!("write it alone: `{key}: {one}`"),
            None => "write it alone, without `[` and `]`".to_owned(),
        },
        ("host", [_, ..], _) if found.tree.path(found.node.id).ends_with("match.host") => several_hosts(found),
        ("service", [first, ..], _) if is_name(first) => format!(
            "write one service: `service: {first}`; servers that share its work are `endpoints` of that service, standbys are \
             `pools` of it"
        ),
        _ => "write one value, not a list".to_owned(),
    }
}

/// What to write where the map of `key` with free names belongs and something else stands.
pub(in crate::config) fn not_a_map(key: &str, found: FoundValue<'_>) -> String {
    if key != "services" {
        return "write `{key: value}`, or one indented `key: value` a line".to_owned();
    }
    let service = |item: &'_ TreeNode| {
        let TreeValue::Map(entries) = &item.value else { return None };
        let name = found.of(item).entry("name")?.name()?;
        let rest = entries.iter().filter(|(key, _)| found.of(key).text() != Some("name"));
        Some(format!("{name}: {{{}}}", found.pairs(rest)?))
    };
    let services = match &found.node.value {
        TreeValue::List(items) if !items.is_empty() && items.len() <= 4 => {
            items.iter().map(service).collect::<Option<Vec<_>>>().map(|list| list.join(", "))
        }
        _ => None,
    };
    match services {
        Some(services) => format!("the name is the key: `services: {{{services}}}`"),
        None => format!("write `{SERVICES}`"),
    }
}

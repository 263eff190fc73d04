//! Keys of other programs in a listener, its routes and its TLS.

use std::net::IpAddr;

use super::{FoundValue, SERVICES, host, is_path};
use crate::config::Bind;
use crate::config::flow::flow_address;
use crate::config::model::is_dns_name;
use crate::config::tree::{TreeNode, TreeValue};

const ADDRESSES: [&str; 6] = ["bind", "listen", "address", "addr", "ip", "binds"];
const CERTIFICATES: [&str; 6] = ["cert", "certificate", "certificates", "crt", "ssl_certificate", "cert_file"];
const KEYS: [&str; 4] = ["key", "private_key", "ssl_certificate_key", "key_file"];

/// In an item of `listeners:`.
pub(super) fn listener(key: &str, value: FoundValue<'_>) -> Option<String> {
    let service =
        || value.beside(&["service"]).map(FoundValue::service).or_else(|| value.first_service()).unwrap_or("web");
    Some(match key {
        "port" | "listen" | "address" | "addr" | "ip" | "binds" => format!("write `bind: {}`", bind(value)),
        _ if CERTIFICATES.contains(&key) || KEYS.contains(&key) || matches!(key, "ssl" | "https") => {
            format!("write `tls: {{{}}}`", certificates(value))
        }
        "default_service" | "default_backend" | "backend" | "upstream" | "proxy_pass" | "target" | "pool"
        | "use_backend" | "cluster" | "forward_to" => format!("write `service: {}`", value.service()),
        "servers" | "server" | "endpoints" | "pools" | "backends" | "upstreams" => {
            let services = SERVICES.replace("[10.0.0.1:8080]", &value.endpoints_or_sample());
            format!("servers stand in a service: write `service: web` here, and below `listeners`: `{services}`")
        }
        "mode" | "type" => match value.text() {
            Some("tcp" | "l4" | "stream" | "layer4") => "write `protocol: tcp`".to_owned(),
            _ => "write `protocol: http` or `protocol: tcp`".to_owned(),
        },
        "match" | "rule" | "path" | "path_prefix" | "host" | "hosts" | "hostname" | "server_name" | "domain" => {
            let (hosts, service) = (hosts(value), service());
            let routes: Vec<String> = match key {
                "path" | "path_prefix" => vec![format!("{{{key}: {}}}", path(value))],
                "match" | "rule" => vec![of_text(value).unwrap_or_else(|| "{path_prefix: /}".to_owned())],
                _ if hosts.is_empty() => vec!["{host: shop.example.com}".to_owned()],
                _ => hosts.iter().map(|host| format!("{{host: {host}}}")).collect(),
            };
            let route = |matched: &String| format!("{{service: {service}, match: {matched}}}");
            let routes = routes.iter().map(route).collect::<Vec<_>>().join(", ");
            format!("write `routes: [{routes}]` in the place of `service`")
        }
        "timeout" | "idle_timeout" => {
            format!("write `timeouts: {{idle: {}}}`", value.time_or("60s"))
        }
        "max_connections" | "maxconn" => {
            format!("write `limits: {{max_connections: {}}}`", value.number(1..=10_000_000).unwrap_or(10_000))
        }
        "health_check" | "balance" | "retry" | "failover" | "upstreams_tls" => {
            format!("`{key}` belongs to the service: write it under `services`")
        }
        "accept_proxy" | "proxy" => "write `proxy_protocol: required`".to_owned(),
        "forwarded_for" | "forwardfor" | "x_forwarded_for" | "xforwardedfor" => {
            "leave it out: `forwarded: replace` is the default and sends the client's address. (`append` also passes on what \
             the client claims: only behind another HTTP proxy.)"
                .to_owned()
        }
        "http2" | "h2" | "http_2" if value.is_off() => "in `tls`, write `alpn: [http/1.1]`".to_owned(),
        "http2" | "h2" | "http_2" | "h2c" => {
            "leave it out: `protocol: http`, the default, is HTTP/1.1 and HTTP/2".to_owned()
        }
        "access_log" | "accesslog" => {
            "of the whole file, beside `listeners`: `access_log: on`".to_owned()
        }
        _ => return around(key, value),
    })
}

/// Keys that are understood of a listener and of the file as a whole.
pub(super) fn around(key: &str, value: FoundValue<'_>) -> Option<String> {
    Some(match key {
        "trusted_proxies"
        | "trustedproxies"
        | "trusted_ips"
        | "trustedips"
        | "real_ip_header"
        | "set_real_ip_from"
        | "real_ip_from"
        | "forwarded_headers"
        | "forwardedheaders"
        | "forwarded_allow_ips" => {
            let networks = value.beside(&["trusted_proxies", "trustedproxies", "trusted_ips", "trustedips"]);
            let networks = networks.or(value.beside(&["set_real_ip_from", "real_ip_from"])).unwrap_or(value);
            let texts = networks.texts();
            let is_network = |text: &str| text.parse::<ipnet::IpNet>().is_ok() || text.parse::<IpAddr>().is_ok();
            let quoted = |text: &&str| if text.contains(':') { format!("\"{text}\"") } else { (*text).to_owned() };
            let trusted = match !texts.is_empty() && texts.iter().all(|text| is_network(text)) {
                true => texts.iter().map(quoted).collect::<Vec<_>>().join(", "),
                false => "10.0.0.0/8".to_owned(),
            };
            format!(
                "of a listener: behind an HTTP proxy that alone can reach the port, `forwarded: append`; behind a TCP load \
                 balancer, `proxy_protocol: {{required: true, trusted: [{trusted}]}}`"
            )
        }
        "max_body_size" | "client_max_body_size" | "max_request_body_size" | "body_limit" => {
            "leave it out: bodies are passed on as they arrive, without a limit; the server limits them".to_owned()
        }
        _ => return None,
    })
}

/// Where it listens, from the keys that other programs have for address and port.
fn bind(value: FoundValue<'_>) -> String {
    let beside: Vec<FoundValue<'_>> = ADDRESSES.iter().filter_map(|key| value.beside(&[key])).collect();
    let texts = || std::iter::once(value).chain(beside.iter().copied()).filter_map(FoundValue::text);
    let port = value.beside(&["port"]).and_then(FoundValue::port).or_else(|| value.port());
    let port = port.or_else(|| beside.iter().find_map(|value| value.port()));
    let whole = texts().filter(|text| text.contains(':')).find_map(|text| text.parse::<Bind>().ok());
    let ip = texts().find_map(|text| match text {
        "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
        _ => text.parse::<IpAddr>().ok(),
    });
    match (whole.filter(|_| ip.is_none()), ip) {
        (Some(Bind::Address(address)), _) if address.is_ipv4() => address.to_string(),
        (Some(bind), _) => format!("\"{bind}\""),
        (None, Some(ip)) => flow_address((ip, port.unwrap_or(8080)).into()),
        (None, None) => format!("0.0.0.0:{}", port.unwrap_or(8080)),
    }
}

/// `certificates: […]` with the certificate and the key that stand in the same map.
fn certificates(value: FoundValue<'_>) -> String {
    let path = |keys: &[&str]| value.beside(keys).filter(|value| !value.is_on()).and_then(FoundValue::path);
    let (cert, key) = (path(&CERTIFICATES).unwrap_or("fullchain.pem"), path(&KEYS).unwrap_or("key.pem"));
    format!("certificates: [{{cert: {cert}, key: {key}}}]")
}

/// In an item of `routes:`.
pub(super) fn route(key: &str, value: FoundValue<'_>) -> Option<String> {
    Some(match key {
        "path" => format!("write `match: {{path: {}}}`", path(value)),
        "path_prefix" | "prefix" | "location" | "uri" => format!("write `match: {{path_prefix: {}}}`", path(value)),
        "host" | "hosts" | "domain" | "server_name" | "hostname" => one_host("match: {host: ", "}", value),
        "rule" | "rules" => format!(
            "write `match: {}`",
            of_text(value).unwrap_or_else(|| "{host: shop.example.com, path_prefix: /api}".to_owned())
        ),
        "sni" => match hosts(value).first() {
            Some(host) => format!("write `match: {{sni: {host}}}`"),
            None => "write `match: {sni: shop.example.com}`".to_owned(),
        },
        "method" | "methods" => format!("write `match: {{{}}}`", methods(value)),
        "headers" | "header" => {
            let fields = sample_fields(value);
            format!(
                "write `match: {{headers: {fields}}}` for requests that have it, or `request_headers: {{set: {fields}}}` to set \
                 it"
            )
        }
        "set_header" | "set_headers" | "proxy_set_header" | "set_request_headers" | "set_request_header" => {
            format!("write `request_headers: {{set: {}}}`", sample_fields(value))
        }
        "add_request_header" | "add_request_headers" | "custom_request_headers" | "customrequestheaders" => {
            format!("write `request_headers: {{add: {}}}`", sample_fields(value))
        }
        "add_header" | "add_headers" | "add_response_header" | "add_response_headers" => {
            format!("write `response_headers: {{add: {}}}`", sample_fields(value))
        }
        "set_response_header" | "set_response_headers" | "custom_response_headers" | "customresponseheaders" => {
            format!("write `response_headers: {{set: {}}}`", sample_fields(value))
        }
        "backend" | "upstream" | "to" | "target" | "pool" | "cluster" | "proxy_pass" | "use_backend" => {
            format!("write `service: {}`", value.service())
        }
        "timeout" => format!("write `timeouts: {{response: {}}}`", value.time_or("5s")),
        _ => return None,
    })
}

/// In `match:` of a route.
pub(super) fn matches(key: &str, value: FoundValue<'_>) -> Option<String> {
    Some(match key {
        "prefix" | "location" => format!("write `path_prefix: {}`", path(value)),
        "hosts" | "domain" | "hostname" | "server_name" => one_host("host: ", "", value),
        "methods" => format!("write `{}`", methods(value)),
        "query" | "query_params" | "queryparams" | "query_string" | "cookie" | "cookies" | "source_ip"
        | "client_ip" => {
            format!(
                "not supported yet: take `{key}` out. What can be matched: `host`, `path`, `path_prefix`, `method`, `headers`"
            )
        }
        "header" => format!("write `headers: {}`", sample_fields(value)),
        _ => return None,
    })
}

fn path(value: FoundValue<'_>) -> &str {
    value.path().filter(|path| path.starts_with('/')).unwrap_or("/api")
}

fn hosts(value: FoundValue<'_>) -> Vec<String> {
    value.texts().into_iter().filter_map(host).collect()
}

/// A route takes one host, so that several of them are several routes.
fn one_host(before: &str, behind: &str, value: FoundValue<'_>) -> String {
    match &hosts(value)[..] {
        [] => format!("write `{before}shop.example.com{behind}`"),
        [host] => format!("write `{before}{host}{behind}`"),
        several => {
            let each: Vec<String> = several.iter().map(|host| format!("`{before}{host}{behind}`")).collect();
            format!("a route takes one host; write a route for each, all with the same `service`: {}", each.join(", "))
        }
    }
}

/// Several hosts where one belongs.
pub(super) fn several_hosts(value: FoundValue<'_>) -> String {
    one_host("match: {host: ", "}", value)
}

fn methods(value: FoundValue<'_>) -> String {
    let methods = value.texts();
    let good = |text: &&str| text.len() <= 20 && text.bytes().all(|b| b.is_ascii_alphabetic());
    match &methods[..] {
        [one] if good(one) => format!("method: {}", one.to_ascii_uppercase()),
        [_, ..] if methods.iter().all(good) => format!("method: [{}]", methods.join(", ").to_ascii_uppercase()),
        _ => "method: [GET, HEAD]".to_owned(),
    }
}

/// Header fields as they were written. A value that may be a secret is not repeated.
fn fields(value: FoundValue<'_>) -> Option<String> {
    let TreeValue::Map(entries) = &value.node.value else { return None };
    let token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let field = |(key, field): &'_ (TreeNode, TreeNode)| {
        let TreeValue::Scalar { text: name, .. } = &key.value else { return None };
        let good = !name.is_empty() && name.len() <= 60 && name.chars().all(token);
        let lower = name.to_ascii_lowercase();
        let secret = ["auth", "token", "key", "cookie", "secret", "pass", "session", "cred"];
        let shown = value.of(field).flow().filter(|_| !secret.iter().any(|word| lower.contains(word)));
        good.then(|| format!("{name}: {}", shown.unwrap_or_else(|| "VALUE".to_owned())))
    };
    let fields: Option<Vec<String>> = entries.iter().take(5).map(field).collect();
    let fields = fields.filter(|fields| (1..=4).contains(&fields.len()))?;
    Some(format!("{{{}}}", fields.join(", ")))
}

/// The same, or a sample.
fn sample_fields(value: FoundValue<'_>) -> String {
    fields(value).unwrap_or_else(|| "{x-env: canary}".to_owned())
}

/// What a text says that stands for a whole `match`: a path, a host, both as in a URL, or a rule such as
/// ``Host(`a.example.com`) && PathPrefix(`/b`)``. `None`: it says something else, or more than that.
pub(super) fn of_text(value: FoundValue<'_>) -> Option<String> {
    let text = value.text()?.trim();
    if text.contains('(') {
        return rule(text);
    }
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let (name, path) = text.split_at(text.find('/').unwrap_or(text.len()));
    let name = name.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(name, |(name, _)| name);
    match (name.is_empty(), host(name), path) {
        (true, _, path) if is_path(path) => Some(format!("{{path_prefix: {path}}}")),
        (false, Some(host), "") => Some(format!("{{host: {host}}}")),
        (false, Some(host), path) if is_path(path) => Some(format!("{{host: {host}, path_prefix: {path}}}")),
        _ => None,
    }
}

fn rule(text: &str) -> Option<String> {
    let mut keys: Vec<(&str, String)> = Vec::new();
    for part in text.split("&&") {
        let (name, rest) = part.trim().split_once('(')?;
        let inside = rest.strip_suffix(')')?;
        let words: Vec<&str> = inside.split(',').map(|word| word.trim().trim_matches(['`', '"', '\''])).collect();
        let found = match (&*name.trim().to_ascii_lowercase(), &words[..]) {
            ("host", [name]) => ("host", host(name)?),
            ("hostsni", [name]) if is_dns_name(name) => ("sni", (*name).to_owned()),
            ("pathprefix", [path]) if is_path(path) && path.starts_with('/') => ("path_prefix", (*path).to_owned()),
            ("path", [path]) if is_path(path) && path.starts_with('/') => ("path", (*path).to_owned()),
            ("method", [method]) if method.bytes().all(|b| b.is_ascii_alphabetic()) && !method.is_empty() => {
                ("method", method.to_ascii_uppercase())
            }
            _ => return None,
        };
        if keys.iter().any(|(key, _)| *key == found.0) {
            return None;
        }
        keys.push(found);
    }
    Some(format!("{{{}}}", keys.iter().map(|(key, word)| format!("{key}: {word}")).collect::<Vec<_>>().join(", ")))
}

/// In `tls:` of a listener.
pub(super) fn tls(key: &str, value: FoundValue<'_>) -> Option<String> {
    Some(match key {
        _ if CERTIFICATES.contains(&key) || KEYS.contains(&key) => format!("write `{}`", certificates(value)),
        "ca" | "client_ca" | "cafile" | "ca_file" | "client_ca_file" => {
            format!("write `client_auth: {{mode: required, ca: {}}}`", value.path().unwrap_or("clients-ca.pem"))
        }
        "versions" | "protocols" | "min_protocol" | "ssl_protocols" => "write `min_version: \"1.2\"`".to_owned(),
        "enabled" => "write `certificates: [{cert: fullchain.pem, key: key.pem}]`; `tls: off` is none".to_owned(),
        _ => return None,
    })
}

/// In an item of `certificates:`.
pub(super) fn certificate(key: &str, value: FoundValue<'_>) -> Option<String> {
    Some(match key {
        "certificate" | "crt" | "chain" | "file" | "cert_file" => {
            format!("write `cert: {}`", value.path().unwrap_or("fullchain.pem"))
        }
        "private_key" | "key_file" => format!("write `key: {}`", value.path().unwrap_or("key.pem")),
        _ => return None,
    })
}

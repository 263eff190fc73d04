//! Keys that other programs have.

use std::net::SocketAddr;

use super::words::balance;
use super::{CERTIFICATES, Found, LISTENERS, SERVICES, endpoint, url_path};
use crate::config::model::{is_dns_name, is_name};
use crate::config::tree::{Node, Value, shorten};
use crate::config::{Bind, log_filter};

/// What to write in the place of a key that `section` (a type of the schema) does not have. `None`: nothing is known of it.
pub(in crate::config) fn unknown_key(section: &str, key: &str, value: Found<'_>) -> Option<String> {
    let key = key.to_ascii_lowercase().replace('-', "_");
    let text = value.text();
    // Functions that other proxies have and this one has not.
    let function = match &*key {
        "redirect" | "redirects" | "redirect_to" | "https_redirect" | "ssl_redirect" | "return" => "redirects",
        "strip_prefix" | "strip_path" | "stripprefix" | "rewrite" | "rewrites" | "prefix_rewrite" | "path_rewrite"
        | "rewrite_path" | "replace_path" | "regex_rewrite" => "changing the path of a request",
        "rate_limit" | "ratelimit" | "rate_limits" | "limit_req" => "limiting the rate of requests",
        "cache" | "caching" | "proxy_cache" => "caching",
        "compress" | "compression" | "gzip" | "brotli" => "compression",
        "basic_auth" | "auth" | "auth_basic" | "jwt" | "oidc" => "checking users",
        "cors" => "CORS",
        "include" | "includes" | "import" => "reading further files",
        "acme" | "letsencrypt" | "auto_tls" | "autocert" => "getting certificates by ACME",
        "path_regex" | "regex" | "host_regex" => "matching by regular expressions",
        _ => "",
    };
    if !function.is_empty() {
        let key = shorten(&key);
        let instead = match function {
            "changing the path of a request" | "redirects" | "compression" | "CORS" | "checking users" => {
                "; the server behind this proxy can do that"
            }
            "matching by regular expressions" => "; write `match: {path_prefix: /api}`",
            "getting certificates by ACME" => "; write `tls: {certificates: [{cert: fullchain.pem, key: key.pem}]}`",
            _ => "",
        };
        return Some(format!("not supported yet ({function}): take `{key}` out{instead}"));
    }
    if let "sticky" | "stickiness" | "sticky_session" | "sticky_sessions" | "stick" | "stick_table" | "affinity"
    | "session_affinity" | "persistence" | "cookie" | "ip_hash" = &*key
    {
        let by_address =
            key == "ip_hash" || matches!(text, Some("ip" | "source" | "source_ip" | "client_ip" | "address"));
        let of = if section == "Service" { "write" } else { "of the service:" };
        return Some(match by_address {
            true => format!("{of} `balance: {{hash: source}}`: a client's address stays with one endpoint"),
            false => format!(
                "{of} `balance: {{hash: {{cookie: session}}}}` with the name of your cookie, or `balance: {{hash: source}}`"
            ),
        });
    }
    if let ("Pool" | "Endpoint" | "Service", "backup" | "standby" | "secondary" | "failover_to" | "fallback") =
        (section, &*key)
    {
        return Some(
            "a standby is a pool of its own, below the first: \
             `pools: [{name: main, endpoints: [10.0.0.1:8080]}, {name: standby, endpoints: [10.0.0.2:8080]}]`"
                .to_owned(),
        );
    }
    let advice = match section {
        "File" => in_file(&key, value)?,
        "Listener" => in_listener(&key, value)?,
        "Service" => in_service(&key, value)?,
        "Pool" => match &*key {
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
            _ => return None,
        },
        "Endpoint" => match &*key {
            "url" | "uri" | "host" | "hostname" | "ip" | "server" | "target" | "addr" | "port" => {
                format!("write address and port together: `{{{}}}`", address_and_port(value))
            }
            "tls" | "ssl" | "https" | "protocol" | "scheme" => {
                "of the service, beside `pools`: `upstream: {tls: on}`".to_owned()
            }
            "disabled" | "down" | "drain" | "enabled" | "state" => "write `weight: 0`: it gets no new work".to_owned(),
            "maxconn" | "max_conns" => "write `max_connections: 512`".to_owned(),
            _ => return None,
        },
        "Route" => match &*key {
            "path" | "path_prefix" | "prefix" | "location" | "uri" => {
                let key = if key == "path" { "path" } else { "path_prefix" };
                let path = value.path().filter(|path| path.starts_with('/')).unwrap_or("/api");
                format!("write `match: {{{key}: {path}}}`")
            }
            "host" | "hosts" | "domain" | "server_name" | "hostname" => {
                let host = text.filter(|text| is_dns_name(text)).unwrap_or("shop.example.com");
                format!("write `match: {{host: {host}}}`")
            }
            "sni" => "write `match: {sni: shop.example.com}`".to_owned(),
            "method" | "methods" => "write `match: {method: GET}`".to_owned(),
            "headers" => "write `match: {headers: {x-env: canary}}`".to_owned(),
            "backend" | "upstream" | "to" | "target" | "pool" | "cluster" | "proxy_pass" | "use_backend" => {
                format!("write `service: {}`", value.name().unwrap_or("web"))
            }
            "timeout" => format!("write `timeouts: {{response: {}}}`", value.time().unwrap_or_else(|| "5s".into())),
            _ => return None,
        },
        "Match" => match &*key {
            "prefix" | "location" => {
                let path = value.path().filter(|path| path.starts_with('/')).unwrap_or("/api");
                format!("write `path_prefix: {path}`")
            }
            "hosts" | "domain" | "hostname" | "server_name" => "write `host: shop.example.com`".to_owned(),
            "methods" => "write `method: [GET, HEAD]`".to_owned(),
            _ => return None,
        },
        "ListenerTls" => match &*key {
            "cert"
            | "certificate"
            | "cert_file"
            | "crt"
            | "key"
            | "private_key"
            | "key_file"
            | "ssl_certificate"
            | "ssl_certificate_key" => {
                let is_key = key.contains("key");
                let path = value.path();
                let cert = path.filter(|_| !is_key).unwrap_or("fullchain.pem");
                let key = path.filter(|_| is_key).unwrap_or("key.pem");
                format!("write `certificates: [{{cert: {cert}, key: {key}}}]`")
            }
            "ca" | "client_ca" | "cafile" => {
                format!("write `client_auth: {{mode: required, ca: {}}}`", value.path().unwrap_or("clients-ca.pem"))
            }
            "versions" | "protocols" | "min_protocol" | "ssl_protocols" => "write `min_version: \"1.2\"`".to_owned(),
            "enabled" => "write `certificates: [{cert: fullchain.pem, key: key.pem}]`; `tls: off` is none".to_owned(),
            _ => return None,
        },
        "Certificate" => match &*key {
            "certificate" | "crt" | "chain" | "file" | "cert_file" => {
                format!("write `cert: {}`", value.path().unwrap_or("fullchain.pem"))
            }
            "private_key" | "key_file" => format!("write `key: {}`", value.path().unwrap_or("key.pem")),
            _ => return None,
        },
        "UpstreamTls" => match &*key {
            "cert" | "certificate" => format!("write `client_cert: {}`", value.path().unwrap_or("proxy.pem")),
            "key" => format!("write `client_key: {}`", value.path().unwrap_or("proxy-key.pem")),
            "server_name" | "servername" | "hostname" => {
                format!("write `sni: {}`", text.filter(|text| is_dns_name(text)).unwrap_or("shop.internal"))
            }
            "verify" | "insecure" | "skip_verify" | "insecure_skip_tls_verify" => {
                "write `ca: internal-ca.pem` to trust a CA; `insecure_skip_verify: true` accepts any certificate"
                    .to_owned()
            }
            _ => return None,
        },
        "HealthCheck" => match &*key {
            "path" | "uri" | "url" | "endpoint" => {
                let path = text.and_then(url_path);
                let path = path.as_deref().or(value.path()).filter(|path| path.starts_with('/')).unwrap_or("/healthz");
                format!("write `http: {{path: {path}}}`")
            }
            "method" | "status" | "host" | "body" | "headers" | "json" | "expected_status" | "expect" => {
                let key = if key.starts_with("expect") { "status" } else { &key };
                format!(
                    "it belongs to the kind of check: write `http: {{path: /healthz, {}}}`",
                    match key {
                        "status" => "status: [200]",
                        "method" => "method: HEAD",
                        "host" => "host: shop.example.com",
                        "body" => "body: ok",
                        "json" => "json: {/status: ok}",
                        _ => "headers: {x-health: ok}",
                    }
                )
            }
            "port" => match value.port() {
                Some(port) => format!("write `http: {{path: /healthz, port: {port}}}` or `tcp: {{port: {port}}}`"),
                None => "write `http: {path: /healthz, port: 8088}` or `tcp: {port: 8088}`".to_owned(),
            },
            "type" | "kind" | "protocol" | "mode" => match text {
                Some("tcp") => "write `tcp: {}`".to_owned(),
                Some("grpc") => "write `grpc: {}`".to_owned(),
                _ => "write `http: {path: /healthz}`".to_owned(),
            },
            "retries" | "max_fails" | "failures" => {
                format!("write `fall: {}`", value.number(1..=100).unwrap_or(3))
            }
            "enabled" => "leave it out; a service without a check says `health_check: off`".to_owned(),
            _ => return None,
        },
        "HttpCheck" => match &*key {
            "uri" | "url" => "write `path: /healthz`".to_owned(),
            "expect" | "expected_status" | "codes" | "expected_codes" | "code" => "write `status: [200]`".to_owned(),
            "interval" | "timeout" | "fall" | "rise" => {
                format!(
                    "`{key}` stands beside `http`: write `health_check: {{http: {{path: /healthz}}, {}}}`",
                    match &*key {
                        "interval" => "interval: 2s",
                        "timeout" => "timeout: 1s",
                        "fall" => "fall: 3",
                        _ => "rise: 2",
                    }
                )
            }
            _ => return None,
        },
        "Log" => match &*key {
            "level" | "verbosity" | "severity" => {
                let level = text.and_then(|level| log_filter::understand(level).ok());
                format!("write `filter: {}`", level.filter(|level| is_name(level)).as_deref().unwrap_or("info"))
            }
            "path" | "file" | "output" => {
                "the log goes to standard error, which the service manager keeps: leave it out".to_owned()
            }
            _ => return None,
        },
        "AccessLog" => match &*key {
            "file" | "output" | "filename" => {
                format!("write `path: {}`", value.path().unwrap_or("/var/log/standfast/access.log"))
            }
            "enabled" => "leave it out; `access_log: off` is none".to_owned(),
            _ => return None,
        },
        "Admin" | "Metrics" => match &*key {
            "port" | "listen" | "address" | "addr" => {
                format!("write `bind: 127.0.0.1:{}`", value.port().unwrap_or(9901))
            }
            "enabled" => "write `bind: 127.0.0.1:9901`".to_owned(),
            _ => return None,
        },
        "Retry" => match &*key {
            "retries" | "num_retries" | "max_retries" | "count" => match value.number(0..=9) {
                Some(more) => format!("write `attempts: {}`: the first one counts", more + 1),
                None => "write `attempts: 2`: the first one counts".to_owned(),
            },
            "tries" | "max" | "max_attempts" => format!("write `attempts: {}`", value.number(1..=10).unwrap_or(2)),
            "timeout" => format!("write `per_try_timeout: {}`", value.time().unwrap_or_else(|| "1s".into())),
            _ => return None,
        },
        "StaticResponse" => match &*key {
            "code" | "status_code" => format!("write `status: {}`", value.number(200..=599).unwrap_or(503)),
            "text" | "content" | "message" => "write `body: \"Back soon.\\n\"`".to_owned(),
            "file" | "path" => format!("write `body_file: {}`", value.path().unwrap_or("sorry.html")),
            "location" => "redirects are not supported yet".to_owned(),
            _ => return None,
        },
        "Failover" => match &*key {
            "mode" | "auto_failback" | "preempt" | "nopreempt" => match value.is_off() || key == "nopreempt" {
                true => "write `failback: manual`".to_owned(),
                false => "write `failback: auto`".to_owned(),
            },
            "hold_down" | "delay" => {
                let time = value.time().unwrap_or_else(|| "30s".into());
                format!("write `failback: {{mode: auto, hold_down: {time}}}`")
            }
            _ => return None,
        },
        "Upstream" => match &*key {
            "servers" | "server" | "endpoints" | "hosts" | "address" => {
                let list = value.endpoints_or_sample();
                format!("servers stand beside `upstream`: `pools: [{{name: main, endpoints: {list}}}]`")
            }
            "ssl" | "https" => "write `tls: on`".to_owned(),
            "http2" | "h2" => "write `protocol: http2`".to_owned(),
            _ => return None,
        },
        "ServiceTimeouts" | "RouteTimeouts" => match &*key {
            "request" | "read" | "server" | "proxy_read" | "total" => {
                format!("write `response: {}`", value.time().unwrap_or_else(|| "30s".into()))
            }
            _ => return None,
        },
        _ => return None,
    };
    Some(advice)
}

/// `address: 10.0.0.1:80` or `dns: app:80`, from the keys that other programs have for it.
fn address_and_port(value: Found<'_>) -> String {
    let beside = |keys: &[&str]| {
        let is = |node: &Node| matches!(&node.value, Value::Scalar { text, .. } if keys.contains(&&**text));
        value.around.iter().find(|(key, _)| is(key)).map(|(_, node)| value.of(node))
    };
    let host = beside(&["host", "hostname", "ip", "addr", "address", "server", "target", "url", "uri"]);
    let host = host.and_then(Found::text);
    let port = beside(&["port"]).and_then(Found::port).unwrap_or(8080);
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

fn in_file(key: &str, value: Found<'_>) -> Option<String> {
    Some(match key {
        "servers" | "server" | "upstreams" | "upstream" | "backends" | "backend" | "clusters" | "cluster" | "pools"
        | "pool" | "endpoints" | "targets" | "http" | "tcp" | "stream" => {
            let (servers, listeners) = match value.endpoints() {
                Some(list) => (SERVICES.replace("[10.0.0.1:8080]", &list), LISTENERS),
                None => (SERVICES.to_owned(), LISTENERS),
            };
            format!("servers are written as `{servers}`, and what is listened on as `{listeners}`")
        }
        "frontends" | "frontend" | "entrypoints" | "entry_points" | "listen" | "bind" | "port" | "ports" => {
            match value.port() {
                Some(port) => format!("write `{}`", LISTENERS.replace(":8080", &format!(":{port}"))),
                None => format!("write `{LISTENERS}`"),
            }
        }
        "routes" | "route" | "rules" | "routers" => {
            "routes belong to a listener: `listeners: [{name: web, bind: 0.0.0.0:8080, routes: [{service: web}]}]`"
                .to_owned()
        }
        "log_level" | "loglevel" | "logging" | "logs" | "level" => {
            let level = value.text().and_then(|level| log_filter::understand(level).ok());
            format!("write `log: {}`", level.filter(|level| is_name(level)).as_deref().unwrap_or("info"))
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
        "version" => "leave it out: the file has no version".to_owned(),
        "timeout" | "timeouts" => "of a service: `timeouts: {response: 30s}`".to_owned(),
        _ => return None,
    })
}

fn in_listener(key: &str, value: Found<'_>) -> Option<String> {
    Some(match key {
        "port" | "listen" | "address" | "addr" | "ip" | "binds" => {
            let written = value.text().and_then(|text| text.parse::<Bind>().ok());
            match (value.port(), written) {
                (Some(port), _) => format!("write `bind: 0.0.0.0:{port}`"),
                (None, Some(Bind::Address(address))) if address.is_ipv4() => format!("write `bind: {address}`"),
                (None, Some(bind)) => format!("write `bind: \"{bind}\"`"),
                _ => "write `bind: 0.0.0.0:8080`".to_owned(),
            }
        }
        "cert"
        | "certificate"
        | "certificates"
        | "crt"
        | "key"
        | "private_key"
        | "ssl"
        | "https"
        | "ssl_certificate"
        | "ssl_certificate_key"
        | "cert_file"
        | "key_file" => {
            let is_key = key.contains("key");
            let path = value.path().filter(|_| !value.is_on());
            let cert = path.filter(|_| !is_key).unwrap_or("fullchain.pem");
            let key = path.filter(|_| is_key).unwrap_or("key.pem");
            format!("write `tls: {{certificates: [{{cert: {cert}, key: {key}}}]}}`")
        }
        "default_service" | "default_backend" | "backend" | "upstream" | "proxy_pass" | "target" | "pool"
        | "use_backend" | "cluster" | "forward_to" => format!("write `service: {}`", value.name().unwrap_or("web")),
        "servers" | "server" | "endpoints" | "pools" | "backends" | "upstreams" => {
            let services = SERVICES.replace("[10.0.0.1:8080]", &value.endpoints_or_sample());
            format!("servers stand in a service: write `service: web` here, and below `listeners`: `{services}`")
        }
        "mode" | "type" => match value.text() {
            Some("tcp" | "l4" | "stream" | "layer4") => "write `protocol: tcp`".to_owned(),
            _ => "write `protocol: http` or `protocol: tcp`".to_owned(),
        },
        "match" | "path" | "path_prefix" => {
            "write `routes: [{service: web, match: {path_prefix: /}}]` in the place of `service`".to_owned()
        }
        "host" | "hosts" | "hostname" | "server_name" | "domain" => {
            let host = value.text().filter(|text| is_dns_name(text)).unwrap_or("shop.example.com");
            format!("write `routes: [{{service: web, match: {{host: {host}}}}}]` in the place of `service`")
        }
        "timeout" | "idle_timeout" => {
            format!("write `timeouts: {{idle: {}}}`", value.time().unwrap_or_else(|| "60s".into()))
        }
        "max_connections" | "maxconn" => {
            format!("write `limits: {{max_connections: {}}}`", value.number(1..=10_000_000).unwrap_or(10_000))
        }
        "health_check" | "balance" | "retry" | "failover" | "upstreams_tls" => {
            format!("`{key}` belongs to the service: write it under `services`")
        }
        "accept_proxy" | "proxy" => "write `proxy_protocol: required`".to_owned(),
        "forwarded_for" | "forwardfor" | "x_forwarded_for" => "write `forwarded: append`".to_owned(),
        _ => return None,
    })
}

fn in_service(key: &str, value: Found<'_>) -> Option<String> {
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
            let word = value.text().map(|text| text.to_ascii_lowercase().replace('-', "_"));
            let known = word.as_deref().map(|word| balance(word).unwrap_or(word));
            let known = known.filter(|word| ["round_robin", "least_request", "random", "hash"].contains(word));
            format!("write `balance: {}`", known.unwrap_or("round_robin"))
        }
        "health" | "check" | "checks" | "probe" | "health_checks" | "livenessprobe" | "readinessprobe" => {
            let path = value.path().filter(|path| path.starts_with('/')).unwrap_or("/healthz");
            format!("write `health_check: {path}`")
        }
        "failback" => match (value.is_on(), value.is_off(), value.text()) {
            (_, true, _) | (_, _, Some("manual")) => "write `failover: {failback: manual}`".to_owned(),
            _ => "write `failover: {failback: auto}`".to_owned(),
        },
        "rto" | "objective" | "slo" => format!("write `objectives: {{rto: {}}}`", value.time().unwrap_or_else(|| "10s".into())),
        "timeout" | "response_timeout" | "read_timeout" | "request_timeout" | "proxy_read_timeout" => {
            format!("write `timeouts: {{response: {}}}`", value.time().unwrap_or_else(|| "30s".into()))
        }
        "connect_timeout" | "proxy_connect_timeout" => {
            format!("write `timeouts: {{connect: {}}}`", value.time().unwrap_or_else(|| "2s".into()))
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
        "passive_health_check" | "circuit_breaker" => "write `outlier_detection: {consecutive_failures: 5}`".to_owned(),
        _ => return None,
    })
}

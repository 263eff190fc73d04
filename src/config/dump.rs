//! What is meant → YAML, every value written out: reading a dump gives an equal configuration, except for secrets. The values
//! of `request_headers` of a check are `***`; keys and certificates are files, and only their names are part of a
//! configuration.

use std::net::SocketAddr;
use std::time::Duration;

use serde_yaml::{Mapping, Value};

use super::Bind;
use super::emit::emit;
use super::model::*;
use super::units::write_time;

/// The configuration as YAML with every default filled in. Relative paths have become what they count from; a
/// `body_file` has become the `body` that was read from it.
pub fn dump(config: &Config) -> String {
    emit(&file(config))
}

/// `map! { "key" => value, … }`, in this order; a value that is `None` is left out.
macro_rules! map {
    ($($key:literal => $value:expr),* $(,)?) => {{
        let mut map = Mapping::new();
        $(if let Some(value) = Written::from($value).0 { map.insert(Value::from($key), value); })*
        Value::Mapping(map)
    }};
}

/// A value on its way into a map; `None` = the key is left out.
struct Written(Option<Value>);

macro_rules! written {
    ($($type:ty),*) => {$(
        impl From<$type> for Written {
            fn from(value: $type) -> Written {
                Written(Some(Value::from(value)))
            }
        }
    )*};
}
written!(Value, &str, String, bool, u16, u32, usize, f64);

impl From<Duration> for Written {
    fn from(time: Duration) -> Written {
        Written(Some(write_time(time).into()))
    }
}

impl From<Patience> for Written {
    fn from(patience: Patience) -> Written {
        match patience {
            Patience::Auto => "auto".into(),
            Patience::Off => "off".into(),
            Patience::After(time) => time.into(),
        }
    }
}

impl From<SocketAddr> for Written {
    fn from(address: SocketAddr) -> Written {
        Written(Some(address.to_string().into()))
    }
}

impl From<Bind> for Written {
    fn from(bind: Bind) -> Written {
        Written(Some(bind.to_string().into()))
    }
}

impl<T> From<Option<T>> for Written
where
    Written: From<T>,
{
    fn from(value: Option<T>) -> Written {
        value.map_or(Written(None), Written::from)
    }
}

/// A word of the schema: the same that serde writes for the model's enums.
fn word<T: serde::Serialize>(value: &T) -> Value {
    serde_yaml::to_value(value).unwrap_or_default()
}

fn list<T>(items: impl IntoIterator<Item = T>, write: impl Fn(T) -> Value) -> Value {
    Value::Sequence(items.into_iter().map(write).collect())
}

fn pairs(fields: &[(String, String)]) -> Value {
    Value::Mapping(fields.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect())
}

fn path(path: &std::path::Path) -> String {
    path.display().to_string()
}

fn metrics(config: &Config) -> Option<Value> {
    let is_said = config.metrics.is_some() || config.metrics_detail != MetricsDetail::default();
    is_said.then(|| map! { "bind" => config.metrics, "detail" => word(&config.metrics_detail) })
}

fn file(config: &Config) -> Value {
    map! {
        "workers" => config.workers,
        "drain_timeout" => config.drain_timeout,
        "admin" => config.admin.as_ref().map(|admin| map! { "bind" => admin.bind }).unwrap_or("off".into()),
        "metrics" => metrics(config),
        "state" => config.state.as_ref().map(|state| map! { "path" => path(&state.path), "max_age" => state.max_age }),
        "log" => map! { "filter" => config.log.filter.as_str(), "format" => word(&config.log.format) },
        "access_log" => config.access_log.as_ref().map_or("off".into(), |log| map! {
            "path" => log.path.as_deref().map(path),
            "format" => word(&log.format),
        }),
        "dns" => map! {
            "servers" => list(&config.dns.servers, |server| server.to_string().into()),
            "timeout" => config.dns.timeout,
        },
        "listeners" => list(&config.listeners, |l| listener(l)),
        "services" => Value::Mapping(config.services.iter().map(|s| (Value::from(&*s.name), service(s))).collect()),
    }
}

fn listener(listener: &Listener) -> Value {
    let Listener { name, bind, protocol, timeouts, limits, forwarded, tls, proxy_protocol, target } = listener;
    map! {
        "name" => &**name,
        "bind" => list(bind, |address| address.to_string().into()),
        "protocol" => word(protocol),
        "timeouts" => map! {
            "handshake" => timeouts.handshake,
            "header" => timeouts.header,
            "body" => timeouts.body,
            "idle" => timeouts.idle,
        },
        "limits" => map! {
            "max_connections" => limits.max_connections,
            "header_bytes" => limits.header_bytes,
            "headers" => limits.headers,
            "streams" => limits.streams,
        },
        // On a tcp listener it has no effect, and the reader says so.
        "forwarded" => (*protocol == Protocol::Http).then(|| word(forwarded)),
        "tls" => tls.as_ref().map_or("off".into(), listener_tls),
        "proxy_protocol" => proxy_protocol.as_ref().map_or("off".into(), |proxy| map! {
            "required" => proxy.required,
            "trusted" => list(&proxy.trusted, |network| network.to_string().into()),
        }),
        "service" => match target {
            Target::Service(name) => Some(&**name),
            Target::Routes(_) | Target::Sni(_) => None,
        },
        "routes" => match target {
            Target::Service(_) => None,
            Target::Routes(routes) => Some(list(routes, |r| route(r))),
            Target::Sni(routes) => Some(list(routes, |r| sni_route(r))),
        },
    }
}

fn listener_tls(tls: &ListenerTls) -> Value {
    let ListenerTls { certificates, unknown_name, min_version, alpn, client_auth } = tls;
    map! {
        "certificates" => list(certificates, |one| map! { "cert" => path(&one.cert), "key" => path(&one.key) }),
        "unknown_name" => word(unknown_name),
        "min_version" => word(min_version),
        "alpn" => list(alpn, |name| name.as_str().into()),
        "client_auth" => client_auth.as_ref().map_or("off".into(), |auth| map! {
            "mode" => if auth.required { "required" } else { "optional" },
            "ca" => path(&auth.ca),
        }),
    }
}

fn sni_route(route: &SniRoute) -> Value {
    map! {
        "match" => map! {
            "sni" => route.sni.as_ref().map(host),
            "alpn" => list(&route.alpn, |name| name.as_str().into()),
        },
        "service" => &*route.service,
    }
}

fn host(host: &HostMatch) -> String {
    match host {
        HostMatch::Exact(host) => host.clone(),
        HostMatch::Wildcard(end) => format!("*{end}"),
    }
}

fn route(route: &Route) -> Value {
    let Route { matches, service, request_headers, response_headers, timeouts, upgrades } = route;
    map! {
        "match" => matched(matches),
        "service" => &**service,
        "request_headers" => changes(request_headers),
        "response_headers" => changes(response_headers),
        "timeouts" => map! { "response" => timeouts.response, "stall" => timeouts.stall },
        "upgrades" => list(upgrades, |name| name.as_str().into()),
    }
}

fn matched(matches: &Match) -> Value {
    let header = |(name, value): &(String, Option<String>)| {
        let value = value
            .as_ref()
            .map_or_else(|| map! { "present" => Value::Bool(true) }, |value| map! { "exact" => value.as_str() });
        (Value::from(name.as_str()), value)
    };
    map! {
        "host" => matches.host.as_ref().map(host),
        "path" => matches.path.as_ref().and_then(|path| match path {
            PathMatch::Exact(path) => Some(path.as_str()),
            PathMatch::Prefix(_) => None,
        }),
        "path_prefix" => matches.path.as_ref().and_then(|path| match path {
            PathMatch::Exact(_) => None,
            PathMatch::Prefix(path) => Some(path.as_str()),
        }),
        "method" => list(&matches.methods, |method| method.as_str().into()),
        "headers" => Value::Mapping(matches.headers.iter().map(header).collect()),
    }
}

fn changes(changes: &HeaderChanges) -> Value {
    map! {
        "set" => pairs(&changes.set),
        "add" => pairs(&changes.add),
        "remove" => list(&changes.remove, |name| name.as_str().into()),
    }
}

fn service(service: &Service) -> Value {
    let http = service.protocol == Protocol::Http;
    map! {
        "protocol" => word(&service.protocol),
        "mode" => word(&service.mode),
        "objectives" => map! { "rto" => service.objectives.rto },
        "balance" => balance(&service.balance),
        "retry" => http.then(|| retry(&service.retry)),
        "limits" => map! {
            "max_connections" => service.limits.max_connections,
            "max_pending" => service.limits.max_pending,
            "queue_timeout" => service.limits.queue_timeout,
        },
        "timeouts" => map! {
            "connect" => service.timeouts.connect,
            "response" => service.timeouts.response,
            "body" => service.timeouts.body,
            "tunnel" => service.timeouts.tunnel,
            "client" => service.timeouts.client,
            "upstream" => service.timeouts.upstream,
            "idle" => service.timeouts.idle,
            "stall" => service.timeouts.stall,
        },
        "failover" => failover(&service.failover),
        "slow_start" => service.slow_start,
        "hold_requests" => service.hold_requests,
        "hold_response" => service.hold_response,
        "upstream" => map! {
            "protocol" => word(&service.upstream.protocol),
            // On a tcp service it has no effect, and the reader says so.
            "keepalive" => http.then_some(if service.upstream.keepalive { "on" } else { "off" }),
            "tls" => upstream_tls(service.upstream.tls.as_ref()),
            "proxy_protocol" => proxy_version(service.upstream.proxy_protocol),
        },
        "pools" => list(&service.pools, |p| pool(p, service.mode)),
    }
}

/// `off` and not absent: what is absent of a check is its service's.
fn upstream_tls(tls: Option<&UpstreamTls>) -> Value {
    tls.map_or("off".into(), |tls| {
        map! {
            "ca" => tls.ca.as_deref().map(path),
            "sni" => tls.sni.as_deref(),
            "client_cert" => tls.identity.as_ref().map(|identity| path(&identity.cert)),
            "client_key" => tls.identity.as_ref().map(|identity| path(&identity.key)),
            "min_version" => word(&tls.min_version),
            "insecure_skip_verify" => (!tls.verify).then_some(true),
        }
    })
}

fn proxy_version(version: Option<ProxyVersion>) -> Value {
    version.map_or("off".into(), |version| word(&version))
}

fn balance(balance: &Balance) -> Value {
    match balance {
        Balance::RoundRobin => "round_robin".into(),
        Balance::LeastRequest => "least_request".into(),
        Balance::Random => "random".into(),
        Balance::HashSource => map! { "hash" => "source" },
        Balance::HashHeader(name) => map! { "hash" => map! { "header" => name.as_str() } },
        Balance::HashCookie(name) => map! { "hash" => map! { "cookie" => name.as_str() } },
        Balance::HashQuery(name) => map! { "hash" => map! { "query" => name.as_str() } },
    }
}

fn retry(retry: &Retry) -> Value {
    map! {
        "attempts" => retry.attempts,
        "on" => outcomes(&[("reset", retry.on.reset), ("timeout", retry.on.timeout)], &retry.on.statuses),
        "per_try_timeout" => retry.per_try_timeout.map_or_else(|| "off".to_owned(), write_time),
        "budget" => retry.budget,
        "cross_pool" => word(&retry.cross_pool),
        "replay_bytes" => retry.replay_bytes,
        "hedge" => retry.hedge,
    }
}

fn failover(failover: &Failover) -> Value {
    map! {
        "min_healthy" => failover.min_healthy,
        "on_refused" => word(&failover.on_refused),
        "on_all_down" => word(&failover.on_all_down),
        "sessions" => word(&failover.sessions),
        "drain_timeout" => failover.drain_timeout,
        "max_failovers" => map! { "count" => failover.max_failovers.count, "per" => failover.max_failovers.per },
        "failback" => map! { "mode" => word(&failover.failback.mode), "hold_down" => failover.failback.hold_down },
        "damping" => failover.damping,
        "confirm_window" => failover.confirm_window,
    }
}

fn pool(pool: &Pool, mode: Mode) -> Value {
    let endpoints = matches!(pool.members, Members::Endpoints(_));
    map! {
        "name" => &*pool.name,
        // In active_passive it has no effect, and the reader says so.
        "weight" => (mode == Mode::ActiveActive || pool.weight != super::defaults::WEIGHT).then_some(pool.weight),
        "endpoints" => match &pool.members {
            Members::Endpoints(endpoints) => Some(self::endpoints(endpoints, &pool.names)),
            Members::Static(_) => None,
        },
        "static_response" => match &pool.members {
            Members::Endpoints(_) => None,
            Members::Static(response) => Some(map! {
                "status" => response.status,
                "content_type" => response.content_type.as_str(),
                "headers" => pairs(&response.headers),
                "body" => response.body.as_str(),
            }),
        },
        "health_check" => endpoints.then(|| pool.health_check.as_ref().map_or("off".into(), health_check)),
        "outlier_detection" => endpoints.then(|| pool.outlier_detection.as_ref().map_or("off".into(), outlier_detection)),
    }
}

/// What DNS found is not written: it is found again.
fn endpoints(addresses: &[Endpoint], names: &[NamedEndpoints]) -> Value {
    let declared = addresses.iter().filter(|endpoint| endpoint.host.is_none()).map(|e| {
        map! {
            "address" => e.address,
            "name" => e.name.as_deref(),
            "weight" => e.weight,
            "max_connections" => e.max_connections,
            "check_port" => e.check_port,
        }
    });
    let named = names.iter().map(|n| {
        let Question { name, port, family } = &n.question;
        map! {
            "dns" => port.map(|port| format!("{name}:{port}")),
            "srv" => port.is_none().then(|| name.to_string()),
            "family" => word(family),
            "weight" => n.weight,
            "max_connections" => n.max_connections,
            "check_port" => n.check_port,
        }
    });
    Value::Sequence(declared.chain(named).collect())
}

fn health_check(check: &HealthCheck) -> Value {
    map! {
        "tcp" => match &check.kind {
            CheckKind::Tcp { port, tls } => Some(map! { "port" => *port, "tls" => upstream_tls(tls.as_deref()) }),
            CheckKind::Http(_) | CheckKind::Grpc(_) => None,
        },
        "http" => match &check.kind {
            CheckKind::Tcp { .. } | CheckKind::Grpc(_) => None,
            CheckKind::Http(http) => Some(http_check(http)),
        },
        "grpc" => match &check.kind {
            CheckKind::Tcp { .. } | CheckKind::Http(_) => None,
            CheckKind::Grpc(grpc) => Some(map! {
                "service" => grpc.service.as_str(),
                "port" => grpc.port,
                "host" => grpc.host.as_deref(),
                "reuse" => grpc.reuse,
                "tls" => upstream_tls(grpc.tls.as_ref()),
            }),
        },
        "interval" => check.interval,
        "timeout" => check.timeout,
        "fast_interval" => check.fast_interval,
        "fall" => check.fall,
        "rise" => check.rise,
        "jitter" => check.jitter,
        "proxy_protocol" => proxy_version(check.proxy_protocol),
    }
}

fn http_check(check: &HttpCheck) -> Value {
    let json = |(pointer, value): &(String, serde_json::Value)| (Value::from(pointer.as_str()), word(value));
    map! {
        "path" => check.path.as_str(),
        "method" => check.method.as_str(),
        "port" => check.port,
        "host" => check.host.as_deref(),
        "address" => check.address.map(|address| address.to_string()),
        "request_headers" => Value::Mapping(
            check.request_headers.iter().map(|(name, _)| (name.as_str().into(), Secret::HIDDEN.into())).collect(),
        ),
        "request_body" => check.request_body.as_ref().map(Secret::hidden),
        "status" => list(&check.status, |(from, to)| format!("{from}-{to}").into()),
        "headers" => pairs(&check.headers),
        "body" => check.body.as_deref(),
        "json" => Value::Mapping(check.json.iter().map(json).collect()),
        "reuse" => check.reuse,
        "tls" => upstream_tls(check.tls.as_ref()),
    }
}

fn outlier_detection(rule: &OutlierDetection) -> Value {
    map! {
        "consecutive_failures" => rule.consecutive_failures,
        "failure_rate" => rule.failure_rate.map_or(Value::from("off"), Value::from),
        "min_requests" => rule.min_requests,
        "base_ejection" => rule.base_ejection,
        "max_ejection" => rule.max_ejection,
        "max_ejected" => rule.max_ejected,
        "evidence" => word(&rule.evidence),
        "failures" => failures(&rule.failures),
    }
}

fn failures(failures: &Failures) -> Value {
    let kinds = [
        ("reset", failures.reset),
        ("timeout", failures.timeout),
        ("malformed", failures.malformed),
        ("cut", failures.cut),
    ];
    outcomes(&kinds, &failures.statuses)
}

/// The words that count, and the statuses, alone or as ranges.
fn outcomes(words: &[(&str, bool)], statuses: &[(u16, u16)]) -> Value {
    let words = words.iter().filter(|(_, counts)| *counts).map(|(word, _)| Value::from(*word));
    let range = |(first, last): &(u16, u16)| {
        if first == last { Value::from(*first) } else { format!("{first}-{last}").into() }
    };
    Value::Sequence(words.chain(statuses.iter().map(range)).collect())
}

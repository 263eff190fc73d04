//! `health_check:`

use serde_yaml::Value;

use super::tls::upstream_tls;
use super::upstream::proxy_version;
use super::written::{list, pairs, word};
use crate::config::model::{CheckKind, HealthCheck, HttpCheck, Secret};

pub(super) fn health_check(check: &HealthCheck) -> Value {
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

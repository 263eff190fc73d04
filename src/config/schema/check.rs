//! `health_check:`

use serde_json::Value as Json;

use super::Port;
use super::tls::UpstreamTls;
use super::upstream::ProxyVersion;
use crate::config::item::{Entries, Later, Many, Short, Switch, Toggle};
use crate::config::units::{Count, Share, Statuses, Time};

map! { /// `health_check:` — one of the kinds, and how often. A kind alone, or a path for `http`, is one too.
HealthCheck = "health_check" {
    tcp: TcpCheck,
    http: Short<HttpCheck>,
    grpc: GrpcCheck,
    postgres: Later,
    mysql: Later,
    redis: Later,
    exec: Later,
    agent: Later,
    interval: Time,
    timeout: Time,
    fast_interval: Time,
    fall: Count<1, 100>,
    rise: Count<1, 100>,
    unhealthy_threshold: Count<1, 100>,
    healthy_threshold: Count<1, 100>,
    jitter: Share,
    proxy_protocol: Switch<ProxyVersion>,
}}

map! { /// `health_check.tcp`
TcpCheck {
    port: Port,
    tls: Switch<Toggle<UpstreamTls>>,
}}

map! { /// `health_check.grpc`
GrpcCheck {
    service: String,
    port: Port,
    host: String,
    reuse: Switch<Time>,
    tls: Switch<Toggle<UpstreamTls>>,
}}

map! { /// `health_check.http`
HttpCheck = "http" {
    path: String,
    method: String,
    port: Port,
    host: String,
    address: String,
    request_headers: Entries<String>,
    request_body: String,
    status: Many<Statuses>,
    headers: Entries<String>,
    body: String,
    json: Entries<Json>,
    reuse: Switch<Time>,
    tls: Switch<Toggle<UpstreamTls>>,
}}

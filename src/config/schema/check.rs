//! `health_check:`

use serde_json::Value as Json;

use super::PortNumber;
use super::tls::UpstreamTls;
use super::upstream::ProxyVersion;
use crate::config::lag_limit::LagLimit;
use crate::config::spanned::{NamedEntries, OffOr, OnOr, OneOrMany, ReservedKey, ShorthandMap};
use crate::config::units::{FractionOfOne, OnOff, RangedCount, StatusRange, TypedDuration};

map! { /// `health_check:` — one of the kinds, and how often. A kind alone, or a path for `http`, is one too.
HealthCheck = "health_check" {
    tcp: TcpCheck,
    http: ShorthandMap<HttpCheck>,
    grpc: GrpcCheck,
    postgres: PostgresCheck,
    mysql: MysqlCheck,
    redis: RedisCheck,
    exec: ExecCheck,
    agent: AgentCheck,
    dns: DnsCheck,
    udp: UdpCheck,
    interval: TypedDuration,
    timeout: TypedDuration,
    fast_interval: TypedDuration,
    fall: RangedCount<1, 100>,
    rise: RangedCount<1, 100>,
    unhealthy_threshold: RangedCount<1, 100>,
    healthy_threshold: RangedCount<1, 100>,
    jitter: FractionOfOne,
    proxy_protocol: OffOr<ProxyVersion>,
}}

map! { /// `health_check.tcp`
TcpCheck {
    send: String,
    expect: String,
    port: PortNumber,
    tls: OffOr<OnOr<UpstreamTls>>,
}}

map! { /// `health_check.exec`
ExecCheck {
    command: OneOrMany<String>,
    environment: NamedEntries<String>,
    port: PortNumber,
}}

map! { /// `health_check.agent`
AgentCheck {
    port: PortNumber,
    send: String,
}}

map! { /// `health_check.dns`
DnsCheck {
    name: String,
    r#type: String,
    rcode: String,
    answer: String,
    tcp: OnOff,
    port: PortNumber,
}}

map! { /// `health_check.udp`
UdpCheck {
    send: String,
    expect: OffOr<String>,
    port: PortNumber,
}}

map! { /// `health_check.postgres`
PostgresCheck {
    user: String,
    password: String,
    password_file: String,
    database: String,
    auth: PasswordMethod,
    role: CheckedRole,
    max_lag: LagLimit,
    port: PortNumber,
    tls: OffOr<OnOr<UpstreamTls>>,
}}

words! { /// `health_check.postgres.auth`: the weakest way to give a password that is taken.
PasswordMethod { Scram, Md5, Cleartext, }}

words! { /// `health_check.postgres.role`
CheckedRole { Primary, Writable, Replica, }}

map! { /// `health_check.mysql`
MysqlCheck {
    user: String,
    password: String,
    password_file: String,
    database: String,
    auth: MysqlMethod,
    server_key_file: String,
    role: CheckedRole,
    max_lag: ReservedKey,
    port: PortNumber,
    tls: OffOr<OnOr<UpstreamTls>>,
}}

words! { /// `health_check.mysql.auth`: the weakest way to give a password that is taken.
MysqlMethod { CachingSha2, Native, Cleartext, }}

map! { /// `health_check.redis`
RedisCheck {
    user: String,
    password: String,
    password_file: String,
    role: CheckedRole,
    max_lag: LagLimit,
    port: PortNumber,
    tls: OffOr<OnOr<UpstreamTls>>,
}}

map! { /// `health_check.grpc`
GrpcCheck {
    service: String,
    port: PortNumber,
    host: String,
    reuse: OffOr<TypedDuration>,
    tls: OffOr<OnOr<UpstreamTls>>,
}}

map! { /// `health_check.http`
HttpCheck = "http" {
    path: String,
    method: String,
    port: PortNumber,
    host: String,
    address: String,
    request_headers: NamedEntries<String>,
    request_body: String,
    status: OneOrMany<StatusRange>,
    headers: NamedEntries<String>,
    body: String,
    json: NamedEntries<Json>,
    reuse: OffOr<TypedDuration>,
    tls: OffOr<OnOr<UpstreamTls>>,
}}

//! What was typed: every key of `standfast.yaml`, its notation and its short forms. No defaults and no meaning in here: a
//! key that is absent stays absent. What a key means is said once, at the type of [`Config`](super::Config) that it fills.
//!
//! A field of type [`Later`] is a key whose name is fixed by the design and whose function is not built: it is refused.

use serde::Deserialize;
use serde_json::Value as Json;

use super::item::{Entries, Item, Later, Listed, Many, Short, ShortForm, Switch, Toggle};
use super::units::{
    Address, BindAddress, Bytes, Count, Delay, Must, Nameserver, Network, OnOff, Share, Statuses, Time,
};

/// Any number of things that we hold in memory or count.
pub(super) type Number = Count<1, 10_000_000>;
/// A TCP port.
pub(super) type Port = Count<1, 65_535>;

/// A map with fixed keys, each of them optional for serde (what is required is checked with the meaning).
macro_rules! map {
    ($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $key:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $name { $($(#[$attribute])* pub(super) $key: Item<$type>,)* }
    };
    ($(#[$doc:meta])* $name:ident = $short:literal { $($body:tt)* }) => {
        map! { $(#[$doc])* $name { $($body)* } }
        impl ShortForm for $name {
            const NAME: &'static str = concat!("standfast::Short::", $short);
        }
    };
}

/// A choice of words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($word:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub(super) enum $name { $($word,)* }
    };
}

map! { /// The whole file.
File {
    workers: Count<1, 1024>,
    drain_timeout: Time,
    admin: Switch<Short<Admin>>,
    metrics: Short<Metrics>,
    state: Switch<Short<State>>,
    log: Short<Log>,
    access_log: Switch<Short<AccessLog>>,
    listeners: Vec<Item<Listener>>,
    services: Entries<Service>,
    dns: Dns,
    audit: Later,
    webhooks: Later,
    fleet: Later,
}}

map! { /// `dns:`
Dns {
    servers: Many<Nameserver>,
    timeout: Time,
}}

map! { /// `admin:`
Admin = "admin" {
    bind: BindAddress,
    tokens_file: Later,
    tls: Switch<Later>,
}}

map! { /// `metrics:`
Metrics = "metrics" {
    bind: BindAddress,
    detail: MetricsDetail,
}}

words! { /// `metrics.detail`
MetricsDetail { Full, Lean, }}

map! { /// `state:`
State = "state" {
    path: String,
    max_age: Time,
}}

map! { /// `log:`
Log = "filter" {
    filter: String,
    format: LogFormat,
}}

words! { /// `log.format`
LogFormat { Auto, Human, Json, }}

map! { /// `access_log:`
AccessLog = "access_log" {
    path: String,
    format: AccessFormat,
}}

words! { /// `access_log.format`
AccessFormat { Json, Common, Combined, }}

words! { /// `protocol` of a listener or a service
Protocol { Http, Tcp, Udp, }}

map! { /// An item of `listeners:`
Listener {
    name: String,
    bind: Many<BindAddress>,
    protocol: Protocol,
    timeouts: ListenerTimeouts,
    limits: ListenerLimits,
    forwarded: Forwarded,
    routes: Vec<Item<Short<Route>>>,
    service: String,
    tls: Switch<ListenerTls>,
    proxy_protocol: Switch<Short<ProxyProtocol>>,
}}

map! { /// `tls:` of a listener
ListenerTls {
    certificates: Vec<Item<Certificate>>,
    unknown_name: UnknownName,
    min_version: TlsVersion,
    alpn: Many<String>,
    client_auth: Switch<ClientAuth>,
}}

map! { /// An item of `certificates:`
Certificate {
    cert: String,
    key: String,
}}

words! { /// `tls.unknown_name`
UnknownName { First, Refuse, }}

/// `tls.min_version`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum TlsVersion {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

map! { /// `tls.client_auth`
ClientAuth {
    mode: ClientAuthMode,
    ca: String,
}}

words! { /// `tls.client_auth.mode`
ClientAuthMode { Off, Optional, Required, }}

map! { /// `proxy_protocol:` of a listener
ProxyProtocol = "required" {
    required: Must,
    trusted: Many<Network>,
}}

map! { /// `timeouts:` of a listener
ListenerTimeouts {
    handshake: Time,
    header: Time,
    body: Time,
    idle: Time,
}}

map! { /// `limits:` of a listener
ListenerLimits {
    max_connections: Number,
    header_bytes: Bytes,
    headers: Count<1, 10_000>,
    streams: Count<1, 10_000>,
}}

words! { /// `forwarded:`
Forwarded { Append, Replace, Off, }}

map! { /// An item of `routes:`
Route = "service" {
    #[serde(rename = "match")]
    matches: Match,
    service: String,
    request_headers: HeaderChanges,
    response_headers: HeaderChanges,
    timeouts: RouteTimeouts,
    upgrades: Switch<Many<String>>,
}}

map! { /// `match:`
Match {
    host: String,
    path: String,
    path_prefix: String,
    method: Many<String>,
    headers: Entries<Short<HeaderMatch>>,
    sni: String,
    alpn: Many<String>,
}}

map! { /// A value under `match.headers`
HeaderMatch = "exact" {
    exact: String,
    present: bool,
}}

map! { /// `request_headers:` and `response_headers:`
HeaderChanges {
    set: Entries<String>,
    add: Entries<String>,
    remove: Many<String>,
}}

map! { /// `timeouts:` of a route
RouteTimeouts {
    response: Time,
    stall: Switch<Delay>,
}}

map! { /// A value under `services:`
Service {
    protocol: Protocol,
    mode: Mode,
    objectives: Objectives,
    balance: Balance,
    health_check: Switch<Short<HealthCheck>>,
    outlier_detection: Switch<OutlierDetection>,
    retry: Retry,
    limits: ServiceLimits,
    timeouts: ServiceTimeouts,
    failover: Failover,
    slow_start: Switch<Time>,
    hold_requests: Switch<Time>,
    hold_response: Bytes,
    pools: Vec<Item<Pool>>,
    upstream: Upstream,
}}

words! { /// `mode:`
Mode { ActivePassive, ActiveActive, }}

map! { /// `objectives:`
Objectives {
    rto: Time,
    rpo: Later,
}}

/// `balance:` — `hash` alone is `hash: source`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Balance {
    RoundRobin,
    LeastRequest,
    Random,
    Hash(Option<HashBy>),
}

/// `balance.hash`
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum HashBy {
    Source,
    Header(Item<String>),
    Cookie(Item<String>),
    Query(Item<String>),
}

map! { /// `retry:`
Retry {
    attempts: Count<1, 10>,
    on: Many<String>,
    per_try_timeout: Switch<Time>,
    budget: Share,
    cross_pool: CrossPool,
    replay_bytes: Bytes,
    hedge: Switch<Delay>,
}}

words! { /// `retry.cross_pool`
CrossPool { Safe, Idempotent, Never, }}

map! { /// `limits:` of a service
ServiceLimits {
    max_connections: Number,
    max_pending: Count<0, 10_000_000>,
    queue_timeout: Time,
}}

map! { /// `timeouts:` of a service
ServiceTimeouts {
    connect: Time,
    response: Time,
    body: Time,
    tunnel: Time,
    client: Time,
    upstream: Time,
    idle: Time,
    stall: Switch<Delay>,
}}

map! { /// `failover:`
Failover {
    min_healthy: Count<1, 10_000>,
    on_refused: OnRefused,
    on_all_down: OnAllDown,
    sessions: Sessions,
    drain_timeout: Time,
    max_failovers: MaxFailovers,
    failback: Short<Failback>,
    damping: Switch<Time>,
    confirm_window: Switch<Time>,
    on_multiple_primaries: Later,
    lease: Later,
    promote: Later,
}}

words! { /// `failover.on_refused`
OnRefused { Verdict, Checks, }}

words! { /// `failover.on_all_down`
OnAllDown { FailOpen, FailClosed, }}

words! { /// `failover.sessions`
Sessions { Drain, Close, }}

map! { /// `failover.max_failovers`
MaxFailovers {
    count: Count<1, 1000>,
    per: Time,
}}

map! { /// `failover.failback`
Failback = "mode" {
    mode: FailbackMode,
    hold_down: Time,
    window: Later,
    ramp: Later,
}}

words! { /// `failover.failback.mode`
FailbackMode { Auto, Manual, Window, Ramp, }}

map! { /// An item of `pools:`
Pool {
    name: String,
    priority: Count<0, 1000>,
    weight: Count<1, 1000>,
    endpoints: Listed<Short<Endpoint>>,
    static_response: Short<StaticResponse>,
    health_check: Switch<Short<HealthCheck>>,
    outlier_detection: Switch<OutlierDetection>,
    discovery: Later,
}}

map! { /// An item of `endpoints:`
Endpoint = "address" {
    address: Address,
    name: String,
    weight: Count<0, 1000>,
    max_connections: Number,
    check_port: Port,
    dns: String,
    srv: String,
    family: Family,
}}

words! { /// `family` of an endpoint that DNS names
Family { Auto, Ipv4, Ipv6, All, }}

map! { /// `static_response:`
StaticResponse = "static_response" {
    status: Count<200, 599>,
    content_type: String,
    headers: Entries<String>,
    body: String,
    body_file: String,
}}

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

map! { /// `outlier_detection:`
OutlierDetection {
    consecutive_failures: Count<1, 10_000>,
    failure_rate: Switch<Share>,
    min_requests: Count<1, 1_000_000>,
    base_ejection: Time,
    max_ejection: Time,
    max_ejected: Share,
    evidence: EvidenceRule,
    failures: Many<String>,
}}

words! { /// `outlier_detection.evidence`
EvidenceRule { Corroborated, Any, }}

map! { /// `upstream:`
Upstream {
    protocol: UpstreamProtocol,
    keepalive: OnOff,
    tls: Switch<Toggle<UpstreamTls>>,
    proxy_protocol: Switch<ProxyVersion>,
}}

map! { /// `upstream.tls`, and `tls` of a check
UpstreamTls {
    ca: String,
    sni: String,
    client_cert: String,
    client_key: String,
    min_version: TlsVersion,
    insecure_skip_verify: bool,
}}

words! { /// `upstream.proxy_protocol`
ProxyVersion { V1, V2, }}

words! { /// `upstream.protocol`
UpstreamProtocol { Http1, Http2, Auto, }}

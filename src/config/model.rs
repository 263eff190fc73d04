//! What is meant: the configuration with every default filled in. Every value here is valid by construction of the
//! reader in this room; nothing below re-checks it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Bind;

/// The name of a service, pool, listener or check: cheap to clone, compared by content.
pub type Name = Arc<str>;

/// Can this be such a name? It becomes a metric label, a word of the command line and part of paths in messages.
pub fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(good)
}

/// Is it a DNS name: no address, no port, no dot at its end?
pub fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(good) && !label.starts_with('-') && !label.ends_with('-')
    };
    let last_is_number = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 253 && !last_is_number && text.split('.').all(label)
}

/// A text that may be a secret: dumps and debug output have `***` in its place.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// What is written in place of a secret.
    pub const HIDDEN: &str = "***";

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is written in place of this one: nothing in place of nothing.
    pub fn hidden(&self) -> &'static str {
        if self.0.is_empty() { "" } else { Secret::HIDDEN }
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(text)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(Secret::HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Secret::HIDDEN)
    }
}

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Data-plane threads; `None` = one per available core. Changes only by restart.
    pub workers: Option<usize>,
    /// How long work in flight may go on after a stop, a reload or a switch.
    pub drain_timeout: Duration,
    /// The admin port: `/metrics`, `/livez`, `/readyz`, `/status`. `None` = no admin port.
    pub admin: Option<Admin>,
    /// A port of its own for `/metrics`; `None` = on the admin port.
    pub metrics: Option<Bind>,
    /// How much `/metrics` tells of each endpoint.
    #[serde(default)]
    pub metrics_detail: MetricsDetail,
    /// Where decisions survive a restart; `None` = nothing persists.
    pub state: Option<StateFile>,
    /// The application log.
    pub log: Log,
    /// The access log; `None` = off (the default).
    pub access_log: Option<AccessLog>,
    /// Addresses we accept on, in the order of the file.
    pub listeners: Vec<Arc<Listener>>,
    /// Units of failover, in the order of the file.
    pub services: Vec<Arc<Service>>,
    /// How names of endpoints are looked up.
    pub dns: Dns,
}

/// How names are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// Whom we ask, in this order; none = as `/etc/resolv.conf` says, which is read again every 30 s.
    pub servers: Vec<SocketAddr>,
    /// How long one server may take to answer one question.
    pub timeout: Duration,
}

impl Default for Dns {
    fn default() -> Dns {
        Dns { servers: Vec::new(), timeout: super::defaults::DNS_TIMEOUT }
    }
}

/// The admin port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Admin {
    /// Where to listen.
    pub bind: Bind,
}

/// How much `/metrics` tells of each endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricsDetail {
    /// Everything.
    #[default]
    Full,
    /// Its standing, its exchanges and its connections in use; the rest is summed up by pool.
    Lean,
}

/// The file that holds the decision state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateFile {
    /// Written aside and renamed.
    pub path: PathBuf,
    /// An older file is ignored, loudly.
    pub max_age: Duration,
}

/// The application log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// A `tracing` filter directive such as `info` or `standfast::control=debug`.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// One readable line an event.
    Human,
    /// One JSON object a line.
    Json,
}

/// The access log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessLog {
    /// A file to append to; `None` = standard output.
    pub path: Option<PathBuf>,
    /// How lines look.
    pub format: AccessFormat,
}

/// How access-log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessFormat {
    /// One JSON object a line, with tries, endpoint, pool, epoch and termination cause.
    Json,
    /// The Common Log Format (NCSA), followed by the same as `key=value`.
    Common,
    /// Apache's combined log format: the Common Log Format, `Referer` and `User-Agent`, and nothing else.
    Combined,
}

/// What a listener or a service speaks. (`udp` is refused as not supported yet.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Layer 7: HTTP/1.
    Http,
    /// Layer 4: bytes.
    Tcp,
}

/// An address (or several) we accept on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Unique.
    pub name: Name,
    /// One or several addresses, IPv6 included.
    pub bind: Vec<Bind>,
    /// `http` or `tcp`.
    pub protocol: Protocol,
    /// Deadlines towards the client.
    pub timeouts: ListenerTimeouts,
    /// Bounds towards the client.
    pub limits: ListenerLimits,
    /// What `X-Forwarded-*` we send upstream.
    pub forwarded: Forwarded,
    /// TLS is terminated here; `None` = connections are in the clear.
    pub tls: Option<ListenerTls>,
    /// Connections begin with a PROXY header; `None` = it is not looked for.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Where accepted work goes.
    pub target: Target,
}

/// Where a listener's work goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// HTTP: the most specific matching route; see `routing::matching` for the order.
    Routes(Vec<Arc<Route>>),
    /// TCP: always this service.
    Service(Name),
    /// TCP, passed through: by what the client's TLS handshake asks for. The first route that takes it wins.
    Sni(Vec<Arc<SniRoute>>),
}

/// One route of a TCP listener that looks into the ClientHello and passes TLS through untouched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SniRoute {
    /// The server name asked for; `None` = any, and clients that name none.
    pub sni: Option<HostMatch>,
    /// One of these protocols is offered; empty = any.
    pub alpn: Vec<String>,
    /// The service's name; it exists and speaks TCP.
    pub service: Name,
}

/// TLS towards clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerTls {
    /// At least one; which of them is shown is decided by the server name that the client asks for.
    pub certificates: Vec<Certificate>,
    /// What a client gets that asks for a name no certificate has, or for none.
    pub unknown_name: UnknownName,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
    /// Protocols offered, the preferred one first; empty = ALPN is not spoken.
    pub alpn: Vec<String>,
    /// Certificates of clients; `None` = they are not asked for one.
    pub client_auth: Option<ClientAuth>,
}

/// A certificate chain and its private key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Certificate {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// What a client gets that asks for a name no certificate has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownName {
    /// The first certificate of the list: it decides.
    First,
    /// The handshake is refused (`unrecognized_name`).
    Refuse,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3
    #[serde(rename = "1.3")]
    Tls13,
}

/// Certificates of clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientAuth {
    /// A client without one is refused. (One with a wrong one always is.)
    pub required: bool,
    /// Who may have signed them: a PEM file.
    pub ca: PathBuf,
}

/// PROXY headers (HAProxy's PROXY protocol, versions 1 and 2) in front of what clients send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProxyProtocol {
    /// A connection without one is closed. Otherwise connections from trusted networks may have one.
    pub required: bool,
    /// Whose headers are believed; from anywhere else a connection is closed where it is required, and is read as if there
    /// were no PROXY protocol where it is not. Empty = everybody's (only with `required`).
    pub trusted: Vec<ipnet::IpNet>,
}

/// Deadlines towards the client. None of them is extended by one byte at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerTimeouts {
    /// The PROXY header, the TLS handshake, and the ClientHello of what is passed through: together.
    pub handshake: Duration,
    /// From the first byte of a request head (or the accept) to its end.
    pub header: Duration,
    /// Longest pause between two reads of a request body, or two writes of a response that the client does not take.
    pub body: Duration,
    /// Longest silence of a keep-alive connection between requests.
    pub idle: Duration,
}

/// Bounds towards the client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerLimits {
    /// Connections at once over all workers.
    pub max_connections: usize,
    /// Bytes of a request head; beyond: 431.
    pub header_bytes: usize,
    /// Number of header fields; beyond: 431.
    pub headers: usize,
    /// Requests at once on one HTTP/2 connection (`SETTINGS_MAX_CONCURRENT_STREAMS`).
    pub streams: u32,
}

/// What we tell the upstream about the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forwarded {
    /// Append the peer to `X-Forwarded-For`; set `-Proto`; keep `-Host` if present, else set it.
    Append,
    /// Remove what the client claimed and set all three. (default)
    Replace,
    /// Send none and remove what the client claimed.
    Off,
}

/// One route of an HTTP listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// What it takes.
    pub matches: Match,
    /// The service's name; it exists and speaks HTTP.
    pub service: Name,
    /// Changes to the request's header on its way up.
    pub request_headers: HeaderChanges,
    /// Changes to the response's header on its way down.
    pub response_headers: HeaderChanges,
    /// Overrides of the service's timeouts.
    pub timeouts: RouteTimeouts,
    /// Protocols that a client may switch to by `Upgrade` (lower case, such as `websocket`).
    pub upgrades: Vec<String>,
}

/// All conditions must hold; an empty match takes everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Match {
    /// Host of the request, without port, compared case-insensitively.
    pub host: Option<HostMatch>,
    /// Path of the request.
    pub path: Option<PathMatch>,
    /// One of these methods; empty = any.
    pub methods: Vec<String>,
    /// Each of these header fields: name in lower case, and the exact value (`None` = only present).
    pub headers: Vec<(String, Option<String>)>,
}

/// How a host is matched.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostMatch {
    /// In lower case.
    Exact(String),
    /// `*.example.com`, held as `.example.com` in lower case: one or more labels before it.
    Wildcard(String),
}

/// How a path is matched.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    /// The whole path, without the query.
    Exact(String),
    /// At a segment border: `/api` takes `/api` and `/api/x`, not `/apiary`; `/api/` takes what is below it only; `/`
    /// takes everything.
    Prefix(String),
}

/// Changes to a header, in this order: remove, set, add.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeaderChanges {
    /// Replace all fields of this name by one.
    pub set: Vec<(String, String)>,
    /// Append a field.
    pub add: Vec<(String, String)>,
    /// Remove all fields of this name (lower case).
    pub remove: Vec<String>,
}

/// A route's overrides of its service's timeouts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteTimeouts {
    /// See [`ServiceTimeouts::response`].
    pub response: Option<Duration>,
    /// See [`ServiceTimeouts::stall`].
    pub stall: Option<Patience>,
}

/// The unit that fails over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Unique.
    pub name: Name,
    /// What its endpoints speak.
    pub protocol: Protocol,
    /// One active pool, or weighted pools.
    pub mode: Mode,
    /// What its owner promises.
    pub objectives: Objectives,
    /// How an endpoint is picked inside a pool.
    pub balance: Balance,
    /// When a try is made again.
    pub retry: Retry,
    /// The circuit breaker.
    pub limits: ServiceLimits,
    /// Deadlines towards the upstream.
    pub timeouts: ServiceTimeouts,
    /// When and how the active pool changes.
    pub failover: Failover,
    /// An endpoint that joins a serving pool grows to its full weight over this time; zero = off.
    pub slow_start: Duration,
    /// How long requests may wait for a pool to come back when all are down; zero = not at all.
    pub hold_requests: Duration,
    /// Answers to safe methods with a known length up to this size are held until complete (bytes); 0 = off.
    pub hold_response: usize,
    /// How its endpoints are spoken to.
    pub upstream: Upstream,
    /// In order of priority; at least one.
    pub pools: Vec<Pool>,
}

/// How the endpoints of a service are spoken to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    /// The version of HTTP.
    pub protocol: UpstreamProtocol,
    /// Connections of HTTP/1 are kept for the next request. Never false where HTTP/2 may be spoken.
    pub keepalive: bool,
    /// Over TLS; `None` = in the clear.
    pub tls: Option<UpstreamTls>,
    /// Connections begin with a PROXY header about the client.
    pub proxy_protocol: Option<ProxyVersion>,
}

impl Upstream {
    /// HTTP/1.1 in the clear.
    pub const PLAIN: Upstream =
        Upstream { protocol: UpstreamProtocol::Http1, keepalive: true, tls: None, proxy_protocol: None };
}

/// The version of HTTP towards endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamProtocol {
    /// HTTP/1.1
    Http1,
    /// HTTP/2: over TLS by ALPN, in the clear with prior knowledge.
    Http2,
    /// Over TLS what the endpoint chooses; in the clear HTTP/1.1.
    Auto,
}

/// TLS towards endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UpstreamTls {
    /// Who may have signed their certificates: a PEM file; `None` = the system's roots.
    pub ca: Option<PathBuf>,
    /// The name asked for and verified; `None` = the endpoint's name, or its address where it has none.
    pub sni: Option<String>,
    /// Our certificate, for endpoints that ask for one.
    pub identity: Option<Certificate>,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
    /// Certificates are verified. Only `insecure_skip_verify: true` turns it off.
    pub verify: bool,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyVersion {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// How the pools of a service share its traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Exactly one pool at a time.
    ActivePassive,
    /// By pool weight; a lost pool's share goes to the others.
    ActiveActive,
}

/// What a service's owner promises.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Objectives {
    /// Recovery time objective: time without service.
    pub rto: Option<Duration>,
}

/// How an endpoint is picked inside a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// Smooth weighted round robin.
    RoundRobin,
    /// Power of two choices on requests in flight, by weight.
    LeastRequest,
    /// By weight.
    Random,
    /// Maglev over the client address.
    HashSource,
    /// Maglev over a request header (lower-case name); without it, the client address.
    HashHeader(String),
    /// Maglev over a cookie; without it, the client address.
    HashCookie(String),
    /// Maglev over a parameter of the query, decoded; without it, the client address.
    HashQuery(String),
}

/// When a try is made again ([manual::retries](crate::manual::retries)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Exchanges with bytes sent, the first included.
    pub attempts: u32,
    /// Which outcomes are worth another try.
    pub on: RetryOn,
    /// Deadline of one try; `None` = only the response timeout.
    pub per_try_timeout: Option<Duration>,
    /// Extra attempts as a share of client requests over 10 s (0.2 = 20 %), plus [`Retry::BUDGET_FLOOR`].
    pub budget: f64,
    /// May a failed request leave its pool before the switch.
    pub cross_pool: CrossPool,
    /// Request bodies up to this many bytes are kept for another try.
    pub replay_bytes: usize,
    /// When a safe request that waits for its answer is also sent elsewhere.
    pub hedge: Patience,
}

/// How long an answer may be waited for before something is done about it ([manual::health](crate::manual::health),
/// [manual::retries](crate::manual::retries)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Patience {
    /// As long as the route's answers usually take: max(250 ms, 3 × p99); 1 s before 100 answers are known.
    #[default]
    Auto,
    /// For ever: nothing is done.
    Off,
    /// So long.
    After(Duration),
}

impl Retry {
    /// Extra attempts any service may always make in a window: enough for the requests until a verdict on a pool of two.
    pub const BUDGET_FLOOR: u32 = 12;
    /// The window of the budget.
    pub const BUDGET_WINDOW: Duration = Duration::from_secs(10);
}

/// The outcomes that are worth another try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryOn {
    /// The connection was reset or closed before an answer, or the answer was malformed.
    pub reset: bool,
    /// No answer within the per-try timeout.
    pub timeout: bool,
    /// The upstream answered one of these statuses: ranges with both ends, in order, none of which meets another.
    pub statuses: Vec<(u16, u16)>,
}

impl RetryOn {
    /// Is an answer with this status worth another try?
    #[inline]
    pub fn has_status(&self, status: u16) -> bool {
        status >= 400 && self.statuses.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }

    /// No outcome is worth another try.
    pub fn is_empty(&self) -> bool {
        !self.reset && !self.timeout && self.statuses.is_empty()
    }
}

impl Default for RetryOn {
    fn default() -> RetryOn {
        RetryOn { reset: true, timeout: false, statuses: vec![super::defaults::RETRY_STATUSES] }
    }
}

/// May a failed request leave its pool before the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrossPool {
    /// GET, HEAD, OPTIONS without a body (HTTP's default).
    Safe,
    /// Idempotent methods too.
    Idempotent,
    /// Never (TCP's default).
    Never,
}

/// The circuit breaker, per service over all workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceLimits {
    /// Upstream connections in use at once.
    pub max_connections: usize,
    /// Requests waiting for one.
    pub max_pending: usize,
    /// How long one may wait (default: the connect timeout).
    pub queue_timeout: Duration,
}

/// Deadlines towards the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceTimeouts {
    /// TCP connect.
    pub connect: Duration,
    /// From *request fully sent* to the first byte of the final response head.
    pub response: Duration,
    /// Longest pause between two reads of a response body, or two writes of a request body.
    pub body: Duration,
    /// Longest silence of a TCP session in both directions.
    pub tunnel: Duration,
    /// Longest silence of a TCP session's client while something is due from it; `None` = only `tunnel` holds.
    pub client: Option<Duration>,
    /// The same of its endpoint.
    pub upstream: Option<Duration>,
    /// Longest life of an unused upstream connection.
    pub idle: Duration,
    /// From *request fully sent* to the first byte of the response: beyond it the endpoint is suspected.
    pub stall: Patience,
}

/// When and how the active pool changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failover {
    /// A pool with fewer usable endpoints than this is not available.
    pub min_healthy: usize,
    /// What a refusal by every endpoint means.
    pub on_refused: OnRefused,
    /// What happens when no pool is available.
    pub on_all_down: OnAllDown,
    /// What happens to the old pool's sessions.
    pub sessions: Sessions,
    /// How long drained sessions may go on.
    pub drain_timeout: Duration,
    /// Beyond it, elective switches are frozen.
    pub max_failovers: MaxFailovers,
    /// How the service comes home.
    pub failback: Failback,
    /// A forced failover within this time of a failback is a relapse: it doubles the hold-down, up to 8 ×; zero = off.
    pub damping: Duration,
    /// A new pool that fails within this time of a switch may be rolled back, once; zero = never.
    pub confirm_window: Duration,
}

/// What a refusal by every endpoint of the active pool means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRefused {
    /// Switch at once ([manual::one_failover](crate::manual::one_failover)).
    Verdict,
    /// Leave it to the checks and the outlier rules.
    Checks,
}

/// What happens when no pool is available.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnAllDown {
    /// Endpoints that fail only their checks go on serving (the default, of plain tcp services too).
    FailOpen,
    /// Nothing is served (what databases will default to).
    FailClosed,
}

/// What happens to the old pool's sessions at a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sessions {
    /// Finish within `drain_timeout` (the default, of plain tcp services too).
    Drain,
    /// Both sides reset at once.
    Close,
}

/// More outages than `count` in `per` freeze elective switches. Switches within `confirm_window` of the first are one outage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaxFailovers {
    /// How many.
    pub count: u32,
    /// In which time.
    pub per: Duration,
}

/// How the service comes home.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failback {
    /// By itself or by an operator. (`window` and ramps are refused as not supported yet.)
    pub mode: FailbackMode,
    /// How long home must have been healthy, counted from its recovery.
    pub hold_down: Duration,
}

/// Who decides that the service comes home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailbackMode {
    /// Standfast, after the hold-down.
    Auto,
    /// An operator.
    Manual,
}

/// A set of interchangeable endpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Unique in its service.
    pub name: Name,
    /// Its share in `active_active`.
    pub weight: u32,
    /// What it is made of.
    pub members: Members,
    /// Names that DNS turns into endpoints beside those.
    pub names: Vec<NamedEndpoints>,
    /// The effective check (service's, or the pool's own); `None` = endpoints are taken as healthy.
    pub health_check: Option<HealthCheck>,
    /// The effective in-band rule (service's, or the pool's own); `None` = off.
    pub outlier_detection: Option<OutlierDetection>,
}

impl Pool {
    /// It answers by itself, without endpoints.
    pub fn is_static(&self) -> bool {
        matches!(self.members, Members::Static(_))
    }
}

/// Endpoints that a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedEndpoints {
    /// What DNS is asked.
    pub question: Question,
    /// Share of each inside the pool, 0..=1000; `None` = what an SRV record says, else 1.
    pub weight: Option<u32>,
    /// As of [`Endpoint`], for each of them.
    pub max_connections: Option<usize>,
    /// As of [`Endpoint`], for each of them.
    pub check_port: Option<u16>,
}

/// What DNS is asked about a name. Two that are equal are asked once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Question {
    /// In lower case. One that ends in a dot is complete; others go through the search list of `/etc/resolv.conf`.
    pub name: Name,
    /// `None` = the name's SRV records say it (RFC 2782).
    pub port: Option<u16>,
    /// Which addresses count.
    pub family: Family,
}

impl Question {
    /// The name without the dot that ends a complete one.
    pub fn host(&self) -> &str {
        self.name.trim_end_matches('.')
    }
}

/// `app.internal:8080`, `_http._tcp.app.internal (SRV)`, `app.internal:8080 (IPv6)`
impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.name)?,
            None => write!(f, "{} (SRV)", self.name)?,
        }
        match self.family {
            Family::Auto => Ok(()),
            Family::Ipv4 => f.write_str(" (IPv4)"),
            Family::Ipv6 => f.write_str(" (IPv6)"),
            Family::All => f.write_str(" (all)"),
        }
    }
}

/// Which addresses of a name count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// IPv4 where it has any, else IPv6: a host with both is one endpoint, not two.
    Auto,
    /// A records only.
    Ipv4,
    /// AAAA records only.
    Ipv6,
    /// Both, each an endpoint.
    All,
}

/// What a pool is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Members {
    /// At least one, unless the pool has names. An address stands at most once in a service.
    Endpoints(Vec<Endpoint>),
    /// An answer of our own: it never fails.
    Static(Arc<StaticResponse>),
}

impl Members {
    /// The endpoints; none for a static response.
    pub fn endpoints(&self) -> &[Endpoint] {
        match self {
            Members::Endpoints(list) => list,
            Members::Static(_) => &[],
        }
    }
}

/// One upstream address. Within its service the address is its identity: whatever else changes, health and counters stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address and port.
    pub address: SocketAddr,
    /// What people call it; no two endpoints of a service have the same.
    pub name: Option<Name>,
    /// The name that DNS resolved to it; `None` = the configuration says the address. Certificates are verified for
    /// it, and checks ask for it.
    pub host: Option<Name>,
    /// Share inside the pool, 0..=1000; 0 = no new work, and what it has goes on.
    pub weight: u32,
    /// Connections in use at once over all workers; `None` = only the service's limit.
    pub max_connections: Option<usize>,
    /// The port that its checks ask, whatever the check says; `None` = the check's, else its own.
    pub check_port: Option<u16>,
}

impl Endpoint {
    /// An endpoint of which only the address is said.
    pub fn at(address: SocketAddr) -> Endpoint {
        Endpoint { address, name: None, host: None, weight: 1, max_connections: None, check_port: None }
    }
}

/// An answer of our own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StaticResponse {
    /// 200..=599.
    pub status: u16,
    /// Value of `Content-Type`.
    pub content_type: String,
    /// Further header fields.
    pub headers: Vec<(String, String)>,
    /// The body: given inline, or read from `body_file` when the configuration was loaded.
    pub body: String,
}

/// An out-of-band probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// What is asked.
    pub kind: CheckKind,
    /// The probe begins with a PROXY header that says it speaks for itself (default: as the service's traffic).
    pub proxy_protocol: Option<ProxyVersion>,
    /// Pause between two probes of an endpoint in a settled state.
    pub interval: Duration,
    /// Deadline of one probe.
    pub timeout: Duration,
    /// Pause while the endpoint is in transition.
    pub fast_interval: Duration,
    /// Bad probes in a row that make it unhealthy.
    pub fall: u32,
    /// Good probes in a row that make it healthy again (its first good probe is enough at the start).
    pub rise: u32,
    /// Random share by which each interval is stretched or shortened (0.1 = ± 10 %).
    pub jitter: f64,
}

/// What a probe asks. Pools share what their service says, and tasks what their pool says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// Connect, and nothing more.
    Tcp {
        /// Another port than the endpoint's.
        port: Option<u16>,
        /// A TLS handshake must succeed too.
        tls: Option<Arc<UpstreamTls>>,
    },
    /// One HTTP request.
    Http(Arc<HttpCheck>),
    /// `grpc.health.v1.Health/Check`.
    Grpc(Arc<GrpcCheck>),
}

/// A probe by the gRPC health checking protocol: good is `SERVING`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrpcCheck {
    /// The service asked for; empty = the server as a whole.
    pub service: String,
    /// Another port than the endpoint's.
    pub port: Option<u16>,
    /// Value of `:authority`; default: the address and port that are probed.
    pub host: Option<String>,
    /// For so long probes may go on on one connection; zero = each makes its own.
    pub reuse: Duration,
    /// Over TLS (default: as the service's traffic).
    pub tls: Option<UpstreamTls>,
}

/// An HTTP probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// Path and query.
    pub path: String,
    /// The method of each request: any token but `CONNECT`.
    pub method: String,
    /// Another port than the endpoint's.
    pub port: Option<u16>,
    /// Value of `Host`; default: the address and port that are probed.
    pub host: Option<String>,
    /// Another address than the endpoint's (rarely needed; the port rule is the same).
    pub address: Option<IpAddr>,
    /// Header fields that each probe sends.
    pub request_headers: Vec<(String, Secret)>,
    /// The body that each probe sends; `None` or empty = none.
    pub request_body: Option<Secret>,
    /// Inclusive ranges of good statuses.
    pub status: Vec<(u16, u16)>,
    /// Header fields that must be present with this value (name in lower case).
    pub headers: Vec<(String, String)>,
    /// The first 64 KiB of the body must contain this.
    pub body: Option<String>,
    /// The body is JSON and each pointer (RFC 6901) has this value.
    pub json: Vec<(String, serde_json::Value)>,
    /// For so long probes may go on on one connection; zero = each makes its own.
    pub reuse: Duration,
    /// The version of HTTP (default: as the service's traffic).
    pub protocol: UpstreamProtocol,
    /// Over TLS (default: as the service's traffic).
    pub tls: Option<UpstreamTls>,
}

/// In-band detection from real traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutlierDetection {
    /// Connect and gateway failures in a row that eject an endpoint.
    pub consecutive_failures: u32,
    /// Share of failures within [`OutlierDetection::WINDOW`] that ejects (0.5 = 50 %); `None` = off. With
    /// [`EvidenceRule::Corroborated`] every client network has the same weight in it.
    pub failure_rate: Option<f64>,
    /// Exchanges within the window below which the rate says nothing.
    pub min_requests: u32,
    /// First ejection; the n-th lasts n times as long.
    pub base_ejection: Duration,
    /// Longest ejection.
    pub max_ejection: Duration,
    /// Largest share of a pool that may be ejected while no lower pool can serve (0.5 = half, at least one endpoint of
    /// a pool that has two).
    pub max_ejected: f64,
    /// What failures must have in common, and what not, before they eject.
    pub evidence: EvidenceRule,
    /// Which outcomes are failures at all.
    pub failures: Failures,
}

impl OutlierDetection {
    /// The window of the failure rate.
    pub const WINDOW: Duration = Duration::from_secs(10);
}

/// Which failures of exchanges eject an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceRule {
    /// Those that are about the endpoint: not about one client, one request or one route.
    #[default]
    Corroborated,
    /// All of them.
    Any,
}

/// The outcomes that count as failures of an endpoint. A refused or unanswered connect always does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// The connection broke before an answer began.
    pub reset: bool,
    /// No answer in time.
    pub timeout: bool,
    /// The answer broke the protocol.
    pub malformed: bool,
    /// The answer began and broke off.
    pub cut: bool,
    /// Statuses, as ranges with both ends, in order, none of which meets another. `UNAVAILABLE` of gRPC counts as 503.
    pub statuses: Vec<(u16, u16)>,
}

impl Failures {
    /// Does an answer with this status count?
    #[inline]
    pub fn has_status(&self, status: u16) -> bool {
        status >= 400 && self.statuses.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}

impl Default for Failures {
    fn default() -> Failures {
        Failures { reset: true, timeout: true, malformed: true, cut: true, statuses: vec![(502, 504)] }
    }
}

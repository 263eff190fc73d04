//! What the access log says of one request or TCP session.

use std::net::SocketAddr;
use std::time::Duration;

use super::labels::labels;

/// One finished request or TCP session. Bytes from the wire are given as they came: the formatter escapes and shortens
/// them. Empty fields are left out.
#[derive(Clone, Debug)]
pub struct AccessRecord<'a> {
    /// Wall-clock time of its beginning, in milliseconds since the Unix epoch.
    pub began_unix_millis: u64,
    /// The listener's name.
    pub listener: &'a str,
    /// The address of the client.
    pub client: SocketAddr,
    /// The request's method; empty for a TCP session.
    pub method: &'a [u8],
    /// The request's target as it was sent; empty for a TCP session.
    pub target: &'a [u8],
    /// `HTTP/1.1`; empty for a TCP session.
    pub version: &'a str,
    /// The effective host.
    pub host: &'a [u8],
    /// `X-Request-Id` as it was sent upstream.
    pub request_id: &'a [u8],
    /// The `User-Agent` field.
    pub user_agent: &'a [u8],
    /// The `Referer` field.
    pub referer: &'a [u8],
    /// The status of the response to the client; `None` without one.
    pub status: Option<u16>,
    /// The service; empty when no route took it.
    pub service: &'a str,
    /// The pool of the last try; empty when there was none.
    pub pool: &'a str,
    /// The endpoint of the last try; `None` when there was none, or the pool is a static response.
    pub endpoint: Option<SocketAddr>,
    /// What the configuration calls that endpoint; empty when it has no name.
    pub endpoint_name: &'a str,
    /// Epoch of the table that the last try was picked from.
    pub epoch: u64,
    /// Exchanges with endpoints, failed connects included.
    pub tries: u32,
    /// Why each try after the first was made; empty when there was none.
    pub retried: &'a str,
    /// The rule that the last malformed answer of an endpoint broke, as `standfast_malformed_replies_total` names it; empty when
    /// there was none.
    pub malformed: &'a str,
    /// Bytes received from the client: request body, or all of a TCP session.
    pub received: u64,
    /// Bytes sent to the client: response body, or all of a TCP session.
    pub sent: u64,
    /// From the first byte of the request (or the accept) to its end.
    pub duration: Duration,
    /// From the same beginning to the first byte of the answer; `None` when there was none.
    pub first_byte: Option<Duration>,
    /// How it ended.
    pub termination: Termination,
}

labels! {
/// How a request or session ended.
Termination {
    /// Completely.
    Complete = "complete",
    /// The client closed the connection.
    ClientAborted = "client_aborted",
    /// The client was too slow to send or to take.
    ClientTimeout = "client_timeout",
    /// The request was malformed: see `standfast_protocol_refusals_total`.
    Refused = "refused",
    /// No route takes it.
    Unrouted = "unrouted",
    /// A forwarding loop: an endpoint leads back to this proxy.
    Loop = "loop",
    /// No pool could serve.
    Down = "down",
    /// A limit of the service, or the wait for it.
    Overloaded = "overloaded",
    /// No endpoint could be connected to.
    UpstreamConnect = "upstream_connect",
    /// The endpoint closed or reset.
    UpstreamReset = "upstream_reset",
    /// The endpoint was too slow.
    UpstreamTimeout = "upstream_timeout",
    /// The endpoint's response was malformed.
    UpstreamMalformed = "upstream_malformed",
    /// Nothing moved for the idle time.
    Idle = "idle",
    /// A TCP session's client was silent for `timeouts.client`.
    ClientIdle = "client_idle",
    /// A TCP session's endpoint was silent for `timeouts.upstream`.
    UpstreamIdle = "upstream_idle",
    /// Cut by a switch (`sessions: close`, or its drain ran out).
    Switched = "switched",
    /// Cut by a stop.
    Stopped = "stopped",
    /// Cut because of ourselves: out of descriptors or a bug.
    Internal = "internal",
    /// No endpoint could be connected to for want of descriptors, ports or memory of ours.
    LocalError = "local_error",
} }

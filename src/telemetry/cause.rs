//! Why a request got an answer of Standfast's own: the values of the field `Standfast-Cause`.

use super::labels::labels;

/// A value of `Standfast-Cause`. A malformed request has the name of the rule that it broke instead
/// ([`Error::reason`](crate::wire::h1::Error::reason)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// No route takes the request.
    NoRoute,
    /// The request came back through too many proxies of this kind.
    Loop,
    /// The request did not arrive in time.
    RequestTimeout,
    /// A reload removed the listener.
    Reloaded,
    /// A limit of the service, or the wait for it.
    Overloaded,
    /// No descriptors, ports or memory on this side.
    LocalError,
    /// No answer in time.
    UpstreamTimeout,
    /// The connection broke before an answer.
    UpstreamReset,
    /// The answer was malformed.
    UpstreamMalformed,
    /// The answer had a status that is retried, and it was not kept.
    UpstreamStatus,
    /// No endpoint could be connected to.
    UpstreamConnect,
    /// The service has not chosen its first pool.
    Starting,
    /// No pool can serve.
    Down,
}

labels! { Cause {
    NoRoute = "no_route",
    Loop = "loop",
    RequestTimeout = "request_timeout",
    Reloaded = "reloaded",
    Overloaded = "overloaded",
    LocalError = "local_error",
    UpstreamTimeout = "upstream_timeout",
    UpstreamReset = "upstream_reset",
    UpstreamMalformed = "upstream_malformed",
    UpstreamStatus = "upstream_status",
    UpstreamConnect = "upstream_connect",
    Starting = "starting",
    Down = "down",
} }

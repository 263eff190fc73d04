//! Why a request got an answer of Standfast's own: the values of the field `Standfast-Cause`.

use super::labels::labels;

labels! {
/// A value of `Standfast-Cause`. A malformed request has the name of the rule that it broke instead
/// ([`Error::reason`](crate::wire::h1::Error::reason)).
Cause {
    /// No route takes the request.
    NoRoute = "no_route",
    /// The request came back through too many proxies of this kind.
    Loop = "loop",
    /// The request did not arrive in time.
    RequestTimeout = "request_timeout",
    /// A reload removed the listener.
    Reloaded = "reloaded",
    /// A limit of the service, or the wait for it.
    Overloaded = "overloaded",
    /// No descriptors, ports or memory on this side.
    LocalError = "local_error",
    /// No answer in time.
    UpstreamTimeout = "upstream_timeout",
    /// The connection broke before an answer.
    UpstreamReset = "upstream_reset",
    /// The answer was malformed.
    UpstreamMalformed = "upstream_malformed",
    /// The answer had a status that is retried, and it was not kept.
    UpstreamStatus = "upstream_status",
    /// No endpoint could be connected to.
    UpstreamConnect = "upstream_connect",
    /// The service has not chosen its first pool.
    Starting = "starting",
    /// No pool can serve.
    Down = "down",
} }

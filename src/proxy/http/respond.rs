//! The answers of this proxy itself when a request fails: the one place that maps failures to statuses.

use crate::proxy::upstream::SelectError;
use crate::routing::{GiveUpReason, TryFailure};
use crate::sys::clock;
use crate::telemetry::cause::Cause;
use crate::wire::h1::{Error, OwnReply};

/// Seconds after which a client should try again.
const RETRY_AFTER: &str = "1";

/// An answer of this proxy itself to a request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAnswer {
    /// The status.
    pub status: u16,
    /// A stable word, also sent as `Standfast-Cause`. It discloses nothing about the endpoints.
    pub cause: &'static str,
    /// For people.
    pub explanation: &'static str,
}

const fn refusal(status: u16, cause: Cause, explanation: &'static str) -> LocalAnswer {
    LocalAnswer { status, cause: cause.as_str(), explanation }
}

impl LocalAnswer {
    /// No route takes the request.
    pub const NO_ROUTE: LocalAnswer = refusal(404, Cause::NoRoute, "No route takes this request.");
    /// The request has passed through this proxy, or others of its kind, too often.
    pub const LOOP: LocalAnswer = refusal(508, Cause::Loop, "The request goes round in a circle of proxies.");
    /// The request did not come in time.
    pub const SLOW: LocalAnswer = refusal(408, Cause::RequestTimeout, "The request did not arrive in time.");
    /// The listener is gone.
    pub const LISTENER_GONE: LocalAnswer = refusal(503, Cause::Reloaded, "This listener was removed; connect again.");

    /// The request is malformed.
    pub fn malformed(error: Error) -> LocalAnswer {
        let explanation = "The request is malformed or not supported.";
        LocalAnswer { status: error.status(), cause: error.reason(), explanation }
    }

    /// No endpoint was found, or none answered. `last`: how the last try failed.
    pub fn unselected(unselected: SelectError, last: Option<TryFailure>) -> LocalAnswer {
        match (unselected, last) {
            (SelectError::Limited(_) | SelectError::GaveUp(GiveUpReason::Full), _) => {
                refusal(503, Cause::Overloaded, "The service has as much work as it may.")
            }
            (SelectError::GaveUp(GiveUpReason::Local), _) | (_, Some(TryFailure::Local)) => {
                refusal(503, Cause::LocalError, "The proxy could not open a connection for a reason of its own.")
            }
            (_, Some(TryFailure::Timeout | TryFailure::Condemned)) => {
                refusal(504, Cause::UpstreamTimeout, "The service did not answer in time.")
            }
            (_, Some(TryFailure::Reset | TryFailure::Unprocessed)) => {
                refusal(502, Cause::UpstreamReset, "The service closed the connection before it answered.")
            }
            (_, Some(TryFailure::Malformed)) => {
                refusal(502, Cause::UpstreamMalformed, "The service's answer is malformed.")
            }
            (_, Some(TryFailure::Status(status))) => refusal(status, Cause::UpstreamStatus, "The service failed."),
            (
                _,
                Some(TryFailure::Refused | TryFailure::ConnectTimeout | TryFailure::Handshake | TryFailure::NoRoute),
            ) => refusal(503, Cause::UpstreamConnect, "The service cannot be reached."),
            (SelectError::GaveUp(GiveUpReason::Starting), None) => {
                refusal(503, Cause::Starting, "The service is starting.")
            }
            (_, None) => refusal(503, Cause::Down, "The service is down."),
        }
    }

    /// The body.
    pub fn text(&self, id: &str) -> String {
        let name = http::StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        let (status, name, explanation) = (self.status, name.unwrap_or("Error"), self.explanation);
        if id.is_empty() {
            return format!("{status} {name}\n{explanation}\n");
        }
        format!("{status} {name}\n{explanation}\nRequest {id}\n")
    }

    /// The reply with this body.
    pub fn reply<'t>(&self, text: &'t str) -> OwnReply<'t> {
        OwnReply {
            status: self.status,
            content_type: "text/plain; charset=utf-8",
            body: text.as_bytes(),
            unix_seconds: clock::unix_millis() / 1000,
        }
    }

    /// Its further fields.
    pub fn fields<'i>(&self, id: &'i str) -> Vec<(&'static str, &'i str)>
    where
        'static: 'i,
    {
        let mut fields = vec![("Standfast-Cause", self.cause), ("Cache-Control", "no-store")];
        if !id.is_empty() {
            fields.push(("X-Request-Id", id));
        }
        if self.status == 503 {
            fields.push(("Retry-After", RETRY_AFTER));
        }
        fields
    }
}

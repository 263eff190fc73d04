//! The endpoint's side of one exchange, whatever protocol it speaks.

use std::task::{Context, Poll};

use super::body::RequestBody;
use super::client::{BodySource, ClientExchange, ClientFault};
use crate::wire::h1::{Error, ResponseHead};

/// Why a request could not be sent on.
#[derive(Debug)]
pub enum SendFault {
    /// A newer table was published before the first byte: pick again.
    Stale,
    /// The client failed.
    Client(ClientFault),
    /// The connection failed. A reply may have come before it did.
    Upstream,
}

/// Why a reply is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyFault {
    /// The connection was closed or reset. `begun`: after part of the reply.
    Cut {
        /// Some of the reply had come.
        begun: bool,
    },
    /// The endpoint said that it did not process the request, and will not. `persists`: it has refused every one lately.
    Unprocessed {
        /// It is evidence against the endpoint.
        persists: bool,
    },
    /// The reply is malformed.
    Malformed,
    /// The client does not take it any more.
    Client,
}

/// The endpoint's side of one exchange: the request goes out while the reply comes in. HTTP/1 implements it over a
/// connection, HTTP/2 over a stream. Dropped before its end it is cancelled at the endpoint.
pub trait UpstreamExchange {
    /// Sends on. `still_holds` is called immediately before the first byte. `Ready(Ok)`: the request is sent.
    fn poll_send<S: BodySource>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        body: &mut RequestBody,
        still_holds: impl Fn() -> bool,
    ) -> Poll<Result<(), SendFault>>;

    /// Is there still something of the request to send?
    fn is_sending(&self) -> bool;

    /// The whole request is on its way.
    fn is_sent(&self) -> bool;

    /// Is some of the request waiting for the endpoint to take it?
    fn waits_for_upstream(&self, body: &RequestBody) -> bool;

    /// Waits for the next head of the reply, interim or final: [`UpstreamExchange::reply`] is it.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReplyFault>>;

    /// The rule that the reply broke, once it is malformed, and what was being read then (of HTTP/2 nothing).
    fn broken_rule(&self) -> Option<(Error, &[u8])>;

    /// The head that came last.
    fn reply(&self) -> &ResponseHead;

    /// The length of the reply's body, where it is known and not all of it has come.
    fn lacks(&self) -> Option<usize>;

    /// Waits until all of the body (of `length` bytes) is here.
    fn poll_hold(&mut self, cx: &mut Context<'_>, length: usize) -> Poll<Result<(), ReplyFault>>;

    /// Relays the reply's body to the client, to its end. What is queued for the client is written when there is nothing
    /// more to put behind it.
    fn poll_relay<C: ClientExchange>(&mut self, cx: &mut Context<'_>, client: &mut C) -> Poll<Result<(), ReplyFault>>;

    /// Is some of the reply waiting for the client to take it?
    fn waits_for_client(&self) -> bool;

    /// Takes up the reply's body if all of it is here, without passing it on.
    fn skip(&mut self);

    /// Bytes of the request that are on their way. More than zero: the endpoint may act on it.
    fn sent(&self) -> u64;

    /// Bytes of the reply that have come.
    fn received(&self) -> u64;

    /// What was sent is not acknowledged, and the kernel has sent it again.
    fn is_unacknowledged(&self) -> bool;

    /// The endpoint did not answer in time: it is not known whether its connection is still any good.
    fn distrust(&self) {}

    /// Was its connection lost, and counted for another exchange already? A lost connection is one failure, however many streams
    /// it carried.
    fn is_told(&self) -> bool {
        false
    }

    /// Cancels the exchange at the endpoint, now: the reply is no longer needed.
    fn abandon(&mut self);
}

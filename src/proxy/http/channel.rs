//! One exchange, over a connection of its own or a stream of a shared one.

use std::task::{Context, Poll};

use super::body::RequestBody;
use super::client::{BodySource, ClientExchange};
use super::exchange::{ReplyFault, SendFault, UpstreamExchange};
use super::h1::H1Exchange;
use super::h2::H2Exchange;
use crate::net::Transport;
use crate::wire::h1::{Error, ResponseHead};

/// One exchange, by the kind of its connection.
#[allow(clippy::large_enum_variant, reason = "the usual one is not boxed")]
pub(super) enum ExchangeChannel<'a> {
    /// Over a connection of its own.
    Own(H1Exchange<'a, Transport>),
    /// Over a stream of a connection that others share. Boxed, so that requests over HTTP/1 need no room for it.
    Shared(Box<H2Exchange<'a>>),
}

/// The same call on either kind.
macro_rules! on_either {
    ($self:ident, $exchange:ident => $call:expr) => {
        match $self {
            ExchangeChannel::Own($exchange) => $call,
            ExchangeChannel::Shared($exchange) => $call,
        }
    };
}

impl UpstreamExchange for ExchangeChannel<'_> {
    #[inline]
    fn poll_send<S: BodySource>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        body: &mut RequestBody,
        still_holds: impl Fn() -> bool,
    ) -> Poll<Result<(), SendFault>> {
        on_either!(self, exchange => exchange.poll_send(cx, source, body, still_holds))
    }

    fn is_sending(&self) -> bool {
        on_either!(self, exchange => exchange.is_sending())
    }

    fn is_sent(&self) -> bool {
        on_either!(self, exchange => exchange.is_sent())
    }

    fn waits_for_upstream(&self, body: &RequestBody) -> bool {
        on_either!(self, exchange => exchange.waits_for_upstream(body))
    }

    #[inline]
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReplyFault>> {
        on_either!(self, exchange => exchange.poll_head(cx))
    }

    fn broken_rule(&self) -> Option<(Error, &[u8])> {
        on_either!(self, exchange => exchange.broken_rule())
    }

    fn reply(&self) -> &ResponseHead {
        on_either!(self, exchange => exchange.reply())
    }

    fn lacks(&self) -> Option<usize> {
        on_either!(self, exchange => exchange.lacks())
    }

    fn poll_hold(&mut self, cx: &mut Context<'_>, length: usize) -> Poll<Result<(), ReplyFault>> {
        on_either!(self, exchange => exchange.poll_hold(cx, length))
    }

    #[inline]
    fn poll_relay<C: ClientExchange>(&mut self, cx: &mut Context<'_>, client: &mut C) -> Poll<Result<(), ReplyFault>> {
        on_either!(self, exchange => exchange.poll_relay(cx, client))
    }

    fn waits_for_client(&self) -> bool {
        on_either!(self, exchange => exchange.waits_for_client())
    }

    fn skip(&mut self) {
        on_either!(self, exchange => exchange.skip());
    }

    fn sent(&self) -> u64 {
        on_either!(self, exchange => exchange.sent())
    }

    fn received(&self) -> u64 {
        on_either!(self, exchange => exchange.received())
    }

    fn is_unacknowledged(&self) -> bool {
        on_either!(self, exchange => exchange.is_unacknowledged())
    }

    fn distrust(&self) {
        on_either!(self, exchange => exchange.distrust());
    }

    fn is_told(&self) -> bool {
        on_either!(self, exchange => exchange.is_told())
    }

    fn abandon(&mut self) {
        on_either!(self, exchange => exchange.abandon());
    }
}

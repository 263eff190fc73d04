//! The head of a request as it is sent to endpoints, encoded again for each try.

use super::account::{MadeId, id_of};
use super::channel::ExchangeChannel;
use super::h1::H1Exchange;
use super::h2::H2Exchange;
use crate::config::Route;
use crate::proxy::upstream::{Destination, UpstreamLink};
use crate::proxy::worker_core::WorkerCore;
use crate::routing::ListenerView;
use crate::wire::h1::{self, AskedMethod, BodyDecoder, ClientAddress, RequestHead, ResponseHead, Scheme};
use crate::wire::h2;

/// Room for the head of most requests.
const HEAD: usize = 1024;

/// What a request's head to an endpoint is made from.
#[derive(Clone, Copy)]
pub(super) struct RequestOutline<'a> {
    pub core: &'a WorkerCore,
    pub head: &'a RequestHead,
    pub listener: &'a ListenerView,
    pub address: &'a ClientAddress,
    pub scheme: Scheme,
    pub made_id: MadeId,
    pub route: &'a Route,
}

impl RequestOutline<'_> {
    /// An exchange over this link; nothing is sent yet. An error: the endpoint's protocol cannot express the head.
    pub fn open<'s>(
        &self,
        link: UpstreamLink,
        destination: &Destination,
        expect_continue: bool,
        reply: &'s mut ResponseHead,
        decoder: &'s mut BodyDecoder,
    ) -> Result<ExchangeChannel<'s>, h1::Error> {
        Ok(match link {
            UpstreamLink::Own(stream) => {
                let asked = if self.offers_upgrade() { AskedMethod::Upgrade } else { self.head.method().into() };
                let encode = |out: &mut Vec<u8>| self.encode(destination, expect_continue, out);
                let buffers = &self.core.buffers;
                ExchangeChannel::Own(H1Exchange::new(stream, buffers, self.head.body(), asked, reply, decoder, encode))
            }
            UpstreamLink::Shared(stream) => {
                let mut lines = Vec::with_capacity(HEAD);
                self.encode(destination, expect_continue, &mut lines);
                let request = h2::upstream_request(lines, stream.scheme())?;
                let exchange = H2Exchange::new(stream, request, self.head.method().into(), reply);
                ExchangeChannel::Shared(Box::new(exchange))
            }
        })
    }

    /// Does the client offer another protocol that the route lets through?
    pub fn offers_upgrade(&self) -> bool {
        self.head.asks_for_upgrade() && h1::offered(self.head, &self.route.upgrades).next().is_some()
    }

    /// Does it ask for an event stream?
    pub fn wants_events(&self) -> bool {
        let accepted = self.head.fields().get("accept");
        accepted.is_some_and(|kinds| kinds.windows(EVENTS.len()).any(|kind| kind.eq_ignore_ascii_case(EVENTS)))
    }

    fn encode(&self, destination: &Destination, expect_continue: bool, out: &mut Vec<u8>) {
        let nameless = self.head.authority_bytes().is_empty();
        let default_host = if nameless { destination.endpoint().address.to_string() } else { String::new() };
        let to = h1::UpstreamHead {
            forwarded: self.listener.config.forwarded,
            client: self.address,
            scheme: self.scheme,
            request_id: id_of(self.head, &self.made_id),
            default_host: &default_host,
            expect_continue,
            closes: !destination.service().config.upstream.keepalive,
            upgrades: &self.route.upgrades,
            changes: &self.route.request_headers,
        };
        h1::encode_request(self.head, &to, out);
    }
}

const EVENTS: &[u8] = b"text/event-stream";

//! What every try of a request says to an endpoint: its head, encoded anew for each.

use super::account::{MadeId, id_of};
use super::channel::Channel;
use super::h1::H1Exchange;
use super::h2::H2Exchange;
use crate::config::Route;
use crate::proxy::upstream::{Link, Spot};
use crate::proxy::worker_core::WorkerCore;
use crate::routing::ListenerView;
use crate::wire::h1::{self, Asked, BodyDecoder, ClientAddress, RequestHead, ResponseHead, Scheme};
use crate::wire::h2;

/// Room for the head of most requests.
const HEAD: usize = 1024;

/// What is said to whichever endpoint is asked.
#[derive(Clone, Copy)]
pub(super) struct Outline<'a> {
    pub core: &'a WorkerCore,
    pub head: &'a RequestHead,
    pub listener: &'a ListenerView,
    pub address: &'a ClientAddress,
    pub scheme: Scheme,
    pub made_id: MadeId,
    pub route: &'a Route,
}

impl Outline<'_> {
    /// An exchange over this link; nothing is sent yet. An error: the head cannot be said in the endpoint's protocol.
    pub fn open<'s>(
        &self,
        link: Link,
        spot: &Spot,
        expect_continue: bool,
        reply: &'s mut ResponseHead,
        decoder: &'s mut BodyDecoder,
    ) -> Result<Channel<'s>, h1::Error> {
        Ok(match link {
            Link::Own(stream) => {
                let asked = if self.offers_upgrade() { Asked::Upgrade } else { self.head.method().into() };
                let encode = |out: &mut Vec<u8>| self.encode(spot, expect_continue, out);
                let buffers = &self.core.buffers;
                Channel::Own(H1Exchange::new(stream, buffers, self.head.body(), asked, reply, decoder, encode))
            }
            Link::Shared(strand) => {
                let mut lines = Vec::with_capacity(HEAD);
                self.encode(spot, expect_continue, &mut lines);
                let request = h2::upstream_request(lines, strand.scheme())?;
                let exchange = H2Exchange::new(strand, request, self.head.method().into(), reply);
                Channel::Shared(Box::new(exchange))
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

    fn encode(&self, spot: &Spot, expect_continue: bool, out: &mut Vec<u8>) {
        let nameless = self.head.authority_bytes().is_empty();
        let default_host = if nameless { spot.endpoint().address.to_string() } else { String::new() };
        let to = h1::Upstream {
            forwarded: self.listener.config.forwarded,
            client: self.address,
            scheme: self.scheme,
            request_id: id_of(self.head, &self.made_id),
            default_host: &default_host,
            expect_continue,
            closes: !spot.service().config.upstream.keepalive,
            upgrades: &self.route.upgrades,
            changes: &self.route.request_headers,
        };
        h1::encode_request(self.head, &to, out);
    }
}

const EVENTS: &[u8] = b"text/event-stream";

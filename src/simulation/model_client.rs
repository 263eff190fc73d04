//! Model clients: where requests come from.

use std::ops::Range;
use std::time::Duration;

use crate::config::Name;
use crate::decision::Source;
use crate::routing::TryFailure;
use crate::wire::h1::Method;

/// Ordinary traffic of one service: 25 requests a second on average (one each 10 to 69 ms), five of eight GET, one of
/// eight PUT, the rest POST, to five targets.
#[derive(Clone, Debug)]
pub struct TrafficMix {
    /// The service.
    pub service: Name,
    /// How many client networks (10.0.0.0 and up) the requests come from; at least one.
    pub networks: u8,
}

impl TrafficMix {
    /// For this service, from this many client networks.
    pub fn new(service: Name, networks: u8) -> TrafficMix {
        TrafficMix { service, networks: networks.max(1) }
    }
}

/// A client's number in its simulation, in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub usize);

/// How a client's request ends at an endpoint: `(pool, index of the endpoint, target)`.
pub type FateRule = fn(pool: &str, endpoint: usize, target: u64) -> RequestFate;

/// How a request ends at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFate {
    /// As the endpoint's behaviour has it.
    AsEndpoint,
    /// It is answered well.
    Good,
    /// It fails like this.
    Fails(TryFailure),
}

/// One client network with requests of one kind, and how they fared.
#[derive(Clone, Debug)]
pub struct ModelClient {
    /// The service that it uses.
    pub service: Name,
    /// Its network.
    pub source: Source,
    /// Between two requests, half as long to one and a half times as long; at least 1 ms.
    pub pause: Duration,
    /// The method of its requests. A POST has a body.
    pub method: Method,
    /// The targets of its requests, one of them at random. Without any, 0.
    pub targets: Range<u64>,
    /// How its requests end.
    pub fate: FateRule,
    /// Requests that were answered well.
    pub good: u32,
    /// Requests that ended otherwise.
    pub bad: u32,
    /// Exchanges in which bytes of its requests were sent.
    pub exchanges: u32,
}

impl ModelClient {
    /// A client of this service with GET requests to four targets, answered as the endpoints are.
    pub fn new(service: Name, source: Source, pause: Duration) -> ModelClient {
        ModelClient {
            service,
            source,
            pause,
            method: Method::Get,
            targets: 0..4,
            fate: |_, _, _| RequestFate::AsEndpoint,
            good: 0,
            bad: 0,
            exchanges: 0,
        }
    }
}

//! Memory that the requests of one worker use one after the other: scratch buffers, and the pool terms of a table.

use std::cell::RefCell;
use std::rc::Rc;

use super::body::RequestBody;
use crate::decision::EndpointId;
use crate::proxy::buffer::BufferPool;
use crate::proxy::upstream::{Destination, UpstreamPools};
use crate::routing::{Handle, PoolTerm};
use crate::wire::h1::{BodyDecoder, RequestHead, ResponseHead};

/// Memory for requests kept for the next ones.
const SCRATCH_KEPT: usize = 256;
/// The most of a head's memory that is kept for the next one (bytes).
const SCRATCH_BYTES: usize = 8 * 1024;

/// The memory of one worker's requests.
pub struct HttpMemory {
    /// The worker's connections to endpoints.
    pub pools: Rc<UpstreamPools>,
    #[allow(clippy::vec_box, reason = "a box moves between here and connections without copying what is in it")]
    scratch: RefCell<Vec<Box<ExchangeScratch>>>,
    pool_terms: RefCell<PoolTerms>,
}

impl HttpMemory {
    /// Empty.
    pub fn new(pools: &Rc<UpstreamPools>) -> HttpMemory {
        HttpMemory { pools: Rc::clone(pools), scratch: RefCell::default(), pool_terms: RefCell::default() }
    }

    /// Memory for one request; put it back.
    pub fn scratch(&self) -> Box<ExchangeScratch> {
        let kept = self.scratch.borrow_mut().pop();
        kept.unwrap_or_else(|| Box::new(ExchangeScratch::new(&self.pools.core.buffers)))
    }

    /// Puts it back.
    pub fn put_scratch(&self, mut scratch: Box<ExchangeScratch>) {
        scratch.shrink();
        let mut kept = self.scratch.borrow_mut();
        if kept.len() < SCRATCH_KEPT {
            kept.push(scratch);
        }
    }

    /// The pool term of an exchange (made once for each table, shared without atomics) and its endpoint.
    pub fn pool_term(&self, destination: &Destination) -> (Rc<PoolTerm>, EndpointId) {
        (
            self.pool_terms.borrow_mut().of(&destination.table, destination.service, destination.choice.pool),
            destination.choice.id,
        )
    }
}

/// The pool terms under one table.
#[derive(Default)]
struct PoolTerms {
    epoch: u64,
    made: Vec<Vec<Option<Rc<PoolTerm>>>>,
}

impl PoolTerms {
    fn of(&mut self, table: &Handle, service: usize, pool: usize) -> Rc<PoolTerm> {
        if self.epoch != table.epoch {
            self.made = table.services.iter().map(|service| vec![None; service.pools.len()]).collect();
            self.epoch = table.epoch;
        }
        Rc::clone(self.made[service][pool].get_or_insert_with(|| Rc::new(table.services[service].pool_term(pool))))
    }
}

/// Memory that one exchange needs and the next one uses again.
pub struct ExchangeScratch {
    /// The request's head.
    pub head: RequestHead,
    /// The reply's head.
    pub reply: ResponseHead,
    /// Where the reply's body ends.
    pub decoder: BodyDecoder,
    /// The request's body.
    pub body: RequestBody,
}

impl ExchangeScratch {
    /// Empty.
    pub fn new(buffers: &Rc<BufferPool>) -> ExchangeScratch {
        ExchangeScratch {
            head: RequestHead::new(),
            reply: ResponseHead::new(),
            decoder: BodyDecoder::default(),
            body: RequestBody::new(buffers),
        }
    }

    /// Between requests: gives back what a rare large message took.
    pub fn shrink(&mut self) {
        self.head.shrink(SCRATCH_BYTES);
        self.reply.shrink(SCRATCH_BYTES);
        self.body.reset(0);
    }
}

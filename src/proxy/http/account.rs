//! The account of a request: what is counted and logged when it has ended.

use std::rc::Rc;

use super::context::RequestContext;
use crate::config::Name;
use crate::proxy::upstream::Destination;
use crate::proxy::worker_core::WorkerCore;
use crate::routing::{Handle, ListenerView, RetryReasons};
use crate::sys::clock;
use crate::telemetry::access::{AccessRecord, Termination};
use crate::time::MonoTime;
use crate::wire::h1::{self, RequestHead};

/// A request's id where the client gave none.
pub type MadeId = [u8; 32];

/// The client's request id, or the one we made: ASCII.
pub fn id_of<'s>(head: &'s RequestHead, made: &'s MadeId) -> &'s [u8] {
    head.request_id().unwrap_or(made)
}

/// One request's account.
pub struct RequestAccount {
    /// When its first byte came.
    pub began: MonoTime,
    began_unix_millis: u64,
    /// The table and the index of its service.
    pub service: Option<(Handle, usize)>,
    /// The destination of the last try: its table, service, pool and (unless it is a static response) endpoint.
    last: Option<(Handle, usize, usize, Option<usize>)>,
    made_id: MadeId,
    first_byte: Option<MonoTime>,
    status: Option<u16>,
    /// Tries, failed connects included.
    pub tries: u32,
    /// Why those after the first were made.
    pub retried: RetryReasons,
    /// Bytes of the request's body, and of what came through its tunnel.
    pub received: u64,
    /// Bytes of the answer's body, and of what came back through the tunnel.
    pub sent: u64,
    /// The rule that the last malformed answer broke.
    pub malformed: Option<h1::Error>,
    /// How it ended.
    pub termination: Termination,
}

impl RequestAccount {
    /// A request began.
    pub fn new(core: &WorkerCore, head: &RequestHead, began: MonoTime) -> RequestAccount {
        let made_id = if head.request_id().is_some() { [b'0'; 32] } else { make_id(&mut core.pick.borrow_mut().rng) };
        RequestAccount {
            began,
            began_unix_millis: if core.access.enabled() { clock::unix_millis() } else { 0 },
            service: None,
            last: None,
            made_id,
            first_byte: None,
            status: None,
            tries: 0,
            retried: RetryReasons::default(),
            received: 0,
            sent: 0,
            malformed: None,
            termination: Termination::Complete,
        }
    }

    /// The client's request id, or the one we made.
    pub fn id<'s>(&'s self, head: &'s RequestHead) -> &'s [u8] {
        id_of(head, &self.made_id)
    }

    /// The id that we made, if the client gave none.
    pub fn made_id(&self) -> MadeId {
        self.made_id
    }

    /// A try goes to this destination.
    pub fn reached(&mut self, destination: &Destination) {
        self.last = Some((
            Rc::clone(&destination.table),
            destination.service,
            destination.choice.pool,
            Some(destination.choice.endpoint),
        ));
    }

    /// A static response answers.
    pub fn answered_by(&mut self, table: &Handle, service: usize, pool: usize) {
        self.last = Some((Rc::clone(table), service, pool, None));
    }

    /// The answer to the client begins.
    pub fn answered(&mut self, status: u16, now: MonoTime) {
        self.status = Some(status);
        self.first_byte = Some(now);
    }

    /// The request has ended: counts and logs it.
    pub fn settle(&self, context: &RequestContext<'_>, listener: &ListenerView, head: &RequestHead) {
        let core = context.core;
        let took = clock::now().since(self.began);
        listener.stats.bytes_in.add(core.id, self.received);
        listener.stats.bytes_out.add(core.id, self.sent);
        let service = self.service.as_ref().map(|(table, index)| &table.services[*index]);
        if let Some(service) = service {
            service.stats.count_response(core.id, self.status);
            // A tunnel lasts as long as its users like; what counts for the service is how long they waited for it.
            let tunnel = self.first_byte.filter(|_| self.status == Some(101));
            service.stats.latency.record(core.id, tunnel.map_or(took, |opened| opened.since(self.began)));
        }
        if !core.access.enabled() {
            return;
        }
        let pool = self.last.as_ref().map(|(table, service, pool, _)| &table.services[*service].pools[*pool]);
        let endpoint = self.last.as_ref().and_then(|(.., endpoint)| *endpoint);
        let asked = pool.zip(endpoint).map(|(pool, endpoint)| &pool.endpoints[endpoint]);
        let name = |name: Option<&Name>| name.map_or("", |name| name).to_owned();
        core.access.record(&AccessRecord {
            began_unix_millis: self.began_unix_millis,
            listener: &listener.config.name,
            client: context.connection_context.peer,
            method: head.method_bytes(),
            target: head.path_and_query().as_bytes(),
            version: head.version().as_str(),
            host: head.authority_bytes(),
            request_id: self.id(head),
            user_agent: head.fields().get("user-agent").unwrap_or_default(),
            referer: head.fields().get("referer").unwrap_or_default(),
            status: self.status,
            service: &name(service.map(|service| &service.config.name)),
            pool: &name(pool.map(|pool| &pool.name)),
            endpoint: asked.map(|endpoint| endpoint.address),
            endpoint_name: asked.and_then(|endpoint| endpoint.name.as_deref()).unwrap_or_default(),
            epoch: self.last.as_ref().map_or(0, |(table, ..)| table.epoch),
            tries: self.tries,
            retried: &self.retried.to_string(),
            malformed: self.malformed.map_or("", h1::Error::reason),
            received: self.received,
            sent: self.sent,
            duration: took,
            first_byte: self.first_byte.map(|first| first.since(self.began)),
            termination: self.termination,
        });
    }
}

/// The access-log record of a malformed request: nothing is known of it but its client and its answer.
pub fn record_refused(
    context: &RequestContext<'_>,
    listener: &ListenerView,
    began: MonoTime,
    status: u16,
    termination: Termination,
) {
    let core = context.core;
    if !core.access.enabled() {
        return;
    }
    let took = clock::now().since(began);
    core.access.record(&AccessRecord {
        began_unix_millis: clock::unix_millis().saturating_sub(took.as_millis() as u64),
        listener: &listener.config.name,
        client: context.connection_context.peer,
        method: b"",
        target: b"",
        version: "",
        host: b"",
        request_id: b"",
        user_agent: b"",
        referer: b"",
        status: Some(status),
        service: "",
        pool: "",
        endpoint: None,
        endpoint_name: "",
        epoch: 0,
        tries: 0,
        retried: "",
        malformed: "",
        received: 0,
        sent: 0,
        duration: took,
        first_byte: Some(took),
        termination,
    });
}

/// 128 random bits in hexadecimal: for finding things again, not for keeping secrets.
fn make_id(rng: &mut fastrand::Rng) -> MadeId {
    let mut id = [0; 32];
    for digits in id.as_chunks_mut::<8>().0 {
        *digits = hexadecimal(rng.u32(..));
    }
    id
}

/// The eight digits of a number, all at once, the least first.
fn hexadecimal(number: u32) -> [u8; 8] {
    const ONES: u64 = u64::MAX / 255;
    let mut nibbles = u64::from(number);
    for (shift, mask) in [(16, 0x0000_ffff_0000_ffff), (8, 0x00ff_00ff_00ff_00ff), (4, 0x0f0f_0f0f_0f0f_0f0f)] {
        nibbles = (nibbles | nibbles << shift) & mask;
    }
    let letters = (nibbles + ONES * 6) >> 4 & ONES;
    (nibbles + ONES * u64::from(b'0') + letters * u64::from(b'a' - b'9' - 1)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::hexadecimal;

    #[test]
    fn a_number_has_the_digits_that_everybody_else_writes() {
        for number in [0, 1, 0x9abc_def0, 0x1234_5678, u32::MAX, 0x0a09_0f00] {
            let mut digits = hexadecimal(number);
            digits.reverse();
            assert_eq!(std::str::from_utf8(&digits), Ok(format!("{number:08x}").as_str()));
        }
    }
}

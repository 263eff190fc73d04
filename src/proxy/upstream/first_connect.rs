//! The connect of a try to its own endpoint, as a race sees it: its place before the [gate](super::dial_gate), since when it is
//! under way, and what is told of it when it is late, overtaken or not answered.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::destination::Destination;
use super::dial_gate::{DialGate, GateTurn};
use super::faults::connect_unanswered;
use super::idle::IdleConn;
use super::pools::UpstreamPools;
use crate::decision::ConnectOutcome;
use crate::net::{DialError, Stream, Transport};
use crate::proxy::worker_core::WorkerCore;
use crate::routing::{EndpointStats, LatencyEstimate};
use crate::sys::{clock, tcp};
use crate::time::MonoTime;

/// The connect of a try to its own endpoint. Dropped, it leaves the line, gives its permit back and passes on what it was given;
/// where it was not late and has not [ended](FirstConnect::settle), it is no longer outstanding.
pub struct FirstConnect<'s> {
    pools: &'s UpstreamPools,
    pub destination: &'s Destination,
    /// When the try began: its time to connect runs from then on, in line or not.
    pub tried: MonoTime,
    /// How long connects to this endpoint usually take at most.
    pub late_after: Duration,
    /// When the connect began. `None`: it has not, or it is another request's.
    began: Cell<Option<MonoTime>>,
    settled: Cell<bool>,
    /// Of the connection that it comes to.
    generation: Cell<u64>,
    gated: RefCell<Option<GatedTurn>>,
    /// It has waited in line.
    waited: bool,
    /// A task of its own makes the connect, and counts that it was not answered.
    is_shared: bool,
}

type GatedTurn = (Rc<DialGate<IdleConn<Transport>>>, GateTurn<IdleConn<Transport>>);

impl<'s> FirstConnect<'s> {
    /// A connect for this try alone. `gated`: it may wait in line.
    pub fn own(
        pools: &'s UpstreamPools,
        destination: &'s Destination,
        tried: MonoTime,
        gated: bool,
    ) -> FirstConnect<'s> {
        let gated = gated.then(|| {
            let gate = pools.gates.gate(destination.choice.id);
            let turn = gate.enter();
            (gate, turn)
        });
        let mut first = FirstConnect::new(pools, destination, tried);
        first.waited = gated.as_ref().is_some_and(|(_, turn)| turn.waits());
        first.gated = RefCell::new(gated);
        first
    }

    /// A connect that several tries wait for. `leads`: it was begun for this one.
    pub fn shared(
        pools: &'s UpstreamPools,
        destination: &'s Destination,
        tried: MonoTime,
        leads: bool,
    ) -> FirstConnect<'s> {
        let mut first = FirstConnect::new(pools, destination, tried);
        first.is_shared = true;
        if leads {
            first.begin();
        }
        first
    }

    fn new(pools: &'s UpstreamPools, destination: &'s Destination, tried: MonoTime) -> FirstConnect<'s> {
        FirstConnect {
            pools,
            destination,
            tried,
            late_after: destination.endpoint().stats.connect_late_after(),
            began: Cell::new(None),
            settled: Cell::new(false),
            generation: Cell::new(destination.generation),
            gated: RefCell::new(None),
            waited: false,
            is_shared: false,
        }
    }

    /// When the connect began, if it has.
    pub fn began(&self) -> Option<MonoTime> {
        self.began.get()
    }

    /// The generation of the endpoint when the connection was made, or when it was given.
    pub fn generation(&self) -> u64 {
        self.generation.get()
    }

    /// Waits in line. `Ready(None)`: it is time to connect.
    pub fn poll_turn(&self, cx: &mut Context<'_>) -> Poll<Option<IdleConn<Transport>>> {
        match &mut *self.gated.borrow_mut() {
            Some((_, turn)) => turn.poll(cx),
            None => Poll::Ready(None),
        }
    }

    /// A connection that another exchange gave back, if it can be used; else the first place in line is taken again.
    pub fn take(&self, given: IdleConn<Transport>) -> Option<Transport> {
        let stats = self.stats();
        if given.is_usable(stats.generation(), clock::now()) {
            self.generation.set(given.generation);
            return Some(given.stream);
        }
        let mut gated = self.gated.borrow_mut();
        *gated = gated.take().map(|(gate, turn)| {
            let turn = gate.enter_again(turn);
            (gate, turn)
        });
        None
    }

    /// A connection that this try must not use: another one gets it, and this one connects.
    pub fn pass_on(&self, given: IdleConn<Transport>) {
        self.step_out();
        self.pools.park(self.destination.choice.id, self.stats(), given);
    }

    /// The connect begins: now.
    pub fn begin(&self) -> MonoTime {
        let mut now = self.tried;
        if self.waited {
            now = clock::now();
            self.generation.set(self.stats().generation());
        }
        self.stats().connects().asked(now);
        self.began.set(Some(now));
        now
    }

    /// The connect has ended like this: its permit goes back.
    pub fn end(&self, reached: &Result<Transport, DialError>) {
        let Some((gate, turn)) = self.gated.take() else { return };
        match reached {
            Ok(stream) => gate.connected(turn, clock::now(), || tcp::shortest_round_trip(stream.socket())),
            Err(_) => gate.failed(turn),
        }
    }

    /// Did it wait in line?
    pub fn has_waited(&self) -> bool {
        self.waited
    }

    /// It waits in line no longer, and a connect that is under way does not keep others from theirs: it is late.
    pub fn step_out(&self) {
        let Some((gate, turn)) = self.gated.take() else { return };
        if let Some(given) = gate.leave(turn) {
            self.pools.park(self.destination.choice.id, self.stats(), given);
        }
    }

    /// What it came to is known, or is told otherwise.
    pub fn settle(&self) {
        self.settled.set(true);
    }

    /// It is late.
    pub fn tell_late(&self) {
        if self.began.get().is_some() {
            tell(&self.pools.core, self.destination, None);
        }
    }

    /// A connection to another endpoint was there first. It is no witness while the connect has not taken long itself.
    pub fn tell_overtaken(&self) {
        if let Some(began) = self.began.get() {
            let late = clock::now().since(began) >= self.late_after;
            tell(&self.pools.core, self.destination, late.then_some(began));
        }
    }

    /// It was not answered in the time of its try. That is evidence against the endpoint where the connect had all of it; while
    /// it stood in line, the endpoint was not asked.
    pub fn tell_unanswered(&self) {
        match self.began.get() {
            Some(_) if self.is_shared => {}
            Some(_) if self.waited => self.stats().count_connect(self.pools.core.id, ConnectOutcome::Timeout),
            Some(_) => {
                connect_unanswered(&self.pools.core, self.destination);
            }
            None => {}
        }
    }

    fn stats(&self) -> &'s Arc<EndpointStats> {
        &self.destination.endpoint().stats
    }
}

impl Drop for FirstConnect<'_> {
    fn drop(&mut self) {
        self.step_out();
        if let Some(began) = self.began.get().filter(|_| !self.settled.get())
            && clock::now().since(began) < LatencyEstimate::LEAST
        {
            self.stats().connects().excused(began);
        }
    }
}

/// A connect is late. `overtaken`: it began then, and a connection to another endpoint was there first. (That is no witness
/// where a handshake may be what takes so long.)
fn tell(core: &WorkerCore, destination: &Destination, overtaken: Option<MonoTime>) {
    let (stats, now) = (&destination.endpoint().stats, clock::now());
    let connects = stats.connects();
    let plain = destination.service().config.upstream.tls.is_none();
    let mut urgent = overtaken.filter(|_| plain).is_some_and(|began| connects.witnessed(began));
    if connects.waits_for(LatencyEstimate::LEAST, now) {
        urgent |= connects.late(now);
    }
    if urgent && stats.make_urgent() {
        core.view.urgent();
    }
}

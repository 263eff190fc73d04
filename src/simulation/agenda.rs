//! What is planned on the virtual clock of a simulation, in the order of its time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::model_client::{ClientId, TrafficMix};
use crate::config::Name;
use crate::decision::{ConnectOutcome, Digest, EndpointId, ProbeOutcome, TransitionId};
use crate::routing::{PickChoice, ServiceView};
use crate::time::MonoTime;

/// Something that is due now; [`Simulation::perform`](super::Simulation::perform) lets it happen.
#[derive(Debug)]
pub struct Due(pub(super) DueKind);

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one at a time, taken from the queue and used at once")]
pub(super) enum DueKind {
    /// The deadline of the decision core.
    Deadline,
    /// Planned by a process that has been restarted since.
    Void,
    Planned(PlannedEvent),
}

impl Due {
    /// Is it the deadline of the decision core?
    pub fn is_deadline(&self) -> bool {
        matches!(self.0, DueKind::Deadline)
    }

    /// Was it planned by a process that has been restarted since? Then nothing will happen.
    pub fn is_void(&self) -> bool {
        matches!(self.0, DueKind::Void)
    }

    /// The key, if it is a wake-up of the caller ([`Simulation::schedule`](super::Simulation::schedule)).
    pub fn scheduled(&self) -> Option<u64> {
        match self.0 {
            DueKind::Planned(PlannedEvent::Scheduled(key)) => Some(key),
            _ => None,
        }
    }
}

/// Something that will happen.
#[derive(Debug)]
pub(super) enum PlannedEvent {
    /// A request of a traffic mix arrives.
    Mix(TrafficMix),
    /// A client sends its next request.
    Client(ClientId),
    /// A try of a request begins or ends.
    Request(u64),
    /// The engine collects the digests.
    Sweep,
    Digest(EndpointId, MonoTime, Digest),
    ProbeStart(EndpointId),
    ProbeEnd(EndpointId, ProbeOutcome),
    /// A confirming connect ends.
    Confirmed(EndpointId, ConnectOutcome),
    /// The fence hook says yes.
    Fenced(TransitionId),
    /// The first good answer of an epoch.
    Answered(Name, u64, MonoTime),
    /// A connect that lost its race ends: worker, view, choice.
    LateConnect(usize, Arc<ServiceView>, PickChoice),
    /// The fault that began then ends.
    Repair(SocketAddr, MonoTime),
    /// A wake-up of the caller.
    Scheduled(u64),
}

impl PlannedEvent {
    /// It belongs to the world outside the proxy.
    fn outlives_restart(&self) -> bool {
        matches!(
            self,
            PlannedEvent::Mix(_) | PlannedEvent::Client(_) | PlannedEvent::Repair(..) | PlannedEvent::Scheduled(_)
        )
    }
}

/// A planned event.
#[derive(Debug)]
struct Planned {
    /// The process that planned it.
    life: u32,
    event: PlannedEvent,
}

/// The virtual clock and the queue of planned events.
#[derive(Debug)]
pub(super) struct Agenda {
    pub now: MonoTime,
    /// By time, then by when it was planned.
    queue: BTreeMap<(MonoTime, u64), Planned>,
    planned: u64,
    life: u32,
}

impl Agenda {
    pub fn new(now: MonoTime) -> Agenda {
        Agenda { now, queue: BTreeMap::new(), planned: 0, life: 0 }
    }

    pub fn plan(&mut self, after: Duration, event: PlannedEvent) {
        self.planned += 1;
        self.queue.insert((self.now.after(after), self.planned), Planned { life: self.life, event });
    }

    /// When the next planned event comes.
    pub fn next(&self) -> Option<MonoTime> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next planned event, and moves the clock to it.
    pub fn take(&mut self) -> Option<Due> {
        let ((at, _), Planned { life, event }) = self.queue.pop_first()?;
        self.move_to(at);
        let void = life != self.life && !event.outlives_restart();
        Some(Due(if void { DueKind::Void } else { DueKind::Planned(event) }))
    }

    /// The clock never goes back.
    pub fn move_to(&mut self, time: MonoTime) {
        self.now = self.now.max(time);
    }

    /// What the process has planned so far is void.
    pub fn restart(&mut self) {
        self.life += 1;
    }
}

pub(super) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// This much longer or shorter; as long as possible when that is too long.
pub(super) fn scaled(pause: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(pause.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

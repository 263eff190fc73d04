//! Replaying a journal: the core is told the same again, by the program's own code, and comes to the same conclusions.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::format::SegmentReason;
use super::read::JournalSegment;
use crate::control::records::record::{ChangeRecord, REPLAY, RecordId, RecordTime};
use crate::control::records::{
    condition_record, incident_record, objective_record, standing_record, transition_record,
};
use crate::control::status::WallClock;
use crate::decision::{Decision, Effect, EndpointId};
use crate::time::MonoTime;

/// How the replay of a segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayVerdict {
    /// It led to the snapshot of the next segment.
    Same,
    /// It led to another state than the snapshot of the next segment has.
    Differs,
    /// There is nothing to compare it with: it is the last segment of its life.
    Last,
    /// Events are missing at its end.
    Incomplete,
    /// The core cannot go on from what it holds.
    Impossible,
}

/// One segment, replayed.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentReplay {
    /// What was decided, oldest first. The ids are those of the replay.
    pub records: Vec<ChangeRecord>,
    /// Events that the core was told, and took.
    pub events: usize,
    /// The decision at its end; at its beginning if the core cannot go on.
    pub decision: Decision,
    /// How it ended.
    pub verdict: ReplayVerdict,
}

/// Replays these segments, oldest first.
pub fn replay(segments: &[JournalSegment]) -> Vec<SegmentReplay> {
    let mut number = 0;
    let mut replayed = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let mut one = SegmentReplay {
            records: Vec::new(),
            events: 0,
            decision: segment.snapshot.clone(),
            verdict: ReplayVerdict::Impossible,
        };
        // (A state that was written by hand may contradict itself. What was decided before the core fails is shown.)
        let next = segments.get(index + 1);
        let _ = catch_unwind(AssertUnwindSafe(|| replay_one(segment, next, &mut number, &mut one)));
        replayed.push(one);
    }
    replayed
}

fn replay_one(segment: &JournalSegment, next: Option<&JournalSegment>, number: &mut u64, one: &mut SegmentReplay) {
    let mut decision = segment.snapshot.clone();
    let mut teller = RecordTeller::new(segment, number, &mut one.records);
    for (event, now) in &segment.entries {
        match event {
            Some(event) => decision.handle(event.clone(), *now),
            None => decision.tick(*now),
        }
        let effects = decision.effects();
        if effects.contains(&Effect::Publish) {
            teller.know(&decision);
        }
        effects.into_iter().for_each(|effect| teller.tell(effect, *now));
        one.events += 1;
    }
    let next = next.filter(|next| next.head.life == segment.head.life && next.head.segment == segment.head.segment + 1);
    one.verdict = match next.map(|next| (next.head.reason, next.snapshot == decision)) {
        None | Some((SegmentReason::Start, _)) => ReplayVerdict::Last,
        Some((SegmentReason::Overflow, _)) => ReplayVerdict::Incomplete,
        Some(_) if segment.torn > 0 => ReplayVerdict::Incomplete,
        Some((SegmentReason::Full, true)) => ReplayVerdict::Same,
        Some((SegmentReason::Full, false)) => ReplayVerdict::Differs,
    };
    one.decision = decision;
}

/// Makes records of effects, with the times of then.
struct RecordTeller<'a> {
    segment: &'a JournalSegment,
    number: &'a mut u64,
    addresses: HashMap<EndpointId, SocketAddr>,
    records: &'a mut Vec<ChangeRecord>,
}

impl<'a> RecordTeller<'a> {
    fn new(segment: &'a JournalSegment, number: &'a mut u64, records: &'a mut Vec<ChangeRecord>) -> RecordTeller<'a> {
        let mut teller = RecordTeller { segment, number, addresses: HashMap::new(), records };
        teller.know(&segment.snapshot);
        teller
    }

    /// The addresses of the endpoints that there are now; those of before stay known.
    fn know(&mut self, decision: &Decision) {
        let table = decision.table();
        let endpoints = table.services.iter().flat_map(|service| &service.pools).flat_map(|pool| &pool.endpoints);
        self.addresses.extend(endpoints.map(|endpoint| (endpoint.id, endpoint.address)));
    }

    fn tell(&mut self, effect: Effect, now: MonoTime) {
        let passed = now.since(self.segment.head.now).as_millis() as u64;
        let wall = WallClock { now, unix_ms: self.segment.head.unix_ms.saturating_add(passed), own: false };
        let (service, change) = match effect {
            Effect::Standing(change) => {
                let Some(address) = self.addresses.get(&change.endpoint).copied() else { return };
                standing_record(change, address, None)
            }
            Effect::Incident(incident) => (incident.service.clone(), incident_record(&incident, &wall, "replay")),
            Effect::Transition(transition) => (transition.service.clone(), transition_record(&transition)),
            Effect::Condition(change) => (change.condition().service.clone(), condition_record(&change, &wall)),
            Effect::Alert(alert) => objective_record(alert),
            _ => return,
        };
        *self.number += 1;
        let id = RecordId { life: REPLAY, number: *self.number };
        let since_start_us = now.since(self.segment.head.now).as_micros() as u64;
        let at = RecordTime { unix_ms: wall.unix_ms, since_start_us };
        self.records.push(ChangeRecord { id, at, service: Some(service), change });
    }
}

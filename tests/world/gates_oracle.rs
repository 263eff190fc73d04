//! What must hold of switches with gates, judged from outside: by the records of transitions, the published table, the status and
//! what the core was told.

use std::collections::{BTreeMap, BTreeSet};

use standfast::config::{Config, Name, Service};
use standfast::decision::*;
use standfast::time::MonoTime;

use super::oracle::{acted, active, is_page};
use super::world::{Verdict, ensure};

/// A transition that waits, as it was told.
#[derive(Clone, Debug)]
struct Waiting {
    record: TransitionRecord,
    until: MonoTime,
    /// The first answer about each gate, if it came in time.
    answers: Vec<(Gate, Option<GateOutcome>)>,
    /// The pool that is fenced, and the epoch that said so.
    fence: Option<(Name, u64)>,
}

impl Waiting {
    /// The first answer about a gate counts, unless it comes too late.
    fn hears(&mut self, gate: &Gate, outcome: &GateOutcome, now: MonoTime) {
        let asked = self.answers.iter_mut().find(|(asked, _)| asked == gate);
        if let Some((_, answer)) = asked.filter(|_| now < self.until) {
            answer.get_or_insert(outcome.clone());
        }
    }

    fn is_open(&self) -> bool {
        self.answers.iter().all(|(_, answer)| *answer == Some(GateOutcome::Open))
    }

    fn is_refused(&self) -> bool {
        self.answers.iter().any(|(_, answer)| matches!(answer, Some(GateOutcome::Refused { .. })))
    }

    fn is_ordered(&self) -> bool {
        !self.record.actor.is_own()
    }
}

/// A switch that was given up.
#[derive(Debug)]
struct GivenUp {
    kind: SwitchKind,
    to: Option<Name>,
    until: MonoTime,
}

#[derive(Debug, Default)]
struct Memory {
    waiting: Option<Waiting>,
    /// Whose sessions were told to have ended: pool and epoch.
    ended: BTreeSet<(Name, u64)>,
    /// Whose sessions are to end, as it was told last.
    told: Option<(Name, u64)>,
    /// That pool is gone since: a later one of its name is another one.
    told_gone: bool,
    newest: u64,
    given_up: Option<GivenUp>,
    active: Option<Name>,
    /// The active pool before a restart, until the first choice.
    resume: Option<Name>,
}

pub struct GateOracle {
    rules: GateRules,
    services: BTreeMap<Name, Memory>,
    reload: bool,
    ordered: Option<Act>,
}

impl GateOracle {
    pub fn new(rules: GateRules) -> GateOracle {
        GateOracle { rules, services: BTreeMap::new(), reload: false, ordered: None }
    }

    /// A new process knows nothing of what waited.
    pub fn restarts(&mut self) {
        for memory in self.services.values_mut() {
            let resume = memory.active.take().or(memory.resume.take());
            let ended = std::mem::take(&mut memory.ended);
            *memory = Memory { resume, ended, ..Memory::default() };
        }
    }

    pub fn hears(&mut self, event: Option<&Event>, now: MonoTime) {
        self.reload = matches!(event, Some(Event::Configured(_)));
        self.ordered = None;
        match event {
            Some(Event::Ordered { act, .. }) => self.ordered = Some(act.clone()),
            Some(Event::GateAnswered { transition, gate, outcome, .. }) => {
                let mut waiting = self.services.values_mut().filter_map(|memory| memory.waiting.as_mut());
                if let Some(waiting) = waiting.find(|waiting| waiting.record.id == *transition) {
                    waiting.hears(gate, outcome, now);
                }
            }
            Some(Event::SessionsEnded { service, pool, epoch, .. }) => {
                let memory = self.services.entry(service.clone()).or_default();
                memory.ended.insert((pool.clone(), *epoch));
                let fence = Some((pool.clone(), *epoch));
                if let Some(waiting) = memory.waiting.as_mut().filter(|waiting| waiting.fence == fence) {
                    waiting.hears(&Gate::FenceAcknowledged, &GateOutcome::Open, now);
                }
            }
            _ => {}
        }
    }

    pub fn judge(
        &mut self,
        config: &Config,
        before: &Table,
        core: &Decision,
        effects: &[Effect],
        now: MonoTime,
    ) -> Verdict {
        let table = core.table();
        ensure!(core.deadline().is_none_or(|at| at > now), "a deadline that does not move: {:?}", core.deadline());
        let status = core.status(now);
        for ((row, service), status) in table.services.iter().zip(&config.services).zip(&status) {
            let old = before.services.iter().find(|old| old.name == row.name);
            let mut memory = self.services.remove(&row.name).unwrap_or_default();
            let verdict = self.service(&mut memory, service, (old, row), status, core, effects, now);
            let told = format!("{}: {memory:?}\n{status:?}\n{effects:?}", row.name);
            self.services.insert(row.name.clone(), memory);
            verdict.map_err(|why| format!("{why}\n{told}"))?;
        }
        self.services.retain(|name, _| config.services.iter().any(|service| service.name == *name));
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "an oracle looks at everything")]
    fn service(
        &self,
        memory: &mut Memory,
        service: &Service,
        (old, row): (Option<&ServiceRow>, &ServiceRow),
        status: &ServiceStatus,
        core: &Decision,
        effects: &[Effect],
        now: MonoTime,
    ) -> Verdict {
        let records = effects.iter().filter_map(|effect| match effect {
            Effect::Transition(record) if record.service == row.name => Some(record),
            _ => None,
        });
        // (What has changed may have been a reason to intend nothing, or something else, for a moment.)
        let seen = |row: &ServiceRow| -> Vec<_> {
            row.pools.iter().flat_map(|pool| &pool.endpoints).map(|endpoint| endpoint.standing).collect()
        };
        if self.reload || self.ordered.is_some() || old.is_none_or(|old| seen(old) != seen(row)) {
            memory.given_up = None;
        }
        let told = effects.iter().rev().find_map(|effect| match effect {
            Effect::Sessions { service, pool, epoch, .. } if *service == row.name => Some((pool.clone(), *epoch)),
            _ => None,
        });
        memory.told_gone &= told.is_none();
        memory.told = told.or(memory.told.take());
        memory.told_gone |=
            memory.told.as_ref().is_some_and(|(told, _)| !row.pools.iter().any(|pool| pool.name == *told));
        let mut taken = Vec::new();
        for record in records {
            if let TransitionStage::Waiting { closed, until } = &record.stage {
                self.begins(memory, record, (closed, *until), now)?;
            } else {
                self.ends(memory, record, now)?;
                if matches!(record.stage, TransitionStage::Taken | TransitionStage::WentAhead { .. }) {
                    taken.push((record.kind, record.to.clone()));
                }
            }
        }
        // Every switch to endpoints is the end of a transition that may be taken, and the other way round.
        let incidents = effects.iter().filter_map(|effect| match effect {
            Effect::Incident(incident) if incident.service == row.name && incident.answered.is_none() => Some(incident),
            _ => None,
        });
        let incidents: Vec<&Incident> = incidents.collect();
        let gated = incidents.iter().filter(|incident| incident.to.as_ref().is_some_and(|to| !is_page(service, to)));
        let gated: Vec<_> = gated.map(|incident| (incident.kind, incident.to.clone())).collect();
        ensure!(gated == taken, "switches {gated:?}, and the gates let through {taken:?}");
        self.fences(memory, row, core)?;
        // (A pin to a page of before the first choice has no gates: the service begins there.)
        let pinned_to = status.pinned.as_ref().filter(|pin| is_page(service, pin));
        self.moves(memory, (old, row), &incidents, pinned_to)?;
        self.waits(memory, (service, row), status, core, now)?;
        self.answers_the_operator(memory, &row.name, effects)?;
        memory.given_up.take_if(|past| past.until <= now);
        Ok(())
    }

    fn begins(
        &self,
        memory: &mut Memory,
        record: &TransitionRecord,
        (closed, until): (&[Gate], MonoTime),
        now: MonoTime,
    ) -> Verdict {
        ensure!(memory.waiting.is_none(), "a second transition: {record:?}");
        ensure!(record.id.0 > memory.newest, "an old number: {record:?}");
        ensure!(record.since == now && until == now.after(self.rules.limit), "its time: {record:?}");
        let again = memory.given_up.as_ref().filter(|past| (past.kind, &past.to) == (record.kind, &record.to));
        let again = again.filter(|past| now < past.until && record.actor.is_own());
        ensure!(again.is_none(), "intended again without a pause: {record:?}, {again:?}");
        memory.newest = record.id.0;
        let answer = |gate: &Gate| (gate.clone(), (!closed.contains(gate)).then_some(GateOutcome::Open));
        let answers: Vec<_> = self.rules.gates.iter().map(answer).collect();
        // (It was told now, or when a reload took the pool away.)
        let fence = memory.told.clone().filter(|_| closed.contains(&Gate::FenceAcknowledged));
        memory.waiting = Some(Waiting { record: record.clone(), until, answers, fence });
        Ok(())
    }

    /// A transition ends once, and as its gates and its time say.
    fn ends(&self, memory: &mut Memory, record: &TransitionRecord, now: MonoTime) -> Verdict {
        let waiting = memory.waiting.take().ok_or_else(|| format!("nothing waits: {record:?}"))?;
        ensure!(waiting.record.id == record.id, "another one waits than {record:?}");
        let over = now >= waiting.until;
        match &record.stage {
            TransitionStage::Taken => {
                ensure!(waiting.is_open() && !over, "taken with {:?} at {now:?}", waiting.answers);
            }
            TransitionStage::WentAhead { .. } => {
                ensure!(over && self.rules.at_limit == LimitAction::GoAhead, "went ahead before its time");
            }
            TransitionStage::Expired { closed } => {
                ensure!(over && self.rules.at_limit == LimitAction::GiveUp, "given up before its time");
                ensure!(!closed.is_empty() || waiting.is_open(), "given up for nothing");
            }
            TransitionStage::Refused { gate, .. } => {
                let refused = |(asked, answer): &(Gate, Option<GateOutcome>)| {
                    asked == gate && matches!(answer, Some(GateOutcome::Refused { .. }))
                };
                ensure!(waiting.answers.iter().any(refused), "{gate} was not refused");
            }
            TransitionStage::Withdrawn | TransitionStage::Replaced => {}
            TransitionStage::Waiting { .. } => return Err("that is no end".into()),
        }
        if record.is_given_up() && !waiting.is_ordered() {
            let until = now.after(self.rules.limit);
            memory.given_up = Some(GivenUp { kind: record.kind, to: record.to.clone(), until });
        }
        Ok(())
    }

    /// Only a pool that is fenced for the transition that waits takes no work and has its sessions ended while it serves; and an
    /// incident knows of the end of sessions only what was told of its own epoch.
    fn fences(&self, memory: &Memory, row: &ServiceRow, core: &Decision) -> Verdict {
        let fence = memory.waiting.as_ref().and_then(|waiting| waiting.fence.as_ref());
        for pool in &row.pools {
            let fenced = fence.is_some_and(|(name, _)| *name == pool.name) && !memory.told_gone;
            ensure!(fenced == pool.sessions.present.is_some(), "fenced: {fence:?}, {:?}", pool.sessions);
            let epoch = fence.filter(|_| fenced).map(|(_, epoch)| *epoch);
            ensure!(pool.sessions.fence == epoch, "the fence of another epoch: {fence:?}, {:?}", pool.sessions);
            ensure!(epoch <= Some(core.table().epoch), "a fence that is not published: {fence:?}");
            let open = pool.endpoints.iter().any(|endpoint| endpoint.admission != Admission::Closed);
            ensure!(!fenced || !open, "new work for {}, which is fenced", pool.name);
        }
        for incident in core.incidents().filter(|i| i.service == row.name && i.fenced.is_some()) {
            let told =
                incident.from.as_ref().is_some_and(|from| memory.ended.contains(&(from.clone(), incident.epoch)));
            ensure!(told, "fenced, and no worker said so: {incident:?}");
            ensure!(incident.fenced >= Some(incident.decided), "fenced before it was left: {incident:?}");
        }
        Ok(())
    }

    /// One pool serves, and another one only after a switch (a restart and a reload may lose it, and choose as at the start).
    fn moves(
        &self,
        memory: &mut Memory,
        (old, row): (Option<&ServiceRow>, &ServiceRow),
        told: &[&Incident],
        pinned_to: Option<&Name>,
    ) -> Verdict {
        ensure!(!matches!(row.serving, Serving::Shared(_)), "shares in active_passive");
        let Some(active) = active(row) else {
            if row.serving == Serving::Starting && memory.active.is_some() {
                ensure!(self.reload, "it starts again without a reload");
                memory.resume = memory.active.take();
            }
            if row.serving == Serving::Down && memory.active.take().is_some() {
                ensure!(told.iter().any(|incident| incident.to.is_none()), "down without a word");
            }
            return Ok(());
        };
        let last = told.last().and_then(|incident| incident.to.clone());
        if let Some(resume) = memory.resume.take() {
            let gone = !row.pools.iter().any(|pool| pool.name == resume);
            let wanted = resume == active || pinned_to == Some(&active);
            ensure!(gone || wanted || last.as_ref() == Some(&active), "{resume} was lost over a restart");
        } else if memory.active.as_ref() != Some(&active) {
            let first = old.is_none_or(|old| matches!(old.serving, Serving::Starting)) || self.reload;
            let from_none = old.is_some_and(|old| old.serving == Serving::Down) && told.is_empty();
            ensure!(first || from_none || last.as_ref() == Some(&active), "{active} serves without a switch");
        }
        memory.active = Some(active);
        Ok(())
    }

    /// What waits is told, bounded, and has its reason.
    fn waits(
        &self,
        memory: &mut Memory,
        (service, row): (&Service, &ServiceRow),
        status: &ServiceStatus,
        core: &Decision,
        now: MonoTime,
    ) -> Verdict {
        let shown = status.transition.as_ref().map(|shown| (shown.id, shown.to.clone(), shown.from.clone()));
        let told = memory.waiting.as_ref().map(|w| (w.record.id, w.record.to.clone(), w.record.from.clone()));
        ensure!(shown == told, "the status shows {shown:?}");
        let Some(waiting) = &memory.waiting else { return Ok(()) };
        ensure!(now < waiting.until, "it waits for longer than its time");
        ensure!(core.deadline().is_some_and(|at| at <= waiting.until), "nothing ends it");
        ensure!(!waiting.is_open() && !waiting.is_refused(), "all gates have answered, and it still waits");
        let open = status.transition.iter().flat_map(|shown| &shown.gates).map(|gate| gate.open);
        ensure!(open.eq(waiting.answers.iter().map(|(_, answer)| answer.is_some())), "the status of its gates");
        let TransitionRecord { kind, from, to, .. } = &waiting.record;
        let to = to.as_ref().ok_or("a transition to nobody")?;
        let find = |name: &Name| row.pools.iter().position(|pool| pool.name == *name);
        let target = find(to).ok_or("its pool is gone")?;
        let available: BTreeSet<usize> = (0..row.pools.len()).filter(|pool| row.pools[*pool].available).collect();
        let active = match row.serving {
            Serving::Active(active) => Some(active),
            Serving::Down => None,
            _ => return Err("it waits before the first choice".into()),
        };
        ensure!(from.as_ref().and_then(find) == active, "it leaves {from:?}, and {active:?} serves");
        ensure!(active != Some(target), "it leads to where the service is");
        let page = |pool: usize| service.pools[pool].members.endpoints().is_empty();
        let fenced = self.rules.gates.contains(&Gate::FenceAcknowledged) && active.is_some_and(|active| !page(active));
        ensure!(!fenced || waiting.fence.is_some(), "the pool is not fenced");
        let last_resort = available.is_empty() || *kind == SwitchKind::Switchover;
        ensure!(available.contains(&target) || last_resort, "its pool is not available");
        if waiting.is_ordered() {
            return Ok(());
        }
        ensure!(status.pinned.is_none(), "it is pinned");
        match (kind, active) {
            (SwitchKind::Failback, Some(active)) => {
                ensure!(target < active && !status.ordered, "failback from {active}")
            }
            (SwitchKind::Failover | SwitchKind::Rollback, Some(active)) => {
                ensure!(!available.contains(&active), "the active pool is well again");
            }
            (SwitchKind::Recovery, active) => ensure!(active.is_none_or(page), "recovery from endpoints"),
            (SwitchKind::Switchover, Some(_)) => {}
            (kind, active) => return Err(format!("{kind} from {active:?}")),
        }
        Ok(())
    }

    /// An order overrides what waits: it is what waits now, or it was taken or called it off.
    fn answers_the_operator(&self, memory: &Memory, name: &Name, effects: &[Effect]) -> Verdict {
        let Some(act) = self.ordered.as_ref().filter(|act| act.command.service() == Some(name)) else { return Ok(()) };
        let outcome = acted(effects).next().map(|(_, outcome)| outcome);
        let order = memory.waiting.as_ref().filter(|waiting| waiting.is_ordered());
        match (&act.command, outcome.ok_or("no answer")?) {
            (ActCommand::Switchover { pool, .. } | ActCommand::Pin { pool, .. }, ActOutcome::Waiting) => {
                let order = order.ok_or("it is said to wait")?;
                ensure!(order.record.to.as_ref() == Some(pool), "another order waits");
            }
            (_, ActOutcome::Waiting) => ensure!(order.is_some(), "it is said to wait"),
            (ActCommand::Switchover { .. } | ActCommand::Pin { .. }, ActOutcome::Done) => {
                ensure!(order.is_none(), "it is said to be done, and an order waits");
            }
            _ => {}
        }
        Ok(())
    }
}

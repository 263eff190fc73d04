//! What must hold after every step, judged from outside: by the published table, the effects and what the core was told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use standfast::config::{Config, EvidenceRule, FailbackMode, Mode, Name, OnAllDown, OutlierDetection, Pool, Service};
use standfast::decision::{
    Act, ActCommand, ActId, ActOutcome, ActRefusal, Administrative, Admission, Cause, ConnectOutcome, Decision, Digest,
    Effect, EndpointId, EndpointRow, EndpointSelection, Event, Evidence, Failure, HoldScope, Incident, Operational,
    PoolRow, ProbeFailure, ProbeOutcome, Saved, ServiceRow, ServiceStays, Serving, Silence, StandingChange, SwitchKind,
    Table,
};
use standfast::simulation::{AnswerKind, TryStart};
use standfast::time::MonoTime;

use super::world::{Verdict, ensure};

/// All names that a pool can have.
const POOLS: [&str; 5] = ["p0", "p1", "p2", "p3", "sorry"];
/// Good trials that the core may take as proof.
const TRIALS: u32 = 3;
/// The largest `fall`.
const MOST_FAILURES: u32 = 100;
/// A listener that is there again within that time was restarted.
const RESTART: Duration = Duration::from_millis(50);
/// A request without an answer is forgotten after that.
const REMEMBERED: Duration = Duration::from_secs(10);
/// An answer to a confirming connect is not waited for any longer.
const CONFIRM: Duration = Duration::from_secs(1);

/// What the oracle remembers of an endpoint.
#[derive(Debug, Default)]
struct Witness {
    /// Good probes in a row as they were told.
    passes: u32,
    fails: u32,
    /// A probe got an answer that is no evidence; and so did the newest one.
    lives: bool,
    unseen: bool,
    /// A confirming connect was refused since it last was healthy.
    refused: bool,
    /// Real traffic met a connect that was not answered since one was.
    unanswered: bool,
    /// … and so did a confirming connect, since it last was healthy.
    silent: bool,
    connected: bool,
    /// Good trials told since it was ejected.
    trials: u32,
    streak: u32,
    ejected: Option<MonoTime>,
    /// Most bad probes in a row since it was ejected.
    fails_out: u32,
    newest_probe: MonoTime,
    /// It has been healthy.
    proven: bool,
    /// How its last exchange ended, as far as that was told.
    last_good: bool,
    newest_digest: MonoTime,
    /// Exchanges told, by when the digest was taken.
    exchanges: Vec<(MonoTime, u32)>,
    /// What it owes since its last answer: replies, and connects.
    unheard: [Unheard; 2],
    /// As it was told last.
    silence: Option<Silence>,
    newest_silence: MonoTime,
    /// When it last passed a probe.
    passed: MonoTime,
    /// A probe has failed since it is suspected.
    failed_suspected: bool,
    /// When confirming connects were refused in a row.
    refusals: Vec<MonoTime>,
    /// A confirming connect was asked for then, and has not been answered.
    asked: Option<MonoTime>,
}

/// Requests or connects without an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Unheard {
    asked: u32,
    witnesses: u32,
    /// When the first of them began.
    since: MonoTime,
    /// When it last answered.
    heard: MonoTime,
}

impl Witness {
    /// Have its checks condemned it since it was ejected? From then on its ejection lasts as long as they do.
    fn was_red(&self, pool: &Pool) -> bool {
        pool.health_check.as_ref().is_some_and(|check| self.fails_out >= check.fall)
    }
}

/// What the oracle remembers of a service.
#[derive(Debug, Default)]
struct Memory {
    pin: Option<Name>,
    ordered: bool,
    forced: Vec<MonoTime>,
    frozen: Option<MonoTime>,
    elective: Vec<MonoTime>,
    well: BTreeMap<Name, MonoTime>,
    last: Option<(SwitchKind, Option<Name>, MonoTime)>,
    failed_back: Option<MonoTime>,
    relapses: u32,
    active: Option<Name>,
    /// The active pool before a restart, until a choice is made.
    resume: Option<Name>,
    /// When it was first seen in this process's life.
    appeared: Option<MonoTime>,
    /// Since when the first choice is being made.
    starting: Option<MonoTime>,
    /// The shortest that was configured lately.
    hold_down: Duration,
    /// Pools that have served since the process started, or may have served before.
    served: BTreeSet<Name>,
    hold: Option<(HoldScope, MonoTime)>,
    evacuated: BTreeMap<Name, MonoTime>,
    pin_ends: Option<MonoTime>,
}

impl Memory {
    /// Does a hold last that keeps elective switches from being made?
    fn held(&self, now: MonoTime) -> bool {
        self.hold.is_some_and(|(_, until)| now < until)
    }

    /// Does a hold last that keeps every switch from being made?
    fn holds_all(&self, now: MonoTime) -> bool {
        self.hold.is_some_and(|(scope, until)| scope == HoldScope::All && now < until)
    }

    /// May such a hold last? (It ends in the turn at its end, and another event of that time may come before.)
    fn may_hold_all(&self, now: MonoTime) -> bool {
        self.hold.is_some_and(|(scope, until)| scope == HoldScope::All && now <= until)
    }

    /// Is this pool in an evacuated zone?
    fn evacuates(&self, service: &Service, pool: &Name, now: MonoTime) -> bool {
        let zone = service.pools.iter().find(|config| config.name == *pool).and_then(|pool| pool.zone.as_ref());
        zone.and_then(|zone| self.evacuated.get(zone)).is_some_and(|until| now < *until)
    }
}

#[derive(Default)]
pub struct Oracle {
    endpoints: BTreeMap<EndpointId, Witness>,
    services: BTreeMap<Name, Memory>,
    /// The last event, as far as it excuses something.
    reload: bool,
    ordered: Option<Act>,
    epoch: u64,
    /// A page served the service when the turn began.
    page: bool,
    /// As last published.
    pub suspected: BTreeSet<EndpointId>,
}

impl Oracle {
    /// A new process knows what was saved and nothing else.
    pub fn restarts(&mut self, saved: &Saved) {
        self.endpoints.clear();
        self.suspected.clear();
        self.services.retain(|name, _| saved.services.iter().any(|service| service.name == *name));
        for memory in self.services.values_mut() {
            memory.well.clear();
            memory.resume = memory.active.take();
            memory.appeared = None;
            memory.served.extend(POOLS.map(|pool| pool.into()));
        }
        self.epoch = saved.epoch;
    }

    /// What the core is about to be told.
    pub fn hears(&mut self, event: Option<&Event>) {
        self.reload = matches!(event, Some(Event::Configured(_)));
        self.ordered = None;
        match event {
            Some(Event::Probed { endpoint, outcome, seen, .. }) => {
                let witness = self.endpoints.entry(*endpoint).or_default();
                if *seen < witness.newest_probe {
                    return;
                }
                match outcome {
                    ProbeOutcome::Pass { .. } => {
                        witness.unseen = false;
                        (witness.passes, witness.fails) = (witness.passes + 1, 0);
                        (witness.passed, witness.failed_suspected) = (*seen, false);
                    }
                    ProbeOutcome::Fail { kind, .. } => {
                        // (What it states counts like all the failures that it takes.)
                        let counts = if *kind == ProbeFailure::NotServing { MOST_FAILURES } else { 1 };
                        witness.unseen = false;
                        (witness.passes, witness.fails) = (0, witness.fails.saturating_add(counts));
                        witness.failed_suspected |= self.suspected.contains(endpoint);
                        witness.fails_out = witness.fails_out.max(witness.fails);
                    }
                    ProbeOutcome::Busy { .. } | ProbeOutcome::Blind { .. } => {
                        (witness.lives, witness.unseen, witness.fails) = (true, true, 0);
                    }
                    ProbeOutcome::Local { .. } => return,
                }
                witness.newest_probe = *seen;
            }
            Some(Event::Confirmed { endpoint, outcome, seen }) => {
                let witness = self.endpoints.entry(*endpoint).or_default();
                witness.asked = None;
                let silent = *outcome == ConnectOutcome::Timeout && witness.unanswered;
                match outcome {
                    ConnectOutcome::Refused => witness.refusals.push(*seen),
                    _ if silent => witness.refusals.push(*seen),
                    _ => witness.refusals.clear(),
                }
                witness.refused |= *outcome == ConnectOutcome::Refused;
                witness.silent |= silent;
                witness.connected = *outcome == ConnectOutcome::Connected;
                witness.unanswered &= !witness.connected;
            }
            Some(Event::InBand { endpoint, digest, seen }) => {
                let witness = self.endpoints.entry(*endpoint).or_default();
                if *seen >= witness.newest_silence {
                    (witness.silence, witness.newest_silence) = (digest.silence, *seen);
                    witness.failed_suspected &= digest.silence.is_some();
                }
                if *seen >= witness.newest_digest && digest.good + digest.failed.total() > 0 {
                    witness.last_good = digest.streak == 0;
                    witness.newest_digest = *seen;
                }
                witness.exchanges.retain(|(at, _)| seen.since(*at) <= OutlierDetection::WINDOW);
                witness.exchanges.push((*seen, digest.good + digest.failed.total()));
                witness.unanswered |= digest.failed.of(Failure::ConnectTimeout) > 0;
                witness.trials += digest.trials_good;
                witness.streak = witness.streak.max(digest.streak).max(digest.failed.total());
            }
            Some(Event::Ordered { act, .. }) => self.ordered = Some(act.clone()),
            Some(Event::ReloadRefused { act, .. }) => self.ordered = Some((**act).clone()),
            Some(
                Event::Answered { .. }
                | Event::GateAnswered { .. }
                | Event::SessionsEnded { .. }
                | Event::ReachChecked { .. }
                | Event::ShareStated { .. }
                | Event::Configured(_),
            )
            | None => {}
        }
    }

    // ---- after a turn ---------------------------------------------------------------------------------------------

    pub fn judge(
        &mut self,
        config: &Config,
        before: &Table,
        core: &Decision,
        effects: &[Effect],
        now: MonoTime,
    ) -> Verdict {
        let table = core.table();
        self.publishing(before, &table, effects)?;
        self.answered_once(before, &table, effects, now)?;
        ensure!(effects.windows(2).all(|pair| rank(&pair[0]) <= rank(&pair[1])), "effects out of order: {effects:?}");
        ensure!(
            core.deadline().is_none_or(|at| at > now),
            "a deadline that does not move: {:?} at {now:?}",
            core.deadline()
        );
        ensure!(core.incidents().count() <= 64, "more incidents than are kept");
        for effect in effects {
            if let Effect::ConfirmConnect { endpoint } = effect {
                self.endpoints.entry(*endpoint).or_default().asked = Some(now);
            }
        }
        let names: Vec<&Name> = config.services.iter().map(|service| &service.name).collect();
        ensure!(table.services.iter().map(|row| &row.name).eq(names), "the table lists other services");
        for (row, service) in table.services.iter().zip(&config.services) {
            let old = before.services.iter().find(|old| old.name == row.name);
            self.suspicions(row, now).map_err(|why| format!("{}: {why}\n{row:?}", row.name))?;
            self.service(service, old, row, core, effects, now)
                .map_err(|why| format!("{}: {why}\n{row:?}", row.name))?;
        }
        self.suspected = endpoints_of(&table).filter(|e| e.suspected).map(|e| e.id).collect();
        Ok(())
    }

    /// Each act has exactly one answer, in its turn, and nothing else has one. An expired act is refused and changes nothing; a
    /// change of an endpoint that is said to be done is seen in the table.
    fn answered_once(&self, before: &Table, table: &Table, effects: &[Effect], now: MonoTime) -> Verdict {
        let answers: Vec<_> = acted(effects).collect();
        let Some(act) = &self.ordered else {
            ensure!(answers.is_empty(), "an answer, and there was no act: {answers:?}");
            return Ok(());
        };
        let [(id, outcome)] = answers[..] else { return Err(format!("{act:?} has the answers {answers:?}")) };
        ensure!(id == act.id, "{act:?} has the answer to another act: {id:?}");
        let expired = act.expires.is_some_and(|end| end <= now);
        let refused = *outcome == ActOutcome::Refused(ActRefusal::Expired);
        ensure!(expired == refused, "{act:?} at {now:?}: {outcome:?}");
        ensure!(!expired || before == table, "an expired act has changed the table");
        if let (ActCommand::Evacuate { services, .. }, false) = (&act.command, outcome.is_refused()) {
            self.left_the_zone(services, table, outcome)?;
        }
        let ActCommand::Administer { endpoints: EndpointSelection::Address(address), state, .. } = &act.command else {
            return Ok(());
        };
        let says = |table: &Table| {
            let service = table.services.iter().find(|row| Some(&row.name) == act.command.service());
            let mut endpoints = service.into_iter().flat_map(|row| &row.pools).flat_map(|pool| &pool.endpoints);
            endpoints.find(|e| e.address == *address).map(|e| e.standing.administrative)
        };
        // (A weight of 0 drains what an operator calls ready.)
        let weighed = *state == Administrative::Ready && says(table) == Some(Administrative::Drain);
        ensure!(
            outcome.is_refused() || says(table) == Some(*state) || weighed,
            "{act:?} is {outcome:?}, and is not so"
        );
        Ok(())
    }

    /// Every service that an evacuation moves or leaves alone is answered by a pool, and those that moved share one epoch.
    fn left_the_zone(&self, services: &[Name], table: &Table, outcome: &ActOutcome) -> Verdict {
        let stays: &[ServiceStays] = match outcome {
            ActOutcome::Partly { stays } => stays,
            _ => &[],
        };
        ensure!(*outcome == ActOutcome::Done || !stays.is_empty(), "an evacuation is {outcome:?}");
        for service in services.iter().filter(|name| !stays.iter().any(|stay| stay.service == **name)) {
            let row = table.services.iter().find(|row| row.name == *service).ok_or("a service that is not there")?;
            ensure!(row.serving != Serving::Starting, "{service} was evacuated before its first choice");
        }
        Ok(())
    }

    /// The table changes exactly with a publish, and its number only grows.
    fn publishing(&mut self, before: &Table, table: &Table, effects: &[Effect]) -> Verdict {
        let published = effects.iter().filter(|effect| **effect == Effect::Publish).count();
        ensure!(published <= 1, "published twice in one turn");
        ensure!(published == 1 || before == table, "the table changed without a publish");
        ensure!(published == 0 || table.epoch > before.epoch, "published without a new epoch");
        ensure!(table.epoch >= self.epoch, "the epoch went back");
        self.epoch = table.epoch;
        Ok(())
    }

    fn service(
        &mut self,
        service: &Service,
        old: Option<&ServiceRow>,
        row: &ServiceRow,
        core: &Decision,
        effects: &[Effect],
        now: MonoTime,
    ) -> Verdict {
        shape(service, row)?;
        self.page = old.is_some_and(|old| shows_a_page(service, old))
            && self.services.get(&row.name).is_none_or(|memory| memory.pin.is_none() && !memory.ordered);
        for pool in &row.pools {
            for endpoint in &pool.endpoints {
                admission(service, row, pool, endpoint)?;
            }
        }
        let changes: Vec<_> = effects.iter().filter_map(standing_change).filter(|c| c.service == row.name).collect();
        for change in &changes {
            self.standing(service, row, change, changes.len(), now).map_err(|why| format!("{change:?}: {why}"))?;
        }
        let mut memory = self.services.remove(&row.name).unwrap_or_default();
        memory.appeared.get_or_insert(now);
        let done = self.orders(&mut memory, service, effects, now);
        let verdict = done
            .and_then(|()| self.first_choice(&mut memory, service, old, row, now))
            .and_then(|()| self.switches(&mut memory, service, old, row, core, effects, now))
            .and_then(|()| self.trials(&memory, service, row, now))
            .and_then(|()| self.last_resort(&memory, service, row))
            .and_then(|()| self.joined(&memory, service, old, row, now));
        self.services.insert(row.name.clone(), memory);
        verdict
    }

    // ---- endpoints ------------------------------------------------------------------------------------------------

    /// A standing changes only on evidence.
    fn standing(
        &mut self,
        service: &Service,
        row: &ServiceRow,
        change: &StandingChange,
        changes: usize,
        now: MonoTime,
    ) -> Verdict {
        let pool = service.pools.iter().find(|pool| pool.name == change.pool).ok_or("a pool that is not configured")?;
        let witness = self.endpoints.entry(change.endpoint).or_default();
        let (from, to) = (change.from, change.to);
        if (from.operational, from.cause) == (to.operational, to.cause) {
            return Ok(());
        }
        match (to.operational, to.cause) {
            (Operational::Ejected, Cause::Ordered) => {
                let ordered = matches!(self.ordered.as_ref().map(|act| &act.command), Some(ActCommand::Eject { .. }));
                ensure!(ordered || from.operational != Operational::Healthy, "ejected by an order that was not given");
                let witness = self.endpoints.entry(change.endpoint).or_default();
                (witness.ejected, witness.trials, witness.fails_out) = (Some(now), 0, witness.fails);
            }
            (Operational::Healthy, cause) => {
                // (While a page serves, one good probe is enough.)
                let rise = pool.health_check.as_ref().map_or(0, |check| if self.page { 1 } else { check.rise });
                let needed = match from.cause {
                    Cause::ChecksFailed if witness.proven => rise,
                    Cause::ChecksFailed => rise.min(1),
                    // (Where checks see nothing, a connect that succeeds is enough.)
                    Cause::Refused if cause == Cause::ChecksPassed && !witness.unseen => rise,
                    // (That it lives is enough where nothing else is known.)
                    Cause::Start if witness.lives => 0,
                    Cause::Start => rise.min(1),
                    _ => 0,
                };
                ensure!(witness.passes >= needed || self.reload, "healthy after {} good probes", witness.passes);
                if from.cause == Cause::Refused && cause != Cause::TrialsPassed {
                    ensure!(witness.connected || self.reload, "it refused, and no connect has succeeded since");
                }
                if from.operational == Operational::Ejected {
                    self.restored(pool, change, now)?;
                }
                let witness = self.endpoints.entry(change.endpoint).or_default();
                (witness.ejected, witness.trials, witness.streak) = (None, 0, 0);
                (witness.refused, witness.silent) = (false, false);
                witness.proven = true;
            }
            (Operational::Unhealthy, Cause::Refused) => {
                let silent = witness.silent && service.failover.on_all_down == OnAllDown::FailOpen;
                ensure!(witness.refused || silent, "no connect was refused, or left unanswered where that counts");
                witness.connected = false;
                self.not_rash(row, change, now)?;
            }
            (Operational::Unhealthy, _) => {
                let fall = pool.health_check.as_ref().map_or(1, |check| check.fall);
                let needed = if from.operational == Operational::Checking { 1 } else { fall };
                ensure!(
                    witness.fails >= needed || from.operational != Operational::Healthy || self.reload,
                    "too few bad probes"
                );
            }
            (Operational::Ejected, cause) => {
                let rule = pool.outlier_detection.as_ref().ok_or("there is no in-band rule")?;
                if cause == Cause::Stalled {
                    let silence = witness.silence.ok_or("it answers")?;
                    let proven = witness.failed_suspected || silence.witnesses >= Silence::WITNESSES;
                    ensure!(proven, "no probe has failed, and nobody was answered elsewhere: {silence:?}");
                    ensure!(silence.unanswered >= Silence::UNANSWERED, "a few requests wait: {silence:?}");
                    ensure!(silence.late > witness.passed, "a probe has passed since somebody was late: {silence:?}");
                } else if cause == Cause::Consecutive {
                    ensure!(witness.streak >= rule.consecutive_failures, "only {} failures in a row", witness.streak);
                } else {
                    // (With few exchanges the corroborated rule looks back for longer.)
                    let long = rule.evidence == EvidenceRule::Corroborated;
                    let exchanges: u32 = witness.exchanges.iter().map(|(_, n)| n).sum();
                    ensure!(exchanges >= rule.min_requests || long, "a rate over {exchanges} exchanges");
                }
                (witness.ejected, witness.trials, witness.fails_out) = (Some(now), 0, witness.fails);
                let out = row.pools.iter().find(|row| row.name == pool.name).map_or(0, |row| {
                    row.endpoints.iter().filter(|e| e.standing.operational == Operational::Ejected).count()
                });
                let others = row.pools.iter().any(|other| other.name != pool.name && answers(other));
                let size = pool.members.endpoints().len();
                let cap = ((size as f64 * rule.max_ejected) as usize).max(usize::from(size > 1));
                // what became available or not in the same turn is not seen from here
                ensure!(out <= cap || others || changes > 1, "{out} of {size} ejected, and nobody else can serve");
            }
            (Operational::Checking, _) => return Err("nothing returns to checking".to_owned()),
        }
        Ok(())
    }

    /// A refusal is a verdict when there is no other endpoint to go to, or when it has lasted for longer than a restart.
    fn not_rash(&self, row: &ServiceRow, change: &StandingChange, now: MonoTime) -> Verdict {
        let refusals = &self.endpoints[&change.endpoint].refusals;
        let lasts = refusals.first().zip(refusals.last()).is_some_and(|(first, last)| last.since(*first) >= RESTART);
        let asked =
            |id| self.endpoints.get(&id).is_some_and(|w: &Witness| w.asked.is_some_and(|at| now.since(at) <= CONFIRM));
        let pool = row.pools.iter().find(|pool| pool.name == change.pool).ok_or("a pool that is not there")?;
        let other =
            pool.endpoints.iter().find(|e| e.id != change.endpoint && usable(e) && !e.suspected && !asked(e.id));
        ensure!(lasts || other.is_none() || self.reload, "condemned by one connect, although there is {other:?}");
        Ok(())
    }

    /// No endpoint is suspected but for a silence that no probe has refuted, or for a refused connect.
    fn suspicions(&self, row: &ServiceRow, now: MonoTime) -> Verdict {
        for endpoint in row.pools.iter().flat_map(|pool| &pool.endpoints).filter(|e| e.suspected) {
            let witness = self.endpoints.get(&endpoint.id).ok_or("a stranger is suspected")?;
            let silent =
                witness.silence.is_some_and(|s| s.unanswered >= Silence::UNANSWERED && s.late > witness.passed);
            let refused = witness.refusals.last().is_some_and(|at| now.since(*at) <= RESTART + CONFIRM);
            ensure!(silent || refused, "{} is suspected for nothing: {witness:?}", endpoint.address);
        }
        Ok(())
    }

    /// What in-band evidence condemned is not restored by a green check alone.
    fn restored(&self, pool: &Pool, change: &StandingChange, now: MonoTime) -> Verdict {
        let witness = &self.endpoints[&change.endpoint];
        let Some(ejected) = witness.ejected else { return Ok(()) };
        let out = now.since(ejected);
        let base = pool.outlier_detection.as_ref().map_or_else(Default::default, |rule| rule.base_ejection);
        match change.to.cause {
            Cause::TrialsPassed => ensure!(witness.trials >= 1, "no trial passed"),
            Cause::EjectionOver => {
                let patience = if witness.was_red(pool) { base } else { base * 2 };
                ensure!(out >= patience || self.reload, "checks alone restored it after {out:?}");
            }
            Cause::EvidenceWithdrawn => {}
            Cause::Ordered => {
                let ordered = self.ordered.as_ref().map(|act| &act.command);
                ensure!(matches!(ordered, Some(ActCommand::Uneject { .. })), "its ejection was ended without an order");
            }
            cause => return Err(format!("an ejection ended with {cause:?}")),
        }
        if change.to.cause == Cause::TrialsPassed && witness.trials < TRIALS {
            ensure!(change.evidence.starts_with("a trial"), "only {} trials passed", witness.trials);
        }
        Ok(())
    }

    // ---- switches -------------------------------------------------------------------------------------------------

    /// Follow what operators said and were granted.
    fn orders(&mut self, memory: &mut Memory, service: &Service, effects: &[Effect], now: MonoTime) -> Verdict {
        if memory.pin_ends.take_if(|end| *end <= now).is_some() {
            memory.pin = None;
        }
        let stays = acted(effects).any(|(_, outcome)| match outcome {
            ActOutcome::Partly { stays } => stays.iter().any(|stay| stay.service == service.name),
            _ => false,
        });
        let concerned = |names: &[Name]| names.contains(&service.name) && !stays;
        let refused = acted(effects).any(|(_, outcome)| outcome.is_refused());
        match self.ordered.as_ref().filter(|_| !refused).map(|act| &act.command) {
            Some(ActCommand::Pin { service: name, pool, until }) if *name == service.name => {
                (memory.pin, memory.ordered) = (Some(pool.clone()), false);
                memory.pin_ends = until.as_ref().map(|until| until.at);
            }
            Some(ActCommand::Unpin { service: name }) if *name == service.name => {
                (memory.pin, memory.pin_ends) = (None, None);
            }
            Some(ActCommand::Hold { service: name, scope, until }) if *name == service.name => {
                memory.hold = Some((*scope, until.at));
            }
            Some(ActCommand::Release { service: name }) if *name == service.name => memory.hold = None,
            Some(ActCommand::Evacuate { zone, until, services, .. }) if concerned(services) => {
                memory.evacuated.insert(zone.clone(), until.at);
            }
            Some(ActCommand::Return { zone, services }) if concerned(services) => {
                memory.evacuated.remove(zone);
            }
            Some(ActCommand::Switchover { service: name, pool }) if *name == service.name => {
                memory.ordered = *pool != service.pools[0].name || is_page(service, pool);
            }
            Some(ActCommand::Thaw { service: name }) if *name == service.name => {
                memory.forced.clear();
                memory.frozen = None;
            }
            _ => {}
        }
        memory.pin.take_if(|pin| !service.pools.iter().any(|pool| pool.name == *pin));
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "an oracle looks at everything")]
    fn switches(
        &mut self,
        memory: &mut Memory,
        service: &Service,
        old: Option<&ServiceRow>,
        row: &ServiceRow,
        core: &Decision,
        effects: &[Effect],
        now: MonoTime,
    ) -> Verdict {
        self.wellness(memory, service, row, now);
        let before = memory.active.clone();
        let opened = effects.iter().filter_map(|effect| match effect {
            Effect::Incident(incident) if incident.service == row.name && incident.answered.is_none() => Some(incident),
            _ => None,
        });
        let (held, opened): (Vec<_>, Vec<_>) = opened.partition(|incident| incident.held);
        for incident in held {
            ensure!(memory.may_hold_all(now), "held, and there is no hold: {incident:?}");
            ensure!(incident.actor.is_own() && incident.kind != SwitchKind::Recovery, "held: {incident:?}");
        }
        let (mut count, mut left) = (0, 0);
        for incident in opened {
            count += 1;
            left += usize::from(incident.from.is_some());
            // (two services may switch in one tick, each with an epoch of its own)
            let published = incident.to.is_none() || row.awaiting_answer == Some(incident.epoch);
            ensure!(published && incident.epoch <= core.table().epoch, "an incident of epoch {}", incident.epoch);
            ensure!(
                incident.fault <= incident.detected || forced_is_not(incident),
                "detected before the fault: {incident:?}"
            );
            ensure!(incident.detected <= incident.decided, "decided before it was detected: {incident:?}");
            incident.evidence.iter().filter(|e| e.cause == Cause::Stalled).try_for_each(stalled)?;
            let undone = effects.iter().filter_map(standing_change).any(|c| c.to.cause == Cause::EvidenceWithdrawn);
            self.switch(memory, service, row, (incident, undone), now).map_err(|why| format!("{incident:?}: {why}"))?;
        }
        memory.active = active(row).or(memory.active.take());
        memory.served.extend(serving(row));
        if self.reload && old.is_some_and(|old| old.serving != Serving::Starting) {
            // A pool that a reload brings is held down for.
            memory.served.extend(row.pools.iter().map(|pool| pool.name.clone()));
        }
        let moved = old.is_some_and(|old| moved(old, row));
        if service.mode == Mode::ActivePassive && !self.reload {
            // (What an order chose may be condemned in the same turn.)
            let most = 1 + usize::from(self.ordered.is_some());
            ensure!(count <= most, "{count} switches in one turn");
            ensure!(!moved || count == 1, "moved without an incident from {before:?}");
            let sessions =
                effects.iter().filter(|e| matches!(e, Effect::Sessions { service, .. } if *service == row.name));
            ensure!(sessions.count() == left, "sessions of the pool that was left");
        }
        self.rest(memory, service, row, now)
    }

    /// One switch: was it allowed?
    fn switch(
        &self,
        memory: &mut Memory,
        service: &Service,
        row: &ServiceRow,
        (incident, undone): (&Incident, bool),
        now: MonoTime,
    ) -> Verdict {
        let own = incident.actor.is_own();
        let rule = &service.failover;
        let available = |name: &Name| row.pools.iter().any(|pool| pool.name == *name && pool.available);
        let passive = service.mode == Mode::ActivePassive;
        if own && !self.reload {
            ensure!(memory.pin.is_none(), "pinned, and moved");
        }
        let frozen = memory.frozen.is_some_and(|until| now < until);
        match incident.kind {
            SwitchKind::Failback if own => {
                let avoids = incident.from.as_ref().is_some_and(|from| memory.evacuates(service, from, now));
                ensure!(avoids || rule.failback.mode == FailbackMode::Auto, "failback is manual");
                ensure!(avoids || !memory.ordered, "an operator chose the pool");
                ensure!(!frozen, "frozen until {:?}", memory.frozen);
                ensure!(!memory.held(now), "held, and failed back");
                let to = incident.to.as_ref().ok_or("failed back to nobody")?;
                ensure!(available(to), "failed back to a pool that is not available");
                let leaves = incident.from.as_ref().is_some_and(|from| memory.evacuates(service, from, now));
                ensure!(leaves || !memory.evacuates(service, to, now), "failed back into an evacuated zone");
                let well = memory.well.get(to).copied().ok_or("failed back to a pool that is not well")?;
                let needed = memory.hold_down.min(rule.failback.hold_down) * (1 << memory.relapses);
                let late = !memory.served.contains(to);
                ensure!(late || now.since(well) >= needed, "well for {:?}, held down for {needed:?}", now.since(well));
                memory.elective.push(now);
            }
            SwitchKind::Rollback => {
                let (kind, from, at) = memory.last.clone().ok_or("rolled back the first choice")?;
                ensure!(kind != SwitchKind::Rollback, "rolled back a rollback");
                ensure!(from == incident.to, "rolled back to another pool than {from:?}");
                ensure!(now.since(at) <= rule.confirm_window, "rolled back after the window");
                ensure!(!frozen || undone, "frozen");
                ensure!(!memory.held(now), "held, and rolled back");
                memory.elective.push(now);
            }
            SwitchKind::Failover | SwitchKind::Recovery if !self.reload => {
                let nobody = incident.from.as_ref().is_none_or(|from| is_page(service, from));
                ensure!(
                    (incident.kind == SwitchKind::Recovery) == nobody,
                    "the kind of a switch from {:?}",
                    incident.from
                );
                if let Some(to) = incident.to.as_ref().filter(|_| passive) {
                    let other = |pool: &PoolRow| answers(pool) && !memory.evacuates(service, &pool.name, now);
                    let avoided = memory.evacuates(service, to, now) && row.pools.iter().any(other);
                    ensure!(!avoided, "forced into an evacuated zone although another pool could serve");
                }
                if let Some(from) = &incident.from {
                    ensure!(is_page(service, from) || !memory.holds_all(now), "held, and forced away");
                    ensure!(!available(from) || is_page(service, from), "forced away from an available pool");
                }
                let answers = row.pools.iter().any(answers);
                let page = incident.to.as_ref().is_some_and(|to| is_page(service, to));
                ensure!(!passive || !page || !answers, "forced to a page although somebody could answer");
                let nobody = !row.pools.iter().any(|pool| pool.available);
                ensure!(
                    incident.to.as_ref().is_none_or(|to| available(to) || nobody),
                    "forced to a pool that cannot serve"
                );
            }
            _ => {}
        }
        memory.elective.retain(|at| now.since(*at) < rule.max_failovers.per);
        let bound = (rule.max_failovers.count as usize + 2) * service.pools.len();
        ensure!(!own || memory.elective.len() <= bound, "{} elective switches in a window", memory.elective.len());
        self.remember(memory, service, (incident, undone), passive, now)
    }

    fn remember(
        &self,
        memory: &mut Memory,
        service: &Service,
        (incident, undone): (&Incident, bool),
        passive: bool,
        now: MonoTime,
    ) -> Verdict {
        let rule = &service.failover;
        let forced = incident.kind.is_forced() && !undone;
        let from_page = incident.from.as_ref().is_some_and(|from| is_page(service, from));
        if forced
            && incident.from.is_some()
            && !from_page
            && let Some(home) = memory.failed_back.take()
        {
            memory.relapses = if now.since(home) <= rule.damping { (memory.relapses + 1).min(3) } else { 0 };
        }
        if incident.kind == SwitchKind::Failback {
            memory.failed_back = Some(now);
        }
        let left = incident.from.clone().or(memory.active.clone());
        let others = service.pools.iter().filter(|pool| !is_page(service, &pool.name)).count() > 1;
        let one_outage = memory.forced.last().is_some_and(|last| now.since(*last) <= rule.confirm_window);
        let counts = forced && incident.from.is_some() && !from_page && others && !one_outage;
        ensure!(incident.outage == counts || !passive || self.reload, "an outage: {counts}");
        if passive && counts {
            memory.forced.retain(|at| now.since(*at) < rule.max_failovers.per);
            memory.forced.push(now);
            if let Some(excess) = memory.forced.len().checked_sub(rule.max_failovers.count as usize + 1) {
                let until = memory.forced[excess].after(rule.max_failovers.per);
                memory.frozen = memory.frozen.max(Some(until));
            }
        }
        // (A pool that a reload takes away is left by a switchover of our own.)
        let own = incident.actor.is_own();
        if passive && (!self.reload || own) {
            // (A drain or an evacuation leaves a pool, and chooses none to stay on.)
            let chosen = matches!(self.ordered.as_ref().map(|act| &act.command), Some(ActCommand::Switchover { .. }));
            memory.ordered = memory.ordered && incident.kind == SwitchKind::Switchover && !own && chosen;
        }
        memory.active = incident.to.clone().or(left);
        memory.last = Some((incident.kind, incident.from.clone(), now));
        Ok(())
    }

    /// Since when each pool has been well, as generously as it can be seen from outside: healthy, or ejected for longer than
    /// the shortest ejection, or until its checks saw the trouble too.
    fn wellness(&self, memory: &mut Memory, service: &Service, row: &ServiceRow, now: MonoTime) {
        if memory.hold_down != service.failover.failback.hold_down && !self.reload && memory.hold_down.is_zero() {
            memory.hold_down = service.failover.failback.hold_down;
        }
        if self.reload {
            memory.hold_down = service.failover.failback.hold_down;
        }
        for (pool, config) in row.pools.iter().zip(&service.pools) {
            let base = config.outlier_detection.as_ref().map_or_else(Default::default, |rule| rule.base_ejection);
            let well = |e: &&EndpointRow| {
                let ended = |w: &Witness| w.was_red(config) || w.ejected.is_none_or(|at| now.since(at) >= base);
                let over = self.endpoints.get(&e.id).is_none_or(ended);
                e.standing.administrative == Administrative::Ready
                    && (e.standing.operational == Operational::Healthy
                        || e.standing.operational == Operational::Ejected && over)
            };
            let enough = pool.endpoints.iter().filter(well).count() >= service.failover.min_healthy.max(1);
            if enough || config.members.endpoints().is_empty() {
                memory.well.entry(pool.name.clone()).or_insert(now);
            } else {
                memory.well.remove(&pool.name);
            }
        }
        memory.well.retain(|name, _| row.pools.iter().any(|pool| pool.name == *name));
    }

    /// Where the service must be after any turn.
    fn rest(&self, memory: &mut Memory, service: &Service, row: &ServiceRow, now: MonoTime) -> Verdict {
        if row.serving != Serving::Starting
            && let Some(resume) = memory.resume.take()
            && service.mode == Mode::ActivePassive
            && !self.reload
        {
            let kept = active(row).as_ref() == Some(&resume);
            let gone = !service.pools.iter().any(|pool| pool.name == resume);
            let left = memory.last.as_ref().is_some_and(|(_, from, _)| from.as_ref() == Some(&resume));
            ensure!(kept || gone || left || memory.pin.is_some(), "the restart left {resume} silently");
        }
        if let Some(pin) = &memory.pin {
            let held = match &row.serving {
                Serving::Starting => true,
                Serving::Active(active) => row.pools[*active].name == *pin,
                Serving::Shared(shares) => {
                    shares.iter().zip(&row.pools).all(|(share, pool)| (*share > 0) == (pool.name == *pin))
                }
                Serving::Down => false,
            };
            return if held { Ok(()) } else { Err(format!("pinned to {pin}, but {:?}", row.serving)) };
        }
        // (While a hold says so, the service stays where it is.)
        let somebody = row.pools.iter().any(|pool| pool.available) && !memory.may_hold_all(now);
        match &row.serving {
            Serving::Starting => {}
            Serving::Down => ensure!(!somebody, "nobody serves although somebody could"),
            Serving::Active(active) => {
                ensure!(row.pools[*active].available || !somebody, "an available pool is left unused");
                let page = row.pools[*active].endpoints.is_empty();
                let answered = !page || memory.ordered || !row.pools.iter().any(answers);
                ensure!(answered, "a page is shown although somebody could answer");
            }
            Serving::Shared(shares) => {
                let served = shares.iter().zip(&row.pools).any(|(share, pool)| *share > 0 && pool.available);
                ensure!(served || !somebody, "an available pool is left unused");
            }
        }
        Ok(())
    }

    /// A lower pool is the first choice only when those before it have been probed, or time is up.
    fn first_choice(
        &self,
        memory: &mut Memory,
        service: &Service,
        old: Option<&ServiceRow>,
        row: &ServiceRow,
        now: MonoTime,
    ) -> Verdict {
        if row.serving == Serving::Starting {
            memory.starting.get_or_insert(now);
            return Ok(());
        }
        let Some(since) = memory.starting.take() else { return Ok(()) };
        if !memory.evacuated.is_empty() {
            return Ok(()); // other pools are better than usual
        }
        let timeouts = service.pools.iter().filter_map(|pool| pool.health_check.as_ref()).map(|check| check.timeout);
        let waited = now.since(since) > timeouts.max().unwrap_or_default();
        let Serving::Active(active) = row.serving else { return Ok(()) };
        if self.reload || waited || memory.pin.is_some() || old.is_none() || memory.last.is_some() {
            return Ok(());
        }
        let unasked = row.pools[..active].iter().flat_map(|pool| &pool.endpoints).any(|endpoint| {
            let asked = self.endpoints.get(&endpoint.id).is_some_and(|w| w.lives || w.passes > 0 || w.fails > 0);
            endpoint.standing.operational == Operational::Checking && !asked
        });
        let chosen = memory.active.is_some() || memory.resume.is_some();
        ensure!(!unasked || chosen, "chose a lower pool before the better ones were asked");
        Ok(())
    }

    /// Live trials outside the serving pool are the last step before going home, and nothing else.
    fn trials(&self, memory: &Memory, service: &Service, row: &ServiceRow, now: MonoTime) -> Verdict {
        let Serving::Active(active) = row.serving else { return Ok(()) };
        if shows_a_page(service, row) {
            return Ok(()); // the outage goes on: all that is out is tried
        }
        for (place, pool) in row.pools.iter().enumerate().filter(|(place, _)| *place != active) {
            if !pool.endpoints.iter().any(|endpoint| endpoint.admission == Admission::Trial) {
                continue;
            }
            let rank = |place: usize| (memory.evacuates(service, &row.pools[place].name, now), place);
            ensure!(rank(place) < rank(active), "live trials in a standby pool");
            ensure!(!memory.held(now), "live trials although a hold keeps it from going home");
            ensure!(service.failover.failback.mode == FailbackMode::Auto, "live trials although failback is manual");
            ensure!(memory.pin.is_none() && !memory.ordered, "live trials against an operator's word");
            ensure!(memory.frozen.is_none_or(|until| until <= now), "live trials while frozen");
            if !memory.served.contains(&pool.name) {
                continue;
            }
            let well = memory.well.get(&pool.name).copied().ok_or("live trials in a pool that is not well")?;
            let needed = memory.hold_down.min(service.failover.failback.hold_down) * (1 << memory.relapses);
            ensure!(now.since(well) >= needed, "live trials before the hold-down is over");
        }
        Ok(())
    }

    /// A service is down only when no endpoint is left that fails nothing but its checks.
    fn last_resort(&self, memory: &Memory, service: &Service, row: &ServiceRow) -> Verdict {
        if row.serving != Serving::Down || service.failover.on_all_down == OnAllDown::FailClosed || memory.pin.is_some()
        {
            return Ok(());
        }
        let left = row.pools.iter().flat_map(|pool| &pool.endpoints).find(|endpoint| {
            let cause = (endpoint.standing.operational, endpoint.standing.cause);
            let good = self.endpoints.get(&endpoint.id).is_some_and(|witness| witness.last_good);
            let ready = endpoint.standing.administrative == Administrative::Ready;
            ready && good && cause == (Operational::Unhealthy, Cause::ChecksFailed)
        });
        ensure!(left.is_none(), "nobody serves, although {left:?} fails only its checks");
        Ok(())
    }

    /// Slow start begins when an endpoint joins others that serve already, and only then.
    fn joined(
        &self,
        memory: &Memory,
        service: &Service,
        old: Option<&ServiceRow>,
        row: &ServiceRow,
        now: MonoTime,
    ) -> Verdict {
        let serves = |row: &ServiceRow, pool: usize| match &row.serving {
            Serving::Active(active) => *active == pool,
            Serving::Shared(shares) => shares.get(pool).is_some_and(|share| *share > 0),
            Serving::Starting | Serving::Down => false,
        };
        for (place, pool) in row.pools.iter().enumerate() {
            let before = old.filter(|_| !self.reload).and_then(|old| old.pools.get(place).map(|pool| (old, pool)));
            let served = before.is_some_and(|(old, pool)| {
                serves(old, place) && pool.endpoints.iter().any(|e| e.admission == Admission::Open)
            });
            for (index, endpoint) in pool.endpoints.iter().enumerate() {
                let open = endpoint.admission == Admission::Open && serves(row, place);
                ensure!(open || endpoint.joined.is_none(), "{} joined a pool that does not serve", endpoint.address);
                // (endpoints that answer in the first round of probes do not join others: they begin together)
                let first_round = memory.appeared.is_none_or(|at| now.since(at) < Duration::from_millis(700));
                let was = before.map(|(_, pool)| pool.endpoints[index].admission);
                let joins = open && served && !first_round && was.is_some_and(|was| was != Admission::Open);
                ensure!(!joins || endpoint.joined == Some(now), "{} of {} joins cold", endpoint.address, service.name);
            }
        }
        Ok(())
    }

    // ---- traffic --------------------------------------------------------------------------------------------------

    fn unheard(&mut self, endpoint: EndpointId, kind: AnswerKind) -> &mut Unheard {
        &mut self.endpoints.entry(endpoint).or_default().unheard[kind as usize]
    }

    /// It gets a request, or a connect.
    pub fn asked(&mut self, endpoint: EndpointId, kind: AnswerKind, now: MonoTime) {
        let unheard = self.unheard(endpoint, kind);
        if unheard.asked > 0 && now.since(unheard.since) >= REMEMBERED {
            (unheard.asked, unheard.witnesses) = (0, 0);
        }
        if unheard.asked == 0 {
            unheard.since = now;
        }
        unheard.asked += 1;
    }

    /// It answers.
    pub fn heard(&mut self, endpoint: EndpointId, kind: AnswerKind, now: MonoTime) {
        *self.unheard(endpoint, kind) = Unheard { heard: now, ..Unheard::default() };
    }

    /// The request or connect that began then is not waited for any more.
    pub fn excused(&mut self, endpoint: EndpointId, kind: AnswerKind, asked: MonoTime) {
        let unheard = self.unheard(endpoint, kind);
        if unheard.heard < asked && unheard.asked > 0 {
            unheard.asked -= 1;
            if unheard.asked == 0 {
                unheard.witnesses = 0;
            }
        }
    }

    /// A request that waits for it was answered elsewhere, or its kernel acknowledges nothing.
    pub fn witnessed(&mut self, endpoint: EndpointId, kind: AnswerKind, asked: MonoTime) {
        let unheard = self.unheard(endpoint, kind);
        unheard.witnesses += u32::from(unheard.heard < asked);
    }

    /// A digest is taken: a silence is exactly what was asked and not answered.
    pub fn swept(&mut self, endpoint: EndpointId, digest: &Digest) -> Verdict {
        let Some(silence) = digest.silence else { return Ok(()) };
        let unheard = self.endpoints.entry(endpoint).or_default().unheard;
        let told = |u: &Unheard| (u.asked, u.witnesses) == (silence.unanswered, silence.witnesses);
        ensure!(unheard.iter().any(told), "told {silence:?}, while {unheard:?}");
        Ok(())
    }

    /// A try is about to send its first byte.
    pub fn tries(&self, start: &TryStart<'_>) -> Verdict {
        let TryStart { view, choice, crossing, safe, .. } = *start;
        let pool = &view.pools[choice.pool];
        let endpoint = &pool.endpoints[choice.endpoint];
        ensure!(endpoint.standing.administrative == Administrative::Ready, "a try at an endpoint out of use");
        let wanted = if choice.trial { Admission::Trial } else { Admission::Open };
        ensure!(endpoint.admission == wanted, "{:?} got a try (trial: {})", endpoint.admission, choice.trial);
        match &view.serving {
            Serving::Active(active) => {
                let mixed = *active != choice.pool && !crossing && !choice.trial;
                ensure!(!mixed, "mixed traffic: {} beside the active pool", pool.name);
                ensure!(
                    !choice.trial || safe || *active == choice.pool,
                    "a trial that is not safe beside the active pool"
                );
            }
            Serving::Shared(shares) => {
                ensure!(shares[choice.pool] > 0 || choice.trial || crossing, "a pool without a share")
            }
            Serving::Down => ensure!(choice.trial, "a try although nobody serves"),
            Serving::Starting => return Err("a try before the first choice".to_owned()),
        }
        ensure!(safe || start.beside.is_none(), "a hedge of a request that is not safe");
        let same = start.beside == Some(choice.id) && !choice.again;
        ensure!(!same, "a hedge to the endpoint that does not answer");
        let better = pool.endpoints.iter().find(|other| {
            let room = other.max_connections.is_none_or(|max| other.stats.in_flight() < max);
            other.admission == Admission::Open && !other.suspected && room && !start.tried.contains(other.id)
        });
        let better = better.filter(|_| endpoint.suspected && !choice.trial);
        ensure!(
            better.is_none(),
            "{} is suspected and got a try before {:?}",
            endpoint.address,
            better.map(|b| b.address)
        );
        Ok(())
    }
}

/// All endpoints of a table.
pub fn endpoints_of(table: &Table) -> impl Iterator<Item = &EndpointRow> {
    table.services.iter().flat_map(|row| &row.pools).flat_map(|pool| &pool.endpoints)
}

/// A pool is left because of stalled endpoints only with proof.
fn stalled(evidence: &Evidence) -> Verdict {
    let detail = &evidence.detail;
    let number = |before: &str| detail.split(before).next()?.rsplit(' ').next()?.parse().ok();
    let unanswered: u32 = number(" requests without an answer").unwrap_or(0);
    let witnesses: u32 = number(" of them answered elsewhere").unwrap_or(0);
    let proven = witnesses >= Silence::WITNESSES || detail.ends_with("a probe failed");
    let tried = detail.ends_with("trial requests failed"); // proven before
    ensure!(tried || proven && unanswered >= Silence::UNANSWERED, "left because of {evidence:?}");
    Ok(())
}

/// The row has the shape of its configuration.
fn shape(service: &Service, row: &ServiceRow) -> Verdict {
    ensure!(row.pools.len() == service.pools.len(), "other pools than configured");
    for (pool, config) in row.pools.iter().zip(&service.pools) {
        ensure!(pool.name == config.name, "pool {} in the place of {}", pool.name, config.name);
        ensure!(pool.endpoints.len() == config.members.endpoints().len(), "other endpoints than configured");
        let usable = pool.endpoints.iter().filter(|e| usable(e)).count();
        let is_static = config.members.endpoints().is_empty();
        ensure!(
            pool.available == (is_static || usable >= service.failover.min_healthy.max(1)),
            "availability of {}",
            pool.name
        );
    }
    match (&row.serving, service.mode) {
        (Serving::Shared(_), Mode::ActivePassive) => return Err("shares in active_passive".to_owned()),
        (Serving::Active(_), Mode::ActiveActive) => return Err("one active pool in active_active".to_owned()),
        (Serving::Active(active), _) => ensure!(*active < row.pools.len(), "an active pool that does not exist"),
        (Serving::Shared(shares), _) => {
            ensure!(shares.len() == row.pools.len() && shares.iter().any(|share| *share > 0), "shares {shares:?}");
        }
        _ => {}
    }
    Ok(())
}

/// Does it give a static response, which is no service?
pub fn is_page(service: &Service, pool: &Name) -> bool {
    service.pools.iter().any(|config| config.name == *pool && config.members.endpoints().is_empty())
}

/// A page serves.
fn shows_a_page(service: &Service, row: &ServiceRow) -> bool {
    let serving = serving(row);
    !serving.is_empty() && serving.iter().all(|pool| is_page(service, pool))
}

/// The pools that serve.
fn serving(row: &ServiceRow) -> Vec<Name> {
    match &row.serving {
        Serving::Active(active) => vec![row.pools[*active].name.clone()],
        Serving::Shared(shares) => {
            let shares = shares.iter().zip(&row.pools).filter(|(share, _)| **share > 0);
            shares.map(|(_, pool)| pool.name.clone()).collect()
        }
        Serving::Starting | Serving::Down => Vec::new(),
    }
}

/// An endpoint of this pool can answer.
fn answers(pool: &PoolRow) -> bool {
    pool.available && !pool.endpoints.is_empty()
}

fn usable(endpoint: &EndpointRow) -> bool {
    endpoint.standing.operational == Operational::Healthy && endpoint.standing.administrative == Administrative::Ready
}

/// What may be sent to an endpoint follows from its standing and from which pool serves.
fn admission(service: &Service, row: &ServiceRow, pool: &PoolRow, endpoint: &EndpointRow) -> Verdict {
    let standing = endpoint.standing;
    let mut configured = service.pools.iter().flat_map(|pool| pool.members.endpoints());
    let configured = configured.find(|configured| configured.address == endpoint.address).map(|found| found.weight);
    // (An operator's weight stands in the place of the configured one.)
    let weightless = endpoint.weight.or(configured) == Some(0);
    ensure!(
        !weightless || standing.administrative != Administrative::Ready,
        "{} has weight 0 and is in use",
        endpoint.address
    );
    if standing.administrative != Administrative::Ready {
        ensure!(endpoint.admission == Admission::Closed, "{} is out of use, but not closed", endpoint.address);
        return Ok(());
    }
    let fail_open = service.failover.on_all_down == OnAllDown::FailOpen;
    match (standing.operational, endpoint.admission) {
        (Operational::Healthy, admission) => {
            ensure!(admission == Admission::Open, "{} is healthy, but {admission:?}", endpoint.address)
        }
        (Operational::Unhealthy, Admission::Open) => {
            ensure!(
                fail_open && !pool.available && standing.cause == Cause::ChecksFailed,
                "{} is open",
                endpoint.address
            );
        }
        (_, Admission::Open) => return Err(format!("{} is open, but {:?}", endpoint.address, standing)),
        (Operational::Unhealthy | Operational::Checking, Admission::Trial) => {
            ensure!(fail_open, "{} is tried although it fails closed", endpoint.address);
            ensure!(!pool.available, "{} is tried although its pool can serve", endpoint.address);
        }
        (Operational::Ejected, Admission::Trial) | (_, Admission::Closed) => {}
    }
    if (row.serving == Serving::Down) && fail_open {
        ensure!(endpoint.admission != Admission::Closed, "{} gets no trial although nobody serves", endpoint.address);
    }
    Ok(())
}

fn standing_change(effect: &Effect) -> Option<&StandingChange> {
    match effect {
        Effect::Standing(change) => Some(change),
        _ => None,
    }
}

fn forced_is_not(incident: &Incident) -> bool {
    !incident.kind.is_forced()
}

/// The active pool.
pub fn active(row: &ServiceRow) -> Option<Name> {
    row.serving.active().map(|active| row.pools[active].name.clone())
}

/// Did the service go from one place to another (the first choice is no such move)?
fn moved(old: &ServiceRow, row: &ServiceRow) -> bool {
    let from = match &old.serving {
        Serving::Active(_) => active(old),
        Serving::Down => None,
        _ => return false,
    };
    from != active(row) && (from.is_some() || row.serving != Serving::Down) && from.is_some()
}

/// The answers to acts.
pub fn acted(effects: &[Effect]) -> impl Iterator<Item = (ActId, &ActOutcome)> {
    effects.iter().filter_map(|effect| match effect {
        Effect::Acted { act, outcome, .. } => Some((*act, outcome)),
        _ => None,
    })
}

fn rank(effect: &Effect) -> u8 {
    match effect {
        Effect::Publish => 0,
        Effect::Sessions { .. } => 1,
        Effect::ConfirmConnect { .. }
        | Effect::CheckReach { .. }
        | Effect::ProbeNow { .. }
        | Effect::ProbePace { .. } => 2,
        Effect::Incident(_) | Effect::Transition(_) | Effect::RunFence { .. } => 3,
        Effect::Standing(_) | Effect::Held { .. } | Effect::Acted { .. } | Effect::Condition(_) | Effect::Alert(_) => 4,
        Effect::Persist => 5,
    }
}

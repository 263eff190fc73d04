//! Each precondition missing in turn, the stages, and a world in which everything fails at random.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::obstacle::{PromotionCandidate, WitnessReport};
use super::*;

const AFTER: Duration = Duration::from_secs(10);
const WITHIN: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(20);
const A: EndpointId = EndpointId(0);
const B: EndpointId = EndpointId(1);
const C: EndpointId = EndpointId(2);

const RULE: PromotionRule =
    PromotionRule { sole_instance: true, after: AFTER, within: WITHIN, rpo: Some(RecoveryPoint::Bytes(100)) };

fn at(seconds: u64) -> MonoTime {
    MonoTime::from_micros(seconds * 1_000_000)
}

const NOW: u64 = 100;

fn replica(endpoint: EndpointId, offset: u64) -> PromotionCandidate {
    PromotionCandidate {
        endpoint,
        timeline: 1,
        offset,
        witness: WitnessReport::NoReceiver { heard: at(NOW - 10), timeout: Some(TIMEOUT) },
        lost_bytes: Some(100),
        lost_since: Some(at(NOW - 10)),
    }
}

/// Nothing is in the way.
fn facts(candidates: &[PromotionCandidate]) -> PromotionFacts<'_> {
    PromotionFacts {
        holder_fails_since: Some(at(NOW - 10)),
        primary: None,
        is_served: false,
        is_held: false,
        candidates,
        fenced: true,
        has_hook: false,
    }
}

fn is_kept_back_by(rule: PromotionRule, facts: &PromotionFacts<'_>, obstacle: Obstacle) {
    let mut promotion = Promotion::default();
    assert_eq!(promotion.obstacles(rule, facts, at(NOW)), std::slice::from_ref(&obstacle));
    let wanted = if obstacle == Obstacle::NotFenced { vec![PromotionStep::EndSessions] } else { Vec::new() };
    assert_eq!(promotion.advance(rule, facts, at(NOW)), wanted, "{obstacle}");
    assert!(!obstacle.to_string().is_empty());
}

type CandidateChange = fn(&mut PromotionCandidate);

#[test]
fn each_precondition_that_is_missing_is_named() {
    let whole = [replica(B, 50), replica(C, 40)];
    let good = facts(&whole);
    is_kept_back_by(PromotionRule { sole_instance: false, ..RULE }, &good, Obstacle::NotSole);
    is_kept_back_by(PromotionRule { rpo: None, ..RULE }, &good, Obstacle::NoObjective);
    is_kept_back_by(RULE, &PromotionFacts { is_held: true, ..facts(&whole) }, Obstacle::Held);
    is_kept_back_by(RULE, &PromotionFacts { holder_fails_since: None, ..facts(&whole) }, Obstacle::HolderAnswers);
    let briefly = Some(MonoTime::from_micros(NOW * 1_000_000 - 9_999_999));
    is_kept_back_by(
        RULE,
        &PromotionFacts { holder_fails_since: briefly, ..facts(&whole) },
        Obstacle::HolderFailsBriefly,
    );
    is_kept_back_by(RULE, &PromotionFacts { primary: Some((A, 1)), ..facts(&whole) }, Obstacle::PrimaryHeard);
    is_kept_back_by(RULE, &PromotionFacts { fenced: false, ..facts(&whole) }, Obstacle::NotFenced);
    is_kept_back_by(RULE, &facts(&[]), Obstacle::NoCandidate);
    let with = |change: CandidateChange| {
        let mut candidates = whole.clone();
        change(&mut candidates[0]);
        candidates
    };
    let cases: [(CandidateChange, Obstacle); 10] = [
        (
            |b| b.witness = WitnessReport::NoReceiver { heard: at(NOW - 26), timeout: Some(TIMEOUT) },
            Obstacle::WitnessLostBefore,
        ),
        (|b| b.witness = WitnessReport::NoReceiver { heard: at(NOW - 16), timeout: None }, Obstacle::WitnessLostBefore),
        (|b| b.witness = WitnessReport::Unreadable, Obstacle::WitnessUnreadable),
        (
            |b| b.witness = WitnessReport::NoReceiver { heard: at(NOW - 9), timeout: Some(TIMEOUT) },
            Obstacle::WitnessHears,
        ),
        (
            |b| b.witness = WitnessReport::Receiver { heard: at(NOW - 9), timeout: Some(TIMEOUT) },
            Obstacle::WitnessHears,
        ),
        (
            |b| b.witness = WitnessReport::Receiver { heard: at(NOW - 14), timeout: Some(TIMEOUT) },
            Obstacle::WitnessUnsure,
        ),
        (|b| b.witness = WitnessReport::Receiver { heard: at(0), timeout: None }, Obstacle::WitnessUnsure),
        (|b| b.lost_bytes = None, Obstacle::LossUnknown),
        (|b| b.lost_bytes = Some(101), Obstacle::BeyondRpo),
        // (C has less of the log, and hears the primary: it lives.)
        (|b| b.endpoint = C, Obstacle::WitnessHears),
    ];
    for (change, obstacle) in cases {
        let mut candidates = with(change);
        if candidates[0].endpoint == C {
            candidates[0].endpoint = B;
            candidates[1].witness = WitnessReport::Receiver { heard: at(NOW), timeout: Some(TIMEOUT) };
        }
        is_kept_back_by(RULE, &facts(&candidates), obstacle);
    }
    let time = PromotionRule { rpo: Some(RecoveryPoint::Time(Duration::from_secs(9))), ..RULE };
    is_kept_back_by(time, &good, Obstacle::BeyondRpo);
    is_kept_back_by(time, &facts(&with(|b| b.lost_since = None)), Obstacle::LossUnknown);
}

#[test]
fn a_receiver_that_would_have_heard_by_now_is_a_witness() {
    let mut whole = [replica(B, 50)];
    whole[0].witness = WitnessReport::Receiver { heard: at(NOW - 15), timeout: Some(TIMEOUT) };
    assert_eq!(Promotion::default().obstacles(RULE, &facts(&whole), at(NOW)), []);
    // Up to half of its timeout before the holder failed here an idle primary may have been silent.
    whole[0].witness = WitnessReport::NoReceiver { heard: at(NOW - 25), timeout: Some(TIMEOUT) };
    assert_eq!(Promotion::default().obstacles(RULE, &facts(&whole), at(NOW)), []);
}

#[test]
fn the_replica_with_most_of_the_log_is_promoted_once() {
    let whole = [replica(C, 40), replica(B, 50)];
    let mut promotion = Promotion::default();
    let fenced = PromotionFacts { has_hook: true, ..facts(&whole) };
    let unfenced = PromotionFacts { fenced: false, has_hook: true, ..facts(&whole) };
    assert_eq!(promotion.advance(RULE, &unfenced, at(NOW)), [PromotionStep::EndSessions]);
    assert_eq!(promotion.advance(RULE, &unfenced, at(NOW + 100)), [], "it is waited for, however long that takes");
    assert_eq!(promotion.advance(RULE, &fenced, at(NOW + 100)), [PromotionStep::RunHook(B)]);
    assert_eq!(promotion.advance(RULE, &fenced, at(NOW + 101)), []);
    assert_eq!(promotion.hook_answered(RULE, Ok(()), at(NOW + 102)), []);
    assert_eq!(promotion.advance(RULE, &fenced, at(NOW + 102)), [PromotionStep::Save(1)], "the intent is saved first");
    assert_eq!(promotion.advance(RULE, &fenced, at(NOW + 103)), []);
    assert_eq!(promotion.saved(0, RULE, &fenced, at(NOW + 103)), [], "an earlier write has no intent");
    assert_eq!(promotion.saved(1, RULE, &fenced, at(NOW + 103)), [PromotionStep::Call(B)]);
    assert_eq!(promotion.saved(1, RULE, &fenced, at(NOW + 103)), [], "once");
    promotion.refused("57P03".into());
    // What it was answered proves nothing: the role and a later timeline do.
    let same = PromotionFacts { primary: Some((B, 1)), ..facts(&whole) };
    assert_eq!(promotion.advance(RULE, &same, at(NOW + 104)), []);
    let proven = PromotionFacts { primary: Some((B, 2)), ..facts(&whole) };
    let refusal = Some("57P03".to_owned());
    let result = PromotionResult { candidate: B, outcome: PromotionOutcome::Promoted, took_ms: 3000, refusal };
    assert_eq!(promotion.advance(RULE, &proven, at(NOW + 105)), [PromotionStep::End(result), PromotionStep::Save(2)]);
    assert_eq!(promotion.obstacles(RULE, &fenced, at(NOW + 106)), [Obstacle::Spent]);
    assert_eq!(promotion.advance(RULE, &fenced, at(NOW + 500)), [], "not again until a primary has served");
    promotion.advance(RULE, &PromotionFacts { is_served: true, primary: Some((B, 2)), ..facts(&whole) }, at(NOW + 501));
    assert_eq!(promotion.advance(RULE, &unfenced, at(NOW + 502)), [PromotionStep::EndSessions]);
}

/// Up to the saving of the intent, without a hook.
fn saving(whole: &[PromotionCandidate]) -> Promotion {
    let mut promotion = Promotion::default();
    let steps = promotion.advance(RULE, &facts(whole), at(NOW));
    assert_eq!(steps, [PromotionStep::EndSessions, PromotionStep::Save(1)]);
    promotion
}

#[test]
fn what_comes_up_before_the_call_calls_it_off() {
    let whole = [replica(B, 50)];
    let mut heard = whole.clone();
    heard[0].witness = WitnessReport::Receiver { heard: at(NOW), timeout: Some(TIMEOUT) };
    let answers = |whole| PromotionFacts { holder_fails_since: None, ..facts(whole) };
    let mut promotion = saving(&whole);
    let steps = promotion.saved(1, RULE, &facts(&heard), at(NOW));
    assert_eq!(steps, [PromotionStep::Withdraw(Obstacle::WitnessHears), PromotionStep::Save(2)]);
    assert_eq!(promotion.stage, PromotionStage::Watching, "it may begin again: nothing was ordered");
    let unfenced = PromotionFacts { fenced: false, ..facts(&whole) };
    let steps = saving(&whole).saved(1, RULE, &unfenced, at(NOW));
    assert_eq!(steps, [PromotionStep::Withdraw(Obstacle::NotFenced), PromotionStep::Save(2)]);
    // While the sessions end, and while the hook runs.
    let mut promotion = Promotion::default();
    promotion.advance(RULE, &unfenced, at(NOW));
    assert_eq!(promotion.advance(RULE, &answers(&whole), at(NOW)), [PromotionStep::Withdraw(Obstacle::HolderAnswers)]);
    let hooked = PromotionFacts { has_hook: true, ..facts(&whole) };
    promotion.advance(RULE, &hooked, at(NOW));
    assert_eq!(promotion.advance(RULE, &answers(&whole), at(NOW)), [PromotionStep::Withdraw(Obstacle::HolderAnswers)]);
    // Another replica is further by then.
    promotion.advance(RULE, &hooked, at(NOW));
    let further = [replica(B, 50), replica(C, 60)];
    let steps = promotion.advance(RULE, &PromotionFacts { has_hook: true, ..facts(&further) }, at(NOW));
    assert_eq!(steps, [PromotionStep::Withdraw(Obstacle::AnotherIsAhead)]);
    assert_eq!(promotion.hook_answered(RULE, Ok(()), at(NOW)), [], "the hook was run for another one");
    assert!(matches!(promotion.stage, PromotionStage::Watching));
}

#[test]
fn a_hook_that_fails_is_run_again_after_a_pause() {
    let whole = [replica(B, 50)];
    let hooked = PromotionFacts { has_hook: true, ..facts(&whole) };
    let mut promotion = Promotion::default();
    promotion.advance(RULE, &hooked, at(NOW));
    let steps = promotion.hook_answered(RULE, Err("1".into()), at(NOW));
    assert_eq!(steps, [PromotionStep::Withdraw(Obstacle::HookFailed("1".into()))]);
    assert_eq!(promotion.deadline(), Some(at(NOW + 10)));
    assert_eq!(promotion.advance(RULE, &hooked, at(NOW + 9)), []);
    let steps = promotion.advance(RULE, &hooked, at(NOW + 10));
    assert_eq!(steps, [PromotionStep::EndSessions, PromotionStep::RunHook(B)]);
}

#[test]
fn it_ends_in_time_or_is_overtaken() {
    let whole = [replica(B, 50)];
    let called = || {
        let mut promotion = saving(&whole);
        assert_eq!(promotion.saved(1, RULE, &facts(&whole), at(NOW)), [PromotionStep::Call(B)]);
        promotion
    };
    let ends = |promotion: &mut Promotion, facts: &PromotionFacts<'_>, now| match &promotion.advance(RULE, facts, now)[..]
    {
        [PromotionStep::End(result), PromotionStep::Save(_)] => Some(result.outcome),
        [] => None,
        steps => panic!("{steps:?}"),
    };
    let mut late = called();
    assert_eq!(late.deadline(), Some(at(NOW + 30)));
    assert_eq!(ends(&mut late, &facts(&whole), at(NOW + 29)), None);
    assert_eq!(ends(&mut late, &facts(&whole), at(NOW + 30)), Some(PromotionOutcome::Late));
    assert_eq!(late.advance(RULE, &facts(&whole), at(NOW + 60)), [], "it is spent");
    let other = PromotionFacts { primary: Some((C, 2)), ..facts(&whole) };
    assert_eq!(ends(&mut called(), &other, at(NOW + 1)), Some(PromotionOutcome::Overtaken));
}

#[test]
fn a_restart_verifies_and_never_repeats() {
    let whole = [replica(B, 50)];
    let read = |promotion: &Promotion| -> Promotion {
        let text = serde_json::to_string(promotion).expect("a state");
        serde_json::from_str::<Promotion>(&text).expect("a saved state").restored()
    };
    // The intent was on the disk: whether the call was made is not known.
    let mut again = read(&saving(&whole));
    assert_eq!(again.saved(1, RULE, &facts(&whole), at(NOW)), []);
    assert_eq!(again.advance(RULE, &facts(&whole), at(NOW + 1)), []);
    let proven = PromotionFacts { primary: Some((B, 2)), ..facts(&whole) };
    assert!(matches!(again.advance(RULE, &proven, at(NOW + 2))[..], [PromotionStep::End(_), PromotionStep::Save(_)]));
    assert_eq!(read(&again).obstacles(RULE, &facts(&whole), at(NOW)), [Obstacle::Spent]);
    // Before that nothing was ordered.
    let mut fencing = Promotion::default();
    fencing.advance(RULE, &PromotionFacts { fenced: false, ..facts(&whole) }, at(NOW));
    assert_eq!(read(&fencing), Promotion::default());
}

// ---- a world --------------------------------------------------------------------------------------------------------

/// A primary with two replicas, their links, and a process that is killed at any step. What is true is known here alone.
struct World {
    rng: Rng,
    now: u64,
    /// The server that is the right primary.
    primary: usize,
    timeline: u32,
    servers: [Server; 3],
    /// Replicas reach the primary.
    links: [bool; 3],
    /// This process reaches the servers.
    reaches: [bool; 3],
    machine: Promotion,
    /// What is on the disk, and what will be there in a moment.
    disk: Promotion,
    writes: Option<(u64, u64, Promotion)>,
    fails_since: Option<u64>,
    fences: Option<u64>,
    fenced: bool,
    hook: Option<(u64, bool)>,
    /// A server that was told to become primary does so then.
    promotes: Option<(u64, usize)>,
    called: bool,
    served: bool,
    seen: BTreeMap<&'static str, u32>,
}

#[derive(Clone, Copy)]
struct Server {
    alive: bool,
    /// Its postmaster lets no fresh login in; its processes go on.
    hangs: bool,
    is_primary: bool,
    timeline: u32,
    offset: u64,
    heard: u64,
}

const SECOND: u64 = 1_000_000;

impl World {
    fn new(seed: u64) -> World {
        let server = |n| Server { alive: true, hangs: false, is_primary: n == 0, timeline: 1, offset: 100, heard: 0 };
        World {
            rng: Rng::with_seed(seed),
            now: 1000 * SECOND,
            primary: 0,
            timeline: 1,
            servers: [server(0), server(1), server(2)],
            links: [true; 3],
            reaches: [true; 3],
            machine: Promotion::default(),
            disk: Promotion::default(),
            writes: None,
            fails_since: None,
            fences: None,
            fenced: false,
            hook: None,
            promotes: None,
            called: false,
            served: true,
            seen: BTreeMap::new(),
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn time(&self) -> MonoTime {
        MonoTime::from_micros(self.now)
    }

    fn answers(&self, n: usize) -> bool {
        self.servers[n].alive && !self.servers[n].hangs && self.reaches[n]
    }

    /// This replica gets what the primary sends.
    fn hears(&self, n: usize) -> bool {
        let (replica, primary) = (self.servers[n], self.servers[self.primary]);
        !replica.is_primary && replica.alive && primary.alive && self.links[n] && replica.timeline == primary.timeline
    }

    /// An idle primary sends nothing until its receiver asks, after half of its timeout.
    fn data_moves(&mut self) {
        let writes = self.rng.bool();
        let primary = self.primary;
        if self.servers[primary].alive && self.served && writes {
            self.servers[primary].offset += self.rng.u64(..20);
        }
        let end = self.servers[primary].offset;
        for n in 0..3 {
            if self.hears(n) {
                let replica = &mut self.servers[n];
                let asks = self.now - replica.heard > TIMEOUT.as_micros() as u64 / 2;
                if writes || asks {
                    (replica.heard, replica.offset) = (self.now, replica.offset.max(end.saturating_sub(10)));
                }
            }
        }
    }

    fn turn(&mut self) {
        let micros = MonoTime::from_micros;
        let primaries: Vec<usize> = (0..3).filter(|n| self.servers[*n].is_primary && self.answers(*n)).collect();
        self.served = primaries.contains(&self.primary);
        self.fails_since = match self.answers(self.primary) {
            true => None,
            false => Some(self.fails_since.unwrap_or(self.now)),
        };
        let last = self.servers[self.primary].offset;
        let candidate = |n: usize| {
            let server = self.servers[n];
            let heard = micros(server.heard);
            let witness = match self.time().since(heard) >= TIMEOUT {
                true => WitnessReport::NoReceiver { heard, timeout: Some(TIMEOUT) },
                false => WitnessReport::Receiver { heard, timeout: Some(TIMEOUT) },
            };
            let lost_bytes = Some(last.saturating_sub(server.offset));
            PromotionCandidate {
                endpoint: EndpointId(n as u32),
                timeline: server.timeline,
                offset: server.offset,
                witness,
                lost_bytes,
                lost_since: Some(heard),
            }
        };
        let replicas = (0..3).filter(|n| !self.servers[*n].is_primary && self.answers(*n));
        let candidates: Vec<_> =
            replicas.filter(|n| self.servers[*n].timeline == self.timeline).map(candidate).collect();
        let primary = primaries.first().map(|n| (EndpointId(*n as u32), self.servers[*n].timeline));
        let facts = PromotionFacts {
            holder_fails_since: self.fails_since.map(micros),
            primary,
            is_served: self.served,
            is_held: false,
            candidates: &candidates,
            fenced: self.fenced,
            has_hook: true,
        };
        let now = self.time();
        let mut steps = self.machine.advance(RULE, &facts, now);
        if let Some((_, answer)) = self.hook.take_if(|(due, _)| *due <= now.as_micros()) {
            let answer = if answer { Ok(()) } else { Err("1".to_owned()) };
            steps.extend(self.machine.hook_answered(RULE, answer, now));
        }
        if let Some((_, number, written)) = self.writes.take_if(|(due, ..)| *due <= now.as_micros()) {
            self.disk = written;
            steps.extend(self.machine.saved(number, RULE, &facts, now));
        }
        steps.into_iter().for_each(|step| self.obey(step));
        if self.served {
            self.called = false;
            self.fenced = false;
        }
    }

    fn obey(&mut self, step: PromotionStep) {
        let soon = self.now + self.rng.u64(..3 * SECOND);
        match step {
            PromotionStep::EndSessions => {
                self.note("end of sessions");
                self.fences = Some(soon);
            }
            PromotionStep::RunHook(_) => {
                assert!(self.fenced, "the hook is run beside sessions");
                self.hook = Some((soon, self.rng.u8(..4) > 0));
            }
            PromotionStep::Save(number) => self.writes = Some((soon, number, self.machine.clone())),
            PromotionStep::Call(candidate) => {
                let n = candidate.0 as usize;
                self.note("call");
                assert!(!self.called, "a second promotion since a primary served");
                assert!((0..3).all(|n| !self.hears(n)), "a promotion while a witness hears the primary");
                assert!(self.fenced, "a promotion beside sessions");
                assert_eq!(self.disk.clone().restored(), self.machine, "the intent is not on the disk");
                let best = (0..3).filter(|n| !self.servers[*n].is_primary && self.answers(*n));
                let best = best.filter(|n| self.servers[*n].timeline == self.timeline).map(|n| self.servers[n].offset);
                assert_eq!(best.max(), Some(self.servers[n].offset), "another one has more of the log");
                assert!(self.servers[self.primary].offset - self.servers[n].offset <= 100, "more is lost than may be");
                self.called = true;
                self.promotes = Some((soon, n)).filter(|_| self.rng.u8(..5) > 0);
            }
            PromotionStep::Withdraw(_) => {
                self.note("withdrawn");
                self.hook = None;
            }
            PromotionStep::End(result) => self.note(match result.outcome {
                PromotionOutcome::Promoted => "promoted",
                PromotionOutcome::Overtaken => "overtaken",
                PromotionOutcome::Late => "late",
            }),
        }
    }

    fn happen(&mut self) {
        let n = self.rng.usize(..3);
        match self.rng.u8(..16) {
            0 | 1 => self.servers[self.primary].alive = false,
            2 => self.servers[self.primary].hangs = true,
            3 => self.reaches[self.primary] = false,
            4 => self.links[n] = false,
            5 => self.servers[n].alive = false,
            6..=8 => {
                self.servers[n].alive = true;
                self.servers[n].hangs = false;
                self.reaches[n] = true;
                self.links[n] = true;
            }
            9 => {
                // All is repaired, and replicas follow the primary again.
                let primary = self.servers[self.primary];
                for server in &mut self.servers {
                    *server = Server { alive: true, hangs: false, is_primary: false, heard: self.now, ..primary };
                }
                self.servers[self.primary].is_primary = true;
                (self.links, self.reaches) = ([true; 3], [true; 3]);
            }
            10 => {
                self.note("crash");
                self.machine = self.disk.clone().restored();
                (self.writes, self.hook, self.fences, self.fenced, self.fails_since) = (None, None, None, false, None);
            }
            _ => {}
        }
    }

    fn step(&mut self) {
        self.now += self.rng.u64(SECOND / 10..SECOND);
        if self.fences.take_if(|due| *due <= self.now).is_some() {
            self.fenced = true;
        }
        if let Some((_, n)) = self.promotes.take_if(|(due, _)| *due <= self.now)
            && self.servers[n].alive
        {
            self.timeline += 1;
            (self.servers[n].is_primary, self.servers[n].timeline) = (true, self.timeline);
            self.servers[self.primary].is_primary = false;
            self.primary = n;
        }
        self.data_moves();
        self.turn();
        if self.rng.u8(..12) == 0 {
            self.happen();
        }
    }
}

#[test]
fn no_primary_is_made_beside_one_that_a_replica_hears_and_none_twice() {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..256 {
        let mut world = World::new(seed);
        for _ in 0..2000 {
            world.step();
        }
        for (what, count) in world.seen {
            *seen.entry(what).or_default() += count;
        }
    }
    println!("{seen:?}");
    for (what, least) in
        [("end of sessions", 1000), ("call", 300), ("promoted", 200), ("late", 50), ("withdrawn", 300), ("crash", 1000)]
    {
        assert!(seen.get(what).is_some_and(|count| *count >= least), "{what} was seen too seldom: {seen:?}");
    }
}

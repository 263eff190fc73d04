//! One endpoint: checks, real traffic, refusals and an operator's word, folded into one standing.

mod conclusions;
mod data;
mod ejection;
pub(super) mod refusal;
mod rules;
mod weight;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::corroboration::{Corroboration, Finding, sources_needed};
use super::health::{CheckStreaks, CheckVerdict};
use super::outlier::Outlier;
use super::reach::{EndpointReach, LOOK_AGAIN};
use super::read_state::ReplicaState;
use super::suspicion::Suspicion;
use super::timers::{Timer, Timers};
use super::turn::Turn;
use super::{
    Administrative, Admission, Cause, ConnectOutcome, Digest, Effect, EndpointId, Failure, Operational, ProbeOutcome,
    Silence, Source, Standing,
};
use crate::config::EvidenceRule;
use crate::time::MonoTime;

use self::data::EndpointData;
use self::ejection::{EjectionMachine, PATIENCE, TrialVerdict};
pub(super) use self::refusal::{CONFIRM_WITHIN, Refusal};
use self::refusal::{ConfirmedRefusal, ExplainedFailures, RefusalMachine};
pub(super) use self::rules::EndpointRules;
use self::weight::EndpointWeight;
pub(super) use self::weight::WeightOverride;

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Endpoint {
    pub id: EndpointId,
    pub address: SocketAddr,
    /// What an operator says.
    pub administrative: Administrative,
    #[serde(default)]
    weight: EndpointWeight,
    pub checks: CheckStreaks,
    pub outlier: Outlier,
    pub corroboration: Corroboration,
    pub suspicion: Suspicion,
    pub refusal: RefusalMachine,
    /// Is there a way to it?
    #[serde(default)]
    pub reach: EndpointReach,
    pub ejection: EjectionMachine,
    /// As last concluded.
    pub standing: Standing,
    pub admission: Admission,
    pub joined: Option<MonoTime>,
    /// When its standing last changed.
    pub since: MonoTime,
    /// For people: what its state rests on.
    pub evidence: String,
    /// When it last ceased to be usable.
    pub fell: MonoTime,
    /// First sign of trouble that is not over; `None` = all is well.
    pub trouble: Option<MonoTime>,
    /// When a probe last passed while all was well, and what was asked of it was answered.
    #[serde(default)]
    pub proven: Option<MonoTime>,
    /// Requests failed or got no answer since the last good one.
    #[serde(default)]
    failing: bool,
    pub timers: Timers,
    /// How it came to be healthy (or will have, when nothing else speaks against it).
    grounds: Cause,
    /// Probes that should still run fast because traffic met trouble.
    watched: u32,
    /// The pace the prober was told.
    fast: bool,
    /// When a probe out of turn was last asked for.
    asked: Option<MonoTime>,
    #[serde(default)]
    pub data: EndpointData,
    /// What it is to the reads of its service.
    #[serde(default)]
    pub replica: ReplicaState,
}

impl Endpoint {
    /// `checks`: what is known of it; `checked`: it has a check.
    pub fn new(id: EndpointId, address: SocketAddr, checks: CheckStreaks, checked: bool, now: MonoTime) -> Endpoint {
        let grounds = if checked { Cause::ChecksPassed } else { Cause::Unchecked };
        let mut endpoint = Endpoint {
            id,
            address,
            administrative: Administrative::Ready,
            weight: EndpointWeight::default(),
            checks,
            outlier: Outlier::default(),
            corroboration: Corroboration::default(),
            suspicion: Suspicion::default(),
            refusal: RefusalMachine::default(),
            reach: EndpointReach::default(),
            ejection: EjectionMachine::default(),
            standing: Standing {
                operational: Operational::Checking,
                administrative: Administrative::Ready,
                cause: Cause::Start,
            },
            admission: Admission::Closed,
            joined: None,
            since: now,
            evidence: String::new(),
            fell: now,
            trouble: None,
            proven: None,
            failing: false,
            timers: Timers::default(),
            grounds,
            watched: 0,
            fast: false,
            asked: None,
            data: EndpointData::default(),
            replica: ReplicaState::default(),
        };
        let (operational, cause) = endpoint.operational();
        endpoint.standing = Standing { operational, cause, ..endpoint.standing };
        endpoint
    }

    pub fn is_healthy(&self) -> bool {
        self.standing.operational == Operational::Healthy
    }

    /// Neither an operator nor its weight takes it out of use.
    pub fn ready(&self) -> bool {
        self.use_of() == Administrative::Ready
    }

    /// What an operator says, or what its weight says where that is less.
    fn use_of(&self) -> Administrative {
        match self.administrative {
            Administrative::Ready if self.is_weightless() => Administrative::Drain,
            said => said,
        }
    }

    /// The configuration gives it this weight. (The standing follows when it is next concluded.)
    pub fn weigh(&mut self, weight: u32) {
        self.weight.configure(weight, &mut self.timers);
    }

    /// An operator gives it this weight until then. Returns whether that is new.
    pub fn override_weight(&mut self, weight: u32, until: Option<MonoTime>) -> bool {
        self.weight.order(weight, until, &mut self.timers)
    }

    /// The operator's weight.
    pub fn weight_override(&self) -> Option<WeightOverride> {
        self.weight.ordered()
    }

    /// The operator's weight ends if its time is over. Returns whether it did.
    pub fn end_weight_at(&mut self, now: MonoTime) -> bool {
        self.weight.end_at(&mut self.timers, now)
    }

    /// Its weight is 0.
    pub fn is_weightless(&self) -> bool {
        self.weight.is_zero()
    }

    /// Usable, or nothing but trials stands between it and that.
    pub fn hopeful(&self) -> bool {
        // (A probe that fails is no fall, but a failback to its pool waits until that is settled.)
        let settled = self.checks.fails == 0 && !self.checks.is_unproven();
        self.ready() && settled && (self.usable() || self.ejection.is_tried() && !self.refuses())
    }

    /// Only its checks speak against it, and the last exchange was good: may carry traffic when nothing better is left.
    pub fn fails_only_checks(&self) -> bool {
        self.ready()
            && self.checks.verdict == CheckVerdict::Red
            && !self.ejection.holds()
            && !self.refuses()
            && self.outlier.last_good == Some(true)
    }

    pub fn refuses(&self) -> bool {
        self.refusal.state() == Refusal::Confirmed
    }

    /// It may have stalled, or be gone: new work goes elsewhere until that is known.
    pub fn suspected(&self) -> bool {
        self.suspicion.holds() || self.refusal.state() == Refusal::Doubted
    }

    /// Usable, and nothing is known against it.
    pub fn unsuspected(&self) -> bool {
        self.usable() && self.refusal.state() == Refusal::No && !self.suspicion.holds()
    }

    // ---- evidence -------------------------------------------------------------------------------------------------

    /// Something is learnt about the way to it. Is the state of the way another one now? While it is lost, it is looked for again.
    pub fn way(&mut self, learn: impl FnOnce(&mut EndpointReach), now: MonoTime) -> bool {
        let changed = self.reach.learn(learn);
        match self.reach.lost() {
            Some(_) if changed => self.timers.arm(Timer::Reach, now),
            Some(_) => {}
            None => self.timers.disarm(Timer::Reach),
        }
        changed
    }

    /// This host has had no way to it for too long, and to others it has.
    pub fn condemn_as_unroutable(&mut self, rules: EndpointRules<'_>, now: MonoTime) {
        let since = self.reach.no_route().unwrap_or(now);
        self.trouble = Some(self.trouble.map_or(since, |trouble| trouble.min(since)));
        let wait = now.since(since).as_millis();
        let evidence = format!("no route to it for {wait} ms, while an endpoint of another pool was reached");
        self.condemn(rules, evidence, now);
    }

    /// A probe ended. Is there something to conclude?
    pub fn probed(
        &mut self,
        rules: EndpointRules<'_>,
        outcome: &ProbeOutcome,
        seen: MonoTime,
        began: Option<MonoTime>,
    ) -> bool {
        let Some(check) = rules.check else { return false };
        let before = (self.checks.verdict, self.wants_fast(rules));
        let answer = self.checks.answer_class();
        let news = self.checks.fold(check, outcome, seen, rules.eager) && self.suspicion.probed(outcome, seen);
        match outcome {
            ProbeOutcome::Fail { .. } => {
                self.trouble.get_or_insert(seen);
                self.corroboration.probed(began);
            }
            ProbeOutcome::Pass { reading, .. } => {
                self.data.note(reading.as_ref(), seen);
                self.watched = self.watched.saturating_sub(1);
                self.corroboration.probed(None);
            }
            ProbeOutcome::Busy { .. } | ProbeOutcome::Blind { .. } => self.watched = self.watched.saturating_sub(1),
            ProbeOutcome::Local { .. } => {}
        }
        self.relax();
        if matches!(outcome, ProbeOutcome::Pass { .. }) && self.trouble.is_none() && !self.failing {
            self.proven = Some(seen);
        }
        if self.checks.verdict != before.0 {
            self.grounds = if self.checks.is_unseeing() { Cause::Unchecked } else { Cause::ChecksPassed };
            self.absolve(seen); // what traffic said belongs to the trouble that the checks saw too
            if self.checks.verdict == CheckVerdict::Red {
                self.timers.disarm(Timer::Ejection); // so does the ejection: from now on it waits for them alone
            }
        }
        let turned = before != (self.checks.verdict, self.wants_fast(rules));
        let confirms = matches!(outcome, ProbeOutcome::Fail { .. }) && self.corroboration.fails();
        confirms || news || turned || answer != self.checks.answer_class() || self.ejection.holds() || self.refuses()
    }

    /// Real traffic spoke. `out` = no endpoint serves the service, so that one good answer is reason enough to believe it;
    /// `distrusted` = the sources whose reports count for nothing.
    pub fn in_band(
        &mut self,
        rules: EndpointRules<'_>,
        digest: &Digest,
        seen: MonoTime,
        (out, distrusted): (bool, &[Source]),
        turn: &mut Turn<'_>,
    ) -> bool {
        let quiet = digest.failed.total() == 0 && self.standing.operational == Operational::Healthy;
        let before = (self.outlier.last_good, self.outlier.streak);
        if let Some(rule) = rules.outlier {
            let good_rate = self.outlier.good_rate(seen);
            self.corroboration.fold(rule, digest, seen, good_rate, |source| distrusted.contains(&source));
        }
        self.outlier.fold(digest, seen);
        self.note_unanswered(digest);
        if digest.failed.total() > 0 {
            self.failed(rules, digest, seen, turn.now, turn.effects);
        }
        let news = self.listen(rules, digest.silence, seen, turn.now, turn.effects);
        self.tried(rules, digest, out, turn.now);
        self.relax();
        let reported = !digest.reports.is_empty() || !digest.by_source.is_empty();
        news || !quiet || reported || before != (self.outlier.last_good, self.outlier.streak)
    }

    /// A probe that passed proves nothing about requests that were outstanding when it did.
    fn note_unanswered(&mut self, digest: &Digest) {
        if digest.good > 0 {
            self.failing = false;
            return;
        }
        self.failing |= digest.silence.is_some() || digest.failed.total() > 0;
        let outstanding = digest.failed.of(Failure::Timeout) > 0
            || digest.silence.is_some_and(|silence| self.proven.is_some_and(|proven| silence.since < proven));
        if outstanding {
            self.proven = None;
        }
    }

    /// Is it asked and not heard? (Nothing is suspected of what is condemned.)
    fn listen(
        &mut self,
        rules: EndpointRules<'_>,
        silence: Option<Silence>,
        seen: MonoTime,
        now: MonoTime,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let before = self.suspicion.holds();
        let news = self.suspicion.fold(silence.filter(|_| self.usable()), seen);
        if let Some(since) = self.suspicion.since() {
            let first = since.min(seen);
            self.trouble = Some(self.trouble.map_or(first, |trouble| trouble.min(first)));
            if !before {
                self.look(rules, now, effects);
            }
        }
        self.timers.set(
            Timer::Suspicion,
            self.suspicion.untested().filter(|_| rules.check.is_none() || self.checks.is_unseeing()),
        );
        news
    }

    /// Traffic met trouble: a probe at once, and fast ones until enough of them have passed.
    fn look(&mut self, rules: EndpointRules<'_>, now: MonoTime, effects: &mut Vec<Effect>) {
        let Some(check) = rules.check else { return };
        self.watched = check.rise.max(1);
        let lately = self.asked.is_some_and(|asked| now.since(asked) < check.fast_interval);
        if !lately {
            self.asked = Some(now);
            effects.push(Effect::ProbeNow { endpoint: self.id });
        }
    }

    fn failed(
        &mut self,
        rules: EndpointRules<'_>,
        digest: &Digest,
        seen: MonoTime,
        now: MonoTime,
        effects: &mut Vec<Effect>,
    ) {
        let first = if self.outlier.streak > 0 { self.outlier.streak_since } else { seen };
        self.trouble.get_or_insert(first);
        self.look(rules, now, effects);
        if self.refusal.observe(rules, digest) {
            self.ask_connect(now, effects);
        }
    }

    fn ask_connect(&mut self, now: MonoTime, effects: &mut Vec<Effect>) {
        self.timers.arm(Timer::Confirm, now.after(CONFIRM_WITHIN));
        effects.push(Effect::ConfirmConnect { endpoint: self.id });
    }

    /// Trials count for an endpoint that is being tried; when no pool serves, for every one that is out.
    fn tried(&mut self, rules: EndpointRules<'_>, digest: &Digest, out: bool, now: MonoTime) {
        if digest.triable {
            // There is traffic to try it with: its patience begins again.
            self.timers.disarm(Timer::Trials);
        }
        if digest.trials_good + digest.trials_failed == 0 {
            return;
        }
        if out {
            if digest.trials_good > 0 && digest.streak == 0 {
                self.acquit(Cause::TrialsPassed, "a trial request passed".to_owned(), now);
            }
            return;
        }
        match self.ejection.tried(digest) {
            TrialVerdict::Open => {}
            TrialVerdict::Failed(cause) => {
                self.eject(rules, cause, format!("{} trial requests failed", digest.trials_failed), now);
            }
            TrialVerdict::Passed(good) => {
                self.acquit(Cause::TrialsPassed, counted(good, "trial request") + " passed", now);
            }
        }
    }

    /// A confirming connect ended. Is there something to conclude?
    pub fn connected(&mut self, rules: EndpointRules<'_>, outcome: ConnectOutcome, now: MonoTime) -> bool {
        let green = self.checks.verdict == CheckVerdict::Green;
        match self.refusal.connected(rules, outcome, green, &mut self.timers, now) {
            ConfirmedRefusal::Unasked => return false,
            ConfirmedRefusal::Noted => {}
            ConfirmedRefusal::Refuses => self.condemn_as_refusing(rules, now),
            ConfirmedRefusal::Accepts(explained) => self.accepts_again(explained, now),
            ConfirmedRefusal::Over => {
                self.absolve(now); // what failed while it refused is explained by that
                self.checks_speak(rules);
            }
        }
        true
    }

    fn accepts_again(&mut self, explained: ExplainedFailures, now: MonoTime) {
        match explained {
            ExplainedFailures::Nothing => {}
            ExplainedFailures::Streak => {
                self.outlier.streak = 0;
                self.corroboration.accepts();
            }
            ExplainedFailures::Everything => self.absolve(now),
        }
        self.relax();
    }

    /// It refuses, as was confirmed.
    pub fn condemn_as_refusing(&mut self, rules: EndpointRules<'_>, now: MonoTime) {
        self.condemn(rules, self.refusal.describe().to_owned(), now);
    }

    /// It cannot be connected to. That explains the failures: they are not counted a second time.
    fn condemn(&mut self, rules: EndpointRules<'_>, evidence: String, now: MonoTime) {
        self.refusal.confirm(rules, &mut self.timers, now);
        self.absolve(now);
        self.checks.doubt();
        if !self.ejection.holds() {
            self.evidence = evidence; // (else it is out for another reason, and that one is told)
        }
    }

    /// Nothing but the checks speaks about it now.
    fn checks_speak(&mut self, rules: EndpointRules<'_>) {
        self.grounds = if rules.check.is_some() { Cause::ChecksPassed } else { Cause::Unchecked };
    }

    /// Is what real traffic said enough to eject it, and is nothing that would explain it better being looked into?
    /// `callers`: client networks that the service answered well lately; `failing`: see [`Corroboration::finding`].
    pub fn judge_in_band(&self, rules: EndpointRules<'_>, (callers, failing): (u32, u32), now: MonoTime) -> Finding {
        let Some(rule) = rules.outlier.filter(|_| self.usable() && self.refusal.state() == Refusal::No) else {
            return Finding::Nothing;
        };
        let found = match rule.evidence {
            EvidenceRule::Corroborated => self.corroboration.finding(rule, callers, failing, now),
            EvidenceRule::Any => self.outlier.finding(rule, now),
        };
        let needed = if rule.evidence == EvidenceRule::Any { 1 } else { sources_needed(callers) };
        match (found, self.suspicion.finding(needed, now)) {
            (convicted @ Finding::Convicted(_), _) => convicted,
            (found, Finding::Nothing) => found,
            (_, stalled) => stalled,
        }
    }

    /// Out it goes.
    pub fn eject(&mut self, rules: EndpointRules<'_>, cause: Cause, evidence: String, now: MonoTime) {
        let wait = rules.outlier.map_or(PATIENCE, |rule| self.outlier.eject(rule, now));
        self.absolve(now);
        self.ejection.begin(cause, wait, &mut self.timers, now);
        self.evidence = evidence;
    }

    /// What these sources said counts for nothing: if it was ejected on that alone, it is back.
    pub fn withdraw(&mut self, sources: &[Source], now: MonoTime) {
        sources.iter().for_each(|source| self.corroboration.distrust(*source));
        if self.ejection.hangs_on(sources) {
            self.acquit(Cause::EvidenceWithdrawn, "what was reported of it was wrong".to_owned(), now);
        }
    }

    /// A fresh start for what real traffic says.
    fn absolve(&mut self, at: MonoTime) {
        self.outlier.absolve();
        self.corroboration.absolve(at);
        self.suspicion.clear(at);
    }

    /// Real traffic speaks for it again (or nothing can speak against it).
    pub fn acquit(&mut self, grounds: Cause, evidence: String, now: MonoTime) {
        if !self.ejection.holds() && !self.refuses() {
            return;
        }
        self.ejection.end(&mut self.timers);
        self.refusal.end(&mut self.timers);
        self.absolve(now);
        self.outlier.restore(now);
        self.grounds = grounds;
        self.evidence = evidence;
    }

    // ---- time -----------------------------------------------------------------------------------------------------

    /// Do what is due.
    pub fn tick(&mut self, rules: EndpointRules<'_>, now: MonoTime, effects: &mut Vec<Effect>) {
        self.refusal.tick(rules, &mut self.timers, now);
        if self.timers.fired(Timer::Reach, now) && self.reach.no_route().is_some() && !self.refuses() {
            effects.push(Effect::CheckReach { endpoint: self.id });
            self.timers.arm(Timer::Reach, now.after(LOOK_AGAIN));
        }
        self.timers.fired(Timer::Ejection, now);
        self.timers.fired(Timer::Evidence, now);
        self.timers.fired(Timer::Reconnect, now);
        if self.timers.fired(Timer::Suspicion, now) {
            self.suspicion.clear(now);
            self.relax();
        }
        if self.timers.fired(Timer::Trials, now) {
            self.acquit(Cause::EjectionOver, "no traffic to try it with, and its checks are green".to_owned(), now);
        }
        self.advance(rules, now, effects);
    }

    /// Steps that wait for time *and* for the checks: an ejection that is over becomes a trial, a refusal is tested.
    pub fn advance(&mut self, rules: EndpointRules<'_>, now: MonoTime, effects: &mut Vec<Effect>) {
        let green = self.checks.verdict == CheckVerdict::Green;
        self.ejection.advance(green, &mut self.timers);
        let reassured = self.checks.reassures(rules.check, rules.eager);
        if self.refusal.is_due(reassured, &self.timers) {
            self.ask_connect(now, effects);
        }
    }

    /// See [`EjectionMachine::run_patience`].
    pub fn run_patience(&mut self, rules: EndpointRules<'_>, run: bool, now: MonoTime) {
        self.ejection.run_patience(rules, run, &mut self.timers, now);
    }

    // ---- reload ---------------------------------------------------------------------------------------------------

    /// The configuration changed; `same_port`: its checks ask the port that they asked.
    pub fn reconfigure(&mut self, before: EndpointRules<'_>, after: EndpointRules<'_>, same_port: bool) {
        if before.check != after.check || !same_port {
            self.checks.replace(after.check);
            self.suspicion.forget();
            // (What another kind of check, or another port, says is about something else.)
            let source = |rules: EndpointRules<'_>| rules.check.map(|check| check.kind.source());
            if source(before) != source(after) || !same_port {
                self.data = EndpointData::default();
            }
            if before.check.is_none() != after.check.is_none() && self.checks.verdict == CheckVerdict::Green {
                self.checks_speak(after);
            }
        }
        self.refusal.reconfigure(after, &mut self.timers);
    }
}

/// `1 probe`, `2 probes`
fn counted(count: u32, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

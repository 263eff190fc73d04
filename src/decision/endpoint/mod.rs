//! One endpoint: checks, real traffic, refusals and an operator's word, folded into one standing.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::corroboration::{Corroboration, Finding, sources_needed};
use super::health::{Checks, Verdict};
use super::outlier::Outlier;
use super::reach::{LOOK_AGAIN, Reach};
use super::suspicion::Suspicion;
use super::timeline::Fall;
use super::timers::{Timer, Timers};
use super::turn::Turn;
use super::{
    Administrative, Admission, Cause, ConnectOutcome, Digest, Effect, EndpointId, EndpointRow, Evidence, Failure,
    Moment, Operational, ProbeOutcome, Reading, Silence, Source, Standing,
};
use crate::config::{EvidenceRule, Failover, HealthCheck, OnAllDown, OnRefused, OutlierDetection, Pool};

/// Good trials that end an ejection.
pub(super) const TRIALS: u32 = 3;
/// An answer to a confirming connect that is later than this is lost.
pub(super) const CONFIRM_WITHIN: Duration = Duration::from_secs(1);
/// After that a doubted endpoint is asked again: longer than most listeners need to be there again.
pub(super) const DOUBT: Duration = Duration::from_millis(50);
/// Pause between two connects to an endpoint that refuses and has no check whose pace could be taken.
const RECONNECT: Duration = Duration::from_millis(500);
/// … and at least, so that a trial can have come and gone.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);
/// How long checks alone must be green where the pool has no in-band rule (any more) that could say it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the configuration and the service's state say about an endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub check: Option<&'a HealthCheck>,
    pub outlier: Option<&'a OutlierDetection>,
    pub on_refused: OnRefused,
    /// A page serves: one good probe is enough.
    pub eager: bool,
    /// Is a connect that is not answered as good as one that is refused? Not where nothing may be served rather than something
    /// wrong: what is cut off from here may be alive.
    pub silence_refuses: bool,
}

impl<'a> Rules<'a> {
    pub fn of(pool: &'a Pool, failover: &Failover) -> Rules<'a> {
        Rules {
            check: pool.health_check.as_ref(),
            outlier: pool.outlier_detection.as_ref(),
            on_refused: failover.on_refused,
            silence_refuses: failover.on_all_down == OnAllDown::FailOpen,
            eager: false,
        }
    }

    /// Failures after which a connect of our own is to say whether the endpoint can be reached at all. (A TLS handshake and an
    /// opening of HTTP/2 that fail are told as resets and malformed answers.)
    fn signs_of_refusal(self) -> impl Iterator<Item = Failure> {
        let signs = [Failure::Refused, Failure::ConnectTimeout, Failure::Reset, Failure::Malformed];
        signs.into_iter().filter(move |sign| *sign != Failure::ConnectTimeout || self.silence_refuses)
    }
}

/// Does it refuse connections, or leave them unanswered?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Refusal {
    /// Not that we know.
    No,
    /// A request could not connect, or its connection was reset or made no sense; one connect of our own is to confirm it.
    Suspected,
    /// Confirmed once. It may be a restart, and its pool has others meanwhile: it is avoided, and asked once more.
    Doubted,
    /// Confirmed. It ends with a connect that succeeds while the checks are green.
    Confirmed,
}

/// Has real traffic condemned it?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ejection {
    /// No.
    None,
    /// Yes; it stays out until the timer has fired and the checks are green.
    Out(Cause),
    /// Its time is over and the checks are green: trials decide, or checks alone where there is nothing to try it with.
    Tried {
        /// Why it had been ejected.
        cause: Cause,
        /// Good trials so far.
        good: u32,
    },
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Endpoint {
    pub id: EndpointId,
    pub address: SocketAddr,
    /// What an operator says.
    pub administrative: Administrative,
    /// Its weight is 0: the configuration drains it.
    #[serde(default)]
    weightless: bool,
    pub checks: Checks,
    pub outlier: Outlier,
    pub corroboration: Corroboration,
    pub suspicion: Suspicion,
    pub refusal: Refusal,
    /// Is there a way to it?
    #[serde(default)]
    pub reach: Reach,
    /// What it was last asked for a connect for: one of [`Rules::signs_of_refusal`].
    sign: Failure,
    pub ejection: Ejection,
    /// The few sources on whose evidence it was ejected; empty = it does not hang on who they were, or it is not ejected.
    pub accusers: Vec<Source>,
    /// As last concluded.
    pub standing: Standing,
    pub admission: Admission,
    pub joined: Option<Moment>,
    /// When its standing last changed.
    pub since: Moment,
    /// For people: what its state rests on.
    pub evidence: String,
    /// When it last ceased to be usable.
    pub fell: Moment,
    /// First sign of trouble that is not over; `None` = all is well.
    pub trouble: Option<Moment>,
    /// When a probe last passed while all was well, and what was asked of it was answered.
    #[serde(default)]
    pub proven: Option<Moment>,
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
    asked: Option<Moment>,
    /// What the last passed probe that read anything said of its data.
    #[serde(default)]
    pub reading: Option<Reading>,
}

impl Endpoint {
    /// `checks`: what is known of it; `checked`: it has a check.
    pub fn new(id: EndpointId, address: SocketAddr, checks: Checks, checked: bool, now: Moment) -> Endpoint {
        let grounds = if checked { Cause::ChecksPassed } else { Cause::Unchecked };
        let mut endpoint = Endpoint {
            id,
            address,
            administrative: Administrative::Ready,
            weightless: false,
            checks,
            outlier: Outlier::default(),
            corroboration: Corroboration::default(),
            suspicion: Suspicion::default(),
            refusal: Refusal::No,
            reach: Reach::default(),
            sign: Failure::Refused,
            ejection: Ejection::None,
            accusers: Vec::new(),
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
            reading: None,
        };
        let (operational, cause) = endpoint.operational();
        endpoint.standing = Standing { operational, cause, ..endpoint.standing };
        endpoint
    }

    /// Healthy, and neither an operator nor its weight takes it out of use.
    pub fn usable(&self) -> bool {
        self.standing.is_usable() && !self.weightless
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
            Administrative::Ready if self.weightless => Administrative::Drain,
            said => said,
        }
    }

    /// The configuration gives it this weight. (The standing follows when it is next concluded.)
    pub fn weigh(&mut self, weight: u32) {
        self.weightless = weight == 0;
    }

    pub fn is_weightless(&self) -> bool {
        self.weightless
    }

    /// Usable, or nothing but trials stands between it and that.
    pub fn hopeful(&self) -> bool {
        // (A probe that fails is no fall, but whoever is to come home to it waits until that is settled.)
        let settled = self.checks.fails == 0;
        self.ready() && settled && (self.usable() || matches!(self.ejection, Ejection::Tried { .. }) && !self.refuses())
    }

    /// Only its checks speak against it, and the last exchange was good: may carry traffic when nothing better is left.
    pub fn fails_only_checks(&self) -> bool {
        self.ready()
            && self.checks.verdict == Verdict::Red
            && self.ejection == Ejection::None
            && !self.refuses()
            && self.outlier.last_good == Some(true)
    }

    pub fn refuses(&self) -> bool {
        self.refusal == Refusal::Confirmed
    }

    /// It may have stalled, or be gone: new work goes elsewhere until that is known.
    pub fn suspected(&self) -> bool {
        self.suspicion.holds() || self.refusal == Refusal::Doubted
    }

    /// Usable, and nothing is known against it.
    pub fn unsuspected(&self) -> bool {
        self.usable() && self.refusal == Refusal::No && !self.suspicion.holds()
    }

    // ---- evidence -------------------------------------------------------------------------------------------------

    /// Something is learnt about the way to it. Is the state of the way another one now? While it is lost, it is looked for again.
    pub fn way(&mut self, learn: impl FnOnce(&mut Reach), now: Moment) -> bool {
        let changed = self.reach.learn(learn);
        match self.reach.lost() {
            Some(_) if changed => self.timers.arm(Timer::Reach, now),
            Some(_) => {}
            None => self.timers.disarm(Timer::Reach),
        }
        changed
    }

    /// This host has had no way to it for too long, and to others it has.
    pub fn condemn_as_unroutable(&mut self, rules: Rules<'_>, now: Moment) {
        let since = self.reach.no_route().unwrap_or(now);
        self.trouble = Some(self.trouble.map_or(since, |trouble| trouble.min(since)));
        let wait = now.since(since).as_millis();
        let evidence = format!("no route to it for {wait} ms, while an endpoint of another pool was reached");
        self.condemn(rules, evidence, now);
    }

    /// A probe ended. Is there something to conclude?
    pub fn probed(&mut self, rules: Rules<'_>, outcome: &ProbeOutcome, seen: Moment, began: Option<Moment>) -> bool {
        let Some(check) = rules.check else { return false };
        let before = (self.checks.verdict, self.wants_fast(rules));
        let news = self.checks.fold(check, outcome, seen, rules.eager) && self.suspicion.probed(outcome, seen);
        match outcome {
            ProbeOutcome::Fail { .. } => {
                self.trouble.get_or_insert(seen);
                self.corroboration.probed(began);
            }
            ProbeOutcome::Pass { reading, .. } => {
                self.reading = reading.clone().or(self.reading.take());
                self.watched = self.watched.saturating_sub(1);
                self.corroboration.probed(None);
            }
            ProbeOutcome::Local { .. } => {}
        }
        self.relax();
        if matches!(outcome, ProbeOutcome::Pass { .. }) && self.trouble.is_none() && !self.failing {
            self.proven = Some(seen);
        }
        if self.checks.verdict != before.0 {
            self.grounds = Cause::ChecksPassed;
            self.absolve(seen); // what traffic said belongs to the trouble that the checks saw too
            if self.checks.verdict == Verdict::Red {
                self.timers.disarm(Timer::Ejection); // so does the ejection: from now on it waits for them alone
            }
        }
        let turned = before != (self.checks.verdict, self.wants_fast(rules));
        let confirms = matches!(outcome, ProbeOutcome::Fail { .. }) && self.corroboration.fails();
        confirms || news || turned || self.ejection != Ejection::None || self.refuses()
    }

    /// Real traffic spoke. `out` = no endpoint serves the service, so that one good answer is reason enough to believe it;
    /// `distrusted` = the sources whose reports count for nothing.
    pub fn in_band(
        &mut self,
        rules: Rules<'_>,
        digest: &Digest,
        seen: Moment,
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
        rules: Rules<'_>,
        silence: Option<Silence>,
        seen: Moment,
        now: Moment,
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
        match self.suspicion.untested().filter(|_| rules.check.is_none()) {
            Some(end) => self.timers.arm(Timer::Suspicion, end),
            None => self.timers.disarm(Timer::Suspicion),
        }
        news
    }

    /// Traffic met trouble: a probe at once, and fast ones until enough of them have passed.
    fn look(&mut self, rules: Rules<'_>, now: Moment, effects: &mut Vec<Effect>) {
        let Some(check) = rules.check else { return };
        self.watched = check.rise.max(1);
        let lately = self.asked.is_some_and(|asked| now.since(asked) < check.fast_interval);
        if !lately {
            self.asked = Some(now);
            effects.push(Effect::ProbeNow { endpoint: self.id });
        }
    }

    fn failed(&mut self, rules: Rules<'_>, digest: &Digest, seen: Moment, now: Moment, effects: &mut Vec<Effect>) {
        let first = if self.outlier.streak > 0 { self.outlier.streak_since } else { seen };
        self.trouble.get_or_insert(first);
        self.look(rules, now, effects);
        let told = |sign: &Failure| digest.streak > 0 && digest.failed.of(*sign) > 0;
        let Some(sign) = rules.signs_of_refusal().find(told) else { return };
        match self.refusal {
            Refusal::No if rules.on_refused == OnRefused::Verdict => {
                self.refusal = Refusal::Suspected;
                self.sign = sign;
                self.ask_connect(now, effects);
            }
            Refusal::Suspected if !self.could_not_connect() => self.sign = sign,
            _ => {}
        }
    }

    /// Is it asked for a connect because a request's connect failed, not because a connection did?
    fn could_not_connect(&self) -> bool {
        matches!(self.sign, Failure::Refused | Failure::ConnectTimeout)
    }

    fn ask_connect(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.timers.arm(Timer::Confirm, now.after(CONFIRM_WITHIN));
        effects.push(Effect::ConfirmConnect { endpoint: self.id });
    }

    /// Trials count for an endpoint that is being tried; when nobody serves, for every one that is out.
    fn tried(&mut self, rules: Rules<'_>, digest: &Digest, out: bool, now: Moment) {
        if digest.triable {
            // There is traffic to try it with: its patience begins anew.
            self.timers.disarm(Timer::Trials);
        }
        if digest.trials_good + digest.trials_failed == 0 {
            return;
        }
        if out {
            if digest.trials_good > 0 && digest.streak == 0 {
                self.acquit(Cause::TrialsPassed, "a trial request passed".to_owned(), now);
            }
        } else if let Ejection::Tried { cause, good } = self.ejection {
            let good = good.saturating_add(digest.trials_good);
            if digest.trials_failed > 0 {
                self.eject(rules, cause, format!("{} trial requests failed", digest.trials_failed), now);
            } else if good >= TRIALS {
                self.acquit(Cause::TrialsPassed, counted(good, "trial request") + " passed", now);
            } else {
                self.ejection = Ejection::Tried { cause, good };
            }
        }
    }

    /// A confirming connect ended. Is there something to conclude?
    pub fn connected(&mut self, rules: Rules<'_>, outcome: ConnectOutcome, now: Moment) -> bool {
        if self.timers.armed(Timer::Confirm).is_none() {
            return false; // nobody waits for it any more
        }
        self.timers.disarm(Timer::Confirm);
        let says_the_same = match outcome {
            ConnectOutcome::Refused | ConnectOutcome::Unreachable => true,
            ConnectOutcome::Timeout => self.sign == Failure::ConnectTimeout,
            _ => false,
        };
        match (self.refusal, outcome) {
            (Refusal::Suspected, _) if says_the_same => self.doubt(now),
            (Refusal::Doubted, _) if says_the_same => self.condemn_as_refusing(rules, now),
            (Refusal::Suspected | Refusal::Doubted, ConnectOutcome::Connected) => self.accepts_again(now),
            (Refusal::Suspected | Refusal::Doubted, _) => self.refusal = Refusal::No,
            (Refusal::Confirmed, ConnectOutcome::Connected) if self.checks.verdict == Verdict::Green => {
                self.refusal = Refusal::No;
                self.absolve(now); // what failed while it refused is explained by that
                self.checks_speak(rules);
            }
            (Refusal::Confirmed, _) => self.await_reconnect(rules, now),
            (Refusal::No, _) => return false,
        }
        true
    }

    /// It refuses, but for how long? (Where its pool has nobody else, its service condemns it in the same turn.)
    fn doubt(&mut self, now: Moment) {
        self.refusal = Refusal::Doubted;
        self.timers.arm(Timer::Reconnect, now.after(DOUBT));
    }

    /// It did not refuse for long: a restart. That ends a row of refused requests; those of one that was proven to refuse are
    /// explained. Resets, and connects that are answered sometimes, are no restart: those failures count.
    fn accepts_again(&mut self, now: Moment) {
        match self.sign {
            Failure::ConnectTimeout => {}
            _ if self.refusal == Refusal::Doubted => self.absolve(now),
            Failure::Refused => {
                self.outlier.streak = 0;
                self.corroboration.accepts();
            }
            _ => {}
        }
        self.refusal = Refusal::No;
        self.relax();
    }

    /// It refuses, as was confirmed.
    pub fn condemn_as_refusing(&mut self, rules: Rules<'_>, now: Moment) {
        let evidence = match self.sign {
            Failure::Reset => "a connection was reset, and the confirming connect refused",
            Failure::Malformed => "an answer was malformed, and the confirming connect refused",
            Failure::ConnectTimeout => "a connect was not answered, and neither was the confirming connect",
            _ => "a request was refused, and so was the confirming connect",
        };
        self.condemn(rules, evidence.to_owned(), now);
    }

    /// It cannot be connected to. That explains the failures: they are not counted a second time.
    fn condemn(&mut self, rules: Rules<'_>, evidence: String, now: Moment) {
        self.refusal = Refusal::Confirmed;
        self.timers.disarm(Timer::Confirm);
        self.absolve(now);
        self.checks.doubt();
        self.await_reconnect(rules, now);
        if self.ejection == Ejection::None {
            self.evidence = evidence; // (else it is out for another reason, and that one is told)
        }
    }

    /// Nothing but the checks speaks about it now.
    fn checks_speak(&mut self, rules: Rules<'_>) {
        self.grounds = if rules.check.is_some() { Cause::ChecksPassed } else { Cause::Unchecked };
    }

    fn await_reconnect(&mut self, rules: Rules<'_>, now: Moment) {
        let pause = rules.check.map_or(RECONNECT, |check| check.fast_interval);
        self.timers.arm(Timer::Reconnect, now.after(pause));
    }

    /// Is what real traffic said enough to eject it, and is nothing that would explain it better being looked into?
    /// `callers`: client networks that the service answered well lately; `failing`: see [`Corroboration::finding`].
    pub fn judge_in_band(&self, rules: Rules<'_>, (callers, failing): (u32, u32), now: Moment) -> Finding {
        let Some(rule) = rules.outlier.filter(|_| self.usable() && self.refusal == Refusal::No) else {
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
    pub fn eject(&mut self, rules: Rules<'_>, cause: Cause, evidence: String, now: Moment) {
        let wait = rules.outlier.map_or(PATIENCE, |rule| self.outlier.eject(rule, now));
        self.absolve(now);
        self.accusers.clear();
        self.ejection = Ejection::Out(cause);
        self.evidence = evidence;
        self.timers.disarm(Timer::Trials);
        self.timers.arm(Timer::Ejection, now.after(wait));
    }

    /// What these sources said counts for nothing: if it was ejected on that alone, it is back.
    pub fn withdraw(&mut self, sources: &[Source], now: Moment) {
        sources.iter().for_each(|source| self.corroboration.distrust(*source));
        let alone = !self.accusers.is_empty() && self.accusers.iter().all(|accuser| sources.contains(accuser));
        if alone && self.ejection != Ejection::None {
            self.acquit(Cause::EvidenceWithdrawn, "what was reported of it was wrong".to_owned(), now);
        }
    }

    /// A fresh start for what real traffic says.
    fn absolve(&mut self, at: Moment) {
        self.outlier.absolve();
        self.corroboration.absolve(at);
        self.suspicion.clear(at);
    }

    /// Real traffic speaks for it again (or nothing can speak against it).
    fn acquit(&mut self, grounds: Cause, evidence: String, now: Moment) {
        if self.ejection == Ejection::None && !self.refuses() {
            return;
        }
        self.ejection = Ejection::None;
        self.refusal = Refusal::No;
        self.absolve(now);
        self.outlier.restore(now);
        self.accusers.clear();
        self.grounds = grounds;
        self.evidence = evidence;
        for timer in [Timer::Ejection, Timer::Trials, Timer::Reconnect, Timer::Confirm] {
            self.timers.disarm(timer);
        }
    }

    // ---- time -----------------------------------------------------------------------------------------------------

    /// Do what is due.
    pub fn tick(&mut self, rules: Rules<'_>, now: Moment, effects: &mut Vec<Effect>) {
        if self.timers.fired(Timer::Confirm, now) {
            match self.refusal {
                Refusal::Confirmed => self.await_reconnect(rules, now),
                _ => self.refusal = Refusal::No,
            }
        }
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
    pub fn advance(&mut self, rules: Rules<'_>, now: Moment, effects: &mut Vec<Effect>) {
        let green = self.checks.verdict == Verdict::Green;
        match self.ejection {
            Ejection::Out(cause) if green && self.timers.armed(Timer::Ejection).is_none() => {
                self.ejection = Ejection::Tried { cause, good: 0 };
            }
            Ejection::Tried { cause, .. } if !green => {
                self.ejection = Ejection::Out(cause);
                self.timers.disarm(Timer::Trials);
            }
            _ => {}
        }
        let quiet = self.timers.armed(Timer::Confirm).is_none() && self.timers.armed(Timer::Reconnect).is_none();
        let due = match self.refusal {
            Refusal::No | Refusal::Suspected => false,
            Refusal::Doubted => true,
            Refusal::Confirmed => self.checks.reassures(rules.check, rules.eager),
        };
        if due && quiet {
            self.ask_connect(now, effects);
        }
    }

    /// Trials may begin, or only time can speak for it: from now on its patience runs. Otherwise it waits.
    pub fn run_patience(&mut self, rules: Rules<'_>, run: bool, now: Moment) {
        if run && matches!(self.ejection, Ejection::Tried { .. }) {
            let patience = rules.outlier.map_or(PATIENCE, |rule| rule.base_ejection.max(LEAST_PATIENCE));
            self.timers.arm_once(Timer::Trials, now.after(patience));
        } else {
            self.timers.disarm(Timer::Trials);
        }
    }

    // ---- conclusions ----------------------------------------------------------------------------------------------

    /// What all evidence together says.
    pub fn operational(&self) -> (Operational, Cause) {
        match (self.ejection, self.refusal, self.checks.verdict) {
            (Ejection::Out(cause) | Ejection::Tried { cause, .. }, ..) => (Operational::Ejected, cause),
            (_, Refusal::Confirmed, _) => (Operational::Unhealthy, Cause::Refused),
            (.., Verdict::Red) => (Operational::Unhealthy, Cause::ChecksFailed),
            (.., Verdict::Unknown) => (Operational::Checking, Cause::Start),
            (.., Verdict::Green) => (Operational::Healthy, self.grounds),
        }
    }

    /// Fold everything into the standing; returns the one before if it changed.
    pub fn conclude(&mut self, now: Moment) -> Option<Standing> {
        let (operational, cause) = self.operational();
        let standing = Standing { operational, administrative: self.use_of(), cause };
        let was_usable = self.standing.is_usable();
        let before = std::mem::replace(&mut self.standing, standing);
        if before == standing {
            return None;
        }
        self.since = now;
        if was_usable && !self.usable() {
            self.fell = now;
        }
        if (before.operational, before.cause) != (operational, cause) {
            match cause {
                Cause::ChecksFailed => {
                    self.evidence = format!("{} failed, {}", counted(self.checks.fails, "probe"), self.checks.detail)
                }
                Cause::ChecksPassed => self.evidence = counted(self.checks.passes, "probe") + " passed",
                _ => {}
            }
            self.relax();
        }
        Some(before)
    }

    /// All is well again: the next trouble is a new one.
    fn relax(&mut self) {
        let well = self.standing.operational == Operational::Healthy
            && self.operational().0 == Operational::Healthy
            && self.checks.fails == 0
            && self.outlier.streak == 0
            && !self.suspected();
        if well {
            self.trouble = None;
        }
    }

    fn wants_fast(&self, rules: Rules<'_>) -> bool {
        let Some(check) = rules.check else { return false };
        let green = self.checks.verdict == Verdict::Green;
        let refusing = self.refusal != Refusal::No && green;
        self.checks.in_transition(check) || (self.watched > 0 && green) || refusing
    }

    /// Tell the prober the pace if it changed.
    pub fn pace(&mut self, rules: Rules<'_>, effects: &mut Vec<Effect>) {
        let fast = self.wants_fast(rules);
        if fast != self.fast {
            self.fast = fast;
            effects.push(Effect::ProbePace { endpoint: self.id, fast });
        }
    }

    /// For the incident that its fall is part of.
    pub fn as_evidence(&self) -> Evidence {
        Evidence {
            address: self.address,
            cause: self.standing.cause,
            detail: if self.weightless { "its weight is 0".to_owned() } else { self.evidence.clone() },
            seen: self.fall().sign,
        }
    }

    /// Its part in the fall of its pool.
    pub fn fall(&self) -> Fall {
        let sign = self.trouble.filter(|_| self.ready()).unwrap_or(self.fell);
        Fall { sign: sign.min(self.fell), fell: self.fell }
    }

    /// `proving`: its good answers are to be counted by source.
    pub fn row(&self, proving: bool) -> EndpointRow {
        EndpointRow {
            id: self.id,
            address: self.address,
            standing: self.standing,
            admission: self.admission,
            joined: self.joined,
            suspected: self.suspected(),
            proving,
        }
    }

    // ---- reload ---------------------------------------------------------------------------------------------------

    /// The configuration changed; `same_port`: its checks ask the port that they asked.
    pub fn reconfigure(&mut self, before: Rules<'_>, after: Rules<'_>, same_port: bool) {
        if before.check != after.check || !same_port {
            self.checks.replace(after.check);
            self.suspicion.forget();
            if before.check.is_none() != after.check.is_none() && self.checks.verdict == Verdict::Green {
                self.checks_speak(after);
            }
        }
        let unasked =
            after.on_refused == OnRefused::Checks || (self.sign == Failure::ConnectTimeout && !after.silence_refuses);
        if unasked && matches!(self.refusal, Refusal::Suspected | Refusal::Doubted) {
            self.refusal = Refusal::No;
            self.timers.disarm(Timer::Confirm);
            self.timers.disarm(Timer::Reconnect);
        }
    }
}

/// `1 probe`, `2 probes`
fn counted(count: u32, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

//! The retry rule ([manual::retries](crate::manual::retries)) as a pure state machine: one [`Tries`] a request. It says
//! where the next try may go and whether there is one; the caller picks, sends, and tells how it ended.
//!
//! ```text
//! loop {
//!     match service.pick(&tries.want(now, hash), state) {
//!         Endpoint(choice) => sleep(tries.backoff(&choice, rng)); exchange; on failure: tries.ended(…)
//!         Static { pool }  => answer
//!         nothing          => tries.unselected(…)
//!     }
//!     RetryDecision::Pick   => go round
//!     RetryDecision::Wait   => newer table or moment, then tries.resumed(…), go round
//!     RetryDecision::Queue  => a place in flight or moment, go round
//!     RetryDecision::GiveUp => answer
//! }
//! ```
//!
//! What holds, whatever happens:
//! * a request that is not idempotent is never sent again once the kernel took a byte of it, unless the endpoint said that
//!   it did not process it;
//! * after bytes were sent, PUT and DELETE go again only inside the pool (unless `cross_pool: idempotent`), and not after
//!   a timeout: the first may still be running;
//! * exchanges with bytes sent, hedges included, number at most `attempts`, plus one across pools, plus one trial, plus one on
//!   a stale idle connection, plus one for a request that leaves a condemned endpoint after its hedge came to nothing; all but
//!   the first of a request are covered by the [`Budget`];
//! * connects that carried no byte are at most one an endpoint and table (in a hold one a second beside that), races apart, and
//!   those apart that failed for a reason of our own: such a request waits, up to `queue_timeout`, asks the same endpoints again,
//!   and leaves its pool for none of that.

use std::time::Duration;

use smallvec::SmallVec;

use super::budget::Budget;
use super::pick::{Pick, PickChoice, PickRequest, PickScope};
use super::stats::{Rejection, RetryReason, RetryReasons, SourceKey};
use super::table::ServiceView;
use super::tried::TriedEndpoints;
use crate::config::{CrossPool, Retry};
use crate::decision::{EndpointId, Failure};
use crate::time::MonoTime;
use crate::wire::h1::Method;

/// How long a request waits for the first pool, or for the verdict on a pool that refused it.
pub const VERDICT_WAIT: Duration = Duration::from_secs(1);
/// … or on a pool that did not answer its connect: a confirming connect may take nearly as long as the core waits for it.
pub const SILENT_VERDICT_WAIT: Duration = Duration::from_millis(1500);
/// How often a held request looks for an open trial gate.
pub const HOLD_STEP: Duration = Duration::from_millis(100);
/// How often a request that could not be sent for want of something of ours tries again.
pub const LOCAL_STEP: Duration = Duration::from_millis(50);
/// Shortest and longest pause before the same endpoint is asked again.
pub const BACKOFF: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(250));

/// What kind of request it is, as far as repeating it is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestClass {
    safe: bool,
    idempotent: bool,
    body: bool,
}

impl RequestClass {
    /// By method and whether it has a body. An unknown method is neither safe nor idempotent.
    pub fn of(method: Method, body: bool) -> RequestClass {
        RequestClass { safe: method.is_safe(), idempotent: method.is_idempotent(), body }
    }

    /// A TCP session: nothing is known about what its bytes do.
    pub fn opaque() -> RequestClass {
        RequestClass { safe: false, idempotent: false, body: true }
    }

    /// GET, HEAD, OPTIONS (or TRACE) without a body.
    pub fn safe(self) -> bool {
        self.safe && !self.body
    }

    /// Doing it twice is as good as doing it once.
    pub fn idempotent(self) -> bool {
        self.idempotent
    }
}

/// How a try ended without an answer for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryFailure {
    /// Connection refused, reset on connect, host or net unreachable.
    Refused,
    /// No answer to the connect in time.
    ConnectTimeout,
    /// The TLS handshake failed on a fresh connection.
    Handshake,
    /// A local error: no descriptors, no ports.
    Local,
    /// This host has no way to the endpoint: no packet has left.
    NoRoute,
    /// Reset or closed before an answer began.
    Reset,
    /// Bytes that are no answer.
    Malformed,
    /// No answer in time.
    Timeout,
    /// The endpoint was condemned while its answer was awaited ([`Tries::leave`]).
    Condemned,
    /// An answer with this status, not passed on yet.
    Status(u16),
    /// The endpoint said that it did not process the request (h2 REFUSED_STREAM, above GOAWAY's last id).
    Unprocessed,
}

impl TryFailure {
    /// What an exchange that ended like this is counted as; `None`: it says nothing against the endpoint.
    pub fn failure(self) -> Option<Failure> {
        match self {
            TryFailure::Refused => Some(Failure::Refused),
            TryFailure::ConnectTimeout => Some(Failure::ConnectTimeout),
            TryFailure::Handshake | TryFailure::Reset => Some(Failure::Reset),
            TryFailure::Malformed => Some(Failure::Malformed),
            TryFailure::Timeout => Some(Failure::Timeout),
            TryFailure::Status(_) => Some(Failure::Gateway),
            TryFailure::Local | TryFailure::NoRoute | TryFailure::Condemned | TryFailure::Unprocessed => None,
        }
    }
}

/// The end of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryEnd {
    /// Where it went.
    pub choice: PickChoice,
    /// How it ended.
    pub how: TryFailure,
    /// Did the kernel take at least one byte of the request?
    pub sent: bool,
    /// Was the connection one that had been used before?
    pub reused: bool,
    /// Can the request be sent again from its beginning: no body, or all of it so far is in the replay buffer?
    pub replayable: bool,
}

impl TryEnd {
    /// A reused idle connection that the upstream had closed at the same time: no fault of the endpoint.
    fn stale(&self) -> bool {
        self.reused && self.how == TryFailure::Reset
    }

    fn reason(&self) -> RetryReason {
        match self.how {
            TryFailure::Refused => RetryReason::Refused,
            TryFailure::Local | TryFailure::NoRoute => RetryReason::Local,
            TryFailure::ConnectTimeout => RetryReason::ConnectTimeout,
            TryFailure::Handshake => RetryReason::Handshake,
            TryFailure::Reset if self.reused => RetryReason::Stale,
            TryFailure::Reset => RetryReason::Reset,
            TryFailure::Malformed => RetryReason::Malformed,
            TryFailure::Timeout => RetryReason::Timeout,
            TryFailure::Condemned => RetryReason::Condemned,
            TryFailure::Status(_) | TryFailure::Unprocessed => RetryReason::Status,
        }
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryDecision {
    /// Pick again, now, from the newest table. When that try begins, count it by [`Tries::begins`].
    Pick,
    /// Wait for a newer table, but not beyond this moment; then [`Tries::resumed`] and pick again.
    Wait {
        /// Pick again then in any case.
        until: MonoTime,
    },
    /// Wait for a place in flight ([`ServiceStats::freed`](super::ServiceStats::freed)) or a newer table, but not beyond this
    /// moment; then pick again.
    Queue {
        /// Pick again then in any case.
        until: MonoTime,
    },
    /// No further try: pass on the answer there is, or say what failed.
    GiveUp(GiveUpReason),
}

/// Why there is no further try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GiveUpReason {
    /// `attempts` were made.
    Attempts,
    /// `retry.on` does not list this outcome.
    NotListed,
    /// It might be executed twice.
    NotIdempotent,
    /// Its body no longer fits the replay buffer.
    NotReplayable,
    /// It timed out and may still be running (PUT and DELETE go one at a time).
    MayStillRun,
    /// The service's budget is used up.
    Budget,
    /// Requests like it fail everywhere ([`FailsEverywhere`](super::FailsEverywhere)).
    FailsEverywhere,
    /// The request's deadline has come.
    Deadline,
    /// The service has not chosen its first pool.
    Starting,
    /// No pool can serve.
    Down,
    /// No endpoint is left to try.
    Exhausted,
    /// All endpoints that are left have `max_connections` in use.
    Full,
    /// We could not connect for a reason of our own.
    Local,
}

impl GiveUpReason {
    /// As the service counts it; `None` when an endpoint was reached and it is that endpoint's failure.
    pub const fn rejection(self) -> Option<Rejection> {
        match self {
            GiveUpReason::Starting => Some(Rejection::Starting),
            GiveUpReason::Down => Some(Rejection::Down),
            GiveUpReason::Exhausted => Some(Rejection::Exhausted),
            GiveUpReason::Full => Some(Rejection::EndpointsFull),
            GiveUpReason::Local => Some(Rejection::Local),
            _ => None,
        }
    }

    /// For logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            GiveUpReason::Attempts => "attempts",
            GiveUpReason::NotListed => "not_listed",
            GiveUpReason::NotIdempotent => "not_idempotent",
            GiveUpReason::NotReplayable => "not_replayable",
            GiveUpReason::MayStillRun => "may_still_run",
            GiveUpReason::Budget => "budget",
            GiveUpReason::FailsEverywhere => "fails_everywhere",
            GiveUpReason::Deadline => "deadline",
            GiveUpReason::Starting => "starting",
            GiveUpReason::Down => "down",
            GiveUpReason::Exhausted => "exhausted",
            GiveUpReason::Full => "full",
            GiveUpReason::Local => "local",
        }
    }
}

/// One request's tries.
#[derive(Clone, Debug)]
pub struct Tries {
    request_class: RequestClass,
    deadline: MonoTime,
    scope: PickScope,
    tried: TriedEndpoints,
    /// Endpoints that fail what it asks for.
    avoided: Vec<EndpointId>,
    last: Option<EndpointId>,
    reason: Option<RetryReason>,
    reasons: RetryReasons,
    ended: u32,
    /// How many of them a further try was told for.
    counted: u32,
    exchanges: u32,
    backoffs: u32,
    sent: bool,
    /// The next exchange is covered by the budget.
    covered: bool,
    trialled: bool,
    crossed: bool,
    fresh: bool,
    /// A connect was not answered.
    unanswered: bool,
    waiting_since: Option<MonoTime>,
    queued_since: Option<MonoTime>,
    suspended_since: Option<MonoTime>,
    bold: bool,
    /// A try that is counted already and may still be answered: the hedge's first.
    pending: Option<EndpointId>,
    /// The client network whose share of the budget further tries use.
    payer: Option<SourceKey>,
    /// Endpoints that could not be dialled for a reason of our own, and since when.
    local: SmallVec<[EndpointId; 2]>,
    local_since: Option<MonoTime>,
    /// Since when this host had no way to one of them.
    no_route_since: Option<MonoTime>,
}

impl Tries {
    /// No try yet. `deadline` is the request's own.
    pub fn new(request_class: RequestClass, deadline: MonoTime) -> Tries {
        Tries {
            request_class,
            deadline,
            scope: PickScope::Serving,
            tried: TriedEndpoints::new(),
            avoided: Vec::new(),
            last: None,
            reason: None,
            reasons: RetryReasons::default(),
            ended: 0,
            counted: 0,
            exchanges: 0,
            backoffs: 0,
            sent: false,
            covered: false,
            trialled: false,
            crossed: false,
            fresh: false,
            unanswered: false,
            waiting_since: None,
            queued_since: None,
            suspended_since: None,
            bold: false,
            pending: None,
            payer: None,
            local: SmallVec::new(),
            local_since: None,
            no_route_since: None,
        }
    }

    /// These endpoints fail what it asks for: others are asked, if there are any.
    pub fn avoid(&mut self, endpoints: Vec<EndpointId>) {
        self.avoided = endpoints;
    }

    /// Further tries are charged to this client network; `None`: there is no other.
    pub fn charge_to(&mut self, payer: Option<SourceKey>) {
        self.payer = payer;
    }

    /// What the next pick should look for.
    pub fn want(&self, now: MonoTime, hash: u64) -> PickRequest<'_> {
        let trial = !self.trialled && self.ended == 0;
        PickRequest {
            now,
            safe: self.request_class.safe(),
            trial,
            hash,
            tried: &self.tried,
            avoided: &self.avoided,
            scope: self.scope,
            bold: self.bold,
        }
    }

    /// What a hedge should look for, of a request that has waited for this endpoint's answer since then. `None`: it is not to
    /// be asked elsewhere.
    pub fn want_hedge(
        &self,
        retry: &Retry,
        endpoint: EndpointId,
        since: MonoTime,
        now: MonoTime,
        hash: u64,
    ) -> Option<PickRequest<'_>> {
        let inside = self.exchanges + 1 < retry.attempts.max(1);
        let across = self.may_cross(retry) && !self.crossed;
        if !self.request_class.safe() || now >= self.deadline || !(inside || across) {
            return None;
        }
        let scope = if inside { PickScope::Beside { endpoint, since, across } } else { PickScope::Beyond(endpoint) };
        Some(PickRequest {
            now,
            safe: true,
            trial: false,
            hash,
            tried: &self.tried,
            avoided: &self.avoided,
            scope,
            bold: true,
        })
    }

    /// The request, which has waited for the pending try since then, is asked elsewhere as well: in its pool, or across. `false`:
    /// it was asked there already, or the budget does not cover it. The pending try is counted as made, and from now on the
    /// tries are those of the hedge.
    pub fn hedge(
        &mut self,
        retry: &Retry,
        pending: &PickChoice,
        since: MonoTime,
        elsewhere: &PickChoice,
        budget: &Budget,
        now: MonoTime,
    ) -> bool {
        if elsewhere.again || elsewhere.id == pending.id || !budget.extra(retry.budget, self.payer, now) {
            return false;
        }
        self.ended += 1;
        self.tried.add(pending.id, false);
        self.trialled |= pending.trial;
        self.exchanges += u32::from(!pending.trial);
        (self.last, self.pending, self.reason) = (Some(pending.id), Some(pending.id), Some(RetryReason::Hedge));
        (self.sent, self.covered) = (true, true);
        if pending.pool == elsewhere.pool {
            self.scope = PickScope::Beside { endpoint: pending.id, since, across: false };
        } else {
            self.cross(pending.id);
        }
        true
    }

    /// This endpoint does not answer a connect: another one is connected to in parallel.
    pub fn race(&mut self, unanswered: &PickChoice) {
        self.ended += 1;
        self.reason = Some(RetryReason::ConnectLate);
        self.last = Some(unanswered.id);
        self.trialled |= unanswered.trial;
        self.tried.add(unanswered.id, true);
    }

    /// The pending try of a hedge is over: the hedge may go wherever the newest table says.
    pub fn forsake(&mut self) {
        self.pending = None;
        if let PickScope::Beside { .. } = self.scope {
            self.scope = PickScope::Serving;
        }
    }

    /// The hedge came to nothing, and then the endpoint of the pending try was condemned: may the request go where the newest
    /// table says?
    pub fn leave_hedge(&mut self, retry: &Retry, budget: &Budget, now: MonoTime) -> bool {
        let leaves = self.within_deadline(now).is_ok() && self.cover(retry, budget, now).is_ok();
        if leaves {
            self.pending = None;
            self.scope = PickScope::Serving;
        }
        leaves
    }

    /// The pause before this choice may be asked: none for another endpoint; for the same one 25 ms, then up to 50, 100, 200
    /// and 250 ms, jittered.
    pub fn backoff(&mut self, choice: &PickChoice, rng: &mut fastrand::Rng) -> Duration {
        if !choice.again {
            return Duration::ZERO;
        }
        let (least, most) = (BACKOFF.0.as_micros() as u64, BACKOFF.1.as_micros() as u64);
        let ceiling = (least << self.backoffs.min(10)).clamp(least, most);
        self.backoffs += 1;
        Duration::from_micros(rng.u64(least..=ceiling))
    }

    /// The longest that one try may wait for its answer.
    pub fn try_timeout(&self, retry: &Retry, response: Duration) -> Duration {
        retry.per_try_timeout.map_or(response, |limit| limit.min(response))
    }

    /// Must the next try use a fresh connection? (A reused one was stale.)
    pub fn fresh_only(&self) -> bool {
        self.fresh
    }

    /// Does the next try leave its pool before a switch?
    pub fn crossing(&self) -> bool {
        matches!(self.scope, PickScope::Beyond(_))
    }

    /// A try begins. Why, if it is not the first; `None` also when that was told already.
    pub fn begins(&mut self) -> Option<RetryReason> {
        if self.counted == self.ended {
            return None;
        }
        self.counted = self.ended;
        self.reasons.extend(self.reason);
        if self.crossing() {
            self.reasons.crosses();
        }
        self.reason
    }

    /// Why its further tries were made.
    pub fn reasons(&self) -> RetryReasons {
        self.reasons
    }

    /// The endpoints that it has tried.
    pub fn tried(&self) -> &TriedEndpoints {
        &self.tried
    }

    /// The class of the request.
    pub fn request_class(&self) -> RequestClass {
        self.request_class
    }

    /// A try ended without an answer for the client (nothing was passed on).
    pub fn ended(&mut self, retry: &Retry, ended: &TryEnd, budget: &Budget, now: MonoTime) -> RetryDecision {
        self.ended += 1;
        self.last = Some(ended.choice.id);
        self.trialled |= ended.choice.trial;
        self.queued_since = None;
        let next =
            if ended.sent { self.after_exchange(retry, ended, budget, now) } else { self.after_connect(ended, now) };
        self.reason = Some(ended.reason());
        match next {
            Ok(()) => RetryDecision::Pick,
            Err(why) => RetryDecision::GiveUp(why),
        }
    }

    /// A newer table condemns the endpoint of a try that still waits for its answer: may the request give that try up and go
    /// elsewhere? `true`: it was told as [ended](Tries::ended), pick again. `false`: nothing has changed, go on waiting –
    /// the request is not safe, or has no further try.
    pub fn leave(&mut self, retry: &Retry, ended: &TryEnd, budget: &Budget, now: MonoTime) -> bool {
        if !self.request_class.safe() {
            return false;
        }
        let mut gone = self.clone();
        let leaves = gone.ended(retry, ended, budget, now) == RetryDecision::Pick;
        if leaves {
            *self = gone;
        }
        leaves
    }

    /// The kernel took no byte: it never happened, try another endpoint.
    fn after_connect(&mut self, ended: &TryEnd, now: MonoTime) -> Result<(), GiveUpReason> {
        self.unanswered |= ended.how == TryFailure::ConnectTimeout;
        if ended.stale() {
            self.fresh = true;
        } else {
            self.tried.add(ended.choice.id, true);
        }
        // (One that was dialled since is not asked again for what was ours before.)
        self.local.retain(|endpoint| *endpoint != ended.choice.id);
        match ended.how {
            TryFailure::Local => self.local_since = self.local_since.or(Some(now)),
            TryFailure::NoRoute => self.no_route_since = self.no_route_since.or(Some(now)),
            _ => return self.may_go_on(ended, now),
        }
        self.local.push(ended.choice.id);
        self.may_go_on(ended, now)
    }

    fn may_go_on(&self, ended: &TryEnd, now: MonoTime) -> Result<(), GiveUpReason> {
        if !ended.replayable {
            return Err(GiveUpReason::NotReplayable);
        }
        self.within_deadline(now)
    }

    fn after_exchange(
        &mut self,
        retry: &Retry,
        ended: &TryEnd,
        budget: &Budget,
        now: MonoTime,
    ) -> Result<(), GiveUpReason> {
        let harmless = ended.how == TryFailure::Unprocessed;
        self.sent |= !harmless;
        self.covered = false;
        if ended.stale() && !self.fresh {
            self.fresh = true;
        } else {
            self.tried.add(ended.choice.id, false);
            let counted = self.pending.take_if(|pending| *pending == ended.choice.id).is_some();
            self.exchanges += u32::from(!ended.choice.trial && !counted);
            if !ended.choice.trial && !harmless && !listed(retry, ended) {
                return Err(GiveUpReason::NotListed);
            }
        }
        self.repeatable(retry, ended, harmless)?;
        self.within_deadline(now)?;
        self.aim(retry, ended)?;
        self.cover(retry, budget, now)
    }

    fn repeatable(&self, retry: &Retry, ended: &TryEnd, harmless: bool) -> Result<(), GiveUpReason> {
        if !harmless && !self.request_class.idempotent() {
            return Err(GiveUpReason::NotIdempotent);
        }
        if !ended.replayable {
            return Err(GiveUpReason::NotReplayable);
        }
        let alone = self.request_class.safe || harmless || retry.cross_pool == CrossPool::Idempotent;
        if ended.how == TryFailure::Timeout && !alone {
            return Err(GiveUpReason::MayStillRun);
        }
        Ok(())
    }

    /// Where the next exchange may go: inside the pool while attempts last, then once across.
    fn aim(&mut self, retry: &Retry, ended: &TryEnd) -> Result<(), GiveUpReason> {
        let may_cross = self.may_cross(retry);
        if self.exchanges >= retry.attempts.max(1) {
            if !may_cross || self.crossed {
                return Err(GiveUpReason::Attempts);
            }
            self.cross(ended.choice.id);
        } else if self.sent && !self.request_class.safe() && !may_cross {
            self.scope = PickScope::PoolOf(ended.choice.id);
        }
        Ok(())
    }

    fn cover(&mut self, retry: &Retry, budget: &Budget, now: MonoTime) -> Result<(), GiveUpReason> {
        self.covered = self.covered || budget.extra(retry.budget, self.payer, now);
        if self.covered { Ok(()) } else { Err(GiveUpReason::Budget) }
    }

    fn may_cross(&self, retry: &Retry) -> bool {
        match retry.cross_pool {
            CrossPool::Safe => self.request_class.safe(),
            CrossPool::Idempotent => self.request_class.idempotent(),
            CrossPool::Never => false,
        }
    }

    fn cross(&mut self, from: EndpointId) {
        self.crossed = true;
        self.scope = PickScope::Beyond(from);
    }

    /// The pick came back to an endpoint that has failed this request, because its pool has no other: the one further try goes to
    /// the next pool with endpoints rather, if there is one and the request may cross. `true`: pick again.
    pub fn crosses_rather(&mut self, retry: &Retry, choice: &PickChoice, service: &ServiceView) -> bool {
        let crosses = choice.again
            && self.scope == PickScope::Serving
            && !self.crossed
            && self.sent
            && self.may_cross(retry)
            && service.beyond(choice.id).is_some_and(|pool| service.pools[pool].static_response().is_none());
        if crosses {
            self.cross(choice.id);
        }
        crosses
    }

    fn within_deadline(&self, now: MonoTime) -> Result<(), GiveUpReason> {
        if now < self.deadline { Ok(()) } else { Err(GiveUpReason::Deadline) }
    }

    /// The pick found no endpoint (`pick` is neither `Endpoint` nor `Static`).
    pub fn unselected(&mut self, retry: &Retry, pick: Pick, service: &ServiceView, now: MonoTime) -> RetryDecision {
        match pick {
            Pick::Wait => self.wait(VERDICT_WAIT, VERDICT_WAIT, now, GiveUpReason::Starting),
            Pick::Down if self.settled() => RetryDecision::GiveUp(GiveUpReason::Down),
            Pick::Down => {
                // Without a trial gate to look for, only a newer table helps.
                let hold = service.config.hold_requests;
                let has_trials = service.pools.iter().any(|pool| !pool.trials.is_empty());
                self.wait(hold, if has_trials { HOLD_STEP } else { hold }, now, GiveUpReason::Down)
            }
            Pick::Full => self.queue(service.config.limits.queue_timeout, now),
            Pick::Suspected => self.suspend(now),
            Pick::Exhausted | Pick::Endpoint(_) | Pick::Static { .. } => self.exhausted(retry, service, now),
        }
    }

    /// All endpoints in scope were tried: across the pools if that is allowed, else wait for the verdict on this pool.
    fn exhausted(&mut self, retry: &Retry, service: &ServiceView, now: MonoTime) -> RetryDecision {
        if let PickScope::Beside { endpoint, .. } = self.scope
            && !service.pool_of(endpoint).is_some_and(|pool| service.serves(pool))
        {
            // Its pool was left: the pool that serves now is beside it.
            self.scope = PickScope::Serving;
            return RetryDecision::Pick;
        }
        if let Some(next) = self.wait_for_ourselves(service, now) {
            return next;
        }
        if let Some(last) = self.last
            && self.may_cross(retry)
            && !self.crossed
            && now < self.deadline
            && service.beyond(last).is_some()
        {
            self.cross(last);
            return RetryDecision::Pick;
        }
        if self.settled() {
            return RetryDecision::GiveUp(GiveUpReason::Exhausted);
        }
        if let Some(since) = self.no_route_since.filter(|_| !self.sent) {
            // There may be a way again before there is a verdict.
            self.waiting_since.get_or_insert(since);
            self.local.drain(..).for_each(|endpoint| self.tried.forget(endpoint));
            self.scope = PickScope::Serving;
            let longest = VERDICT_WAIT + VERDICT_WAIT.max(service.config.hold_requests);
            return self.wait(longest, HOLD_STEP, now, GiveUpReason::Exhausted);
        }
        // All its attempts are made, and the one further try would need another pool: no table can bring one.
        if self.crossed && service.pools.len() == 1 {
            return RetryDecision::GiveUp(GiveUpReason::Attempts);
        }
        let verdict = if self.unanswered { SILENT_VERDICT_WAIT } else { VERDICT_WAIT };
        let next = self.wait(verdict.max(service.config.hold_requests), VERDICT_WAIT, now, GiveUpReason::Exhausted);
        if self.waiting_since.is_some_and(|since| now.since(since) >= verdict) {
            // The verdict was in favour of the endpoints, or does not come: what is held asks them again.
            self.tried.forget_refusals();
        }
        next
    }

    /// An endpoint in scope could not be dialled for a reason of our own: that says nothing about its pool, and is waited for.
    fn wait_for_ourselves(&mut self, service: &ServiceView, now: MonoTime) -> Option<RetryDecision> {
        if self.local.is_empty() {
            return None;
        }
        // Having no way there lasts a moment, or is a matter of that pool: then it is as good as refused.
        let no_route = self.no_route_since.map(|since| since.after(VERDICT_WAIT).min(self.deadline));
        let until = match self.local_since {
            Some(since) => since.after(service.config.limits.queue_timeout).min(self.deadline),
            None => no_route?,
        };
        if now >= until {
            return self.local_since.map(|_| RetryDecision::GiveUp(GiveUpReason::Local));
        }
        self.local.drain(..).for_each(|endpoint| self.tried.forget(endpoint));
        Some(RetryDecision::Queue { until: until.min(now.after(LOCAL_STEP)) })
    }

    /// Has it been sent somewhere it must not leave? Then no newer table helps.
    fn settled(&self) -> bool {
        self.sent && !self.request_class.safe()
    }

    fn wait(&mut self, longest: Duration, step: Duration, now: MonoTime, why: GiveUpReason) -> RetryDecision {
        let since = *self.waiting_since.get_or_insert(now);
        let end = since.after(longest).min(self.deadline);
        if now >= end {
            return RetryDecision::GiveUp(why);
        }
        RetryDecision::Wait { until: end.min(now.after(step)) }
    }

    /// When a wait that has begun ends, if it may last so long.
    pub fn wait_ends(&self, longest: Duration) -> Option<MonoTime> {
        self.waiting_since.map(|since| since.after(longest).min(self.deadline))
    }

    /// Not into silence, as long as a verdict may come; then it goes there nevertheless.
    fn suspend(&mut self, now: MonoTime) -> RetryDecision {
        let until = self.suspended_since.get_or_insert(now).after(VERDICT_WAIT).min(self.deadline);
        self.bold = now >= until;
        if self.bold { RetryDecision::Pick } else { RetryDecision::Wait { until } }
    }

    fn queue(&mut self, longest: Duration, now: MonoTime) -> RetryDecision {
        let since = *self.queued_since.get_or_insert(now);
        let until = since.after(longest).min(self.deadline);
        if now >= until { RetryDecision::GiveUp(GiveUpReason::Full) } else { RetryDecision::Queue { until } }
    }

    /// A wait is over. `judged_anew`: the newest table's view of the service is another than the one that was asked, so
    /// endpoints that refused may be asked again, and the serving pool is asked before any other.
    pub fn resumed(&mut self, judged_anew: bool) {
        if !judged_anew {
            return;
        }
        self.tried.forget_refusals();
        if let PickScope::Beyond(_) = self.scope {
            self.scope = PickScope::Serving;
        }
    }
}

fn listed(retry: &Retry, ended: &TryEnd) -> bool {
    match ended.how {
        TryFailure::Reset | TryFailure::Malformed => retry.on.reset,
        TryFailure::Timeout => retry.on.timeout,
        TryFailure::Status(status) => retry.on.has_status(status),
        TryFailure::Condemned => !retry.on.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
#[path = "tries_tests.rs"]
mod tests;

//! What workers count about an endpoint, and the digest that the engine's sweep makes of it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::attribution::Attribution;
use super::liveness::ResponseTracker;
use super::reuse::ReuseTrust;
use crate::decision::{ConnectOutcome, Digest, Failure, FailureCounts, FailureReport, RequestTarget, Silence, Source};
use crate::net::tls::TlsFailure;
use crate::telemetry::instruments::{CachePadded, Counters};
use crate::time::MonoTime;

/// Pause between two trial requests of one endpoint over all workers.
pub const TRIAL_PAUSE: Duration = Duration::from_millis(100);
/// How much longer the gate stays closed while a failed trial might not be covered by the retry budget.
pub const TRIAL_RESTRAINT: Duration = Duration::from_millis(400);
/// How long an open gate is kept for safe requests before others may pass it.
pub const TRIAL_COURTESY: Duration = Duration::from_millis(50);

/// A connect is late after four times what connects take lately, within these bounds: a lost SYN would be sent again after a
/// second only.
const CONNECT_LEAST: Duration = Duration::from_millis(50);
const CONNECT_MOST: Duration = Duration::from_secs(1);
/// … and after so long while that is not known.
const CONNECT_UNKNOWN: Duration = Duration::from_millis(250);

const KINDS: usize = Failure::ALL.len();
const GOOD: usize = 0;
const FAILED: usize = 1;
const TRIALS_GOOD: usize = FAILED + KINDS;
const TRIALS_FAILED: usize = TRIALS_GOOD + 1;
const RESPONSES: usize = TRIALS_FAILED + 1;
const CONNECTS: usize = RESPONSES + 5;
const BYTES_OUT: usize = CONNECTS + 4;
const BYTES_IN: usize = BYTES_OUT + 1;
const IDLE: usize = BYTES_IN + 1;
const HANDSHAKES: usize = IDLE + 1;
const CELLS: usize = HANDSHAKES + TlsFailure::ALL.len();

/// A streak of failures in one word: how many in the upper 16 bits (saturating), since when (µs) in the lower 48.
const STREAK_SINCE: u64 = (1 << 48) - 1;

/// One endpoint's atomics. Shared by all workers and the engine, kept over republishing.
///
/// Order of writes, which makes a digest trustworthy: a failure is counted before its streak grows, and a digest reads the
/// streak before the counts, so the failures of a reported streak are always counted in that digest or an earlier one.
#[derive(Debug)]
pub struct EndpointStats {
    generation: AtomicU64,
    freed: Arc<Notify>,
    trip: AtomicU32,
    trial_next: AtomicU64,
    triable: AtomicBool,
    no_route: AtomicBool,
    urgent: AtomicBool,
    streak: CachePadded<AtomicU64>,
    /// Grows when a good answer ends a streak.
    streak_number: AtomicU32,
    attribution: Attribution,
    busy: CachePadded<ExchangeCounters>,
    /// How long a connect takes, in µs: the longest lately, forgotten by and by. 0 = not known.
    connect_takes: AtomicU64,
    /// Is there more to know than `reuse`'s default? Then it is locked and looked at; a healthy endpoint's never is.
    reuse_in_doubt: AtomicBool,
    reuse: Mutex<ReuseTrust>,
    cells: Counters<CELLS>,
}

/// What every exchange touches at its beginning and its end.
#[derive(Debug, Default)]
struct ExchangeCounters {
    /// By [`stay`](EndpointStats::stay), its parity.
    in_flight: [AtomicUsize; 2],
    stay: AtomicUsize,
    replies: ResponseTracker,
    connects: ResponseTracker,
}

/// What the sweep had read of an endpoint the last time.
#[derive(Clone, Copy, Debug, Default)]
pub struct DigestCursor {
    good: u64,
    failed: [u64; KINDS],
    trials_good: u64,
    trials_failed: u64,
    streak: u64,
    silence: Option<Silence>,
}

/// Everything counted since the endpoint was first configured, for `/metrics` and `/status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointTotals {
    /// Exchanges that ended well.
    pub good: u64,
    /// Exchanges that failed, by [`Failure`].
    pub failed: [u64; KINDS],
    /// Trial requests that ended well (also counted in `good`).
    pub trials_good: u64,
    /// Trial requests that failed (also counted in `failed`).
    pub trials_failed: u64,
    /// Answers by class of status, 1xx to 5xx.
    pub responses: [u64; 5],
    /// Connects by outcome: connected, refused, timeout, local.
    pub connects: [u64; 4],
    /// TLS handshakes that failed, by [`TlsFailure`].
    pub tls_failures: [u64; TlsFailure::ALL.len()],
    /// Bytes sent to it.
    pub bytes_out: u64,
    /// Bytes received from it.
    pub bytes_in: u64,
    /// Idle connections over all workers.
    pub idle: u64,
    /// Exchanges and sessions now.
    pub in_flight: u64,
    /// Failures in a row now.
    pub streak: u32,
}

impl EndpointStats {
    /// All zero. `trip`: failures in a row that are urgent. `freed`: what to notify when a place in flight is given back
    /// ([`ServiceStats::freed`](super::ServiceStats::freed)).
    pub fn new(workers: usize, trip: u32, freed: Arc<Notify>) -> EndpointStats {
        EndpointStats {
            generation: AtomicU64::new(0),
            freed,
            trip: AtomicU32::new(trip.max(1)),
            trial_next: AtomicU64::new(0),
            triable: AtomicBool::new(false),
            no_route: AtomicBool::new(false),
            urgent: AtomicBool::new(false),
            streak: CachePadded::default(),
            streak_number: AtomicU32::new(0),
            attribution: Attribution::default(),
            busy: CachePadded::default(),
            connect_takes: AtomicU64::new(0),
            reuse_in_doubt: AtomicBool::new(false),
            reuse: Mutex::default(),
            cells: Counters::new(workers),
        }
    }

    /// A reload changed how many failures in a row are urgent.
    pub(in crate::routing) fn set_trip(&self, trip: u32) {
        self.trip.store(trip.max(1), Relaxed);
    }

    /// Connections made under an older generation are not used again: compare at checkout.
    pub fn generation(&self) -> u64 {
        self.generation.load(SeqCst)
    }

    /// From now on no idle connection of this endpoint is used again.
    pub fn bump_generation(&self) {
        self.generation.fetch_add(1, SeqCst);
    }

    /// Takes a place in flight; `None` when `max` are taken. Given back on drop.
    pub fn enter(self: &Arc<Self>, max: Option<usize>) -> Option<InFlight> {
        let stay = self.stay();
        let before = self.busy.0.in_flight[stay].fetch_add(1, Relaxed);
        if max.is_some_and(|max| before + self.in_flight_of(1 - stay) >= max) {
            self.busy.0.in_flight[stay].fetch_sub(1, Relaxed);
            return None;
        }
        Some(InFlight { stats: Arc::clone(self), limited: max.is_some(), second: stay == 1 })
    }

    /// Exchanges and sessions in flight over all workers.
    #[inline]
    pub fn in_flight(&self) -> usize {
        self.in_flight_of(0) + self.in_flight_of(1)
    }

    /// Of these, what began in this stay.
    #[inline]
    pub fn in_flight_of(&self, stay: usize) -> usize {
        self.busy.0.in_flight[stay & 1].load(Relaxed)
    }

    /// The endpoint's stay in its present pool, 0 or 1.
    #[inline]
    pub fn stay(&self) -> usize {
        self.busy.0.stay.load(Relaxed) & 1
    }

    /// A reload moved the endpoint into another pool: what begins from now on is counted apart. (Not while something of the stay
    /// before the present one is in flight: then what begins is counted with the present one.)
    pub fn begin_stay(&self) {
        let next = 1 - self.stay();
        if self.in_flight_of(next) == 0 {
            self.busy.0.stay.store(next, Relaxed);
        }
    }

    /// Passes the trial gate: one caller per [`TRIAL_PAUSE`] gets `true`. Requests that are not safe find it open only
    /// [`TRIAL_COURTESY`] later, so that safe ones go first; where the retry budget is nearly used up (not `eager`) it opens
    /// [`TRIAL_RESTRAINT`] later.
    pub fn open_trial(&self, safe: bool, eager: bool, now: MonoTime) -> bool {
        let next = self.trial_next.load(Relaxed);
        let courtesy = if safe || next == 0 { Duration::ZERO } else { TRIAL_COURTESY };
        let restraint = if eager { Duration::ZERO } else { TRIAL_RESTRAINT };
        let opens = next + (courtesy + restraint).as_micros() as u64;
        let passes = now.as_micros() >= opens
            && self.trial_next.compare_exchange(next, now.after(TRIAL_PAUSE).as_micros(), Relaxed, Relaxed).is_ok();
        if passes {
            self.triable.store(true, Relaxed);
        }
        passes
    }

    /// A whole exchange ended well. `true`: the engine must look at once, it was a trial.
    #[inline]
    pub fn record_good(&self, worker: usize, trial: bool) -> bool {
        self.cells.add(worker, GOOD, 1);
        if trial {
            self.cells.add(worker, TRIALS_GOOD, 1);
        }
        if self.streak.0.load(Relaxed) != 0 && self.streak.0.swap(0, SeqCst) != 0 {
            self.streak_number.fetch_add(1, SeqCst);
        }
        trial && self.make_urgent()
    }

    /// Are good answers to be told by source ([`EndpointStats::record_good_by`])?
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.attribution.is_watched()
    }

    /// A good answer went to a client of this network.
    pub fn record_good_by(&self, source: Source, now: MonoTime) {
        self.attribution.good(source, now);
    }

    /// Whether the core wants good answers by source although nothing fails.
    pub(in crate::routing) fn prove(&self, proving: bool) {
        self.attribution.prove(proving);
    }

    /// The number of the streak that a failure recorded just now belongs to.
    pub fn streak_number(&self) -> u32 {
        self.streak_number.load(SeqCst)
    }

    /// A failed exchange is settled: it is known how its request fared elsewhere. `true`: the engine must look at once.
    pub fn report(&self, report: FailureReport) -> bool {
        self.attribution.report(report) >= self.trip.load(Relaxed) && self.make_urgent()
    }

    /// A request that waited for an answer since then was answered elsewhere: notes its source and target.
    pub fn witness(&self, asked: MonoTime, source: Source, target: RequestTarget) {
        self.attribution.witness(asked, source, target);
    }

    /// An exchange failed. A refusal also bumps the generation.
    ///
    /// `true`: the engine must look at once ([`Published::urgent`](super::super::Published::urgent)): a refusal, an unanswered
    /// connect, a reset or a streak as long as the tripping one, unless it was poked already and has not looked yet.
    pub fn record_failure(&self, worker: usize, kind: Failure, trial: bool, now: MonoTime) -> bool {
        self.cells.add(worker, FAILED + kind as usize, 1);
        if trial {
            self.cells.add(worker, TRIALS_FAILED, 1);
        }
        let streak = self.extend_streak(now);
        if kind == Failure::Refused {
            self.bump_generation();
            self.doubt_reuse(false, |trust| trust.refused(now));
        }
        let urgent = matches!(kind, Failure::Refused | Failure::ConnectTimeout | Failure::Reset)
            || streak >= self.trip.load(Relaxed);
        urgent && self.make_urgent()
    }

    fn extend_streak(&self, now: MonoTime) -> u32 {
        let longer = |word: u64| match word >> 48 {
            0 => (1 << 48) | (now.as_micros() & STREAK_SINCE),
            0xffff => word,
            _ => word + (1 << 48),
        };
        let before = self.streak.0.fetch_update(SeqCst, SeqCst, |word| Some(longer(word)));
        (longer(before.unwrap_or_else(|word| word)) >> 48) as u32
    }

    /// What happened since the cursor's last digest; `None` when nothing did. One reader a cursor; every outcome shows up in
    /// exactly one digest.
    pub fn take_digest(&self, cursor: &mut DigestCursor) -> Option<Digest> {
        // Asked of every endpoint twenty times a second, and mostly nothing has happened: what is written, or not needed
        // here, is what that would cost.
        if self.urgent.load(SeqCst) {
            self.urgent.swap(false, SeqCst);
        }
        let streak = self.streak.0.load(SeqCst);
        let totals: [u64; RESPONSES] = self.cells.first();
        let step = |old: &mut u64, cell: usize| {
            let grown = totals[cell].wrapping_sub(*old);
            *old = totals[cell];
            u32::try_from(grown).unwrap_or(u32::MAX)
        };
        let mut failed = FailureCounts::default();
        for (kind, old) in cursor.failed.iter_mut().enumerate() {
            failed.0[kind] = step(old, FAILED + kind);
        }
        let (reports, by_source) = self.attribution.take();
        let digest = Digest {
            good: step(&mut cursor.good, GOOD),
            failed,
            streak: (streak >> 48) as u32,
            streak_since: MonoTime::from_micros(streak & STREAK_SINCE),
            trials_good: step(&mut cursor.trials_good, TRIALS_GOOD),
            trials_failed: step(&mut cursor.trials_failed, TRIALS_FAILED),
            triable: self.triable.load(Relaxed) && self.triable.swap(false, Relaxed),
            no_route: self.no_route.load(Relaxed) && self.no_route.swap(false, Relaxed),
            silence: self.silence(),
            streak_number: self.streak_number(),
            reports,
            by_source,
            callers: None,
        };
        let counts = [digest.good, digest.failed.total(), digest.trials_good, digest.trials_failed];
        let attributed = !digest.reports.is_empty() || !digest.by_source.is_empty();
        let quiet = counts == [0; 4]
            && streak == cursor.streak
            && digest.silence == cursor.silence
            && !digest.triable
            && !digest.no_route
            && !attributed;
        (cursor.streak, cursor.silence) = (streak, digest.silence);
        (!quiet).then_some(digest)
    }

    /// Its answers: noted from *request fully sent* to the first byte of the reply.
    #[inline]
    pub fn replies(&self) -> &ResponseTracker {
        &self.busy.0.replies
    }

    /// Its connects: noted from the SYN to the end of the TLS handshake, or to HTTP/2's SETTINGS.
    pub fn connects(&self) -> &ResponseTracker {
        &self.busy.0.connects
    }

    /// A connect succeeded after so long.
    pub fn note_connect(&self, took: Duration) {
        let (took, before) = (took.as_micros() as u64, self.connect_takes.load(Relaxed));
        self.connect_takes.store(took.max(before - before / 8).max(1), Relaxed);
    }

    /// After so long a connect that has no answer is raced by one to another endpoint.
    pub fn connect_late_after(&self) -> Duration {
        match self.connect_takes.load(Relaxed) {
            0 => CONNECT_UNKNOWN,
            takes => Duration::from_micros(takes.saturating_mul(4)).clamp(CONNECT_LEAST, CONNECT_MOST),
        }
    }

    /// A reused connection of this generation was reset before its answer. What is older than an earlier reset, a refusal or a
    /// switch says nothing new.
    pub fn note_stale(&self, generation: u64, now: MonoTime) {
        self.doubt_reuse(true, |trust| {
            if generation == self.generation() && trust.reset(now) {
                self.bump_generation();
            }
        });
    }

    /// An answer came over a connection of this generation. `reused`: it had been used before.
    #[inline]
    pub fn note_answered(&self, generation: u64, reused: bool, now: MonoTime) {
        if self.reuse_in_doubt.load(Relaxed) && generation == self.generation() {
            self.doubt_reuse(false, |trust| trust.answered(reused, now));
        }
    }

    /// May an idle connection be used? `idempotent`: for what may be sent again.
    #[inline]
    pub fn trusts_idle(&self, idempotent: bool, now: MonoTime) -> bool {
        !self.reuse_in_doubt.load(Relaxed)
            || self.doubt_reuse(false, |trust| trust.trusts(idempotent, now)).unwrap_or(true)
    }

    /// Looks at what is known of reused connections, if there is anything or is to be (`begin`).
    fn doubt_reuse<T>(&self, begin: bool, look: impl FnOnce(&mut ReuseTrust) -> T) -> Option<T> {
        if !begin && !self.reuse_in_doubt.load(Relaxed) {
            return None;
        }
        let mut trust = self.reuse.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = look(&mut trust);
        self.reuse_in_doubt.store(*trust != ReuseTrust::default(), Relaxed);
        Some(seen)
    }

    /// Was it heard since then, or not asked?
    pub fn is_lively(&self, since: MonoTime, now: MonoTime) -> bool {
        self.replies().is_lively(since, now) && self.connects().is_lively(since, now)
    }

    /// Was it recently slow: did a request or a connect wait for too long?
    #[inline]
    pub fn is_doubtful(&self, now: MonoTime) -> bool {
        self.replies().was_late(now) || self.connects().was_late(now)
    }

    /// It is asked, or dialled, and says nothing.
    fn silence(&self) -> Option<Silence> {
        // An endpoint that answers is there, however slow its new connections are.
        let connects = self.connects().silence().filter(|silence| self.replies().last_heard() < silence.since);
        let replies = self.replies().silence().map(|silence| {
            let (sources, targets) = match silence.witnesses {
                0 => ([None; 3], 0),
                _ => self.attribution.witnesses_since(self.replies().last_heard()),
            };
            Silence { sources, targets, ..silence }
        });
        [replies, connects].into_iter().flatten().max_by_key(|silence| silence.witnesses)
    }

    /// The engine must look at once. `true`: poke it, it was not yet.
    pub fn make_urgent(&self) -> bool {
        !self.urgent.swap(true, SeqCst)
    }

    /// Count an answer by its status.
    #[inline]
    pub fn count_response(&self, worker: usize, status: u16) {
        if (100..600).contains(&status) {
            self.cells.add(worker, RESPONSES + usize::from(status / 100 - 1), 1);
        }
    }

    /// Count a connect.
    pub fn count_connect(&self, worker: usize, outcome: ConnectOutcome) {
        let counted = match outcome {
            ConnectOutcome::NoRoute => ConnectOutcome::Local,
            ConnectOutcome::Unreachable => ConnectOutcome::Refused,
            outcome => outcome,
        };
        self.cells.add(worker, CONNECTS + counted as usize, 1);
    }

    /// This host has no way to it. `true`: the engine must look at once, unless it was poked already.
    pub fn note_no_route(&self) -> bool {
        self.no_route.store(true, Relaxed);
        self.make_urgent()
    }

    /// Count a TLS handshake that failed.
    pub fn count_tls_failure(&self, worker: usize, why: TlsFailure) {
        self.cells.add(worker, HANDSHAKES + why as usize, 1);
    }

    /// Count bytes sent to it and received from it.
    #[inline]
    pub fn count_bytes(&self, worker: usize, sent: u64, received: u64) {
        self.cells.add(worker, BYTES_OUT, sent);
        self.cells.add(worker, BYTES_IN, received);
    }

    /// A connection was parked (`+1`) or taken or closed (`-1`).
    #[inline]
    pub fn count_idle(&self, worker: usize, change: i64) {
        self.cells.add(worker, IDLE, change as u64);
    }

    /// Everything counted so far.
    pub fn totals(&self) -> EndpointTotals {
        let cells = self.cells.totals();
        EndpointTotals {
            good: cells[GOOD],
            failed: std::array::from_fn(|kind| cells[FAILED + kind]),
            trials_good: cells[TRIALS_GOOD],
            trials_failed: cells[TRIALS_FAILED],
            responses: std::array::from_fn(|class| cells[RESPONSES + class]),
            connects: std::array::from_fn(|outcome| cells[CONNECTS + outcome]),
            tls_failures: std::array::from_fn(|why| cells[HANDSHAKES + why]),
            bytes_out: cells[BYTES_OUT],
            bytes_in: cells[BYTES_IN],
            idle: (cells[IDLE] as i64).max(0) as u64,
            in_flight: self.in_flight() as u64,
            streak: (self.streak.0.load(Relaxed) >> 48) as u32,
        }
    }
}

/// A place in flight at an endpoint.
#[derive(Debug)]
pub struct InFlight {
    stats: Arc<EndpointStats>,
    limited: bool,
    /// It began in the stay of number 1.
    second: bool,
}

impl InFlight {
    /// The counters of its endpoint.
    pub fn stats(&self) -> &Arc<EndpointStats> {
        &self.stats
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.stats.busy.0.in_flight[usize::from(self.second)].fetch_sub(1, Relaxed);
        if self.limited {
            self.stats.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::routing::fixture::at;

    fn stats(trip: u32) -> Arc<EndpointStats> {
        Arc::new(EndpointStats::new(2, trip, Arc::default()))
    }

    #[test]
    fn digests_lose_nothing_while_workers_write() {
        const EACH: u32 = 20_000;
        let stats = stats(5);
        let (mut cursor, mut sum) = (DigestCursor::default(), Digest::default());
        let mut add = |digest: Digest| {
            sum.good += digest.good;
            sum.trials_failed += digest.trials_failed;
            (0..KINDS).for_each(|kind| sum.failed.0[kind] += digest.failed.0[kind]);
            assert!(digest.streak <= sum.failed.total(), "a streak whose failures were not counted");
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..3)
                .map(|worker| {
                    let stats = &stats;
                    scope.spawn(move || {
                        for n in 0..EACH {
                            match n % 3 {
                                0 => drop(stats.record_good(worker, false)),
                                _ => drop(stats.record_failure(
                                    worker,
                                    Failure::ALL[n as usize % KINDS],
                                    n % 2 == 0,
                                    at(1),
                                )),
                            }
                        }
                    })
                })
                .collect();
            while workers.iter().any(|worker| !worker.is_finished()) {
                stats.take_digest(&mut cursor).into_iter().for_each(&mut add);
            }
        });
        stats.take_digest(&mut cursor).into_iter().for_each(&mut add);
        let totals = stats.totals();
        assert_eq!(u64::from(sum.good), totals.good);
        assert_eq!(sum.failed.0.map(u64::from), totals.failed);
        assert_eq!(u64::from(sum.trials_failed), totals.trials_failed);
        assert_eq!(totals.good + totals.failed.iter().sum::<u64>(), 3 * u64::from(EACH));
        assert_eq!(stats.take_digest(&mut cursor), None, "nothing twice");
    }

    proptest! {
        #[test]
        fn a_streak_counts_failures_in_a_row_and_when_they_began(outcomes in proptest::collection::vec(any::<bool>(), 0..60)) {
            let stats = stats(5);
            let (mut streak, mut since) = (0, at(0));
            for (n, good) in outcomes.iter().enumerate() {
                let now = at(n as u64 + 1);
                if *good {
                    stats.record_good(0, false);
                    streak = 0;
                } else {
                    stats.record_failure(1, Failure::Gateway, false, now);
                    since = if streak == 0 { now } else { since };
                    streak += 1;
                }
            }
            if let Some(digest) = stats.take_digest(&mut DigestCursor::default()) {
                prop_assert_eq!(digest.streak, streak);
                prop_assert!(streak == 0 || digest.streak_since == since);
            } else {
                prop_assert!(outcomes.is_empty());
            }
        }
    }

    #[test]
    fn refusals_resets_and_long_streaks_are_urgent_once_until_looked_at() {
        let stats = stats(3);
        let mut cursor = DigestCursor::default();
        assert!(stats.record_failure(0, Failure::Refused, false, at(0)));
        assert!(!stats.record_failure(0, Failure::Refused, false, at(1)), "poked already");
        stats.take_digest(&mut cursor);
        assert!(stats.record_failure(0, Failure::Gateway, false, at(2)), "the third in a row");
        stats.take_digest(&mut cursor);
        stats.record_good(0, false);
        assert!(!stats.record_failure(0, Failure::Gateway, false, at(3)));
        assert!(stats.record_failure(0, Failure::Reset, false, at(4)));
    }

    #[test]
    fn only_a_refusal_retires_idle_connections() {
        let stats = stats(5);
        stats.record_failure(0, Failure::Gateway, false, at(0));
        assert_eq!(stats.generation(), 0);
        stats.record_failure(0, Failure::Refused, false, at(0));
        assert_eq!(stats.generation(), 1);
    }

    #[test]
    fn a_reset_retires_what_is_older_than_it_once() {
        let stats = stats(5);
        (0..40).for_each(|n| stats.note_stale(0, at(n)));
        assert_eq!(stats.generation(), 1, "forty connections of one process that died");
        assert!(stats.trusts_idle(true, at(40)));
        (0..40).for_each(|_| stats.note_answered(0, true, at(41)));
        assert!(!stats.trusts_idle(false, at(41)), "an older one that was answered proves nothing");
        (0..40).for_each(|_| stats.note_answered(1, false, at(42)));
        assert!(stats.trusts_idle(false, at(42)));
    }

    #[test]
    fn a_death_that_a_refusal_explains_is_forgotten_at_once() {
        let stats = stats(5);
        stats.note_stale(0, at(0));
        stats.record_failure(0, Failure::Refused, false, at(1));
        assert!(stats.trusts_idle(false, at(1)));
        assert!(!stats.reuse_in_doubt.load(Relaxed), "nothing is locked any more");
    }

    #[test]
    fn the_trial_gate_opens_once_a_pause_and_for_safe_requests_first() {
        let stats = stats(5);
        assert!(stats.open_trial(false, true, at(0)));
        assert!(!stats.open_trial(true, true, at(99)));
        assert!(!stats.open_trial(false, true, at(149)), "courtesy");
        assert!(stats.open_trial(true, true, at(149)));
        assert!(stats.open_trial(false, true, at(299)));
        assert!(!stats.open_trial(true, false, at(798)), "restraint");
        assert!(stats.open_trial(true, false, at(799)));
    }

    #[test]
    fn a_place_in_flight_is_given_back_and_counts_against_the_limit() {
        let stats = stats(5);
        let first = stats.enter(Some(1)).unwrap();
        assert!(stats.enter(Some(1)).is_none());
        assert_eq!(stats.in_flight(), 1);
        drop(first);
        assert_eq!(stats.in_flight(), 0);
        assert!(stats.enter(Some(1)).is_some());
    }

    #[test]
    fn what_begins_after_a_move_is_counted_apart_and_against_the_same_limit() {
        let stats = stats(5);
        let (old, first) = (stats.stay(), stats.enter(Some(2)).unwrap());
        stats.begin_stay();
        let new = stats.stay();
        let second = stats.enter(Some(2)).unwrap();
        assert_eq!((stats.in_flight_of(old), stats.in_flight_of(new), stats.in_flight()), (1, 1, 2));
        assert!(stats.enter(Some(2)).is_none());
        stats.begin_stay();
        assert_eq!(stats.stay(), new, "the stay before has not ended");
        drop(first);
        assert_eq!((stats.in_flight_of(old), stats.in_flight_of(new)), (0, 1));
        stats.begin_stay();
        assert_eq!(stats.stay(), old);
        drop(second);
        assert_eq!(stats.in_flight(), 0);
    }
}

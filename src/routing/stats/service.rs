//! What workers count about a service.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use tokio::sync::Notify;

use super::{Avoidance, FailsEverywhere, RecentSources};
use crate::config::Service;
use crate::routing::{Budget, Limits};
use crate::telemetry::instruments::{Counter, Counters, LatencyHistogram};
use crate::time::MonoTime;
use crate::wire::h1;

/// Why another try was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryReason {
    /// The connect was refused.
    Refused,
    /// The connect was not answered in time.
    ConnectTimeout,
    /// The TLS handshake failed.
    Handshake,
    /// A reused idle connection turned out to be dead.
    Stale,
    /// Reset or closed before an answer.
    Reset,
    /// The answer was not HTTP.
    Malformed,
    /// No answer in time.
    Timeout,
    /// The endpoint was condemned while the request waited for its answer.
    Condemned,
    /// An answer with a status that `retry.on` lists.
    Status,
    /// No answer yet: it was asked elsewhere as well.
    Hedge,
    /// No answer to the connect yet: another endpoint was connected to as well.
    ConnectLate,
    /// A local error: no descriptors, no ports.
    Local,
}

impl RetryReason {
    /// All reasons, in the order of their discriminants.
    pub const ALL: [RetryReason; 12] = [
        RetryReason::Refused,
        RetryReason::ConnectTimeout,
        RetryReason::Handshake,
        RetryReason::Stale,
        RetryReason::Reset,
        RetryReason::Malformed,
        RetryReason::Timeout,
        RetryReason::Condemned,
        RetryReason::Status,
        RetryReason::Hedge,
        RetryReason::ConnectLate,
        RetryReason::Local,
    ];

    /// As a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            RetryReason::Refused => "refused",
            RetryReason::ConnectTimeout => "connect_timeout",
            RetryReason::Handshake => "handshake",
            RetryReason::Stale => "stale",
            RetryReason::Reset => "reset",
            RetryReason::Malformed => "malformed",
            RetryReason::Timeout => "timeout",
            RetryReason::Condemned => "condemned",
            RetryReason::Status => "status",
            RetryReason::Hedge => "hedge",
            RetryReason::ConnectLate => "connect_late",
            RetryReason::Local => "local",
        }
    }
}

/// Why the further tries of one request were made, in their order: the first fifteen, four bits each; and which of them left the
/// pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryReasons {
    list: u64,
    crossed: u16,
}

impl RetryReasons {
    /// None was made.
    pub fn is_empty(self) -> bool {
        self.list == 0
    }

    /// The try that was added last goes to another pool.
    pub fn crosses(&mut self) {
        if let Some(last) = self.iter().count().checked_sub(1) {
            self.crossed |= 1 << last;
        }
    }

    /// In the order of the tries.
    pub fn iter(self) -> impl Iterator<Item = RetryReason> {
        (0..16).map_while(move |place| {
            let number = (self.list >> (4 * place)) & 15;
            RetryReason::ALL.get((number as usize).checked_sub(1)?).copied()
        })
    }
}

impl Extend<RetryReason> for RetryReasons {
    fn extend<I: IntoIterator<Item = RetryReason>>(&mut self, reasons: I) {
        for reason in reasons {
            let place = self.iter().count();
            if place < 15 {
                self.list |= (reason as u64 + 1) << (4 * place);
            }
        }
    }
}

impl fmt::Display for RetryReasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, reason) in self.iter().enumerate() {
            let (comma, pool) =
                (if place > 0 { "," } else { "" }, if self.crossed >> place & 1 == 1 { "+pool" } else { "" });
            write!(f, "{comma}{}{pool}", reason.as_str())?;
        }
        Ok(())
    }
}

/// Why a request got no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// The service has not chosen its first pool yet.
    Starting,
    /// No pool can serve.
    Down,
    /// Every usable endpoint failed this request.
    Exhausted,
    /// Every usable endpoint has `max_connections` in use.
    EndpointsFull,
    /// `max_pending` requests are waiting already.
    QueueFull,
    /// Waited for a connection permit until `queue_timeout`.
    QueueTimeout,
    /// Waited until `queue_timeout` for descriptors, ports or memory of ours to connect with.
    Local,
}

impl Rejection {
    /// All reasons, in the order of their discriminants.
    pub const ALL: [Rejection; 7] = [
        Rejection::Starting,
        Rejection::Down,
        Rejection::Exhausted,
        Rejection::EndpointsFull,
        Rejection::QueueFull,
        Rejection::QueueTimeout,
        Rejection::Local,
    ];

    /// As a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Rejection::Starting => "starting",
            Rejection::Down => "down",
            Rejection::Exhausted => "exhausted",
            Rejection::EndpointsFull => "endpoints_full",
            Rejection::QueueFull => "queue_full",
            Rejection::QueueTimeout => "queue_timeout",
            Rejection::Local => "local",
        }
    }
}

/// One service's counters, its circuit breaker and its retry budget.
#[derive(Debug)]
pub struct ServiceStats {
    /// The circuit breaker.
    pub limits: Arc<Limits>,
    /// A place in flight was given back at an endpoint that has a limit of its own; wakes the oldest waiter.
    pub freed: Arc<Notify>,
    /// Bounds extra attempts.
    pub budget: Budget,
    /// The client networks that it answered well lately.
    pub callers: RecentSources,
    /// Requests whose retries are of no use.
    pub everywhere: FailsEverywhere,
    /// Targets that fail at some endpoints only.
    pub avoidance: Avoidance,
    /// From the first byte of a request to the last byte of its answer.
    pub latency: LatencyHistogram,
    /// Retries worth making that the budget did not cover.
    pub budget_exhausted: Counter,
    /// Tries made in a lower pool before a switch.
    pub crossed: Counter,
    hedges: Counters<2>,
    responses: Counters<6>,
    retries: Counters<{ RetryReason::ALL.len() }>,
    malformed: Counters<{ h1::Error::ALL.len() }>,
    rejected: Counters<{ Rejection::ALL.len() }>,
}

impl ServiceStats {
    /// All zero, with the limits of this configuration.
    pub fn new(workers: usize, config: &Service) -> ServiceStats {
        ServiceStats {
            limits: Arc::new(Limits::new(&config.limits)),
            freed: Arc::default(),
            budget: Budget::new(workers),
            callers: RecentSources::default(),
            everywhere: FailsEverywhere::default(),
            avoidance: Avoidance::default(),
            latency: LatencyHistogram::latency(workers),
            budget_exhausted: Counter::new(workers),
            crossed: Counter::new(workers),
            hedges: Counters::new(workers),
            responses: Counters::new(workers),
            retries: Counters::new(workers),
            malformed: Counters::new(workers),
            rejected: Counters::new(workers),
        }
    }

    /// Count the end of a request: the status sent to the client, or `None` when it got none. (A TCP session counts as
    /// 200 when the upstream was reached, as `None` when it was not.)
    #[inline]
    pub fn count_response(&self, worker: usize, status: Option<u16>) {
        let class = status.filter(|status| (100..600).contains(status)).map_or(0, |status| usize::from(status / 100));
        self.responses.add(worker, class, 1);
    }

    /// Requests by class: none, 1xx, 2xx, 3xx, 4xx, 5xx.
    pub fn responses(&self) -> [u64; 6] {
        self.responses.totals()
    }

    /// Count an answer of an endpoint that broke this rule.
    pub fn count_malformed(&self, worker: usize, error: h1::Error) {
        self.malformed.add(worker, error as usize, 1);
    }

    /// Answers of endpoints that were malformed, by [`h1::Error::ALL`].
    pub fn malformed(&self) -> [u64; h1::Error::ALL.len()] {
        self.malformed.totals()
    }

    /// Count a try after the first.
    pub fn count_retry(&self, worker: usize, reason: RetryReason) {
        self.retries.add(worker, reason as usize, 1);
    }

    /// Tries after the first by [`RetryReason::ALL`].
    pub fn retries(&self) -> [u64; RetryReason::ALL.len()] {
        self.retries.totals()
    }

    /// Count a request that was asked elsewhere as well: was it the other try that answered?
    pub fn count_hedge(&self, worker: usize, won: bool) {
        self.hedges.add(worker, usize::from(!won), 1);
    }

    /// Hedges that won, and the others.
    pub fn hedges(&self) -> [u64; 2] {
        self.hedges.totals()
    }

    /// Count a request that got no endpoint.
    pub fn count_rejected(&self, worker: usize, reason: Rejection) {
        self.rejected.add(worker, reason as usize, 1);
    }

    /// Requests that got no endpoint by [`Rejection::ALL`].
    pub fn rejected(&self) -> [u64; Rejection::ALL.len()] {
        self.rejected.totals()
    }
}

/// Where workers put the moment of the first good answer after a switch. Made by the publish that carries the switch, kept by
/// later ones until the core has seen it.
#[derive(Debug)]
pub struct FirstAnswer {
    /// The epoch that published the switch.
    pub epoch: u64,
    published: MonoTime,
    seen: AtomicU64,
}

impl FirstAnswer {
    /// Nothing seen yet of the switch that is published now.
    pub fn new(epoch: u64, published: MonoTime) -> FirstAnswer {
        FirstAnswer { epoch, published, seen: AtomicU64::new(0) }
    }

    /// A good answer's head arrived for a request that began at `began`. `true` for the first caller only, which wakes the
    /// engine ([`Published::urgent`](crate::routing::Published::urgent)).
    ///
    /// Time without requests is no outage: for a request that began after the switch, the answer counts as if it
    /// had been asked for at the switch. So the recovery time of a quiet night is that of the switch, not of the next visit.
    pub fn answered(&self, began: MonoTime, now: MonoTime) -> bool {
        let seen = now.before(began.since(self.published)).as_micros().max(1);
        self.seen.load(SeqCst) == 0 && self.seen.compare_exchange(0, seen, SeqCst, SeqCst).is_ok()
    }

    /// When the first good answer's head arrived, idle time not counted.
    pub fn seen(&self) -> Option<MonoTime> {
        Some(self.seen.load(SeqCst)).filter(|micros| *micros != 0).map(MonoTime::from_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::fixture::at;

    #[test]
    fn time_in_which_nobody_asks_is_nobodys_outage() {
        let answer = FirstAnswer::new(7, at(10));
        assert!(answer.answered(at(3600), at(3602)));
        assert_eq!(answer.seen(), Some(at(12)));
    }

    #[test]
    fn only_the_first_answer_counts() {
        let answer = FirstAnswer::new(7, at(2));
        assert_eq!(answer.seen(), None);
        assert!(answer.answered(at(1), at(5)));
        assert!(!answer.answered(at(1), at(3)));
        assert_eq!(answer.seen(), Some(at(5)));
    }

    #[test]
    fn reasons_are_kept_in_their_order_and_no_more_than_fit() {
        let mut reasons = RetryReasons::default();
        assert!(reasons.is_empty());
        reasons.extend([RetryReason::ConnectLate, RetryReason::Refused, RetryReason::Hedge]);
        assert_eq!(reasons.to_string(), "connect_late,refused,hedge");
        reasons.crosses();
        assert_eq!(reasons.to_string(), "connect_late,refused,hedge+pool");
        reasons.extend([RetryReason::Stale; 40]);
        assert_eq!(reasons.iter().count(), 15);
        assert!(RetryReason::ALL.len() < 16, "four bits");
    }

    #[test]
    fn labels_stand_in_the_order_of_the_discriminants() {
        assert!(RetryReason::ALL.iter().enumerate().all(|(place, reason)| *reason as usize == place));
        assert!(Rejection::ALL.iter().enumerate().all(|(place, reason)| *reason as usize == place));
    }
}

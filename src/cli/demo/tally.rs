//! What clients of the demo got, counted.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::load::{LoadOutcome, SLOW};

/// Requests that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCount {
    /// All of them.
    pub sent: u64,
    /// Those without the answer that the client wanted.
    pub failed: u64,
}

/// What the load got, as its clients saw it.
#[derive(Clone, Debug, Default)]
pub struct LoadTally {
    /// GETs.
    pub get: RequestCount,
    /// POSTs.
    pub post: RequestCount,
    /// Good answers that took longer than [`SLOW`].
    pub slow: u64,
    /// Good answers by the upstream that gave them.
    pub answered: BTreeMap<String, u64>,
    /// Failures by what the client saw: `POST: status 502`.
    pub failures: BTreeMap<String, u64>,
}

impl LoadTally {
    /// Counts one request.
    pub fn add(&mut self, outcome: LoadOutcome) {
        let (method, count) = if outcome.post { ("POST", &mut self.post) } else { ("GET", &mut self.get) };
        count.sent += 1;
        match outcome.result {
            Ok(upstream) => {
                *self.answered.entry(upstream).or_default() += 1;
                self.slow += u64::from(outcome.took > SLOW);
            }
            Err(why) => {
                count.failed += 1;
                *self.failures.entry(format!("{method}: {why}")).or_default() += 1;
            }
        }
    }
}

/// Growth of counters during the last full second.
#[derive(Debug)]
pub struct CounterRates {
    since: Instant,
    before: BTreeMap<String, u64>,
    rates: BTreeMap<String, u64>,
}

impl CounterRates {
    /// Nothing has grown yet.
    pub fn new(now: Instant) -> CounterRates {
        CounterRates { since: now, before: BTreeMap::new(), rates: BTreeMap::new() }
    }

    /// Takes the counters; the rates change once a second.
    pub fn take(&mut self, answered: &BTreeMap<String, u64>, now: Instant) -> &BTreeMap<String, u64> {
        let elapsed = now.duration_since(self.since);
        if elapsed >= Duration::from_secs(1) {
            let grown = |(name, count): (&String, &u64)| {
                let grown = count.saturating_sub(self.before.get(name).copied().unwrap_or(0));
                (name.clone(), (grown as f64 / elapsed.as_secs_f64()).round() as u64)
            };
            self.rates = answered.iter().map(grown).collect();
            (self.before, self.since) = (answered.clone(), now);
        }
        &self.rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(post: bool, result: Result<&str, &str>, millis: u64) -> LoadOutcome {
        let result = result.map(str::to_owned).map_err(str::to_owned);
        LoadOutcome { post, result, took: Duration::from_millis(millis) }
    }

    #[test]
    fn each_request_counts_once_by_its_method_and_its_end() {
        let mut tally = LoadTally::default();
        tally.add(outcome(false, Ok("north-1"), 2));
        tally.add(outcome(false, Ok("north-1"), 700));
        tally.add(outcome(true, Ok("south-2"), 2));
        tally.add(outcome(true, Err("status 502"), 900));
        assert_eq!(tally.get, RequestCount { sent: 2, failed: 0 });
        assert_eq!(tally.post, RequestCount { sent: 2, failed: 1 });
        assert_eq!(tally.slow, 1, "a failure is not slow");
        assert_eq!(tally.answered.into_iter().collect::<Vec<_>>(), [("north-1".into(), 2), ("south-2".into(), 1)]);
        assert_eq!(tally.failures.into_iter().collect::<Vec<_>>(), [("POST: status 502".into(), 1)]);
    }

    #[test]
    fn rates_are_of_the_last_full_second() {
        let start = Instant::now();
        let mut rates = CounterRates::new(start);
        let counters = |n: u64| BTreeMap::from([("north-1".to_owned(), n)]);
        let at = |millis| start + Duration::from_millis(millis);
        assert!(rates.take(&counters(50), at(500)).is_empty());
        assert_eq!(rates.take(&counters(100), at(1000))["north-1"], 100);
        assert_eq!(rates.take(&counters(140), at(1400))["north-1"], 100);
        assert_eq!(rates.take(&counters(200), at(3000))["north-1"], 50);
    }
}

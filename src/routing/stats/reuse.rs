//! May an idle connection to an endpoint be used again? A plain value; times and outcomes come in as arguments.
//!
//! A reset of a reused connection before its answer has two usual causes. A process died: all its connections are dead, and
//! those made later are good. Or the endpoint closes idle connections at the very moment at which they are used: the others are
//! good. The first reset does not tell which it is, so it is taken for a death: older connections are closed, and the endpoint has
//! to answer [`PROOF`] times before a request that must not be sent twice goes over a connection that was used before. An endpoint
//! that then resets a connection made since is one that closes them as they are used: for [`DISTRUST`] such requests get fresh
//! connections.

use std::time::Duration;

use crate::time::MonoTime;

/// How long reused connections are not trusted: longer than a server takes to close all that are as old.
const DISTRUST: Duration = Duration::from_secs(10);
/// A reset so soon after another one, with no refused connect in between, is no coincidence.
const AGAIN: Duration = Duration::from_secs(20);
/// Resets in a row, with no answer over a reused connection in between, from which on nothing is sent over one.
const IN_A_ROW: u32 = 3;
/// Good answers that prove an endpoint after a reset.
const PROOF: u32 = 20;

/// What is known of an endpoint that has reset a reused connection. The default is an endpoint that has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReuseTrust {
    /// The newest reset that was counted.
    last: Option<MonoTime>,
    /// Such requests as must not be sent twice get fresh connections until then.
    distrusted_until: MonoTime,
    /// Answers that are still wanted as a proof.
    unproven: u32,
    /// Resets of connections of the same age, with no answer over a reused one in between.
    strikes: u32,
    /// Times in a row that all older connections were closed, with no answer over a reused one in between.
    closed: u32,
}

impl ReuseTrust {
    /// A reused connection was reset before its answer, and it was made after the last reset. `true`: all that are as old are to
    /// be closed.
    pub fn reset(&mut self, now: MonoTime) -> bool {
        let distrusted = self.is_distrusted(now);
        let again = self.last.is_some_and(|last| now.since(last) < AGAIN);
        if again {
            self.distrusted_until = now.after(DISTRUST);
        }
        self.last = Some(now);
        self.unproven = PROOF;
        self.strikes += 1;
        // Where single connections are closed as they are used, closing all others each time would cost more than it saves.
        let closes = !distrusted || self.strikes >= IN_A_ROW;
        if closes {
            self.strikes = 0;
            self.closed = self.closed.saturating_add(1);
        }
        closes
    }

    /// A connect was refused: the resets were the end of a process, not a habit.
    pub fn refused(&mut self, now: MonoTime) {
        if !self.is_distrusted(now) {
            *self = ReuseTrust::default();
        }
    }

    /// An answer came over a connection made after the last reset.
    pub fn answered(&mut self, reused: bool, now: MonoTime) {
        self.unproven = self.unproven.saturating_sub(1);
        if reused {
            (self.strikes, self.closed) = (0, 0);
        }
        let over = self.last.is_none_or(|last| now.since(last) >= AGAIN);
        if over && self.unproven == 0 && self.closed == 0 {
            *self = ReuseTrust::default();
        }
    }

    /// May a connection that was used before be used again? `idempotent`: by a request that may be sent twice.
    pub fn trusts(&self, idempotent: bool, now: MonoTime) -> bool {
        match (self.is_distrusted(now), idempotent) {
            (true, true) => self.closed < IN_A_ROW,
            (true, false) => false,
            (false, true) => true,
            (false, false) => self.unproven == 0 || self.last.is_none_or(|last| now.since(last) >= DISTRUST),
        }
    }

    fn is_distrusted(&self, now: MonoTime) -> bool {
        now < self.distrusted_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::fixture::at;

    const SAFE: bool = true;
    const UNSAFE: bool = false;

    #[test]
    fn an_endpoint_that_has_reset_nothing_is_trusted() {
        let trust = ReuseTrust::default();
        assert!(trust.trusts(SAFE, at(0)) && trust.trusts(UNSAFE, at(0)));
    }

    #[test]
    fn after_a_death_older_connections_are_closed_and_younger_ones_are_proven_by_answers() {
        let mut trust = ReuseTrust::default();
        assert!(trust.reset(at(1)), "all older ones are closed");
        assert!(trust.trusts(SAFE, at(1)) && !trust.trusts(UNSAFE, at(1)));
        (0..PROOF).for_each(|_| trust.answered(false, at(2)));
        assert!(trust.trusts(UNSAFE, at(2)), "two milliseconds later, not ten seconds");
    }

    #[test]
    fn a_refused_connect_explains_a_reset() {
        let mut trust = ReuseTrust::default();
        for n in 0..9 {
            assert!(trust.reset(at(n * 5_000)), "death {n}");
            trust.refused(at(n * 5_000 + 1));
            assert!(trust.trusts(UNSAFE, at(n * 5_000 + 1)), "death {n}");
        }
    }

    #[test]
    fn an_endpoint_that_answers_nothing_is_not_distrusted_for_ever() {
        let mut trust = ReuseTrust::default();
        trust.reset(at(0));
        assert!(!trust.trusts(UNSAFE, at(9_999)) && trust.trusts(UNSAFE, at(10_000)));
    }

    #[test]
    fn a_young_connection_that_is_reset_again_sends_what_must_not_be_repeated_over_fresh_ones() {
        let mut trust = ReuseTrust::default();
        trust.reset(at(0));
        (0..PROOF).for_each(|_| trust.answered(true, at(1)));
        trust.reset(at(1_000));
        (0..9 * PROOF).for_each(|_| trust.answered(true, at(1_001)));
        assert!(!trust.trusts(UNSAFE, at(10_999)) && trust.trusts(SAFE, at(10_999)));
        assert!(trust.trusts(UNSAFE, at(11_000)));
        trust.reset(at(12_000));
        (0..9 * PROOF).for_each(|_| trust.answered(true, at(12_001)));
        assert!(!trust.trusts(UNSAFE, at(12_001)), "it still does it");
    }

    #[test]
    fn what_resets_every_reused_connection_is_sent_nothing_over_one() {
        let mut trust = ReuseTrust::default();
        let resets = (0..99).take_while(|n| {
            let trusted = trust.trusts(SAFE, at(*n));
            trusted.then(|| trust.reset(at(*n))).is_some()
        });
        assert!(resets.count() <= 5);
        assert!(!trust.trusts(SAFE, at(9_999)) && trust.trusts(SAFE, at(11_000)), "and tried again later");
        trust.reset(at(11_000));
        assert!(!trust.trusts(SAFE, at(11_001)), "once");
    }

    #[test]
    fn resets_among_good_answers_do_not_close_all_others_again_and_again() {
        let mut trust = ReuseTrust::default();
        let closes = (0..1000).filter(|n| {
            (0..9).for_each(|_| trust.answered(true, at(*n)));
            trust.reset(at(*n))
        });
        assert_eq!(closes.count(), 2);
        assert!(trust.trusts(SAFE, at(1000)));
        assert_eq!((0..3).filter(|n| trust.reset(at(1000 + n))).count(), 1, "but a death does");
    }

    #[test]
    fn it_is_forgotten_when_all_has_gone_well_for_a_while() {
        let mut trust = ReuseTrust::default();
        trust.reset(at(0));
        (0..2 * PROOF).for_each(|_| trust.answered(true, at(1)));
        assert_ne!(trust, ReuseTrust::default());
        trust.answered(true, at(20_000));
        assert_eq!(trust, ReuseTrust::default());
    }
}

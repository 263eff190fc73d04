//! Suspicion of a stall: requests are outstanding, and the endpoint gives no answer ([manual::health](crate::manual::health)). New
//! work avoids it, and it is probed at once. Only that probe condemns it, or requests that were answered elsewhere meanwhile.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::corroboration::{Conviction, Finding};
use super::{Cause, Failure, Held, ProbeOutcome, Silence};
use crate::time::MonoTime;

/// A suspicion that no probe can refute, because there is none, ends when no request has been found to wait for so long.
const UNTESTED: Duration = Duration::from_secs(5);

/// Between the end of a suspicion by an answer and the next one.
const PAUSE: Duration = Duration::from_millis(200);

/// What speaks for it that an endpoint has stalled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Suspicion {
    /// What is suspected; `None` = nothing.
    silence: Option<Silence>,
    /// A probe failed while it was suspected.
    confirmed: bool,
    /// Those who were found to wait until then prove nothing any more: it has been explained since.
    cleared: MonoTime,
    /// When the newest digest counted was taken.
    newest: MonoTime,
}

impl Suspicion {
    pub fn holds(&self) -> bool {
        self.silence.is_some()
    }

    /// Enough to condemn it, as far as it is known how many sources are needed.
    fn convicts(&self) -> bool {
        self.silence.is_some_and(|silence| self.confirmed || silence.witnesses >= Silence::WITNESSES)
    }

    /// What it comes to where so many sources are needed: a probe that failed, or requests that were answered elsewhere, of that
    /// many sources or over three targets.
    pub fn finding(&self, needed: u32, now: MonoTime) -> Finding {
        let Some(silence) = self.silence.filter(|_| self.convicts()) else { return Finding::Nothing };
        let sources = silence.sources.iter().flatten().count();
        let broad = sources == 0 || sources >= needed as usize || silence.targets >= Silence::TARGETS;
        match broad || self.confirmed {
            true => Finding::Convicted(Conviction {
                cause: Cause::Stalled,
                evidence: self.describe(now).unwrap_or_default(),
                few: match self.confirmed || (sources >= needed as usize && sources != 1) {
                    true => Vec::new(),
                    false => silence.sources.iter().flatten().copied().collect(),
                },
                kinds: vec![Failure::Timeout],
                once_a_pool: false,
            }),
            false => Finding::Held(if silence.targets <= 1 { Held::OneTarget } else { Held::OneSource }),
        }
    }

    /// Since when it has been silent.
    pub fn since(&self) -> Option<MonoTime> {
        self.silence.map(|silence| silence.since)
    }

    /// When it ends if nothing can be asked.
    pub fn untested(&self) -> Option<MonoTime> {
        self.silence.map(|silence| silence.late.after(UNTESTED))
    }

    /// What real traffic says. Is there something to conclude?
    pub fn fold(&mut self, silence: Option<Silence>, seen: MonoTime) -> bool {
        if seen < self.newest {
            return false; // a late one says nothing about how things stand now
        }
        self.newest = seen;
        let before = (self.holds(), self.convicts());
        self.suspect(silence);
        if before.0 && silence.is_none() {
            // It spoke: who is slow is not suspected again with every answer that it gives.
            self.cleared = self.cleared.max(seen.after(PAUSE));
        }
        before != (self.holds(), self.convicts())
    }

    /// What a probe says. Is there something to conclude?
    pub fn probed(&mut self, outcome: &ProbeOutcome, seen: MonoTime) -> bool {
        let before = (self.holds(), self.convicts());
        match outcome {
            ProbeOutcome::Pass { .. } => {
                self.confirmed = false;
                self.clear(seen);
            }
            ProbeOutcome::Fail { .. } => self.confirmed = self.holds(),
            ProbeOutcome::Busy { .. } | ProbeOutcome::Blind { .. } | ProbeOutcome::Local { .. } => {}
        }
        before != (self.holds(), self.convicts())
    }

    /// A fresh start: requests that were found to wait until then are explained, or have had their consequence.
    pub fn clear(&mut self, at: MonoTime) {
        self.cleared = self.cleared.max(at);
        self.suspect(self.silence);
    }

    /// Another check asks from now on: it begins again with the next digest.
    pub fn forget(&mut self) {
        self.suspect(None);
    }

    fn suspect(&mut self, silence: Option<Silence>) {
        self.silence = silence.filter(|silence| silence.late > self.cleared);
        self.confirmed &= self.holds();
    }

    /// For people.
    pub fn describe(&self, now: MonoTime) -> Option<String> {
        let silence = self.silence?;
        let (asked, wait) = (silence.unanswered, now.since(silence.since).as_millis());
        let mut text = format!("{asked} requests without an answer for {wait} ms");
        if silence.witnesses > 0 {
            text += &format!(", {} of them answered elsewhere", silence.witnesses);
        }
        if self.confirmed {
            text += ", and a probe failed";
        }
        Some(text)
    }
}

//! What follows from all evidence about an endpoint: its standing, the pace of its probes, and what is told of it.

use super::super::health::CheckVerdict;
use super::super::timeline::PoolFall;
use super::super::{Admission, Cause, Effect, EndpointRow, Evidence, Operational, Standing};
use super::ejection::Ejection;
use super::refusal::Refusal;
use super::rules::EndpointRules;
use super::{Endpoint, counted};
use crate::time::MonoTime;

impl Endpoint {
    /// Healthy, and neither an operator nor its weight takes it out of use.
    pub fn is_well(&self) -> bool {
        self.standing.is_usable() && !self.is_weightless()
    }

    /// Well, and its role and its lag are those that its service reads at.
    pub fn usable(&self) -> bool {
        self.is_well() && self.replica.is_eligible()
    }

    /// What may be sent to it as far as it is concerned itself.
    pub fn own_admission(&self, trials: bool) -> Admission {
        match self.ejection.state() {
            _ if self.usable() => Admission::Open,
            _ if !self.replica.is_eligible() => Admission::Closed,
            Ejection::Tried { .. } if trials && self.ready() && !self.refuses() => Admission::Trial,
            _ => Admission::Closed,
        }
    }

    /// What all evidence together says.
    pub fn operational(&self) -> (Operational, Cause) {
        match (self.ejection.state(), self.refusal.state(), self.checks.verdict) {
            (Ejection::Out(cause) | Ejection::Tried { cause, .. }, ..) => (Operational::Ejected, cause),
            (_, Refusal::Confirmed, _) => (Operational::Unhealthy, Cause::Refused),
            (.., CheckVerdict::Red) => (Operational::Unhealthy, Cause::ChecksFailed),
            (.., CheckVerdict::Unknown) => (Operational::Checking, Cause::Start),
            (.., CheckVerdict::Green) => (Operational::Healthy, self.grounds),
        }
    }

    /// Fold everything into the standing; returns the one before if it changed.
    pub fn conclude(&mut self, now: MonoTime) -> Option<Standing> {
        let (operational, cause) = self.operational();
        let standing = Standing { operational, administrative: self.use_of(), cause };
        let was_usable = self.standing.is_usable() && self.replica.is_eligible();
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
    pub(super) fn relax(&mut self) {
        let well = self.standing.operational == Operational::Healthy
            && self.operational().0 == Operational::Healthy
            && self.checks.fails == 0
            && self.outlier.streak == 0
            && !self.suspected();
        if well {
            self.trouble = None;
        }
    }

    pub(super) fn wants_fast(&self, rules: EndpointRules<'_>) -> bool {
        let Some(check) = rules.check else { return false };
        let green = self.checks.verdict == CheckVerdict::Green;
        let refusing = self.refusal.state() != Refusal::No && green;
        self.checks.in_transition(check) || (self.watched > 0 && green) || refusing || self.replica.is_awaited
    }

    /// Its check is an agent, or is none.
    pub fn follow_agent(&mut self, follow: bool) {
        self.weight.follow_agent(follow);
    }

    /// Its agent states this share, in percent. Returns whether that is new.
    pub fn state_share(&mut self, percent: u16) -> bool {
        self.weight.state_share(percent)
    }

    /// Tell the prober the pace if it changed.
    pub fn pace(&mut self, rules: EndpointRules<'_>, effects: &mut Vec<Effect>) {
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
            detail: if self.weight.is_drained_by_agent() && self.is_healthy() {
                "its agent drains it".to_owned()
            } else if self.is_weightless() && self.is_healthy() {
                "its weight is 0".to_owned()
            } else if let Some(told) = self.replica.describe().filter(|_| self.is_well()) {
                told
            } else {
                self.evidence.clone()
            },
            seen: self.fall().sign,
        }
    }

    /// Its part in the fall of its pool.
    pub fn fall(&self) -> PoolFall {
        let sign = self.trouble.filter(|_| self.ready()).unwrap_or(self.fell);
        PoolFall { sign: sign.min(self.fell), fell: self.fell }
    }

    /// `proving`: its good answers are to be counted by source; `fenced`: no session may be there.
    pub fn row(&self, proving: bool, fenced: bool) -> EndpointRow {
        EndpointRow {
            id: self.id,
            address: self.address,
            standing: self.standing,
            admission: self.admission,
            joined: self.joined,
            suspected: self.suspected(),
            proving,
            fenced,
            weight: self.weight.in_force(),
        }
    }
}

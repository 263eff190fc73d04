//! Promotion by order: when a replica is promoted because the primary is gone, and that it happens once. Pure, and not reachable yet: no key
//! of the configuration orders a promotion, and no shell carries one out.
//!
//! A promotion beside a living primary makes two histories. So every precondition is one named [`Obstacle`], all of them are looked at again in
//! the turn that orders the call, and what is not known is an obstacle. The candidate itself is the witness: that this process does not reach
//! the primary says nothing about the primary.
//!
//! | stage | waits for | then |
//! |---|---|---|
//! | `Watching` | all preconditions but the fence | the holder's sessions end |
//! | `Fencing` | every worker's acknowledgement, however long that takes | the fence hook is run |
//! | `Hooked` | the hook's yes | the intent is saved |
//! | `Paused` | as long a time as `after`, because the hook failed | watching begins again |
//! | `Saving` | the file that has the intent is written | the call is made |
//! | `Called` | the candidate says that it is primary, of a later timeline; or the time is over | it is over |
//! | `Over` | a primary serves | watching begins again |
//!
//! What ends it is saved too: a restart in the next outage is to begin with a clean slate.
//!
//! When an obstacle comes up before the call, the promotion is withdrawn, and may begin again. From `Saving` on it is spent: after a restart it
//! is verified, and never ordered a second time.

mod obstacle;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(super) use self::obstacle::{Obstacle, PromotionFacts};
use super::EndpointId;
use crate::config::RecoveryPoint;
use crate::time::MonoTime;

/// When a promotion is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PromotionRule {
    /// The file says that no other instance decides about this service.
    pub sole_instance: bool,
    /// So long the holder fails fresh logins, and so long the candidate has heard nothing of it.
    pub after: Duration,
    /// So long the candidate may take to become primary.
    pub within: Duration,
    /// So much may be lost; `None` = no promotion.
    pub rpo: Option<RecoveryPoint>,
}

/// A promotion that is under way, or over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Promotion {
    stage: PromotionStage,
    /// How often the state was to be written.
    #[serde(default)]
    saves: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PromotionStage {
    #[default]
    Watching,
    Fencing {
        candidate: EndpointId,
    },
    Hooked {
        candidate: EndpointId,
        /// It has said yes.
        agreed: bool,
    },
    Paused {
        until: MonoTime,
    },
    Saving(PromotionIntent),
    Called(PromotionIntent),
    Over(PromotionResult),
}

/// What was ordered, or is about to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PromotionIntent {
    /// The replica that is promoted.
    pub candidate: EndpointId,
    /// Its timeline before: a later one is the proof.
    pub timeline: u32,
    /// When it was decided.
    pub since: MonoTime,
    /// The proof counts until then.
    pub deadline: MonoTime,
    /// The write that has it.
    pub save: u64,
    /// What the call was answered, where that was no yes. It proves nothing in either direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

/// How a promotion ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PromotionResult {
    /// The replica.
    pub candidate: EndpointId,
    /// How.
    pub outcome: PromotionOutcome,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What the call was answered, where that was no yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

/// How a promotion ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PromotionOutcome {
    /// The candidate is primary, of a later timeline.
    Promoted,
    /// Another server became primary meanwhile.
    Overtaken,
    /// The candidate was not primary in time.
    Late,
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PromotionStep {
    /// The holder's sessions end; the acknowledgement is told in `fenced`.
    EndSessions,
    /// The fence hook is run for this candidate; its answer is told by [`Promotion::hook_answered`].
    RunHook(EndpointId),
    /// The state is written now, under this number; that it is on the disk is told by [`Promotion::saved`]. An earlier one may be left out.
    Save(u64),
    /// The candidate is promoted. This is said at most once until a primary serves again.
    Call(EndpointId),
    /// The promotion that was under way is given up, before anything was ordered.
    Withdraw(Obstacle),
    /// It is over.
    End(PromotionResult),
}

impl Promotion {
    /// One turn. Returns what is to be done, in this order.
    pub fn advance(&mut self, rule: PromotionRule, facts: &PromotionFacts<'_>, now: MonoTime) -> Vec<PromotionStep> {
        let mut steps = Vec::new();
        while let Some(step) = self.step(rule, facts, now) {
            let is_withdrawn = matches!(step, PromotionStep::Withdraw(_));
            let is_over = matches!(step, PromotionStep::End(_));
            steps.push(step);
            if is_over {
                steps.push(self.save());
            }
            // (It begins again in a later turn, if at all.)
            if is_withdrawn {
                break;
            }
        }
        steps
    }

    /// What stands in its way, for people; empty = it is under way or may begin.
    pub fn obstacles(&self, rule: PromotionRule, facts: &PromotionFacts<'_>, now: MonoTime) -> Vec<Obstacle> {
        match &self.stage {
            PromotionStage::Saving(_) | PromotionStage::Called(_) => Vec::new(),
            PromotionStage::Over(_) => vec![Obstacle::Spent],
            PromotionStage::Hooked { agreed: true, .. } => obstacle::before_the_fence(rule, facts, now),
            PromotionStage::Watching
            | PromotionStage::Paused { .. }
            | PromotionStage::Fencing { .. }
            | PromotionStage::Hooked { .. } => {
                let mut found = obstacle::before_the_fence(rule, facts, now);
                found.extend((!facts.fenced).then_some(Obstacle::NotFenced));
                found
            }
        }
    }

    /// The fence hook has answered. Returns what is to be done where it failed.
    pub fn hook_answered(
        &mut self,
        rule: PromotionRule,
        answer: Result<(), String>,
        now: MonoTime,
    ) -> Vec<PromotionStep> {
        match (&mut self.stage, answer) {
            (PromotionStage::Hooked { agreed, .. }, Ok(())) => {
                *agreed = true;
                Vec::new()
            }
            (PromotionStage::Hooked { agreed: false, .. }, Err(detail)) => {
                self.stage = PromotionStage::Paused { until: now.after(rule.after) };
                vec![PromotionStep::Withdraw(Obstacle::HookFailed(detail))]
            }
            _ => Vec::new(),
        }
    }

    /// When [`Promotion::advance`] has something to do for the time alone.
    pub fn deadline(&self) -> Option<MonoTime> {
        match &self.stage {
            PromotionStage::Paused { until } => Some(*until),
            PromotionStage::Called(intent) => Some(intent.deadline),
            _ => None,
        }
    }

    /// The write of this number is on the disk. Where it has the intent, the call is made in this turn if nothing has come up since. One that was restored is never called.
    pub fn saved(
        &mut self,
        number: u64,
        rule: PromotionRule,
        facts: &PromotionFacts<'_>,
        now: MonoTime,
    ) -> Vec<PromotionStep> {
        let PromotionStage::Saving(intent) = &self.stage else { return Vec::new() };
        if intent.save != number {
            return Vec::new();
        }
        let intent = intent.clone();
        let unfenced = (!facts.fenced).then_some(Obstacle::NotFenced);
        if let Some(obstacle) = obstacle::to_this(rule, facts, intent.candidate, now).or(unfenced) {
            // (Nothing was ordered, and this process knows it.)
            self.stage = PromotionStage::Watching;
            return vec![PromotionStep::Withdraw(obstacle), self.save()];
        }
        let call = PromotionStep::Call(intent.candidate);
        self.stage = PromotionStage::Called(intent);
        vec![call]
    }

    /// The call was answered, by something else than yes.
    pub fn refused(&mut self, detail: String) {
        if let PromotionStage::Called(intent) = &mut self.stage {
            intent.refusal = Some(detail);
        }
    }

    /// As another process finds it in the saved state: what may have been ordered was ordered.
    pub fn restored(self) -> Promotion {
        let stage = match self.stage {
            PromotionStage::Saving(intent) => PromotionStage::Called(intent),
            PromotionStage::Called(intent) => PromotionStage::Called(intent),
            PromotionStage::Over(result) => PromotionStage::Over(result),
            _ => PromotionStage::Watching,
        };
        Promotion { stage, saves: self.saves }
    }

    fn save(&mut self) -> PromotionStep {
        self.saves = self.saves.saturating_add(1);
        PromotionStep::Save(self.saves)
    }

    fn step(&mut self, rule: PromotionRule, facts: &PromotionFacts<'_>, now: MonoTime) -> Option<PromotionStep> {
        match &self.stage {
            PromotionStage::Paused { until } if now < *until => None,
            PromotionStage::Paused { .. } | PromotionStage::Watching => {
                let candidate = obstacle::best(facts)?.endpoint;
                if !obstacle::before_the_fence(rule, facts, now).is_empty() {
                    return None;
                }
                self.stage = PromotionStage::Fencing { candidate };
                Some(PromotionStep::EndSessions)
            }
            PromotionStage::Fencing { candidate } | PromotionStage::Hooked { candidate, .. } => {
                let candidate = *candidate;
                let is_hook_open = matches!(self.stage, PromotionStage::Hooked { agreed: false, .. });
                let is_hook_due = facts.has_hook && matches!(self.stage, PromotionStage::Fencing { .. });
                if let Some(obstacle) = obstacle::to_this(rule, facts, candidate, now) {
                    self.stage = PromotionStage::Watching;
                    return Some(PromotionStep::Withdraw(obstacle));
                }
                match () {
                    () if !facts.fenced || is_hook_open => None,
                    () if is_hook_due => {
                        self.stage = PromotionStage::Hooked { candidate, agreed: false };
                        Some(PromotionStep::RunHook(candidate))
                    }
                    () => {
                        let timeline = facts.candidate(candidate)?.timeline;
                        let deadline = now.after(rule.within);
                        let step = self.save();
                        let save = self.saves;
                        let intent = PromotionIntent { candidate, timeline, since: now, deadline, save, refusal: None };
                        self.stage = PromotionStage::Saving(intent);
                        Some(step)
                    }
                }
            }
            PromotionStage::Saving(_) => None,
            PromotionStage::Called(intent) => {
                let is_proven = facts
                    .primary
                    .is_some_and(|(endpoint, timeline)| endpoint == intent.candidate && timeline > intent.timeline);
                let outcome = match facts.primary {
                    Some(_) if is_proven => PromotionOutcome::Promoted,
                    Some((endpoint, _)) if endpoint != intent.candidate => PromotionOutcome::Overtaken,
                    _ if now >= intent.deadline => PromotionOutcome::Late,
                    _ => return None,
                };
                let took_ms = now.since(intent.since).as_millis() as u64;
                let (candidate, refusal) = (intent.candidate, intent.refusal.clone());
                let result = PromotionResult { candidate, outcome, took_ms, refusal };
                self.stage = PromotionStage::Over(result.clone());
                Some(PromotionStep::End(result))
            }
            PromotionStage::Over(_) => {
                if !facts.is_served {
                    return None;
                }
                self.stage = PromotionStage::Watching;
                Some(self.save())
            }
        }
    }
}

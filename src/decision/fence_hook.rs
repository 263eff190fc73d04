//! The fence hook: what is run between the end of the former primary's sessions and the table that has the next one
//! (`failover.fence`). A gate of the transition that is asked when all others are open.
//!
//! Where the acknowledgement of a worker is missing when its time is over, the hook is run nevertheless, and is asked whether the switch is
//! taken. After a restart in between, the switch is intended again from the beginning, and so the hook is run again.

use std::net::SocketAddr;
use std::time::Duration;

use super::service::Service;
use super::switch::IntendedSwitch;
use super::timers::Timer;
use super::transition::{GateState, HookPhase, Transition, TransitionStage};
use super::turn::Turn;
use super::{Effect, EndpointId, FenceOutcome, FenceReport, Gate, GateOutcome, LimitAction, SwitchKind};
use crate::config::OnFenceFailure;
use crate::time::MonoTime;

/// An answer that is due is waited for so much longer: the shell ends the hook at its time, and says so.
const GRACE: Duration = Duration::from_secs(1);

impl Transition {
    /// The time of the other gates has come, and the hook was not asked.
    fn is_hook_due(&self, now: MonoTime) -> bool {
        let is_other = |gate: &Gate| *gate != Gate::FenceHook;
        let is_over = now >= self.until && self.at_limit == LimitAction::GoAhead;
        let are_open = || self.gates.iter().filter(|state| is_other(&state.gate)).all(|state| state.is_open());
        self.hook.as_ref().is_some_and(|hook| hook.asked.is_none()) && (is_over || are_open())
    }

    /// From now on it waits for the hook. What other gates have not said by now is no longer waited for.
    fn ask_hook(&mut self, to: Option<EndpointId>, now: MonoTime) {
        let Some(hook) = &mut self.hook else { return };
        (hook.asked, hook.told) = (Some(now), to);
        self.until = now.after(hook.timeout).after(GRACE);
        self.at_limit = if hook.goes_on { LimitAction::GoAhead } else { LimitAction::GiveUp };
        let others = self.gates.iter_mut().filter(|state| state.gate != Gate::FenceHook && !state.is_open());
        others.for_each(|state| state.is_waived = true);
    }

    /// Was its hook told of another one than this?
    pub(super) fn has_told_of_another(&self, next: Option<EndpointId>) -> bool {
        self.hook.as_ref().is_some_and(|hook| hook.asked.is_some() && hook.told != next)
    }

    /// When the hook was asked, where it has not answered.
    fn hook_asked(&self) -> Option<MonoTime> {
        let is_open = |state: &GateState| state.gate == Gate::FenceHook && state.answer.is_none();
        self.hook.as_ref().filter(|_| self.gates.iter().any(is_open))?.asked
    }
}

impl Service {
    /// The hook of a switch.
    pub fn hook_of(&self, switch: &IntendedSwitch) -> Option<HookPhase> {
        let hook = self.config.failover.fence.as_ref().filter(|_| switch.kind == SwitchKind::Follow)?;
        let goes_on = hook.on_failure == OnFenceFailure::GoOn;
        Some(HookPhase { asked: None, told: None, timeout: hook.timeout, goes_on })
    }

    /// The hook is asked when all that stands before it has come to an end.
    pub fn ask_hook_when_due(&mut self, turn: &mut Turn<'_>) {
        let next = self.following.next.and_then(|next| self.address_of(next));
        let from = self.following.followed.as_ref().map(|followed| followed.address);
        let service = self.name().clone();
        let Some((waiting, to)) = self.transition.as_mut().zip(next) else { return };
        if !waiting.is_hook_due(turn.now) {
            return;
        }
        waiting.ask_hook(self.following.next, turn.now);
        self.timers.arm(Timer::Transition, waiting.until);
        self.following.fence = None;
        turn.effects.push(Effect::RunFence { transition: waiting.id, service, from, to });
    }

    /// The hook has answered. Returns whether that is news.
    pub fn hook_answered(&mut self, outcome: &GateOutcome, seen: MonoTime) -> bool {
        let Some(waiting) = &mut self.transition else { return false };
        let Some(asked) = waiting.hook_asked() else { return false };
        waiting.answer(&Gate::FenceHook, outcome);
        let (outcome, detail) = match outcome {
            GateOutcome::Open => (FenceOutcome::Fenced, None),
            GateOutcome::Refused { detail } => (FenceOutcome::Failed, Some(detail.clone())),
        };
        self.note_fence(FenceReport { outcome, took_ms: seen.since(asked).as_millis() as u64, detail });
        true
    }

    /// A transition ends: its hook may have had no answer.
    pub fn note_late_hook(&mut self, stage: &TransitionStage, now: MonoTime) {
        let is_over = matches!(stage, TransitionStage::WentAhead { .. } | TransitionStage::Expired { .. });
        let asked = self.transition.as_ref().filter(|_| is_over).and_then(Transition::hook_asked);
        if let Some(asked) = asked {
            let took_ms = now.since(asked).as_millis() as u64;
            self.note_fence(FenceReport { outcome: FenceOutcome::Late, took_ms, detail: None });
        }
    }

    fn note_fence(&mut self, report: FenceReport) {
        self.following.is_unfenced = report.outcome != FenceOutcome::Fenced;
        self.following.fence = Some(report);
    }

    /// The fence hook did not say, when it was last run, that the former primary is fenced.
    pub fn is_unfenced(&self) -> bool {
        self.following.is_unfenced && self.config.failover.fence.is_some()
    }

    fn address_of(&self, id: EndpointId) -> Option<SocketAddr> {
        self.every_endpoint().find(|endpoint| endpoint.id == id).map(|endpoint| endpoint.address)
    }
}

//! A transition: a switch that is intended and waits until its gates are open or its time is over. The rules by which it is begun,
//! replaced and withdrawn are in [`gating`](super::gating).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Actor, EndpointId, SwitchKind};
use crate::config::Name;
use crate::time::MonoTime;

/// Counts the transitions of all services in this process's life, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct TransitionId(pub u64);

/// A condition that must hold before a switch is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// No session is left at the pool that serves, and every worker has said so: [`Event::SessionsEnded`](super::Event::SessionsEnded).
    /// The pool gets no new work while the transition waits, and its sessions end as if it had been left.
    FenceAcknowledged,
    /// The fence hook says that the former primary takes no more writes. It is asked when all others are open: [`Effect::RunFence`](super::Effect::RunFence).
    FenceHook,
    /// Something outside the core grants the switch, by [`Event::GateAnswered`](super::Event::GateAnswered).
    External {
        /// What it is called.
        #[schema(value_type = String)]
        name: Name,
    },
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gate::FenceAcknowledged => f.write_str("the end of all sessions"),
            Gate::FenceHook => f.write_str("the fence hook"),
            Gate::External { name } => f.write_str(name),
        }
    }
}

/// The answer about a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateOutcome {
    /// It holds.
    Open,
    /// It will not hold: the switch is given up.
    Refused {
        /// For people: why.
        detail: String,
    },
}

/// What becomes of a switch whose gates are not open when its time is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitAction {
    /// It is not taken: the service stays as it is.
    #[default]
    GiveUp,
    /// It is taken nevertheless.
    GoAhead,
}

/// A transition waits for as long as this at least: one without time would be intended and given up without end.
const SHORTEST_LIMIT: Duration = Duration::from_millis(100);

/// The gates of a switch, and how long they are waited for. The default has none: every switch is taken in the turn that intends
/// it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateRules {
    /// All of them must open.
    pub gates: Vec<Gate>,
    /// How long a transition waits at most (0.1 s at least); after one that was given up, the same switch is not intended again for as long.
    pub limit: Duration,
    /// What applies then.
    pub at_limit: LimitAction,
}

impl GateRules {
    /// The same as they can be kept to: without gates the default, and with a limit of [`SHORTEST_LIMIT`] at least.
    pub(super) fn normalized(self) -> GateRules {
        match self.gates.is_empty() {
            true => GateRules::default(),
            false => GateRules { limit: self.limit.max(SHORTEST_LIMIT), ..self },
        }
    }

    /// The same, and the end of the sessions at the pool that served last. Where that is the only gate, it does not keep the switch from
    /// being taken for longer than this.
    pub(super) fn with_fence(self, limit: Duration) -> GateRules {
        let (mut gates, at_limit) = match self.is_empty() {
            true => (Vec::new(), LimitAction::GoAhead),
            false => (self.gates, self.at_limit),
        };
        if !gates.contains(&Gate::FenceAcknowledged) {
            gates.push(Gate::FenceAcknowledged);
        }
        GateRules { gates, limit: self.limit.max(limit), at_limit }
    }

    /// There is no gate.
    pub fn is_empty(&self) -> bool {
        self.gates.is_empty()
    }
}

/// A transition began to wait, or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransitionRecord {
    /// Its number.
    pub id: TransitionId,
    /// The service.
    pub service: Name,
    /// Why the active pool is to change.
    pub kind: SwitchKind,
    /// The pool that serves; `None` when none does.
    pub from: Option<Name>,
    /// The pool that is to serve.
    pub to: Option<Name>,
    /// Who decided.
    pub actor: Actor,
    /// When it began to wait.
    pub since: MonoTime,
    /// Where it stands.
    pub stage: TransitionStage,
}

/// Where a transition stands. All but the first are ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransitionStage {
    /// It waits for these gates.
    Waiting {
        /// Those that are not open.
        closed: Vec<Gate>,
        /// When its time is over.
        until: MonoTime,
    },
    /// All gates are open, and the switch was taken.
    Taken,
    /// Its time is over, and the switch was taken nevertheless.
    WentAhead {
        /// The gates that were not open.
        closed: Vec<Gate>,
    },
    /// Its time is over, and the switch was given up.
    Expired {
        /// The gates that were not open.
        closed: Vec<Gate>,
    },
    /// A gate was refused, and the switch was given up.
    Refused {
        /// The gate.
        gate: Gate,
        /// For people: why.
        detail: String,
    },
    /// The reason for the switch is gone, or an operator called it off.
    Withdrawn,
    /// Another switch was intended in its place.
    Replaced,
}

impl TransitionStage {
    /// Its word in records.
    pub const fn as_str(&self) -> &'static str {
        match self {
            TransitionStage::Waiting { .. } => "waiting",
            TransitionStage::Taken => "taken",
            TransitionStage::WentAhead { .. } => "went_ahead",
            TransitionStage::Expired { .. } => "expired",
            TransitionStage::Refused { .. } => "refused",
            TransitionStage::Withdrawn => "withdrawn",
            TransitionStage::Replaced => "replaced",
        }
    }
}

impl TransitionRecord {
    /// It is over, and the service was not switched though the reason for it stands.
    pub fn is_given_up(&self) -> bool {
        matches!(self.stage, TransitionStage::Expired { .. } | TransitionStage::Refused { .. })
    }
}

impl fmt::Display for TransitionStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |gates: &[Gate]| gates.iter().map(Gate::to_string).collect::<Vec<_>>().join(", ");
        match self {
            TransitionStage::Waiting { closed, .. } if closed.is_empty() => f.write_str("all gates are open already"),
            TransitionStage::Waiting { closed, .. } => write!(f, "waits for {}", list(closed)),
            TransitionStage::Taken => f.write_str("taken: all gates are open"),
            TransitionStage::WentAhead { closed } => {
                write!(f, "taken without {}", list(closed))
            }
            TransitionStage::Expired { closed } => write!(f, "given up: the time is over, without {}", list(closed)),
            TransitionStage::Refused { gate, detail } => write!(f, "given up: {gate} was refused: {detail}"),
            TransitionStage::Withdrawn => f.write_str("withdrawn: its reason is gone"),
            TransitionStage::Replaced => f.write_str("replaced by another switch"),
        }
    }
}

/// The intended switch that waits. Pools are named, so that a reload can go on with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Transition {
    pub id: TransitionId,
    pub kind: SwitchKind,
    pub from: Option<Name>,
    pub to: Option<Name>,
    pub actor: Actor,
    pub undoes: bool,
    pub stays: bool,
    pub pins: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_until: Option<MonoTime>,
    pub since: MonoTime,
    pub until: MonoTime,
    pub at_limit: LimitAction,
    pub gates: Vec<GateState>,
    /// The pool that gets no more work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// What is run when all other gates are open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookPhase>,
}

/// A pool that is fenced before it is left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Fence {
    /// As it is called now; `None` = a reload has removed it. (A later pool of its name is another one.)
    pub pool: Option<Name>,
    /// What it was called when its sessions were told to end: so they are acknowledged.
    pub told: Name,
    /// The epoch that publishes it.
    pub epoch: u64,
    pub since: MonoTime,
}

/// The fence hook of a transition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct HookPhase {
    /// When it was asked; `None` = other gates are waited for.
    pub asked: Option<MonoTime>,
    /// The next primary that it was told of.
    pub told: Option<EndpointId>,
    pub timeout: Duration,
    /// The switch is taken although it fails.
    pub goes_on: bool,
}

/// A gate of a transition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct GateState {
    pub gate: Gate,
    /// `None` = not answered yet.
    pub answer: Option<GateOutcome>,
    /// It does not keep the switch from being taken any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_waived: bool,
}

impl GateState {
    pub fn asked(gate: &Gate) -> GateState {
        GateState { gate: gate.clone(), answer: None, is_waived: false }
    }

    pub fn is_open(&self) -> bool {
        self.answer == Some(GateOutcome::Open)
    }
}

impl Transition {
    /// Take in an answer about a gate: the first one counts. Returns whether it says something new.
    pub fn answer(&mut self, gate: &Gate, outcome: &GateOutcome) -> bool {
        let asked = self.gates.iter_mut().find(|state| state.gate == *gate && state.answer.is_none());
        let goes_on = *gate == Gate::FenceHook && self.at_limit == LimitAction::GoAhead;
        let answered = asked.map(|state| {
            state.answer = Some(outcome.clone());
            state.is_waived = goes_on && !state.is_open();
        });
        answered.is_some()
    }

    /// How it ends now; `None` = it waits. When its time is over, what has not been answered by then counts no more.
    pub fn end(&self, now: MonoTime) -> Option<TransitionStage> {
        let refused = self.gates.iter().find_map(|state| match &state.answer {
            Some(GateOutcome::Refused { detail }) if !state.is_waived => Some((state.gate.clone(), detail.clone())),
            _ => None,
        });
        match refused {
            _ if now >= self.until => Some(match self.at_limit {
                LimitAction::GoAhead => TransitionStage::WentAhead { closed: self.closed() },
                LimitAction::GiveUp => TransitionStage::Expired { closed: self.closed() },
            }),
            Some((gate, detail)) => Some(TransitionStage::Refused { gate, detail }),
            None if self.gates.iter().all(GateState::is_open) => Some(TransitionStage::Taken),
            None if self.gates.iter().all(|state| state.is_open() || state.is_waived) => {
                Some(TransitionStage::WentAhead { closed: self.closed() })
            }
            None => None,
        }
    }

    /// The gates that are not open.
    pub fn closed(&self) -> Vec<Gate> {
        self.gates.iter().filter(|state| !state.is_open()).map(|state| state.gate.clone()).collect()
    }

    /// An operator wants it: it does not need the evidence of a turn.
    pub fn is_ordered(&self) -> bool {
        self.pins || !self.actor.is_own()
    }

    pub fn record(&self, service: &Name, stage: TransitionStage) -> TransitionRecord {
        TransitionRecord {
            id: self.id,
            service: service.clone(),
            kind: self.kind,
            from: self.from.clone(),
            to: self.to.clone(),
            actor: self.actor.clone(),
            since: self.since,
            stage,
        }
    }
}

/// The switch that was given up last, and that is not intended again for a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct GivenUpSwitch {
    pub kind: SwitchKind,
    pub to: Option<Name>,
    pub until: MonoTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
}

impl Fence {
    /// A reload calls the pool otherwise, or has removed it.
    pub fn rename(&mut self, now_called: impl Fn(&Name) -> Option<Name>) {
        self.pool = self.pool.as_ref().and_then(now_called);
    }
}

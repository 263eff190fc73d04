//! What becomes of sessions whose pool or endpoint is taken away. The core says it of every pool in the table; the data plane
//! applies the same rule to what no row speaks of any more.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SessionAction;
use crate::config::{Failover, Sessions};
use crate::time::MonoTime;

/// How the sessions of a service end when their pool or endpoint is taken away (`failover.sessions`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRule {
    /// At once or later.
    pub sessions: Sessions,
    /// How long they may go on after that, if later.
    pub drain_timeout: Duration,
}

impl SessionRule {
    /// Of a service's `failover` section.
    pub fn of(rule: &Failover) -> SessionRule {
        SessionRule { sessions: rule.sessions, drain_timeout: rule.drain_timeout }
    }

    /// What was taken away at `left` ends.
    pub fn end(&self, left: MonoTime) -> SessionAction {
        match self.sessions {
            Sessions::Close => SessionAction::Close,
            Sessions::Drain => self.drain(left),
        }
    }

    /// What was taken away at `left` may finish, whatever applies to others.
    pub fn drain(&self, left: MonoTime) -> SessionAction {
        SessionAction::Drain { until: left.after(self.drain_timeout) }
    }
}

/// What becomes of the sessions of a pool, by the term (the time from which it serves until another pool serves in its place) under
/// which they began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSessions {
    /// Those of terms that are over; `None` = none is.
    #[serde(default)]
    pub earlier: Option<SessionAction>,
    /// Those of its present term; `None` = they go on. Otherwise the pool is fenced, and nothing new is sent there.
    #[serde(default)]
    pub present: Option<SessionAction>,
    /// The epoch that fenced it: each fence is published, also where its rule was in force before.
    #[serde(default)]
    pub fence: Option<u64>,
}

/// Which terms of a pool there have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct PoolTerms {
    /// It serves, or no pool does and it was the last.
    pub present: bool,
    /// When the last one ended.
    pub left: Option<MonoTime>,
}

impl PoolTerms {
    /// `served`: some pool of the service serves.
    pub fn observe(&mut self, serves: bool, served: bool, now: MonoTime) {
        if serves {
            self.present = true;
        } else if served && std::mem::take(&mut self.present) {
            self.left = Some(now);
        }
    }
}

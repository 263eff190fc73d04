//! One record per switch: cause, evidence, actor, epoch and times. Audit, alerts, metrics and `/status` have no other source.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Actor, Cause, FollowRecord};
use crate::config::Name;
use crate::digest::from_hex;
use crate::time::MonoTime;

/// Counts incidents of a process's life and, with `state`, beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct IncidentId(pub u64);

/// One life of an instance: a random number, made when the control plane starts, never used again. 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceLife(pub u64);

impl fmt::Display for InstanceLife {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<InstanceLife> for String {
    fn from(life: InstanceLife) -> String {
        life.to_string()
    }
}

impl TryFrom<String> for InstanceLife {
    type Error = &'static str;

    fn try_from(text: String) -> Result<InstanceLife, &'static str> {
        let life = from_hex(text.as_bytes()).map(u64::from_be_bytes);
        life.map(InstanceLife).ok_or("not the life of an instance: 16 hexadecimal digits")
    }
}

/// Why the active pool changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SwitchKind {
    /// Forced: the active pool cannot serve.
    Failover,
    /// Ordered by an operator.
    Switchover,
    /// Home again.
    Failback,
    /// The new pool was worse.
    Rollback,
    /// Endpoints serve again, after a page or none did.
    Recovery,
    /// Another endpoint is the primary now.
    Follow,
}

impl SwitchKind {
    /// Was it brought about by a failure, and not by an order or a failback?
    pub fn is_forced(self) -> bool {
        matches!(self, SwitchKind::Failover | SwitchKind::Rollback | SwitchKind::Recovery | SwitchKind::Follow)
    }
}

impl fmt::Display for SwitchKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SwitchKind::Failover => "failover",
            SwitchKind::Switchover => "switchover",
            SwitchKind::Failback => "failback",
            SwitchKind::Rollback => "rollback",
            SwitchKind::Recovery => "recovery",
            SwitchKind::Follow => "follow",
        })
    }
}

/// What spoke against (or for) an endpoint when the switch was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The endpoint.
    pub address: SocketAddr,
    /// Its state's reason.
    pub cause: Cause,
    /// For people: counts and the last detail.
    pub detail: String,
    /// When it was first seen.
    pub seen: MonoTime,
}

/// One switch of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its number.
    pub id: IncidentId,
    /// The life of the instance that it is of; `None` in state files of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<InstanceLife>,
    /// The service.
    pub service: Name,
    /// Why.
    pub kind: SwitchKind,
    /// The pool that served before; `None` when none did.
    pub from: Option<Name>,
    /// The pool that serves now; `None` = none (all down).
    pub to: Option<Name>,
    /// Who decided.
    pub actor: Actor,
    /// The epoch that published it.
    pub epoch: u64,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
    /// First sign of the fault (forced switches; for others the order itself).
    pub fault: MonoTime,
    /// When an endpoint's standing first fell because of it.
    pub detected: MonoTime,
    /// When the machine decided; the table is published in the same turn.
    pub decided: MonoTime,
    /// First good answer from the new pool; `None` while awaited.
    pub answered: Option<MonoTime>,
    /// When the last session at the pool that was left had ended; `None` while some are left, and where no pool was left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fenced: Option<MonoTime>,
    /// It counts towards `max_failovers`: an outage began with it.
    #[serde(default)]
    pub outage: bool,
    /// A hold kept it from happening: nothing of it was done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// The services that moved with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub companions: Vec<Name>,
    /// What was said of the data, where the service follows its primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub following: Option<Box<FollowRecord>>,
}

impl Incident {
    /// What it is called outside of the instance: `INSTANCE-LIFE-N`.
    pub fn name(&self, instance: &str) -> String {
        format!("{instance}-{}-{}", self.life.unwrap_or(InstanceLife(0)), self.id.0)
    }

    /// Measured recovery time: first sign of the fault → first good answer from the new pool.
    pub fn rto(&self) -> Option<Duration> {
        self.answered.map(|answered| answered.since(self.fault))
    }
}

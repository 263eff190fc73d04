//! `failover:`

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fence::FenceHook;
use super::names::Name;

/// When and how the active pool changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failover {
    /// A pool with fewer usable endpoints than this is not available.
    pub min_healthy: usize,
    /// What a refusal by every endpoint means.
    pub on_refused: OnRefused,
    /// What happens when no pool is available.
    pub on_all_down: OnAllDown,
    /// What happens to the old pool's sessions.
    pub sessions: Sessions,
    /// How long drained sessions may go on.
    pub drain_timeout: Duration,
    /// Beyond it, elective switches are frozen.
    pub max_failovers: MaxFailovers,
    /// How the service returns to its first pool.
    pub failback: Failback,
    /// A forced failover within this time of a failback is a relapse: it doubles the hold-down, up to 8 ×; zero = off.
    pub damping: Duration,
    /// A new pool that fails within this time of a switch may be rolled back, once; zero = never.
    pub confirm_window: Duration,
    /// The service follows its primary: its checks ask for the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub following: Option<FollowRule>,
    /// What is run before another primary is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Arc<FenceHook>>,
    /// The service goes where another one goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<LeadingService>,
    /// The service reads at replicas: its checks ask for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads: Option<ReadRule>,
}

/// The service that another one moves with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadingService {
    /// Its name. Pools are matched by name.
    pub name: Name,
    /// A pool in which the other one has no endpoint left is not chosen for this one either, if there is one in which both have.
    pub votes: bool,
}

/// How a service follows its primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowRule {
    /// What the checks of its pools ask for.
    pub role: FollowedRole,
    /// What happens when several endpoints say that they are primary.
    pub on_multiple_primaries: OnMultiplePrimaries,
    /// The sessions of a primary that does not answer end after this time; `None` = not for that.
    pub fence_after: Option<Duration>,
    /// So much of what a primary has written may be lost by following another one; `None` = there is no objective, and of a living
    /// primary nothing is given up by itself.
    pub rpo: Option<RecoveryPoint>,
    /// What happens when the primary is gone, and the next one lacks more than that.
    pub on_rpo_exceeded: OnRpoExceeded,
    /// It is followed nevertheless after this time; `None` = not by itself.
    pub rpo_patience: Option<Duration>,
}

/// The recovery point objective: how much may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryPoint {
    /// Bytes of the log.
    Bytes(u64),
    /// What was written in so long a time.
    Time(Duration),
}

/// What happens when the primary is gone, and the next one lacks more than the objective allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRpoExceeded {
    /// It is followed, measured and told.
    Follow,
    /// It is not followed until an operator accepts it, or the time is over.
    Hold,
}

/// The role that a check asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FollowedRole {
    /// It is no replica.
    Primary,
    /// It is no replica, and takes writes.
    Writable,
}

/// What happens when several endpoints say that they are primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMultiplePrimaries {
    /// The one that is followed keeps the traffic.
    Freeze,
    /// None gets any until one is left.
    Close,
}

/// How a service reads at replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadRule {
    /// What happens when no fresh replica is left.
    pub fallback: ReadFallback,
}

/// What happens when no fresh replica is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadFallback {
    /// The primary serves reads, too.
    Primary,
    /// Nothing is served.
    Refuse,
}

/// What a check asks of replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaCheck {
    /// One that is further behind the primary gets nothing new; `None` = any lag will do.
    pub max_lag: Option<MaxLag>,
}

/// How far a replica may be behind its primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxLag {
    /// The primary was where the replica is no longer ago than this.
    Time(Duration),
    /// The replica lacks so many bytes of the log at most.
    Bytes(u64),
}

/// What a refusal by every endpoint of the active pool means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRefused {
    /// Switch at once ([manual::one_failover](crate::manual::one_failover)).
    Verdict,
    /// Leave it to the checks and the outlier rules.
    Checks,
}

/// What happens when no pool is available.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnAllDown {
    /// Endpoints that fail only their checks go on serving (the default, of plain tcp services too).
    FailOpen,
    /// Nothing is served (what databases will default to).
    FailClosed,
}

/// What happens to the old pool's sessions at a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sessions {
    /// Finish within `drain_timeout` (the default, of plain tcp services too).
    Drain,
    /// Both sides reset at once.
    Close,
}

/// More outages than `count` in `per` freeze elective switches. Switches within `confirm_window` of the first are one outage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaxFailovers {
    /// How many.
    pub count: u32,
    /// In which time.
    pub per: Duration,
}

/// How the service returns to its first pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failback {
    /// Automatic or by an operator. (`window` and ramps are refused as not supported yet.)
    pub mode: FailbackMode,
    /// How long the first pool must have been healthy, counted from its recovery.
    pub hold_down: Duration,
}

/// What decides that the service returns to its first pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailbackMode {
    /// Standfast, after the hold-down.
    Auto,
    /// An operator.
    Manual,
}

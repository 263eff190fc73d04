//! The core's state for people: what `/status` shows. Times are ages in milliseconds, so that they mean something in
//! another process.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::endpoint::Endpoint;
use super::pool::Pool;
use super::service::Service;
use super::timers::Timer;
use super::transition::{GateState, Transition};
use super::{
    Actor, Admission, CheckAnswer, ConditionStatus, DataPosition, EndpointId, FollowVerdict, Gate, HoldScope,
    LagSourceStatus, Reading, ReplicaStatus, Serving, Standing, SwitchKind, TransitionId,
};
use crate::config::{Mode, Name};
use crate::time::MonoTime;

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: Name,
    /// One active pool, or weighted pools.
    pub mode: Mode,
    /// Who serves (pools by index, as in the table).
    pub serving: Serving,
    /// The active pool's name; `None` while starting, when no pool serves, and in `active_active`.
    pub active: Option<Name>,
    /// How long it has been so.
    pub for_ms: u64,
    /// The kind of the last switch; `None` = it still stands on its first choice.
    pub why: Option<SwitchKind>,
    /// No pool is available, and the active one carries traffic because nothing better is left.
    pub failing_open: bool,
    /// All its pools became unreachable at once: the active one is kept, and no request is served until an endpoint answers.
    #[serde(default)]
    pub isolated: bool,
    /// How long the pool that would be failed back to still has to prove itself; `None` = no such pool.
    pub hold_down_left_ms: Option<u64>,
    /// How often that time was doubled because the service fell soon after it had come home.
    #[serde(default)]
    pub relapses: u32,
    /// A better pool has recovered, and goes on being a standby until an operator says otherwise: failback is manual, or the
    /// active pool was ordered.
    #[serde(default)]
    pub waits_for_operator: bool,
    /// How long elective switches stay frozen; `None` = they are not.
    pub frozen_for_ms: Option<u64>,
    /// An operator chose the active pool: no failback by itself.
    pub ordered: bool,
    /// Standfast brings it home by itself: nothing of an operator or of the configuration keeps it.
    #[serde(default)]
    pub comes_home: bool,
    /// When the last switch was.
    #[serde(default)]
    pub switched: Option<MonoTime>,
    /// The pool an operator pinned the service to.
    pub pinned: Option<Name>,
    /// How long that lasts; `None` = until it is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_for_ms: Option<u64>,
    /// An operator's hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldStatus>,
    /// Zones that are evacuated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evacuated: Vec<EvacuationStatus>,
    /// Its last recovery took longer than its objective.
    #[serde(default)]
    pub missed: bool,
    /// Pools of `active_active` that lost their share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Name>,
    /// Counts, in this life of the service, what was decided about it: who serves, pins, holds, freezes, orders and what operators say
    /// of endpoints; not what probes say.
    #[serde(default)]
    pub decisions: u64,
    /// A switch that waits for its gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transition: Option<TransitionStatus>,
    /// What it follows, where its check asks for the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub following: Option<FollowingStatus>,
    /// The service that it moves with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Name>,
    /// The services that move with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub companions: Vec<Name>,
    /// The primary that the lag of replicas is measured against, where the check has `role`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_source: Option<LagSourceStatus>,
    /// Open conditions, by the time at which they were raised.
    #[serde(default)]
    pub conditions: Vec<ConditionStatus>,
    /// In the order of the configuration.
    pub pools: Vec<PoolStatus>,
}

/// What a service follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FollowingStatus {
    /// The endpoint that has the traffic, or had it last; `None` = none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub holder: Option<SocketAddr>,
    /// The highest place that was ever followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub followed: Option<DataPosition>,
    /// How long ago it was read, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub followed_age_ms: Option<u64>,
    /// How long a primary has not been followed because it lacks more than `objectives.rpo` allows, in milliseconds; absent = there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beyond_rpo_ms: Option<u64>,
    /// An operator has accepted the data of this endpoint, which is followed when the sessions of the holder have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub accepted: Option<SocketAddr>,
}

/// An operator's hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HoldStatus {
    /// Which switches it keeps from being made.
    pub scope: HoldScope,
    /// How long it still lasts.
    pub left_ms: u64,
}

/// A zone that is evacuated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvacuationStatus {
    /// The zone.
    #[schema(value_type = String)]
    pub zone: Name,
    /// How long it still lasts.
    pub left_ms: u64,
}

/// An operator's weight of an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WeightStatus {
    /// The weight.
    pub weight: u32,
    /// How long it still applies; `None` = until a reload changes the configured one.
    pub left_ms: Option<u64>,
}

/// A switch that waits for its gates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TransitionStatus {
    /// Its number.
    pub id: TransitionId,
    /// Why the active pool is to change.
    pub kind: SwitchKind,
    /// The pool that serves; `None` when none does.
    #[schema(value_type = Option<String>)]
    pub from: Option<Name>,
    /// The pool that is to serve.
    #[schema(value_type = Option<String>)]
    pub to: Option<Name>,
    /// Who decided.
    pub actor: Actor,
    /// How long it has waited.
    pub for_ms: u64,
    /// How long it waits at most from now on.
    pub left_ms: u64,
    /// What it waits for.
    pub gates: Vec<GateStatus>,
}

/// A gate of a transition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GateStatus {
    /// Which.
    pub gate: Gate,
    /// It holds.
    pub open: bool,
}

/// One pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Its name.
    pub name: Name,
    /// May it take the service.
    pub available: bool,
    /// Endpoints that are healthy and in use.
    pub usable: usize,
    /// It is a static response: nothing that could fail, and no service.
    #[serde(default)]
    pub page: bool,
    /// The zone that the configuration gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Name>,
    /// Its zone is evacuated: it is used only where no other is available.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub evacuated: bool,
    /// Services that move with this one and have no endpoint there: it is not chosen while there is a pool in which all have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacked_by: Vec<Name>,
    /// None for a static response.
    pub endpoints: Vec<EndpointStatus>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndpointStatus {
    /// Its identity.
    pub id: EndpointId,
    /// Its address.
    #[schema(value_type = String)]
    pub address: SocketAddr,
    /// State and reason.
    pub standing: Standing,
    /// What may be sent to it.
    pub admission: Admission,
    /// It is asked and says nothing, or refused once: new work avoids it until that is known.
    #[serde(default)]
    pub suspected: bool,
    /// How long it has stood so.
    pub for_ms: u64,
    /// For people: counts and the last detail.
    pub evidence: String,
    /// How long the ejection lasts at least; `None` = not ejected, or waiting for trials.
    pub ejected_for_ms: Option<u64>,
    /// An operator's weight in the place of the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_order: Option<WeightStatus>,
    /// What the last passed probe that read anything said of its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
    /// What the newest probe was answered; absent = it passed, or nothing was heard yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckAnswer>,
    /// What it is to a service that follows its primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub following: Option<FollowVerdict>,
    /// Its lag, and what it is to a service that reads at replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<ReplicaStatus>,
}

fn ms(span: Duration) -> u64 {
    span.as_millis() as u64
}

impl Service {
    /// For `/status`.
    pub(super) fn status(&self, now: MonoTime) -> ServiceStatus {
        let left = |until: Option<MonoTime>| until.map(|until| ms(until.since(now)));
        let active = self.serving.active().map(|active| self.pools[active].name.clone());
        let home = self.homeward().find_map(|pool| self.hold_down_end(pool));
        ServiceStatus {
            name: self.name().clone(),
            mode: self.config.mode,
            serving: self.serving.clone(),
            active,
            for_ms: ms(now.since(self.since)),
            why: self.last_switch.as_ref().map(|last| last.kind),
            failing_open: self.failing_open,
            isolated: self.isolated,
            hold_down_left_ms: left(home),
            relapses: self.hold_down.relapses,
            waits_for_operator: home.is_some() && self.pinned.is_none() && !self.decides_alone(),
            frozen_for_ms: left(self.frozen_until()),
            ordered: self.ordered,
            comes_home: self.decides_alone(),
            switched: self.last_switch.as_ref().map(|last| last.at),
            pinned: self.pinned.clone(),
            pinned_for_ms: left(self.timers.armed(Timer::Pin)).filter(|_| self.pinned.is_some()),
            hold: self
                .hold
                .map(|scope| HoldStatus { scope, left_ms: left(self.timers.armed(Timer::Hold)).unwrap_or(0) }),
            evacuated: self
                .evacuated
                .iter()
                .map(|(zone, until)| EvacuationStatus { zone: zone.clone(), left_ms: ms(until.since(now)) })
                .collect(),
            missed: self.missed,
            lost: self.lost.iter().cloned().collect(),
            decisions: self.decisions,
            transition: self.transition.as_ref().map(|waiting| waiting.status(now)),
            following: self.follows().map(|_| self.following_status(now)),
            leader: self.config.failover.leader.as_ref().map(|leader| leader.name.clone()),
            companions: self.companions(),
            lag_source: self.lag_source_status(now),
            conditions: self.conditions.iter().map(|open| open.status(now)).collect(),
            pools: (0..self.pools.len()).map(|pool| self.pool_status(pool, now)).collect(),
        }
    }

    fn pool_status(&self, index: usize, now: MonoTime) -> PoolStatus {
        let pool: &Pool = &self.pools[index];
        PoolStatus {
            name: pool.name.clone(),
            available: pool.available(self.config.failover.min_healthy),
            usable: pool.usable(),
            page: pool.is_static,
            zone: self.config.pools[index].zone.clone(),
            evacuated: self.is_evacuated(index),
            lacked_by: self.votes_against(&pool.name),
            endpoints: pool
                .endpoints
                .iter()
                .map(|endpoint| EndpointStatus { following: self.follow_verdict(endpoint), ..endpoint.status(now) })
                .collect(),
        }
    }
}

impl Transition {
    fn status(&self, now: MonoTime) -> TransitionStatus {
        let gate = |state: &GateState| GateStatus { gate: state.gate.clone(), open: state.is_open() };
        TransitionStatus {
            id: self.id,
            kind: self.kind,
            from: self.from.clone(),
            to: self.to.clone(),
            actor: self.actor.clone(),
            for_ms: ms(now.since(self.since)),
            left_ms: ms(self.until.since(now)),
            gates: self.gates.iter().map(gate).collect(),
        }
    }
}

impl Endpoint {
    fn status(&self, now: MonoTime) -> EndpointStatus {
        EndpointStatus {
            id: self.id,
            address: self.address,
            standing: self.standing,
            admission: self.admission,
            suspected: self.suspected(),
            for_ms: ms(now.since(self.since)),
            evidence: self.suspicion.describe(now).unwrap_or_else(|| self.evidence.clone()),
            ejected_for_ms: self.timers.armed(Timer::Ejection).map(|until| ms(until.since(now))),
            weight_order: self.weight_override().map(|order| WeightStatus {
                weight: order.weight,
                left_ms: self.timers.armed(Timer::Weight).map(|until| ms(until.since(now))),
            }),
            reading: self.data.reading.clone(),
            check: self.checks.answer.clone(),
            following: None,
            replica: self.replica_status(),
        }
    }
}

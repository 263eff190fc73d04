//! What the control plane shows of itself: one serialisable value behind `/status` and `standfast status`. Durations are
//! milliseconds, wall-clock times milliseconds since the Unix epoch.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::{Bind, Endpoint, Mode, Name, Pool, Protocol, Service};
use crate::decision::{
    Actor, Cause, ConditionStatus, EndpointStatus, EvacuationStatus, Evidence, FollowRecord, FollowingStatus,
    HoldStatus, Incident, IncidentId, LagSourceStatus, PoolStatus, ServiceStatus, Serving, SwitchKind,
    TransitionStatus,
};
use crate::routing::{ListenerView, RoutingTable, ServiceView};
use crate::sys::clock;
use crate::time::MonoTime;

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Of the program.
    pub version: String,
    /// Of the process.
    pub pid: u32,
    /// The file that `reload` reads; `None` = started without one.
    #[schema(value_type = Option<String>)]
    pub config_path: Option<PathBuf>,
    /// When the control plane started.
    pub started_unix_ms: u64,
    /// How long ago that was.
    pub uptime_ms: u64,
    /// When this was taken.
    pub now_unix_ms: u64,
    /// Every service has made its first choice (or has tried all it could) and every worker has taken it up.
    pub ready: bool,
    /// The newest published table.
    pub epoch: u64,
    /// The newest table that each worker has taken up.
    pub acknowledged: Vec<u64>,
    /// Configurations put into force since the start, the first included.
    pub generation: u64,
    /// When the configuration in force was loaded.
    pub loaded_unix_ms: u64,
    /// The last reload; `None` = there was none.
    pub last_reload: Option<ReloadStatus>,
    /// What needs attention: what was wrong at the start, the audit log while it cannot be written, keys of issuers of JSON web
    /// tokens that cannot be read again.
    pub troubles: Vec<String>,
    /// In the order of the configuration.
    pub listeners: Vec<ListenerStatus>,
    /// In the order of the configuration.
    pub services: Vec<ServiceReport>,
    /// What the names of endpoints stand for.
    #[serde(default)]
    pub names: Vec<NameReport>,
    /// The last ones, newest last.
    pub incidents: Vec<IncidentReport>,
}

/// How the last reload ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReloadStatus {
    /// When.
    pub unix_ms: u64,
    /// Is the new configuration in force?
    pub ok: bool,
    /// All problems of a refused one, or all warnings of an accepted one.
    pub messages: Vec<String>,
}

/// A listener and the addresses it is really bound to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListenerStatus {
    /// Its name.
    #[schema(value_type = String)]
    pub name: Name,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it accepts; port 0 of the configuration is a real port here.
    #[schema(value_type = Vec<String>)]
    pub bound: Vec<Bind>,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceReport {
    /// Its name.
    #[schema(value_type = String)]
    pub name: Name,
    /// What its endpoints speak.
    pub protocol: Protocol,
    /// One active pool, or weighted pools.
    pub mode: Mode,
    /// Who serves (pools by index).
    pub serving: Serving,
    /// The active pool's name; `None` while starting, when no pool serves, and in `active_active`.
    #[schema(value_type = Option<String>)]
    pub active: Option<Name>,
    /// Since when it is so.
    pub since_unix_ms: u64,
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
    /// The pool an operator pinned the service to.
    #[schema(value_type = Option<String>)]
    pub pinned: Option<Name>,
    /// How long that lasts; `None` = until it is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_for_ms: Option<u64>,
    /// An operator's hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldStatus>,
    /// What it follows, where its check asks for the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub following: Option<FollowingStatus>,
    /// The service that it moves with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub leader: Option<Name>,
    /// The services that move with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub companions: Vec<Name>,
    /// The primary that the lag of replicas is measured against, where the check has `role`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_source: Option<LagSourceStatus>,
    /// Zones that are evacuated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evacuated: Vec<EvacuationStatus>,
    /// A switch that waits for its gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transition: Option<TransitionStatus>,
    /// Open conditions, by the time at which they were raised.
    #[serde(default)]
    pub conditions: Vec<ConditionStatus>,
    /// The recovery time its owner promises.
    pub rto_objective_ms: Option<u64>,
    /// Client networks that it answered well in the last ten minutes, counted up to 64: as many of them, three at most, must
    /// see a failure before it convicts an endpoint.
    #[serde(default)]
    pub callers: u32,
    /// Many requests, all of one client network: a load balancer that does not tell who its clients are?
    #[serde(default)]
    pub one_caller: bool,
    /// Standfast brings it home by itself: nothing of an operator or of the configuration keeps it.
    #[serde(default)]
    pub comes_home: bool,
    /// Its mark ([`ServiceMark`](super::ServiceMark)): what an act may be compared with.
    #[serde(default)]
    pub mark: String,
    /// In the order of the configuration.
    pub pools: Vec<PoolReport>,
}

/// Requests after which one client network is not just the first one.
const MANY_REQUESTS: u64 = 1000;

/// One pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PoolReport {
    /// Its name.
    #[schema(value_type = String)]
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
    #[schema(value_type = Option<String>)]
    pub zone: Option<Name>,
    /// Its zone is evacuated: it is used only where no other is available.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub evacuated: bool,
    /// Services that move with this one and have no endpoint there: it is not chosen while there is a pool in which all have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub lacked_by: Vec<Name>,
    /// None for a static response.
    pub endpoints: Vec<EndpointReport>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndpointReport {
    /// Standing, cause, evidence.
    #[serde(flatten)]
    pub state: EndpointStatus,
    /// What the configuration calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub name: Option<Name>,
    /// The name that DNS resolved to it; `None` = the configuration says the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub host: Option<Name>,
    /// Its share inside the pool; 0 = no new work.
    #[serde(default = "one")]
    pub weight: u32,
    /// Requests and sessions on it now.
    pub in_flight: u64,
}

fn one() -> u32 {
    1
}

/// A name that DNS turns into endpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NameReport {
    /// With the port, or with `(SRV)`.
    pub name: String,
    /// By the last good answer.
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<SocketAddr>,
    /// When that was; 0 = not since the start.
    pub answered_unix_ms: u64,
    /// Why the last lookup brought no address; `None` = it did.
    pub trouble: Option<String>,
    /// How many lookups ended how: `found`, `nothing`, `failed`.
    pub lookups: Vec<(String, u64)>,
}

/// One switch with its times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IncidentReport {
    /// Its number.
    pub id: IncidentId,
    /// What it is called outside of the instance: `INSTANCE-LIFE-N`.
    #[serde(default)]
    pub name: String,
    /// The service.
    #[schema(value_type = String)]
    pub service: Name,
    /// Why.
    pub kind: SwitchKind,
    /// The pool that served before; `None` when none did.
    #[schema(value_type = Option<String>)]
    pub from: Option<Name>,
    /// The pool that serves now; `None` = none.
    #[schema(value_type = Option<String>)]
    pub to: Option<Name>,
    /// Who decided.
    pub actor: Actor,
    /// The epoch that published it.
    pub epoch: u64,
    /// What it rests on.
    pub evidence: Vec<EvidenceReport>,
    /// First sign of the fault (or the order).
    pub fault_unix_ms: u64,
    /// How long ago that was.
    pub age_ms: u64,
    /// Fault → an endpoint's standing fell.
    pub detected_ms: f64,
    /// Fault → decided and published.
    pub decided_ms: f64,
    /// Fault → first good answer from the new pool: the measured recovery time; `None` while awaited.
    pub rto_ms: Option<f64>,
    /// Fault → the last session at the pool that was left had ended; `None` while some are left, and where none was left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fenced_ms: Option<f64>,
    /// It counts towards `max_failovers`: an outage began with it.
    #[serde(default)]
    pub outage: bool,
    /// An operator's hold kept it from happening: it says what would have been done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// The services that moved with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub companions: Vec<Name>,
    /// What was said of the data, where the service follows its primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub following: Option<Box<FollowRecord>>,
}

/// What spoke against (or for) an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceReport {
    /// The endpoint.
    #[schema(value_type = String)]
    pub address: SocketAddr,
    /// Its state's reason.
    pub cause: Cause,
    /// For people: counts and the last detail.
    pub detail: String,
    /// When it was first seen.
    pub seen_unix_ms: u64,
}

impl ServiceReport {
    /// The core's view and what stands beside it.
    pub(super) fn new(
        state: ServiceStatus,
        config: Option<&Service>,
        (callers, requests): (u32, u64),
        in_flight: impl Fn(&EndpointStatus) -> u64,
        now_unix_ms: u64,
    ) -> Self {
        let configured = |pool: &PoolStatus| config?.pools.iter().find(|configured| configured.name == pool.name);
        let pools = state.pools.into_iter().map(|pool| PoolReport::new(configured(&pool), pool, &in_flight)).collect();
        ServiceReport {
            protocol: config.map_or(Protocol::Tcp, |service| service.protocol),
            rto_objective_ms: config.and_then(|service| service.objectives.rto).map(whole_millis),
            since_unix_ms: now_unix_ms.saturating_sub(state.for_ms),
            name: state.name,
            mode: state.mode,
            serving: state.serving,
            active: state.active,
            for_ms: state.for_ms,
            why: state.why,
            failing_open: state.failing_open,
            isolated: state.isolated,
            hold_down_left_ms: state.hold_down_left_ms,
            relapses: state.relapses,
            waits_for_operator: state.waits_for_operator,
            frozen_for_ms: state.frozen_for_ms,
            pinned: state.pinned,
            pinned_for_ms: state.pinned_for_ms,
            hold: state.hold,
            evacuated: state.evacuated,
            transition: state.transition,
            following: state.following,
            leader: state.leader,
            companions: state.companions,
            lag_source: state.lag_source,
            conditions: state.conditions,
            callers,
            one_caller: callers == 1 && requests >= MANY_REQUESTS,
            comes_home: state.comes_home,
            mark: String::new(),
            pools,
        }
    }
}

impl ServiceReport {
    /// Do endpoints serve it? A page instead of them is none, and what cannot be reached serves no request.
    pub fn is_served(&self) -> bool {
        let serves = matches!(self.serving, Serving::Active(_) | Serving::Shared(_));
        serves && !self.isolated && !self.shows_a_page()
    }

    /// See [`Serving::shows_a_page`].
    pub fn shows_a_page(&self) -> bool {
        self.serving.shows_a_page(self.pools.iter().map(|pool| pool.page))
    }
}

/// What the core says of a service, and what stands beside it in the table. It has no mark.
pub(super) fn service_report(
    state: ServiceStatus,
    config: Option<&Service>,
    view: Option<&ServiceView>,
    wall: &WallClock,
) -> ServiceReport {
    let stats = view.map(|view| &view.stats);
    let callers = stats.map_or(0, |stats| stats.callers.count(wall.now));
    let requests = stats.map_or(0, |stats| stats.responses().iter().sum());
    let in_flight = |endpoint: &EndpointStatus| {
        let endpoint = view.and_then(|view| view.find(endpoint.id));
        endpoint.map_or(0, |endpoint| endpoint.stats.in_flight() as u64)
    };
    ServiceReport::new(state, config, (callers, requests), in_flight, wall.unix_ms)
}

impl PoolReport {
    fn new(config: Option<&Pool>, pool: PoolStatus, in_flight: &impl Fn(&EndpointStatus) -> u64) -> Self {
        let configured = config.map_or(&[][..], |config| config.members.endpoints());
        let configured = configured.iter().map(Some).chain(std::iter::repeat(None));
        let report = |(state, config): (EndpointStatus, Option<&Endpoint>)| EndpointReport {
            in_flight: in_flight(&state),
            name: config.and_then(|endpoint| endpoint.name.clone()),
            host: config.and_then(|endpoint| endpoint.host.clone()),
            weight: state
                .weight_order
                .as_ref()
                .map_or(config.map_or(1, |endpoint| endpoint.weight), |order| order.weight),
            state,
        };
        let endpoints = pool.endpoints.into_iter().zip(configured).map(report).collect();
        PoolReport {
            name: pool.name,
            available: pool.available,
            usable: pool.usable,
            page: pool.page,
            zone: pool.zone,
            evacuated: pool.evacuated,
            lacked_by: pool.lacked_by,
            endpoints,
        }
    }
}

impl IncidentReport {
    /// The record as people read it, told by this clock.
    pub(super) fn told_by(incident: &Incident, clock: &WallClock, instance: &str) -> Self {
        let (age, wall) = (|at: MonoTime| clock.age_ms(at), |at: MonoTime| clock.unix_ms(at));
        let evidence = |e: &Evidence| EvidenceReport {
            address: e.address,
            cause: e.cause,
            detail: e.detail.clone(),
            seen_unix_ms: wall(e.seen),
        };
        IncidentReport {
            id: incident.id,
            name: incident.name(instance),
            service: incident.service.clone(),
            kind: incident.kind,
            from: incident.from.clone(),
            to: incident.to.clone(),
            actor: incident.actor.clone(),
            epoch: incident.epoch,
            evidence: incident.evidence.iter().map(evidence).collect(),
            fault_unix_ms: wall(incident.fault),
            age_ms: age(incident.fault),
            detected_ms: millis(incident.detected.since(incident.fault)),
            decided_ms: millis(incident.decided.since(incident.fault)),
            rto_ms: incident.rto().map(millis),
            fenced_ms: incident.fenced.map(|fenced| millis(fenced.since(incident.fault))),
            outage: incident.outage,
            held: incident.held,
            companions: incident.companions.clone(),
            following: incident.following.clone(),
        }
    }
}

/// The wall clock beside the monotonic one: times of decisions as people read them.
#[derive(Clone, Copy, Debug)]
pub(super) struct WallClock {
    /// The monotonic time at which it shows `unix_ms`.
    pub(super) now: MonoTime,
    /// Milliseconds since the Unix epoch.
    pub(super) unix_ms: u64,
    /// Pauses of this process count as time.
    pub(super) own: bool,
}

impl WallClock {
    /// That of this process.
    pub(super) fn now() -> WallClock {
        WallClock { now: clock::now(), unix_ms: clock::unix_millis(), own: true }
    }

    /// How long ago that was, in milliseconds.
    pub(super) fn age_ms(&self, at: MonoTime) -> u64 {
        let paused = if self.own { clock::paused_for(at) } else { Duration::ZERO };
        whole_millis(self.now.since(at) + paused)
    }

    /// When that was or will be, in milliseconds since the Unix epoch.
    pub(super) fn unix_ms(&self, at: MonoTime) -> u64 {
        match at > self.now {
            true => self.unix_ms.saturating_add(whole_millis(at.since(self.now))),
            false => self.unix_ms.saturating_sub(self.age_ms(at)),
        }
    }
}

/// The listeners with the addresses their sockets are bound to.
pub(super) fn listeners(table: &RoutingTable) -> Vec<ListenerStatus> {
    let status = |view: &Arc<ListenerView>| ListenerStatus {
        name: view.config.name.clone(),
        protocol: view.config.protocol,
        bound: view.sockets.bound().iter().map(|bound| bound.listens()).collect(),
    };
    table.listeners.iter().map(status).collect()
}

/// Milliseconds with microseconds behind the point.
pub(super) fn millis(span: Duration) -> f64 {
    span.as_micros() as f64 / 1000.0
}

fn whole_millis(span: Duration) -> u64 {
    span.as_millis() as u64
}

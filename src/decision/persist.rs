//! What survives a restart ([`Saved`]): all times as ages, so that another process, whose clock has another origin, can
//! restore it. Health is not among it: it is proven again, and hold-downs count from then.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::hold_down::DOUBLINGS;
use super::service::Service;
use super::switch::LastSwitch;
use super::timeline::Timeline;
use super::timers::Timer;
use super::{
    Administrative, ConditionKind, DataPosition, FollowRecord, Incident, SavedAct, SavedCondition, SavedFollowing,
    SavedHold, SavedWeight, Serving, SwitchKind,
};
use crate::config::{Name, is_name};
use crate::text::{printable, shortened};
use crate::time::MonoTime;

/// The decisions worth keeping over a restart. All times are in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// The format's number; another one is not restored.
    pub version: u32,
    /// The last epoch; the next process goes on from it.
    pub epoch: u64,
    /// The number of the next incident.
    pub next_incident: u64,
    /// By service.
    pub services: Vec<SavedService>,
    /// Newest last.
    pub incidents: Vec<SavedIncident>,
    /// Acts that may be sent again, oldest first; absent in files of before they were remembered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acts: Vec<SavedAct>,
}

/// One service's decisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedService {
    /// Its name.
    pub name: Name,
    /// The active pool, or the one that served last; `None` = no pool has served, or it is `active_active`.
    pub active: Option<Name>,
    /// Pools of an `active_active` service that lost their share.
    pub lost: Vec<Name>,
    /// An operator chose the active pool: no failback by itself.
    pub ordered: bool,
    /// The pin.
    pub pinned: Option<Name>,
    /// How long ago, which way and from where the last switch went.
    pub last_switch: Option<SavedSwitch>,
    /// How long ago the last failback was.
    pub failback_age_us: Option<u64>,
    /// How often the hold-down has doubled.
    pub relapses: u32,
    /// Open conditions; absent in files of before there were conditions.
    #[serde(default)]
    pub conditions: Vec<SavedCondition>,
    /// Ages of the forced failovers and rollbacks that count towards a freeze, oldest first.
    pub forced_ages_us: Vec<u64>,
    /// How long the freeze still lasts.
    pub frozen_for_us: Option<u64>,
    /// Endpoints that an operator took out of use.
    pub administrative: Vec<(SocketAddr, Administrative)>,
    /// No pool serves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub down: bool,
    /// How long the pin still lasts; `None` = until it is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_for_us: Option<u64>,
    /// The hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<SavedHold>,
    /// Zones that are evacuated, and for how long still.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evacuated: Vec<(Name, u64)>,
    /// Weights in the place of configured ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<SavedWeight>,
    /// What it follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub following: Option<SavedFollowing>,
}

/// The last switch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedSwitch {
    /// Why.
    pub kind: SwitchKind,
    /// The pool that was left.
    pub from: Option<Name>,
    /// How long ago.
    pub age_us: u64,
}

/// An incident. Its moments are not moments of any clock but ages: microseconds before the time of saving.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SavedIncident(Incident);

impl Saved {
    /// The format this build writes and reads.
    pub const VERSION: u32 = 1;

    /// The same, this much later: every age has grown, and a freeze has less time left.
    pub fn aged(mut self, by: Duration) -> Saved {
        for service in &mut self.services {
            let later = |age: &mut u64| *age = age.saturating_add(us(by));
            service.last_switch.iter_mut().for_each(|last| later(&mut last.age_us));
            service.failback_age_us.iter_mut().for_each(later);
            service.forced_ages_us.iter_mut().for_each(later);
            service.conditions.iter_mut().for_each(|open| later(&mut open.age_us));
            service.frozen_for_us.iter_mut().for_each(|left| *left = left.saturating_sub(us(by)));
            if let Some(following) = &mut service.following {
                later(&mut following.age_us);
                following.beyond_rpo_us.iter_mut().for_each(later);
            }
            service.shorten_orders(by);
        }
        for SavedIncident(incident) in &mut self.incidents {
            *incident = shift(incident, |age| age.after(by));
        }
        self.acts.iter_mut().for_each(|act| act.grow_older(by));
        self
    }

    /// The same with what another process can go on from: numbers that were never counted up to, times that no configuration can
    /// mean and names that are none are damage, and cost the entry that they stand in. `Err`: the numbers of the whole.
    pub fn checked(mut self, left_out: &mut Vec<String>) -> Result<Saved, String> {
        for (what, number) in [("epoch", self.epoch), ("next_incident", self.next_incident)] {
            if number > MAX_COUNTED {
                return Err(format!("{what} {number} is out of range: {MAX_COUNTED} at most"));
            }
        }
        let mut known = BTreeSet::new();
        self.services.retain_mut(|service| match service.check(left_out) {
            Ok(()) if known.insert(service.name.clone()) => true,
            Ok(()) => {
                left_out.push(format!("service {}: it stands there twice", service.name));
                false
            }
            Err(problem) => {
                left_out.push(format!("service `{}`: {problem}", shortened(&service.name, LONGEST_SHOWN)));
                false
            }
        });
        let epoch = self.epoch;
        self.incidents.retain_mut(|SavedIncident(incident)| match check_incident(incident, epoch) {
            Ok(()) => true,
            Err(problem) => {
                left_out.push(format!("incident {}: {problem}", incident.id.0));
                false
            }
        });
        let next = self.incidents.iter().map(|SavedIncident(incident)| incident.id.0 + 1).max();
        self.next_incident = self.next_incident.max(next.unwrap_or(0));
        Ok(self)
    }

    pub(super) fn take(epoch: u64, services: &[Service], timeline: &Timeline, now: MonoTime) -> Saved {
        Saved {
            version: Saved::VERSION,
            epoch,
            next_incident: timeline.next,
            services: services.iter().map(|service| service.save(now)).collect(),
            incidents: timeline.incidents.iter().map(|i| SavedIncident(shift(i, |at| age_of(at, now)))).collect(),
            acts: Vec::new(),
        }
    }

    pub(super) fn timeline(&self, now: MonoTime) -> Timeline {
        let restore = |saved: &SavedIncident| shift(&saved.0, |age| now.before(Duration::from_micros(age.as_micros())));
        Timeline { incidents: self.incidents.iter().map(restore).collect(), next: self.next_incident, life: None }
    }
}

/// Numbers of publishing and of incidents beyond this one were never counted up to.
const MAX_COUNTED: u64 = 1 << 62;
/// No configuration asks for a longer time, in microseconds.
pub(super) const LONGEST_TIME: u64 = 365 * 24 * 3600 * 1_000_000;
/// Characters of a damaged name that are shown.
const LONGEST_SHOWN: usize = 60;

impl SavedService {
    /// Takes out what cannot be; `Err`: the whole entry cannot be.
    fn check(&mut self, left_out: &mut Vec<String>) -> Result<(), String> {
        if !is_name(&self.name) {
            return Err("this is not a name".into());
        }
        let mut leave_out = |what: &str| left_out.push(format!("service {}: {what}", self.name));
        let mut check_name = |what: &str, name: &mut Option<Name>| {
            if let Some(wrong) = name.take_if(|name| !is_name(name)) {
                leave_out(&format!("{what} `{}` is not a name", shortened(&wrong, LONGEST_SHOWN)));
            }
        };
        check_name("the active pool", &mut self.active);
        check_name("the pin", &mut self.pinned);
        if let Some(last) = &mut self.last_switch {
            check_name("the pool of the last switch", &mut last.from);
        }
        self.lost.retain(|name| {
            let good = is_name(name);
            if !good {
                leave_out(&format!("the pool without share `{}` is not a name", shortened(name, LONGEST_SHOWN)));
            }
            good
        });
        if let Some(left) = self.frozen_for_us.take_if(|left| *left > LONGEST_TIME) {
            leave_out(&format!("a freeze of {left} µs is longer than any"));
        }
        if self.following.take_if(|following| !following.position.is_well_formed()).is_some() {
            leave_out("what was followed is no position");
        }
        let doublings = self.relapses.min(DOUBLINGS);
        if std::mem::replace(&mut self.relapses, doublings) != doublings {
            leave_out("more relapses than are counted");
        }
        let mut known = BTreeSet::new();
        self.administrative.retain(|(address, _)| {
            let first = known.insert(*address);
            if !first {
                leave_out(&format!("{address} stands there twice"));
            }
            first
        });
        let mut kinds = BTreeSet::new();
        self.conditions.retain(|open| {
            let named = open.pool.as_ref().is_none_or(|pool| is_name(pool));
            let good = named && kinds.insert((open.kind, open.pool.clone()));
            if !good {
                leave_out(&format!("the condition {} stands there twice, or its pool has no name", open.kind.as_str()));
            }
            good
        });
        self.check_orders(left_out);
        // Oldest first, whatever the file says.
        self.forced_ages_us.sort_unstable_by(|one, other| other.cmp(one));
        Ok(())
    }
}

/// Is it one that could have been? What people have written in it becomes printable.
fn check_incident(incident: &mut Incident, epoch: u64) -> Result<(), String> {
    let names = std::iter::once(&incident.service).chain(&incident.from).chain(&incident.to);
    for name in names {
        if !is_name(name) {
            return Err(format!("`{}` is not a name", shortened(name, LONGEST_SHOWN)));
        }
    }
    if incident.id.0 > MAX_COUNTED {
        return Err(format!("number {} is out of range: {MAX_COUNTED} at most", incident.id.0));
    }
    if incident.epoch > epoch {
        return Err(format!("it is of epoch {}, and the last one was {epoch}", incident.epoch));
    }
    let is_well_formed =
        |record: &FollowRecord| record.left_at.iter().chain(&record.joined_at).all(DataPosition::is_well_formed);
    incident.following.take_if(|record| !is_well_formed(record));
    for text in std::iter::once(&mut incident.actor.name).chain(&mut incident.actor.origin) {
        *text = printable(text).into_owned();
    }
    let fence = incident.following.as_mut().and_then(|record| record.fence.as_mut());
    let details = incident.evidence.iter_mut().map(|evidence| &mut evidence.detail);
    for detail in details.chain(fence.and_then(|fence| fence.detail.as_mut())) {
        *detail = printable(detail).into_owned();
    }
    Ok(())
}

fn age_of(at: MonoTime, now: MonoTime) -> MonoTime {
    MonoTime::from_micros(us(now.since(at)))
}

/// The same record with every moment changed.
fn shift(incident: &Incident, by: impl Fn(MonoTime) -> MonoTime) -> Incident {
    let mut shifted = incident.clone();
    for at in [&mut shifted.fault, &mut shifted.detected, &mut shifted.decided] {
        *at = by(*at);
    }
    shifted.answered = shifted.answered.map(&by);
    shifted.fenced = shifted.fenced.map(&by);
    for evidence in &mut shifted.evidence {
        evidence.seen = by(evidence.seen);
    }
    shifted
}

pub(super) fn us(span: Duration) -> u64 {
    span.as_micros() as u64
}

impl Service {
    fn save(&self, now: MonoTime) -> SavedService {
        let age = |at: MonoTime| us(now.since(at));
        let ordered = self.every_endpoint().filter(|endpoint| endpoint.administrative != Administrative::Ready);
        let shared = matches!(self.serving, Serving::Shared(_));
        let mut saved = SavedService {
            name: self.name().clone(),
            active: self.resume.clone().or(self.last_active.clone()).filter(|_| !shared),
            lost: self.lost.iter().cloned().collect(),
            ordered: self.ordered,
            pinned: self.pinned.clone(),
            last_switch: self.last_switch.as_ref().map(|last| SavedSwitch {
                kind: last.kind,
                from: last.from.clone(),
                age_us: age(last.at),
            }),
            failback_age_us: self.hold_down.failed_back.map(age),
            relapses: self.hold_down.relapses,
            conditions: self.conditions.iter().map(|open| open.save(now)).collect(),
            forced_ages_us: self.freeze.forced.iter().map(|at| age(*at)).collect(),
            frozen_for_us: self.frozen_until().map(|until| us(until.since(now))),
            administrative: ordered.map(|e| (e.address, e.administrative)).collect(),
            down: self.was_down || self.serving == Serving::Down,
            pinned_for_us: None,
            hold: None,
            evacuated: Vec::new(),
            weights: Vec::new(),
            following: self.save_following(now),
        };
        self.save_orders(&mut saved, now);
        saved
    }

    /// Take up what an earlier process decided; pools that no longer exist are forgotten.
    pub(super) fn restore(&mut self, saved: &SavedService, now: MonoTime) {
        let at = |age: u64| now.before(Duration::from_micros(age));
        let pools: BTreeSet<&Name> = self.config.pools.iter().map(|pool| &pool.name).collect();
        let exists = |name: &&Name| pools.contains(*name);
        self.resume = saved.active.as_ref().filter(exists).cloned();
        self.pinned = saved.pinned.as_ref().filter(exists).cloned();
        self.lost = saved.lost.iter().filter(exists).cloned().collect();
        self.ordered = saved.ordered && self.resume.is_some();
        // Which pools served then is not known: a restart is no failback without its hold-down.
        self.pools.iter_mut().for_each(|pool| pool.served = true);
        self.last_switch = saved.last_switch.as_ref().map(|last| LastSwitch {
            kind: last.kind,
            from: last.from.clone(),
            at: at(last.age_us),
        });
        self.hold_down.failed_back = saved.failback_age_us.map(at);
        self.hold_down.relapses = saved.relapses.min(DOUBLINGS);
        self.conditions = saved.conditions.iter().map(|open| open.restored(&saved.name, now)).collect();
        self.freeze.forced = saved.forced_ages_us.iter().map(|age| at(*age)).collect();
        if self.resume.is_some() {
            self.believe_resumed(now);
        }
        if let Some(left) = saved.frozen_for_us {
            self.timers.arm(Timer::Freeze, now.after(Duration::from_micros(left)));
        }
        let words: BTreeMap<SocketAddr, Administrative> = saved.administrative.iter().copied().collect();
        for endpoint in self.pools.iter_mut().flat_map(|pool| &mut pool.endpoints) {
            endpoint.administrative = words.get(&endpoint.address).copied().unwrap_or(Administrative::Ready);
        }
        self.restore_orders(saved, now);
        saved.following.iter().for_each(|following| self.restore_following(following, now));
        self.was_down = saved.down;
        self.missed = self.conditions.iter().any(|open| open.kind == ConditionKind::ObjectiveMissed);
        self.following.missed_rpo = self.conditions.iter().any(|open| open.kind == ConditionKind::RpoMissed);
        self.following.is_unfenced = self.conditions.iter().any(|open| open.kind == ConditionKind::Unfenced);
    }
}

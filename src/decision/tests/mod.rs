//! The core told short stories: what a user relies on, one claim a test. The long stories are in the simulated world
//! (`tests/world`).

use crate::time::MonoTime;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::endpoint::refusal::DOUBT;
use super::*;
use crate::config::*;

mod companions;
mod conditions;
mod corroboration;
mod endpoints;
mod fences;
mod first_choice;
mod following;
mod isolation;
mod orders;
mod reads;
mod refusal;
mod renames;
mod restart;
mod rhythm;
mod suspicion;
mod switches;
mod timeline;
mod transactions;
mod transitions;

/// A core with one service `shop`: pools `home` and `away` of two endpoints each, ids 0, 1 and 2, 3.
pub(super) struct Rig {
    pub core: Decision,
    pub now: MonoTime,
    pub config: Config,
    /// Everything since it was last taken.
    pub effects: Vec<Effect>,
    /// The service has answered the sources that report.
    pub callers: bool,
    /// Acts so far: each has an id of its own.
    acts: u128,
}

pub(super) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

impl Rig {
    /// Configured, and all endpoints have just passed their first probe.
    pub fn new(change: impl FnOnce(&mut Service)) -> Rig {
        let mut rig = Rig::unprobed(change);
        rig.all(&[0, 1, 2, 3], Rig::pass);
        rig.wait(Duration::from_millis(1));
        rig.effects.clear();
        rig
    }

    pub fn unprobed(change: impl FnOnce(&mut Service)) -> Rig {
        let now = MonoTime::from_micros(1_000_000_000);
        let mut service = shop();
        change(&mut service);
        let config = config(service);
        let mut rig = Rig { core: Decision::new(None, now), now, config, effects: Vec::new(), callers: true, acts: 0 };
        rig.configure();
        rig
    }

    pub fn configure(&mut self) {
        self.tell(Event::Configured(Arc::new(self.config.clone())));
    }

    pub fn shop(&mut self) -> &mut Service {
        Arc::make_mut(&mut self.config.services[0])
    }

    pub fn tell(&mut self, event: Event) {
        self.core.handle(event, self.now);
        self.effects.extend(self.core.effects());
    }

    /// Time passes, and everything due on the way is done.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now.after(time);
        while let Some(due) = self.core.deadline().filter(|due| *due <= end) {
            self.now = due;
            self.core.tick(due);
            self.effects.extend(self.core.effects());
            assert!(self.core.deadline().is_none_or(|next| next > due), "a deadline that does not move");
        }
        self.now = end;
    }

    pub fn all(&mut self, ids: &[u32], act: fn(&mut Rig, u32)) {
        ids.iter().for_each(|id| act(self, *id));
    }

    pub fn probed(&mut self, id: u32, outcome: ProbeOutcome) {
        self.tell(Event::Probed { endpoint: EndpointId(id), seen: self.now, began: Some(self.now), outcome });
    }

    pub fn pass(&mut self, id: u32) {
        self.probed(id, ProbeOutcome::Pass { latency: Duration::from_millis(1), reading: None });
    }

    pub fn fail(&mut self, id: u32) {
        self.probed(id, ProbeOutcome::Fail { kind: ProbeFailure::Timeout, detail: String::new() });
    }

    /// Red by its checks.
    pub fn fall(&mut self, id: u32) {
        (0..3).for_each(|_| self.fail(id));
    }

    /// Green by its checks again.
    pub fn rise(&mut self, id: u32) {
        (0..2).for_each(|_| self.pass(id));
    }

    /// Home is red by its checks.
    pub fn lose_home(&mut self) {
        self.all(&[0, 1], Rig::fall);
    }

    pub fn in_band(&mut self, id: u32, digest: Digest) {
        self.tell(Event::InBand { endpoint: EndpointId(id), seen: self.now, digest });
    }

    pub fn good(&mut self, id: u32) {
        self.in_band(id, Digest { good: 1, ..Digest::default() });
    }

    pub fn fails(&mut self, id: u32, kind: Failure, times: u32) {
        let mut failed = FailureCounts::default();
        failed.0[kind as usize] = times;
        self.in_band(id, Digest { failed, streak: times, streak_since: self.now, ..Digest::default() });
    }

    pub fn trial(&mut self, id: u32, good: bool) {
        let mut digest = Digest::default();
        if good {
            (digest.good, digest.trials_good) = (1, 1);
        } else {
            digest.failed.0[Failure::Gateway as usize] = 1;
            (digest.trials_failed, digest.streak, digest.streak_since) = (1, 1, self.now);
        }
        self.in_band(id, digest);
    }

    /// A request is refused, and so is the confirming connect: the verdict where its pool has nobody else.
    pub fn refuse(&mut self, id: u32) {
        self.fails(id, Failure::Refused, 1);
        self.confirmed(id, ConnectOutcome::Refused);
    }

    /// It refuses for longer than a restart takes.
    pub fn die(&mut self, id: u32) {
        self.refuse(id);
        self.wait(DOUBT);
        self.confirmed(id, ConnectOutcome::Refused);
    }

    /// So many have waited for a second, the last of them just found late; so many of them are witnesses.
    pub fn silent(&mut self, id: u32, unanswered: u32, witnesses: u32) {
        let silence =
            Silence { since: self.now.before(secs(1)), late: self.now, unanswered, witnesses, ..Silence::default() };
        self.in_band(id, Digest { silence: Some(silence), ..Digest::default() });
    }

    pub fn confirmed(&mut self, id: u32, outcome: ConnectOutcome) {
        self.tell(Event::Confirmed { endpoint: EndpointId(id), seen: self.now, outcome });
    }

    /// What a connect met that was to look for the way.
    pub fn way(&mut self, id: u32, outcome: ConnectOutcome) {
        self.tell(Event::ReachChecked { endpoint: EndpointId(id), seen: self.now, outcome });
    }

    /// A request found no way to it.
    pub fn no_route(&mut self, id: u32) {
        self.in_band(id, Digest { no_route: true, ..Digest::default() });
    }

    /// Ada commands this. Returns the answer.
    pub fn order(&mut self, command: ActCommand) -> ActOutcome {
        self.acts += 1;
        self.act(Act::new(ActId(self.acts), Actor::local("ada"), command))
    }

    /// Tells an act and returns its answer, of which there must be one.
    pub fn act(&mut self, act: Act) -> ActOutcome {
        let id = act.id;
        self.answer_to(id, Event::Ordered { seen: self.now, act })
    }

    /// Tells an event about this act and returns its answer, of which there must be one.
    pub fn answer_to(&mut self, id: ActId, event: Event) -> ActOutcome {
        let told = self.effects.len();
        self.tell(event);
        let answers = self.effects[told..].iter().filter_map(|effect| match effect {
            Effect::Acted { act, outcome, .. } => Some((*act, outcome.clone())),
            _ => None,
        });
        let mut answers: Vec<_> = answers.collect();
        let (answered, outcome) = answers.pop().expect("an act is answered");
        assert!(answered == id && answers.is_empty(), "an act is answered once");
        outcome
    }

    pub fn answered(&mut self) {
        let epoch = self.core.table().services[0].awaiting_answer.expect("an answer is awaited");
        self.tell(Event::Answered { service: "shop".into(), epoch, seen: self.now });
    }

    // ---- what is so now -------------------------------------------------------------------------------------------

    pub fn serving(&self) -> Serving {
        self.core.table().services[0].serving.clone()
    }

    /// The active pool's name; `-` = nobody.
    pub fn active(&self) -> String {
        let row = &self.core.table().services[0];
        row.serving.active().map_or_else(|| "-".to_owned(), |active| row.pools[active].name.to_string())
    }

    pub fn endpoint(&self, id: u32) -> EndpointRow {
        let table = self.core.table();
        let mut rows = table.services.iter().flat_map(|row| &row.pools).flat_map(|pool| &pool.endpoints);
        rows.find(|row| row.id == EndpointId(id)).expect("an endpoint of the table").clone()
    }

    pub fn suspected(&self, id: u32) -> bool {
        self.endpoint(id).suspected
    }

    /// Is it told to do this since the effects were last taken?
    pub fn asked(&self, effect: fn(EndpointId) -> Effect, id: u32) -> bool {
        self.effects.contains(&effect(EndpointId(id)))
    }

    pub fn stands(&self, id: u32) -> (Operational, Cause) {
        let standing = self.endpoint(id).standing;
        (standing.operational, standing.cause)
    }

    pub fn status(&self) -> ServiceStatus {
        self.core.status(self.now).remove(0)
    }

    /// The transition that waits.
    pub fn waiting(&self) -> TransitionStatus {
        self.status().transition.expect("a transition waits")
    }

    pub fn last(&self) -> Incident {
        self.core.incidents().last().expect("an incident").clone()
    }

    pub fn alerts(&self) -> Vec<&Alert> {
        let effects = self.effects.iter();
        effects.filter_map(|effect| if let Effect::Alert(alert) = effect { Some(alert) } else { None }).collect()
    }

    /// Open conditions, without those that follow from any endpoint that falls or any standby that serves.
    pub fn alarms(&self) -> Vec<ConditionStatus> {
        self.status().conditions.into_iter().filter(|open| is_alarm(open.kind)).collect()
    }

    /// Conditions that were raised, and those that were cleared; of the kinds of `alarms`.
    pub fn conditions(&self) -> (Vec<ConditionKind>, Vec<ConditionKind>) {
        let (mut raised, mut cleared) = (Vec::new(), Vec::new());
        for effect in &self.effects {
            match effect {
                Effect::Condition(ConditionChange::Raised(condition)) => raised.push(condition.kind),
                Effect::Condition(ConditionChange::Cleared(condition)) => cleared.push(condition.kind),
                _ => {}
            }
        }
        let alarms = |kinds: Vec<ConditionKind>| kinds.into_iter().filter(|kind| is_alarm(*kind)).collect();
        (alarms(raised), alarms(cleared))
    }

    pub fn command(&self, what: fn(Name) -> ActCommand) -> ActCommand {
        what("shop".into())
    }
}

fn is_alarm(kind: ConditionKind) -> bool {
    let everyday = [
        ConditionKind::OnStandby,
        ConditionKind::FailingOpen,
        ConditionKind::NoStandby,
        ConditionKind::EndpointOut,
        ConditionKind::ObjectiveMissed,
    ];
    !everyday.contains(&kind)
}

/// The same with gates before its switches, which wait for 5 s.
fn gated(rig: Rig, gates: Vec<Gate>, at_limit: LimitAction) -> Rig {
    Rig { core: rig.core.with_gates(GateRules { gates, limit: secs(5), at_limit }), ..rig }
}

fn gate(name: &str) -> Gate {
    Gate::External { name: name.into() }
}

fn switchover(pool: &str) -> ActCommand {
    ActCommand::Switchover { service: "shop".into(), pool: pool.into() }
}

fn pin(pool: &str) -> ActCommand {
    ActCommand::Pin { service: "shop".into(), pool: pool.into(), until: None }
}

/// What ends so long from now.
fn until(rig: &Rig, lasts: Duration) -> ActUntil {
    ActUntil { at: rig.now.after(lasts), said: format!("{lasts:?}") }
}

/// Of the endpoint with this number, as the configuration of `Rig::new` numbers them.
pub(super) fn administer(id: u8, state: Administrative) -> ActCommand {
    let address = std::net::SocketAddr::from(([10, 0, 1 + id / 2, 1 + id % 2], 80));
    let endpoints = EndpointSelection::Address(address);
    ActCommand::Administer { service: "shop".into(), endpoints, state, force: true }
}

fn config(service: Service) -> Config {
    fixture::with_services(vec![service])
}

/// The defaults of the design, and a promise.
fn shop() -> Service {
    static SHOP: LazyLock<Service> = LazyLock::new(|| {
        let keys = "{objectives: {rto: 10s}, balance: round_robin, retry: {on: [reset]}, hold_response: 0, health_check: tcp, \
                    outlier_detection: {evidence: any}, pools: [{name: home, endpoints: ['10.0.1.1:80', '10.0.1.2:80']}, \
                    {name: away, endpoints: ['10.0.2.1:80', '10.0.2.2:80']}]}";
        fixture::service("shop", keys)
    });
    SHOP.clone()
}

pub(super) fn pool(name: &str, net: u8) -> Pool {
    let endpoint = |host: u8| Endpoint::at(std::net::SocketAddr::from(([10, 0, net, host], 80)));
    Pool {
        name: name.into(),
        members: PoolMembers::Endpoints(vec![endpoint(1), endpoint(2)]),
        ..shop().pools.swap_remove(0)
    }
}

/// What a pool that is a page answers.
fn page_members() -> PoolMembers {
    fixture::pool("{name: sorry, static_response: {status: 503, body: sorry}}").members
}

//! Following the primary.

use super::*;

mod fence_hook;
mod rpo;

/// What a server of these tests is.
#[derive(Clone, Copy, Debug)]
struct Data {
    role: DataRole,
    timeline: u32,
    lsn: u64,
    fork: Option<u64>,
    system: u64,
}

const fn primary(timeline: u32, lsn: u64) -> Data {
    Data { role: DataRole::Primary, timeline, lsn, fork: None, system: 7 }
}

const fn replica(timeline: u32, lsn: u64) -> Data {
    Data { role: DataRole::Replica, ..primary(timeline, lsn) }
}

/// It was promoted there.
const fn promoted(timeline: u32, lsn: u64, fork: u64) -> Data {
    Data { fork: Some(fork), ..primary(timeline, lsn) }
}

fn reading(data: Data) -> Reading {
    let position = PostgresPosition {
        system: SystemId(data.system),
        timeline: data.timeline,
        lsn: Lsn(data.lsn),
        recovered: data.fork.map(Lsn),
        fork: None,
        started: Some(1),
    };
    Reading {
        role: data.role,
        writable: Some(data.role == DataRole::Primary),
        position: Some(DataPosition::Postgres(position)),
        applied: None,
    }
}

/// Endpoints 0 and 1, in a pool each or both in one.
fn rig(pools: &str, keys: &str) -> Rig {
    let text = format!(
        "{{protocol: tcp, health_check: {{postgres: {{user: probe, role: primary}}}}, {keys} outlier_detection: {{evidence: any}}, pools: [{pools}]}}"
    );
    let now = MonoTime::from_micros(1_000_000_000);
    let config = config(fixture::service("shop", &text));
    let mut rig = Rig { core: Decision::new(None, now), now, config, effects: Vec::new(), callers: true, acts: 0 };
    rig.configure();
    rig
}

const TWO_POOLS: &str = "{name: home, endpoints: ['10.0.1.1:5432']}, {name: away, endpoints: ['10.0.2.1:5432']}";
const ONE_POOL: &str = "{name: pair, endpoints: ['10.0.1.1:5432', '10.0.2.1:5432']}";

impl Rig {
    fn says(&mut self, id: u32, data: Data) {
        let reading = Some(reading(data));
        self.probed(id, ProbeOutcome::Pass { latency: Duration::from_millis(1), reading });
    }

    /// The endpoint that gets new connections: one at most may.
    fn holder(&self) -> Option<u32> {
        let table = self.core.table();
        let open = |row: &&EndpointRow| row.admission == Admission::Open;
        let serving = table.services[0].serving.clone();
        let pools = table.services[0].pools.iter().enumerate().filter(|(n, _)| serving.serves(*n));
        let open: Vec<u32> =
            pools.flat_map(|(_, pool)| pool.endpoints.iter().filter(open)).map(|row| row.id.0).collect();
        assert!(open.len() < 2, "{open:?}");
        open.first().copied()
    }

    /// The sessions that were told to end have ended.
    fn sessions_end(&mut self) {
        let told = self.effects.iter().rev().find_map(|effect| match effect {
            Effect::Sessions { pool, epoch, .. } => Some((pool.clone(), *epoch)),
            _ => None,
        });
        let (pool, epoch) = told.expect("sessions are told to end");
        self.tell(Event::SessionsEnded { service: "shop".into(), pool, epoch, seen: self.now });
    }

    fn present(&self, pool: usize) -> Option<SessionAction> {
        self.core.table().services[0].pools[pool].sessions.present
    }

    fn verdict(&self, id: u32) -> FollowVerdict {
        let mut endpoints = self.status().pools.into_iter().flat_map(|pool| pool.endpoints);
        endpoints
            .find(|endpoint| endpoint.id == EndpointId(id))
            .and_then(|endpoint| endpoint.following)
            .expect("a verdict")
    }

    fn has(&self, kind: ConditionKind) -> bool {
        self.status().conditions.iter().any(|open| open.kind == kind)
    }

    fn accept(&mut self, address: &str) -> ActOutcome {
        let address = address.parse().expect("an address");
        self.order(ActCommand::Accept { service: "shop".into(), address })
    }
}

/// Endpoint 0 is primary, 1 its replica.
fn pair(pools: &str, keys: &str) -> Rig {
    let mut rig = rig(pools, keys);
    rig.says(0, primary(1, 100));
    rig.says(1, replica(1, 90));
    rig.wait(Duration::from_millis(1));
    rig.effects.clear();
    assert_eq!(rig.holder(), Some(0));
    rig
}

#[test]
fn the_first_choice_waits_for_every_answer_and_takes_the_latest_lineage() {
    for pools in [TWO_POOLS, ONE_POOL] {
        let mut one = rig(pools, "");
        one.says(0, primary(1, 100));
        assert_eq!((one.holder(), one.serving()), (None, Serving::Starting), "the other one may be ahead");
        one.says(1, replica(1, 90));
        assert_eq!((one.holder(), one.core.incidents().count()), (Some(0), 0), "no switch");

        let mut late = rig(pools, "");
        late.says(0, primary(1, 500));
        late.says(1, primary(2, 100));
        assert_eq!((late.holder(), late.verdict(0)), (Some(1), FollowVerdict::Stale));
        assert!(late.has(ConditionKind::StalePrimary));

        let mut equal = rig(pools, "");
        equal.says(0, primary(2, 500));
        equal.says(1, primary(2, 100));
        assert_eq!((equal.holder(), equal.serving()), (None, Serving::Down), "equal numbers are no equal histories");
        assert!(equal.has(ConditionKind::MultiplePrimaries) && equal.has(ConditionKind::NoPrimary));
        assert_eq!(equal.accept("10.0.2.1:5432"), ActOutcome::Done);
        assert_eq!((equal.holder(), equal.verdict(1)), (Some(1), FollowVerdict::Holder));

        let mut silent = rig(pools, "");
        silent.says(0, primary(1, 100));
        silent.wait(secs(5));
        assert_eq!(silent.holder(), Some(0), "the time of the first round is over");
    }
}

#[test]
fn what_a_server_states_counts_at_once() {
    for pools in [TWO_POOLS, ONE_POOL] {
        let mut rig = pair(pools, "");
        rig.says(0, replica(1, 100));
        assert_eq!((rig.holder(), rig.present(0)), (None, Some(SessionAction::Close)), "it is no primary any more");
        rig.says(1, promoted(2, 110, 100));
        assert_eq!(
            (rig.holder(), rig.verdict(1)),
            (None, FollowVerdict::Next),
            "sessions of the former one may be left"
        );
        rig.sessions_end();
        assert_eq!(rig.holder(), Some(1));
        let incident = rig.last();
        assert_eq!(incident.kind, SwitchKind::Follow);
        let record = incident.following.expect("what was said of the data");
        assert_eq!(record.lost_bytes, Some(0));
        assert_eq!(
            (record.from, record.to),
            (Some("10.0.1.1:5432".parse().unwrap()), "10.0.2.1:5432".parse().unwrap())
        );
        assert!(rig.endpoint(0).fenced && !rig.endpoint(1).fenced);
    }
}

#[test]
fn what_is_lost_is_counted_from_the_fork() {
    let mut rig = pair(ONE_POOL, "");
    rig.says(0, primary(1, 160));
    rig.fall(0);
    rig.says(1, promoted(2, 130, 120));
    rig.sessions_end();
    let record = rig.last().following.expect("what was said of the data");
    assert_eq!((rig.holder(), record.lost_bytes), (Some(1), Some(40)));
    // It was not seen as a replica of that life: where it forked is not known.
    let mut rig = pair(ONE_POOL, "");
    rig.fall(0);
    let mut position = reading(promoted(2, 130, 125));
    if let Some(DataPosition::Postgres(position)) = &mut position.position {
        position.started = Some(9);
    }
    rig.probed(1, ProbeOutcome::Pass { latency: Duration::ZERO, reading: Some(position) });
    rig.sessions_end();
    assert_eq!(rig.last().following.and_then(|record| record.lost_bytes), None);
}

#[test]
fn silence_holds_new_connections_and_leaves_sessions_alone() {
    for pools in [TWO_POOLS, ONE_POOL] {
        let mut rig = pair(pools, "");
        rig.fall(0);
        assert_eq!((rig.holder(), rig.serving(), rig.present(0)), (None, Serving::Down, None));
        assert!(rig.has(ConditionKind::NoPrimary) && rig.verdict(0) == FollowVerdict::Silent);
        rig.wait(secs(60));
        assert_eq!(rig.present(0), None);
        rig.says(0, primary(1, 100));
        assert_eq!((rig.holder(), rig.last().kind), (Some(0), SwitchKind::Recovery), "one answer is enough");
    }
    let mut rig = pair(ONE_POOL, "failover: {fence_after: 10s},");
    rig.fall(0);
    rig.wait(secs(9));
    assert_eq!(rig.present(0), None);
    rig.wait(secs(1));
    assert_eq!(rig.present(0), Some(SessionAction::Close));
    rig.says(0, primary(1, 100));
    assert_eq!((rig.holder(), rig.present(0)), (Some(0), None));
}

#[test]
fn busy_and_blind_answers_move_nothing() {
    let mut rig = pair(ONE_POOL, "");
    for _ in 0..20 {
        rig.probed(0, ProbeOutcome::Busy { detail: "53300".into() });
        rig.probed(0, ProbeOutcome::Blind { detail: "28P01".into() });
        rig.wait(secs(1));
    }
    assert_eq!((rig.holder(), rig.core.incidents().count()), (Some(0), 0));
    // What clients meet there is no reason either: the replica is no relief.
    rig.fails(0, Failure::Reset, 50);
    rig.wait(secs(5));
    assert_eq!(rig.holder(), Some(0));
}

#[test]
fn a_fence_that_is_not_acknowledged_is_waited_for_no_longer_than_two_seconds() {
    let mut rig = pair(ONE_POOL, "");
    rig.fall(0);
    rig.says(1, promoted(2, 110, 100));
    rig.wait(Duration::from_millis(1999));
    assert_eq!((rig.holder(), rig.present(0)), (None, Some(SessionAction::Close)));
    rig.wait(Duration::from_millis(1));
    assert_eq!(rig.holder(), Some(1));
    assert!(rig.endpoint(0).fenced, "what a worker that was stuck has left ends when it looks");
}

#[test]
fn a_primary_of_the_past_gets_nothing() {
    let mut rig = pair(TWO_POOLS, "");
    rig.fall(0);
    rig.says(1, promoted(2, 110, 100));
    rig.sessions_end();
    rig.says(0, primary(1, 500));
    assert_eq!((rig.holder(), rig.verdict(0)), (Some(1), FollowVerdict::Stale));
    rig.fall(1);
    rig.wait(secs(600));
    rig.says(0, primary(1, 900));
    assert_eq!((rig.holder(), rig.serving()), (None, Serving::Down), "also when it is the only one that is left");
    // Nor after a restart of this process.
    let saved = serde_json::to_string(&rig.core.saved(rig.now)).expect("a state");
    let mut again = Rig {
        core: Decision::new(Some(serde_json::from_str(&saved).expect("a saved state")), rig.now),
        effects: Vec::new(),
        ..rig
    };
    again.configure();
    again.says(0, primary(1, 900));
    again.wait(secs(10));
    assert_eq!((again.holder(), again.verdict(0)), (None, FollowVerdict::Stale));
    assert_eq!(again.accept("10.0.1.1:5432"), ActOutcome::Done);
    assert_eq!((again.holder(), again.verdict(0)), (Some(0), FollowVerdict::Holder), "an operator has restored it");
    again.says(1, promoted(2, 120, 100));
    assert_eq!(again.holder(), Some(0));
}

#[test]
fn another_cluster_at_a_known_address_is_never_followed() {
    let mut rig = pair(ONE_POOL, "");
    let foreign = Data { system: 8, ..primary(9, 900) };
    rig.says(0, foreign);
    assert_eq!(
        (rig.holder(), rig.present(0), rig.verdict(0)),
        (None, Some(SessionAction::Close), FollowVerdict::Foreign)
    );
    rig.wait(secs(60));
    rig.says(0, foreign);
    assert_eq!(rig.holder(), None);
    rig.says(1, promoted(2, 110, 100));
    rig.sessions_end();
    assert_eq!((rig.holder(), rig.verdict(0)), (Some(1), FollowVerdict::Foreign));
}

#[test]
fn two_primaries_that_answer_are_decided_by_the_loss_that_is_allowed() {
    let mut frozen = pair(ONE_POOL, "");
    frozen.says(1, promoted(2, 110, 100));
    assert_eq!((frozen.holder(), frozen.verdict(1)), (Some(0), FollowVerdict::Rival), "nothing is given up by itself");
    assert!(frozen.has(ConditionKind::MultiplePrimaries));
    frozen.fall(0);
    frozen.sessions_end();
    assert_eq!(frozen.holder(), Some(1), "one that fails has no veto");

    let mut allowed = pair(ONE_POOL, "objectives: {rpo: 1KiB},");
    allowed.says(0, primary(1, 1124));
    allowed.says(1, promoted(2, 110, 100));
    assert_eq!((allowed.holder(), allowed.present(0)), (None, Some(SessionAction::Close)), "1024 bytes");
    allowed.sessions_end();
    assert_eq!((allowed.holder(), allowed.verdict(0)), (Some(1), FollowVerdict::Stale));

    let mut beyond = pair(ONE_POOL, "objectives: {rpo: 1KiB},");
    beyond.says(0, primary(1, 1125));
    beyond.says(1, promoted(2, 110, 100));
    assert_eq!(beyond.holder(), Some(0), "1025 bytes");

    let mut unknown = pair(ONE_POOL, "objectives: {rpo: 1KiB},");
    unknown.says(1, primary(2, 110));
    assert_eq!(unknown.holder(), Some(0), "what is not known is too much");

    let mut closed = pair(ONE_POOL, "failover: {on_multiple_primaries: close},");
    closed.says(1, promoted(2, 110, 100));
    assert_eq!((closed.holder(), closed.present(0)), (None, Some(SessionAction::Close)));
    closed.says(1, replica(1, 110));
    assert_eq!(closed.holder(), Some(0), "one is left");
}

#[test]
fn a_holder_that_comes_back_with_less_says_what_it_lost() {
    let mut rig = pair(ONE_POOL, "");
    rig.says(0, primary(1, 300));
    rig.fall(0);
    rig.says(0, primary(1, 250));
    assert_eq!((rig.holder(), rig.last().kind), (Some(0), SwitchKind::Recovery));
    assert_eq!(rig.last().following.and_then(|record| record.lost_bytes), Some(50));
    // (Another one on that lineage which lacks something is not followed.)
    rig.says(0, primary(1, 300));
    rig.fall(0);
    rig.says(1, primary(1, 290));
    assert_eq!((rig.holder(), rig.verdict(1)), (None, FollowVerdict::Stale));
    rig.says(1, primary(1, 300));
    rig.sessions_end();
    assert_eq!(rig.holder(), Some(1), "and one that has all of it is");
}

#[test]
fn operators_move_the_primary_and_not_the_service() {
    let mut rig = pair(TWO_POOLS, "");
    let refused = ActOutcome::Refused(ActRefusal::FollowsPrimary { service: "shop".into() });
    assert_eq!(rig.order(switchover("away")), refused);
    assert_eq!(rig.order(pin("away")), refused);
    assert_eq!(rig.order(rig.command(|service| ActCommand::Failback { service })), refused);
    let mut plain = Rig::new(|_| {});
    let none = ActOutcome::Refused(ActRefusal::FollowsNone { service: "shop".into() });
    assert_eq!(plain.accept("10.0.1.1:80"), none);
    assert!(matches!(rig.accept("10.0.9.9:1"), ActOutcome::Refused(ActRefusal::UnknownEndpoint { .. })));
    let not_primary =
        ActRefusal::NotPrimary { service: "shop".into(), address: "10.0.2.1:5432".parse().expect("an address") };
    assert_eq!(rig.accept("10.0.2.1:5432"), ActOutcome::Refused(not_primary), "it is accepted for what it is");
    // A hold keeps the service from following another one.
    let until = until(&rig, secs(60));
    rig.order(ActCommand::Hold { service: "shop".into(), scope: HoldScope::All, until });
    rig.fall(0);
    rig.says(1, promoted(2, 110, 100));
    assert_eq!(rig.holder(), None);
    rig.wait(secs(60));
    rig.sessions_end();
    assert_eq!(rig.holder(), Some(1));
}

#[test]
fn a_reload_that_removes_the_holder_ends_its_sessions_before_the_next_one_is_followed() {
    let mut rig = pair(ONE_POOL, "");
    let pool = &mut rig.shop().pools[0];
    let PoolMembers::Endpoints(endpoints) = &mut pool.members else { panic!("endpoints") };
    endpoints.remove(0);
    rig.configure();
    assert_eq!(rig.holder(), None);
    rig.says(1, promoted(2, 110, 100));
    assert_eq!(rig.holder(), None);
    rig.sessions_end();
    assert_eq!(rig.holder(), Some(1));
}

#[test]
fn a_reload_of_the_check_loses_no_holder() {
    let mut rig = pair(ONE_POOL, "");
    rig.says(1, promoted(2, 110, 100));
    let check = rig.shop().pools[0].health_check.as_mut().expect("a check");
    check.interval = secs(7);
    rig.configure();
    assert_eq!((rig.holder(), rig.verdict(1)), (Some(0), FollowVerdict::Rival), "what was read stands");
    rig.probed(0, ProbeOutcome::Blind { detail: "28P01".into() });
    assert_eq!(rig.holder(), Some(0), "also where the new password is wrong");
}

#[test]
fn a_check_that_reads_for_the_first_time_is_waited_for_at_every_endpoint() {
    let text = |check: &str| {
        format!("{{protocol: tcp, health_check: {check}, outlier_detection: {{evidence: any}}, pools: [{ONE_POOL}]}}")
    };
    let mut rig = rig(ONE_POOL, "");
    rig.config = config(fixture::service("shop", &text("tcp")));
    rig.configure();
    rig.all(&[0, 1], Rig::pass);
    rig.wait(secs(5));
    rig.config = config(fixture::service("shop", &text("{postgres: {user: probe, role: primary}}")));
    rig.configure();
    rig.says(1, primary(1, 100));
    assert_eq!(rig.holder(), None, "the other one may be ahead");
    rig.says(0, primary(2, 50));
    rig.sessions_end();
    assert_eq!((rig.holder(), rig.verdict(1)), (Some(0), FollowVerdict::Stale));
}

#[test]
fn only_what_is_said_now_makes_a_rival() {
    let mut rig = pair(ONE_POOL, "");
    rig.says(1, promoted(2, 110, 100));
    rig.probed(1, ProbeOutcome::Blind { detail: "28P01".into() });
    rig.fall(0);
    assert_eq!(rig.holder(), None, "what it said before it fell silent is no statement");
    rig.says(1, promoted(2, 110, 100));
    rig.sessions_end();
    assert_eq!(rig.holder(), Some(1));
}

#[test]
fn the_time_of_a_silence_ends_with_the_role() {
    let mut rig = pair(ONE_POOL, "failover: {fence_after: 30s},");
    rig.fall(0);
    rig.shop().failover.following = None;
    rig.configure();
    rig.wait(secs(60)); // (no deadline stands still)
    assert_eq!(rig.active(), "pair");
}

#[test]
fn after_a_restart_a_holder_that_lets_no_probe_look_is_the_holder() {
    let rig = pair(ONE_POOL, "");
    let saved = Some(rig.core.saved(rig.now));
    let mut rig = Rig { core: Decision::new(saved, rig.now), effects: Vec::new(), ..rig };
    rig.configure();
    rig.probed(0, ProbeOutcome::Busy { detail: "53300".into() });
    rig.says(1, replica(1, 100));
    assert_eq!(rig.holder(), Some(0));
}

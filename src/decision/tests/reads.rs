//! Reads at replicas.

use proptest::prelude::*;

use super::*;

/// What a server of these tests is: role, timeline, what it has received and what it has applied.
#[derive(Clone, Copy, Debug)]
struct Data {
    role: DataRole,
    timeline: u32,
    lsn: u64,
    applied: u64,
    system: u64,
}

const fn primary(timeline: u32, lsn: u64) -> Data {
    Data { role: DataRole::Primary, timeline, lsn, applied: lsn, system: 7 }
}

const fn replica(timeline: u32, lsn: u64) -> Data {
    Data { role: DataRole::Replica, ..primary(timeline, lsn) }
}

fn place(data: Data, lsn: u64) -> DataPosition {
    let (system, lsn, timeline) = (SystemId(data.system), Lsn(lsn), data.timeline);
    DataPosition::Postgres(PostgresPosition { system, timeline, lsn, recovered: None, fork: None, started: Some(1) })
}

/// Endpoints 0, 1 and 2; a primary and two replicas, as long as nothing else is said.
fn unprobed(pools: &str, max_lag: &str, keys: &str) -> Rig {
    let check = format!("{{postgres: {{user: probe, role: replica{max_lag}}}, interval: 1s, timeout: 900ms}}");
    let text = format!(
        "{{protocol: tcp, health_check: {check}, {keys} outlier_detection: {{evidence: any}}, pools: [{pools}]}}"
    );
    let now = MonoTime::from_micros(1_000_000_000);
    let config = config(fixture::service("shop", &text));
    let mut rig = Rig { core: Decision::new(None, now), now, config, effects: Vec::new(), callers: true, acts: 0 };
    rig.configure();
    rig
}

const ONE_POOL: &str = "{name: all, endpoints: ['10.0.1.1:5432', '10.0.2.1:5432', '10.0.3.1:5432']}";
const POOLS: &str = "{name: a, endpoints: ['10.0.1.1:5432']}, {name: b, endpoints: ['10.0.2.1:5432']}, {name: c, endpoints: ['10.0.3.1:5432']}";
const LAG: &str = ", max_lag: 5s";
const REFUSE: &str = "";
const FALLBACK: &str = "failover: {fallback: primary},";

impl Rig {
    fn reads(&mut self, id: u32, data: Data) {
        let position = Some(place(data, data.lsn));
        let applied = (data.role == DataRole::Replica).then(|| Box::new(place(data, data.applied)));
        let reading = Some(Reading { role: data.role, writable: None, position, applied });
        self.probed(id, ProbeOutcome::Pass { latency: Duration::from_millis(1), reading });
    }

    /// A second passes, and all three are asked: the primary first.
    fn round(&mut self, data: [Data; 3]) {
        self.wait(secs(1));
        for (id, data) in (0..).zip(data) {
            self.reads(id, data);
        }
    }

    /// The endpoints that get connections.
    fn gets_connections(&self) -> Vec<u32> {
        let row = &self.core.table().services[0];
        let pools = row.pools.iter().enumerate().filter(|(n, _)| row.serving.serves(*n));
        let open = pools.flat_map(|(_, pool)| pool.endpoints.iter().filter(|row| row.admission == Admission::Open));
        open.map(|row| row.id.0).collect()
    }

    fn shown(&self, id: u32) -> String {
        let mut endpoints = self.status().pools.into_iter().flat_map(|pool| pool.endpoints);
        let found = endpoints.find(|endpoint| endpoint.id == EndpointId(id)).and_then(|endpoint| endpoint.replica);
        found.expect("it is known").text
    }

    fn kinds(&self) -> Vec<ConditionKind> {
        self.status().conditions.iter().map(|open| open.kind).collect()
    }
}

/// The primary writes 100 a second, and both replicas have all of it.
fn cluster(pools: &str, max_lag: &str, keys: &str) -> Rig {
    let mut rig = unprobed(pools, max_lag, keys);
    for lsn in 1..=3 {
        rig.round([primary(1, lsn * 100), replica(1, lsn * 100), replica(1, lsn * 100)]);
    }
    rig.effects.clear();
    rig
}

#[test]
fn fresh_replicas_get_connections_and_the_primary_none() {
    for keys in [REFUSE, FALLBACK] {
        let rig = cluster(ONE_POOL, LAG, keys);
        assert_eq!(rig.gets_connections(), [1, 2]);
        assert_eq!(rig.stands(0), (Operational::Healthy, Cause::ChecksPassed), "a primary is not down");
        assert_eq!((rig.shown(0).as_str(), rig.shown(1).as_str()), ("primary", "replica: 0.0 s and 0 bytes behind"));
        assert_eq!((rig.kinds(), rig.core.incidents().count()), (vec![], 0), "nothing is to be told");
        let apart = cluster(POOLS, LAG, keys);
        assert_eq!((apart.gets_connections(), apart.kinds(), apart.core.incidents().count()), (vec![1], vec![], 0));
    }
}

#[test]
fn the_first_choice_waits_for_the_lags() {
    for (pools, keys) in [(ONE_POOL, FALLBACK), (POOLS, FALLBACK), (ONE_POOL, REFUSE)] {
        let mut rig = unprobed(pools, LAG, keys);
        rig.reads(1, replica(1, 90));
        rig.reads(0, primary(1, 100));
        rig.reads(2, replica(1, 95));
        // Where the primary was when the replica was where it is cannot be told yet.
        assert_eq!((rig.gets_connections(), rig.serving()), (vec![], Serving::Starting));
        rig.wait(Duration::from_millis(500));
        rig.reads(1, replica(1, 110));
        rig.reads(2, replica(1, 110));
        assert!(
            rig.gets_connections().contains(&1) && !rig.gets_connections().contains(&0),
            "{:?}",
            rig.gets_connections()
        );
        assert_eq!(rig.core.incidents().count(), 0, "the first choice is no switch");
    }
}

#[test]
fn a_replica_that_falls_behind_gets_nothing_new_and_comes_back_at_half_of_the_limit() {
    let mut rig = cluster(ONE_POOL, LAG, REFUSE);
    // Endpoint 1 goes on receiving, and applies nothing any more.
    let paused = |lsn| Data { applied: 300, ..replica(1, lsn) };
    for second in 1..=5 {
        rig.round([primary(1, 300 + second * 100), paused(300 + second * 100), replica(1, 300 + second * 100)]);
        assert_eq!(rig.gets_connections(), [1, 2], "{second}: {}", rig.shown(1));
    }
    rig.round([primary(1, 900), paused(900), replica(1, 900)]);
    assert_eq!((rig.gets_connections(), rig.shown(1).as_str()), (vec![2], "stale replica: 6.0 s and 600 bytes behind"));
    assert_eq!(rig.stands(1).0, Operational::Healthy);
    assert_eq!(rig.kinds(), [], "one that lags alerts nobody");
    assert!(!rig.endpoint(1).fenced && !rig.effects.iter().any(|e| matches!(e, Effect::Sessions { .. })), "not cut");
    // 4 s behind is within the limit, and not at half of it.
    rig.round([primary(1, 1000), Data { applied: 600, ..replica(1, 1000) }, replica(1, 1000)]);
    assert_eq!((rig.gets_connections(), rig.shown(1).as_str()), (vec![2], "stale replica: 4.0 s and 400 bytes behind"));
    rig.round([primary(1, 1100), Data { applied: 900, ..replica(1, 1100) }, replica(1, 1100)]);
    assert_eq!((rig.gets_connections(), rig.shown(1).as_str()), (vec![1, 2], "replica: 2.0 s and 200 bytes behind"));
}

#[test]
fn a_limit_in_bytes_counts_bytes() {
    let mut rig = cluster(ONE_POOL, ", max_lag: 250B", REFUSE);
    rig.round([primary(1, 1000), replica(1, 750), replica(1, 749)]);
    assert_eq!(rig.gets_connections(), [1], "{} {}", rig.shown(1), rig.shown(2));
    rig.round([primary(1, 1000), replica(1, 750), replica(1, 874)]);
    assert_eq!(rig.gets_connections(), [1], "{}", rig.shown(2));
    rig.round([primary(1, 1000), replica(1, 750), replica(1, 875)]);
    assert_eq!(rig.gets_connections(), [1, 2]);
}

#[test]
fn an_idle_primary_makes_no_replica_stale() {
    let mut rig = cluster(ONE_POOL, LAG, REFUSE);
    for _ in 0..600 {
        rig.round([primary(1, 300), replica(1, 300), replica(1, 300)]);
        assert_eq!(rig.gets_connections(), [1, 2]);
    }
    assert!(rig.effects.iter().all(|effect| !matches!(effect, Effect::Publish)), "a reading alone is no new table");
}

#[test]
fn without_a_limit_every_replica_will_do() {
    let mut rig = unprobed(ONE_POOL, "", REFUSE);
    rig.round([replica(1, 100), replica(1, 5), replica(2, 300)]);
    rig.wait(secs(2));
    assert_eq!(rig.gets_connections(), [0, 1, 2]);
}

#[test]
fn all_stale_is_a_fallback_or_a_refusal() {
    for pools in [ONE_POOL, POOLS] {
        for (keys, wanted) in [(FALLBACK, vec![0]), (REFUSE, vec![])] {
            let mut rig = cluster(pools, LAG, keys);
            for second in 1..=6 {
                rig.round([primary(1, 300 + second * 100), replica(1, 300), replica(1, 300)]);
            }
            assert_eq!(
                (rig.gets_connections(), rig.shown(1).starts_with("stale replica: 6.0 s")),
                (wanted.clone(), true)
            );
            assert!(rig.kinds().contains(&ConditionKind::NoFreshReplica));
            assert_eq!(rig.kinds().contains(&ConditionKind::AllDown), wanted.is_empty());
            let told = if wanted.is_empty() { "primary" } else { "primary, in the place of replicas" };
            assert_eq!(rig.shown(0), told);
            rig.round([primary(1, 1000), replica(1, 1000), replica(1, 300)]);
            assert_eq!(rig.gets_connections(), [1], "the fresh one alone");
            assert_eq!(rig.kinds(), []);
            if pools == POOLS {
                let incident = rig.core.incidents().next().expect("a pool was left");
                assert!(incident.evidence.iter().any(|e| e.detail.starts_with("stale replica")), "{incident:?}");
            }
        }
    }
}

#[test]
fn no_replica_is_left_when_they_are_down() {
    for (keys, wanted) in [(FALLBACK, vec![0]), (REFUSE, vec![])] {
        let mut rig = cluster(ONE_POOL, LAG, keys);
        rig.all(&[1, 2], Rig::fall);
        assert_eq!(rig.gets_connections(), wanted);
        let out = if wanted.is_empty() { "refused" } else { "at the primary" };
        assert!(rig.kinds().contains(&ConditionKind::NoFreshReplica), "{out}");
    }
}

#[test]
fn a_promotion_counts_at_once() {
    for keys in [REFUSE, FALLBACK] {
        let mut rig = cluster(ONE_POOL, LAG, keys);
        rig.fall(0);
        assert_eq!(rig.gets_connections(), [1, 2], "what a dead primary wrote they have, as far as it was seen");
        rig.reads(1, primary(2, 310));
        // The other one is in the lineage of the past now: it is not known whether it has what it should.
        assert_eq!(rig.gets_connections(), if keys == FALLBACK { vec![1] } else { vec![] });
        let cut = |effect: &Effect| matches!(effect, Effect::Sessions { action: SessionAction::Close, .. });
        assert!(!rig.effects.iter().any(cut), "reads at a primary are right reads");
        rig.reads(2, replica(2, 320));
        assert_eq!((rig.gets_connections(), rig.shown(1).as_str()), (vec![2], "primary"));
        // The former primary comes back as a replica, and has to catch up.
        rig.wait(secs(1));
        rig.reads(1, primary(2, 400));
        rig.reads(0, replica(2, 305));
        rig.reads(0, replica(2, 305));
        assert_eq!(rig.gets_connections(), [2]);
        rig.reads(0, replica(2, 400));
        assert_eq!(rig.gets_connections(), [0, 2]);
    }
}

#[test]
fn an_old_primary_is_no_measure_and_no_fallback() {
    let mut rig = cluster(ONE_POOL, LAG, FALLBACK);
    rig.fall(0);
    rig.reads(1, primary(2, 310));
    rig.round([primary(1, 400), primary(2, 400), replica(2, 400)]);
    rig.reads(0, primary(1, 400));
    assert_eq!((rig.gets_connections(), rig.shown(0).as_str()), (vec![2], "primary"));
    // The replica of the old one is as stale as it is, and where nothing else is left nothing is served there.
    rig.round([primary(1, 500), primary(2, 500), replica(1, 500)]);
    assert_eq!(rig.gets_connections(), [1]);
    rig.fall(1);
    assert_eq!(rig.gets_connections(), [0; 0], "{}", rig.shown(2));
    // Until the last primary says itself that its history is another one now.
    rig.round([primary(1, 600), replica(1, 600), replica(1, 600)]);
    rig.round([primary(1, 700), replica(1, 700), replica(1, 700)]);
    assert_eq!(rig.gets_connections(), [1, 2], "{} {}", rig.shown(1), rig.shown(2));
}

#[test]
fn a_primary_that_is_not_among_the_endpoints_leaves_lags_unknown() {
    let mut rig = unprobed(ONE_POOL, LAG, FALLBACK);
    for second in 1..=10 {
        rig.round([replica(1, second), replica(1, second), replica(1, second)]);
    }
    assert_eq!(
        (rig.gets_connections(), rig.serving(), rig.shown(0).as_str()),
        (vec![], Serving::Down, "role or lag not known")
    );
    assert!(rig.kinds().contains(&ConditionKind::NoFreshReplica) && rig.kinds().contains(&ConditionKind::AllDown));
    rig.reads(2, primary(1, 20));
    rig.reads(0, replica(1, 20));
    assert_eq!(rig.gets_connections(), [0]);
}

#[test]
fn what_is_no_evidence_leaves_the_last_known_lag_in_force() {
    let mut rig = cluster(ONE_POOL, LAG, REFUSE);
    let mut written = 300;
    for outcome in
        [ProbeOutcome::Busy { detail: "no room".to_owned() }, ProbeOutcome::Blind { detail: "no right".to_owned() }]
    {
        for _ in 1..=60 {
            rig.wait(secs(1));
            written += 1;
            rig.reads(0, primary(1, written));
            rig.probed(1, outcome.clone());
            rig.probed(2, outcome.clone());
            assert_eq!(rig.gets_connections(), [1, 2]);
        }
    }
    // The same of the primary.
    for _ in 0..60 {
        rig.wait(secs(1));
        rig.probed(0, ProbeOutcome::Busy { detail: "no room".to_owned() });
        rig.reads(1, replica(1, written));
        rig.reads(2, replica(1, written - 10));
    }
    assert_eq!(rig.gets_connections(), [1], "{} {}", rig.shown(1), rig.shown(2));
}

#[test]
fn an_ejected_replica_on_trial_that_is_stale_is_not_tried() {
    let mut rig = cluster(ONE_POOL, LAG, REFUSE);
    rig.fails(1, Failure::Timeout, 5);
    assert_eq!(rig.stands(1).0, Operational::Ejected);
    for second in 1..=40 {
        rig.round([primary(1, 300 + second * 100), replica(1, 300), replica(1, 300 + second * 100)]);
    }
    assert_eq!((rig.endpoint(1).admission, rig.gets_connections()), (Admission::Closed, vec![2]));
    rig.round([primary(1, 9000), replica(1, 9000), replica(1, 9000)]);
    assert_ne!(rig.endpoint(1).admission, Admission::Closed);
}

#[test]
fn a_reload_may_change_all_of_it() {
    let mut rig = cluster(ONE_POOL, LAG, REFUSE);
    rig.shop().failover.reads = None;
    for pool in &mut rig.shop().pools {
        if let Some(check) = &mut pool.health_check
            && let CheckKind::Postgres(postgres) = &mut check.kind
        {
            Arc::make_mut(postgres).replica = None;
        }
    }
    rig.configure();
    assert_eq!(rig.gets_connections(), [0, 1, 2], "any role will do");
}

#[test]
fn a_service_that_follows_its_primary_tells_lags_too() {
    let text = format!(
        "{{protocol: tcp, health_check: {{postgres: {{user: probe, role: primary}}}}, outlier_detection: {{evidence: any}}, pools: [{ONE_POOL}]}}"
    );
    let now = MonoTime::from_micros(1_000_000_000);
    let config = config(fixture::service("shop", &text));
    let mut rig = Rig { core: Decision::new(None, now), now, config, effects: Vec::new(), callers: true, acts: 0 };
    rig.configure();
    for second in 1..=4 {
        rig.round([primary(1, second * 100), replica(1, second * 100), replica(1, 100)]);
    }
    assert_eq!((rig.gets_connections(), rig.shown(2).as_str()), (vec![0], "3.0 s and 300 bytes behind"));
}

// ---- whatever happens ----------------------------------------------------------------------------------------------

/// What happens to three servers in a step.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The primary writes so many bytes.
    Write(u64),
    /// A replica of its timeline applies all but so many bytes.
    Apply(u32, u64),
    /// A server is asked.
    Probe(u32),
    /// A server has no room for the probe.
    Busy(u32),
    /// The primary dies, and a replica is promoted; the dead one is a replica of it later.
    Promote(u32),
    /// Milliseconds pass.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let id = || 0_u32..3;
    prop_oneof![
        3 => (1_u64..500).prop_map(Step::Write),
        4 => (id(), prop_oneof![2 => Just(0), 1 => 0_u64..2000]).prop_map(|(id, behind)| Step::Apply(id, behind)),
        8 => id().prop_map(Step::Probe),
        1 => id().prop_map(Step::Busy),
        1 => id().prop_map(Step::Promote),
        4 => (1_u64..3000).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// No connection goes to a replica that is known to be too far behind, nor to a primary beside one that is fresh; and one that is known
    /// to have everything gets them.
    #[test]
    fn connections_go_to_fresh_replicas_only(steps in prop::collection::vec(step(), 1..120), falls_back in any::<bool>()) {
        let mut rig = cluster(ONE_POOL, LAG, if falls_back { FALLBACK } else { REFUSE });
        let mut servers = [primary(1, 300), replica(1, 300), replica(1, 300)];
        let mut leader = 0;
        // What was read of each, and all that was read of the present primary.
        let mut read = servers.map(|server| (server, rig.now));
        let mut samples: Vec<(MonoTime, u64)> = (0..3).map(|n: u64| (rig.now.before(secs(2 - n)), 100 + n * 100)).collect();
        let mut source = (0_u32, 1_u32);
        for step in steps {
            match step {
                Step::Write(bytes) => {
                    servers[leader].lsn += bytes;
                    servers[leader].applied += bytes;
                }
                Step::Apply(id, behind) if id as usize != leader => {
                    let most = servers[leader].lsn.saturating_sub(behind);
                    let (server, timeline) = (servers[id as usize], servers[leader].timeline);
                    let from = if server.timeline == timeline { server.applied } else { 0 };
                    servers[id as usize] = replica(timeline, most.max(from));
                }
                Step::Promote(id) if id as usize != leader => {
                    rig.fall(leader as u32);
                    servers[leader].role = DataRole::Replica;
                    leader = id as usize;
                    let newest = servers.iter().map(|server| server.timeline).max().unwrap_or_default();
                    servers[leader] = primary(newest + 1, servers[leader].applied);
                    rig.wait(Duration::from_millis(1));
                    // (`rise` applies to one that has failed before.)
                    (0..2).for_each(|_| rig.reads(id, servers[leader]));
                    read[leader] = (servers[leader], rig.now);
                    source = (id, servers[leader].timeline);
                    samples = vec![(rig.now, servers[leader].lsn)];
                }
                Step::Apply(..) | Step::Promote(_) => {}
                Step::Busy(id) => rig.probed(id, ProbeOutcome::Busy { detail: String::new() }),
                Step::Wait(ms) => rig.wait(Duration::from_millis(ms)),
                Step::Probe(id) => {
                    rig.wait(Duration::from_millis(1));
                    let server = servers[id as usize];
                    rig.reads(id, server);
                    read[id as usize] = (server, rig.now);
                    if id as usize == leader {
                        samples.push((rig.now, server.lsn));
                    }
                }
            }
            let healthy = |id: usize| rig.stands(id as u32).0 == Operational::Healthy;
            let open = rig.gets_connections();
            let mut has_fresh = false;
            for (id, (said, at)) in read.into_iter().enumerate() {
                let is_replica = said.role == DataRole::Replica && said.timeline == source.1;
                let seen_there = |limit: Duration| {
                    let before = samples.iter().filter(|(then, _)| *then <= at);
                    let within = |(then, lsn): &&(MonoTime, u64)| *lsn <= said.applied && at.since(*then) <= limit;
                    samples.last().is_some_and(|(_, lsn)| *lsn <= said.applied)
                        || before.clone().next_back().is_some_and(|(_, lsn)| *lsn <= said.applied)
                        || before.clone().any(|sample| within(&sample))
                };
                let is_open = open.contains(&(id as u32));
                has_fresh |= is_open && said.role == DataRole::Replica;
                if said.role == DataRole::Replica {
                    prop_assert!(!is_open || is_replica && seen_there(secs(5)), "{id} is stale: {said:?} {samples:?}");
                } else {
                    prop_assert!(!is_open || falls_back && id as u32 == source.0, "{id} is no replica: {said:?}");
                }
                let has_all = is_replica && samples.last().is_some_and(|(_, lsn)| *lsn <= said.applied);
                let was_read_of_this = samples.first().is_some_and(|(began, _)| at >= *began);
                prop_assert!(!(has_all && was_read_of_this && healthy(id)) || is_open, "{id} has everything: {said:?}");
            }
            let at_primary = open.contains(&source.0) && read[source.0 as usize].0.role == DataRole::Primary;
            prop_assert!(!(at_primary && has_fresh), "the primary serves beside a fresh replica");
        }
    }
}

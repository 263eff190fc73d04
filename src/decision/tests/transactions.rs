//! Following the primary of databases that count transactions: MySQL, MariaDB and Galera.

use super::*;

/// What a server has: `0-1` and `0-2` are the transactions of the first and of the second server.
fn has(role: DataRole, sets: &[(&str, u64)]) -> ProbeOutcome {
    let one = |(source, last): &(&str, u64)| ((*source).to_owned(), format!("1-{last}").parse().unwrap());
    let sets: std::collections::BTreeMap<String, TransactionSet> = sets.iter().map(one).collect();
    let position = TransactionPosition { history: "domain 0".to_owned(), count: 0, sets };
    says(role, position)
}

/// A member of a cluster.
fn member(cluster: &str, count: u64) -> ProbeOutcome {
    let sets = std::collections::BTreeMap::new();
    says(DataRole::Primary, TransactionPosition { history: cluster.to_owned(), count, sets })
}

fn says(role: DataRole, position: TransactionPosition) -> ProbeOutcome {
    let position = Some(DataPosition::Transactions(position));
    let reading = Reading { role, writable: Some(role == DataRole::Primary), position, applied: None };
    ProbeOutcome::Pass { latency: Duration::from_millis(1), reading: Some(reading) }
}

/// Endpoints 0 and 1, home and away.
fn rig() -> Rig {
    let pools = "{name: home, endpoints: ['10.0.1.1:3306']}, {name: away, endpoints: ['10.0.2.1:3306']}";
    let check = "health_check: {mysql: {user: probe, role: primary}}, outlier_detection: {evidence: any}";
    let text = format!("{{protocol: tcp, {check}, pools: [{pools}]}}");
    let now = MonoTime::from_micros(1_000_000_000);
    let config = config(fixture::service("shop", &text));
    let mut rig = Rig { core: Decision::new(None, now), now, config, effects: Vec::new(), callers: true, acts: 0 };
    rig.configure();
    rig
}

const PRIMARY: DataRole = DataRole::Primary;
const REPLICA: DataRole = DataRole::Replica;

impl Rig {
    fn verdict_on(&self, id: u32) -> FollowVerdict {
        let status = self.core.service_status(&"shop".into(), self.now).unwrap();
        let mut endpoints = status.pools.into_iter().flat_map(|pool| pool.endpoints);
        endpoints.find(|endpoint| endpoint.id == EndpointId(id)).and_then(|endpoint| endpoint.following).unwrap()
    }

    fn has_condition(&self, kind: ConditionKind) -> bool {
        let status = self.core.service_status(&"shop".into(), self.now).unwrap();
        status.conditions.iter().any(|open| open.kind == kind)
    }

    /// All sessions that were told to end have ended.
    fn all_sessions_end(&mut self) {
        let told: Vec<_> = self
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Sessions { pool, epoch, .. } => Some((pool.clone(), *epoch)),
                _ => None,
            })
            .collect();
        for (pool, epoch) in told {
            let seen = self.now;
            self.tell(Event::SessionsEnded { service: "shop".into(), pool, epoch, seen });
        }
    }

    fn pass_time(&mut self) {
        self.wait(Duration::from_millis(200));
    }
}

/// The first server is followed, and the second one is its replica.
fn followed() -> Rig {
    let mut rig = rig();
    rig.probed(0, has(PRIMARY, &[("0-1", 100)]));
    rig.probed(1, has(REPLICA, &[("0-1", 97)]));
    rig.pass_time();
    rig.probed(1, has(REPLICA, &[("0-1", 97)]));
    assert_eq!((rig.verdict_on(0), rig.verdict_on(1)), (FollowVerdict::Holder, FollowVerdict::Replica));
    rig
}

#[test]
fn a_replica_that_is_promoted_is_followed_and_what_it_lacks_is_said() {
    let mut rig = followed();
    rig.fall(0);
    rig.probed(1, has(PRIMARY, &[("0-1", 97), ("0-2", 101)]));
    rig.all_sessions_end();
    assert_eq!(rig.verdict_on(1), FollowVerdict::Holder);
    let record = rig.core.incidents().last().unwrap().following.clone().unwrap();
    assert_eq!((record.lost_transactions, record.lost_bytes), (Some(3), None));

    // The former one comes back: with what was lost, and without it.
    rig.probed(0, has(PRIMARY, &[("0-1", 100)]));
    rig.probed(0, has(PRIMARY, &[("0-1", 100)]));
    assert_eq!(rig.verdict_on(0), FollowVerdict::Diverged);
    rig.probed(0, has(PRIMARY, &[("0-1", 97)]));
    assert_eq!(rig.verdict_on(0), FollowVerdict::Stale);
    assert!(rig.has_condition(ConditionKind::StalePrimary));
    rig.fall(1);
    rig.wait(secs(60));
    rig.probed(0, has(PRIMARY, &[("0-1", 97)]));
    assert_eq!(rig.verdict_on(0), FollowVerdict::Stale, "also when it is the only one");
}

#[test]
fn what_was_not_seen_as_a_replica_was_not_promoted() {
    let mut rig = rig();
    rig.probed(0, has(PRIMARY, &[("0-1", 100)]));
    rig.fail(1);
    rig.fall(1);
    assert_eq!(rig.verdict_on(0), FollowVerdict::Holder);
    rig.fall(0);
    rig.probed(1, has(PRIMARY, &[("0-1", 97), ("0-2", 101)]));
    rig.probed(1, has(PRIMARY, &[("0-1", 97), ("0-2", 101)]));
    assert_eq!(rig.verdict_on(1), FollowVerdict::Diverged);
    // One that has all is followed, whatever was seen.
    rig.probed(1, has(PRIMARY, &[("0-1", 100), ("0-2", 101)]));
    rig.all_sessions_end();
    assert_eq!(rig.verdict_on(1), FollowVerdict::Holder);
}

#[test]
fn a_replica_with_transactions_of_its_own_that_lacks_others_is_no_heir() {
    let mut rig = rig();
    rig.probed(0, has(PRIMARY, &[("0-1", 100)]));
    let errant = [("0-1", 97), ("0-2", 5)];
    rig.probed(1, has(REPLICA, &errant));
    rig.pass_time();
    rig.probed(1, has(REPLICA, &errant));
    rig.fall(0);
    rig.probed(1, has(PRIMARY, &errant));
    assert_eq!(rig.verdict_on(1), FollowVerdict::Diverged);
}

#[test]
fn a_promotion_is_one_since_the_holder_arrived() {
    let mut rig = followed();
    rig.fall(0);
    rig.probed(1, has(PRIMARY, &[("0-1", 97), ("0-2", 101)]));
    rig.all_sessions_end();
    rig.pass_time();
    rig.probed(0, has(REPLICA, &[("0-1", 97), ("0-2", 110)]));
    rig.probed(1, has(PRIMARY, &[("0-1", 97), ("0-2", 120)]));
    rig.fall(1);
    rig.probed(0, has(PRIMARY, &[("0-1", 130), ("0-2", 115)]));
    rig.all_sessions_end();
    assert_eq!(rig.verdict_on(0), FollowVerdict::Holder);
    // The other one was a replica once, and comes back as what it was when it was left.
    rig.pass_time();
    rig.probed(1, has(PRIMARY, &[("0-1", 97), ("0-2", 120)]));
    rig.probed(1, has(PRIMARY, &[("0-1", 97), ("0-2", 120)]));
    assert_eq!(rig.verdict_on(1), FollowVerdict::Diverged);
}

#[test]
fn two_that_take_writes_are_two_primaries_and_the_holder_keeps_the_traffic() {
    let mut rig = followed();
    rig.probed(1, has(PRIMARY, &[("0-1", 100)]));
    assert_eq!((rig.verdict_on(0), rig.verdict_on(1)), (FollowVerdict::Holder, FollowVerdict::Rival));
    assert!(rig.has_condition(ConditionKind::MultiplePrimaries));
    // Roles swapped in place.
    rig.probed(0, has(REPLICA, &[("0-1", 100)]));
    rig.all_sessions_end();
    assert_eq!((rig.verdict_on(0), rig.verdict_on(1)), (FollowVerdict::Replica, FollowVerdict::Holder));
    assert!(!rig.has_condition(ConditionKind::MultiplePrimaries));
}

#[test]
fn data_that_has_nothing_in_common_is_foreign() {
    let mut rig = followed();
    rig.probed(1, has(PRIMARY, &[("0-9", 500)]));
    assert_eq!(rig.verdict_on(1), FollowVerdict::Foreign);
}

#[test]
fn a_holder_that_has_less_than_before_goes_on_and_one_of_another_history_does_not() {
    let mut rig = followed();
    rig.probed(0, has(PRIMARY, &[("0-1", 99)]));
    assert_eq!(rig.verdict_on(0), FollowVerdict::Holder, "a crash has cost it the last one");
    rig.probed(0, has(PRIMARY, &[("0-1", 50), ("0-3", 60)]));
    assert_eq!(rig.verdict_on(0), FollowVerdict::Diverged, "it was restored");
}

#[test]
fn one_member_of_a_cluster_is_the_writer_and_moves_only_when_it_is_gone() {
    let mut rig = rig();
    rig.probed(0, member("c", 100));
    rig.probed(1, member("c", 100));
    assert_eq!((rig.verdict_on(0), rig.verdict_on(1)), (FollowVerdict::Holder, FollowVerdict::Peer));
    assert!(!rig.has_condition(ConditionKind::MultiplePrimaries), "that is how such a cluster is");
    rig.probed(0, member("c", 150));
    rig.probed(1, member("c", 149));
    assert_eq!(rig.verdict_on(1), FollowVerdict::Peer, "it is a moment behind");

    rig.fall(0);
    rig.probed(1, member("c", 149));
    rig.all_sessions_end();
    assert_eq!(rig.verdict_on(1), FollowVerdict::Stale, "it has not what was written");
    rig.probed(1, member("c", 150));
    rig.all_sessions_end();
    assert_eq!(rig.verdict_on(1), FollowVerdict::Holder);
    // The first one is back: nothing moves.
    rig.probed(0, member("c", 160));
    rig.probed(0, member("c", 161));
    assert_eq!((rig.verdict_on(0), rig.verdict_on(1)), (FollowVerdict::Peer, FollowVerdict::Holder));
    // One that was bootstrapped by itself is another cluster.
    rig.probed(0, member("d", 200));
    assert_eq!(rig.verdict_on(0), FollowVerdict::Foreign);
}

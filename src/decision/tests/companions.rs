//! Services that move together.

use super::*;

const TWO_POOLS: &str = "{name: home, endpoints: ['10.0.1.1:1']}, {name: away, endpoints: ['10.0.2.1:1']}";
const CHECK: &str = "health_check: {tcp: {}}, outlier_detection: {evidence: any}";

/// `shop` leads: its endpoints are 0 at home and 1 away; those of `agents`, which follows it, are 2 and 3.
fn rig(leader: &str, companion: &str) -> Rig {
    rig_with(leader, companion, "")
}

/// `page`: a further pool of `agents`.
fn rig_with(leader: &str, companion: &str, page: &str) -> Rig {
    let leader = format!("{{{CHECK}, {leader} pools: [{TWO_POOLS}]}}");
    let agents = "{name: home, endpoints: ['10.0.1.1:2']}, {name: away, endpoints: ['10.0.2.1:2']}";
    let agents = format!("{{{CHECK}, {companion} pools: [{agents}{page}]}}");
    let text = format!(
        "listeners: [{{name: in, bind: '127.0.0.1:0', routes: [{{service: shop}}]}}, {{name: more, bind: '127.0.0.1:0', \
         routes: [{{service: agents}}]}}]\nservices: {{shop: {leader}, agents: {agents}}}"
    );
    let read = parse(&text, std::path::Path::new(".")).unwrap_or_else(|problems| panic!("{problems}"));
    let now = MonoTime::from_micros(1_000_000_000);
    let core = Decision::new(None, now);
    let mut rig = Rig { core, now, config: read.config, effects: Vec::new(), callers: true, acts: 0 };
    rig.configure();
    rig
}

const FOLLOWS: &str = "failover: {follow: shop},";

impl Rig {
    fn up(leader: &str, companion: &str) -> Rig {
        let mut rig = rig(leader, companion);
        rig.all(&[0, 1, 2, 3], Rig::pass);
        rig.wait(Duration::from_millis(1));
        rig.effects.clear();
        rig
    }

    /// The pools that serve, of `shop` and of `agents`.
    fn places(&self) -> [Option<&'static str>; 2] {
        let table = self.core.table();
        [0, 1].map(|service: usize| table.services[service].serving.active().map(|pool| ["home", "away", "page"][pool]))
    }

    fn incidents_of(&self, service: &str) -> Vec<&Incident> {
        self.core.incidents().filter(|incident| &*incident.service == service).collect()
    }
}

#[test]
fn a_companion_goes_where_its_leader_goes_by_one_publish_and_one_incident() {
    let mut rig = Rig::up("", FOLLOWS);
    assert_eq!(rig.places(), [Some("home"); 2]);
    let before = rig.core.epoch();
    rig.fall(0);
    assert_eq!(rig.places(), [Some("away"); 2], "though its own endpoint at home is well");
    let publishes = rig.effects.iter().filter(|effect| matches!(effect, Effect::Publish)).count() as u64;
    assert_eq!(rig.core.epoch() - before, publishes);
    let [incident] = rig.incidents_of("shop")[..] else { panic!("one incident") };
    assert_eq!((incident.kind, &incident.companions[..]), (SwitchKind::Failover, &["agents".into()][..]));
    assert_eq!(rig.incidents_of("agents").len(), 0);
    let ended = rig.effects.iter().any(
        |effect| matches!(effect, Effect::Sessions { service, pool, epoch, .. } if (&**service, &**pool) == ("agents", "home") && *epoch == incident.epoch),
    );
    assert!(ended, "its sessions are ended by the same epoch");
}

#[test]
fn a_companion_that_has_no_endpoint_left_takes_its_leader_along() {
    let mut rig = Rig::up("", FOLLOWS);
    let fault = rig.now;
    rig.fall(2);
    assert_eq!(rig.places(), [Some("away"); 2]);
    let [incident] = rig.incidents_of("shop")[..] else { panic!("one incident") };
    assert_eq!(incident.fault, fault);
    assert!(incident.evidence[0].detail.starts_with("agents: ") && incident.evidence[0].address.port() == 2);
    assert_eq!(rig.core.service_status(&"shop".into(), rig.now).unwrap().pools[0].lacked_by, ["agents".into()]);

    // Home again: not before the companion has been well there for the whole hold-down.
    rig.wait(secs(600));
    assert_eq!(rig.places(), [Some("away"); 2]);
    rig.rise(2);
    assert_eq!(rig.places(), [Some("away"); 2]);
    rig.wait(secs(600));
    assert_eq!(rig.places(), [Some("home"); 2]);
}

#[test]
fn a_vote_takes_no_leader_down() {
    let mut rig = Rig::up("failover: {on_all_down: fail_closed},", FOLLOWS);
    rig.fall(1); // the leader is at home alone
    rig.fall(2); // and the companion is away alone
    assert_eq!(rig.places(), [Some("home"); 2]);
    rig.rise(1);
    assert_eq!(rig.places(), [Some("away"); 2], "now there is a place for both");
    rig.fall(3);
    assert_eq!(rig.places(), [Some("away"); 2], "the companion has none anywhere: its leader stays");
}

#[test]
fn without_votes_a_companion_is_only_led() {
    let mut rig = Rig::up("", "failover: {follow: shop, votes: off},");
    rig.fall(2);
    assert_eq!(rig.places(), [Some("home"); 2]);
    rig.fall(0);
    assert_eq!(rig.places(), [Some("away"); 2]);
}

#[test]
fn a_companion_begins_with_its_leader_and_does_not_vote_before_it_was_asked() {
    let mut early = rig("", FOLLOWS);
    early.all(&[2, 3], Rig::pass);
    assert_eq!(early.places(), [None, None], "the leader has not chosen");
    let mut late = rig("", FOLLOWS);
    late.all(&[0, 1], Rig::pass);
    assert_eq!(late.places(), [Some("home"); 2]);
    late.pass(3);
    assert_eq!(late.places(), [Some("home"); 2], "of its endpoint at home it knows nothing yet");
    late.fall(2);
    assert_eq!(late.places(), [Some("away"); 2]);
}

#[test]
fn where_it_goes_is_ordered_of_the_leader() {
    let mut rig = Rig::up("", FOLLOWS);
    let to = |service: &str| ActCommand::Switchover { service: service.into(), pool: "away".into() };
    let refused = ActRefusal::MovesWith { service: "agents".into(), leader: "shop".into() };
    assert_eq!(rig.order(to("agents")), ActOutcome::Refused(refused));
    assert_eq!(rig.order(to("shop")), ActOutcome::Done);
    assert_eq!(rig.places(), [Some("away"); 2]);
    let [incident] = rig.incidents_of("shop")[..] else { panic!("one incident") };
    assert_eq!(incident.companions, ["agents".into()]);
}

#[test]
fn a_companion_of_a_reload_joins_its_leader_and_one_that_is_let_go_decides_by_itself() {
    let mut rig = Rig::up("", "");
    rig.fall(0);
    assert_eq!(rig.places(), [Some("away"), Some("home")]);
    let leader = LeadingService { name: "shop".into(), votes: true };
    Arc::make_mut(&mut rig.config.services[1]).failover.leader = Some(leader);
    rig.configure();
    assert_eq!(rig.places(), [Some("away"); 2]);
    Arc::make_mut(&mut rig.config.services[1]).failover.leader = None;
    rig.configure();
    rig.fall(3);
    assert_eq!(rig.places(), [Some("away"), Some("home")]);
}

#[test]
fn a_page_is_shown_where_the_leader_serves_nothing() {
    let page = ", {name: page, static_response: {status: 503, body: down}}";
    let mut rig = rig_with("failover: {on_all_down: fail_closed},", FOLLOWS, page);
    rig.all(&[0, 1, 2, 3], Rig::pass);
    rig.all(&[0, 1], Rig::fall);
    assert_eq!(rig.places(), [None, Some("page")]);
    rig.rise(1);
    assert_eq!(rig.places(), [Some("away"); 2]);
}

// ---- a leader that follows its primary -----------------------------------------------------------------------------

fn primary(lsn: u64, timeline: u32) -> ProbeOutcome {
    let position = PostgresPosition {
        system: SystemId(7),
        timeline,
        lsn: Lsn(lsn),
        recovered: None,
        fork: None,
        started: Some(1),
    };
    let reading = Reading {
        role: DataRole::Primary,
        writable: Some(true),
        position: Some(DataPosition::Postgres(position)),
        applied: None,
    };
    ProbeOutcome::Pass { latency: Duration::from_millis(1), reading: Some(reading) }
}

fn replica() -> ProbeOutcome {
    let ProbeOutcome::Pass { latency, reading: Some(reading) } = primary(90, 1) else { unreachable!() };
    let reading = Reading { role: DataRole::Replica, writable: Some(false), ..reading };
    ProbeOutcome::Pass { latency, reading: Some(reading) }
}

/// A database and its pooler.
fn database() -> Rig {
    let check =
        "protocol: tcp, health_check: {postgres: {user: probe, role: primary}}, outlier_detection: {evidence: any}";
    let text = format!(
        "listeners: [{{name: in, protocol: tcp, bind: '127.0.0.1:0', service: shop}}, {{name: more, protocol: tcp, bind: \
         '127.0.0.1:0', service: agents}}]\nservices:\n  shop: {{{check}, pools: [{TWO_POOLS}]}}\n  agents: {{protocol: tcp, \
         {CHECK}, {FOLLOWS} pools: [{{name: home, endpoints: ['10.0.1.1:2']}}, {{name: away, endpoints: ['10.0.2.1:2']}}]}}"
    );
    let read = parse(&text, std::path::Path::new(".")).unwrap_or_else(|problems| panic!("{problems}"));
    let now = MonoTime::from_micros(1_000_000_000);
    let core = Decision::new(None, now);
    let mut rig = Rig { core, now, config: read.config, effects: Vec::new(), callers: true, acts: 0 };
    rig.configure();
    rig.probed(0, primary(100, 1));
    rig.probed(1, replica());
    rig.all(&[2, 3], Rig::pass);
    assert_eq!(rig.places(), [Some("home"); 2]);
    rig.effects.clear();
    rig
}

/// The sessions that this service was told last to end have ended.
fn end_sessions(rig: &mut Rig, service: &str) {
    let told = rig.effects.iter().rev().find_map(|effect| match effect {
        Effect::Sessions { service: of, pool, epoch, .. } if &**of == service => Some((pool.clone(), *epoch)),
        _ => None,
    });
    let (pool, epoch) = told.expect("sessions that end");
    let seen = rig.now;
    rig.tell(Event::SessionsEnded { service: service.into(), pool, epoch, seen });
}

#[test]
fn another_primary_waits_for_the_sessions_of_companions_too() {
    for first in ["shop", "agents"] {
        let other = if first == "shop" { "agents" } else { "shop" };
        let mut rig = database();
        assert_eq!(rig.config.services[1].failover.sessions, Sessions::Close);
        rig.probed(0, replica());
        assert_eq!(rig.places(), [None; 2]);
        let present = |rig: &Rig| rig.core.table().services[1].pools[0].sessions.present;
        assert_eq!(present(&rig), Some(SessionAction::Close), "the pooler's sessions have no right to go on either");
        rig.probed(1, primary(120, 2));
        assert_eq!(rig.places(), [None; 2]);
        end_sessions(&mut rig, first);
        assert_eq!(rig.places(), [None; 2], "{first} alone");
        end_sessions(&mut rig, other);
        assert_eq!(rig.places(), [Some("away"); 2], "{first} first");
    }
}

#[test]
fn sessions_of_companions_outlive_a_silence_of_the_primary() {
    let mut rig = database();
    rig.fall(0);
    assert_eq!(rig.places(), [None; 2], "nothing new is sent");
    assert_eq!(rig.core.table().services[1].pools[0].sessions, PoolSessions::default());
    rig.probed(0, primary(110, 1));
    assert_eq!(rig.places(), [Some("home"); 2]);
    assert_eq!(rig.core.table().services[1].pools[0].sessions, PoolSessions::default());

    // It is silent first, and then another one is primary.
    rig.fall(0);
    rig.probed(1, primary(120, 2));
    assert_eq!(rig.core.table().services[1].pools[0].sessions.present, Some(SessionAction::Close));
    end_sessions(&mut rig, "shop");
    end_sessions(&mut rig, "agents");
    assert_eq!(rig.places(), [Some("away"); 2]);
}

// ---- whatever happens ----------------------------------------------------------------------------------------------

/// After each event the companion is where its leader is, and no vote has left the leader without a pool that it could have by itself.
#[test]
fn a_companion_is_never_elsewhere() {
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut rig = rig("failover: {on_all_down: fail_closed},", FOLLOWS);
        let mut moves = 0;
        for _ in 0..300 {
            let before = rig.places();
            let id = rng.u32(0..4);
            match rng.u8(0..8) {
                0..3 => rig.pass(id),
                3..5 => rig.fail(id),
                5 => rig.fall(id),
                6 => rig.wait(secs(rng.u64(1..200))),
                _ => {
                    let pool = if rng.bool() { "home" } else { "away" };
                    rig.order(ActCommand::Switchover { service: "shop".into(), pool: pool.into() });
                }
            }
            let places = rig.places();
            assert_eq!(places[0], places[1], "seed {seed}");
            moves += usize::from(before != places && before[0].is_some());
            let table = rig.core.table();
            let leader = &table.services[0];
            if leader.serving == Serving::Down {
                assert!(
                    leader.pools.iter().all(|pool| !pool.available),
                    "seed {seed}: down beside a pool that can serve"
                );
            }
        }
        assert!(moves > 3, "seed {seed}: {moves}");
    }
}

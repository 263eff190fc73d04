//! The pure part: what answers make of a configuration. (Asking and its timing are tested on sockets, in
//! `tests/control/plane/names.rs`.)

use super::*;
use crate::decision::{Decision, Event, ProbeOutcome};

const FILE: &str = "
listeners: [{name: in, bind: '127.0.0.1:0', routes: [{service: s}, {match: {path: /t}, service: t}]}]
services:
  s:
    health_check: {tcp: {}}
    pools:
      - {name: a, endpoints: ['10.0.0.1:80', {dns: 'one:80', max_connections: 3}, {srv: _s._tcp.two, weight: 9}]}
      - {name: b, endpoints: [{dns: 'one:80'}]}
  t: {pools: [{name: a, endpoints: ['10.9.9.9:80']}]}
";

fn declared() -> Arc<Config> {
    let read = crate::config::parse(FILE, std::path::Path::new(".")).unwrap_or_else(|problems| panic!("{problems}"));
    Arc::new(read.config)
}

fn question(config: &Config, name: &str) -> Question {
    questions(config).into_iter().find(|question| question.host() == name).unwrap()
}

fn found(addresses: &[&str]) -> LookupOutcome {
    let one = |address: &&str| FoundAddress { address: address.parse().unwrap(), host: "h".into(), weight: Some(5) };
    LookupOutcome::FoundAddress {
        found: addresses.iter().map(one).collect(),
        ttl: Duration::from_secs(30),
        missing: None,
    }
}

/// `address*weight` of each pool.
fn shown(config: &Config) -> Vec<String> {
    let pool = |pool: &Pool| {
        let endpoints = pool.members.endpoints().iter();
        endpoints.map(|e| format!("{}*{}", e.address, e.weight)).collect::<Vec<_>>().join(" ")
    };
    config.services[0].pools.iter().map(pool).collect()
}

/// A core in which every endpoint of this configuration has passed its check, but those that are `ill`.
fn table(core: &mut Decision, config: &Arc<Config>, ill: &[&str]) -> Table {
    let now = clock::now();
    core.handle(Event::Configured(config.clone()), now);
    for endpoint in core.table().services[0].pools.iter().flat_map(|pool| &pool.endpoints) {
        let outcome = match ill.contains(&&*endpoint.address.to_string()) {
            false => ProbeOutcome::Pass { latency: Duration::ZERO, reading: None },
            true => ProbeOutcome::Fail { kind: crate::decision::ProbeFailure::Timeout, detail: String::new() },
        };
        for _ in 0..5 {
            core.handle(Event::Probed { endpoint: endpoint.id, seen: now, began: None, outcome: outcome.clone() }, now);
        }
    }
    core.table()
}

#[test]
fn answers_take_the_place_of_names_and_an_address_stands_once() {
    let declared = declared();
    let (one, two) = (question(&declared, "one"), question(&declared, "_s._tcp.two"));
    let mut discovery = Discovery::new(declared.clone(), vec![(one, found(&["10.0.0.1:80", "10.0.0.2:80"]))], vec![]);
    let before = discovery.effective(None);
    // The fixed one stays where it is; the second pool's name adds nothing to the first's.
    assert_eq!(shown(&before), ["10.0.0.1:80*1 10.0.0.2:80*5", ""]);
    assert_eq!(before.services[0].pools[0].members.endpoints()[1].max_connections, Some(3));
    let none = Decision::new(None, clock::now()).table();
    let turn = discovery.answered(&two, found(&["10.0.0.2:80", "10.0.0.3:81"]), || none.clone(), clock::now());
    assert!(turn.changed);
    let after = discovery.effective(Some(&before));
    assert_eq!(shown(&after), ["10.0.0.1:80*1 10.0.0.2:80*5 10.0.0.3:81*9", ""]);
    assert!(Arc::ptr_eq(&before.services[1], &after.services[1]), "a service without names is the same");
    assert!(!discovery.answered(&two, found(&["10.0.0.2:80", "10.0.0.3:81"]), || none.clone(), clock::now()).changed);
    assert!(Arc::ptr_eq(&discovery.effective(Some(&after)).services[0], &after.services[0]), "nothing new: the same");
    assert!(after.services[0].pools[0].names.len() == 2, "what is declared is still known");
}

#[test]
fn who_is_needed_stands_in_until_somebody_else_is_well_and_not_for_ever() {
    let declared = declared();
    let one = question(&declared, "one");
    let mut discovery = Discovery::new(declared.clone(), vec![(one.clone(), found(&["10.0.0.2:80"]))], vec![]);
    let mut core = Decision::new(None, clock::now());
    let now = clock::now();
    // The fixed endpoint is ill: the named one is all that the pool has.
    let rows = table(&mut core, &discovery.effective(None), &["10.0.0.1:80"]);
    assert!(discovery.answered(&one, found(&["10.0.0.4:80"]), || rows.clone(), now).changed);
    let config = discovery.effective(None);
    assert_eq!(shown(&config)[0], "10.0.0.1:80*1 10.0.0.4:80*5 10.0.0.2:80*5");
    // The new one is ill too.
    let rows = table(&mut core, &config, &["10.0.0.1:80", "10.0.0.4:80"]);
    assert!(!discovery.release(&rows, now) && discovery.is_overlapping());
    let late = now.after(OVERLAP + Duration::from_millis(1));
    assert!(discovery.clone().release(&rows, late), "DNS said that it is gone");
    // Named again: it does not leave any more.
    let mut again = discovery.clone();
    assert!(again.answered(&one, found(&["10.0.0.2:80", "10.0.0.4:80"]), || rows.clone(), now).changed);
    assert!(!again.is_overlapping());
    assert_eq!(shown(&again.effective(None))[0], "10.0.0.1:80*1 10.0.0.2:80*5 10.0.0.4:80*5");
    // The new one is well, and what notices it is an answer that says nothing new.
    let rows = table(&mut core, &config, &["10.0.0.1:80"]);
    assert!(discovery.clone().answered(&one, found(&["10.0.0.4:80"]), || rows.clone(), now).changed);
    assert!(discovery.release(&rows, now));
    assert_eq!(shown(&discovery.effective(None))[0], "10.0.0.1:80*1 10.0.0.4:80*5");
}

#[test]
fn who_is_not_needed_or_not_well_goes_at_once() {
    let declared = declared();
    let one = question(&declared, "one");
    for ill in ["10.9.9.9:80", "10.0.0.2:80"] {
        let mut discovery = Discovery::new(declared.clone(), vec![(one.clone(), found(&["10.0.0.2:80"]))], vec![]);
        let rows = table(&mut Decision::new(None, clock::now()), &discovery.effective(None), &[ill]);
        discovery.answered(&one, found(&["10.0.0.4:80"]), || rows.clone(), clock::now());
        assert!(!discovery.is_overlapping(), "{ill}");
    }
}

#[test]
fn misses_change_nothing_and_are_told_once_when_the_answer_is_stale() {
    let declared = declared();
    let one = question(&declared, "one");
    let first = vec![(one.clone(), found(&["10.0.0.2:80"]))];
    let mut discovery = Discovery::new(declared.clone(), first, vec![]);
    let none = Decision::new(None, clock::now()).table();
    let (now, mut told) = (clock::now(), 0);
    for second in 0..400 {
        let miss =
            if second % 2 == 0 { LookupOutcome::Nothing("NX".into()) } else { LookupOutcome::Failed("slow".into()) };
        let turn = discovery.answered(&one, miss, || none.clone(), now.after(Duration::from_secs(second)));
        assert!(!turn.changed);
        told += usize::from(turn.stale.is_some_and(|text| text.contains("1 address")));
    }
    assert_eq!(told, 1);
    assert_eq!(shown(&discovery.effective(None))[0], "10.0.0.1:80*1 10.0.0.2:80*5");
    assert_eq!(discovery.report()[1].lookups[1].1 + discovery.report()[0].lookups[1].1, 200);
}

#[test]
fn what_was_remembered_counts_until_there_is_an_answer() {
    let declared = declared();
    let one = question(&declared, "one");
    let LookupOutcome::FoundAddress { found: before, .. } = found(&["10.0.0.7:80"]) else { unreachable!() };
    let other = Question { name: "gone".into(), ..one.clone() };
    let remembered = vec![(other, before.clone()), (one.clone(), before)];
    let mut discovery =
        Discovery::new(declared.clone(), vec![(one.clone(), LookupOutcome::Failed("slow".into()))], remembered);
    assert_eq!(shown(&discovery.effective(None))[0], "10.0.0.1:80*1 10.0.0.7:80*5");
    assert_eq!(discovery.remembered().len(), 1, "names of another configuration are forgotten");
    discovery.declare(declared.clone(), vec![(one, found(&["10.0.0.8:80"]))]);
    assert_eq!(shown(&discovery.effective(None))[0], "10.0.0.1:80*1 10.0.0.8:80*5");
    // Another port of the same name, while DNS is silent.
    let moved = crate::config::parse(&FILE.replace("'one:80'", "'one.:81'"), std::path::Path::new(".")).unwrap();
    discovery.declare(Arc::new(moved.config), vec![]);
    assert_eq!(shown(&discovery.effective(None))[0], "10.0.0.1:80*1 10.0.0.8:81*5");
}

#[test]
fn a_condemned_address_has_its_name_watched_until_it_is_well_or_gone() {
    let declared = declared();
    let one = question(&declared, "one");
    let first = vec![(one.clone(), found(&["10.0.0.2:80", "10.0.0.3:80"]))];
    let mut discovery = Discovery::new(declared, first, vec![]);
    let (second, third): (SocketAddr, SocketAddr) = ("10.0.0.2:80".parse().unwrap(), "10.0.0.3:80".parse().unwrap());
    let mut tell = |address, operational| {
        let asked = discovery.standing(address, operational);
        asked.iter().map(|question| discovery.is_watched(question)).collect::<Vec<_>>()
    };
    assert_eq!(tell(second, Operational::Unhealthy), [true]);
    assert_eq!(tell(third, Operational::Ejected), [true]);
    assert_eq!(tell(second, Operational::Healthy), [true]);
    assert_eq!(tell(third, Operational::Healthy), [false]);
    assert!(tell("10.0.0.1:80".parse().unwrap(), Operational::Unhealthy).is_empty(), "no name's");
}

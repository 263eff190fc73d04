//! Claims about what a reload keeps under another name, and what it takes for new.

use super::*;
use crate::decision::Succession;

/// The service, however it is called.
fn row(rig: &Rig) -> ServiceRow {
    rig.core.table().services[0].clone()
}

/// Ids by pool.
fn ids(row: &ServiceRow) -> Vec<(String, Vec<u32>)> {
    row.pools.iter().map(|pool| (pool.name.to_string(), pool.endpoints.iter().map(|e| e.id.0).collect())).collect()
}

/// What the configuration of `rig` continues of the one before, as indices.
fn pools_continue(change: impl FnOnce(&mut Service)) -> Vec<Option<usize>> {
    let mut rig = Rig::unprobed(|_| {});
    let before = rig.config.clone();
    change(rig.shop());
    let sides = |config: &Config| (config.listeners.clone(), config.services.clone());
    let (before, after) = (sides(&before), sides(&rig.config));
    let succession = Succession::between((&before.0, &before.1), (&after.0, &after.1));
    succession.service(0).expect("the service is the same").pools.clone()
}

fn rename(service: &mut Service, pool: usize, name: &str) {
    service.pools[pool].name = name.into();
}

#[test]
fn a_renamed_active_pool_serves_on_without_a_switch() {
    let mut rig = Rig::new(|_| {});
    rename(rig.shop(), 0, "casa");
    rig.configure();
    assert_eq!((rig.active(), rig.core.incidents().count()), ("casa".to_owned(), 0));
    assert_eq!(ids(&row(&rig)), [("casa".to_owned(), vec![0, 1]), ("away".to_owned(), vec![2, 3])]);
    assert!(!rig.effects.iter().any(|effect| matches!(effect, Effect::Sessions { .. })), "its sessions go on");
    rig.lose_home();
    assert_eq!((rig.active(), rig.last().from.as_deref()), ("away".to_owned(), Some("casa")));
}

#[test]
fn a_renamed_home_keeps_its_hold_down() {
    let mut rig = Rig::new(|_| {});
    rig.lose_home();
    rig.wait(secs(40));
    rig.all(&[0, 1], Rig::rise);
    rig.wait(secs(50));
    rename(rig.shop(), 0, "casa");
    rig.configure();
    rig.wait(secs(9));
    assert_eq!(rig.active(), "away");
    rig.wait(secs(1));
    assert_eq!((rig.active(), rig.last().kind), ("casa".to_owned(), SwitchKind::Failback));
}

#[test]
fn pins_orders_and_rollbacks_follow_a_renamed_pool() {
    let mut rig = Rig::new(|_| {});
    rig.order(pin("away"));
    rename(rig.shop(), 1, "fort");
    rig.configure();
    assert_eq!((rig.active(), rig.status().pinned.as_deref()), ("fort".to_owned(), Some("fort")));

    let mut rig = Rig::new(|_| {});
    rig.order(switchover("away"));
    rename(rig.shop(), 0, "casa");
    rig.configure();
    assert!(rig.status().ordered);
    rig.all(&[2, 3], Rig::fall);
    assert_eq!((rig.active(), rig.last().kind), ("casa".to_owned(), SwitchKind::Rollback));
}

#[test]
fn a_pool_is_renamed_only_when_nothing_else_explains_it() {
    assert_eq!(pools_continue(|shop| rename(shop, 0, "casa")), [Some(0), Some(1)]);
    let both = pools_continue(|shop| (rename(shop, 0, "casa"), rename(shop, 1, "fort")).0);
    assert_eq!(both, [Some(0), Some(1)]);
    let reordered = pools_continue(|shop| {
        rename(shop, 0, "casa");
        shop.pools.swap(0, 1);
    });
    assert_eq!(reordered, [Some(1), Some(0)]);
    // Weights and checks may change with the name; the set of endpoints may not.
    let other_rules = pools_continue(|shop| {
        rename(shop, 0, "casa");
        shop.pools[0].health_check = None;
    });
    assert_eq!(other_rules, [Some(0), Some(1)]);
    let grown = pools_continue(|shop| shop.pools[0] = Pool { name: "casa".into(), ..pool("home", 7) });
    assert_eq!(grown, [None, Some(1)], "other endpoints");
    // A name that stays is the same pool, whatever is in it.
    let swapped = pools_continue(|shop| (rename(shop, 0, "away"), rename(shop, 1, "home")).0);
    assert_eq!(swapped, [Some(1), Some(0)]);
    // Two that look alike after or before are in doubt.
    let page = |name: &str| Pool {
        name: name.into(),
        members: PoolMembers::Endpoints(Vec::new()),
        names: Vec::new(),
        ..pool("home", 1)
    };
    let mut before = shop();
    before.pools = vec![page("a"), page("b")];
    let mut after = shop();
    after.pools = vec![page("a"), page("c")];
    let (before, after) = ([Arc::new(before)], [Arc::new(after)]);
    let succession = Succession::between((&[], &before), (&[], &after));
    assert_eq!(succession.service(0).expect("the same service").pools, [Some(0), None]);
}

#[test]
fn a_renamed_service_keeps_everything() {
    let mut rig = Rig::new(|_| {});
    rig.lose_home();
    rig.wait(secs(10));
    let before = rig.core.table().services[0].clone();
    rig.shop().name = "store".into();
    rig.configure();
    let after = row(&rig);
    assert_eq!((&after.pools, &after.serving, &*after.name), (&before.pools, &before.serving, "store"));
    rig.tell(Event::Answered {
        service: "store".into(),
        epoch: after.awaiting_answer.expect("an answer is awaited"),
        seen: rig.now,
    });
    assert_eq!((&*rig.last().service, rig.last().rto()), ("store", Some(secs(10))), "its incident is closed");
    rig.all(&[0, 1], Rig::rise);
    rig.wait(secs(60));
    assert_eq!((rig.active(), rig.last().kind), ("home".to_owned(), SwitchKind::Failback));
}

/// Two services of other endpoints each, and a route to each.
fn with_routes(rig: &mut Rig) {
    let mut other = shop();
    other.name = "other".into();
    other.pools = vec![pool("home", 3)];
    rig.config.services.push(Arc::new(other));
    rig.config.listeners = vec![Arc::new(listener(&["/shop", "/other"], &["shop", "other"]))];
}

fn listener(paths: &[&str], services: &[&str]) -> Listener {
    let route = |(path, service): (&&str, &&str)| {
        let keys = format!("{{match: {{path_prefix: {path}}}, service: http, upgrades: off}}");
        Arc::new(Route { service: (*service).into(), ..fixture::route(&keys) })
    };
    let keys = "{name: web, bind: '127.0.0.1:80', service: http}";
    let target = Target::Routes(paths.iter().zip(services).map(route).collect());
    Listener { target, ..fixture::listener(keys) }
}

/// The services that those of `after` continue, when the configuration was the one of [`with_routes`].
fn services_continue(change: impl FnOnce(&mut Config)) -> Vec<Option<usize>> {
    let mut rig = Rig::unprobed(|_| {});
    with_routes(&mut rig);
    let before = rig.config.clone();
    change(&mut rig.config);
    let after = &rig.config;
    let succession = Succession::between((&before.listeners, &before.services), (&after.listeners, &after.services));
    (0..after.services.len()).map(|at| succession.service(at).map(|past| past.service)).collect()
}

fn call(config: &mut Config, service: usize, name: &str) {
    Arc::make_mut(&mut config.services[service]).name = name.into();
}

#[test]
fn a_service_is_renamed_only_when_pools_listeners_and_routes_are_otherwise_unchanged() {
    let renamed = |config: &mut Config| {
        call(config, 0, "store");
        config.listeners = vec![Arc::new(listener(&["/shop", "/other"], &["store", "other"]))];
    };
    assert_eq!(services_continue(renamed), [Some(0), Some(1)]);
    let both = services_continue(|config| {
        call(config, 0, "store");
        call(config, 1, "rest");
        config.services.reverse();
        config.listeners = vec![Arc::new(listener(&["/shop", "/other"], &["store", "rest"]))];
    });
    assert_eq!(both, [Some(1), Some(0)]);
    let other_limits = services_continue(|config| {
        renamed(config);
        Arc::make_mut(&mut config.services[0]).limits.max_connections = 7;
    });
    assert_eq!(other_limits, [Some(0), Some(1)]);
    let other_route = services_continue(|config| {
        call(config, 0, "store");
        config.listeners = vec![Arc::new(listener(&["/store", "/other"], &["store", "other"]))];
    });
    assert_eq!(other_route, [None, Some(1)]);
    let other_pool = services_continue(|config| {
        renamed(config);
        rename(Arc::make_mut(&mut config.services[0]), 0, "casa");
    });
    assert_eq!(other_pool, [None, Some(1)]);
    let twin = services_continue(|config| {
        renamed(config);
        let mut twin = (*config.services[0]).clone();
        twin.name = "twin".into();
        config.services.push(Arc::new(twin));
        config.listeners = vec![Arc::new(listener(&["/shop", "/other", "/shop"], &["store", "other", "twin"]))];
    });
    assert_eq!(twin, [None, Some(1), None], "either could be it");
}

#[test]
fn a_service_in_doubt_is_new_and_its_endpoints_keep_the_health_of_the_same_check() {
    let mut rig = Rig::new(|_| {});
    rig.fall(0);
    rig.shop().name = "store".into();
    rename(rig.shop(), 0, "casa");
    rig.configure();
    assert_eq!(ids(&row(&rig)), [("casa".to_owned(), vec![4, 5]), ("away".to_owned(), vec![6, 7])]);
    assert_eq!(rig.active(), "casa", "served at once");
    assert_eq!(rig.stands(4), (Operational::Unhealthy, Cause::ChecksFailed));
    assert_eq!(rig.stands(5), (Operational::Healthy, Cause::ChecksPassed));

    // Another check has found nothing yet.
    rig.shop().name = "shop".into();
    rename(rig.shop(), 0, "home");
    rig.shop().pools[0].health_check.as_mut().expect("a check").interval = secs(3);
    rig.configure();
    assert_eq!(rig.stands(8), (Operational::Checking, Cause::Start));
    assert_eq!(rig.stands(10), (Operational::Healthy, Cause::ChecksPassed));
}

#[test]
fn renaming_faster_than_the_first_probes_does_not_put_off_the_first_choice() {
    let mut rig = Rig::unprobed(|_| {});
    for turn in 0..8 {
        rig.wait(Duration::from_millis(100));
        rename(rig.shop(), 0, &format!("home-{turn}"));
        rig.configure();
        rig.shop().name = format!("shop-{turn}").into();
        rig.configure();
    }
    assert_eq!(ids(&row(&rig)), [("home-7".to_owned(), vec![0, 1]), ("away".to_owned(), vec![2, 3])]);
    rig.pass(0);
    assert_eq!(rig.active(), "home-7", "the probe that was under way counts");
}

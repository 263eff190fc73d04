//! Endpoints that DNS names.

use std::net::SocketAddr;

use standfast::control::{NameReport, ServiceReport};
use standfast::decision::Operational;

use crate::support::reload_permit;

use super::dns::{Dns, Formerr, Say, addresses};
use super::support::{Manners, Plane, Upstream, eventually};

const QUICK: &str = "{http: {path: /}, interval: 50ms, timeout: 1s, fast_interval: 20ms, fall: 2, rise: 1}";

/// One service whose pools have these endpoints; names are asked of `dns`.
fn file(dns: &Dns, more: &str, pools: &[&str]) -> String {
    let pools: Vec<String> =
        ('a'..).zip(pools).map(|(name, endpoints)| format!("{{name: {name}, endpoints: [{endpoints}]}}")).collect();
    format!(
        "dns: {{servers: \"{}\", timeout: 300ms}}\n{more}\n\
         listeners: [{{name: in, bind: \"127.0.0.1:0\", routes: [{{service: s}}]}}]\n\
         services: {{s: {{health_check: {QUICK}, failover: {{failback: {{hold_down: 100ms}}}}, pools: [{}]}}}}\n",
        dns.address,
        pools.join(", ")
    )
}

/// The name `app.test` as an endpoint, with the port of this upstream.
fn app(upstream: &Upstream) -> String {
    format!("{{dns: \"app.test:{}\"}}", upstream.address.port())
}

async fn addresses_of(plane: &Plane, pool: usize) -> Vec<SocketAddr> {
    plane.service("s").await.pools[pool].endpoints.iter().map(|e| e.state.address).collect()
}

async fn stands_for(plane: &Plane, pool: usize, wanted: &[SocketAddr]) -> ServiceReport {
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    eventually(&format!("pool {pool} is {wanted:?}"), || async {
        let mut found = addresses_of(plane, pool).await;
        found.sort_unstable();
        (found == wanted).then_some(())
    })
    .await;
    plane.service("s").await
}

async fn name(plane: &Plane) -> NameReport {
    plane.status().await.names.remove(0)
}

/// Two upstreams with the same port on two addresses.
async fn pair() -> (Upstream, Upstream) {
    loop {
        let first = Upstream::at("127.0.0.2:0".parse().unwrap(), Manners::ok()).await.unwrap();
        let second: SocketAddr = ([127, 0, 0, 3], first.address.port()).into();
        if let Some(second) = Upstream::at(second, Manners::ok()).await {
            return (first, second);
        }
    }
}

#[tokio::test]
async fn a_name_is_an_endpoint_from_the_start_and_its_check_asks_for_it() {
    let dns = Dns::start();
    let upstream = Upstream::start(Manners::ok()).await;
    let port = upstream.address.port();
    dns.say("app.test", addresses(60, &["127.0.0.1"]));
    let plane = Plane::start(&file(&dns, "", &[&format!("{{dns: \"App.Test.:{port}\", weight: 7}}")]));
    plane.active("s", "a").await;
    assert!(upstream.last_request().contains(&format!("host: app.test:{port}")), "{}", upstream.last_request());
    assert_eq!(plane.endpoint(upstream.address).await.host.as_deref(), Some("app.test"));
    let table = plane.handle.published().load();
    assert_eq!(table.services[0].pools[0].endpoints[0].weight, 7);
    let name = name(&plane).await;
    assert_eq!((name.name, name.addresses), (format!("app.test.:{port}"), vec![upstream.address]));
    assert!(name.answered_unix_ms > 0 && name.trouble.is_none());
}

#[tokio::test]
async fn what_an_answer_keeps_keeps_its_health_and_what_it_adds_is_checked_first() {
    let dns = Dns::start();
    let (first, second) = pair().await;
    second.behave(Manners::Hang);
    dns.say("app.test", addresses(1, &["127.0.0.2"]));
    let plane = Plane::start(&file(&dns, "", &[&app(&first)]));
    plane.active("s", "a").await;
    let before = plane.endpoint(first.address).await.state;
    dns.say("app.test", addresses(1, &["127.0.0.3", "127.0.0.2"]));
    let service = stands_for(&plane, 0, &[first.address, second.address]).await;
    let at = |address| service.pools[0].endpoints.iter().find(|e| e.state.address == address).unwrap().state.clone();
    assert_eq!((at(first.address).id, at(first.address).standing), (before.id, before.standing));
    assert_eq!(at(second.address).standing.operational, Operational::Checking);
    second.behave(Manners::ok());
    plane.stands(&second, Operational::Healthy).await;
    assert_eq!(plane.status().await.incidents.len(), 0, "nothing was switched");
}

#[tokio::test]
async fn an_address_that_moved_stands_in_until_the_new_one_is_well() {
    let dns = Dns::start();
    let (old, new) = pair().await;
    new.behave(Manners::answer(503, "", "not yet"));
    dns.say("app.test", addresses(1, &["127.0.0.2"]));
    let plane = Plane::start(&file(&dns, "", &[&app(&old)]));
    plane.active("s", "a").await;
    dns.say("app.test", addresses(1, &["127.0.0.3"]));
    stands_for(&plane, 0, &[old.address, new.address]).await;
    plane.stands(&new, Operational::Unhealthy).await;
    let service = plane.service("s").await;
    assert_eq!((service.active.as_deref(), service.pools[0].usable), (Some("a"), 1), "the old one serves on");
    new.behave(Manners::ok());
    let service = stands_for(&plane, 0, &[new.address]).await;
    assert_eq!((service.active.as_deref(), service.pools[0].usable), (Some("a"), 1));
    assert_eq!(plane.status().await.incidents.len(), 0, "nothing was switched");
}

#[tokio::test]
async fn no_answer_of_any_kind_empties_a_pool() {
    let dns = Dns::start();
    let upstream = Upstream::start(Manners::ok()).await;
    dns.say("app.test", addresses(1, &["127.0.0.1"]));
    let plane = Plane::start(&file(&dns, "", &[&app(&upstream)]));
    plane.active("s", "a").await;
    let epoch = plane.status().await.epoch;
    let [blocked, mapped] = ["0.0.0.0", "::ffff:0.0.0.0"].map(|ip| addresses(1, &[ip]));
    for say in [Say::NxDomain, Say::Nothing, Say::ServerFailure, Say::Silence, Say::Garbage, blocked, mapped] {
        dns.say("app.test", say.clone());
        let trouble = eventually(&format!("{say:?} is noticed"), || async { name(&plane).await.trouble }).await;
        let name = name(&plane).await;
        assert_eq!(name.addresses, [upstream.address], "{say:?}: {trouble}");
        dns.say("app.test", addresses(1, &["127.0.0.1"]));
        eventually("it answers again", || async { (self::name(&plane).await.trouble.is_none()).then_some(()) }).await;
    }
    assert_eq!(addresses_of(&plane, 0).await, [upstream.address]);
    assert_eq!(plane.status().await.epoch, epoch, "nothing was even published");
    let lookups = name(&plane).await.lookups;
    assert!(lookups.iter().all(|(_, count)| *count > 0), "found, nothing and failed: {lookups:?}");
}

#[tokio::test]
async fn a_service_name_says_ports_and_weights_and_only_the_best_priority_counts() {
    let dns = Dns::start();
    let (a, b, spare) = (
        Upstream::start(Manners::ok()).await,
        Upstream::start(Manners::ok()).await,
        Upstream::start(Manners::ok()).await,
    );
    let port = |upstream: &Upstream| upstream.address.port();
    let records =
        vec![(10, 30, port(&a), "one.test"), (10, 0, port(&b), "two.test"), (20, 65_535, port(&spare), "one.test")];
    dns.say("_real._tcp.app.test", Say::Services(60, records));
    dns.say("_http._tcp.app.test", Say::Alias(60, "_real._tcp.app.test", vec![]));
    dns.say("one.test", addresses(60, &["127.0.0.1"]));
    dns.say("two.test", Say::Alias(60, "three.test", vec!["127.0.0.1".parse().unwrap()]));
    let plane = Plane::start(&file(&dns, "", &["{srv: _http._tcp.app.test}"]));
    stands_for(&plane, 0, &[a.address, b.address]).await;
    plane.stands(&b, Operational::Healthy).await;
    let table = plane.handle.published().load();
    let weight =
        |of: &Upstream| table.services[0].pools[0].endpoints.iter().find(|e| e.address == of.address).unwrap().weight;
    assert_eq!((weight(&a), weight(&b)), (30, 1));
    assert_eq!(plane.endpoint(b.address).await.host.as_deref(), Some("app.test"), "not what DNS says");
}

#[tokio::test]
async fn half_an_answer_is_none() {
    let dns = Dns::start();
    let (a, b) = (Upstream::start(Manners::ok()).await, Upstream::start(Manners::ok()).await);
    let records = vec![(0, 0, a.address.port(), "one.test"), (0, 0, b.address.port(), "two.test")];
    dns.say("_http._tcp.app.test", Say::Services(1, records));
    dns.say("one.test", addresses(1, &["127.0.0.1"]));
    dns.say("two.test", addresses(1, &["127.0.0.1"]));
    let plane = Plane::start(&file(&dns, "", &["{srv: _http._tcp.app.test}"]));
    stands_for(&plane, 0, &[a.address, b.address]).await;
    dns.say("two.test", Say::Silence);
    let trouble = eventually("a target is silent", || async { name(&plane).await.trouble }).await;
    assert!(trouble.contains("two.test"), "{trouble}");
    assert_eq!(addresses_of(&plane, 0).await.len(), 2);
    // That a target is gone is an answer.
    dns.say("two.test", Say::NxDomain);
    stands_for(&plane, 0, &[a.address]).await;
}

#[tokio::test]
async fn an_endpoint_that_falls_has_its_name_asked_at_once() {
    let dns = Dns::start();
    let (mut old, new) = pair().await;
    dns.say("app.test", addresses(3600, &["127.0.0.2"]));
    let plane = Plane::start(&file(&dns, "", &[&app(&old)]));
    plane.active("s", "a").await;
    // (Each task asks once more, a second after the start; from then on the hour counts, which is a minute.)
    eventually("the second question", || async { (dns.asked("app.test") >= 2).then_some(()) }).await;
    eventually("its answer", || async { (name(&plane).await.lookups[0].1 >= 2).then_some(()) }).await;
    dns.say("app.test", addresses(3600, &["127.0.0.3"]));
    old.die().await;
    // (Nothing here is waited for as long as a minute.)
    stands_for(&plane, 0, &[new.address]).await;
    plane.active("s", "a").await;
}

#[tokio::test]
async fn names_survive_a_restart_without_dns() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let dns = Dns::start();
    let upstream = Upstream::start(Manners::ok()).await;
    dns.say("app.test", addresses(60, &["127.0.0.1"]));
    let more = format!("state: {{path: {}}}", state.display());
    let text = file(&dns, &more, &[&app(&upstream)]);
    let plane = Plane::start(&text);
    plane.active("s", "a").await;
    eventually("the state is on disk", || async {
        std::fs::read_to_string(&state).ok().filter(|text| text.contains("app.test")).map(drop)
    })
    .await;
    drop(plane);
    dns.say("app.test", Say::Silence);
    let plane = Plane::start(&text);
    plane.active("s", "a").await;
    assert_eq!(addresses_of(&plane, 0).await, [upstream.address]);
    assert!(name(&plane).await.answered_unix_ms == 0, "what is known is from before");
}

#[tokio::test]
async fn a_name_that_is_unknown_at_the_start_is_taken_up_when_it_is_known() {
    let dns = Dns::start();
    let (named, spare) = (Upstream::start(Manners::ok()).await, Upstream::start(Manners::ok()).await);
    let pools = [app(&named), format!("\"{}\"", spare.address)];
    let plane = Plane::start(&file(&dns, "", &[&pools[0], &pools[1]]));
    let service = plane.active("s", "b").await;
    assert!(service.pools[0].endpoints.is_empty() && !service.pools[0].available);
    assert!(name(&plane).await.trouble.is_some());
    dns.say("app.test", addresses(60, &["127.0.0.1"]));
    plane.active("s", "a").await;
}

#[tokio::test]
async fn a_reload_asks_for_new_names_before_it_takes_effect_and_forgets_old_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("standfast.yaml");
    let dns = Dns::start();
    let (first, second) = pair().await;
    let port = first.address.port();
    dns.say("one.test", addresses(60, &["127.0.0.2"]));
    dns.say("two.test", addresses(60, &["127.0.0.3"]));
    std::fs::write(&path, file(&dns, "", &[&format!("{{dns: \"one.test:{port}\"}}")])).unwrap();
    let plane = Plane::from_file(&path);
    plane.active("s", "a").await;
    let id = plane.endpoint(first.address).await.state.id;
    let both = format!("{{dns: \"one.test:{port}\"}}, {{dns: \"two.test:{port}\"}}");
    std::fs::write(&path, file(&dns, "", &[&both])).unwrap();
    plane.handle.reload(reload_permit()).await.unwrap();
    assert_eq!(addresses_of(&plane, 0).await, [first.address, second.address], "at once");
    assert_eq!(plane.endpoint(first.address).await.state.id, id);
    // The same address by its number: the same endpoint.
    std::fs::write(&path, file(&dns, "", &[&format!("\"{}\"", first.address)])).unwrap();
    plane.handle.reload(reload_permit()).await.unwrap();
    assert_eq!(addresses_of(&plane, 0).await, [first.address]);
    assert_eq!(plane.endpoint(first.address).await.state.id, id);
    assert_eq!(plane.endpoint(first.address).await.host, None);
    assert!(plane.status().await.names.is_empty());
    assert_eq!(plane.status().await.generation, 3, "answers are no reloads");
}

#[tokio::test]
async fn an_address_is_one_endpoint_however_many_names_have_it() {
    let dns = Dns::start();
    let (first, second) = pair().await;
    let port = first.address.port();
    dns.say("one.test", addresses(60, &["127.0.0.2", "127.0.0.3"]));
    dns.say("two.test", addresses(60, &["127.0.0.3"]));
    let pools =
        [format!("\"{}\", {{dns: \"one.test:{port}\"}}", first.address), format!("{{dns: \"two.test:{port}\"}}")];
    let plane = Plane::start(&file(&dns, "", &[&pools[0], &pools[1]]));
    plane.active("s", "a").await;
    assert_eq!(addresses_of(&plane, 0).await, [first.address, second.address]);
    assert!(addresses_of(&plane, 1).await.is_empty());
}

#[tokio::test]
async fn the_family_says_which_addresses_count() {
    let dns = Dns::start();
    dns.say("both.test", addresses(60, &["127.0.0.2", "::1"]));
    dns.say("six.test", addresses(60, &["::1"]));
    let all = "{dns: \"both.test:1\"}, {dns: \"both.test:2\", family: ipv6}, {dns: \"both.test:3\", family: all}, \
               {dns: \"six.test:4\"}, {dns: \"six.test:5\", family: ipv4}";
    let plane = Plane::start(&file(&dns, "", &[all]));
    let found: Vec<String> = addresses_of(&plane, 0).await.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["127.0.0.2:1", "[::1]:2", "127.0.0.2:3", "[::1]:3", "[::1]:4"]);
}

#[tokio::test]
async fn a_server_without_edns_is_asked_again_without_it() {
    for formerr in [Formerr::WithTheQuestion, Formerr::HeadAlone, Formerr::NotImplemented, Formerr::Silence] {
        let dns = Dns::start();
        let upstream = Upstream::start(Manners::ok()).await;
        dns.say("app.test", Say::Old(Box::new(addresses(60, &["127.0.0.1"])), formerr));
        let plane = Plane::start(&file(&dns, "", &[&app(&upstream)]));
        plane.active("s", "a").await;
        assert_eq!(addresses_of(&plane, 0).await, [upstream.address], "{formerr:?}");
    }
}

#[tokio::test]
async fn a_failure_for_one_family_does_not_hide_the_other() {
    let (four, six) = (|| addresses(1, &["127.0.0.2"]), || addresses(1, &["::1"]));
    let fail = || Say::ServerFailure;
    let half = |a: Say, aaaa: Say| Say::ByType(Box::new(a), Box::new(aaaa));
    let dns = Dns::start();
    dns.say("auto.test", half(fail(), six()));
    dns.say("all.test", half(fail(), six()));
    dns.say("turned.test", half(four(), fail()));
    dns.say("_s._tcp.app.test", Say::Services(1, vec![(0, 0, 4, "auto.test")]));
    let all = "{dns: \"auto.test:1\"}, {dns: \"all.test:2\", family: all}, {dns: \"turned.test:3\", family: all}, \
               {srv: _s._tcp.app.test}";
    let plane = Plane::start(&file(&dns, "", &[all]));
    let found = || async {
        let mut found: Vec<String> = addresses_of(&plane, 0).await.iter().map(ToString::to_string).collect();
        found.sort_unstable();
        found
    };
    assert_eq!(found().await, ["127.0.0.2:3", "[::1]:1", "[::1]:2", "[::1]:4"]);
    let troubles = plane.status().await.names.into_iter().filter_map(|name| name.trouble);
    assert_eq!(troubles.filter(|trouble| trouble.contains("addresses: ")).count(), 4, "half an answer is told");
}

#[tokio::test]
async fn a_failure_for_one_family_takes_no_address_of_it_away() {
    let dns = Dns::start();
    let both = || Say::ByType(Box::new(addresses(1, &["127.0.0.2"])), Box::new(addresses(1, &["::1"])));
    let half = || Say::ByType(Box::new(Say::ServerFailure), Box::new(addresses(1, &["::1"])));
    dns.say("auto.test", both());
    dns.say("all.test", both());
    let all = "{dns: \"auto.test:1\"}, {dns: \"all.test:2\", family: all}";
    let plane = Plane::start(&file(&dns, "", &[all]));
    let wanted: Vec<SocketAddr> = ["127.0.0.2:1", "127.0.0.2:2", "[::1]:2"].map(|a| a.parse().unwrap()).into();
    stands_for(&plane, 0, &wanted).await;
    dns.say("auto.test", half());
    dns.say("all.test", half());
    eventually("both failures are noticed", || async {
        plane.status().await.names.iter().all(|name| name.trouble.is_some()).then_some(())
    })
    .await;
    stands_for(&plane, 0, &wanted).await;
    dns.say("all.test", addresses(1, &["::1"]));
    stands_for(&plane, 0, &["127.0.0.2:1".parse().unwrap(), "[::1]:2".parse().unwrap()]).await;
}

#[tokio::test]
async fn addresses_that_change_faster_than_they_are_checked_do_not_keep_the_standby_waiting() {
    let dns = Dns::start();
    let spare = Upstream::start(Manners::ok()).await;
    dns.say("app.test", addresses(1, &["127.0.0.4"]));
    // Nobody answers a check in its time, and every answer names somebody else.
    let hanging = Upstream::at("127.0.0.4:0".parse().unwrap(), Manners::Hang).await.unwrap();
    let pools = [app(&hanging), format!("\"{}\"", spare.address)];
    let text = file(&dns, "", &[&pools[0], &pools[1]]).replace("timeout: 1s", "timeout: 3s").replace("50ms", "4s");
    let plane = Plane::start(&text);
    let turning = async {
        for host in 5.. {
            dns.say("app.test", addresses(1, &[&format!("127.0.0.{host}")]));
            tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        }
    };
    tokio::select! {
        () = turning => {}
        service = plane.active("s", "b") => assert!(service.pools[1].available),
    }
}

#[tokio::test]
async fn a_second_server_is_asked_when_the_first_is_silent() {
    let (silent, dns) = (Dns::start(), Dns::start());
    let upstream = Upstream::start(Manners::ok()).await;
    silent.say("app.test", Say::Silence);
    dns.say("app.test", addresses(60, &["127.0.0.1"]));
    let both = format!("servers: [\"{}\", \"{}\"]", silent.address, dns.address);
    let one = format!("servers: \"{}\"", dns.address);
    let text = file(&dns, "", &[&app(&upstream)]).replace(&one, &both);
    let plane = Plane::start(&text);
    plane.active("s", "a").await;
    assert!(silent.asked("app.test") > 0, "the first is the first");
    // The second one's word does not count while the first has one.
    silent.say("app.test", Say::NxDomain);
    eventually("the first one's word", || async { name(&plane).await.trouble }).await;
    assert_eq!(addresses_of(&plane, 0).await, [upstream.address]);
}

//! TCP sessions: connects go on to somebody who answers, and sessions of a dead pool end.

use std::io::ErrorKind;

use standfast::decision::{Operational, SwitchKind};

use super::scene::{addresses, good};
use crate::support::plane::yaml;
use crate::support::{Client, Instance, Upstream, get, until};

const QUICK: &str = "    health_check: {http: {path: /health}, interval: 300ms, timeout: 250ms, fast_interval: 100ms, fall: 2, rise: 1}\n    failover: {sessions: close, failback: {hold_down: 200ms}}\n";

struct Scene {
    home: [Upstream; 2],
    _standby: [Upstream; 2],
    proxy: Instance,
}

impl Scene {
    async fn start() -> Scene {
        let home = [Upstream::start(good("home")).await, Upstream::start(good("home")).await];
        let standby = [Upstream::start(good("standby")).await, Upstream::start(good("standby")).await];
        let pools = [addresses(&home), addresses(&standby)];
        let mut proxy = Instance::start(&yaml("tcp", &[&pools[0], &pools[1]], "", QUICK));
        proxy.stand(pools.as_flattened(), Operational::Healthy).await;
        proxy.serves("web", 0).await;
        proxy.news();
        Scene { home, _standby: standby, proxy }
    }

    /// A session in which something was said already.
    async fn session(&self) -> (Client, String) {
        let mut client = Client::connect(self.proxy.address("web")).await;
        let answer = client.ask(get("/", "session")).await;
        (client, answer.text().to_owned())
    }

    async fn sessions(&self, count: usize) -> Vec<Client> {
        let mut sessions = Vec::new();
        for _ in 0..count {
            sessions.push(self.session().await.0);
        }
        sessions
    }
}

async fn are_reset(sessions: Vec<Client>) {
    for mut session in sessions {
        assert_eq!(session.rest().await, (Vec::new(), Some(ErrorKind::ConnectionReset)));
    }
}

#[tokio::test]
async fn a_refused_connect_goes_on_to_the_next_endpoint() {
    let mut scene = Scene::start().await;
    scene.home[0].refuse().await;
    for _ in 0..20 {
        assert_eq!(scene.session().await.1, "home");
    }
    scene.proxy.stand(&[scene.home[0].address], Operational::Unhealthy).await;
    assert_eq!(scene.proxy.news().switches, []);
}

#[tokio::test]
async fn sessions_of_a_pool_that_dies_end_and_no_new_one_fails() {
    let mut scene = Scene::start().await;
    let sessions = scene.sessions(8).await;
    let [first, second] = &mut scene.home;
    tokio::join!(first.refuse(), second.refuse());
    for _ in 0..20 {
        assert_eq!(scene.session().await.1, "standby");
    }
    are_reset(sessions).await;
    for upstream in &mut scene.home {
        upstream.listen_again().await;
    }
    scene.proxy.serves("web", 0).await;
    assert_eq!(scene.session().await.1, "home");
    assert_eq!(scene.proxy.news().switches, [SwitchKind::Failover, SwitchKind::Failback]);
}

#[tokio::test]
async fn sessions_of_a_pool_that_freezes_are_fenced_off_on_both_sides() {
    let mut scene = Scene::start().await;
    let sessions = scene.sessions(8).await;
    scene.home.iter().for_each(Upstream::freeze);
    scene.proxy.serves("web", 1).await;
    are_reset(sessions).await;
    assert_eq!(scene.session().await.1, "standby");
    scene.home.iter().for_each(Upstream::thaw);
    until("what thaws finds its sessions closed", || scene.home.iter().all(|upstream| upstream.open() == 0)).await;
    assert_eq!(scene.proxy.news().switches, [SwitchKind::Failover]);
}

#[tokio::test]
async fn connects_that_nobody_answers_go_on_to_the_next_endpoint() {
    let mut scene = Scene::start().await;
    scene.home[0].vanish().await;
    for _ in 0..10 {
        assert_eq!(scene.session().await.1, "home");
    }
    assert_eq!(scene.proxy.news().switches, []);
}

//! Two pools of two endpoints, and an instance before them that knows how fast they are.

use std::net::SocketAddr;
use std::time::Duration;

use standfast::decision::Operational;
use tokio::task::JoinSet;

use super::load::{Ledger, Load};
use crate::support::instance::News;
use crate::support::plane::http_yaml;
use crate::support::{Behaviour, Client, Instance, Upstream, get};

/// Checks that tell within tenths of a second, a way home that is as short, and otherwise the defaults.
pub const QUICK: &str = "    health_check: {http: {path: /health}, interval: 300ms, timeout: 250ms, fast_interval: 100ms, fall: 2, rise: 1}\n    failover: {failback: {hold_down: 200ms}}\n    outlier_detection: {base_ejection: 500ms}\n    timeouts: {response: 1s}\n";

/// Checks that ask when there is a reason, and forgive a machine that does other things too.
pub const CALM: &str = "    health_check: {http: {path: /health}, interval: 9s, timeout: 5s, fast_interval: 100ms}\n    failover: {failback: {hold_down: 200ms}}\n";

/// Answers of each upstream before its first fault: they take a moment, so that some are always on their way.
pub fn good(name: &str) -> Behaviour {
    Behaviour::ok(name).after(Duration::from_millis(5))
}

pub struct Scene {
    pub home: [Upstream; 2],
    pub standby: [Upstream; 2],
    pub proxy: Instance,
}

impl Scene {
    /// Everybody is healthy, home serves, and it is known how long answers take.
    pub async fn start(more: &str) -> Scene {
        Scene::start_with(more, |yaml| yaml).await
    }

    /// With a configuration that the test changes first.
    pub async fn start_with(more: &str, change: impl FnOnce(String) -> String) -> Scene {
        let home = [Upstream::start(good("home")).await, Upstream::start(good("home")).await];
        let standby = [Upstream::start(good("standby")).await, Upstream::start(good("standby")).await];
        let pools = [addresses(&home), addresses(&standby)];
        let mut proxy = Instance::start(&change(http_yaml(&[&pools[0], &pools[1]], more)));
        proxy.stand(pools.as_flattened(), Operational::Healthy).await;
        proxy.serves("web", 0).await;
        acquaint(proxy.address("web")).await;
        proxy.news();
        Scene { home, standby, proxy }
    }

    pub fn load(&self) -> Load {
        Load::start(self.proxy.address("web"))
    }

    pub fn home(&self) -> [SocketAddr; 2] {
        addresses(&self.home)
    }

    pub fn upstreams(&self) -> impl Iterator<Item = &Upstream> {
        self.home.iter().chain(&self.standby)
    }

    /// The home pool's endpoints behave like this.
    pub fn home_behaves(&self, behaviour: &Behaviour) {
        self.home.iter().for_each(|upstream| upstream.behave(behaviour.clone()));
    }

    /// Probes that home has got.
    pub fn probes(&self) -> usize {
        let heads = self.home.iter().flat_map(|upstream| upstream.heads());
        heads.filter(|head| head.starts_with("GET /health ")).count()
    }

    /// How often all upstreams together executed it.
    pub fn executed(&self, id: &str) -> usize {
        self.upstreams().map(|upstream| upstream.executed(id)).sum()
    }

    /// Holds whatever happens: no POST is executed twice, and one that was answered well was executed.
    pub fn audit(&self, ledger: &Ledger) {
        for post in ledger.posts() {
            let times = self.executed(&post.id);
            assert!(times <= 1, "{post:?} was executed {times} times");
            assert!(times == 1 || post.status() != 200, "{post:?} was executed by nobody");
        }
    }

    /// No request failed, no POST was executed twice, no endpoint condemned and no pool left.
    pub fn assert_calm(&mut self, ledger: &Ledger) {
        assert!(ledger.failed().is_empty(), "{:?}", ledger.failed());
        self.audit(ledger);
        assert_eq!(self.proxy.news(), News::default());
    }
}

pub fn addresses(upstreams: &[Upstream; 2]) -> [SocketAddr; 2] {
    [upstreams[0].address, upstreams[1].address]
}

/// Asks often enough that it is known how long answers take.
pub async fn acquaint(address: SocketAddr) {
    let asking = (0..8).map(|_| async move {
        let mut client = Client::connect(address).await;
        for _ in 0..20 {
            assert_eq!(client.ask(get("/", "acquaintance")).await.status(), 200);
        }
    });
    asking.collect::<JoinSet<()>>().join_all().await;
}

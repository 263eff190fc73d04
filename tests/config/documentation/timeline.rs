//! The worked timeline of failover.md, told to the decision core.

use std::sync::Arc;
use std::time::Duration;

use standfast::config;
use standfast::decision::{Decision, EndpointId, Event, ProbeFailure, ProbeOutcome, Serving};
use standfast::time::MonoTime;

use super::page::{Page, root};

const CONFIGURATION: &str = "
listeners: [{name: web, bind: 127.0.0.1:0, service: shop}]
services:
  shop:
    health_check: {http: /healthz}
    failover: {failback: {mode: auto, hold_down: 10s}}
    pools: [{name: north, endpoints: [10.0.1.11:80]}, {name: south, endpoints: [10.0.2.11:80]}]
";

struct Story {
    core: Decision,
    now: MonoTime,
}

impl Story {
    fn tell(&mut self, event: Event) {
        self.core.handle(event, self.now);
        self.core.effects();
    }

    fn probe(&mut self, endpoint: u32, passes: bool) {
        let outcome = match passes {
            true => ProbeOutcome::Pass { latency: Duration::from_millis(1), reading: None },
            false => ProbeOutcome::Fail { kind: ProbeFailure::Refused, detail: String::new() },
        };
        self.tell(Event::Probed { endpoint: EndpointId(endpoint), seen: self.now, began: Some(self.now), outcome });
    }

    fn wait_until(&mut self, end: MonoTime) {
        while let Some(due) = self.core.deadline().filter(|due| *due <= end) {
            self.now = due;
            self.core.tick(due);
            self.core.effects();
        }
        self.now = end;
    }

    fn active(&self) -> String {
        let row = &self.core.table().services[0];
        match row.serving {
            Serving::Active(active) => row.pools[active].name.to_string(),
            _ => String::new(),
        }
    }
}

/// `02:25`
fn time(text: &str) -> Duration {
    let (minutes, seconds) = text.split_once(':').expect("minutes and seconds");
    Duration::from_secs(60 * minutes.parse::<u64>().expect("minutes") + seconds.parse::<u64>().expect("seconds"))
}

#[test]
fn the_worked_timeline_is_what_happens() {
    let rows = Page::read("config/guides/failover.md").table("timeline");
    assert!(rows.len() > 5, "{rows:?}");
    let start = MonoTime::from_micros(3_600_000_000);
    let mut story = Story { core: Decision::new(None, start), now: start };
    let loaded = config::parse(CONFIGURATION, root()).unwrap_or_else(|problems| panic!("{problems}"));
    story.tell(Event::Configured(Arc::new(loaded.config)));
    [0, 1].into_iter().for_each(|endpoint| story.probe(endpoint, true));
    let zero = start.after(Duration::from_secs(30));
    let mut before = "north".to_owned();
    for row in &rows {
        let at = zero.after(time(&row[0]));
        story.wait_until(at.before(Duration::from_millis(500)));
        assert_eq!(story.active(), before, "just before {row:?}");
        story.wait_until(at);
        match row[1].as_str() {
            "`north` fails" => (0..3).for_each(|_| story.probe(0, false)),
            "`north` recovers" => (0..2).for_each(|_| story.probe(0, true)),
            "failback" => {}
            other => panic!("{other}: this test does not know that"),
        }
        assert_eq!(story.active(), row[2], "{row:?}");
        before = story.active();
    }
}

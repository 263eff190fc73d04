//! The state file: whatever stands in it, it is refused or the decisions go on from it, and what they become is saved and read
//! as the same.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use standfast::config::{self, Config, Name};
use standfast::control::readers::state_file;
use standfast::decision::*;
use standfast::time::MonoTime;

use super::tools::{Rng, bounded, seed, shown};

const TEXT: &str = "
state: {path: /nonexistent/s.json}
listeners:
  - {name: web, bind: 127.0.0.1:80, service: shop}
  - {name: web2, bind: 127.0.0.1:81, service: all}
services:
  shop:
    health_check: {tcp: {}, interval: 1s, timeout: 500ms}
    pools:
      - {name: home, endpoints: [127.0.0.1:1, 127.0.0.1:2]}
      - {name: away, endpoints: [127.0.0.1:3, 127.0.0.1:4]}
  all:
    mode: active_active
    health_check: {tcp: {}, interval: 1s, timeout: 500ms}
    pools:
      - {name: home, weight: 3, endpoints: [127.0.0.1:11]}
      - {name: away, weight: 1, endpoints: [127.0.0.1:12]}
";

static CONFIG: LazyLock<Arc<Config>> =
    LazyLock::new(|| Arc::new(config::parse(TEXT, Path::new("/")).expect("valid").config));

pub fn check(input: &[u8]) {
    let config = Arc::clone(&CONFIG);
    bounded((8 << 20) + 1000 * input.len(), || {
        let Ok((saved, written)) = state_file(input) else { return };
        // Written and read again; not a byte of it may change.
        let (again, same) =
            state_file(&written).unwrap_or_else(|why| panic!("we would refuse it: {why}: {}", shown(&written)));
        assert!(again == saved && same == written, "{}", shown(&written));
        let seed = seed(input);
        let mut turned = written.clone();
        let at = seed as usize % turned.len();
        turned[at] ^= 1 << ((seed >> 32) % 8);
        assert!(state_file(&turned).is_err(), "a bit at {at} turned: {}", shown(&turned));
        assert!(state_file(&written[..at]).is_err(), "cut at {at}: {}", shown(&written));
        go_on(seed, saved, &config);
    });
}

/// Events of all kinds, from the restored state on.
fn go_on(seed: u64, saved: Saved, config: &Arc<Config>) {
    let before = saved.epoch;
    let mut now = MonoTime::from_micros(900_000_000_000);
    let mut core = Decision::new(Some(saved.aged(Duration::from_secs(seed >> 48))), now);
    core.handle(Event::Configured(Arc::clone(config)), now);
    let mut rng = Rng(seed | 1);
    let mut last = before;
    for _ in 0..24 {
        let table = core.table();
        assert!(table.epoch >= last && table.epoch > before, "the epoch goes back");
        last = table.epoch;
        assert_eq!(table.services.len(), 2);
        for service in &table.services {
            assert!(!matches!(service.serving, Serving::Active(pool) if pool >= service.pools.len()));
        }
        let (event, pause) = (event(&mut rng, &table, now, config), [0, 100, 3000, 70_000][rng.below(4)]);
        let _ = (core.status(now), core.effects());
        core.handle(event, now);
        let end = now.after(Duration::from_millis(pause));
        let mut turns = 0;
        while let Some(due) = core.deadline().filter(|due| *due <= end) {
            now = now.max(due);
            core.tick(now);
            turns += 1;
            assert!(turns < 10_000, "deadlines without end");
            assert!(core.deadline().is_none_or(|next| next > due), "a deadline that does not move");
        }
        now = end;
    }
    assert!(core.incidents().count() <= 64, "more incidents than are kept: {}", core.incidents().count());
    let saved = core.saved(now);
    assert_eq!(saved.epoch, core.table().epoch);
    let mut next = Decision::new(Some(saved.clone()), now);
    next.handle(Event::Configured(Arc::clone(config)), now);
    assert_eq!(next.table().epoch, saved.epoch + 1);
}

fn event(rng: &mut Rng, table: &Table, now: MonoTime, config: &Arc<Config>) -> Event {
    let pools = table.services.iter().flat_map(|service| &service.pools);
    let ids: Vec<EndpointId> = pools.flat_map(|pool| &pool.endpoints).map(|endpoint| endpoint.id).collect();
    let endpoint = ids[rng.below(ids.len())];
    let (service, pool): (Name, Name) = ("shop".into(), ["home", "away"][rng.below(2)].into());
    let act = |command| Act::new(ActId(now.as_micros().into()), Actor::local("me"), command);
    let ordered = |command| Event::Ordered { seen: now, act: act(command) };
    let probed = |outcome| Event::Probed { endpoint, seen: now, began: None, outcome };
    match rng.below(10) {
        0..=2 => probed(ProbeOutcome::Pass { latency: Duration::from_millis(1), reading: None }),
        3..=4 => probed(ProbeOutcome::Fail { kind: ProbeFailure::Refused, detail: String::new() }),
        5 => ordered(ActCommand::Switchover { service, pool }),
        6 => ordered(ActCommand::Thaw { service }),
        7 => ordered(ActCommand::Unpin { service }),
        8 => Event::Answered { service, epoch: table.epoch, seen: now },
        _ => Event::Configured(Arc::clone(config)),
    }
}

//! Conditions, judged from outside: each is raised once when its reason begins (a freeze again whenever it becomes longer) and
//! cleared when it ends, in the same turn, and the saved state and the status have exactly those that are open.

use std::collections::{BTreeMap, BTreeSet};

use standfast::config::Name;
use standfast::decision::{
    CheckAnswerClass, ConditionChange, ConditionKind, Decision, Effect, EndpointStatus, HoldScope, PoolStatus, Saved,
    ServiceStatus, Serving,
};
use standfast::time::MonoTime;

use super::coverage::Coverage;
use super::world::{Verdict, ensure};

/// A condition of a service, about a pool or about all of it.
type ConditionKey = (Name, ConditionKind, Option<Name>);

/// What was raised and not cleared since.
#[derive(Debug, Default)]
pub struct ConditionJudge {
    open: BTreeSet<ConditionKey>,
    /// The ends of those that end by themselves, as they were told last.
    ends: BTreeMap<ConditionKey, Option<MonoTime>>,
}

impl ConditionJudge {
    pub fn judge(&mut self, core: &Decision, effects: &[Effect], now: MonoTime, coverage: &mut Coverage) -> Verdict {
        let mut raised = Vec::new();
        for effect in effects {
            let Effect::Condition(change) = effect else { continue };
            let condition = change.condition();
            let key = (condition.service.clone(), condition.kind, condition.pool.clone());
            match change {
                ConditionChange::Raised(_) => {
                    coverage.hit(format!("condition {} raised", condition.kind.as_str()));
                    raised.push(key.clone());
                    let before = self.ends.insert(key.clone(), condition.until).flatten();
                    let longer =
                        condition.until.is_some() && before.is_none_or(|before| Some(before) < condition.until);
                    let again = !self.open.insert(key);
                    ensure!(!again || longer, "raised twice: {condition:?}");
                }
                ConditionChange::Cleared(_) => {
                    coverage.hit(format!("condition {} cleared", condition.kind.as_str()));
                    self.ends.remove(&key);
                    ensure!(self.open.remove(&key), "cleared, and it was not open: {condition:?}");
                }
            }
        }
        let services = core.status(now);
        if let Some((gone, ..)) = self.open.iter().find(|(name, ..)| !services.iter().any(|s| s.name == *name)) {
            return Err(format!("{gone} is gone, and conditions of it are open: {:?}", self.open));
        }
        services.iter().try_for_each(|service| self.service(service, &raised))
    }

    fn service(&self, service: &ServiceStatus, raised: &[ConditionKey]) -> Verdict {
        let key = |kind: ConditionKind, pool: Option<Name>| (service.name.clone(), kind, pool);
        let open: BTreeSet<_> = self.open.iter().filter(|(name, ..)| *name == service.name).cloned().collect();
        let shown = service.conditions.iter().map(|shown| key(shown.kind, shown.pool.clone())).collect();
        ensure!(open == shown, "the status shows {shown:?}, and {open:?} are open");
        let reasons: BTreeSet<_> = reasons(service).into_iter().map(|(kind, pool)| key(kind, pool)).collect();
        // Before the first choice nothing is known of the pools: what is open stays so.
        let undecided = |key: &&ConditionKey| service.serving == Serving::Starting && !key.1.is_decided();
        let new = raised.iter().filter(|key| key.0 == service.name).find(undecided);
        ensure!(new.is_none(), "{new:?} was raised while the service is starting");
        let wrong: Vec<_> = open.symmetric_difference(&reasons).filter(|key| !undecided(key)).collect();
        ensure!(wrong.is_empty(), "{wrong:?}: open are {open:?}, and the reasons {reasons:?}\n{service:?}");
        Ok(())
    }

    /// Another process goes on with what was saved.
    pub fn restarts(&self, saved: &Saved) -> Verdict {
        let mut found = BTreeSet::new();
        for service in &saved.services {
            found.extend(service.conditions.iter().map(|open| (service.name.clone(), open.kind, open.pool.clone())));
        }
        ensure!(found == self.open, "saved are {found:?}, and open {:?}", self.open);
        Ok(())
    }
}

/// The conditions whose reason is given.
fn reasons(service: &ServiceStatus) -> Vec<(ConditionKind, Option<Name>)> {
    let pool = |name: &Name| service.pools.iter().find(|pool| pool.name == *name);
    let pin = service.pinned.as_ref().filter(|pin| !pool(pin).is_some_and(|pool| pool.available));
    let real: Vec<_> = service.pools.iter().enumerate().filter(|(_, pool)| !pool.page).collect();
    let serving = real.iter().filter(|(place, _)| service.serving.serves(*place));
    let able = real.iter().filter(|(_, pool)| pool.available).count();
    let alone = real.len() > 1 && able == 1 && serving.clone().any(|(_, pool)| pool.available);
    let out = |pool: &&PoolStatus| pool.endpoints.iter().any(|e| e.standing.operational.has_fallen());
    let standby = match service.serving {
        Serving::Active(active) => {
            let better = real.iter().any(|(place, _)| *place < active);
            better.then(|| service.pools[active].name.clone())
        }
        Serving::Shared(_) => {
            let first = service.pools.iter().enumerate().find(|(place, _)| service.serving.serves(*place));
            first.filter(|_| !service.lost.is_empty()).map(|(_, pool)| pool.name.clone())
        }
        Serving::Starting | Serving::Down => None,
    };
    let whole = [
        (ConditionKind::AllDown, pin.is_none() && (service.serving == Serving::Down || service.failing_open)),
        (ConditionKind::Isolated, service.isolated),
        (ConditionKind::Frozen, service.frozen_for_ms.is_some()),
        (ConditionKind::FailingOpen, service.failing_open && service.serving.is_served()),
        (ConditionKind::NoStandby, alone),
        (ConditionKind::Held, service.hold.is_some()),
        (ConditionKind::Evacuated, !service.evacuated.is_empty()),
        (ConditionKind::ObjectiveMissed, service.missed),
    ];
    let mut holds: Vec<_> = whole.into_iter().filter(|(_, holds)| *holds).map(|(kind, _)| (kind, None)).collect();
    holds.extend(pin.map(|pin| (ConditionKind::PinnedToUnusable, Some(pin.clone()))));
    let held = service.hold.as_ref().is_some_and(|hold| hold.scope == HoldScope::All);
    let active = service.serving.active().map(|active| &service.pools[active]).filter(|pool| held && !pool.available);
    let other = service.pools.iter().any(|pool| pool.available);
    holds.extend(active.filter(|_| other).map(|pool| (ConditionKind::HeldToUnusable, Some(pool.name.clone()))));
    holds.extend(standby.map(|pool| (ConditionKind::OnStandby, Some(pool))));
    holds.extend(service.pools.iter().filter(out).map(|pool| (ConditionKind::EndpointOut, Some(pool.name.clone()))));
    let class = |endpoint: &EndpointStatus| endpoint.check.as_ref().map(|answer| answer.class);
    let blind = |pool: &&PoolStatus| pool.endpoints.iter().any(|e| class(e) == Some(CheckAnswerClass::Blind));
    holds.extend(service.pools.iter().filter(blind).map(|pool| (ConditionKind::CheckBlind, Some(pool.name.clone()))));
    holds
}

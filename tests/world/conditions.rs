//! Conditions, judged from outside: each is raised once when its reason begins (a freeze again whenever it becomes longer) and
//! cleared when it ends, in the same turn, and the saved state and the status have exactly those that are open.

use std::collections::BTreeMap;

use standfast::config::Name;
use standfast::decision::{ConditionChange, ConditionKind, Decision, Effect, Saved, ServiceStatus, Serving};
use standfast::time::MonoTime;

use super::coverage::Coverage;
use super::world::Verdict;

/// What was raised and not cleared since: the pool of each.
#[derive(Debug, Default)]
pub struct ConditionJudge {
    open: BTreeMap<(Name, ConditionKind), Option<Name>>,
    /// The ends of freezes, as they were told last.
    ends: BTreeMap<Name, Option<MonoTime>>,
}

impl ConditionJudge {
    pub fn judge(&mut self, core: &Decision, effects: &[Effect], now: MonoTime, coverage: &mut Coverage) -> Verdict {
        let mut raised = Vec::new();
        for effect in effects {
            let Effect::Condition(change) = effect else { continue };
            let condition = change.condition();
            let key = (condition.service.clone(), condition.kind);
            match change {
                ConditionChange::Raised(_) => {
                    coverage.hit(format!("condition {} raised", condition.kind.as_str()));
                    raised.push(key.clone());
                    let frozen = condition.kind == ConditionKind::Frozen;
                    let before = self.ends.get(&condition.service).copied().flatten();
                    let longer = frozen && before.is_none_or(|before| Some(before) < condition.until);
                    if frozen {
                        self.ends.insert(condition.service.clone(), condition.until);
                    }
                    if self.open.insert(key, condition.pool.clone()).is_some() && !longer {
                        return Err(format!("raised twice: {condition:?}"));
                    }
                }
                ConditionChange::Cleared(_) => {
                    coverage.hit(format!("condition {} cleared", condition.kind.as_str()));
                    if self.open.remove(&key) != Some(condition.pool.clone()) {
                        return Err(format!("cleared, and it was not open: {condition:?}"));
                    }
                }
            }
        }
        let services = core.status(now);
        if let Some((gone, _)) = self.open.keys().find(|(name, _)| !services.iter().any(|s| s.name == *name)) {
            return Err(format!("{gone} is gone, and conditions of it are open: {:?}", self.open));
        }
        services.iter().try_for_each(|service| self.service(service, &raised))
    }

    fn service(&self, service: &ServiceStatus, raised: &[(Name, ConditionKind)]) -> Verdict {
        for kind in ConditionKind::ALL {
            let key = (service.name.clone(), kind);
            let (open, reason) = (self.open.get(&key).cloned(), reason(service, kind));
            let shown = service.conditions.iter().find(|shown| shown.kind == kind).map(|shown| shown.pool.clone());
            if shown != open {
                return Err(format!("{key:?}: the status shows {shown:?}, and {open:?} is open"));
            }
            // Before the first choice nothing is known of the pools: what is open stays so.
            let undecided = service.serving == Serving::Starting && kind != ConditionKind::Frozen;
            if undecided && raised.contains(&key) {
                return Err(format!("{key:?} was raised while the service is starting"));
            }
            if !undecided && open != reason {
                return Err(format!("{key:?}: open is {open:?}, and its reason is {reason:?}\n{service:?}"));
            }
        }
        Ok(())
    }

    /// Another process goes on with what was saved.
    pub fn restarts(&self, saved: &Saved) -> Verdict {
        let mut found = BTreeMap::new();
        for service in &saved.services {
            found.extend(service.conditions.iter().map(|open| ((service.name.clone(), open.kind), open.pool.clone())));
        }
        if found == self.open { Ok(()) } else { Err(format!("saved are {found:?}, and open {:?}", self.open)) }
    }
}

/// Is the reason of a condition given? And the pool that it is about.
fn reason(service: &ServiceStatus, kind: ConditionKind) -> Option<Option<Name>> {
    let available = |name: &Name| service.pools.iter().any(|pool| pool.name == *name && pool.available);
    let pin = service.pinned.as_ref().filter(|pin| !available(pin));
    let holds = match kind {
        ConditionKind::PinnedToUnusable => return pin.map(|pin| Some(pin.clone())),
        ConditionKind::AllDown => pin.is_none() && (service.serving == Serving::Down || service.failing_open),
        ConditionKind::Isolated => service.isolated,
        ConditionKind::Frozen => service.frozen_for_ms.is_some(),
    };
    holds.then_some(None)
}

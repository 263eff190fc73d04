//! [`RecentActs`]: the acts of the last minutes with their answers. One that is sent again (its answer was lost, say) is answered
//! again and not carried out again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Act, ActCommand, ActId, ActOutcome, ActRefusal};
use crate::digest::{hex, sha256};
use crate::text::shortened;
use crate::time::MonoTime;

/// An act is remembered for so long.
const KEPT_FOR: Duration = Duration::from_secs(600);
/// So many are remembered at most; then the oldest one is forgotten.
const KEPT: usize = 1024;
/// Problems of a configuration that are remembered, and characters of each.
const PROBLEMS: usize = 4;
const LONGEST_PROBLEM: usize = 300;

/// The newest acts, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct RecentActs(VecDeque<RecentAct>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct RecentAct {
    at: MonoTime,
    id: ActId,
    /// Its kind and name.
    actor: String,
    content: ActContent,
    outcome: ActOutcome,
}

/// A digest of what an act asks for, who sent it, and why: two that differ in any of it are different acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct ActContent(String);

/// An act of an earlier process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedAct {
    id: ActId,
    #[serde(default)]
    actor: String,
    content: ActContent,
    outcome: ActOutcome,
    /// In microseconds.
    age_us: u64,
}

impl ActContent {
    fn of(act: &Act) -> ActContent {
        // (Plain data: it can be written.)
        let text = serde_json::to_vec(&(act.command.as_sent(), &act.actor.kind, &act.actor.name, &act.reason));
        ActContent(hex(&sha256(&[&text.unwrap_or_default()])))
    }
}

impl RecentActs {
    /// What was answered to an act of this id; `Err`: the id was that of another act.
    pub fn answer(&mut self, act: &Act, now: MonoTime) -> Result<Option<ActOutcome>, ()> {
        while self.0.front().is_some_and(|oldest| now.since(oldest.at) >= KEPT_FOR) {
            self.0.pop_front();
        }
        match self.0.iter().find(|known| known.id == act.id) {
            None => Ok(None),
            Some(known) if known.content == ActContent::of(act) => Ok(Some(known.outcome.clone())),
            Some(_) => Err(()),
        }
    }

    /// Is the id that of an act that is remembered?
    pub fn knows(&self, id: ActId, now: MonoTime) -> bool {
        self.0.iter().any(|known| known.id == id && now.since(known.at) < KEPT_FOR)
    }

    /// An act was answered. When the memory is full, the actor that has most of it gives up its oldest act.
    pub fn answered(&mut self, act: &Act, outcome: &ActOutcome, now: MonoTime) {
        if self.0.len() >= KEPT {
            self.forget_one();
        }
        let (id, content, outcome) = (act.id, ActContent::of(act), remembered(outcome));
        let actor = format!("{:?}:{}", act.actor.kind, act.actor.name);
        self.0.push_back(RecentAct { at: now, id, actor, content, outcome });
    }

    fn forget_one(&mut self) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        self.0.iter().for_each(|known| *counts.entry(&known.actor).or_default() += 1);
        let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(actor, _)| actor.to_owned());
        let oldest = self.0.iter().position(|known| Some(&known.actor) == most.as_ref());
        oldest.map(|oldest| self.0.remove(oldest));
    }

    /// What another process has to know.
    pub fn save(&self, now: MonoTime) -> Vec<SavedAct> {
        let kept = self.0.iter().filter(|known| now.since(known.at) < KEPT_FOR);
        let save = |known: &RecentAct| SavedAct {
            id: known.id,
            actor: known.actor.clone(),
            content: known.content.clone(),
            outcome: known.outcome.clone(),
            age_us: now.since(known.at).as_micros() as u64,
        };
        kept.map(save).collect()
    }

    /// What an earlier process knew.
    pub fn restore(saved: &[SavedAct], now: MonoTime) -> RecentActs {
        let restore = |saved: &SavedAct| RecentAct {
            at: now.before(Duration::from_micros(saved.age_us)),
            id: saved.id,
            actor: saved.actor.clone(),
            content: saved.content.clone(),
            outcome: saved.outcome.clone(),
        };
        let mut acts: Vec<&SavedAct> = saved.iter().collect();
        acts.sort_by_key(|act| std::cmp::Reverse(act.age_us));
        RecentActs(acts.into_iter().rev().take(KEPT).rev().map(restore).collect())
    }
}

/// An outcome as it is kept: of services that stay as many as a record has, and of the problems of a configuration the first ones.
fn remembered(outcome: &ActOutcome) -> ActOutcome {
    let mut outcome = outcome.clone();
    match &mut outcome {
        ActOutcome::Partly { stays } | ActOutcome::Refused(ActRefusal::CannotEvacuate { stays, .. }) => {
            stays.truncate(ActCommand::MOST_RECORDED);
        }
        ActOutcome::Refused(ActRefusal::ConfigRefused { problems }) => {
            let more = problems.len().saturating_sub(PROBLEMS);
            problems.truncate(PROBLEMS);
            problems.iter_mut().for_each(|problem| *problem = shortened(problem, LONGEST_PROBLEM));
            if more > 0 {
                problems.push(format!("and {more} more, which the record config.refused has"));
            }
        }
        _ => {}
    }
    outcome
}

impl SavedAct {
    pub(super) fn grow_older(&mut self, by: Duration) {
        self.age_us = self.age_us.saturating_add(by.as_micros() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Actor, ServiceStays};

    fn act(id: u128, service: &str) -> Act {
        Act::new(ActId(id), Actor::local("ada"), ActCommand::Unpin { service: service.into() })
    }

    fn at(seconds: u64) -> MonoTime {
        MonoTime::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn the_same_act_has_the_same_answer_for_ten_minutes() {
        let mut acts = RecentActs::default();
        assert_eq!(acts.answer(&act(1, "shop"), at(0)), Ok(None));
        acts.answered(&act(1, "shop"), &ActOutcome::Done, at(0));
        assert_eq!(acts.answer(&act(1, "shop"), at(599)), Ok(Some(ActOutcome::Done)));
        let with_reason = Act { reason: Some("why".to_owned()), ..act(1, "shop") };
        let by_another = Act { actor: Actor::local("bob"), ..act(1, "shop") };
        for other in [act(1, "pay"), with_reason, by_another] {
            assert_eq!(acts.answer(&other, at(599)), Err(()), "{other:?}");
        }
        assert_eq!(acts.answer(&act(2, "shop"), at(599)), Ok(None));
        assert_eq!(acts.answer(&act(1, "shop"), at(600)), Ok(None));
    }

    #[test]
    fn what_is_kept_of_an_answer_is_bounded() {
        let mut acts = RecentActs::default();
        let stays = vec![ServiceStays { service: "shop".into(), why: "it is pinned".to_owned() }; 2000];
        acts.answered(&act(1, "shop"), &ActOutcome::Partly { stays: stays.clone() }, at(0));
        let refused = ActRefusal::CannotEvacuate { zone: "eu".into(), stays };
        acts.answered(&act(2, "shop"), &ActOutcome::Refused(refused), at(0));
        assert!(serde_json::to_vec(&acts.save(at(0))).unwrap().len() < 20_000);
    }

    #[test]
    fn of_many_problems_the_first_are_kept() {
        let kept =
            |problems: Vec<String>| match remembered(&ActOutcome::Refused(ActRefusal::ConfigRefused { problems })) {
                ActOutcome::Refused(ActRefusal::ConfigRefused { problems }) => problems,
                other => panic!("{other:?}"),
            };
        assert_eq!(kept(vec!["a".to_owned(), "b".to_owned()]), ["a", "b"]);
        let kept = kept([vec!["ü".repeat(301)], vec!["b".to_owned(); 19]].concat());
        assert_eq!((kept.len(), kept[0].chars().count()), (5, 301));
        assert_eq!(kept[4], "and 16 more, which the record config.refused has");
    }

    #[test]
    fn they_are_bounded_and_outlive_the_process() {
        let mut acts = RecentActs::default();
        for id in 0..=KEPT as u128 {
            acts.answered(&act(id, "shop"), &ActOutcome::NoChange, at(100));
        }
        assert_eq!(acts.0.len(), KEPT);
        assert_eq!(acts.answer(&act(0, "shop"), at(100)), Ok(None), "the oldest one is forgotten");
        let by_another = Act { actor: Actor::local("bob"), ..act(9999, "shop") };
        acts.answered(&by_another, &ActOutcome::Done, at(100));
        assert_eq!(acts.answer(&act(1, "shop"), at(100)), Ok(None), "of the one who has most of them");
        acts.answered(&act(5000, "shop"), &ActOutcome::Done, at(100));
        assert_eq!(acts.answer(&by_another, at(100)), Ok(Some(ActOutcome::Done)), "the others keep theirs");
        assert!(acts.knows(ActId(9999), at(699)) && !acts.knows(ActId(9999), at(700)));
        let mut saved = acts.save(at(130));
        saved.iter_mut().for_each(|act| act.grow_older(Duration::from_secs(60)));
        let mut restored = RecentActs::restore(&saved, at(1000));
        assert_eq!(restored.answer(&act(100, "shop"), at(1000)), Ok(Some(ActOutcome::NoChange)));
        assert_eq!(restored.answer(&act(100, "shop"), at(1510)), Ok(None), "90 s are over before");
        assert_eq!(acts.save(at(800)), []);
    }
}

//! Change records of a real control plane: numbers without gaps, one order for all readers, conditions with an end.

use standfast::control::{ChangeRecord, RecordType, RecordedChange};
use standfast::decision::{Act, ActCommand, ActId, Actor, ConditionKind, ConditionStatus, Operational};

use crate::support::reload_permit;

use super::support::{Manners, Plane, QUICK, Upstream, eventually, file, service};

/// Everything so far.
fn records(plane: &Plane) -> Vec<ChangeRecord> {
    let (mut after, mut all) = (None, Vec::new());
    loop {
        let page = plane.handle.records(after);
        assert!(!page.gap);
        if page.records.is_empty() {
            return all;
        }
        all.extend(page.records.iter().map(|record| (**record).clone()));
        after = Some(page.next);
    }
}

fn words(records: &[ChangeRecord]) -> Vec<&'static str> {
    records.iter().map(|record| record.change.record_type().as_str()).collect()
}

#[tokio::test]
async fn every_change_is_one_record_and_numbers_have_no_gaps() {
    let (mut a, b) = (Upstream::start(Manners::ok()).await, Upstream::start(Manners::ok()).await);
    let plane = Plane::start(&file(&[("s", service("s", QUICK, &[&[&a], &[&b]]))], ""));
    plane.active("s", "a").await;
    plane.stands(&b, Operational::Healthy).await;
    let mut newest = plane.handle.newest_record();
    newest.mark_unchanged();
    a.die().await;
    plane.active("s", "b").await;
    newest.changed().await.unwrap();
    let thaw = ActCommand::Thaw { service: "s".into() };
    plane.act(Act::new(ActId(1), Actor::local("ada"), thaw)).await.unwrap_err();
    plane.handle.reload(reload_permit()).await.unwrap_err();
    plane.handle.stop().await;

    let records = records(&plane);
    let numbers: Vec<u64> = records.iter().map(|record| record.id.number).collect();
    assert_eq!(numbers, (1..=records.len() as u64).collect::<Vec<_>>());
    assert_eq!(*newest.borrow(), records.len() as u64);
    assert!(
        records
            .windows(2)
            .all(|two| two[0].id.life == two[1].id.life && two[0].at.since_start_us <= two[1].at.since_start_us)
    );
    let words = words(&records);
    assert_eq!((words.first(), words.last()), (Some(&"instance.started"), Some(&"instance.stopping")));
    for word in ["endpoint.standing", "service.switched", "act.refused", "config.refused"] {
        assert!(words.contains(&word), "{word}: {words:?}");
    }
    for record in &records {
        let json = serde_json::to_value(record).unwrap();
        assert_eq!(json["type"], record.change.record_type().as_str());
        assert_eq!(&serde_json::from_value::<ChangeRecord>(json).unwrap(), record);
    }
    assert!(
        RecordType::ALL.iter().filter(|word| word.is_of_the_audit_log()).all(|word| !words.contains(&word.as_str()))
    );
}

#[tokio::test]
async fn a_condition_is_open_until_its_reason_ends() {
    let mut a = Upstream::start(Manners::ok()).await;
    let plane = Plane::start(&file(&[("s", service("s", QUICK, &[&[&a]]))], ""));
    plane.active("s", "a").await;
    assert_eq!(plane.service("s").await.conditions, []);
    a.die().await;
    let is_down = |open: &ConditionStatus| open.kind == ConditionKind::AllDown;
    eventually("all down", || async { plane.service("s").await.conditions.into_iter().find(is_down) }).await;
    a.revive().await;
    eventually("it has ended", || async { plane.service("s").await.conditions.is_empty().then_some(()) }).await;
    let kinds = records(&plane).into_iter().filter_map(|record| match record.change {
        RecordedChange::ConditionRaised(condition) => Some((true, condition.kind)),
        RecordedChange::ConditionCleared(condition) => Some((false, condition.kind)),
        _ => None,
    });
    let kinds = kinds.filter(|(_, kind)| *kind == ConditionKind::AllDown);
    assert_eq!(kinds.collect::<Vec<_>>(), [(true, ConditionKind::AllDown), (false, ConditionKind::AllDown)]);
    assert_eq!(plane.handle.tally().await.unwrap().alerts[2], 1);
}

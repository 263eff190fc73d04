//! `standfast journal`: replays what the core was told, and shows what it decided.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use standfast::control::journal::{
    JournalContents, JournalSegment, ReplayVerdict, SegmentReplay, read_journal, replay,
};
use standfast::control::status_text::{calendar_time, label, millis};
use standfast::control::{ChangeRecord, IncidentReport, RecordedChange};
use standfast::text::{printable, printable_json};

use super::exit::ExitReason;

/// Replay a journal: the switches, conditions and states of endpoints that its events lead to
///
/// FILE is `journal.path` of the configuration; its older half (`.previous`) is read with it. What is damaged is told and left out. The events are told to this program's
/// own core. Where a segment ends with the snapshot of the next one, the replay has to reach the same state.
#[derive(Clone, Debug, clap::Args)]
pub struct JournalArgs {
    /// The journal
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// One JSON object a line: the change records, with ids of the replay
    #[arg(long)]
    pub json: bool,
}

/// Read, replay, show, and say in the exit code whether all of it was read and the replay came to the same states.
pub fn run(args: &JournalArgs) -> ExitCode {
    let JournalContents { segments, problems } = match read_journal(&args.file) {
        Ok(contents) => contents,
        Err(problem) => {
            eprintln!("standfast journal: {}", printable(&problem));
            return ExitReason::NotAsked.into();
        }
    };
    let replayed = replay(&segments);
    let text = if args.json { for_programs(&replayed) } else { for_people(&segments, &replayed) };
    // A reader that has seen enough (`| head`) is no error.
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    problems.iter().for_each(|problem| eprintln!("standfast journal: {}", printable(problem)));
    let damaged = segments.iter().filter_map(|segment| Some((&segment.head, segment.damage.as_ref()?)));
    damaged.clone().for_each(|(head, damage)| {
        eprintln!("standfast journal: segment {} of {}: {}", head.segment, printable(&head.life), printable(damage));
    });
    if !problems.is_empty() || damaged.count() > 0 {
        return ExitReason::NotAsked.into();
    }
    let wrong = replayed.iter().filter(|one| is_wrong(one.verdict)).count();
    if wrong > 0 {
        eprintln!("standfast journal: {wrong} of {} segments lead to another state than was recorded", segments.len());
        return ExitReason::No.into();
    }
    ExitReason::Done.into()
}

fn is_wrong(verdict: ReplayVerdict) -> bool {
    matches!(verdict, ReplayVerdict::Differs | ReplayVerdict::Impossible)
}

fn for_programs(replayed: &[SegmentReplay]) -> String {
    let records = replayed.iter().flat_map(|one| &one.records);
    let lines = records.filter_map(|record| serde_json::to_string(record).ok());
    lines.fold(String::new(), |text, line| text + &printable_json(&line) + "\n")
}

fn for_people(segments: &[JournalSegment], replayed: &[SegmentReplay]) -> String {
    let mut text = String::new();
    for (segment, one) in segments.iter().zip(replayed) {
        let head = &segment.head;
        let reason = label(&head.reason);
        let (life, program) = (printable(&head.life), printable(&head.program));
        let _ = writeln!(
            text,
            "{}  segment {} of {life} ({reason}), Standfast {program}, {} events",
            time(head.unix_ms),
            head.segment,
            one.events
        );
        for record in &one.records {
            let _ = writeln!(text, "{}", line(record));
        }
        match &segment.damage {
            Some(damage) => {
                let _ = writeln!(text, "  {}; the rest, {} bytes, is left out", printable(damage), segment.torn);
            }
            None if segment.torn > 0 => {
                let _ = writeln!(text, "  {} bytes at the end were not written whole: left out", segment.torn);
            }
            None => {}
        }
        let verdict = match one.verdict {
            ReplayVerdict::Same => "the replay leads to the next snapshot",
            ReplayVerdict::Differs => {
                "THE REPLAY DIFFERS from the next snapshot: another version of the program, or a secret that was changed"
            }
            ReplayVerdict::Last => "the end: there is no snapshot to compare with",
            ReplayVerdict::Incomplete => "not compared: events before the next snapshot are missing",
            ReplayVerdict::Impossible => "THE REPLAY FAILS: the core cannot go on from this snapshot",
        };
        let _ = writeln!(text, "  {verdict}");
    }
    text
}

/// One record: when, what, and why.
fn line(record: &ChangeRecord) -> String {
    let service = record.service.as_deref().map_or_else(String::new, printable_text);
    let word = record.change.record_type().as_str();
    let what = match &record.change {
        RecordedChange::Switched(incident) => {
            let (from, to) = (pool(&incident.from), pool(&incident.to));
            format!("{} {from} -> {to} {}", label(&incident.kind), incident.evidence_text())
        }
        RecordedChange::Answered(IncidentReport { rto_ms, .. }) => {
            rto_ms.map_or_else(String::new, |rto| format!("after {}", millis(rto)))
        }
        RecordedChange::Transition(change) => {
            format!("{} {} -> {} {}", label(&change.kind), pool(&change.from), pool(&change.to), change.text)
        }
        RecordedChange::ObjectiveMissed(missed) => format!("{} ms of {} ms", missed.rto_ms, missed.objective_ms),
        RecordedChange::Standing(change) => {
            let (from, to) = (label(&change.from.operational), label(&change.to.operational));
            let cause = label(&change.to.cause);
            format!("{} {} {from} -> {to} ({cause}) {}", change.pool, change.endpoint, change.evidence)
        }
        RecordedChange::ConditionRaised(condition) | RecordedChange::ConditionCleared(condition) => {
            label(&condition.kind)
        }
        _ => String::new(),
    };
    let text = format!("  {}  {service}  {word}  {}", time(record.at.unix_ms), printable(what.trim_end()));
    text.trim_end().to_owned()
}

fn printable_text(text: &str) -> String {
    printable(text).into_owned()
}

fn pool(name: &Option<standfast::config::Name>) -> String {
    name.as_ref().map_or("none".to_owned(), |name| name.to_string())
}

/// A time of day in UTC.
fn time(unix_ms: u64) -> String {
    // (What no calendar has is shown as its number.)
    match calendar_time(unix_ms) {
        Some(time) => humantime::format_rfc3339_millis(time).to_string(),
        None => format!("{unix_ms}ms"),
    }
}

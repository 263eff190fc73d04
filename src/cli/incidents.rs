//! `standfast incidents`: the last switches, or one of them with its stages, beside what was promised.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use hyper::StatusCode;
use standfast::control::status_text::{calendar_time, label, millis, since_fault, span};
use standfast::control::{IncidentReport, ServiceReport};
use standfast::text::printable_json;

use super::ask::{InstanceArgs, printable, problem_text};
use super::exit::ExitReason;
use super::text_table::{TableCell, TextLayout, TextStyle, heads, layout};

/// Show the last switches, or one of them with its stages
#[derive(Clone, Debug, clap::Args)]
pub struct IncidentsArgs {
    /// The number of an incident, or its name INSTANCE-LIFE-N
    incident: Option<String>,
    #[command(flatten)]
    pub instance: InstanceArgs,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = IncidentOutput::Human)]
    output: IncidentOutput,
}

/// The reader of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum IncidentOutput {
    /// A table, or lines
    Human,
    /// The JSON of the interface
    Json,
}

/// Asks, shows, and says it in the exit code.
pub fn run(args: &IncidentsArgs) -> ExitCode {
    let exit = match &args.incident {
        Some(incident) => one(args, incident),
        None => all(args),
    };
    exit.unwrap_or_else(|exit| exit).into()
}

fn all(args: &IncidentsArgs) -> Result<ExitReason, ExitReason> {
    let text = ask("incidents", &args.instance, "/v1/incidents")?;
    let incidents: Vec<IncidentReport> = read("incidents", &text)?;
    let shown = match args.output {
        IncidentOutput::Json => format!("{}\n", printable_json(text.trim_end())),
        IncidentOutput::Human if incidents.is_empty() => "no switch is known\n".to_owned(),
        IncidentOutput::Human => layout("", table(&incidents), TextLayout::of(&io::stdout())),
    };
    show(&shown);
    Ok(ExitReason::Done)
}

fn one(args: &IncidentsArgs, incident: &str) -> Result<ExitReason, ExitReason> {
    if !fits_path(incident) {
        eprintln!("standfast incidents: not an incident: a number, or INSTANCE-LIFE-N");
        return Err(ExitReason::NotAsked);
    }
    let text = ask("incidents", &args.instance, &format!("/v1/incidents/{incident}"))?;
    let report: IncidentReport = read("incidents", &text)?;
    let shown = match args.output {
        IncidentOutput::Json => format!("{}\n", printable_json(text.trim_end())),
        IncidentOutput::Human => {
            // (What was promised stands in the service, which may be gone.)
            let service = args.instance.get(&format!("/v1/services/{}", report.service));
            let service = service.ok().filter(|(status, _)| status.is_success());
            let service = service.and_then(|(_, text)| serde_json::from_str::<ServiceReport>(&text).ok());
            told(&report, service.and_then(|service| service.rto_objective_ms))
        }
    };
    show(&shown);
    Ok(ExitReason::Done)
}

/// Can it stand in a path as it is?
pub(super) fn fits_path(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// The text of a good answer.
pub(super) fn ask(command: &str, instance: &InstanceArgs, path: &str) -> Result<String, ExitReason> {
    match instance.get(path) {
        Ok((status, text)) if status.is_success() => Ok(text),
        Ok((status, text)) => {
            let problem = problem_text(&text).unwrap_or_else(|| format!("{status}\n"));
            eprint!("standfast {command}: {problem}");
            Err(match status {
                StatusCode::NOT_FOUND => ExitReason::No,
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
                    ExitReason::NotAllowed
                }
                _ => ExitReason::NotAsked,
            })
        }
        Err(problem) => {
            eprintln!("standfast {command}: {}", printable(&problem.to_string()));
            Err(ExitReason::NotAsked)
        }
    }
}

/// What an answer says.
pub(super) fn read<T: serde::de::DeserializeOwned>(command: &str, text: &str) -> Result<T, ExitReason> {
    serde_json::from_str(text).map_err(|error| {
        eprintln!("standfast {command}: the answer is not one of this version of Standfast: {error}");
        ExitReason::NotAsked
    })
}

/// A reader that has seen enough (`| head`) is no error.
pub(super) fn show(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn pool(pool: Option<&str>) -> String {
    pool.map_or_else(|| "no pool".to_owned(), printable)
}

fn table(incidents: &[IncidentReport]) -> Vec<Vec<TableCell>> {
    let mut rows = vec![heads(&["N", "WHEN", "SERVICE", "KIND", "FROM", "TO", "SWITCHED", "ANSWERED (RTO)", "BY"])];
    for incident in incidents.iter().rev() {
        let cells = [
            incident.id.0.to_string(),
            format!("{} ago", span(incident.age_ms.saturating_sub(incident.decided_ms as u64))),
            printable(&incident.service),
            if incident.held { format!("{} (held)", label(&incident.kind)) } else { label(&incident.kind) },
            pool(incident.from.as_deref()),
            pool(incident.to.as_deref()),
            if incident.held { "held".to_owned() } else { since_fault(Some(incident.decided_ms)) },
            if incident.held { "-".to_owned() } else { since_fault(incident.rto_ms) },
            printable(&incident.actor.name),
        ];
        rows.push(cells.into_iter().map(|text| (text, TextStyle::Plain)).collect());
    }
    rows
}

/// One incident: its stages from the first sign of the fault, beside the objective.
fn told(incident: &IncidentReport, objective_ms: Option<u64>) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: &str| {
        let _ = writeln!(text, "{what:<11} {value}");
    };
    let (from, to) = (pool(incident.from.as_deref()), pool(incident.to.as_deref()));
    line("incident", &printable(&incident.name));
    line("service", &printable(&incident.service));
    let held = if incident.held { ", HELD: it was not made" } else { "" };
    line("switch", &format!("{} {from} → {to}{held}", label(&incident.kind)));
    line("by", &printable(&incident.actor.name));
    let at = |after_ms: f64| {
        let time = calendar_time(incident.fault_unix_ms.saturating_add(after_ms as u64));
        time.map_or_else(|| "?".to_owned(), |time| humantime::format_rfc3339_millis(time).to_string())
    };
    line("fault", &at(0.0));
    line("detected", &format!("{} (+{})", at(incident.detected_ms), millis(incident.detected_ms)));
    line("decided", &format!("{} (+{})", at(incident.decided_ms), millis(incident.decided_ms)));
    let promised = objective_ms.map(|ms| format!(", objective {}", span(ms))).unwrap_or_default();
    match incident.rto_ms {
        _ if incident.held => {}
        None => line("answered", &format!("not yet{promised}")),
        Some(rto) => {
            let missed = objective_ms.is_some_and(|limit| rto > limit as f64);
            let verdict = if missed { ", MISSED" } else { "" };
            line("answered", &format!("{} (+{}{promised}{verdict})", at(rto), millis(rto)));
        }
    }
    if let Some(fenced) = incident.fenced_ms {
        line("last session", &format!("{} (+{})", at(fenced), millis(fenced)));
    }
    for evidence in &incident.evidence {
        line("evidence", &printable(&format!("{} {}: {}", evidence.address, label(&evidence.cause), evidence.detail)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(more: serde_json::Value) -> IncidentReport {
        let mut incident = serde_json::json!({
            "id": 7, "name": "edge-1-9f3c1a6be2d04578-7", "service": "shop", "kind": "failover", "from": "north",
            "to": "south", "actor": "standfast", "epoch": 12, "fault_unix_ms": 1_790_000_000_000_u64, "age_ms": 192_000,
            "detected_ms": 0.4, "decided_ms": 51.0, "rto_ms": 1234.5, "evidence": [{"address": "10.0.1.11:8080",
            "cause": "refused", "detail": "connect\u{1b}[2J refused", "seen_unix_ms": 1}]});
        for (field, value) in more.as_object().into_iter().flatten() {
            incident[field] = value.clone();
        }
        serde_json::from_value(incident).expect("it follows the type")
    }

    #[test]
    fn an_incident_is_its_stages_beside_the_objective() {
        let expected = "\
incident    edge-1-9f3c1a6be2d04578-7
service     shop
switch      failover north → south
by          standfast
fault       2026-09-21T14:13:20.000Z
detected    2026-09-21T14:13:20.000Z (+0.4ms)
decided     2026-09-21T14:13:20.051Z (+51ms)
answered    2026-09-21T14:13:21.234Z (+1.23s, objective 1s, MISSED)
evidence    10.0.1.11:8080 refused: connect\u{fffd}[2J refused
";
        assert_eq!(told(&incident(serde_json::json!({})), Some(1000)), expected);
        let held = incident(serde_json::json!({"held": true, "rto_ms": null}));
        let text = told(&held, None);
        assert!(text.contains("failover north → south, HELD: it was not made") && !text.contains("answered"), "{text}");
        let shown = layout("", table(&[held]), TextLayout::PLAIN);
        assert!(shown.contains("failover (held)"), "{shown}");
    }
}

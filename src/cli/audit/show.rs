//! `standfast audit show`

use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;
use standfast::audit::ChainVerifier;
use standfast::sys::clock;
use standfast::text::{printable, printable_json};

use super::super::exit::ExitReason;
use super::log::{LineReader, LogArgs};

/// Show the records of an audit log
///
/// All filters that are given have to fit. What is wrong with the chain is told at the end, and by `standfast audit verify`.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    log: LogArgs,
    /// Records of this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Records of acts of this actor
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Records since then: a time such as 2026-11-29T10:42:00Z, or a duration such as 2h
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<u64>,
    /// Records of this incident: its number, or INSTANCE-LIFE-N
    #[arg(long, value_name = "INCIDENT", value_parser = Incident::parse)]
    incident: Option<Incident>,
    /// The lines as they are in the log
    #[arg(long)]
    json: bool,
}

/// An incident, in one life or in any.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Incident {
    /// The instance and its life.
    of: Option<(String, String)>,
    number: u64,
}

impl Incident {
    fn parse(text: &str) -> Result<Incident, String> {
        let parsed = match text.rsplit_once('-') {
            None => text.parse().ok().map(|number| Incident { of: None, number }),
            Some((before, number)) => before.rsplit_once('-').and_then(|(instance, life)| {
                let of = Some((instance.to_owned(), life.to_owned()));
                Some(Incident { of, number: number.parse().ok()? })
            }),
        };
        parsed.ok_or_else(|| "write its number, or INSTANCE-LIFE-N".to_owned())
    }
}

/// A time, or a time ago, in milliseconds since the Unix epoch.
fn since(text: &str) -> Result<u64, String> {
    let millis = |time: Duration| time.as_millis() as u64;
    if let Ok(time) = humantime::parse_rfc3339_weak(text) {
        return time.duration_since(UNIX_EPOCH).map(millis).map_err(|error| error.to_string());
    }
    let ago = humantime::parse_duration(text);
    let ago = ago.map_err(|_| "write a time such as 2026-11-29T10:42:00Z, or a duration such as 2h".to_owned())?;
    Ok(clock::unix_millis().saturating_sub(millis(ago)))
}

/// Shows what fits.
pub fn run(args: &ShowArgs) -> Result<ExitReason, String> {
    let files = args.log.open()?;
    let mut out = io::stdout().lock();
    let mut verifier = ChainVerifier::new(None, Vec::new());
    for (name, file) in files {
        verifier.file(&name);
        let mut lines = LineReader::new(file);
        while let Some((line, is_whole)) = lines.next().map_err(|error| format!("{name}: cannot be read: {error}"))? {
            verifier.line(line, is_whole);
            let Some(text) = args.shown(line) else { continue };
            // A reader that has seen enough (`| head`) is no error.
            if writeln!(out, "{text}").is_err() {
                return Ok(ExitReason::Done);
            }
        }
    }
    let _ = out.flush();
    let report = verifier.finish();
    if report.is_sound() {
        return Ok(ExitReason::Done);
    }
    let count = report.findings.len() as u64 + report.more_findings;
    eprintln!("standfast audit: the log is not sound, {count} findings: `standfast audit verify` names them");
    Ok(ExitReason::No)
}

impl ShowArgs {
    /// The text of a line; `None` = it is not asked for, or is no record.
    fn shown(&self, line: &[u8]) -> Option<String> {
        let record: Value = serde_json::from_slice(line).ok()?;
        if !self.fits(&record) {
            return None;
        }
        Some(match self.json {
            true => printable_json(std::str::from_utf8(line).ok()?),
            false => for_people(&record),
        })
    }

    fn fits(&self, record: &Value) -> bool {
        let what = &record["what"];
        let is = |value: &Value, wanted: &str| value.as_str() == Some(wanted);
        let of_service = self.service.as_deref().is_none_or(|service| is(&record["service"], service));
        let of_actor =
            self.actor.as_deref().is_none_or(|actor| is(&what["actor"]["name"], actor) || is(&what["actor"], actor));
        let in_time = self.since.is_none_or(|since| time(record).is_some_and(|time| time >= since));
        let of_incident = self.incident.as_ref().is_none_or(|incident| {
            let is_one =
                record["type"].as_str().is_some_and(|kind| matches!(kind, "service.switched" | "service.answered"));
            let of_life = incident
                .of
                .as_ref()
                .is_none_or(|(instance, life)| is(&record["instance"], instance) && is(&record["life"], life));
            is_one && of_life && what["id"].as_u64() == Some(incident.number)
        });
        of_service && of_actor && in_time && of_incident
    }
}

fn time(record: &Value) -> Option<u64> {
    let time = humantime::parse_rfc3339(record["time"].as_str()?).ok()?;
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_millis() as u64)
}

/// `4711  2026-11-29T10:42:07.311Z  shop  act.done  pin eu-west by local:ada (maintenance)`
fn for_people(record: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let (kind, service) = (text(&record["type"]), text(&record["service"]));
    let line = format!("{}  {}  {service}  {kind}  {}", record["seq"], text(&record["time"]), content(&record["what"]));
    printable(line.trim_end()).into_owned()
}

/// What a record says, in a few words.
fn content(what: &Value) -> String {
    let text = |name: &str| what[name].as_str();
    let mut words = Vec::new();
    if let Some((command, of)) = what["command"].as_object().and_then(|command| command.iter().next()) {
        let of = of.as_object().into_iter().flatten().filter(|(name, _)| *name != "service");
        words.extend([command.clone()].into_iter().chain(of.map(|(_, value)| plain(value))));
        words.push(format!("by {}", actor(&what["actor"])));
        words.extend(text("reason").map(|reason| format!("({reason})")));
        words.extend((what["changed"] == false && what["refusal"].is_null()).then(|| "it is so already".to_owned()));
        words.extend(text("refusal").map(|refusal| format!("refused: {refusal}")));
        return words.join(" ");
    }
    if what["from"].is_string() || what["to"].is_string() {
        let pool = |name: &str| text(name).unwrap_or("none").to_owned();
        words.extend(text("kind").map(str::to_owned));
        words.push(format!("{} -> {}", pool("from"), pool("to")));
    } else {
        let names = [
            "kind",
            "pool",
            "endpoint",
            "source",
            "denied",
            "problem",
            "left_out",
            "lost",
            "rto_ms",
            "objective_ms",
            "seq",
            "epoch",
            "too_long",
        ];
        let known = names.iter().filter(|name| !what[**name].is_null());
        words.extend(known.map(|name| format!("{name}={}", plain(&what[*name]))));
    }
    if let (Some(from), Some(to)) = (what["from"]["operational"].as_str(), what["to"]["operational"].as_str()) {
        words.push(format!("{from} -> {to}"));
    }
    words.extend(text("text").or(text("evidence")).map(str::to_owned));
    words.join(" ")
}

fn actor(actor: &Value) -> String {
    match (actor["kind"].as_str(), actor["name"].as_str()) {
        (Some(kind), Some(name)) => format!("{kind}:{name}"),
        _ => plain(actor),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_are_told_in_a_line() {
        let act = json!({"seq": 7, "time": "2026-11-29T10:42:07.311Z", "service": "shop", "type": "act.done",
            "what": {"act": 1, "command": {"pin": {"service": "shop", "pool": "eu-west"}},
            "actor": {"kind": "local", "name": "ada"}, "reason": "a\u{1b}[2Jb", "changed": true}});
        assert_eq!(
            for_people(&act),
            "7  2026-11-29T10:42:07.311Z  shop  act.done  pin eu-west by local:ada (a\u{fffd}[2Jb)"
        );
        let gap = json!({"seq": 8, "time": "2026-11-29T10:42:08.000Z", "type": "audit.gap", "what": {"lost": 3}});
        assert_eq!(for_people(&gap), "8  2026-11-29T10:42:08.000Z  -  audit.gap  lost=3");
        let switch = json!({"seq": 9, "time": "2026-11-29T10:42:08.000Z", "service": "shop", "type": "service.switched",
            "what": {"id": 4, "kind": "failover", "from": "a", "to": null}});
        assert_eq!(for_people(&switch), "9  2026-11-29T10:42:08.000Z  shop  service.switched  failover a -> none");
    }

    #[test]
    fn filters_have_to_fit_together() {
        let log = LogArgs::none();
        let none = ShowArgs { log, service: None, actor: None, since: None, incident: None, json: false };
        let record = json!({"time": "2026-11-29T10:42:07.311Z", "service": "shop", "type": "service.switched", "instance": "edge-1",
            "life": "2a", "what": {"id": 4, "actor": {"kind": "local", "name": "ada"}}});
        let fits = |args: ShowArgs| args.fits(&record);
        assert!(fits(none.clone()));
        let shop = ShowArgs { service: Some("shop".into()), actor: Some("ada".into()), ..none.clone() };
        assert!(fits(shop.clone()) && !fits(ShowArgs { actor: Some("bob".into()), ..shop.clone() }));
        assert!(!fits(ShowArgs { service: Some("pg".into()), ..shop }));
        for (incident, wanted) in [("4", true), ("5", false), ("edge-1-2a-4", true), ("edge-1-2b-4", false)] {
            assert_eq!(
                fits(ShowArgs { incident: Some(Incident::parse(incident).unwrap()), ..none.clone() }),
                wanted,
                "{incident}"
            );
        }
        for (time, wanted) in [("2026-11-29T10:42:07Z", true), ("2026-11-29T10:42:08Z", false)] {
            assert_eq!(fits(ShowArgs { since: Some(since(time).unwrap()), ..none.clone() }), wanted, "{time}");
        }
        assert!(since("2h").is_ok() && since("yesterday").is_err() && Incident::parse("a-b").is_err());
    }
}

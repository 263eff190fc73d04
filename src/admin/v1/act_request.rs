//! The body of a command: JSON text in, an [`ActRequest`] or every problem of it out. Pure.
//!
//! ```json
//! {"command": "switchover", "service": "shop", "pool": "eu-north", "reason": "maintenance of eu-west"}
//! ```

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use ::time::OffsetDateTime;
use ::time::format_description::well_known::Rfc3339;
use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::super::problem::Problem;
use crate::config::{Name, is_name};
use crate::decision::{ActCommand, ActUntil, Administrative, EndpointSelection, HoldScope};
use crate::text::shortened;
use crate::time::MonoTime;

/// Bytes of the largest body.
pub(super) const LARGEST_BODY: usize = 64 << 10;
/// Characters of a reason.
const REASON: std::ops::RangeInclusive<usize> = 3..=500;

/// What a command needs beside its body: the time, and the services of a zone.
pub(in super::super) struct RequestContext<'a> {
    /// A command without a reason is refused.
    pub needs_reason: bool,
    pub now: MonoTime,
    pub now_unix_ms: u64,
    /// The services that have a pool in this zone.
    pub services_in: &'a dyn Fn(&str) -> Vec<Name>,
}

/// A command, as its sender wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct ActRequest {
    /// What is to be done.
    pub command: ActCommand,
    /// Why, in the sender's words; `None` = not said.
    pub reason: Option<String>,
    /// Nothing is to change: what would happen?
    pub dry: bool,
}

/// A word of `command` with the fields that it takes beside `reason` and `dry`: those that it needs, and those that it may have.
/// `endpoint|pool|zone` is one of the three, `until|for` one of the two.
pub(super) const COMMANDS: [(&str, &[&str], &[&str]); 17] = [
    ("switchover", &["service", "pool"], &[]),
    ("failback", &["service"], &[]),
    ("pin", &["service", "pool"], &["until|for"]),
    ("unpin", &["service"], &[]),
    ("thaw", &["service"], &[]),
    ("hold", &["service", "until|for"], &["scope"]),
    ("release", &["service"], &[]),
    ("ready", &["service", "endpoint|pool|zone"], &[]),
    ("drain", &["service", "endpoint|pool|zone"], &["force"]),
    ("maint", &["service", "endpoint|pool|zone"], &["force"]),
    ("weight", &["service", "endpoint", "weight"], &["until|for", "force"]),
    ("eject", &["service", "endpoint"], &["force"]),
    ("uneject", &["service", "endpoint"], &[]),
    ("accept", &["service", "endpoint"], &[]),
    ("evacuate", &["zone", "until|for"], &["partial"]),
    ("return", &["zone"], &[]),
    ("reload", &[], &[]),
];

/// The form of a command's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct CommandForm {
    /// The value of `command`.
    pub word: &'static str,
    /// Fields that must be there beside it. `endpoint|pool|zone` is one of the three, `until|for` one of the two.
    pub needs: &'static [&'static str],
    /// Fields that may be there, written in the same way; and `reason` and `dry`.
    pub takes: &'static [&'static str],
}

/// The forms of all commands, of the table that [`parse`] reads by. The schema of the body is made of them.
pub(in super::super) fn forms() -> impl Iterator<Item = CommandForm> {
    COMMANDS.into_iter().map(|(word, needs, takes)| CommandForm { word, needs, takes })
}

/// The word of a command and the field with its object, as [`parse`] reads them.
pub(super) fn words(command: &ActCommand) -> (&'static str, Option<(&'static str, String)>) {
    let endpoint = |address: &SocketAddr| Some(("endpoint", address.to_string()));
    match command {
        ActCommand::Switchover { pool, .. } | ActCommand::Pin { pool, .. } => {
            (command.as_str(), Some(("pool", pool.to_string())))
        }
        ActCommand::Administer { endpoints, state, .. } => {
            let word = match state {
                Administrative::Ready => "ready",
                Administrative::Drain => "drain",
                Administrative::Maint => "maint",
            };
            let selection = match endpoints {
                EndpointSelection::Address(address) => endpoint(address),
                EndpointSelection::Pool(pool) => Some(("pool", pool.to_string())),
                EndpointSelection::Zone(zone) => Some(("zone", zone.to_string())),
            };
            (word, selection)
        }
        ActCommand::Weight { address, .. }
        | ActCommand::Eject { address, .. }
        | ActCommand::Uneject { address, .. }
        | ActCommand::Accept { address, .. } => (command.as_str(), endpoint(address)),
        ActCommand::Evacuate { zone, .. } | ActCommand::Return { zone, .. } => {
            (command.as_str(), Some(("zone", zone.to_string())))
        }
        _ => (command.as_str(), None),
    }
}

/// Read a body.
pub(in super::super) fn parse(body: &[u8], context: &RequestContext<'_>) -> Result<ActRequest, Problem> {
    let fields: Fields = serde_json::from_slice(body).map_err(|error| {
        let text = format!("the body is no JSON object: {}", shortened(&error.to_string(), 200));
        Problem::new(StatusCode::BAD_REQUEST, "malformed", text).advice(EXAMPLE)
    })?;
    let mut reader = FieldReader { fields: fields.0, problems: Vec::new(), context };
    let request = reader.request();
    match request.filter(|_| reader.problems.is_empty()) {
        Some(request) => with_reason(request, context.needs_reason),
        None => {
            let detail = match &reader.problems[..] {
                [one] => one.clone(),
                several => format!("{} fields are wrong", several.len()),
            };
            let problem = Problem::new(StatusCode::BAD_REQUEST, "malformed", detail).advice(EXAMPLE);
            Err(Problem { problems: reader.problems, ..problem })
        }
    }
}

const EXAMPLE: &str = "for example {\"command\": \"switchover\", \"service\": \"shop\", \"pool\": \"eu-north\", \"reason\": \"maintenance\"}";

fn with_reason(request: ActRequest, needs_reason: bool) -> Result<ActRequest, Problem> {
    let wrong = |detail: String| {
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "reason", detail);
        Err(problem.advice("say in a sentence why: it stands in the log and in the audit log"))
    };
    match request.reason.as_deref().map(|reason| reason.chars().count()) {
        None if needs_reason && !request.dry => wrong("reason: it is missing".to_owned()),
        Some(length) if !REASON.contains(&length) => {
            wrong(format!("reason: it has {length} characters; {} to {} are taken", REASON.start(), REASON.end()))
        }
        _ => Ok(request),
    }
}

struct FieldReader<'a> {
    fields: Vec<(String, Value)>,
    problems: Vec<String>,
    context: &'a RequestContext<'a>,
}

impl FieldReader<'_> {
    fn request(&mut self) -> Option<ActRequest> {
        let word = self.text("command");
        let reason = self.optional_text("reason").map(|reason| reason.trim().to_owned());
        let dry = self.flag("dry");
        let word = word?;
        let Some((word, needs, may)) = COMMANDS.iter().find(|(known, ..)| *known == word) else {
            let known = COMMANDS.map(|(word, ..)| word).join(", ");
            self.problems.push(format!("command: there is no `{}`; there are {known}", shortened(&word, 80)));
            return None;
        };
        let takes = |field: &str| needs.iter().chain(*may).any(|taken| taken.split('|').any(|name| name == field));
        let unknown: Vec<_> = self.fields.extract_if(.., |(name, _)| !takes(name)).collect();
        if unknown.len() > MOST_UNKNOWN {
            self.problems.push(format!("{} fields are unknown here; the first of them:", unknown.len()));
        }
        for (name, _) in unknown.into_iter().take(MOST_UNKNOWN) {
            let taken: Vec<&str> = needs.iter().chain(*may).copied().chain(["reason", "dry"]).collect();
            let taken = taken.join(", ").replace('|', " or ");
            self.problems.push(format!("{}: unknown here; {word} takes {taken}", shortened(&name, 80)));
        }
        let command = self.command(word)?;
        if dry && command == ActCommand::Reload {
            return self.wrong("dry", "a reload cannot be tried here; `standfast check` reads the file");
        }
        Some(ActRequest { command, reason, dry })
    }

    /// The command of this word, with its fields. Every field is read, so that all problems are told at once.
    fn command(&mut self, word: &str) -> Option<ActCommand> {
        if let "evacuate" | "return" | "reload" = word {
            return self.command_of_the_instance(word);
        }
        let service = self.name("service").map(Name::from);
        Some(match word {
            "switchover" => {
                let pool = self.name("pool");
                ActCommand::Switchover { service: service?, pool: pool?.into() }
            }
            "pin" => {
                let (pool, until) = (self.name("pool"), self.until());
                ActCommand::Pin { service: service?, pool: pool?.into(), until: until.ok()? }
            }
            "failback" => ActCommand::Failback { service: service? },
            "unpin" => ActCommand::Unpin { service: service? },
            "thaw" => ActCommand::Thaw { service: service? },
            "release" => ActCommand::Release { service: service? },
            "hold" => {
                let (scope, until) = (self.scope(), self.needed_until());
                ActCommand::Hold { service: service?, scope: scope?, until: until? }
            }
            "weight" => {
                let (address, weight) = (self.address(), self.number("weight"));
                let (until, force) = (self.until(), self.flag("force"));
                ActCommand::Weight { service: service?, address: address?, weight: weight?, until: until.ok()?, force }
            }
            "eject" => {
                let (address, force) = (self.address(), self.flag("force"));
                ActCommand::Eject { service: service?, address: address?, force }
            }
            "uneject" => {
                let address = self.address();
                ActCommand::Uneject { service: service?, address: address? }
            }
            "accept" => {
                let address = self.address();
                ActCommand::Accept { service: service?, address: address? }
            }
            word => {
                let state = match word {
                    "ready" => Administrative::Ready,
                    "drain" => Administrative::Drain,
                    _ => Administrative::Maint,
                };
                let (endpoints, force) = (self.endpoints(), self.flag("force"));
                ActCommand::Administer { service: service?, endpoints: endpoints?, state, force }
            }
        })
    }

    fn command_of_the_instance(&mut self, word: &str) -> Option<ActCommand> {
        if word == "reload" {
            return Some(ActCommand::Reload);
        }
        let zone = self.name("zone").map(Name::from);
        let services = zone.as_ref().map(|zone| (self.context.services_in)(zone)).unwrap_or_default();
        if word == "return" {
            return Some(ActCommand::Return { zone: zone?, services });
        }
        let (until, partial) = (self.needed_until(), self.flag("partial"));
        Some(ActCommand::Evacuate { zone: zone?, until: until?, partial, services })
    }

    /// `elective` or `all`; left out it is `elective`.
    fn scope(&mut self) -> Option<HoldScope> {
        match self.optional_text("scope").as_deref() {
            None | Some("elective") => Some(HoldScope::Elective),
            Some("all") => Some(HoldScope::All),
            Some(_) => self.wrong("scope", "must be elective or all"),
        }
    }

    fn needed_until(&mut self) -> Option<ActUntil> {
        let until = self.until();
        if until == Ok(None) {
            return self.wrong("until", &format!("it is missing; {UNTIL}"));
        }
        until.ok()?
    }

    /// When it ends by itself: `until` is a time with an offset, `for` how long it lasts from now on. `Err`: it is wrong.
    fn until(&mut self) -> Result<Option<ActUntil>, ()> {
        let RequestContext { now, now_unix_ms, .. } = *self.context;
        let until = self.short_text("until");
        let lasts = self.short_text("for");
        match (until, lasts) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => self.wrong("for", "until says it already").ok_or(()),
            (None, Some(said)) => match humantime::parse_duration(&said) {
                Ok(lasts) => Ok(Some(ActUntil { at: now.after(lasts), said })),
                Err(_) => {
                    let problem = format!("`{}` is no length of time; {UNTIL}", shortened(&said, 80));
                    self.wrong("for", &problem).ok_or(())
                }
            },
            (Some(said), None) => match unix_ms_of(&said) {
                Some(unix_ms) => {
                    let left = Duration::from_millis(unix_ms.saturating_sub(now_unix_ms));
                    Ok(Some(ActUntil { at: now.after(left), said }))
                }
                None => {
                    let problem = format!("`{}` is no time with an offset; {UNTIL}", shortened(&said, 80));
                    self.wrong("until", &problem).ok_or(())
                }
            },
        }
    }

    /// `endpoint`, `pool` or `zone`.
    fn endpoints(&mut self) -> Option<EndpointSelection> {
        let given: Vec<&str> = ["endpoint", "pool", "zone"]
            .into_iter()
            .filter(|name| self.fields.iter().any(|(field, _)| field == name))
            .collect();
        match given[..] {
            ["pool"] => Some(EndpointSelection::Pool(self.name("pool")?.into())),
            ["zone"] => Some(EndpointSelection::Zone(self.name("zone")?.into())),
            [] | ["endpoint"] => Some(EndpointSelection::Address(self.address()?)),
            _ => {
                given.iter().for_each(|name| drop(self.take(name)));
                self.wrong("endpoint", "say one of endpoint, pool and zone")
            }
        }
    }

    /// The address of an endpoint.
    fn address(&mut self) -> Option<SocketAddr> {
        let text = self.text("endpoint")?;
        let address = text.parse().ok();
        if address.is_none() {
            let text = shortened(&text, 80);
            self.problems.push(format!("endpoint: `{text}` is no address with a port, as 10.0.0.1:8080 or [::1]:8080"));
        }
        address
    }

    /// A whole number that must be there. What is too large for any limit is the largest there is: the limit has the better answer.
    fn number(&mut self, name: &str) -> Option<u32> {
        let Some(value) = self.take(name) else {
            return self.wrong(name, "it is missing");
        };
        // 260.0 is a whole number, too (JSON Schema 2020-12, 4.2.3).
        match value.as_f64().filter(|number| number.fract() == 0.0 && *number >= 0.0) {
            Some(number) => Some(number as u32),
            None => self.wrong(name, "must be a whole number"),
        }
    }

    /// The name of a service or pool.
    fn name(&mut self, field: &str) -> Option<String> {
        let name = self.text(field)?;
        if is_name(&name) {
            return Some(name);
        }
        self.wrong(
            field,
            &format!("`{}` is no name: letters, digits, `-`, `_` and `.`, at most 64", shortened(&name, 80)),
        )
    }

    /// A text that must be there.
    fn text(&mut self, name: &str) -> Option<String> {
        if !self.fields.iter().any(|(field, _)| field == name) {
            self.problems.push(format!("{name}: it is missing"));
        }
        self.optional_text(name)
    }

    fn optional_text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            _ => self.wrong(name, "must be a text"),
        }
    }

    /// A time without the space around it: it stands on record as it is written.
    fn short_text(&mut self, name: &str) -> Option<String> {
        /// Characters of a time.
        const LONGEST: usize = 64;
        let text = self.optional_text(name)?.trim().to_owned();
        if text.len() <= LONGEST { Some(text) } else { self.wrong(name, &format!("is too long; {UNTIL}")) }
    }

    /// `true` or `false`; left out it is `false`.
    fn flag(&mut self, name: &str) -> bool {
        match self.take(name) {
            None => false,
            Some(Value::Bool(flag)) => flag,
            Some(_) => self.wrong(name, "must be true or false").unwrap_or_default(),
        }
    }

    fn wrong<T>(&mut self, name: &str, problem: &str) -> Option<T> {
        self.problems.push(format!("{name}: {problem}"));
        None
    }

    /// The value of a field, which is then no more among the fields.
    fn take(&mut self, name: &str) -> Option<Value> {
        let mut values = Vec::new();
        self.fields.retain_mut(|(field, value)| {
            let is_it = field == name;
            if is_it {
                values.push(value.take());
            }
            !is_it
        });
        let value = values.pop()?;
        if values.is_empty() { Some(value) } else { self.wrong(name, "stands there more than once") }
    }
}

/// Unknown fields that are told.
const MOST_UNKNOWN: usize = 16;

/// How a time is written.
const UNTIL: &str = "write `for` as 30m or 2h, or `until` as 2026-01-31T18:00:00+01:00";

/// A time of RFC 3339, in milliseconds since the Unix epoch. It must have an offset; what was before 1970 is 0.
fn unix_ms_of(text: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0))
}

/// The members of a JSON object in their order, repeated ones included.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-31T17:00:00Z, at which the clock of running time shows 100 s. `eu` has the services `shop` and `pay`.
    const NOW_UNIX_MS: u64 = 1_769_878_800_000;
    const NOW: MonoTime = MonoTime::from_micros(100_000_000);

    fn read(body: &str, needs_reason: bool) -> Result<ActRequest, Problem> {
        let services_in = |zone: &str| match zone {
            "eu" => vec![Name::from("shop"), Name::from("pay")],
            _ => Vec::new(),
        };
        let context = RequestContext { needs_reason, now: NOW, now_unix_ms: NOW_UNIX_MS, services_in: &services_in };
        parse(body.as_bytes(), &context)
    }

    fn problems(body: &str) -> Vec<String> {
        read(body, true).expect_err("it is wrong").problems
    }

    #[test]
    fn every_command_is_read_from_its_own_words() {
        let service = || Name::from("shop");
        let address = "10.0.0.1:8080".parse().expect("an address");
        let administer =
            |state, endpoints| ActCommand::Administer { service: service(), endpoints, state, force: false };
        let until = || ActUntil { at: NOW.after(Duration::from_secs(1800)), said: "30m".to_owned() };
        let services = || vec![service(), "pay".into()];
        let commands = [
            ActCommand::Switchover { service: service(), pool: "b".into() },
            ActCommand::Failback { service: service() },
            ActCommand::Pin { service: service(), pool: "b".into(), until: Some(until()) },
            ActCommand::Unpin { service: service() },
            ActCommand::Thaw { service: service() },
            ActCommand::Hold { service: service(), scope: HoldScope::All, until: until() },
            ActCommand::Release { service: service() },
            administer(Administrative::Ready, EndpointSelection::Address(address)),
            administer(Administrative::Drain, EndpointSelection::Pool("b".into())),
            administer(Administrative::Maint, EndpointSelection::Zone("eu".into())),
            ActCommand::Weight { service: service(), address, weight: 7, until: Some(until()), force: true },
            ActCommand::Eject { service: service(), address, force: true },
            ActCommand::Uneject { service: service(), address },
            ActCommand::Accept { service: service(), address },
            ActCommand::Evacuate { zone: "eu".into(), until: until(), partial: true, services: services() },
            ActCommand::Return { zone: "eu".into(), services: services() },
            ActCommand::Reload,
        ];
        assert_eq!(commands.len(), COMMANDS.len());
        for command in commands {
            let (word, argument) = words(&command);
            let mut body = serde_json::json!({"command": word, "reason": " because "});
            if let Some((field, value)) = argument {
                body[field] = value.into();
            }
            let (_, needs, may) = COMMANDS.iter().find(|(known, ..)| *known == word).expect("a known word");
            for field in needs.iter().chain(*may) {
                match *field {
                    "service" => body["service"] = "shop".into(),
                    "until|for" => body["for"] = "30m".into(),
                    "scope" => body["scope"] = "all".into(),
                    "weight" => body["weight"] = 7.into(),
                    "force" | "partial" if !matches!(command, ActCommand::Administer { .. }) => {
                        body[*field] = true.into()
                    }
                    _ => {}
                }
            }
            let request = read(&body.to_string(), true).expect("its own words");
            assert_eq!(request, ActRequest { command, reason: Some("because".to_owned()), dry: false });
        }
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let body = r#"{"command": "switchover", "service": 7, "poll": "b", "reason": "abc", "reason": "abd"}"#;
        assert_eq!(
            problems(body),
            [
                "reason: stands there more than once",
                "poll: unknown here; switchover takes service, pool, reason, dry",
                "service: must be a text",
                "pool: it is missing",
            ]
        );
        assert_eq!(problems("{}"), ["command: it is missing"]);
        assert_eq!(problems(r#"{"command": "thaw"}"#), ["service: it is missing"]);
        let body = r#"{"command": "drain", "service": "shop", "endpoint": "web-1", "reason": "abc"}"#;
        assert!(problems(body)[0].starts_with("endpoint: `web-1` is no address"));
        let long = format!(r#"{{"command": "pin", "service": "{}", "pool": "a b", "reason": "abc"}}"#, "x".repeat(65));
        let told = problems(&long);
        assert!(told[0].starts_with("service: `xxx") && told[1].starts_with("pool: `a b` is no name"), "{told:?}");
        let body = r#"{"command": "fly", "service": "shop"}"#;
        assert!(problems(body)[0].starts_with("command: there is no `fly`; there are switchover, failback"));
        let body = r#"{"command": "drain", "service": "shop", "pool": "a", "zone": "b", "reason": "abc"}"#;
        assert_eq!(problems(body), ["endpoint: say one of endpoint, pool and zone"]);
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_point() {
        let weight = |text: &str| {
            let body = format!(
                r#"{{"command": "weight", "service": "shop", "endpoint": "10.0.0.1:80", "weight": {text}, "reason": "abc"}}"#
            );
            read(&body, false).map(|act| act.command).map_err(|refused| refused.problems)
        };
        for (text, expected) in
            [("260", 260), ("260.0", 260), ("2.6e2", 260), ("-0.0", 0), ("5e9", u32::MAX), ("1e300", u32::MAX)]
        {
            match weight(text) {
                Ok(ActCommand::Weight { weight, .. }) => assert_eq!(weight, expected, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        for text in ["-1", "0.5", "\"7\"", "null", "[7]", "true"] {
            assert_eq!(weight(text).expect_err(text), ["weight: must be a whole number"], "{text}");
        }
    }

    #[test]
    fn an_end_is_a_length_or_a_time_with_an_offset() {
        let hold = |end: &str| read(&format!(r#"{{"command": "hold", "service": "shop", {end}}}"#), false);
        let at = |end: &str| match hold(end).expect("it is right").command {
            ActCommand::Hold { until, .. } => until.at.since(NOW),
            other => panic!("{other:?}"),
        };
        assert_eq!(at(r#""for": "2h""#), Duration::from_secs(7200));
        assert_eq!(at(r#""until": "2026-01-31T18:30:00+01:00""#), Duration::from_secs(1800));
        assert_eq!(at(r#""until": "2026-01-31T17:00:01Z""#), Duration::from_secs(1));
        assert_eq!(at(r#""until": "1960-01-31T17:00:01Z""#), Duration::ZERO, "what has passed is refused by the core");
        for wrong in [
            r#""until": "2026-01-31T18:30:00""#,
            r#""until": "soon""#,
            r#""for": "soon""#,
            r#""for": "1h", "until": "2026-01-31T18:30:00Z""#,
            r#""scope": "all""#,
            &format!(r#""for": "1h{}x""#, " ".repeat(80)),
        ] {
            let problem = hold(wrong).expect_err(wrong);
            let told = problem.problems.join("\n");
            assert!(told.contains("2026-01-31T18:00:00+01:00") || told.contains("until says it already"), "{told}");
        }
    }

    #[test]
    fn what_is_no_object_is_malformed() {
        let deep = "[".repeat(LARGEST_BODY);
        for body in ["", "7", "[]", "{\"command\": ", "{} {}", "\u{feff}{}", &deep] {
            let problem = read(body, true).expect_err(body);
            assert_eq!((problem.status.as_u16(), problem.code), (400, "malformed"), "{body:.20}");
        }
    }

    #[test]
    fn a_reason_is_needed_and_has_a_length() {
        let body = |reason: &str| format!(r#"{{"command": "thaw", "service": "shop"{reason}}}"#);
        let code = |reason: &str, needed| read(&body(reason), needed).map_err(|problem| problem.code);
        assert_eq!(code("", true), Err("reason"));
        assert!(code(r#", "dry": true"#, true).is_ok(), "nothing happens, so nothing needs a reason");
        assert_eq!(code(r#", "dry": 1"#, true), Err("malformed"));
        assert!(code("", false).is_ok());
        for needed in [true, false] {
            assert_eq!(code(r#", "reason": "  a  ""#, needed), Err("reason"));
            assert_eq!(code(&format!(r#", "reason": "{}""#, "é".repeat(501)), needed), Err("reason"));
            assert!(code(&format!(r#", "reason": "{}""#, "é".repeat(500)), needed).is_ok());
        }
    }
}

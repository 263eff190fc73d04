//! `standfast status`: what a running instance says of itself, as a table for people or as the JSON of `/status`.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use standfast::control::status_text::{label, millis, since_fault, span};
use standfast::control::{IncidentReport, ServiceReport, Status};
use standfast::decision::ConditionSeverity;
use standfast::text::{printable_json, printable_lines};

use super::ask::{InstanceArgs, printable, problem_text};
use super::exit::ExitReason;
use super::text_table::{TableCell, TextLayout, TextStyle, cell, heads, layout, paint};

/// Switches that are shown.
const SWITCHES: usize = 5;

/// Show services, pools, endpoints and the last switches of a running instance
#[derive(Clone, Debug, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub instance: InstanceArgs,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = StatusOutput::Human)]
    pub output: StatusOutput,
    /// Show it again every so many seconds, until interrupted
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub watch: Option<u64>,
}

/// The reader of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StatusOutput {
    /// Tables, with colour on a terminal
    Human,
    /// The JSON of `/status`
    Json,
}

/// Ask, show, and say it in the exit code.
pub fn run(args: &StatusArgs) -> ExitCode {
    loop {
        let code = once(args);
        let Some(seconds) = args.watch else { return code };
        std::thread::sleep(Duration::from_secs(seconds));
    }
}

fn once(args: &StatusArgs) -> ExitCode {
    let address = args.instance.address();
    let text = match args.instance.get("/status") {
        Ok((status, text)) if status.is_success() => text,
        Ok((status, text)) => {
            let problem = problem_text(&text).unwrap_or(text);
            return fail(&format!("{address} answered {status}: {}", problem.trim()));
        }
        Err(problem) => return fail(&problem),
    };
    let status: Status = match serde_json::from_str(&text) {
        Ok(status) => status,
        Err(error) => return fail(&format!("{address} answers, but not as Standfast: {error}")),
    };
    let mut out = io::stdout().lock();
    let look = TextLayout::of(&out);
    let clear = if args.watch.is_some() && out.is_terminal() { "\x1b[H\x1b[2J" } else { "" };
    let shown = match args.output {
        StatusOutput::Json => printable_json(&text),
        StatusOutput::Human => clear.to_owned() + &tables(&status, look),
    };
    // A reader that has seen enough (`| head`) is no error.
    let _ = out.write_all(shown.as_bytes()).and_then(|()| out.flush());
    if status.services.iter().all(ServiceReport::is_served) { ExitReason::Done.into() } else { ExitReason::No.into() }
}

fn fail(problem: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("standfast status: {}", printable_lines(&problem.to_string()));
    ExitReason::NotAsked.into()
}

/// Everything, for people: the last switches stand last, beside the next prompt.
pub(super) fn tables(status: &Status, look: TextLayout) -> String {
    let [header, services, endpoints, switches] = parts(status, look);
    header + &services + &endpoints + &switches
}

/// The same for a screen that shows the beginning only.
pub(super) fn overview(status: &Status, look: TextLayout) -> String {
    let [header, services, endpoints, switches] = parts(status, look);
    header + &services + &switches + &endpoints
}

fn parts(status: &Status, look: TextLayout) -> [String; 4] {
    let heading = |text: &str| format!("\n{}\n", paint(text, TextStyle::Head, look.colour));
    let mut all = String::new();
    for service in &status.services {
        all += &heading(&printable(&service.name));
        all += &layout("  ", endpoints(service), look);
    }
    if !status.names.is_empty() {
        all += &heading("names");
        all += &layout("  ", names(status), look);
    }
    let mut last = String::new();
    if !status.incidents.is_empty() {
        last += &heading("last switches");
        last += &layout("  ", switches(&status.incidents), look);
    }
    let mut first = header(status, look);
    if status.services.iter().any(|service| !service.conditions.is_empty()) {
        first += &layout("", conditions(status), look);
        first.push('\n');
    }
    [first, layout("", services(status), look), all, last]
}

fn header(status: &Status, look: TextLayout) -> String {
    let ready = match status.ready {
        true => paint("ready", TextStyle::Good, look.colour),
        false => paint("not ready", TextStyle::Bad, look.colour),
    };
    let mut line = format!(
        "Standfast {}  {ready}  up {}  epoch {}  pid {}\n",
        printable(&status.version),
        span(status.uptime_ms),
        status.epoch,
        status.pid
    );
    for listener in &status.listeners {
        let bound: Vec<_> = listener.bound.iter().map(ToString::to_string).collect();
        line.push_str(&format!(
            "{} on {} ({})\n",
            printable(&listener.name),
            bound.join(", "),
            label(&listener.protocol)
        ));
    }
    for trouble in &status.troubles {
        line.push_str(&paint(&printable(trouble), TextStyle::Bad, look.colour));
        line.push('\n');
    }
    if let Some(reload) = status.last_reload.as_ref().filter(|reload| !reload.ok) {
        let problems = reload.messages.iter().flat_map(|message| message.lines());
        let problems = problems.map(|problem| format!("  {}\n", printable(problem.trim())));
        line.push_str(&paint("the last reload was refused:", TextStyle::Bad, look.colour));
        line.push('\n');
        line.extend(problems);
    }
    line.push('\n');
    line
}

fn services(status: &Status) -> Vec<Vec<TableCell>> {
    let mut rows = vec![heads(&["SERVICE", "ACTIVE POOL", "SINCE", "WHY", "LAST RTO", "OBJECTIVE", "NOTES"])];
    for service in &status.services {
        let active = cell(service.active_text());
        let rto = status.last_recovery_ms(service);
        let late = matches!((rto, service.rto_objective_ms), (Some(rto), Some(limit)) if rto > limit as f64);
        rows.push(vec![
            (printable(&service.name), TextStyle::Plain),
            active,
            (format!("{} ago", span(service.for_ms)), TextStyle::Plain),
            (service.why_text(), TextStyle::Plain),
            (rto.map_or("-".to_owned(), millis), if late { TextStyle::Bad } else { TextStyle::Plain }),
            (service.rto_objective_ms.map_or("-".to_owned(), span), TextStyle::Plain),
            (printable(&service.notes().join("; ")), TextStyle::Warn),
        ]);
    }
    rows
}

fn conditions(status: &Status) -> Vec<Vec<TableCell>> {
    let mut rows = vec![heads(&["SERVICE", "CONDITION", "POOL", "FOR", "MEANING"])];
    for service in &status.services {
        for open in &service.conditions {
            let pool = open.pool.as_ref().map_or("-".to_owned(), |pool| printable(pool));
            rows.push(vec![
                (printable(&service.name), TextStyle::Plain),
                (label(&open.kind), severity(open.kind.severity())),
                (pool, TextStyle::Plain),
                (span(open.for_ms), TextStyle::Plain),
                (printable(&open.text), TextStyle::Plain),
            ]);
        }
    }
    rows
}

fn severity(severity: ConditionSeverity) -> TextStyle {
    match severity {
        ConditionSeverity::Notice => TextStyle::Plain,
        ConditionSeverity::Warning => TextStyle::Warn,
        ConditionSeverity::Error => TextStyle::Bad,
    }
}

fn names(status: &Status) -> Vec<Vec<TableCell>> {
    let mut rows = vec![heads(&["NAME", "ADDRESSES", "LAST ANSWER", "TROUBLE"])];
    for name in &status.names {
        let age = status.now_unix_ms.saturating_sub(name.answered_unix_ms);
        let answered = if name.answered_unix_ms == 0 { "none yet".to_owned() } else { format!("{} ago", span(age)) };
        let addresses: Vec<_> = name.addresses.iter().map(ToString::to_string).collect();
        rows.push(vec![
            (printable(&name.name), TextStyle::Plain),
            (if addresses.is_empty() { "none".to_owned() } else { addresses.join(" ") }, TextStyle::Plain),
            (answered, TextStyle::Plain),
            (name.trouble.as_deref().map_or_else(String::new, printable), TextStyle::Warn),
        ]);
    }
    rows
}

fn endpoints(service: &ServiceReport) -> Vec<Vec<TableCell>> {
    let mut rows = vec![heads(&["POOL", "STATE", "ENDPOINT", "STANDING", "FOR", "IN FLIGHT", "EVIDENCE"])];
    for (index, pool) in service.pools.iter().enumerate() {
        let mut names = vec![(printable(&pool.name), TextStyle::Plain), cell(service.pool_text(index))];
        if pool.endpoints.is_empty() {
            names.push(("static response".to_owned(), TextStyle::Plain));
            rows.push(names);
            continue;
        }
        for endpoint in &pool.endpoints {
            let state = &endpoint.state;
            let mut row = std::mem::replace(&mut names, vec![(String::new(), TextStyle::Plain); 2]);
            row.extend([
                (printable(&endpoint.address_text()), TextStyle::Plain),
                cell(endpoint.standing_text()),
                (span(state.for_ms), TextStyle::Plain),
                (endpoint.in_flight.to_string(), TextStyle::Plain),
                (printable(&state.evidence), TextStyle::Plain),
            ]);
            rows.push(row);
        }
    }
    rows
}

fn switches(incidents: &[IncidentReport]) -> Vec<Vec<TableCell>> {
    let mut rows =
        vec![heads(&["WHEN", "SERVICE", "KIND", "FROM", "TO", "DETECTED", "SWITCHED", "ANSWERED (RTO)", "EVIDENCE"])];
    let name = |pool: &Option<standfast::config::Name>| pool.as_ref().map_or("none".to_owned(), |pool| printable(pool));
    for incident in incidents.iter().rev().take(SWITCHES) {
        let cells = [
            format!("{} ago", span(incident.age_ms.saturating_sub(incident.decided_ms as u64))),
            printable(&incident.service),
            label(&incident.kind),
            name(&incident.from),
            name(&incident.to),
            since_fault(Some(incident.detected_ms)),
            since_fault(Some(incident.decided_ms)),
            since_fault(incident.rto_ms),
            printable(&incident.evidence_text()),
        ];
        rows.push(cells.into_iter().map(|text| (text, TextStyle::Plain)).collect());
    }
    rows
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use standfast::decision::{Administrative, Serving};

    use super::*;

    fn notes(service: &ServiceReport) -> String {
        service.notes().join("; ")
    }

    /// One service on its standby, as `/status` tells it.
    fn sample() -> Status {
        let standing = |operational: &str, cause: &str| json!({"operational": operational, "administrative": "ready", "cause": cause});
        let endpoint = |id: u32, address: &str, standing, admission: &str, evidence: &str| {
            json!({"id": id, "address": address, "standing": standing, "admission": admission, "for_ms": 192_000,
                   "evidence": evidence, "ejected_for_ms": null, "in_flight": 3})
        };
        let pools = json!([
            {"name": "eu-west", "available": false, "usable": 0, "endpoints": [
                endpoint(0, "10.0.1.11:8080", standing("unhealthy", "checks_failed"), "closed", "3 probes failed: \u{1b}[2J\u{202e}refused"),
                endpoint(1, "10.0.1.12:8080", standing("unhealthy", "refused"), "trial", "refused, and the confirming connect too")]},
            {"name": "eu-north", "available": true, "usable": 1, "endpoints": [
                endpoint(2, "[2001:db8::1]:8080", standing("healthy", "checks_passed"), "open", "")]},
            {"name": "sorry", "available": true, "usable": 0, "endpoints": []}
        ]);
        let incident = json!({"id": 1, "service": "shop", "kind": "failover", "from": "eu-west", "to": "eu-north",
            "actor": "standfast", "epoch": 12, "fault_unix_ms": 1, "age_ms": 192_000, "detected_ms": 0.4,
            "decided_ms": 51.0, "rto_ms": 1234.5, "evidence": [{"address": "10.0.1.11:8080", "cause": "refused",
            "detail": "connect refused", "seen_unix_ms": 1}]});
        serde_json::from_value(json!({
            "version": "0.1.0", "pid": 7, "config_path": null, "started_unix_ms": 1, "uptime_ms": 273_600_000,
            "now_unix_ms": 2, "ready": true, "epoch": 12, "acknowledged": [12], "generation": 2, "loaded_unix_ms": 1,
            "last_reload": {"unix_ms": 1, "ok": false, "messages": ["line 3: no such service"]},
            "troubles": ["the state file could not be used at the start: it is cut short"],
            "listeners": [{"name": "web", "protocol": "http", "bound": ["0.0.0.0:80"]}],
            "services": [{"name": "shop", "protocol": "http", "mode": "active_passive", "serving": {"active": 1},
                "active": "eu-north", "since_unix_ms": 1, "for_ms": 192_000, "why": "failover", "failing_open": false,
                "hold_down_left_ms": 12_000, "frozen_for_ms": null, "pinned": null, "rto_objective_ms": 1_000,
                "pools": pools}],
            "incidents": [incident],
        }))
        .expect("the sample follows the type")
    }

    #[test]
    fn people_see_what_serves_since_when_why_and_how_fast() {
        let expected = "\
Standfast 0.1.0  ready  up 3d 4h  epoch 12  pid 7
web on 0.0.0.0:80 (http)
the state file could not be used at the start: it is cut short
the last reload was refused:
  line 3: no such service

SERVICE  ACTIVE POOL  SINCE       WHY       LAST RTO  OBJECTIVE  NOTES
shop     eu-north     3m 12s ago  failover  1.23s     1s         home in 12s at the earliest

shop
  POOL      STATE        ENDPOINT            STANDING                       FOR     IN FLIGHT  EVIDENCE
  eu-west   unavailable  10.0.1.11:8080      unhealthy (checks failed)      3m 12s  3          3 probes failed: \u{fffd}[2J\u{fffd}refused
                         10.0.1.12:8080      unhealthy (refused), on trial  3m 12s  3          refused, and the confirming connect too
  eu-north  active       [2001:db8::1]:8080  healthy (checks passed)        3m 12s  3
  sorry     standby      static response

last switches
  WHEN        SERVICE  KIND      FROM     TO        DETECTED  SWITCHED  ANSWERED (RTO)  EVIDENCE
  3m 11s ago  shop     failover  eu-west  eu-north  +0.4ms    +51ms     +1.23s          10.0.1.11:8080 refused: connect refused
";
        assert_eq!(tables(&sample(), TextLayout::PLAIN), expected);
    }

    #[test]
    fn a_name_stands_beside_its_address() {
        let mut status = sample();
        assert!(tables(&status, TextLayout::PLAIN).contains("10.0.1.12:8080      unhealthy"));
        status.services[0].pools[0].endpoints[1].name = Some("app-2".into());
        assert!(tables(&status, TextLayout::PLAIN).contains("10.0.1.12:8080 app-2  unhealthy"));
    }

    #[test]
    fn open_conditions_are_listed() {
        let mut status = sample();
        assert!(!tables(&status, TextLayout::PLAIN).contains("CONDITION"));
        let open =
            json!([{"kind": "pinned_to_unusable", "pool": "eu-west", "for_ms": 61_000, "text": "the pin holds"}]);
        status.services[0].conditions = serde_json::from_value(open).expect("the type");
        let shown = tables(&status, TextLayout::PLAIN);
        let condition =
            shown.find("shop     pinned to unusable  eu-west  1m 1s  the pin holds").expect("the condition");
        assert!(condition < shown.find("ACTIVE POOL").expect("services"), "conditions stand first: {shown}");
    }

    #[test]
    fn a_weight_of_0_is_said() {
        let mut status = sample();
        let endpoint = &mut status.services[0].pools[1].endpoints[0];
        assert_eq!(endpoint.weight, 1, "a report that says none");
        endpoint.weight = 0;
        endpoint.state.standing.administrative = Administrative::Drain;
        assert!(tables(&status, TextLayout::PLAIN).contains("healthy (checks passed), drain, weight 0  3m 12s"));
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let mut plain = tables(&sample(), TextLayout { colour: true, width: None });
        assert!(plain.contains("\x1b[31munavailable\x1b[0m"));
        for code in ["0", "1", "31", "32", "33"] {
            plain = plain.replace(&format!("\x1b[{code}m"), "");
        }
        assert_eq!(plain, tables(&sample(), TextLayout::PLAIN));
    }

    #[test]
    fn a_service_that_is_down_or_starting_is_not_served() {
        let mut status = sample();
        assert!(status.services[0].is_served());
        for serving in [Serving::Down, Serving::Starting] {
            status.services[0].serving = serving;
            assert!(!status.services[0].is_served());
        }
        assert!(tables(&status, TextLayout::PLAIN).contains("starting"));
    }

    #[test]
    fn a_page_and_what_cannot_be_reached_are_no_service() {
        let mut status = sample();
        let service = &mut status.services[0];
        service.pools[2].page = true;
        service.serving = Serving::Active(2);
        assert!(!service.is_served() && notes(service).starts_with("NOT SERVED: only a page answers"));
        service.pools.drain(..2);
        service.serving = Serving::Active(0);
        assert!(service.is_served(), "it is nothing else");
        service.isolated = true;
        assert!(!service.is_served() && notes(service).contains("no pool can be reached"));
    }

    #[test]
    fn what_the_way_home_waits_for_is_told() {
        let mut service = sample().services.remove(0);
        let mut told = |change: fn(&mut ServiceReport)| {
            change(&mut service);
            notes(&service)
        };
        assert_eq!(told(|_| ()), "home in 12s at the earliest");
        let doubled = "home in 12s at the earliest (hold-down x4: it fell soon after a failback)";
        assert_eq!(told(|s| s.relapses = 2), doubled);
        assert_eq!(told(|s| s.frozen_for_ms = Some(60_000)), "failback and rollback frozen for 1m 0s");
        let longer = "home in 2m 0s at the earliest; failback and rollback frozen for 1m 0s";
        assert_eq!(told(|s| s.hold_down_left_ms = Some(120_000)), longer);
        assert_eq!(told(|s| s.waits_for_operator = true), "failback waits for an operator");
        let pinned = "pinned to eu-north; failback and rollback frozen for 1m 0s";
        assert_eq!(told(|s| s.pinned = Some("eu-north".into())), pinned);
    }
}

//! `standfast explain SERVICE`: why the service is where it is, what would move it, and what is waited for.

use std::fmt::Write as _;
use std::process::ExitCode;

use standfast::control::status_text::{label, span};
use standfast::control::{IncidentReport, ServiceReport};
use standfast::decision::Serving;

use super::ask::{InstanceArgs, printable};
use super::exit::ExitReason;
use super::incidents::{ask, fits_path, read, show};

/// Explain why a service is where it is, and what would move it
#[derive(Clone, Debug, clap::Args)]
pub struct ExplainArgs {
    /// The service
    service: String,
    #[command(flatten)]
    pub instance: InstanceArgs,
}

/// Asks and explains.
pub fn run(args: &ExplainArgs) -> ExitCode {
    explain(args).unwrap_or_else(|exit| exit).into()
}

fn explain(args: &ExplainArgs) -> Result<ExitReason, ExitReason> {
    if !fits_path(&args.service) {
        eprintln!("standfast explain: not the name of a service");
        return Err(ExitReason::NotAsked);
    }
    let text = ask("explain", &args.instance, &format!("/v1/services/{}", args.service))?;
    let service: ServiceReport = read("explain", &text)?;
    let text = ask("explain", &args.instance, "/v1/incidents")?;
    let incidents: Vec<IncidentReport> = read("explain", &text)?;
    let last = incidents.iter().rev().find(|incident| incident.service == service.name && !incident.held);
    show(&told(&service, last));
    Ok(ExitReason::Done)
}

fn told(service: &ServiceReport, last: Option<&IncidentReport>) -> String {
    let mut text = String::new();
    let mut say = |line: &str| {
        let _ = writeln!(text, "{}", printable(line));
    };
    let (active, _) = service.active_text();
    let since = span(service.for_ms);
    match service.serving {
        Serving::Down => say(&format!("{} is DOWN, for {since}", service.name)),
        Serving::Starting => say(&format!("{} is starting, for {since}", service.name)),
        _ if service.is_served() => say(&format!("{} is served by {active}, for {since}", service.name)),
        _ => say(&format!("{} is NOT SERVED; active is {active}, for {since}", service.name)),
    }
    match last.filter(|_| service.why.is_some()) {
        None => say("why: its first choice still stands"),
        Some(incident) => {
            let by = if incident.actor.is_own() { String::new() } else { format!(", by {}", incident.actor.name) };
            let evidence = incident.evidence_text();
            let because = if evidence.is_empty() { String::new() } else { format!(": {evidence}") };
            say(&format!("why: {} {} ago{by}{because}", label(&incident.kind), span(incident.age_ms)));
        }
    }
    for condition in &service.conditions {
        let pool = condition.pool.as_ref().map(|pool| format!(" {pool}")).unwrap_or_default();
        let (kind, lasts) = (label(&condition.kind), span(condition.for_ms));
        say(&format!("condition: {kind}{pool}, for {lasts}: {}", condition.text));
    }
    for note in service.notes() {
        say(&format!("note: {note}"));
    }
    for (place, pool) in service.pools.iter().enumerate() {
        let (state, _) = service.pool_text(place);
        let zone = pool.zone.as_ref().map(|zone| format!(", zone {zone}")).unwrap_or_default();
        let avoided = if pool.evacuated { " (evacuated: used only where no other can serve)" } else { "" };
        say(&format!(
            "pool {}: {state}, {} of {} endpoints usable{zone}{avoided}",
            pool.name,
            pool.usable,
            pool.endpoints.len()
        ));
        for endpoint in pool.endpoints.iter().filter(|endpoint| !endpoint.state.standing.is_usable()) {
            let (standing, _) = endpoint.standing_text();
            let lasts = span(endpoint.state.for_ms);
            say(&format!("  {} {standing}, for {lasts}: {}", endpoint.address_text(), endpoint.state.evidence));
        }
    }
    say(&format!("next: {}", service.what_follows()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_where_why_and_what_follows() {
        let standing = |operational: &str, cause: &str| serde_json::json!({"operational": operational, "administrative": "ready", "cause": cause});
        let endpoint = |address: &str, standing, evidence: &str| {
            serde_json::json!({"id": 0, "address": address, "standing": standing, "admission": "open", "for_ms": 192_000,
                "evidence": evidence, "ejected_for_ms": null, "in_flight": 3})
        };
        let service: ServiceReport = serde_json::from_value(serde_json::json!({
            "name": "shop", "protocol": "http", "mode": "active_passive", "serving": {"active": 1}, "active": "south",
            "since_unix_ms": 1, "for_ms": 192_000, "why": "failover", "failing_open": false, "comes_home": true,
            "hold_down_left_ms": 12_000, "frozen_for_ms": null, "pinned": null, "rto_objective_ms": 1_000,
            "conditions": [{"kind": "on_standby", "pool": "south", "for_ms": 192_000, "text": "a standby serves"}],
            "pools": [
                {"name": "north", "available": false, "usable": 0, "zone": "eu-west", "endpoints": [
                    endpoint("10.0.1.11:8080", standing("unhealthy", "refused"), "refused\u{1b}[2J")]},
                {"name": "south", "available": true, "usable": 1, "endpoints": [
                    endpoint("10.0.2.11:8080", standing("healthy", "checks_passed"), "")]}]
        }))
        .expect("it follows the type");
        let incident: IncidentReport = serde_json::from_value(serde_json::json!({
            "id": 7, "service": "shop", "kind": "failover", "from": "north", "to": "south", "actor": "standfast",
            "epoch": 12, "fault_unix_ms": 1, "age_ms": 192_000, "detected_ms": 0.4, "decided_ms": 51.0, "rto_ms": 60.0,
            "evidence": [{"address": "10.0.1.11:8080", "cause": "refused", "detail": "refused", "seen_unix_ms": 1}]
        }))
        .expect("it follows the type");
        let expected = "\
shop is served by south, for 3m 12s
why: failover 3m 12s ago: 10.0.1.11:8080 refused: refused
condition: on standby south, for 3m 12s: a standby serves
note: home in 12s at the earliest
pool north: unavailable, 0 of 1 endpoints usable, zone eu-west
  10.0.1.11:8080 unhealthy (refused), for 3m 12s: refused\u{fffd}[2J
pool south: active, 1 of 1 endpoints usable
next: no other pool could take over now; home in 12s at the earliest
";
        assert_eq!(told(&service, Some(&incident)), expected);
    }
}

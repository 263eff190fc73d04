//! What the demo's screen shows, as lines of a given width: pure, so that every size can be tested.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use standfast::control::status_text::{label, since_fault, span};
use standfast::control::{IncidentReport, ServiceReport};
use standfast::decision::Serving;

use super::command::SUMMARY;
use super::configuration::POLICY;
use super::tally::LoadTally;
use super::terminal::TypedLine;
use crate::cli::text_table::{TextStyle, broken, cell};

/// All that is shown.
#[derive(Debug)]
pub struct ScreenView {
    /// Where the proxy speaks HTTP, and where its admin port is.
    pub addresses: String,
    /// What was sent and what came of it.
    pub counters: ShownCounters,
    /// The service.
    pub service: ServiceReport,
    /// Good answers of the last second by upstream.
    pub rates: BTreeMap<String, u64>,
    /// What each upstream really does.
    pub behaviours: BTreeMap<String, &'static str>,
    /// The last switch.
    pub incident: Option<IncidentReport>,
    /// What happened, oldest first.
    pub events: VecDeque<String>,
    /// What the last command came to; empty = nothing was typed.
    pub answer: String,
}

/// What was sent and what came of it.
#[derive(Clone, Debug)]
pub enum ShownCounters {
    /// The built-in load, as its clients see it.
    DemoLoad {
        /// The counts.
        tally: LoadTally,
        /// Requests per second.
        rate: u32,
        /// POSTs that were executed more than once.
        repeated: u64,
    },
    /// Without it: what the proxy counts of all clients.
    Proxy {
        /// Requests.
        requests: u64,
        /// Those that were answered with a status from 500 on, or not at all.
        failed: u64,
        /// Answers by upstream.
        answered: BTreeMap<String, u64>,
    },
}

impl ShownCounters {
    /// Good answers by upstream.
    pub fn answered(&self) -> &BTreeMap<String, u64> {
        match self {
            ShownCounters::DemoLoad { tally, .. } => &tally.answered,
            ShownCounters::Proxy { answered, .. } => answered,
        }
    }

    /// The counters in one line, without colour.
    pub fn summary(&self) -> String {
        match self {
            ShownCounters::DemoLoad { tally, repeated, .. } => format!(
                "GET {} sent, {} failed; POST {} sent, {} failed, {repeated} run twice",
                tally.get.sent, tally.get.failed, tally.post.sent, tally.post.failed
            ),
            ShownCounters::Proxy { requests, failed, .. } => format!("{requests} requests, {failed} failed"),
        }
    }
}

/// The screen in at most `height` lines of at most `width` characters: what matters most is shown when not all fits.
pub fn lines(view: &ScreenView, width: usize, height: usize) -> Vec<TypedLine> {
    let wide = width >= 60;
    let blank = || vec![Vec::new()];
    let head = vec![fit(vec![(format!("Standfast demo  {}", view.addresses), TextStyle::Head)], width)];
    let counters = counters(&view.counters, width);
    let pools = pools(view, width);
    let incident = incident(view, width, wide);
    let mut foot = plain(SUMMARY, width, TextStyle::Head);
    foot.push(fit(vec![(view.answer.clone(), TextStyle::Warn)], width));
    let policy = plain(POLICY, width, TextStyle::Plain);

    // What may be left out, the least important last.
    let needed = counters.len() + pools.len() + foot.len();
    let mut left = height.saturating_sub(needed);
    let mut fits = |lines: usize| {
        let fits = lines <= left;
        left -= if fits { lines } else { 0 };
        fits
    };
    let shows_incident = fits(incident.len());
    let shows_blanks = fits(3);
    let shows_head = fits(1 + usize::from(shows_blanks));
    let shows_policy = fits(policy.len());
    let events = latest(&view.events, width, left.saturating_sub(usize::from(shows_blanks)));

    let gap = || if shows_blanks { blank() } else { Vec::new() };
    let mut lines = Vec::new();
    if shows_head {
        lines.extend(head);
        lines.extend(gap());
    }
    lines.extend(counters);
    lines.extend(gap());
    lines.extend(pools);
    if shows_incident {
        lines.extend(gap());
        lines.extend(incident);
    }
    if !events.is_empty() {
        lines.extend(gap());
        lines.extend(events);
    }
    lines.extend(gap());
    if shows_policy {
        lines.extend(policy);
    }
    lines.extend(foot);
    // A terminal of a few lines: the counters matter most.
    lines.truncate(height);
    lines
}

/// The last events that fit, each of them whole.
fn latest(events: &VecDeque<String>, width: usize, mut room: usize) -> Vec<TypedLine> {
    let mut lines = VecDeque::new();
    for event in events.iter().rev() {
        let event = plain(event, width, TextStyle::Plain);
        let Some(left) = room.checked_sub(event.len()) else { break };
        room = left;
        event.into_iter().rev().for_each(|line| lines.push_front(line));
    }
    lines.into()
}

fn counters(counters: &ShownCounters, width: usize) -> Vec<TypedLine> {
    let failed = |n: u64| (format!("{n} failed"), if n == 0 { TextStyle::Good } else { TextStyle::Bad });
    let text = |text: String| (text, TextStyle::Plain);
    match counters {
        ShownCounters::DemoLoad { tally, rate, repeated } => {
            let column = if width < 60 { 6 } else { 9 };
            let sent = |n: u64| text(format!("{:>column$} sent   ", grouped(n)));
            let get = vec![text("GET ".into()), sent(tally.get.sent), failed(tally.get.failed)];
            let twice =
                (format!(", {repeated} run twice"), if *repeated == 0 { TextStyle::Good } else { TextStyle::Bad });
            let post = vec![text("POST".into()), sent(tally.post.sent), failed(tally.post.failed), twice];
            let slow = format!("{rate} requests/s, no retry by the client; {} took over 500 ms", grouped(tally.slow));
            let mut lines = vec![fit(get, width), fit(post, width)];
            lines.extend(plain(&slow, width, TextStyle::Plain));
            if !tally.failures.is_empty() {
                let kinds: Vec<_> = tally.failures.iter().map(|(what, n)| format!("{n} x {what}")).collect();
                let why = format!("failed: {}", kinds.join(", "));
                lines.extend(plain(&why, width, TextStyle::Warn));
            }
            lines
        }
        ShownCounters::Proxy { requests, failed: bad, .. } => {
            vec![fit(vec![text(format!("{:>9} requests   ", grouped(*requests))), failed(*bad)], width)]
        }
    }
}

/// A row an endpoint: what it really does, what Standfast makes of it, what it answered.
fn pools(view: &ScreenView, width: usize) -> Vec<TypedLine> {
    let all = width >= 76;
    let state_width = width.saturating_sub(if all { 44 } else { 24 }).clamp(12, 36);
    let row = |name: &str, does: &str, state: (String, TextStyle), answered: String, rate: String| {
        let mut line = vec![(format!("{:<12}", cut(name, 12)), TextStyle::Plain)];
        if all {
            line.push((format!("{:<10}", cut(does, 9)), TextStyle::Plain));
        }
        line.push((format!("{:<state_width$}  ", cut(&state.0, state_width)), state.1));
        line.push((format!("{answered:>9}"), TextStyle::Plain));
        if all {
            line.push((format!("{rate:>8}"), TextStyle::Plain));
        }
        fit(line, width)
    };
    let mut head =
        row("UPSTREAM", "PROCESS", ("STANDFAST SAYS".into(), TextStyle::Head), "ANSWERED".into(), "PER S".into());
    head.iter_mut().for_each(|(_, style)| *style = TextStyle::Head);
    let mut lines = vec![serving(&view.service, width), head];
    for (index, pool) in view.service.pools.iter().enumerate() {
        let mark = if view.service.serving.serves(index) { "▸ " } else { "  " };
        if pool.page {
            let state = if mark == "▸ " {
                ("answers: no service".into(), TextStyle::Bad)
            } else {
                ("a page".into(), TextStyle::Plain)
            };
            lines.push(row(&format!("{mark}{}", pool.name), "", state, String::new(), String::new()));
        }
        for endpoint in &pool.endpoints {
            let name = endpoint.name.as_deref().unwrap_or("?");
            let does = view.behaviours.get(name).copied().unwrap_or("");
            let answered = view.counters.answered().get(name).copied().unwrap_or(0);
            let rate = view.rates.get(name).copied().unwrap_or(0);
            lines.push(row(
                &format!("{mark}{name}"),
                does,
                cell(endpoint.standing_text()),
                grouped(answered),
                grouped(rate),
            ));
        }
    }
    lines
}

/// Which pool serves, and what the way home waits for.
fn serving(service: &ServiceReport, width: usize) -> TypedLine {
    let home = matches!(service.serving, Serving::Active(0));
    let (text, style) = match (&service.serving, &service.active) {
        (Serving::Starting, _) => ("starting".to_owned(), TextStyle::Warn),
        (Serving::Down, _) => ("no pool serves".to_owned(), TextStyle::Bad),
        (_, Some(pool)) if !service.is_served() => (format!("only the page `{pool}` answers"), TextStyle::Bad),
        (_, Some(pool)) => (format!("{pool} serves"), if home { TextStyle::Good } else { TextStyle::Warn }),
        (_, None) => ("?".to_owned(), TextStyle::Warn),
    };
    let next = service.way_home().filter(|_| service.is_served());
    let next = next.map_or_else(String::new, |next| format!("; {next}"));
    fit(vec![(text, style), (next, TextStyle::Plain)], width)
}

fn incident(view: &ScreenView, width: usize, wide: bool) -> Vec<TypedLine> {
    let Some(incident) = &view.incident else { return plain("no switch yet: type crash", width, TextStyle::Plain) };
    let mut lines =
        plain(&format!("last switch: {}, {} ago", route(incident), span(incident.age_ms)), width, TextStyle::Head);
    if let Some(evidence) = incident.evidence.first().filter(|_| wide) {
        let why = format!("because {}: {}", label(&evidence.cause), evidence.detail);
        lines.push(fit(vec![(why, TextStyle::Plain)], width));
    }
    lines.extend(plain(&times(incident), width, TextStyle::Plain));
    lines
}

/// `failover north → south`
pub fn route(incident: &IncidentReport) -> String {
    let name = |pool: &Option<standfast::config::Name>| pool.as_deref().unwrap_or("none").to_owned();
    format!("{} {} → {}", label(&incident.kind), name(&incident.from), name(&incident.to))
}

/// The times of a switch, from the fault on.
fn times(incident: &IncidentReport) -> String {
    let [detected, switched] = [incident.detected_ms, incident.decided_ms].map(|ms| since_fault(Some(ms)));
    format!("detected {detected}  switched {switched}  first answer {}", since_fault(incident.rto_ms))
}

/// `m:ss` since the start.
pub fn clock(since_start: Duration) -> String {
    let seconds = since_start.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// `1,234,567`
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A text in lines that are broken between words.
pub fn plain(text: &str, width: usize, style: TextStyle) -> Vec<TypedLine> {
    broken(text, width).into_iter().map(|line| fit(vec![(line, style)], width)).collect()
}

/// A line of a longer text: one that is too wide is broken, and what begins in columns stays so.
pub fn folded(line: &str, width: usize) -> Vec<TypedLine> {
    match line.chars().count() <= width {
        true => vec![vec![(line.to_owned(), TextStyle::Plain)]],
        false => plain(line, width, TextStyle::Plain),
    }
}

/// The first characters of a text, with a sign where something is left out.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let Some(kept) = width.checked_sub(1) else { return String::new() };
    text.chars().take(kept).chain(std::iter::once('…')).collect()
}

/// A line that is no wider than the terminal.
pub fn fit(line: TypedLine, width: usize) -> TypedLine {
    let mut left = width;
    let mut fitted = Vec::new();
    for (text, style) in line {
        let text = cut(&text, left);
        left -= text.chars().count();
        fitted.push((text, style));
    }
    fitted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::demo::load::LoadOutcome;

    fn view() -> ScreenView {
        let endpoint = |id: u32, name: &str, operational: &str, cause: &str| {
            json!({"id": id, "name": name, "address": format!("127.0.0.1:300{id}"), "admission": "open", "for_ms": 1,
                   "standing": {"operational": operational, "administrative": "ready", "cause": cause},
                   "evidence": "", "ejected_for_ms": null, "in_flight": 0})
        };
        let service = json!({"name": "shop", "protocol": "http", "mode": "active_passive", "serving": {"active": 1},
            "active": "south", "since_unix_ms": 1, "for_ms": 4000, "why": "failover", "failing_open": false,
            "hold_down_left_ms": 3000, "frozen_for_ms": null, "pinned": null, "rto_objective_ms": 5000,
            "pools": [
                {"name": "north", "available": false, "usable": 0, "endpoints": [
                    endpoint(0, "north-1", "unhealthy", "refused"), endpoint(1, "north-2", "unhealthy", "refused")]},
                {"name": "south", "available": true, "usable": 2, "endpoints": [
                    endpoint(2, "south-1", "healthy", "checks_passed"), endpoint(3, "south-2", "healthy", "checks_passed")]},
                {"name": "sorry", "available": true, "usable": 0, "page": true, "endpoints": []}]});
        let incident = json!({"id": 1, "service": "shop", "kind": "failover", "from": "north", "to": "south",
            "actor": "standfast", "epoch": 12, "fault_unix_ms": 1, "age_ms": 4000, "detected_ms": 0.4,
            "decided_ms": 51.0, "rto_ms": 52.5, "evidence": [{"address": "127.0.0.1:3000", "cause": "refused",
            "detail": "connect refused", "seen_unix_ms": 1}]});
        let mut tally = LoadTally::default();
        for (post, result) in [(false, "north-1"), (false, "north-2"), (true, "south-1")] {
            tally.add(LoadOutcome { post, result: Ok(result.to_owned()), took: Duration::ZERO });
        }
        tally.answered.insert("north-1".to_owned(), 1234);
        ScreenView {
            addresses: "http://127.0.0.1:8080  admin http://127.0.0.1:9901".to_owned(),
            counters: ShownCounters::DemoLoad { tally, rate: 200, repeated: 0 },
            service: serde_json::from_value(service).expect("a service"),
            rates: BTreeMap::from([("south-1".to_owned(), 100)]),
            behaviours: BTreeMap::from([("north-1".to_owned(), "crashed"), ("south-1".to_owned(), "running")]),
            incident: Some(serde_json::from_value(incident).expect("an incident")),
            events: VecDeque::from(["0:12 crash: north".to_owned(), "0:12 failover north → south".to_owned()]),
            answer: "0:12 north-1, north-2: crashed".to_owned(),
        }
    }

    fn shown(lines: &[TypedLine]) -> String {
        let text =
            |line: &TypedLine| line.iter().map(|(text, _)| text.as_str()).collect::<String>().trim_end().to_owned();
        lines.iter().map(text).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_usual_terminal_shows_everything() {
        let expected = "\
Standfast demo  http://127.0.0.1:8080  admin http://127.0.0.1:9901

GET         2 sent   0 failed
POST        1 sent   0 failed, 0 run twice
200 requests/s, no retry by the client; 0 took over 500 ms

south serves; home in 3s at the earliest
UPSTREAM    PROCESS   STANDFAST SAYS                         ANSWERED   PER S
  north-1   crashed   unhealthy (refused)                       1,234       0
  north-2             unhealthy (refused)                           1       0
▸ south-1   running   healthy (checks passed)                       1     100
▸ south-2             healthy (checks passed)                       0       0
  sorry               a page

last switch: failover north → south, 4s ago
because refused: connect refused
detected +0.4ms  switched +51ms  first answer +52ms

0:12 failover north → south

Here: failback after 3 s, never frozen (default: 60 s, frozen by a 4th outage).
crash  freeze  slow  errors  revive  status  help  quit
0:12 north-1, north-2: crashed";
        assert_eq!(shown(&lines(&view(), 80, 23)), expected);
    }

    #[test]
    fn every_size_is_kept_and_the_counters_are_in_each() {
        for (width, height) in [(40, 24), (40, 12), (80, 24), (200, 60), (60, 10), (20, 8), (1, 1), (80, 3), (0, 0)] {
            let lines = lines(&view(), width, height);
            assert!(lines.len() <= height, "{width} x {height}: {} lines", lines.len());
            let widest = lines.iter().map(|line| line.iter().map(|(text, _)| text.chars().count()).sum()).max();
            assert!(widest.unwrap_or(0) <= width, "{width} x {height}: {widest:?}\n{}", shown(&lines));
            if width >= 40 && height >= 8 {
                let shown = shown(&lines);
                assert!(
                    shown.contains("2 sent   0 failed") && shown.contains("north-1"),
                    "{width} x {height}\n{shown}"
                );
            }
        }
    }

    #[test]
    fn a_narrow_terminal_leaves_columns_out() {
        let shown = shown(&lines(&view(), 40, 30));
        assert!(shown.contains("  north-1   unhealthy (refu…      1,234"), "{shown}");
        assert!(shown.contains("POST     1 sent   0 failed, 0 run twice"), "{shown}");
        assert!(!shown.contains("PROCESS"));
    }

    #[test]
    fn failures_are_told_with_what_they_are() {
        let mut view = view();
        let ShownCounters::DemoLoad { tally, .. } = &mut view.counters else { unreachable!("a load") };
        tally.add(LoadOutcome { post: true, result: Err("status 502".to_owned()), took: Duration::ZERO });
        let shown = shown(&lines(&view, 80, 30));
        assert!(shown.contains("1 failed, 0 run twice") && shown.contains("failed: 1 x POST: status 502"), "{shown}");
    }

    #[test]
    fn without_its_own_load_the_proxy_counts() {
        let mut view = view();
        let answered = BTreeMap::from([("south-2".to_owned(), 77)]);
        view.counters = ShownCounters::Proxy { requests: 12_345, failed: 0, answered };
        let shown = shown(&lines(&view, 80, 30));
        assert!(shown.contains("12,345 requests   0 failed") && shown.contains("77"), "{shown}");
    }

    #[test]
    fn a_page_is_no_service() {
        let mut view = view();
        view.service.serving = Serving::Active(2);
        view.service.active = Some("sorry".into());
        assert!(shown(&lines(&view, 80, 30)).contains("only the page `sorry` answers"));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}

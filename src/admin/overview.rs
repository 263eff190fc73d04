//! The page at `/` for people with a browser: services, pools, endpoints and the last switches. It has no script, asks for
//! nothing else, and loads itself again every two seconds.
//!
//! It is bounded: of many services, endpoints and messages it shows the first, those in trouble before the others, and says how
//! many it leaves out. `/status` has all of them.

use axum::http::{HeaderMap, header};

use super::html::HtmlPage;
use crate::control::status_text::{Tone, calendar_time, label, millis, since_fault, span};
use crate::control::{EndpointReport, IncidentReport, PoolReport, ServiceReport, Status};
use crate::decision::Operational;
use crate::text::shortened;

/// What the page may do: show itself with its own style.
pub(super) const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Services that are shown.
const SERVICES: usize = 100;
/// Pools of one service that are shown.
const POOLS: usize = 20;
/// Endpoints of one pool that are shown.
const POOL_ENDPOINTS: usize = 50;
/// Endpoints that are shown on the whole page.
const ENDPOINTS: usize = 500;
/// Switches that are shown.
const INCIDENTS: usize = 10;
/// Troubles, and messages of a refused reload, that are shown.
const MESSAGES: usize = 20;
/// Characters of a name, a message or an evidence that are shown.
const CHARACTERS: usize = 400;

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Standfast</title>\n";
const REFRESH: &str = "<meta http-equiv=\"refresh\" content=\"2\">\n";
const STYLE: &str = include_str!("overview.css");

/// Does this client ask for HTML by name? (`*/*` does not: programs say it.)
pub(super) fn wants_html(fields: &HeaderMap) -> bool {
    let values = fields.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("text/html"));
        let refused = parts.filter_map(|part| part.split_once('=')).any(|(name, value)| {
            name.trim().eq_ignore_ascii_case("q") && value.trim().parse::<f32>().is_ok_and(|weight| weight == 0.0)
        });
        named && !refused
    })
}

/// What the page shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct OverviewPage<'a> {
    /// `None`: the engine does not answer.
    pub status: Option<&'a Status>,
    /// What `/readyz` says.
    pub ready: bool,
    /// This instance is about to stop.
    pub draining: bool,
    /// The page loads itself again.
    pub refreshes: bool,
}

impl OverviewPage<'_> {
    /// The page.
    pub fn page(&self) -> String {
        let mut html = HtmlPage::default();
        html.markup(HEAD);
        if self.refreshes {
            html.markup(REFRESH);
        }
        html.markup("<style>\n").markup(STYLE).markup("</style>\n</head>\n<body>\n<main>\n");
        match self.status {
            Some(status) => self.content(status, &mut html),
            None => {
                html.markup("<h1>Standfast</h1>\n<p class=\"bad\">The control plane does not answer.</p>\n");
            }
        }
        html.markup("</main>\n<footer>\n<p><a href=\"/status\">/status</a> <a href=\"/metrics\">/metrics</a> ");
        html.markup("<a href=\"/readyz\">/readyz</a> <a href=\"/livez\">/livez</a></p>\n");
        html.markup(match self.refreshes {
            true => "<p>Updated every 2 seconds. <a href=\"/?refresh=off\">Pause</a></p>\n",
            false => "<p>Not updated. <a href=\"/\">Update every 2 seconds</a></p>\n",
        });
        html.markup("</footer>\n</body>\n</html>\n");
        html.finish()
    }

    fn content(&self, status: &Status, html: &mut HtmlPage) {
        html.markup("<h1>Standfast ").text(&status.version).markup("</h1>\n<p>");
        match (self.draining, self.ready) {
            (true, _) => badge(("draining", Tone::Warn), html),
            (false, true) => badge(("ready", Tone::Good), html),
            (false, false) => badge(("not ready", Tone::Bad), html),
        }
        html.markup(" up ").text(&span(status.uptime_ms));
        html.markup(", ").text(&utc(status.now_unix_ms)).markup("</p>\n");
        summary(&status.services, html);
        troubles(status, html);
        let mut room = ENDPOINTS;
        let mut services: Vec<_> = status.services.iter().collect();
        services.sort_by_key(|service| (service.is_served(), service.pools.iter().all(|pool| pool.available)));
        for service in services.iter().take(SERVICES) {
            section(service, status.last_recovery_ms(service), &mut room, html);
        }
        left_out(services.into_iter().skip(SERVICES), "services", "not served", |s| !s.is_served(), html);
        incidents(&status.incidents, html);
    }
}

/// How many services are served, at a glance.
fn summary(services: &[ServiceReport], html: &mut HtmlPage) {
    let down = services.iter().filter(|service| !service.is_served()).count();
    html.markup("<p class=\"summary\">");
    match (services.len(), down) {
        (all, 0) => badge((&format!("{all} of {all} services are served"), Tone::Good), html),
        (all, down) => badge((&format!("{down} of {all} services are NOT SERVED"), Tone::Bad), html),
    }
    html.markup("</p>\n");
}

/// What is wrong with the instance itself: the state file, the last reload, names.
fn troubles(status: &Status, html: &mut HtmlPage) {
    let mut lines = status.troubles.clone();
    if let Some(reload) = status.last_reload.as_ref().filter(|reload| !reload.ok) {
        let age = span(status.now_unix_ms.saturating_sub(reload.unix_ms));
        lines.push(format!("The last reload was refused {age} ago; the configuration before it stays in force:"));
        lines.extend(reload.messages.iter().flat_map(|message| message.lines()).map(str::to_owned));
    }
    let unanswered = status.names.iter().filter_map(|name| Some((&name.name, name.trouble.as_ref()?)));
    lines.extend(unanswered.map(|(name, trouble)| format!("DNS for {name}: {trouble}")));
    if lines.is_empty() {
        return;
    }
    html.markup("<section>\n<h2>Troubles</h2>\n<ul class=\"bad\">\n");
    for line in lines.iter().take(MESSAGES) {
        html.markup("<li>").text(&shortened(line, CHARACTERS)).markup("</li>\n");
    }
    html.markup("</ul>\n");
    left_out(lines.iter().skip(MESSAGES), "lines", "", |_| false, html);
    html.markup("</section>\n");
}

fn section(service: &ServiceReport, recovery: Option<f64>, room: &mut usize, html: &mut HtmlPage) {
    html.markup("<section>\n<h2>").text(&shortened(&service.name, CHARACTERS)).markup("</h2>\n<dl>\n");
    let (active, tone) = service.active_text();
    html.markup("<div><dt>Active pool</dt><dd>");
    badge((&shortened(&active, CHARACTERS), tone), html);
    html.markup("</dd></div>\n<div><dt>Since</dt><dd>").text(&utc(service.since_unix_ms));
    html.markup(" (").text(&span(service.for_ms)).markup(")</dd></div>\n");
    html.markup("<div><dt>Why</dt><dd>").text(&service.why_text()).markup("</dd></div>\n");
    if let Some(recovery) = recovery {
        html.markup("<div><dt>Last recovery</dt><dd>").text(&millis(recovery));
        if let Some(objective) = service.rto_objective_ms {
            html.markup(" of ").text(&span(objective)).markup(" (objectives.rto)");
        }
        html.markup("</dd></div>\n");
    }
    html.markup("</dl>\n");
    for note in service.notes() {
        html.markup("<p class=\"warn\">").text(&shortened(&note, CHARACTERS)).markup("</p>\n");
    }
    for (index, reported) in service.pools.iter().enumerate().take(POOLS) {
        pool(reported, service.pool_text(index), room, html);
    }
    left_out(service.pools.iter().skip(POOLS), "pools", "unavailable", |pool| !pool.available, html);
    html.markup("</section>\n");
}

fn pool(pool: &PoolReport, state: (&str, Tone), room: &mut usize, html: &mut HtmlPage) {
    let title = |html: &mut HtmlPage| {
        html.text(&shortened(&pool.name, CHARACTERS)).markup(" ");
        badge(state, html);
    };
    if pool.endpoints.is_empty() {
        html.markup("<p class=\"page\">");
        title(html);
        html.markup(if pool.page { " a static response</p>\n" } else { " no endpoints</p>\n" });
        return;
    }
    let (shown, hidden) = chosen(&pool.endpoints, POOL_ENDPOINTS.min(*room));
    *room -= shown.len();
    if shown.is_empty() {
        html.markup("<p class=\"page\">");
        title(html);
        html.markup("</p>\n");
    } else {
        html.markup("<table class=\"endpoints\" role=\"table\">\n<caption>");
        title(html);
        html.markup(
            "</caption>\n<thead role=\"rowgroup\"><tr role=\"row\"><th scope=\"col\" role=\"columnheader\">Endpoint</th>\
             <th scope=\"col\" role=\"columnheader\">State</th><th scope=\"col\" role=\"columnheader\">For</th>\
             <th scope=\"col\" role=\"columnheader\">In flight</th><th scope=\"col\" role=\"columnheader\">Evidence</th>\
             </tr></thead>\n<tbody role=\"rowgroup\">\n",
        );
        shown.iter().for_each(|endpoint| endpoint_row(endpoint, html));
        html.markup("</tbody>\n</table>\n");
    }
    left_out(hidden.into_iter(), "endpoints", "not healthy", |endpoint| !is_well(endpoint), html);
}

fn is_well(endpoint: &EndpointReport) -> bool {
    endpoint.state.standing.operational == Operational::Healthy
}

/// As many endpoints as there is room for, in their order, those that are not healthy before the others; and the rest.
fn chosen(endpoints: &[EndpointReport], most: usize) -> (Vec<&EndpointReport>, Vec<&EndpointReport>) {
    let ill = endpoints.iter().filter(|endpoint| !is_well(endpoint)).count();
    let mut room = (most.min(ill), most.saturating_sub(ill));
    endpoints.iter().partition(|endpoint| {
        let room = if is_well(endpoint) { &mut room.1 } else { &mut room.0 };
        let fits = *room > 0;
        *room = room.saturating_sub(1);
        fits
    })
}

fn endpoint_row(endpoint: &EndpointReport, html: &mut HtmlPage) {
    let (standing, tone) = endpoint.standing_text();
    html.markup("<tr role=\"row\"><th scope=\"row\" role=\"rowheader\">");
    html.text(&shortened(&endpoint.address_text(), CHARACTERS));
    html.markup("</th><td role=\"cell\" data-label=\"State\">");
    badge((&standing, tone), html);
    html.markup("</td><td role=\"cell\" data-label=\"For\">").text(&span(endpoint.state.for_ms));
    html.markup("</td><td role=\"cell\" data-label=\"In flight\">").text(&endpoint.in_flight.to_string());
    html.markup("</td><td role=\"cell\" data-label=\"Evidence\">");
    html.text(&shortened(&endpoint.state.evidence, CHARACTERS)).markup("</td></tr>\n");
}

/// The last switches, newest first, each with the times since its fault (or its order).
fn incidents(incidents: &[IncidentReport], html: &mut HtmlPage) {
    html.markup("<section>\n<h2>Last switches</h2>\n");
    if incidents.is_empty() {
        html.markup("<p>None since the first choice.</p>\n</section>\n");
        return;
    }
    html.markup(
        "<table class=\"switches\" role=\"table\">\n<caption>Times count from the first sign of the fault, or from the order</caption>\n",
    );
    html.markup(
        "<thead role=\"rowgroup\"><tr role=\"row\"><th scope=\"col\" role=\"columnheader\">When</th>\
         <th scope=\"col\" role=\"columnheader\">Service</th><th scope=\"col\" role=\"columnheader\">Switch</th>\
         <th scope=\"col\" role=\"columnheader\">Detected</th><th scope=\"col\" role=\"columnheader\">Switched</th>\
         <th scope=\"col\" role=\"columnheader\">Answered</th><th scope=\"col\" role=\"columnheader\">Evidence</th>\
         </tr></thead>\n<tbody role=\"rowgroup\">\n",
    );
    incidents.iter().rev().take(INCIDENTS).for_each(|incident| incident_row(incident, html));
    html.markup("</tbody>\n</table>\n</section>\n");
}

fn incident_row(incident: &IncidentReport, html: &mut HtmlPage) {
    let name = |pool: &Option<crate::config::Name>| match pool {
        Some(pool) => shortened(pool, CHARACTERS),
        None => "(none)".to_owned(),
    };
    html.markup("<tr role=\"row\"><th scope=\"row\" role=\"rowheader\">");
    html.text(&utc(incident.fault_unix_ms)).markup(" (").text(&span(incident.age_ms)).markup(" ago)</th>");
    html.markup("<td role=\"cell\" data-label=\"Service\">").text(&shortened(&incident.service, CHARACTERS));
    html.markup("</td><td role=\"cell\" data-label=\"Switch\">").text(&label(&incident.kind));
    html.markup(": ").text(&name(&incident.from)).markup(" → ").text(&name(&incident.to));
    if !incident.actor.is_own() {
        html.markup(", by ").text(&shortened(&incident.actor.name, CHARACTERS));
    }
    for (cell, time) in [
        ("</td><td role=\"cell\" data-label=\"Detected\">", Some(incident.detected_ms)),
        ("</td><td role=\"cell\" data-label=\"Switched\">", Some(incident.decided_ms)),
        ("</td><td role=\"cell\" data-label=\"Answered\">", incident.rto_ms),
    ] {
        html.markup(cell).text(&since_fault(time));
    }
    html.markup("</td><td role=\"cell\" data-label=\"Evidence\">");
    html.text(&shortened(&incident.evidence_text(), CHARACTERS)).markup("</td></tr>\n");
}

/// A state: its words, and a colour beside them.
fn badge((text, tone): (&str, Tone), html: &mut HtmlPage) {
    html.markup(match tone {
        Tone::Plain => "<span class=\"badge\">",
        Tone::Good => "<span class=\"badge good\">",
        Tone::Warn => "<span class=\"badge warn\">",
        Tone::Bad => "<span class=\"badge bad\">",
    });
    html.text(text).markup("</span>");
}

/// How many are not shown, and how many of them are in trouble.
fn left_out<T>(
    rest: impl Iterator<Item = T>,
    what: &'static str,
    trouble: &'static str,
    is_in_trouble: impl Fn(&T) -> bool,
    html: &mut HtmlPage,
) {
    let (all, bad) = rest.fold((0_usize, 0_usize), |(all, bad), one| (all + 1, bad + usize::from(is_in_trouble(&one))));
    if all == 0 {
        return;
    }
    html.markup("<p class=\"more\">").text(&format!("{all} more {what} are not shown"));
    if bad > 0 {
        html.text(&format!(", {bad} of them {trouble}"));
    }
    html.markup(": see <a href=\"/status\">/status</a>.</p>\n");
}

/// A time of the wall clock, to the second.
fn utc(unix_ms: u64) -> String {
    calendar_time(unix_ms).map_or("?".to_owned(), |time| humantime::format_rfc3339_seconds(time).to_string())
}

#[cfg(test)]
#[path = "overview_tests.rs"]
mod tests;

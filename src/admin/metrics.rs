//! One scrape: every metric of [`names`], made anew from what stands now, so that series of what is gone are gone and
//! nothing is kept between scrapes.

use std::collections::HashSet;
use std::fmt::Display;

use crate::config::Members;
use crate::control::tally::{ALERTS, EJECTIONS, PROBES, SWITCHES};
use crate::control::{ServiceReport, Status, Tally};
use crate::decision::{Administrative, Admission, Held, Operational, Serving};
use crate::net::tls::{Distrust, Handshake};
use crate::routing::{EndpointTotals, EndpointView, Rejection, RetryReason, RoutingTable, ServiceView, Turned};
use crate::sys::process::Process;
use crate::telemetry::exposition::{Exposition, Family, Labels, seconds};
use crate::telemetry::lines::Counts;
use crate::telemetry::names::{self, Metric};
use crate::wire::h1;
use crate::wire::h2::Excess;

/// What a scrape is made from. Where the engine does not answer, its metrics are missing and the rest is told.
#[derive(Clone, Copy, Debug)]
pub struct Scrape<'a> {
    /// The published table with the workers' counts.
    pub table: &'a RoutingTable,
    /// The newest table that each worker has taken up.
    pub acknowledged: &'a [u64],
    /// The engine's counts.
    pub tally: Option<&'a Tally>,
    /// The engine's state.
    pub status: Option<&'a Status>,
    /// The access log's lines.
    pub access_log: Counts,
    /// The log's lines.
    pub log: Counts,
    /// What `/readyz` says.
    pub ready: bool,
    /// This process.
    pub process: &'a Process,
}

const OPERATIONAL: [&str; 4] = ["checking", "healthy", "unhealthy", "ejected"];
const ADMINISTRATIVE: [&str; 3] = ["ready", "drain", "maint"];
const ADMISSIONS: [&str; 3] = ["open", "trial", "closed"];
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
const TRIES: [&str; 7] = ["good", "refused", "connect_timeout", "reset", "timeout", "malformed", "gateway"];
const CONNECTS: [&str; 4] = ["connected", "refused", "timeout", "local"];
const DONE: [&str; 2] = ["success", "failure"];

/// The whole text of a scrape.
pub fn render(scrape: &Scrape<'_>) -> String {
    let rows = rows(scrape.table);
    let mut out = Exposition::with_capacity((16 << 10) + rows.len() * 5000);
    switches(&mut out, scrape);
    health(&mut out, scrape, &rows);
    requests(&mut out, scrape.table);
    upstream(&mut out, &rows);
    clients(&mut out, scrape.table);
    tls(&mut out, scrape.table);
    ourselves(&mut out, scrape);
    out.finish()
}

/// An endpoint with its labels and counts, read once a scrape.
struct Row<'a> {
    labels: Labels,
    view: &'a EndpointView,
    totals: EndpointTotals,
}

fn rows(table: &RoutingTable) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for service in &table.services {
        for pool in &service.pools {
            rows.extend(pool.endpoints.iter().map(|view| {
                let names = ["service", "pool", "endpoint"];
                let labels = Labels::new(&names, &[&service.config.name, &pool.name, &view.address.to_string()]);
                let labels = match &view.name {
                    Some(name) => labels.and("endpoint_name", name),
                    None => labels,
                };
                Row { labels, view, totals: view.stats.totals() }
            }));
        }
    }
    rows
}

fn switches(out: &mut Exposition, scrape: &Scrape<'_>) {
    let services = &scrape.table.services;
    // Where all pools are unreachable the active one is kept, but no request is served; and a page is no service.
    let reports = scrape.status.map_or(&[][..], |status| &status.services);
    let isolated: HashSet<&str> = reports.iter().filter(|report| report.isolated).map(|report| &*report.name).collect();
    each_service(out, &names::SERVICE_UP, services, |service| {
        u8::from(
            matches!(service.serving, Serving::Active(_) | Serving::Shared(_))
                && !isolated.contains(&*service.config.name)
                && !service.shows_a_page(),
        )
    });
    let mut family = out.family(&names::POOL_ACTIVE);
    for service in services {
        for pool in &service.pools {
            family.sample(&[&service.config.name, &pool.name], u8::from(service.serves(pool.index)));
        }
    }
    let mut family = out.family(&names::POOL_PRIORITY);
    for service in services {
        for (place, pool) in service.pools.iter().enumerate() {
            family.sample(&[&service.config.name, &pool.name], place);
        }
    }
    let mut family = out.family(&names::POOL_AVAILABLE);
    for service in services {
        for pool in &service.pools {
            family.sample(&[&service.config.name, &pool.name], u8::from(pool.available));
        }
    }
    let mut family = out.family(&names::POOL_ENDPOINTS);
    for service in services {
        for pool in service.pools.iter().filter(|pool| matches!(pool.config().members, Members::Endpoints(_))) {
            for (name, admission) in ADMISSIONS.iter().zip([Admission::Open, Admission::Trial, Admission::Closed]) {
                let count = pool.endpoints.iter().filter(|endpoint| endpoint.admission == admission).count();
                family.sample(&[&service.config.name, &pool.name, name], count);
            }
        }
    }
    switch_counts(out, scrape.tally);
    let mut family = out.family(&names::RECOVERY_OBJECTIVE);
    for service in services {
        if let Some(rto) = service.config.objectives.rto {
            family.sample(&[&service.config.name], rto.as_secs_f64());
        }
    }
    switch_state(out, reports);
    let mut family = out.family(&names::ALERTS);
    for (kind, count) in ALERTS.iter().zip(scrape.tally.iter().flat_map(|tally| tally.alerts)) {
        family.sample(&[kind], count);
    }
}

fn switch_counts(out: &mut Exposition, tally: Option<&Tally>) {
    let services = tally.map_or(&[][..], |tally| &tally.services);
    let mut family = out.family(&names::OUTAGES);
    for (name, tally) in services {
        family.sample(&[name], tally.outages);
    }
    let mut family = out.family(&names::SWITCHES);
    for (name, tally) in services {
        for (kind, count) in SWITCHES.iter().zip(tally.switches) {
            family.sample(&[name, kind], count);
        }
    }
    let mut family = out.family(&names::SWITCH_TIMESTAMP);
    for (name, tally) in services {
        family.sample(&[name], millis(tally.last_switch_unix_ms));
    }
    let mut family = out.family(&names::RECOVERY);
    for (name, tally) in services {
        family.histogram(&[name], &tally.recovery.snapshot());
    }
    let mut family = out.family(&names::LAST_RECOVERY);
    for (name, tally) in services {
        if let Some(recovery) = tally.last_recovery {
            family.sample(&[name], recovery.as_secs_f64());
        }
    }
}

fn switch_state(out: &mut Exposition, services: &[ServiceReport]) {
    let mut family = out.family(&names::HOLD_DOWN);
    for service in services {
        family.sample(&[&service.name], millis(service.hold_down_left_ms.unwrap_or(0)));
    }
    let mut family = out.family(&names::FROZEN);
    for service in services {
        family.sample(&[&service.name], u8::from(service.frozen_for_ms.is_some()));
    }
    let mut family = out.family(&names::FAILING_OPEN);
    for service in services {
        family.sample(&[&service.name], u8::from(service.failing_open));
    }
    let mut family = out.family(&names::PINNED);
    for service in services {
        for pool in &service.pools {
            family.sample(&[&service.name, &pool.name], u8::from(service.pinned.as_ref() == Some(&pool.name)));
        }
    }
}

fn health(out: &mut Exposition, scrape: &Scrape<'_>, rows: &[Row<'_>]) {
    let mut family = out.family(&names::ENDPOINT_STANDING);
    for row in rows {
        family.state_set(&row.labels, &OPERATIONAL, operational(row.view.standing.operational));
    }
    let mut family = out.family(&names::ENDPOINT_SUSPECTED);
    for row in rows {
        family.sample_of(&row.labels, u8::from(row.view.suspected));
    }
    let mut family = out.family(&names::ENDPOINT_ADMINISTRATIVE);
    for row in rows {
        family.state_set(&row.labels, &ADMINISTRATIVE, administrative(row.view.standing.administrative));
    }
    let services = scrape.tally.map_or(&[][..], |tally| &tally.services);
    let mut family = out.family(&names::EJECTIONS);
    for (name, tally) in services {
        for (cause, count) in EJECTIONS.iter().zip(tally.ejections) {
            family.sample(&[name, cause], count);
        }
    }
    let mut family = out.family(&names::EVIDENCE_HELD);
    for (name, tally) in services {
        for (reason, count) in Held::ALL.iter().zip(tally.held) {
            family.sample(&[name, reason.as_str()], count);
        }
    }
    let mut family = out.family(&names::PROBES);
    for row in rows {
        if let Some(probes) = scrape.tally.and_then(|tally| tally.probes.get(&row.view.id)) {
            by_last_label(&mut family, row, &PROBES, probes);
        }
    }
    let mut family = out.family(&names::PROBE_DURATION);
    for (name, tally) in services {
        family.histogram(&[name], &tally.probe_duration.snapshot());
    }
}

fn requests(out: &mut Exposition, table: &RoutingTable) {
    let services = &table.services;
    let mut family = out.family(&names::REQUESTS);
    for service in services {
        for (class, count) in CLASSES.iter().zip(service.stats.responses()) {
            family.sample(&[&service.config.name, class], count);
        }
    }
    let mut family = out.family(&names::REQUEST_DURATION);
    for service in services {
        family.histogram(&[&service.config.name], &service.stats.latency.snapshot());
    }
    each_service(out, &names::REQUESTS_IN_FLIGHT, services, |service| service.stats.limits.in_use());
    each_service(out, &names::REQUESTS_PENDING, services, |service| service.stats.limits.pending());
    let mut family = out.family(&names::REQUESTS_REJECTED);
    for service in services {
        for (reason, count) in Rejection::ALL.iter().zip(service.stats.rejected()) {
            family.sample(&[&service.config.name, reason.as_str()], count);
        }
    }
    let mut family = out.family(&names::RETRIES);
    for service in services {
        for (reason, count) in RetryReason::ALL.iter().zip(service.stats.retries()) {
            family.sample(&[&service.config.name, reason.as_str()], count);
        }
    }
    let mut family = out.family(&names::HEDGES);
    for service in services {
        for (outcome, count) in ["won", "lost"].iter().zip(service.stats.hedges()) {
            family.sample(&[&service.config.name, outcome], count);
        }
    }
    each_service(out, &names::RETRY_BUDGET_EXHAUSTED, services, |service| service.stats.budget_exhausted.total());
    each_service(out, &names::CROSSED, services, |service| service.stats.crossed.total());
}

fn upstream(out: &mut Exposition, rows: &[Row<'_>]) {
    let mut family = out.family(&names::TRIES);
    for row in rows {
        let mut counts = [row.totals.good; TRIES.len()];
        counts[1..].copy_from_slice(&row.totals.failed);
        by_last_label(&mut family, row, &TRIES, &counts);
    }
    let mut family = out.family(&names::TRIALS);
    for row in rows {
        by_last_label(&mut family, row, &["good", "failed"], &[row.totals.trials_good, row.totals.trials_failed]);
    }
    let mut family = out.family(&names::RESPONSES);
    for row in rows {
        by_last_label(&mut family, row, &CLASSES[1..], &row.totals.responses);
    }
    let mut family = out.family(&names::ENDPOINT_CONNECTIONS);
    for row in rows {
        by_last_label(&mut family, row, &["in_use", "idle"], &[row.totals.in_flight, row.totals.idle]);
    }
    let mut family = out.family(&names::ENDPOINT_CONNECTS);
    for row in rows {
        by_last_label(&mut family, row, &CONNECTS, &row.totals.connects);
    }
    let mut family = out.family(&names::ENDPOINT_TLS_FAILURES);
    for row in rows.iter().filter(|row| row.view.tls.is_some()) {
        by_last_label(&mut family, row, &Distrust::ALL.map(Distrust::as_str), &row.totals.distrusted);
    }
    let mut family = out.family(&names::ENDPOINT_BYTES);
    for row in rows {
        by_last_label(&mut family, row, &["sent", "received"], &[row.totals.bytes_out, row.totals.bytes_in]);
    }
}

fn clients(out: &mut Exposition, table: &RoutingTable) {
    let listeners = || table.listeners.iter().map(|listener| (&*listener.config.name, &listener.stats));
    let mut family = out.family(&names::LISTENER_CONNECTIONS);
    listeners().for_each(|(name, stats)| family.sample(&[name], stats.open()));
    let mut family = out.family(&names::LISTENER_MAX);
    for listener in &table.listeners {
        family.sample(&[&listener.config.name], listener.config.limits.max_connections);
    }
    let mut family = out.family(&names::LISTENER_ACCEPTED);
    listeners().for_each(|(name, stats)| family.sample(&[name], stats.accepted.total()));
    let mut family = out.family(&names::LISTENER_ACCEPT_ERRORS);
    listeners().for_each(|(name, stats)| family.sample(&[name], stats.rejected_accept.total()));
    let mut family = out.family(&names::LISTENER_BYTES);
    for (name, stats) in listeners() {
        family.sample(&[name, "received"], stats.bytes_in.total());
        family.sample(&[name, "sent"], stats.bytes_out.total());
    }
    let mut family = out.family(&names::MALFORMED);
    for service in &table.services {
        for (error, count) in h1::Error::ALL.iter().zip(service.stats.malformed()).filter(|(_, count)| *count > 0) {
            family.sample(&[&service.config.name, error.reason()], count);
        }
    }
    let mut family = out.family(&names::UNROUTED);
    listeners().for_each(|(name, stats)| family.sample(&[name], stats.unrouted.total()));
    let mut family = out.family(&names::LOOPED);
    listeners().for_each(|(name, stats)| family.sample(&[name], stats.looped.total()));
    let mut family = out.family(&names::TURNED_AWAY);
    for (name, stats) in listeners() {
        for (turned, count) in Turned::ALL.iter().zip(stats.turned()) {
            family.sample(&[name, turned.reason()], count);
        }
    }
    let mut family = out.family(&names::PROTOCOL_REFUSALS);
    for (name, stats) in listeners() {
        for (error, count) in h1::Error::ALL.iter().zip(stats.refusals()) {
            family.sample(&[name, error.reason()], count);
        }
    }
    let mut family = out.family(&names::PROTOCOL_EXCESSES);
    for (name, stats) in listeners() {
        for (excess, count) in Excess::ALL.iter().zip(stats.excesses()) {
            family.sample(&[name, excess.reason()], count);
        }
    }
}

fn tls(out: &mut Exposition, table: &RoutingTable) {
    let listeners = || table.listeners.iter().filter(|listener| listener.config.tls.is_some());
    let mut family = out.family(&names::TLS_HANDSHAKES);
    for listener in listeners() {
        for (how, count) in Handshake::ALL.iter().zip(listener.stats.handshakes()) {
            family.sample(&[&listener.config.name, how.as_str()], count);
        }
    }
    let mut family = out.family(&names::TLS_CONNECTIONS);
    for listener in listeners() {
        for (version, count) in ["1.2", "1.3"].iter().zip(listener.stats.tls_versions()) {
            family.sample(&[&listener.config.name, version], count);
        }
    }
    let mut family = out.family(&names::TLS_EXPIRY);
    for shown in table.materials.shown(&table.config) {
        family.sample(&[shown.by, shown.name, &shown.leaf.path.display().to_string()], shown.leaf.not_after);
    }
}

/// What names of endpoints stand for.
fn discovery(out: &mut Exposition, scrape: &Scrape<'_>) {
    let known = scrape.status.map_or(&[][..], |status| &status.names);
    let mut family = out.family(&names::DNS_LOOKUPS);
    for name in known {
        for (result, count) in &name.lookups {
            family.sample(&[&name.name, result], count);
        }
    }
    let mut family = out.family(&names::DNS_ADDRESSES);
    for name in known {
        family.sample(&[&name.name], name.addresses.len());
    }
    let mut family = out.family(&names::DNS_ANSWER_TIMESTAMP);
    for name in known {
        family.sample(&[&name.name], millis(name.answered_unix_ms.max(scrape.process.started_unix_millis)));
    }
}

fn ourselves(out: &mut Exposition, scrape: &Scrape<'_>) {
    out.family(&names::BUILD_INFO).sample(&[env!("CARGO_PKG_VERSION")], 1);
    out.single(&names::READY, u8::from(scrape.ready));
    out.single(&names::TABLE_EPOCH, scrape.table.epoch);
    let mut family = out.family(&names::TABLE_ACKNOWLEDGED);
    for (worker, epoch) in scrape.acknowledged.iter().enumerate() {
        family.sample(&[&worker.to_string()], epoch);
    }
    if let Some(tally) = scrape.tally {
        out.single(&names::CONFIG_GENERATION, tally.generation);
        results(out, &names::CONFIG_RELOADS, &DONE, &[tally.reloads, tally.reloads_refused]);
        out.single(&names::CONFIG_RELOAD_SUCCESSFUL, u8::from(tally.last_reload_ok));
        out.single(&names::CONFIG_TIMESTAMP, millis(tally.loaded_unix_ms));
        results(out, &names::STATE_WRITES, &DONE, &[tally.state_writes, tally.state_writes_failed]);
    }
    discovery(out, scrape);
    if let Some(tally) = scrape.tally {
        out.single(&names::PAUSES, tally.pauses.count);
        out.single(&names::PAUSED_SECONDS, tally.pauses.total.as_secs_f64());
    }
    let mut family = out.family(&names::TROUBLES);
    scrape.status.iter().for_each(|status| family.sample(&[], status.troubles.len()));
    let Counts { written, dropped, failed } = scrape.access_log;
    results(out, &names::ACCESS_LOG_RECORDS, &["written", "dropped", "failed"], &[written, dropped, failed]);
    out.single(&names::LOG_DROPPED, scrape.log.dropped);
    out.single(&names::PROCESS_START, millis(scrape.process.started_unix_millis));
    out.single(&names::PROCESS_CPU, scrape.process.cpu_seconds());
    maybe(out, &names::PROCESS_MEMORY, scrape.process.resident_bytes());
    maybe(out, &names::PROCESS_FDS, scrape.process.open_fds());
    maybe(out, &names::PROCESS_MAX_FDS, scrape.process.max_fds());
}

fn each_service<T: Display>(
    out: &mut Exposition,
    metric: &'static Metric,
    services: &[std::sync::Arc<ServiceView>],
    value: impl Fn(&ServiceView) -> T,
) {
    let mut family = out.family(metric);
    for service in services {
        family.sample(&[&service.config.name], value(service));
    }
}

/// One sample for each value of an endpoint's last label.
fn by_last_label(family: &mut Family<'_>, row: &Row<'_>, values: &[&str], counts: &[u64]) {
    for (value, count) in values.iter().zip(counts) {
        family.sample_under(&row.labels, value, count);
    }
}

/// One sample for each value of the only label.
fn results(out: &mut Exposition, metric: &'static Metric, values: &[&str], counts: &[u64]) {
    let mut family = out.family(metric);
    for (value, count) in values.iter().zip(counts) {
        family.sample(&[value], count);
    }
}

fn maybe(out: &mut Exposition, metric: &'static Metric, value: Option<u64>) {
    if let Some(value) = value {
        out.single(metric, value);
    }
}

/// Milliseconds as seconds.
fn millis(millis: u64) -> f64 {
    seconds(millis.saturating_mul(1000))
}

const fn operational(state: Operational) -> &'static str {
    match state {
        Operational::Checking => OPERATIONAL[0],
        Operational::Healthy => OPERATIONAL[1],
        Operational::Unhealthy => OPERATIONAL[2],
        Operational::Ejected => OPERATIONAL[3],
    }
}

const fn administrative(state: Administrative) -> &'static str {
    match state {
        Administrative::Ready => ADMINISTRATIVE[0],
        Administrative::Drain => ADMINISTRATIVE[1],
        Administrative::Maint => ADMINISTRATIVE[2],
    }
}

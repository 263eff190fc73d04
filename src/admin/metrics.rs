//! The walk over all metrics of [`names`]: made from what stands now, so that series of what is gone are gone and nothing is kept
//! between walks. It writes to a text for a scrape, or to the recorder of an embedder.

use std::collections::HashSet;

use super::endpoint_metrics::{self, CLASSES, EndpointRows};
use super::scrape::MetricsWalk;
use crate::config::{MetricsDetail, PoolMembers};
use crate::control::audit::AuditCounts;
use crate::control::journal::{JournalCounts, SegmentReason};
use crate::control::tally::{ALERTS, SWITCHES};
use crate::control::{ChangeTally, ServiceReport};
use crate::decision::{Admission, ConditionKind, Serving};
use crate::net::tls::HandshakeOutcome;
use crate::routing::{ConnRejection, Rejection, RetryReason, RoutingTable, ServiceView};
use crate::telemetry::exposition::Exposition;
use crate::telemetry::lines::LineCounts;
use crate::telemetry::names::{self, Metric};
use crate::telemetry::sink::{Family, MetricSink, Number, seconds};
use crate::wire::h1;
use crate::wire::h2::H2Excess;

const ADMISSIONS: [&str; 3] = ["open", "trial", "closed"];
const DONE: [&str; 2] = ["success", "failure"];

/// The whole text of a scrape.
pub fn render(scrape: &MetricsWalk<'_>) -> String {
    /// What an endpoint takes.
    const FULL: usize = 5000;
    const LEAN: usize = 800;
    let each = if scrape.table.config.metrics_detail == MetricsDetail::Lean { LEAN } else { FULL };
    let endpoints: usize =
        scrape.table.services.iter().flat_map(|service| &service.pools).map(|pool| pool.endpoints.len()).sum();
    let mut out = Exposition::with_capacity((16 << 10) + endpoints * each);
    walk(scrape, &mut out);
    out.finish()
}

/// Writes every metric to `out`.
pub fn walk<S: MetricSink>(scrape: &MetricsWalk<'_>, out: &mut S) {
    let rows = EndpointRows::new(scrape, out);
    switches(out, scrape);
    endpoint_metrics::health(out, scrape, &rows);
    requests(out, scrape.table);
    endpoint_metrics::upstream(out, &rows);
    clients(out, scrape.table);
    tls(out, scrape.table);
    ourselves(out, scrape);
}

fn switches<S: MetricSink>(out: &mut S, scrape: &MetricsWalk<'_>) {
    let services = &scrape.table.services;
    // Where all pools are unreachable the active one is kept, but no request is served; and a page is no service.
    let reports = scrape.status.map_or(&[][..], |status| &status.services);
    let isolated: HashSet<&str> = reports.iter().filter(|report| report.isolated).map(|report| &*report.name).collect();
    each_service(out, &names::SERVICE_UP, services, |service| {
        matches!(service.serving, Serving::Active(_) | Serving::Shared(_))
            && !isolated.contains(&*service.config.name)
            && !service.shows_a_page()
    });
    let mut family = Family::begin(out, &names::POOL_ACTIVE);
    for service in services {
        for pool in &service.pools {
            family.sample(&[&service.config.name, &pool.name], service.serves(pool.index));
        }
    }
    let mut family = Family::begin(out, &names::POOL_PRIORITY);
    for service in services {
        for (place, pool) in service.pools.iter().enumerate() {
            family.sample(&[&service.config.name, &pool.name], place);
        }
    }
    let mut family = Family::begin(out, &names::POOL_AVAILABLE);
    for service in services {
        for pool in &service.pools {
            family.sample(&[&service.config.name, &pool.name], pool.available);
        }
    }
    let mut family = Family::begin(out, &names::POOL_ENDPOINTS);
    for service in services {
        for pool in service.pools.iter().filter(|pool| matches!(pool.config().members, PoolMembers::Endpoints(_))) {
            for (name, admission) in ADMISSIONS.iter().zip([Admission::Open, Admission::Trial, Admission::Closed]) {
                let count = pool.endpoints.iter().filter(|endpoint| endpoint.admission == admission).count();
                family.sample(&[&service.config.name, &pool.name, name], count);
            }
        }
    }
    switch_counts(out, scrape.tally);
    let mut family = Family::begin(out, &names::RECOVERY_OBJECTIVE);
    for service in services {
        if let Some(rto) = service.config.objectives.rto {
            family.sample(&[&service.config.name], rto.as_secs_f64());
        }
    }
    switch_state(out, reports);
    let mut family = Family::begin(out, &names::CONDITION);
    for service in reports {
        for kind in ConditionKind::ALL {
            let open = service.conditions.iter().any(|condition| condition.kind == kind);
            family.sample(&[&service.name, kind.as_str()], open);
        }
    }
    let mut family = Family::begin(out, &names::ALERTS);
    for (kind, count) in ALERTS.iter().zip(scrape.tally.iter().flat_map(|tally| tally.alerts)) {
        family.sample(&[kind], count);
    }
}

fn switch_counts<S: MetricSink>(out: &mut S, tally: Option<&ChangeTally>) {
    let services = tally.map_or(&[][..], |tally| &tally.services);
    let mut family = Family::begin(out, &names::OUTAGES);
    for (name, tally) in services {
        family.sample(&[name], tally.outages);
    }
    let mut family = Family::begin(out, &names::SWITCHES);
    for (name, tally) in services {
        for (kind, count) in SWITCHES.iter().zip(tally.switches) {
            family.sample(&[name, kind], count);
        }
    }
    let mut family = Family::begin(out, &names::SWITCHES_HELD);
    for (name, tally) in services {
        family.sample(&[name], tally.held_switches);
    }
    let mut family = Family::begin(out, &names::SWITCH_TIMESTAMP);
    for (name, tally) in services {
        family.sample(&[name], millis(tally.last_switch_unix_ms));
    }
    let mut family = Family::begin(out, &names::RECOVERY);
    for (name, tally) in services {
        family.histogram(&[name], &tally.recovery.snapshot());
    }
    let mut family = Family::begin(out, &names::LAST_RECOVERY);
    for (name, tally) in services {
        if let Some(recovery) = tally.last_recovery {
            family.sample(&[name], recovery.as_secs_f64());
        }
    }
}

fn switch_state<S: MetricSink>(out: &mut S, services: &[ServiceReport]) {
    let mut family = Family::begin(out, &names::HOLD_DOWN);
    for service in services {
        family.sample(&[&service.name], millis(service.hold_down_left_ms.unwrap_or(0)));
    }
    let mut family = Family::begin(out, &names::FROZEN);
    for service in services {
        family.sample(&[&service.name], service.frozen_for_ms.is_some());
    }
    let mut family = Family::begin(out, &names::FAILING_OPEN);
    for service in services {
        family.sample(&[&service.name], service.failing_open);
    }
    let mut family = Family::begin(out, &names::PINNED);
    for service in services {
        for pool in &service.pools {
            family.sample(&[&service.name, &pool.name], service.pinned.as_ref() == Some(&pool.name));
        }
    }
}

fn requests<S: MetricSink>(out: &mut S, table: &RoutingTable) {
    let services = &table.services;
    let mut family = Family::begin(out, &names::REQUESTS);
    for service in services {
        for (class, count) in CLASSES.iter().zip(service.stats.responses()) {
            family.sample(&[&service.config.name, class], count);
        }
    }
    let mut family = Family::begin(out, &names::REQUEST_DURATION);
    for service in services {
        family.histogram(&[&service.config.name], &service.stats.latency.snapshot());
    }
    each_service(out, &names::REQUESTS_IN_FLIGHT, services, |service| service.stats.limits.in_use());
    each_service(out, &names::REQUESTS_PENDING, services, |service| service.stats.limits.pending());
    let mut family = Family::begin(out, &names::REQUESTS_REJECTED);
    for service in services {
        for (reason, count) in Rejection::ALL.iter().zip(service.stats.rejected()) {
            family.sample(&[&service.config.name, reason.as_str()], count);
        }
    }
    let mut family = Family::begin(out, &names::RETRIES);
    for service in services {
        for (reason, count) in RetryReason::ALL.iter().zip(service.stats.retries()) {
            family.sample(&[&service.config.name, reason.as_str()], count);
        }
    }
    let mut family = Family::begin(out, &names::HEDGES);
    for service in services {
        for (outcome, count) in ["won", "lost"].iter().zip(service.stats.hedges()) {
            family.sample(&[&service.config.name, outcome], count);
        }
    }
    each_service(out, &names::RETRY_BUDGET_EXHAUSTED, services, |service| service.stats.budget_exhausted.total());
    each_service(out, &names::CROSSED, services, |service| service.stats.crossed.total());
}

fn clients<S: MetricSink>(out: &mut S, table: &RoutingTable) {
    let listeners = || table.listeners.iter().map(|listener| (&*listener.config.name, &listener.stats));
    let mut family = Family::begin(out, &names::LISTENER_CONNECTIONS);
    listeners().for_each(|(name, stats)| family.sample(&[name], stats.open()));
    let mut family = Family::begin(out, &names::LISTENER_MAX);
    for listener in &table.listeners {
        family.sample(&[&listener.config.name], listener.config.limits.max_connections);
    }
    let mut family = Family::begin(out, &names::LISTENER_ACCEPTED);
    listeners().for_each(|(name, stats)| family.sample(&[name], stats.accepted.total()));
    let mut family = Family::begin(out, &names::LISTENER_ACCEPT_ERRORS);
    listeners().for_each(|(name, stats)| family.sample(&[name], stats.rejected_accept.total()));
    let mut family = Family::begin(out, &names::LISTENER_BYTES);
    for (name, stats) in listeners() {
        family.sample(&[name, "received"], stats.bytes_in.total());
        family.sample(&[name, "sent"], stats.bytes_out.total());
    }
    let mut family = Family::begin(out, &names::MALFORMED);
    for service in &table.services {
        for (error, count) in h1::Error::ALL.iter().zip(service.stats.malformed()).filter(|(_, count)| *count > 0) {
            family.sample(&[&service.config.name, error.reason()], count);
        }
    }
    let mut family = Family::begin(out, &names::UNROUTED);
    listeners().for_each(|(name, stats)| family.sample(&[name], stats.unrouted.total()));
    let mut family = Family::begin(out, &names::LOOPED);
    listeners().for_each(|(name, stats)| family.sample(&[name], stats.looped.total()));
    let mut family = Family::begin(out, &names::TURNED_AWAY);
    for (name, stats) in listeners() {
        for (rejection, count) in ConnRejection::ALL.iter().zip(stats.rejected_conns()) {
            family.sample(&[name, rejection.reason()], count);
        }
    }
    let mut family = Family::begin(out, &names::PROTOCOL_REFUSALS);
    for (name, stats) in listeners() {
        for (error, count) in h1::Error::ALL.iter().zip(stats.refusals()) {
            family.sample(&[name, error.reason()], count);
        }
    }
    let mut family = Family::begin(out, &names::PROTOCOL_EXCESSES);
    for (name, stats) in listeners() {
        for (excess, count) in H2Excess::ALL.iter().zip(stats.excesses()) {
            family.sample(&[name, excess.reason()], count);
        }
    }
}

fn tls<S: MetricSink>(out: &mut S, table: &RoutingTable) {
    let listeners = || table.listeners.iter().filter(|listener| listener.config.tls.is_some());
    let mut family = Family::begin(out, &names::TLS_HANDSHAKES);
    for listener in listeners() {
        for (how, count) in HandshakeOutcome::ALL.iter().zip(listener.stats.handshakes()) {
            family.sample(&[&listener.config.name, how.as_str()], count);
        }
    }
    let mut family = Family::begin(out, &names::TLS_CONNECTIONS);
    for listener in listeners() {
        for (version, count) in ["1.2", "1.3"].iter().zip(listener.stats.tls_versions()) {
            family.sample(&[&listener.config.name, version], count);
        }
    }
    let mut family = Family::begin(out, &names::TLS_EXPIRY);
    for shown in table.materials.shown(&table.config) {
        family.sample(
            &[shown.by, shown.name, &shown.leaf.path.display().to_string()],
            u64::try_from(shown.leaf.not_after).unwrap_or(0),
        );
    }
}

/// What names of endpoints stand for.
fn discovery<S: MetricSink>(out: &mut S, scrape: &MetricsWalk<'_>) {
    let known = scrape.status.map_or(&[][..], |status| &status.names);
    let mut family = Family::begin(out, &names::DNS_LOOKUPS);
    for name in known {
        for (result, count) in &name.lookups {
            family.sample(&[&name.name, result], *count);
        }
    }
    let mut family = Family::begin(out, &names::DNS_ADDRESSES);
    for name in known {
        family.sample(&[&name.name], name.addresses.len());
    }
    let mut family = Family::begin(out, &names::DNS_ANSWER_TIMESTAMP);
    for name in known {
        family.sample(&[&name.name], millis(name.answered_unix_ms.max(scrape.process.started_unix_millis)));
    }
}

/// What was told to the core, on disk.
fn journal<S: MetricSink>(out: &mut S, counts: JournalCounts) {
    let JournalCounts { recorded, dropped, segments } = counts;
    results(out, &names::JOURNAL_EVENTS, &["recorded", "dropped"], &[recorded, dropped]);
    results(out, &names::JOURNAL_SEGMENTS, &SegmentReason::ALL.map(SegmentReason::as_str), &segments);
}

/// Acts and records, on disk.
fn audit<S: MetricSink>(out: &mut S, counts: Option<AuditCounts>) {
    let AuditCounts { records, failures, lost, is_writable } = counts.unwrap_or_default();
    single(out, &names::AUDIT_RECORDS, records);
    single(out, &names::AUDIT_FAILURES, failures);
    single(out, &names::AUDIT_LOST, lost);
    let mut family = Family::begin(out, &names::AUDIT_WRITABLE);
    counts.iter().for_each(|_| family.sample(&[], is_writable));
}

fn ourselves<S: MetricSink>(out: &mut S, scrape: &MetricsWalk<'_>) {
    Family::begin(out, &names::BUILD_INFO).sample(&[env!("CARGO_PKG_VERSION")], 1_u64);
    single(out, &names::READY, scrape.ready);
    single(out, &names::TABLE_EPOCH, scrape.table.epoch);
    let mut family = Family::begin(out, &names::TABLE_ACKNOWLEDGED);
    for (worker, epoch) in scrape.acknowledged.iter().enumerate() {
        family.sample(&[&worker.to_string()], *epoch);
    }
    if let Some(tally) = scrape.tally {
        single(out, &names::CONFIG_GENERATION, tally.generation);
        results(out, &names::CONFIG_RELOADS, &DONE, &[tally.reloads, tally.reloads_refused]);
        single(out, &names::CONFIG_RELOAD_SUCCESSFUL, tally.last_reload_ok);
        single(out, &names::CONFIG_TIMESTAMP, millis(tally.loaded_unix_ms));
        results(out, &names::STATE_WRITES, &DONE, &[tally.state_writes, tally.state_writes_failed]);
    }
    discovery(out, scrape);
    if let Some(tally) = scrape.tally {
        journal(out, tally.journal.unwrap_or_default());
        audit(out, tally.audit);
        single(out, &names::PAUSES, tally.pauses.count);
        single(out, &names::PAUSED_SECONDS, tally.pauses.total.as_secs_f64());
    }
    let mut family = Family::begin(out, &names::TROUBLES);
    scrape.status.iter().for_each(|status| family.sample(&[], status.troubles.len()));
    let LineCounts { written, dropped, failed } = scrape.access_log;
    results(out, &names::ACCESS_LOG_RECORDS, &["written", "dropped", "failed"], &[written, dropped, failed]);
    single(out, &names::LOG_DROPPED, scrape.log.dropped);
    single(out, &names::PROCESS_START, millis(scrape.process.started_unix_millis));
    single(out, &names::PROCESS_CPU, scrape.process.cpu_seconds());
    maybe(out, &names::PROCESS_MEMORY, scrape.process.resident_bytes());
    maybe(out, &names::PROCESS_FDS, scrape.process.open_fds());
    maybe(out, &names::PROCESS_MAX_FDS, scrape.process.max_fds());
}

/// A metric without labels.
fn single<S: MetricSink>(out: &mut S, metric: &'static Metric, value: impl Into<Number>) {
    Family::begin(out, metric).sample(&[], value);
}

fn each_service<S: MetricSink, N: Into<Number>>(
    out: &mut S,
    metric: &'static Metric,
    services: &[std::sync::Arc<ServiceView>],
    value: impl Fn(&ServiceView) -> N,
) {
    let mut family = Family::begin(out, metric);
    for service in services {
        family.sample(&[&service.config.name], value(service));
    }
}

/// One sample for each value of the only label.
fn results<S: MetricSink>(out: &mut S, metric: &'static Metric, values: &[&str], counts: &[u64]) {
    let none = out.labels(&[], &[]);
    Family::begin(out, metric).samples_under(&none, values, counts);
}

fn maybe<S: MetricSink>(out: &mut S, metric: &'static Metric, value: Option<u64>) {
    if let Some(value) = value {
        single(out, metric, value);
    }
}

/// Milliseconds as seconds.
fn millis(millis: u64) -> f64 {
    seconds(millis.saturating_mul(1000))
}

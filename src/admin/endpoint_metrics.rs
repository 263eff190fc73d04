//! The metrics of endpoints: all of each ([`MetricsDetail::Full`]), or little of each and the rest summed up by pool
//! ([`MetricsDetail::Lean`]).

use std::collections::HashMap;

use super::scrape::MetricsWalk;
use crate::config::MetricsDetail;
use crate::control::tally::{EJECTIONS, PROBES, PROBES_OF_ALL, ProbeTally};
use crate::decision::{Administrative, EndpointId, Held, Operational, ReplicaLag};
use crate::net::tls::TlsFailure;
use crate::routing::{EndpointTotals, EndpointView, PoolView};
use crate::telemetry::names;
use crate::telemetry::sink::{Family, MetricSink, seconds};

const OPERATIONAL: [&str; 4] = ["checking", "healthy", "unhealthy", "ejected"];
const ADMINISTRATIVE: [&str; 3] = ["ready", "drain", "maint"];
const TRIES: [&str; 7] = ["good", "refused", "connect_timeout", "reset", "timeout", "malformed", "gateway"];
const CONNECTS: [&str; 4] = ["connected", "refused", "timeout", "local"];
/// Classes of statuses as label values; `none`: no answer.
pub(super) const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
const CONNECTIONS: [&str; 2] = ["in_use", "idle"];

/// The endpoints of a walk, each read once.
pub(super) struct EndpointRows<L> {
    detail: MetricsDetail,
    lags: HashMap<EndpointId, ReplicaLag>,
    /// One an endpoint.
    endpoints: Vec<EndpointRow<L>>,
    /// One a pool, without the label `endpoint`; empty in full detail.
    pools: Vec<EndpointRow<L>>,
}

/// What one endpoint counts, or all of a pool.
struct EndpointRow<L> {
    labels: L,
    /// How many are in each state, in the order of [`OPERATIONAL`].
    operational: [u64; OPERATIONAL.len()],
    /// The same of [`ADMINISTRATIVE`].
    administrative: [u64; ADMINISTRATIVE.len()],
    suspected: u64,
    /// It is connected to by TLS.
    has_tls: bool,
    totals: EndpointTotals,
    /// `None`: the engine does not answer, or does not know it yet.
    probes: Option<ProbeTally>,
    /// As a replica of its service's primary.
    lag: Option<ReplicaLag>,
}

impl<L: Clone> EndpointRows<L> {
    /// Reads every endpoint of the table.
    pub fn new<S: MetricSink<Labels = L>>(scrape: &MetricsWalk<'_>, sink: &S) -> EndpointRows<L> {
        let mut rows = EndpointRows {
            detail: scrape.table.config.metrics_detail,
            lags: lags(scrape),
            endpoints: Vec::new(),
            pools: Vec::new(),
        };
        for service in &scrape.table.services {
            for pool in service.pools.iter().filter(|pool| !pool.endpoints.is_empty()) {
                let labels = sink.labels(&["service", "pool"], &[&service.config.name, &pool.name]);
                let first = rows.endpoints.len();
                rows.read_endpoints(pool, scrape, sink, &labels);
                if rows.detail == MetricsDetail::Lean {
                    let sum = EndpointRow::sum(labels, &rows.endpoints[first..]);
                    rows.pools.push(sum);
                }
            }
        }
        rows
    }

    fn read_endpoints<S: MetricSink<Labels = L>>(
        &mut self,
        pool: &PoolView,
        scrape: &MetricsWalk<'_>,
        sink: &S,
        labels: &L,
    ) {
        self.endpoints.extend(pool.endpoints.iter().map(|view| {
            let labels = sink.and_label(labels.clone(), "endpoint", &view.address.to_string());
            let labels = match &view.name {
                Some(name) => sink.and_label(labels, "endpoint_name", name),
                None => labels,
            };
            let probes = scrape.tally.and_then(|tally| tally.probes.get(&view.id)).copied();
            EndpointRow { lag: self.lags.get(&view.id).copied(), ..EndpointRow::read(labels, view, probes) }
        }));
    }

    /// What families are made of that lean detail has by pool only.
    fn by_pool(&self) -> &[EndpointRow<L>] {
        match self.detail {
            MetricsDetail::Full => &self.endpoints,
            MetricsDetail::Lean => &self.pools,
        }
    }
}

impl<L> EndpointRow<L> {
    fn read(labels: L, view: &EndpointView, probes: Option<ProbeTally>) -> EndpointRow<L> {
        let standing = view.standing;
        let operational = match standing.operational {
            Operational::Checking => 0,
            Operational::Healthy => 1,
            Operational::Unhealthy => 2,
            Operational::Ejected => 3,
        };
        let administrative = match standing.administrative {
            Administrative::Ready => 0,
            Administrative::Drain => 1,
            Administrative::Maint => 2,
        };
        EndpointRow {
            labels,
            operational: one_at(operational),
            administrative: one_at(administrative),
            suspected: view.suspected.into(),
            has_tls: view.tls.is_some(),
            totals: view.stats.totals(),
            probes,
            lag: None,
        }
    }

    /// All of these as one.
    fn sum(labels: L, rows: &[EndpointRow<L>]) -> EndpointRow<L> {
        let mut sum = EndpointRow {
            labels,
            operational: Default::default(),
            administrative: Default::default(),
            suspected: 0,
            has_tls: false,
            totals: EndpointTotals::default(),
            probes: None,
            lag: None,
        };
        for row in rows {
            add(&mut sum.operational, &row.operational);
            add(&mut sum.administrative, &row.administrative);
            sum.suspected += row.suspected;
            sum.has_tls |= row.has_tls;
            add_totals(&mut sum.totals, &row.totals);
            if let Some(probes) = &row.probes {
                add(sum.probes.get_or_insert_default(), probes);
            }
        }
        sum
    }
}

/// The lags that the engine knows.
fn lags(scrape: &MetricsWalk<'_>) -> HashMap<EndpointId, ReplicaLag> {
    let services = scrape.status.map_or(&[][..], |status| &status.services);
    let endpoints = services.iter().flat_map(|service| &service.pools).flat_map(|pool| &pool.endpoints);
    endpoints.filter_map(|endpoint| Some((endpoint.state.id, endpoint.state.replica.as_ref()?.lag?))).collect()
}

fn one_at<const N: usize>(index: usize) -> [u64; N] {
    std::array::from_fn(|at| u64::from(at == index))
}

fn add(sum: &mut [u64], counts: &[u64]) {
    sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.wrapping_add(*count));
}

fn add_totals(sum: &mut EndpointTotals, totals: &EndpointTotals) {
    let EndpointTotals {
        good,
        failed,
        trials_good,
        trials_failed,
        responses,
        connects,
        tls_failures,
        bytes_out,
        bytes_in,
        idle,
        in_flight,
        streak: _,
    } = totals;
    add(&mut sum.failed, failed);
    add(&mut sum.responses, responses);
    add(&mut sum.connects, connects);
    add(&mut sum.tls_failures, tls_failures);
    sum.good += good;
    sum.trials_good += trials_good;
    sum.trials_failed += trials_failed;
    sum.bytes_out = sum.bytes_out.wrapping_add(*bytes_out);
    sum.bytes_in = sum.bytes_in.wrapping_add(*bytes_in);
    sum.idle += idle;
    sum.in_flight += in_flight;
}

/// Standings, verdicts and probes.
pub(super) fn health<S: MetricSink>(out: &mut S, scrape: &MetricsWalk<'_>, rows: &EndpointRows<S::Labels>) {
    let mut family = Family::begin(out, &names::ENDPOINT_STANDING);
    for row in &rows.endpoints {
        each_shown(&mut family, row, &OPERATIONAL, &row.operational, rows.detail, 0);
    }
    let mut family = Family::begin(out, &names::ENDPOINT_SUSPECTED);
    for row in rows.by_pool() {
        family.sample_of(&row.labels, row.suspected);
    }
    let mut family = Family::begin(out, &names::ENDPOINT_ADMINISTRATIVE);
    for row in rows.by_pool() {
        family.samples_under(&row.labels, &ADMINISTRATIVE, &row.administrative);
    }
    let lags = || rows.endpoints.iter().filter_map(|row| Some((&row.labels, row.lag?)));
    let mut family = Family::begin(out, &names::REPLICA_LAG);
    lags().for_each(|(labels, lag)| family.sample_of(labels, seconds(lag.ms.saturating_mul(1000))));
    let mut family = Family::begin(out, &names::REPLICA_LAG_BYTES);
    for (labels, bytes) in lags().filter_map(|(labels, lag)| Some((labels, lag.bytes?))) {
        family.sample_of(labels, bytes);
    }
    let services = scrape.tally.map_or(&[][..], |tally| &tally.services);
    let mut family = Family::begin(out, &names::EJECTIONS);
    for (name, tally) in services {
        for (cause, count) in EJECTIONS.iter().zip(tally.ejections) {
            family.sample(&[name, cause], count);
        }
    }
    let mut family = Family::begin(out, &names::EVIDENCE_HELD);
    for (name, tally) in services {
        for (reason, count) in Held::ALL.iter().zip(tally.held) {
            family.sample(&[name, reason.as_str()], count);
        }
    }
    let mut family = Family::begin(out, &names::PROBES);
    for row in rows.by_pool() {
        if let Some(probes) = &row.probes {
            let (of_all, others) = PROBES.split_at(PROBES_OF_ALL);
            family.samples_under(&row.labels, of_all, probes);
            for (outcome, count) in others.iter().zip(&probes[PROBES_OF_ALL..]).filter(|(_, count)| **count > 0) {
                family.sample_under(&row.labels, outcome, *count);
            }
        }
    }
    let mut family = Family::begin(out, &names::PROBE_DURATION);
    for (name, tally) in services {
        family.histogram(&[name], &tally.probe_duration.snapshot());
    }
}

/// Exchanges, connections and bytes.
pub(super) fn upstream<S: MetricSink>(out: &mut S, rows: &EndpointRows<S::Labels>) {
    let mut family = Family::begin(out, &names::TRIES);
    for row in &rows.endpoints {
        let mut counts = [row.totals.good; TRIES.len()];
        counts[1..].copy_from_slice(&row.totals.failed);
        each_shown(&mut family, row, &TRIES, &counts, rows.detail, 1);
    }
    let mut family = Family::begin(out, &names::TRIALS);
    for row in rows.by_pool() {
        let counts = [row.totals.trials_good, row.totals.trials_failed];
        family.samples_under(&row.labels, &["good", "failed"], &counts);
    }
    let mut family = Family::begin(out, &names::RESPONSES);
    for row in rows.by_pool() {
        family.samples_under(&row.labels, &CLASSES[1..], &row.totals.responses);
    }
    connections(out, rows);
    let mut family = Family::begin(out, &names::ENDPOINT_CONNECTS);
    for row in rows.by_pool() {
        family.samples_under(&row.labels, &CONNECTS, &row.totals.connects);
    }
    let mut family = Family::begin(out, &names::ENDPOINT_TLS_FAILURES);
    for row in rows.by_pool().iter().filter(|row| row.has_tls) {
        family.samples_under(&row.labels, &TlsFailure::ALL.map(TlsFailure::as_str), &row.totals.tls_failures);
    }
    let mut family = Family::begin(out, &names::ENDPOINT_BYTES);
    for row in rows.by_pool() {
        family.samples_under(&row.labels, &["sent", "received"], &[row.totals.bytes_out, row.totals.bytes_in]);
    }
}

/// In lean detail: those in use of each endpoint, and the idle ones of each pool.
fn connections<S: MetricSink>(out: &mut S, rows: &EndpointRows<S::Labels>) {
    let [in_use, idle] = CONNECTIONS;
    let mut family = Family::begin(out, &names::ENDPOINT_CONNECTIONS);
    for row in &rows.endpoints {
        family.sample_under(&row.labels, in_use, row.totals.in_flight);
        if rows.detail == MetricsDetail::Full {
            family.sample_under(&row.labels, idle, row.totals.idle);
        }
    }
    for row in &rows.pools {
        family.sample_under(&row.labels, idle, row.totals.idle);
    }
}

/// A sample for each value of the last label; in lean detail for the first `always` of them, and for others that are not zero.
fn each_shown<S: MetricSink>(
    family: &mut Family<'_, S>,
    row: &EndpointRow<S::Labels>,
    values: &[&str],
    counts: &[u64],
    detail: MetricsDetail,
    always: usize,
) {
    for (index, (value, count)) in values.iter().zip(counts).enumerate() {
        if detail == MetricsDetail::Full || index < always || *count > 0 {
            family.sample_under(&row.labels, value, *count);
        }
    }
}

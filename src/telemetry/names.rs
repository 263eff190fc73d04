//! Every metric, in one file: name, type, labels and help. `/metrics` shows exactly these, `config/metrics.md` is
//! written from them, and a test holds both to it.
//!
//! Labels are bounded by the configuration and by the enums named here, never by what a client sends. Units stand in
//! the name (`_seconds`, `_bytes`), counters end in `_total`.

/// What a metric does over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations counted by buckets.
    Histogram,
}

impl MetricKind {
    /// As Prometheus writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// What people query.
    pub name: &'static str,
    /// What it does over time.
    pub kind: MetricKind,
    /// In the order in which samples give their values.
    pub labels: &'static [&'static str],
    /// What it means, in one sentence.
    pub help: &'static str,
}

impl Metric {
    /// The name of its last label; empty when it has none.
    pub fn last_label(&self) -> &'static str {
        self.labels.last().copied().unwrap_or_default()
    }
}

macro_rules! metrics {
    ($($section:literal => { $($ident:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)* })*) => {
        $($(
            #[doc = $help]
            pub const $ident: Metric =
                Metric { name: $name, kind: MetricKind::$kind, labels: &[$($label),*], help: $help };
        )*)*

        /// All metrics in sections, in the order in which `/metrics` and the manual show them.
        pub const SECTIONS: &[(&str, &[Metric])] = &[$(($section, &[$($ident),*])),*];
    };
}

metrics! {
    "Services and switches" => {
        SERVICE_UP: Gauge "standfast_service_up" ["service"]
            "1 while endpoints serve the service; 0 while it is starting, no pool is available or can be reached, or only a page answers.";
        POOL_ACTIVE: Gauge "standfast_pool_active" ["service", "pool"]
            "1 for the pool that serves (active_active: each pool with a share), 0 for the others.";
        POOL_PRIORITY: Gauge "standfast_pool_priority" ["service", "pool"]
            "Place of the pool in the order of its service: 0 is home, the others stand by.";
        POOL_AVAILABLE: Gauge "standfast_pool_available" ["service", "pool"]
            "1 while the pool has enough usable endpoints to take the service.";
        POOL_ENDPOINTS: Gauge "standfast_pool_endpoints" ["service", "pool", "admission"]
            "Endpoints of the pool by what may be sent to them (open, trial, closed).";
        SWITCHES: Counter "standfast_switches_total" ["service", "kind"]
            "Changes of the active pool by kind (failover, switchover, failback, rollback, recovery: to endpoints again after a page or an outage, follow: another endpoint is the primary).";
        OUTAGES: Counter "standfast_outages_total" ["service"]
            "Outages as failover.max_failovers counts them: a pool was left by force, and not within confirm_window of the one before.";
        SWITCHES_HELD: Counter "standfast_switches_held_total" ["service"]
            "Switches that an operator's hold kept from being made: each is an incident that says what would have been done.";
        SWITCH_TIMESTAMP: Gauge "standfast_last_switch_timestamp_seconds" ["service"]
            "Unix time of the last switch of the service, 0 before the first.";
        RECOVERY: Histogram "standfast_recovery_seconds" ["service"]
            "Measured recovery time of forced switches: from the first sign of the fault to the switch, plus the time that the first good answer of the new pool took. Time without requests does not count.";
        LAST_RECOVERY: Gauge "standfast_last_recovery_seconds" ["service"]
            "Measured recovery time of the last forced switch, absent before the first.";
        RECOVERY_OBJECTIVE: Gauge "standfast_recovery_objective_seconds" ["service"]
            "The recovery time objective (objectives.rto) of the service, where it has one.";
        HOLD_DOWN: Gauge "standfast_hold_down_seconds" ["service"]
            "Time left until the service may come home by itself, 0 when nothing is held.";
        FROZEN: Gauge "standfast_frozen" ["service"]
            "1 while failback and rollback are frozen because of too many outages.";
        FAILING_OPEN: Gauge "standfast_failing_open" ["service"]
            "1 while no pool is available and the active one carries traffic because nothing better is left.";
        PINNED: Gauge "standfast_pinned" ["service", "pool"]
            "1 for the pool an operator pinned the service to.";
        CONDITION: Gauge "standfast_condition" ["service", "kind"]
            "1 while the condition of this kind is open (all_down, pinned_to_unusable, isolated: all pools became unreachable at once, frozen, on_standby, failing_open, no_standby: no other pool could take over, held, held_to_unusable, evacuated, objective_missed, endpoint_out, check_blind: a check is not let in, no_primary, multiple_primaries, stale_primary: one that is not followed, beyond_rpo: one that lacks too much, rpo_missed, unfenced: the fence hook failed, no_fresh_replica: none within max_lag), else 0.";
        ALERTS: Counter "standfast_alerts_total" ["kind"]
            "Alerts by kind (frozen, thawed, all_down, pinned_to_unusable, objective_missed, isolated: all pools became unreachable at once; order_refused is retired and stays at 0).";
    }
    "Endpoints and health" => {
        ENDPOINT_STANDING: Gauge "standfast_endpoint_standing" ["service", "pool", "endpoint", "state"]
            "1 for the endpoint's operational state (checking, healthy, unhealthy, ejected), 0 for the other states.";
        ENDPOINT_SUSPECTED: Gauge "standfast_endpoint_suspected" ["service", "pool", "endpoint"]
            "1 while requests wait too long for the endpoint's answers, or a connect was refused once: new work goes elsewhere until that is settled.";
        ENDPOINT_ADMINISTRATIVE: Gauge "standfast_endpoint_administrative" ["service", "pool", "endpoint", "state"]
            "1 for the endpoint's administrative state (ready, drain, maint), 0 for the other states.";
        REPLICA_LAG: Gauge "standfast_replica_lag_seconds" ["service", "pool", "endpoint"]
            "How long ago the primary was where the replica is, as of its last probe; absent where it is not known, or where the check has no role. A lag that is longer than was watched shows the time that it was watched.";
        REPLICA_LAG_BYTES: Gauge "standfast_replica_lag_bytes" ["service", "pool", "endpoint"]
            "Bytes of the primary's log that the replica has not applied, as of its last probe; absent where it is not known, or where the check has no role.";
        EJECTIONS: Counter "standfast_ejections_total" ["service", "cause"]
            "Endpoints taken out of use by real traffic, by cause (refused, consecutive, failure_rate, stalled).";
        EVIDENCE_HELD: Counter "standfast_evidence_held_total" ["service", "reason"]
            "Streaks of failures that did not condemn their endpoint, by reason (one_source, one_target, retry_later, hung_up, fails_everywhere, may_not_leave, route_failing).";
        PROBES: Counter "standfast_probes_total" ["service", "pool", "endpoint", "outcome"]
            "Out-of-band probes by outcome (pass, refused, timeout, reset, mismatch, malformed, local; of checks that log in, once it was met: not_serving, busy, blind).";
        PROBE_DURATION: Histogram "standfast_probe_duration_seconds" ["service"]
            "Time of probes that passed, from the start of the connect (on a kept connection: of the question) to the verdict.";
    }
    "Requests" => {
        REQUESTS: Counter "standfast_requests_total" ["service", "code"]
            "Requests answered to clients by class of status (1xx to 5xx), or none when the client or we gave up without an answer.";
        REQUEST_DURATION: Histogram "standfast_request_duration_seconds" ["service"]
            "Time from the first byte of a request to the last byte of its answer.";
        REQUESTS_IN_FLIGHT: Gauge "standfast_requests_in_flight" ["service"]
            "Requests and TCP sessions that hold an upstream connection of the service.";
        REQUESTS_PENDING: Gauge "standfast_requests_pending" ["service"]
            "Requests that wait for a connection permit of the service, and TCP sessions that are held because no endpoint is there.";
        REQUESTS_REJECTED: Counter "standfast_requests_rejected_total" ["service", "reason"]
            "Requests that got no endpoint, by reason (starting, down, exhausted, endpoints_full, queue_full, queue_timeout, local: no descriptors, ports or memory of ours to connect with).";
        RETRIES: Counter "standfast_retries_total" ["service", "reason"]
            "Tries after the first, by why they were made (refused, connect_timeout, connect_late, handshake, stale, reset, malformed, timeout, condemned, status, hedge, local).";
        HEDGES: Counter "standfast_hedges_total" ["service", "outcome"]
            "Requests whose answer was late and that were asked elsewhere as well, by whether the other try answered the client (won, lost).";
        RETRY_BUDGET_EXHAUSTED: Counter "standfast_retry_budget_exhausted_total" ["service"]
            "Retries that were worth making but not covered by the budget.";
        CROSSED: Counter "standfast_crossed_tries_total" ["service"]
            "Tries made in a lower pool before a switch (retry.cross_pool).";
        MALFORMED: Counter "standfast_malformed_replies_total" ["service", "reason"]
            "Answers of endpoints that are not HTTP, by the rule that they break (head_too_large, chunk_size, length_conflict, http2 ...); shown once there is one.";
        UNROUTED: Counter "standfast_unrouted_requests_total" ["listener"]
            "Requests that no route of the listener takes.";
        LOOPED: Counter "standfast_looped_requests_total" ["listener"]
            "Requests that went round in a circle of proxies and were ended with 508: an endpoint leads back here.";
    }
    "Upstream" => {
        TRIES: Counter "standfast_endpoint_tries_total" ["service", "pool", "endpoint", "outcome"]
            "Exchanges with the endpoint by outcome (good, refused, connect_timeout, reset, timeout, malformed, gateway).";
        TRIALS: Counter "standfast_endpoint_trials_total" ["service", "pool", "endpoint", "outcome"]
            "Exchanges among the tries that tried out an endpoint which is not in use, by outcome (good, failed).";
        RESPONSES: Counter "standfast_endpoint_responses_total" ["service", "pool", "endpoint", "code"]
            "Answers of the endpoint by class of status (1xx to 5xx).";
        ENDPOINT_CONNECTIONS: Gauge "standfast_endpoint_connections" ["service", "pool", "endpoint", "state"]
            "Connections to the endpoint by state (in_use, idle).";
        ENDPOINT_CONNECTS: Counter "standfast_endpoint_connects_total" ["service", "pool", "endpoint", "outcome"]
            "Connects to the endpoint by outcome (connected, refused, timeout, local).";
        ENDPOINT_TLS_FAILURES: Counter "standfast_endpoint_tls_failures_total" ["service", "pool", "endpoint", "reason"]
            "TLS handshakes with the endpoint that failed, by reason (certificate: it is not to be trusted; alert: it refused ours; closed; protocol).";
        ENDPOINT_BYTES: Counter "standfast_endpoint_bytes_total" ["service", "pool", "endpoint", "direction"]
            "Bytes sent to and received from the endpoint.";
    }
    "Clients" => {
        LISTENER_CONNECTIONS: Gauge "standfast_listener_connections" ["listener"]
            "Client connections that are open.";
        LISTENER_ACCEPTED: Counter "standfast_listener_accepted_total" ["listener"]
            "Client connections that were accepted.";
        LISTENER_MAX: Gauge "standfast_listener_max_connections" ["listener"]
            "The most client connections the listener serves at once (limits.max_connections); more wait in the kernel's queue.";
        LISTENER_ACCEPT_ERRORS: Counter "standfast_listener_accept_errors_total" ["listener"]
            "Accepts that failed, for want of file descriptors most likely.";
        LISTENER_BYTES: Counter "standfast_listener_bytes_total" ["listener", "direction"]
            "Bytes of bodies and TCP sessions received from and sent to clients.";
        TURNED_AWAY: Counter "standfast_connections_turned_away_total" ["listener", "reason"]
            "Connections closed before they came to a service, by reason (untrusted_proxy, no_proxy_header, malformed_proxy_header, malformed_client_hello, no_route, not_tls, closed, timeout).";
        PROTOCOL_REFUSALS: Counter "standfast_protocol_refusals_total" ["listener", "reason"]
            "Requests refused because of how they were written, by reason.";
        PROTOCOL_EXCESSES: Counter "standfast_protocol_excesses_total" ["listener", "reason"]
            "HTTP/2 connections ended with ENHANCE_YOUR_CALM: floods of frames that cost us work and the client nothing.";
    }
    "TLS" => {
        TLS_HANDSHAKES: Counter "standfast_tls_handshakes_total" ["listener", "result"]
            "TLS handshakes of clients by result: full, resumed, or why they failed (timeout, closed, not_tls, unknown_name, nothing_in_common, client_certificate, alert, protocol).";
        TLS_CONNECTIONS: Counter "standfast_tls_connections_total" ["listener", "version"]
            "Client connections over TLS by version (1.2, 1.3).";
        TLS_EXPIRY: Gauge "standfast_tls_certificate_expiry_timestamp_seconds" ["by", "name", "certificate"]
            "Unix time at which a certificate that we show expires: by a listener to clients, by a service to its endpoints, by the admin port; certificate is its file.";
    }
    "Standfast itself" => {
        BUILD_INFO: Gauge "standfast_build_info" ["version"]
            "Always 1; the version is the label.";
        READY: Gauge "standfast_ready" []
            "1 while /readyz says yes.";
        TABLE_EPOCH: Gauge "standfast_table_epoch" []
            "Number of the published routing table; grows with every published decision.";
        TABLE_ACKNOWLEDGED: Gauge "standfast_table_acknowledged_epoch" ["worker"]
            "The newest routing table each worker has taken up; a worker that stays behind is stuck.";
        CONFIG_GENERATION: Gauge "standfast_config_generation" []
            "Configurations loaded since the start, the first included.";
        CONFIG_RELOADS: Counter "standfast_config_reloads_total" ["result"]
            "Reloads by result (success, failure).";
        CONFIG_RELOAD_SUCCESSFUL: Gauge "standfast_config_last_reload_successful" []
            "0 while the last reload was refused and the configuration before it stays in force.";
        CONFIG_TIMESTAMP: Gauge "standfast_config_last_load_timestamp_seconds" []
            "Unix time at which the configuration in force was loaded.";
        DNS_LOOKUPS: Counter "standfast_dns_lookups_total" ["name", "result"]
            "Lookups of names of endpoints by result (found, nothing: NXDOMAIN or no such records, failed).";
        DNS_ADDRESSES: Gauge "standfast_dns_addresses" ["name"]
            "Addresses by the last good answer; they stay while there is no other one.";
        DNS_ANSWER_TIMESTAMP: Gauge "standfast_dns_last_answer_timestamp_seconds" ["name"]
            "Unix time of the last good answer; the start of the process while there was none.";
        STATE_WRITES: Counter "standfast_state_writes_total" ["result"]
            "Writes of the state file by result (success, failure).";
        JOURNAL_EVENTS: Counter "standfast_journal_events_total" ["result"]
            "Events for the journal by result (recorded, dropped: the disk is too slow or cannot be written); 0 without a journal.";
        JOURNAL_SEGMENTS: Counter "standfast_journal_segments_total" ["reason"]
            "Segments of the journal by why they began (start, full, overflow: events were dropped); 0 without a journal.";
        AUDIT_RECORDS: Counter "standfast_audit_records_total" []
            "Number of the last record of the audit log on disk; goes on over restarts, so that a copy of it is a witness; 0 without an audit log.";
        AUDIT_FAILURES: Counter "standfast_audit_failures_total" []
            "Writes of the audit log that failed.";
        AUDIT_LOST: Counter "standfast_audit_lost_total" []
            "Records that are missing in the audit log: too many waited for the disk, or it could not be written at the stop.";
        AUDIT_WRITABLE: Gauge "standfast_audit_writable" []
            "1 while the audit log can be written; 0 after a write that failed or while one takes longer than 1 s; absent without an audit log.";
        TROUBLES: Gauge "standfast_troubles" []
            "What needs attention: something was wrong at the start (a damaged state file), the audit log cannot be written now, or keys of an issuer of JSON web tokens cannot be read again; /status says what.";
        ACCESS_LOG_RECORDS: Counter "standfast_access_log_records_total" ["result"]
            "Access-log lines by result (written, dropped because the writer was behind, failed to be written).";
        LOG_DROPPED: Counter "standfast_log_dropped_lines_total" []
            "Lines of the application log that were dropped because the writer was behind.";
        PAUSES: Counter "standfast_pauses_total" []
            "Gaps of more than 0.1 s in which no thread of the process ran (stopped, frozen, without CPU); deadlines moved by them.";
        PAUSED_SECONDS: Counter "standfast_paused_seconds_total" []
            "Length of these gaps in all.";
        PROCESS_START: Gauge "process_start_time_seconds" []
            "Unix time at which the process started.";
        PROCESS_CPU: Counter "process_cpu_seconds_total" []
            "User and system CPU time.";
        PROCESS_MEMORY: Gauge "process_resident_memory_bytes" []
            "Resident memory.";
        PROCESS_FDS: Gauge "process_open_fds" []
            "Open file descriptors.";
        PROCESS_MAX_FDS: Gauge "process_max_fds" []
            "The most file descriptors the process may open.";
    }
}

/// All metrics, flat.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    SECTIONS.iter().flat_map(|(_, metrics)| metrics.iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_and_are_unique() {
        let mut seen = std::collections::HashSet::new();
        for metric in all() {
            let Metric { name, kind, labels, help } = metric;
            assert!(seen.insert(name), "{name} stands twice");
            assert!(name.starts_with("standfast_") || name.starts_with("process_"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == MetricKind::Counter, "{name}");
            assert_eq!(
                name.ends_with("_seconds") && *kind == MetricKind::Histogram,
                *kind == MetricKind::Histogram,
                "{name}"
            );
            assert!(labels.iter().all(|label| !["le", "job", "instance"].contains(label)), "{name} {labels:?}");
            assert!(help.ends_with('.') && !help.contains(['\n', '\\']), "{name}: {help}");
        }
    }
}

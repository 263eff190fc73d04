#!/usr/bin/env python3
"""Writes the dashboards in dashboards/: this list of panels is what people read and change, the JSON is what Grafana reads.

    python3 docker/grafana/make_dashboards.py            # write them
    python3 docker/grafana/make_dashboards.py --check    # fail when they are not what this would write
"""

import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# One instance or more, one service or more: the variables at the top of each dashboard.
AT = 'instance=~"$instance"'
OF = 'instance=~"$instance",service=~"$service"'
UP_DOWN = [(0, "DOWN", "red"), (1, "up", "green")]
YES_NO = [(0, "no", "green"), (1, "YES", "orange")]
SERVES = [(0, "-", "transparent"), (1, "serves", "green")]


def variable(name, query, multi=True):
    return {"name": name, "label": name, "type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1,
            "query": {"query": query, "refId": name}, "definition": query, "includeAll": multi, "multi": multi,
            "current": {"text": "All", "value": "$__all"} if multi else {}}


def panel(kind, title, targets, width=12, height=8, unit=None, about=None, words=None, legend=None, minimum=None,
          stacked=False, steps=None, decimals=None, value_options=None, instant=None, transformations=None):
    """One panel; `targets` are pairs of an expression and the name of its series."""
    instant = kind in ("stat", "table", "gauge") if instant is None else instant
    defaults = {"color": {"mode": "thresholds" if kind in ("stat", "gauge", "state-timeline") else "palette-classic"}}
    if unit:
        defaults["unit"] = unit
    if minimum is not None:
        defaults["min"] = minimum
    if decimals is not None:
        defaults["decimals"] = decimals
    if words:
        defaults["mappings"] = [{"type": "value", "options": {
            str(value): {"text": text, "color": colour, "index": index} for index, (value, text, colour) in enumerate(words)}}]
    defaults["thresholds"] = {"mode": "absolute", "steps": [{"color": colour, "value": value}
                                                            for value, colour in steps or [(None, "green")]]}
    options = {}
    if kind == "timeseries":
        defaults["custom"] = {"fillOpacity": 25 if stacked else 8, "lineWidth": 1, "showPoints": "never",
                              "stacking": {"mode": "normal" if stacked else "none"}}
        options = {"legend": {"displayMode": "table", "placement": "bottom", "calcs": legend or ["lastNotNull", "max"]},
                   "tooltip": {"mode": "multi", "sort": "desc"}}
    elif kind == "state-timeline":
        defaults["custom"] = {"fillOpacity": 80, "lineWidth": 0}
        options = {"mergeValues": True, "showValue": "auto", "rowHeight": 0.8, "legend": {"showLegend": False}}
    elif kind == "stat":
        options = {"colorMode": "background", "graphMode": "none", "textMode": "auto",
                   "reduceOptions": {"calcs": ["lastNotNull"], "values": False}, **(value_options or {})}
    elif kind == "table":
        options = {"showHeader": True}
    made = {"type": kind, "title": title, "datasource": SOURCE, "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": options, "gridPos": {"w": width, "h": height},
            "targets": [{"datasource": SOURCE, "expr": expression, "legendFormat": name, "refId": chr(65 + index),
                         "instant": instant, "range": not instant, **({"format": "table"} if kind == "table" else {})}
                        for index, (expression, name) in enumerate(targets)]}
    if about:
        made["description"] = about
    if transformations:
        made["transformations"] = transformations
    return made


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"w": 24, "h": 1}}


def columns(hidden, names):
    """A table of labels and values: what is hidden, and what the rest is called."""
    return [{"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": {name: True for name in ["Time", "__name__", "job", *hidden]},
                                           "renameByName": names}}]


def dashboard(uid, title, about, variables, panels):
    """Lays the panels out in rows of 24, left to right."""
    x = y = tallest = 0
    for number, made in enumerate(panels, 1):
        place = made["gridPos"]
        if x + place["w"] > 24:
            x, y, tallest = 0, y + tallest, 0
        place.update(x=x, y=y)
        x, tallest = x + place["w"], max(tallest, place["h"])
        made["id"] = number
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}}
    switches = {"name": "switches", "enable": True, "iconColor": "orange", "datasource": SOURCE, "titleFormat": "switch",
                "expr": 'changes(standfast_last_switch_timestamp_seconds{instance=~"$instance"}[$__interval]) > 0',
                "textFormat": "{{service}} changed its pool", "step": "5s"}
    links = [{"type": "dashboards", "title": "Standfast", "tags": ["standfast"], "asDropdown": False,
              "includeVars": True, "keepTime": True}]
    return {"uid": uid, "title": title, "description": about, "tags": ["standfast"], "schemaVersion": 39, "version": 1,
            "editable": False, "graphTooltip": 1, "refresh": "5s", "time": {"from": "now-30m", "to": "now"},
            "timezone": "browser", "links": links, "annotations": {"list": [switches]},
            "templating": {"list": [source, *variables]}, "panels": panels}


INSTANCE = variable("instance", "label_values(standfast_build_info, instance)")
SERVICES = variable("service", 'label_values(standfast_service_up{instance=~"$instance"}, service)')
RATE = "$__rate_interval"


def overview():
    return dashboard(
        "standfast-overview", "Standfast: overview", "Is everybody served, by whom, and what is in reserve?",
        [INSTANCE, SERVICES],
        [
            panel("stat", "Services that are down", [(f"count(standfast_service_up{{{OF}}} == 0) or vector(0)", "")], 4, 4,
                  steps=[(None, "green"), (1, "red")]),
            panel("stat", "Services on standby", [(f"sum(service:standfast_on_standby:bool{{{OF}}})", "")], 4, 4,
                  about="Degraded: served, but not by the home pool.", steps=[(None, "green"), (1, "orange")]),
            panel("stat", "Pools that are not available", [(f"count(standfast_pool_available{{{OF}}} == 0) or vector(0)", "")],
                  4, 4, steps=[(None, "green"), (1, "orange")]),
            panel("stat", "Endpoints that are out", [
                (f'sum(standfast_endpoint_standing{{{OF},state=~"unhealthy|ejected"}})', "")], 4, 4,
                steps=[(None, "green"), (1, "orange")]),
            panel("stat", "Frozen", [(f"sum(standfast_frozen{{{OF}}})", "")], 4, 4, steps=[(None, "green"), (1, "orange")],
                  about="Services whose failback waits because of too many outages."),
            panel("stat", "Alerts that fire", [('count(ALERTS{alertname=~"Standfast.+",alertstate="firing"}) or vector(0)', "")],
                  4, 4, steps=[(None, "green"), (1, "red")]),
            panel("state-timeline", "Who serves", [(f"standfast_pool_active{{{OF}}}", "{{service}} / {{pool}}")], 24, 8,
                  words=SERVES, about="Each service has one line a pool; the coloured one serves."),
            panel("table", "Last recovery against its objective", [
                (f"standfast_last_recovery_seconds{{{OF}}}", ""), (f"standfast_recovery_objective_seconds{{{OF}}}", ""),
                (f"service:standfast_pools_available:count{{{OF}}}", "")], 12, 8, unit="s",
                about="From the first sign of the fault to the first good answer of the new pool, as Standfast measured it.",
                transformations=columns([], {"Value #A": "last recovery", "Value #B": "objective", "Value #C": "pools available"})),
            panel("timeseries", "Alerts", [('ALERTS{alertname=~"Standfast.+",alertstate="firing"}', "{{alertname}} {{service}}")],
                  12, 8, minimum=0, stacked=True),
            row("Traffic"),
            panel("timeseries", "Requests", [(f"service:standfast_requests:rate1m{{{OF}}}", "{{service}} @ {{instance}}")],
                  8, 8, "reqps", minimum=0),
            panel("timeseries", "Answers that are errors (5xx)", [
                (f"service:standfast_errors:ratio_rate1m{{{OF}}}", "{{service}} @ {{instance}}")], 8, 8, "percentunit", minimum=0),
            panel("timeseries", "99 of 100 requests take less than", [
                (f"service:standfast_request_duration_seconds:p99_rate1m{{{OF}}}", "{{service}} @ {{instance}}")], 8, 8, "s", minimum=0),
            panel("timeseries", "Client connections", [
                (f"standfast_listener_connections{{{AT}}}", "{{listener}} @ {{instance}}"),
                (f"standfast_listener_max_connections{{{AT}}}", "limit of {{listener}}")], 8, 8, minimum=0),
            panel("timeseries", "Bytes from and to clients", [
                (f"rate(standfast_listener_bytes_total{{{AT}}}[{RATE}])", "{{listener}} {{direction}}")], 8, 8, "Bps", minimum=0),
            panel("timeseries", "Turned away before a service", [
                (f"rate(standfast_connections_turned_away_total{{{AT}}}[{RATE}]) > 0", "{{listener}}: {{reason}}"),
                (f"rate(standfast_protocol_refusals_total{{{AT}}}[{RATE}]) > 0", "{{listener}}: {{reason}}"),
                (f"rate(standfast_protocol_excesses_total{{{AT}}}[{RATE}]) > 0", "{{listener}}: {{reason}}"),
                (f"rate(standfast_unrouted_requests_total{{{AT}}}[{RATE}])", "{{listener}}: no route"),
                (f"rate(standfast_looped_requests_total{{{AT}}}[{RATE}])", "{{listener}}: in a circle"),
                (f"rate(standfast_listener_accept_errors_total{{{AT}}}[{RATE}])", "{{listener}}: accept failed")],
                8, 8, "ops", minimum=0),
            panel("timeseries", "Accepted connections", [
                (f"rate(standfast_listener_accepted_total{{{AT}}}[{RATE}])", "{{listener}}")], 8, 8, "ops", minimum=0),
            panel("timeseries", "TLS handshakes", [
                (f"rate(standfast_tls_handshakes_total{{{AT}}}[{RATE}])", "{{listener}} {{result}}"),
                (f"rate(standfast_tls_connections_total{{{AT}}}[{RATE}])", "{{listener}} TLS {{version}}")], 8, 8, "ops", minimum=0),
            panel("table", "Certificates expire in", [
                (f"standfast_tls_certificate_expiry_timestamp_seconds{{{AT}}} - time()", "")], 8, 8, "s",
                transformations=columns([], {"Value": "left"})),
            row("Standfast itself"),
            panel("stat", "Ready", [(f"standfast_ready{{{AT}}}", "{{instance}}")], 4, 6, words=[(0, "no", "red"), (1, "ready", "green")]),
            panel("stat", "Version", [(f"standfast_build_info{{{AT}}}", "{{version}}")], 4, 6, value_options={"textMode": "name"}),
            panel("stat", "Last reload", [(f"standfast_config_last_reload_successful{{{AT}}}", "{{instance}}")], 4, 6,
                  words=[(0, "REFUSED", "red"), (1, "in force", "green")]),
            panel("stat", "Running for, with this configuration for", [
                (f'time() - process_start_time_seconds{{job="standfast",{AT}}}', "{{instance}}"),
                (f"time() - standfast_config_last_load_timestamp_seconds{{{AT}}}", "configuration of {{instance}}")], 4, 6, "s"),
            panel("stat", "Troubles", [(f"standfast_troubles{{{AT}}}", "{{instance}}")], 4, 6,
                  steps=[(None, "green"), (1, "orange")]),
            panel("stat", "Tables that workers have yet to take up", [
                (f"max by (instance) (standfast_table_epoch{{{AT}}} - on (job, instance) group_right () standfast_table_acknowledged_epoch)",
                 "{{instance}}")], 4, 6, steps=[(None, "green"), (1, "orange")]),
            panel("timeseries", "CPU", [(f'rate(process_cpu_seconds_total{{job="standfast",{AT}}}[{RATE}])', "{{instance}}")],
                  8, 7, "short", minimum=0, about="1 = one core."),
            panel("timeseries", "Memory", [(f'process_resident_memory_bytes{{job="standfast",{AT}}}', "{{instance}}")], 8, 7, "bytes", minimum=0),
            panel("timeseries", "File descriptors", [
                (f'process_open_fds{{job="standfast",{AT}}}', "{{instance}}"),
                (f'process_max_fds{{job="standfast",{AT}}}', "limit of {{instance}}")], 8, 7, minimum=0),
            panel("timeseries", "DNS: addresses by name", [(f"standfast_dns_addresses{{{AT}}}", "{{name}} @ {{instance}}")], 8, 7, minimum=0),
            panel("timeseries", "DNS: lookups without an address", [
                (f'sum by (instance, name, result) (rate(standfast_dns_lookups_total{{{AT},result!="found"}}[{RATE}]))',
                 "{{name}} {{result}} @ {{instance}}")], 8, 7, "ops", minimum=0),
            panel("timeseries", "DNS: age of the last answer", [
                (f"time() - standfast_dns_last_answer_timestamp_seconds{{{AT}}}", "{{name}} @ {{instance}}")], 8, 7, "s", minimum=0),
            panel("timeseries", "Lines that were lost", [
                (f'rate(standfast_access_log_records_total{{{AT},result!="written"}}[{RATE}])', "access log, {{result}}"),
                (f"rate(standfast_log_dropped_lines_total{{{AT}}}[{RATE}])", "log"),
                (f'rate(standfast_state_writes_total{{{AT},result="failure"}}[{RATE}])', "state file"),
                (f'rate(standfast_journal_events_total{{{AT},result="dropped"}}[{RATE}])', "journal"),
                (f'rate(standfast_journal_segments_total{{{AT},reason="overflow"}}[{RATE}])', "journal, gaps"),
                (f"rate(standfast_audit_lost_total{{{AT}}}[{RATE}])", "audit log, lost"),
                (f"rate(standfast_audit_failures_total{{{AT}}}[{RATE}])", "audit log, writes that failed")], 12, 6, "ops", minimum=0),
            panel("timeseries", "Audit log: its last record", [
                (f"standfast_audit_records_total{{{AT}}}", "{{instance}}")], 12, 6, minimum=0,
                  about="A witness: a log whose last record has a lower number was cut."),
            panel("state-timeline", "Audit log: can it be written", [(f"standfast_audit_writable{{{AT}}}", "{{instance}}")], 12, 6, words=YES_NO),
            panel("timeseries", "Paused: no thread ran", [
                (f"rate(standfast_paused_seconds_total{{{AT}}}[{RATE}])", "share of the time, {{instance}}"),
                (f"increase(standfast_pauses_total{{{AT}}}[{RATE}])", "pauses of {{instance}}")], 12, 6, minimum=0,
                  about="Gaps of more than 0.1 s: a stopped process, a frozen container, a machine without CPU to spare."),
        ])


def service():
    one = variable("service", 'label_values(standfast_service_up{instance=~"$instance"}, service)', multi=False)
    return dashboard(
        "standfast-service", "Standfast: one service", "Its pools, its endpoints, its requests.",
        [INSTANCE, one],
        [
            panel("stat", "Service", [(f"standfast_service_up{{{OF}}}", "{{instance}}")], 4, 4, words=UP_DOWN),
            panel("stat", "Served by", [(f"standfast_pool_active{{{OF}}} == 1", "{{pool}}")], 4, 4, value_options={"textMode": "name"}),
            panel("stat", "On standby", [(f"service:standfast_on_standby:bool{{{OF}}}", "{{instance}}")], 4, 4, words=YES_NO),
            panel("stat", "Home at the earliest in", [(f"standfast_hold_down_seconds{{{OF}}}", "{{instance}}")], 4, 4, "s"),
            panel("stat", "Failing open", [(f"standfast_failing_open{{{OF}}}", "{{instance}}")], 4, 4, words=YES_NO,
                  about="All pools are down, and endpoints that only fail their checks go on."),
            panel("stat", "Last recovery", [(f"standfast_last_recovery_seconds{{{OF}}}", "{{instance}}")], 4, 4, "s"),
            panel("state-timeline", "Pools: which one serves", [(f"standfast_pool_active{{{OF}}}", "{{pool}}")], 12, 6, words=SERVES),
            panel("state-timeline", "Pools: which one could", [(f"standfast_pool_available{{{OF}}}", "{{pool}}")], 12, 6,
                  words=[(0, "not available", "red"), (1, "available", "green")]),
            panel("state-timeline", "Endpoints", [
                (f'max by (pool, endpoint) (standfast_endpoint_standing{{{OF},state="healthy"}}'
                 f' + on (job, instance, service, pool, endpoint) 2 * standfast_endpoint_standing{{{OF},state="unhealthy"}}'
                 f' + on (job, instance, service, pool, endpoint) 3 * standfast_endpoint_standing{{{OF},state="ejected"}})',
                 "{{pool}} {{endpoint}}")], 24, 7,
                words=[(0, "checking", "blue"), (1, "healthy", "green"), (2, "unhealthy", "red"), (3, "ejected", "orange")]),
            row("Requests"),
            panel("timeseries", "Requests by class of status", [
                (f"sum by (code) (rate(standfast_requests_total{{{OF}}}[{RATE}]))", "{{code}}")], 8, 8, "reqps", minimum=0, stacked=True,
                about="none: the client or Standfast gave up without an answer."),
            panel("timeseries", "How long they take", [
                (f"histogram_quantile({share}, sum by (le) (rate(standfast_request_duration_seconds_bucket{{{OF}}}[{RATE}])))", name)
                for share, name in [(0.5, "half"), (0.9, "9 of 10"), (0.99, "99 of 100")]], 8, 8, "s", minimum=0),
            panel("timeseries", "At work and waiting", [
                (f"sum(standfast_requests_in_flight{{{OF}}})", "in flight"),
                (f"sum(standfast_requests_pending{{{OF}}})", "waiting for a connection")], 8, 8, minimum=0),
            panel("timeseries", "Tries after the first, by why", [
                (f"sum by (reason) (rate(standfast_retries_total{{{OF}}}[{RATE}])) > 0", "{{reason}}"),
                (f"sum(rate(standfast_crossed_tries_total{{{OF}}}[{RATE}]))", "in a lower pool before a switch"),
                (f"sum(rate(standfast_retry_budget_exhausted_total{{{OF}}}[{RATE}]))", "not covered by the budget"),
                (f"sum by (reason) (rate(standfast_malformed_replies_total{{{OF}}}[{RATE}])) > 0", "malformed: {{reason}}")],
                8, 8, "ops", minimum=0),
            panel("timeseries", "Hedges", [
                (f"sum by (outcome) (rate(standfast_hedges_total{{{OF}}}[{RATE}]))", "{{outcome}}")], 8, 8, "ops", minimum=0,
                about="Requests whose answer was late and that were asked elsewhere as well; won: the other one answered."),
            panel("timeseries", "Requests that got no endpoint", [
                (f"sum by (reason) (rate(standfast_requests_rejected_total{{{OF}}}[{RATE}]))", "{{reason}}")], 8, 8, "ops", minimum=0),
            row("Endpoints"),
            panel("timeseries", "Tries by endpoint", [
                (f"sum by (pool, endpoint) (rate(standfast_endpoint_tries_total{{{OF}}}[{RATE}]))", "{{pool}} {{endpoint}}")],
                8, 8, "ops", minimum=0, stacked=True),
            panel("timeseries", "Tries that failed", [
                (f'sum by (pool, endpoint, outcome) (rate(standfast_endpoint_tries_total{{{OF},outcome!="good"}}[{RATE}])) > 0',
                 "{{endpoint}} {{outcome}}")], 8, 8, "ops", minimum=0),
            panel("timeseries", "Answers that were errors", [
                (f'sum by (pool, endpoint, code) (rate(standfast_endpoint_responses_total{{{OF},code=~"4xx|5xx"}}[{RATE}]))',
                 "{{endpoint}} {{code}}")], 8, 8, "ops", minimum=0),
            panel("timeseries", "Connections", [
                (f"sum by (pool, endpoint, state) (standfast_endpoint_connections{{{OF}}})", "{{endpoint}} {{state}}")], 8, 8, minimum=0),
            panel("timeseries", "Connects", [
                (f"sum by (pool, endpoint, outcome) (rate(standfast_endpoint_connects_total{{{OF}}}[{RATE}]))", "{{endpoint}} {{outcome}}"),
                (f"sum by (endpoint, reason) (rate(standfast_endpoint_tls_failures_total{{{OF}}}[{RATE}]))", "{{endpoint}} TLS {{reason}}")],
                8, 8, "ops", minimum=0),
            panel("timeseries", "Bytes", [
                (f"sum by (endpoint, direction) (rate(standfast_endpoint_bytes_total{{{OF}}}[{RATE}]))", "{{endpoint}} {{direction}}")],
                8, 8, "Bps", minimum=0),
            row("Health"),
            panel("timeseries", "Probes that failed", [
                (f'sum by (endpoint, outcome) (rate(standfast_probes_total{{{OF},outcome!="pass"}}[{RATE}])) > 0',
                 "{{endpoint}} {{outcome}}")], 8, 8, "ops", minimum=0),
            panel("timeseries", "How long good probes take", [
                (f"histogram_quantile({share}, sum by (le) (rate(standfast_probe_duration_seconds_bucket{{{OF}}}[{RATE}])))", name)
                for share, name in [(0.5, "half"), (0.99, "99 of 100")]], 8, 8, "s", minimum=0),
            panel("timeseries", "Condemned by real traffic, suspected, tried out", [
                (f"sum by (cause) (increase(standfast_ejections_total{{{OF}}}[{RATE}]))", "condemned: {{cause}}"),
                (f"sum by (reason) (increase(standfast_evidence_held_total{{{OF}}}[{RATE}]))", "held: {{reason}}"),
                (f"sum(standfast_endpoint_suspected{{{OF}}})", "suspected now"),
                (f"sum by (outcome) (increase(standfast_endpoint_trials_total{{{OF}}}[{RATE}]))", "trial requests: {{outcome}}")],
                8, 8, minimum=0),
            panel("timeseries", "Lag of replicas", [
                (f"max by (pool, endpoint) (standfast_replica_lag_seconds{{{OF}}})", "{{endpoint}}")], 12, 6, "s", minimum=0),
            panel("timeseries", "What replicas have not applied", [
                (f"max by (pool, endpoint) (standfast_replica_lag_bytes{{{OF}}})", "{{endpoint}}")], 12, 6, "bytes", minimum=0),
            panel("state-timeline", "Out by an operator's word", [
                (f'standfast_endpoint_administrative{{{OF},state="ready"}}', "{{pool}} {{endpoint}}")], 24, 6,
                words=[(0, "drain or maint", "orange"), (1, "ready", "green")]),
        ])


def incidents():
    return dashboard(
        "standfast-incidents", "Standfast: incidents", "What happened, when, and how fast it was over.",
        [INSTANCE, SERVICES],
        [
            panel("stat", "Outages in this time", [
                (f'sum(increase(standfast_outages_total{{{OF}}}[$__range]))', "")], 6, 4, decimals=0,
                steps=[(None, "green"), (0.5, "orange")]),
            panel("stat", "Slowest recovery of the last ones", [(f"max(standfast_last_recovery_seconds{{{OF}}})", "")], 6, 4, "s"),
            panel("stat", "Objectives missed in this time", [
                (f'sum(increase(standfast_alerts_total{{{AT},kind="objective_missed"}}[$__range]))', "")], 6, 4, decimals=0,
                steps=[(None, "green"), (0.5, "red")]),
            panel("stat", "Since the last switch", [
                (f"time() - max(standfast_last_switch_timestamp_seconds{{{OF}}} > 0)", "")], 6, 4, "s"),
            panel("state-timeline", "Who served", [(f"standfast_pool_active{{{OF}}}", "{{service}} / {{pool}}")], 24, 8, words=SERVES),
            panel("timeseries", "Switches", [
                (f"sum by (service, kind) (increase(standfast_switches_total{{{OF}}}[$__interval])) > 0", "{{service}}: {{kind}}"),
                (f"sum by (service) (increase(standfast_switches_held_total{{{OF}}}[$__interval])) > 0", "{{service}}: held")],
                12, 8, minimum=0, decimals=0),
            panel("timeseries", "Recovery time of the last forced switch", [
                (f"standfast_last_recovery_seconds{{{OF}}}", "{{service}} @ {{instance}}"),
                (f"standfast_recovery_objective_seconds{{{OF}}}", "objective of {{service}}")], 12, 8, "s", minimum=0),
            panel("table", "Recoveries since the start, by how long they took", [
                (f"sum by (service, le) (standfast_recovery_seconds_bucket{{{OF}}})", "")], 12, 8,
                transformations=columns([], {"le": "seconds, at most", "Value": "recoveries"})),
            panel("table", "Last switch", [(f"standfast_last_switch_timestamp_seconds{{{OF}}} * 1000 > 0", "")], 12, 8, "dateTimeAsIso",
                  transformations=columns([], {"Value": "when"})),
            row("What led to it"),
            panel("timeseries", "Endpoints by what may be sent to them", [
                (f"sum by (service, pool, admission) (standfast_pool_endpoints{{{OF}}})", "{{service}} / {{pool}}: {{admission}}")],
                12, 8, minimum=0),
            panel("timeseries", "Verdicts of real traffic", [
                (f"sum by (service, cause) (increase(standfast_ejections_total{{{OF}}}[{RATE}])) > 0", "{{service}}: {{cause}}")],
                12, 8, minimum=0),
            panel("timeseries", "Probes that failed", [
                (f'sum by (service, pool, outcome) (rate(standfast_probes_total{{{OF},outcome!="pass"}}[{RATE}])) > 0',
                 "{{service}} / {{pool}}: {{outcome}}")], 12, 8, "ops", minimum=0),
            panel("timeseries", "What clients were spared, and what not", [
                (f"sum by (service) (rate(standfast_retries_total{{{OF}}}[{RATE}]))", "{{service}}: tried again"),
                (f'sum by (service) (rate(standfast_hedges_total{{{OF},outcome="won"}}[{RATE}]))', "{{service}}: answered by a hedge"),
                (f'sum by (service) (rate(standfast_requests_total{{{OF},code="5xx"}}[{RATE}]))', "{{service}}: 5xx")], 12, 8, "ops", minimum=0),
            row("What holds"),
            panel("state-timeline", "Frozen, failing open, pinned", [
                (f"standfast_frozen{{{OF}}}", "{{service}} frozen"), (f"standfast_failing_open{{{OF}}}", "{{service}} failing open"),
                (f"max by (service) (standfast_pinned{{{OF}}})", "{{service}} pinned")], 12, 8, words=YES_NO),
            panel("state-timeline", "Open conditions", [
                (f"max by (service, kind) (standfast_condition{{{OF}}})", "{{service}} {{kind}}")], 12, 8, words=YES_NO),
            panel("timeseries", "Home at the earliest in", [(f"standfast_hold_down_seconds{{{OF}}}", "{{service}} @ {{instance}}")],
                  12, 8, "s", minimum=0),
            panel("timeseries", "What Standfast said people should know", [
                (f"sum by (kind) (increase(standfast_alerts_total{{{AT}}}[{RATE}]))", "{{kind}}")], 12, 8, minimum=0),
            panel("timeseries", "Reloads", [
                (f"sum by (instance, result) (increase(standfast_config_reloads_total{{{AT}}}[{RATE}]))", "{{instance}} {{result}}"),
                (f"standfast_config_generation{{{AT}}}", "configurations since the start of {{instance}}")], 12, 8, minimum=0),
        ])


def main():
    stale = []
    for made in [overview(), service(), incidents()]:
        path = FOLDER / f"{made['uid'].removeprefix('standfast-')}.json"
        text = json.dumps(made, indent=1) + "\n"
        if "--check" in sys.argv:
            stale += [path.name] if not path.exists() or path.read_text() != text else []
        else:
            path.write_text(text)
    if stale:
        sys.exit(f"out of date: {', '.join(stale)}; python3 docker/grafana/make_dashboards.py")


if __name__ == "__main__":
    main()

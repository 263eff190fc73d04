"""Every query of the dashboards, asked of the running Prometheus as Grafana would."""

import json
import re

from project import ROOT, Failure

# What there is nothing to show of here: no TLS, no replicas of a database, and nothing refused, lost or turned away.
MAY_BE_EMPTY = re.compile(r"standfast_(tls_|replica_lag|endpoint_tls|connections_turned_away|protocol_)|> 0\b|ALERTS")


def filled(query):
    """With `All` chosen, and a minute for a step."""
    for name, value in {"$instance": ".*", "$service": ".*", "$__rate_interval": "1m", "$__interval": "1m", "$__range": "10m"}.items():
        query = query.replace(name, value)
    return query


def live(project):
    asked = shown = 0
    for path in sorted((ROOT / "docker/grafana/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                asked += 1
                query = filled(target["expr"])
                try:
                    found = project.query(query)
                except OSError as error:
                    raise Failure(f"{path.name}, {panel['title']}: {query}: {error}") from error
                shown += bool(found)
                if not found and not MAY_BE_EMPTY.search(query):
                    raise Failure(f"{path.name}, {panel['title']}: nothing to show: {query}")
                names = re.findall(r"{{(\w+)}}", target["legendFormat"])
                missing = [name for name in names for sample in found if name not in sample["metric"]]
                if missing and not query.startswith("ALERTS"):
                    raise Failure(f"{path.name}, {panel['title']}: series without {set(missing)}: {query}")
    return f"{asked} queries, {shown} of them with something to show"

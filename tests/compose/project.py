"""The compose project of docker/ as the test drives it: its containers, its ports, its Prometheus."""

import http.client
import json
import os
import pathlib
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 90
# All but Grafana, which cannot be had without a registry.
SERVICES = ["standfast", "north-1", "north-2", "south-1", "south-2", "prometheus", "alertmanager"]


class Failure(Exception):
    """What was promised and did not happen."""


def run(*command, **options):
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if done.returncode:
        raise Failure(f"{' '.join(command)}\n{done.stdout}")
    return done.stdout


def until(what, holds, patience=PATIENCE):
    """Waits for a condition and gives what it gave."""
    deadline = time.monotonic() + patience
    while True:
        try:
            found = holds()
        except OSError as error:
            found, what = None, f"{what.split(' [')[0]} [{error}]"
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failure(f"never: {what}")
        time.sleep(0.2)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listening.getsockname()[1] for listening in sockets]
    for listening in sockets:
        listening.close()
    return ports


class Project:
    def __init__(self, config):
        newer = subprocess.run(["docker", "compose", "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.tool = ["docker", "compose"] if newer.returncode == 0 else ["docker-compose"]
        names = ["HTTP_PORT", "TCP_PORT", "ADMIN_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT", "GRAFANA_PORT"]
        ports = dict(zip(names, free_ports(len(names))))
        self.web, self.admin = ports["HTTP_PORT"], ports["ADMIN_PORT"]
        self.prometheus, self.alertmanager = ports["PROMETHEUS_PORT"], ports["ALERTMANAGER_PORT"]
        stand_ins = dict(line.split("=", 1) for line in (ROOT / "tests/compose/stand-ins.env").read_text().splitlines()
                         if "=" in line and not line.startswith("#"))
        self.environment = {**os.environ, **stand_ins, **{name: str(port) for name, port in ports.items()},
                            "COMPOSE_PROJECT_NAME": "standfast-test", "STANDFAST_IMAGE": "standfast:test",
                            "STANDFAST_CONFIG": str(config)}

    def compose(self, *arguments):
        command = [*self.tool, "-f", str(ROOT / "docker/compose.yaml"), *arguments]
        return run(*command, env=self.environment)

    def container(self, service):
        return self.compose("ps", "-q", service).split()[-1]

    def inspect(self, service):
        return json.loads(run("docker", "inspect", self.container(service)))[0]

    def healthy(self, service):
        return self.inspect(service)["State"].get("Health", {}).get("Status") == "healthy"

    def cut(self, service):
        run("docker", "network", "disconnect", "standfast-test_pools", self.container(service))

    def mend(self, service):
        run("docker", "network", "connect", "--alias", service, "standfast-test_pools", self.container(service))

    def address(self, service):
        return self.inspect(service)["NetworkSettings"]["Networks"]["standfast-test_pools"]["IPAddress"]

    def get(self, path="/", method="GET"):
        """Status and text of one request through the proxy."""
        client = http.client.HTTPConnection("127.0.0.1", self.web, timeout=15)
        try:
            client.request(method, path)
            answer = client.getresponse()
            return answer.status, answer.read().decode()
        finally:
            client.close()

    def json(self, port, path, **query):
        url = f"http://127.0.0.1:{port}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)

    def status(self, service="shop"):
        return next(s for s in self.json(self.admin, "/status")["services"] if s["name"] == service)

    def query(self, expression):
        """What Prometheus says: the samples of an instant query."""
        return self.json(self.prometheus, "/api/v1/query", query=expression)["data"]["result"]

    def value(self, expression):
        samples = self.query(expression)
        return float(samples[0]["value"][1]) if samples else None

    def firing(self, name, **labels):
        """Is the alert firing at Prometheus, and has Alertmanager been told?"""
        labels = {"alertname": name, **labels}

        def matches(alert):
            return all(alert["labels"].get(label) == value for label, value in labels.items())

        alerts = self.json(self.prometheus, "/api/v1/alerts")["data"]["alerts"]
        if not any(alert["state"] == "firing" for alert in filter(matches, alerts)):
            return False
        return any(map(matches, self.json(self.alertmanager, "/api/v2/alerts")))

    def quiet(self, name, **labels):
        return not self.query(f'ALERTS{{alertname="{name}",alertstate="firing",service="{labels.get("service", "shop")}"}}')


class Load:
    """Clients that ask all the time over connections of their own, without any retry, and remember what they got."""

    def __init__(self, port, clients=4, posts=True):
        self.port, self.posts = port, posts
        self.stopped = threading.Event()
        self.results = []
        self.threads = [threading.Thread(target=self.client, daemon=True) for _ in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def client(self):
        connection, count = None, 0
        while not self.stopped.is_set():
            count += 1
            method = "POST" if self.posts and count % 4 == 0 else "GET"
            begun = time.monotonic()
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
                connection.request(method, "/load", body=b"x" * 100 if method == "POST" else None)
                answer = connection.getresponse()
                result = str(answer.status)
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                result, connection = type(error).__name__, None
            self.results.append((method, result, time.monotonic() - begun))
            time.sleep(0.01)

    def failed(self, method):
        return [result for kind, result, _ in self.results if kind == method and result != "200"]

    def told(self):
        gets = [took for kind, _, took in self.results if kind == "GET"]
        posts = len(self.results) - len(gets)
        return (f"{len(gets)} GET, {len(self.failed('GET'))} failed; {posts} POST, {len(self.failed('POST'))} failed; "
                f"slowest GET {max(gets, default=0):.2f} s")

"""Rows with an orchestrator or a pooler beside the servers: Patroni with etcd, pgbouncer. HAProxy stands beside the proxy where both can be
measured in one run. They need Debian's `patroni`, `etcd-server`, `pgbouncer` and `haproxy`, and are left out, saying so, where these are missing."""

import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time
import urllib.request

from parts import Ledger, as_user, free_port, postgres_programs, promise, until
from rows import follows, held_connect, last_follow, lost_said, row


class Member:
    """A server that Patroni runs."""

    def __init__(self, cluster, name):
        self.cluster, self.name, self.port, self.rest = cluster, name, free_port(), free_port()
        self.data = cluster.folder / name
        self.file = cluster.folder / f"{name}.yml"
        self.file.write_text(
            f"""scope: orders
name: {name}
restapi: {{listen: '127.0.0.1:{self.rest}', connect_address: '127.0.0.1:{self.rest}'}}
etcd3: {{hosts: '127.0.0.1:{cluster.etcd_port}'}}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 3
    maximum_lag_on_failover: 1048576
    postgresql:
      use_pg_rewind: true
      parameters: {{fsync: 'off', shared_buffers: 16MB, max_connections: 60, wal_log_hints: 'on'}}
  initdb: [{{encoding: UTF8}}, {{locale: C}}]
postgresql:
  listen: '127.0.0.1:{self.port}'
  connect_address: '127.0.0.1:{self.port}'
  data_dir: {self.data}
  bin_dir: {postgres_programs()}
  pgpass: {cluster.folder}/{name}.pass
  authentication:
    superuser: {{username: postgres, password: s}}
    replication: {{username: replicator, password: r}}
    rewind: {{username: rewinder, password: w}}
  parameters: {{unix_socket_directories: {cluster.folder}}}
  pg_hba: [local all all trust, host all all 127.0.0.1/32 trust, host replication all 127.0.0.1/32 trust]
"""
        )
        self.start()

    def start(self):
        with open(self.cluster.folder / f"{self.name}.log", "a") as log:
            self.process = subprocess.Popen(["patroni", str(self.file)], stdout=log, stderr=log, cwd="/", start_new_session=True, **self.cluster.run_as)

    def is_now(self, what):
        """As its own health page says: `primary` or `replica`."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}/{what}", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def ask(self, question):
        import psycopg2

        connection = psycopg2.connect(host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", connect_timeout=5)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(question)
                found = cursor.fetchall() if cursor.description else []
        finally:
            connection.close()
        return "\n".join(str(value[0]) for value in found)

    def first_as_primary(self, found):
        """Notes when the server first says that it is no replica."""
        import psycopg2

        connection = psycopg2.connect(host="127.0.0.1", port=self.port, user="postgres", dbname="postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not found:
                cursor.execute("SELECT pg_is_in_recovery()")
                if not cursor.fetchone()[0]:
                    found.append(time.monotonic())
                time.sleep(0.002)
        connection.close()

    def postmaster(self):
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])

    def kill(self):
        """The host is gone: Patroni, the postmaster and its processes."""
        postmaster = self.postmaster()
        children = pathlib.Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in [self.process.pid, postmaster, *map(int, children)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()

    def end(self):
        if self.process.poll() is None:
            try:
                self.kill()
            except (OSError, IndexError, ValueError):
                self.process.kill()
                self.process.wait()


class Cluster:
    """Two members under Patroni, with an etcd of their own."""

    def __init__(self, setup):
        self.folder = setup.folder / "patroni"
        self.run_as = as_user("postgres")
        self.folder.mkdir(mode=0o755)
        if self.run_as:
            os.chown(self.folder, self.run_as["user"], self.run_as["group"])
        self.etcd_port, peers = free_port(), free_port()
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{peers}"
        command = ["etcd", "--data-dir", str(self.folder / "etcd"), "--listen-client-urls", client, "--advertise-client-urls", client,
                   "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}", "--unsafe-no-fsync"]
        with open(setup.folder / "etcd.log", "a") as log:
            self.etcd = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **self.run_as)
        setup.parts.callback(self.end)
        self.members = []
        for name, role in (("a", "primary"), ("b", "replica")):
            member = Member(self, name)
            setup.parts.callback(member.end)
            self.members.append(member)
            until(f"{name} is {role}", lambda: member.is_now(role), 60)
        Ledger.prepare(self.members[0])
        until("it streams", lambda: self.members[0].ask("SELECT count(*) FROM pg_stat_replication") == "1")

    def switch_over(self, leader, candidate):
        """By Patroni's own API, which answers when it is done."""
        body = f'{{"leader": "{leader.name}", "candidate": "{candidate.name}"}}'.encode()
        request = urllib.request.Request(f"http://127.0.0.1:{leader.rest}/switchover", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            promise(answer.status == 200, f"Patroni: {answer.read()}")

    def end(self):
        self.etcd.kill()
        self.etcd.wait()


class Haproxy:
    """The usual set-up with Patroni: the primary is the server whose REST page says so, and sessions of the others are shut down."""

    def __init__(self, setup, members):
        self.port = free_port()
        lines = [f"    server {m.name} 127.0.0.1:{m.port} check port {m.rest}" for m in members]
        file = setup.folder / "haproxy.cfg"
        file.write_text(
            "global\n    maxconn 200\ndefaults\n    mode tcp\n    timeout connect 4s\n    timeout client 60s\n    timeout server 60s\n    timeout check 1s\n"
            f"listen orders\n    bind 127.0.0.1:{self.port}\n    option httpchk GET /primary\n    http-check expect status 200\n"
            "    default-server inter 1s fastinter 200ms fall 3 rise 1 on-marked-down shutdown-sessions\n" + "\n".join(lines) + "\n"
        )
        with open(setup.folder / "haproxy.log", "a") as log:
            self.process = subprocess.Popen(["haproxy", "-f", str(file), "-db"], stdout=log, stderr=log)

    def end(self):
        self.process.kill()
        self.process.wait()


def clusters(name, *programs, smoke=False):
    """A row that needs these programs."""

    def add(function):
        def run(setup):
            absent = [program for program in programs if not shutil.which(program)]
            if absent:
                return f"SKIPPED: {', '.join(absent)} is not installed"
            return function(setup)

        run.__doc__ = function.__doc__
        row(name, smoke)(run)
        return run

    return add


@clusters("patroni_switchover", "patroni", "etcd", "haproxy")
def patroni_switchover(setup):
    """Patroni moves the primary under load, there and back; HAProxy stands beside, in the same run."""
    cluster = Cluster(setup)
    a, b = cluster.members
    # (The rhythm that the objective of 300 ms is for.)
    proxy = setup.proxy([a, b], rhythm="interval: 1s, timeout: 1s, fast_interval: 200ms, fall: 3")
    follows(proxy, a)
    peer = setup._keep(Haproxy(setup, [a, b]))
    ours, theirs = setup.ledger(proxy, workers=8), setup.ledger(peer, workers=8, first=100)
    told = []
    for leader, candidate in ((a, b), (b, a)):
        time.sleep(2)
        primary_at = []
        watch = threading.Thread(target=candidate.first_as_primary, args=(primary_at,), daemon=True)
        watch.start()
        cluster.switch_over(leader, candidate)
        follows(proxy, candidate, 10)
        watch.join(timeout=20)
        promise(primary_at, f"{candidate.name} is primary")
        after = [until("acknowledged", lambda: ledger.acks_of(candidate, since=primary_at[0]), 30)[0][0] - primary_at[0] for ledger in (ours, theirs)]
        told.append(f"first commit after it is primary: {after[0] * 1000:.0f} ms (HAProxy {after[1] * 1000:.0f} ms)")
        until(f"{leader.name} streams again", lambda: leader.is_now("replica"), 60)
    read_only = [answer for ledger in (ours,) for _, _, answer in ledger.cut if "read-only" in answer]
    promise(not read_only, f"a client has met a replica: {read_only[:2]}")
    promise(not ours.refused_by_the_proxy(), f"connections were refused: {ours.refused[:2]}")
    theirs.end()
    wrong = sum("read-only" in answer for _, _, answer in theirs.cut)
    return "; ".join(told) + f"; cut {len(ours.cut)} (HAProxy {len(theirs.cut)}, {wrong} of them by a replica); " + ours.judge(a, lost_said(proxy, ours), moves=2)


@clusters("patroni_leader_dies", "patroni", "etcd")
def patroni_leader_dies(setup):
    """The host of the leader is gone: clients are held, then told in PostgreSQL's words, and served as soon as Patroni has a new leader."""
    cluster = Cluster(setup)
    a, b = cluster.members
    proxy = setup.proxy([a, b])
    follows(proxy, a)
    ledger = setup.ledger(proxy)
    time.sleep(1)
    a.kill()
    died = time.monotonic()
    spent, answer = held_connect(proxy)
    promise(answer and 3 < spent < 8 and "no primary is available" in answer, f"held, then refused: {spent:.1f} s, {answer}")
    follows(proxy, b, 60)
    first = until("B acknowledges", lambda: ledger.acks_of(b))[0][0] - died
    record = last_follow(proxy)
    promise(record["rto_ms"] > 1000, f"the recovery time is said: {record}")
    return f"new leader after {first:.1f} s, said {record['rto_ms'] / 1000:.1f} s; " + ledger.judge(b, lost_said(proxy, ledger))


class Pgbouncer:
    """A pooler in front of a server."""

    def __init__(self, setup, server):
        self.name, self.port, self.server = f"pooler of {server.name}", free_port(), server
        folder = setup.folder / f"pgbouncer-{server.name}"
        folder.mkdir(mode=0o755)
        (folder / "users").write_text('"postgres" ""\n')
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\npostgres = host=127.0.0.1 port={server.port} dbname=postgres user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\nunix_socket_dir =\nauth_type = any\nauth_file = {folder}/users\npool_mode = transaction\nlogfile = {folder}/log\n"
            f"pidfile = {folder}/pid\nserver_login_retry = 1\n"
        )
        run_as = as_user("postgres")
        if run_as:
            for path in (folder, *folder.iterdir()):
                os.chown(path, run_as["user"], run_as["group"])
        self.process = subprocess.Popen(["pgbouncer", "-q", str(folder / "pgbouncer.ini")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **run_as)

    def end(self):
        self.process.kill()
        self.process.wait()


@clusters("behind_poolers", "pgbouncer", smoke=True)
def behind_poolers(setup):
    """Traffic passes a pooler at each server, and the check asks the server itself: a pooler that accepts while its server is dead changes nothing."""
    a, b = setup.pair()
    poolers = [setup._keep(Pgbouncer(setup, server)) for server in (a, b)]
    endpoints = [f"{{address: '127.0.0.1:{pooler.port}', check_port: {pooler.server.port}}}" for pooler in poolers]
    proxy = setup.proxy(poolers, written=endpoints)
    follows(proxy, poolers[0])
    ledger = setup.ledger(proxy)
    time.sleep(1)
    a.kill()
    until("A is gone", lambda: proxy.holder() is None)
    b.promote()
    follows(proxy, poolers[1])
    until("B acknowledges", lambda: ledger.acks_of(b))
    return ledger.judge(b, lost_said(proxy, ledger))


@clusters("unacknowledged_replication", smoke=True)
def unacknowledged_replication(setup):
    """Commits wait for a replica that is gone, and then the server is left: no client was told that its rows are there."""
    a, b = setup.pair()
    a.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
    a.ask("SELECT pg_reload_conf()")
    proxy = setup.proxy([a, b])
    follows(proxy, a)
    ledger = setup.ledger(proxy)
    time.sleep(0.5)
    # The replica does not hear the primary any more: its receiver is stopped.
    b.signal_all(signal.SIGSTOP)
    time.sleep(1.5)
    waits = int(a.ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"))
    promise(waits > 0, "commits wait for the replica")
    a.kill()
    b.signal_all(signal.SIGCONT)
    until("B answers", lambda: b.ask("SELECT 1") == "1")
    b.promote()
    follows(proxy, b)
    until("B acknowledges", lambda: ledger.acks_of(b))
    promise(ledger.unknown, "for these clients it is not known")
    return f"{waits} commits waited; " + ledger.judge(b, 0)



JAVA = """
import java.sql.*;
public class Held {
    public static void main(String[] arguments) throws Exception {
        try (Connection connection = DriverManager.getConnection(arguments[0], "postgres", "")) {
            ResultSet found = connection.createStatement().executeQuery("SELECT inet_server_port()");
            found.next();
            System.out.println("port " + found.getInt(1));
        } catch (SQLException error) {
            System.out.println("state " + error.getSQLState() + " " + error.getMessage());
        }
    }
}
"""
JDBC = "/usr/share/java/postgresql.jar"


def libpq(*ports):
    """What psql says of the first of these that lets it in."""
    hosts, numbers = ",".join(["127.0.0.1"] * len(ports)), ",".join(map(str, ports))
    command = ["psql", "-XAtq", f"host={hosts} port={numbers} user=postgres dbname=postgres", "-c", "SELECT inet_server_port()"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd="/")
    return done.stdout.strip() or done.stderr.strip()


def asyncpg(port):
    import asyncio

    try:
        import asyncpg as driver
    except ImportError:
        return None

    async def connect():
        try:
            connection = await driver.connect(host="127.0.0.1", port=port, user="postgres", database="postgres")
        except (driver.PostgresError, OSError) as error:
            return f"state {getattr(error, 'sqlstate', None)} {error}"
        found = await connection.fetchval("SELECT inet_server_port()")
        await connection.close()
        return f"port {found}"

    return asyncio.run(connect())


def pgjdbc(setup, *ports):
    if not (os.path.exists(JDBC) and shutil.which("java")):
        return None
    source = setup.folder / "Held.java"
    source.write_text(JAVA)
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    command = ["java", "-cp", JDBC, str(source), f"jdbc:postgresql://{hosts}/postgres"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()


@clusters("drivers")
def drivers(setup):
    """Clients are held and then served, or held and then told: what their drivers make of it (guides/database-clients.md)."""
    a, b = setup.pair()
    proxy = setup.proxy([a, b])
    follows(proxy, a)
    promise(asyncpg(proxy.port) in (None, f"port {a.port}") and pgjdbc(setup, proxy.port) in (None, f"port {a.port}"), "both get in")
    a.kill()
    until("A is gone", lambda: proxy.holder() is None)
    # (All of them wait at the same time: the hold is 4 s.)
    asks = {
        "libpq": lambda: libpq(proxy.port),
        "libpq with two hosts": lambda: libpq(proxy.port, b.port),
        "asyncpg": lambda: asyncpg(proxy.port),
        "pgjdbc": lambda: pgjdbc(setup, proxy.port),
        "pgjdbc with two hosts": lambda: pgjdbc(setup, proxy.port, b.port),
    }
    answers, spent = {}, {}

    def ask(name):
        began = time.monotonic()
        answers[name] = asks[name]()
        spent[name] = time.monotonic() - began

    def all_of_them():
        threads = [threading.Thread(target=ask, args=(name,), daemon=True) for name in asks]
        for thread in threads:
            thread.start()
        return threads

    for thread in all_of_them():
        thread.join(timeout=60)
    promise("no primary is available" in answers["libpq"], f"libpq: {answers['libpq']}")
    promise(answers["libpq with two hosts"] == str(b.port), f"it goes on to its next host: {answers['libpq with two hosts']}")
    told = {name: answers[name] for name in ("asyncpg", "pgjdbc") if answers[name]}
    promise(all(answer.startswith("state 57P03") for answer in told.values()), f"{told}")
    promise(answers["pgjdbc with two hosts"] in (None, f"port {b.port}"), f"pgjdbc: {answers['pgjdbc with two hosts']}")
    refused = ", ".join(f"{name} {spent[name]:.1f} s" for name in asks if answers[name])

    # And now a primary comes while they wait.
    waiting = all_of_them()
    time.sleep(1.5)
    b.promote()
    follows(proxy, b)
    for thread in waiting:
        thread.join(timeout=60)
    served = {name: answer.removeprefix("port ") for name, answer in answers.items() if answer}
    promise(set(served.values()) == {str(b.port)}, f"all are served by B: {served}")
    return f"told after: {refused}; {len(served)} drivers served when a primary came"

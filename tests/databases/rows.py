"""What happens to the databases, row by row, and what is expected then."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import Callable

from parts import Failure, Ledger, Postgres, Proxy, Redis, promise, until

ROWS = []


@dataclass
class Row:
    name: str
    smoke: bool
    run: Callable


def row(name, smoke=False):
    def add(function):
        def run(program, folder):
            with contextlib.ExitStack() as parts:
                return function(Setup(program, folder, parts))

        ROWS.append(Row(name, smoke, run))
        return function

    return add


class Setup:
    """Makes the parts of a row, and ends them after it."""

    def __init__(self, program, folder, parts):
        self.program, self.folder, self.parts = program, folder, parts

    def _keep(self, part):
        self.parts.callback(part.end)
        return part

    def postgres(self, name, **more):
        return self._keep(Postgres(self.folder, name, **more))

    def pair(self, settings=()):
        a = self.postgres("a", settings=settings)
        Ledger.prepare(a)
        b = self.postgres("b", standby_of=a, settings=settings)
        until("it streams", lambda: a.ask("SELECT count(*) FROM pg_stat_replication") == "1")
        return a, b

    def followed_pair(self, **more):
        """A pair whose primary A is followed, the proxy, and clients that write."""
        a, b = self.pair()
        proxy = self.proxy([a, b], **more)
        follows(proxy, a)
        return a, b, proxy, self.ledger(proxy)

    def redis(self, name, **more):
        return self._keep(Redis(self.folder, name, **more))

    def proxy(self, endpoints, keys="", check="postgres: {user: postgres, role: primary}", **more):
        return self._keep(Proxy(self.program, self.folder, check, endpoints, keys, **more))

    def ledger(self, proxy, **more):
        ledger = Ledger(proxy, **more)
        self.parts.callback(ledger.end)
        return ledger.start()


def follows(proxy, server, patience=20):
    until(f"{server.name} is followed", lambda: proxy.holder() == server.port, patience)


def last_follow(proxy):
    found = [incident for incident in proxy.incidents() if incident["kind"] == "follow"]
    promise(found, "there is an incident of kind follow")
    return max(found, key=lambda incident: incident["id"])


def lost_said(proxy, ledger=None):
    """How many rows may be lost: what the incident says in bytes, of which each row has more than a hundred, and what was acknowledged after
    its last sample, half a second before the end at most. Without a ledger both together are taken for fifty rows."""
    record = last_follow(proxy)["following"]
    lost = record.get("lost_bytes")
    if lost == 0 and record.get("age_ms", 0) == 0:
        return 0
    if ledger is None:
        return 50
    acked = sorted(ledger.acked)
    former = [at for at, server, *_ in acked if server != acked[-1][1]]
    return (lost or 0) // 100 + sum(at > former[-1] - 0.5 for at in former)


def held_connect(proxy, timeout=15):
    """Connects, and says how long that took and how it ended."""
    import psycopg2

    began = time.monotonic()
    try:
        connection = psycopg2.connect(host="127.0.0.1", port=proxy.port, user="postgres", dbname="postgres", connect_timeout=timeout)
        connection.close()
        return time.monotonic() - began, None
    except psycopg2.Error as error:
        return time.monotonic() - began, str(error).strip()


@row("kill_then_promote", smoke=True)
def kill_then_promote(setup):
    """The postmaster of A and all its backends are killed; B is promoted 2 s later."""
    a, b, proxy, ledger = setup.followed_pair()
    time.sleep(1)
    a.kill()
    killed = time.monotonic()
    time.sleep(2)
    b.promote()
    follows(proxy, b)
    until("B acknowledges", lambda: ledger.acks_of(b))
    first = ledger.acks_of(b)[0][0] - killed
    told = ledger.judge(b, lost_said(proxy, ledger))
    promise(not ledger.refused_by_the_proxy(), f"connections were refused: {ledger.refused[:2]}")
    return f"first commit at B after {first:.2f} s; {told}"


@row("freeze_then_promote", smoke=True)
def freeze_then_promote(setup):
    """All of A is stopped, B is promoted, and A goes on 5 s later."""
    a, b, proxy, ledger = setup.followed_pair()
    time.sleep(0.5)
    a.signal_all(signal.SIGSTOP)
    time.sleep(1)
    b.promote()
    follows(proxy, b)
    until("B acknowledges", lambda: ledger.acks_of(b))
    time.sleep(4)
    a.signal_all(signal.SIGCONT)
    thawed = time.monotonic()
    until("A is stale", lambda: proxy.verdict(a) == "stale")
    promise("stale_primary" in proxy.conditions(), "a condition says so")
    time.sleep(1)
    promise(not ledger.acks_of(a, since=thawed), "A acknowledged something after it had thawed")
    promise(a.ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = '' AND backend_type = 'client backend' AND state <> 'active'") == "0", "sessions of ours are left at A")
    # What A had in its sockets when it was stopped may have been committed there: no client was told so.
    return ledger.judge(b, lost_said(proxy, ledger))


@row("frozen_postmaster", smoke=True)
def frozen_postmaster(setup):
    """Only the postmaster of A is stopped: it serves old sessions well and new ones never."""
    a, b, proxy, ledger = setup.followed_pair()
    time.sleep(0.5)
    os.kill(a.process.pid, signal.SIGSTOP)
    until("it is silent", lambda: proxy.verdict(a) == "silent")
    silent = time.monotonic()
    spent, answer = held_connect(proxy)
    promise(answer and 3 < spent < 7, f"a new connection is held, then refused: {spent:.1f} s, {answer}")
    promise("no primary is available" in answer, f"in the words of PostgreSQL: {answer}")
    promise(ledger.acks_of(a, since=silent + 1), "old sessions go on")
    os.kill(a.process.pid, signal.SIGCONT)
    follows(proxy, a, 5)
    promise(not ledger.cut, f"a session was cut: {ledger.cut[:2]}")
    return f"held for {spent:.1f} s; " + ledger.judge(a)


@row("restart_in_place", smoke=True)
def restart_in_place(setup):
    """A is stopped and started again 2 s later, twice; nothing is promoted."""
    a, b, proxy, ledger = setup.followed_pair()
    for mode in ("fast", "immediate"):
        a.stop(mode)
        time.sleep(2)
        a.start()
        follows(proxy, a)
        back = time.monotonic()
        until("A acknowledges again", lambda: ledger.acks_of(a, since=back))
    promise(not ledger.refused_by_the_proxy(), f"connections were refused: {ledger.refused[:2]}")
    kinds = {incident["kind"] for incident in proxy.incidents()}
    promise("follow" not in kinds, f"nothing else was followed: {kinds}")
    return ledger.judge(a)


@row("old_primary_returns", smoke=True)
def old_primary_returns(setup):
    """B holds, A comes back writable, and then B fails too; the proxy is killed and started in between."""
    a, b, proxy, ledger = setup.followed_pair(one_pool=True)
    a.kill()
    b.promote()
    follows(proxy, b)
    until("B acknowledges", lambda: ledger.acks_of(b))
    told = ledger.judge(b, lost_said(proxy, ledger))
    a.start()
    until("A is stale", lambda: proxy.verdict(a) == "stale")
    promise(proxy.holder() == b.port and "stale_primary" in proxy.conditions(), "B keeps the traffic")
    b.kill()
    until("B is gone", lambda: proxy.holder() is None)
    time.sleep(1)
    promise(proxy.holder() is None, "A is not followed, though it is the only one")
    proxy.kill()
    proxy.start()
    until("A is still stale", lambda: proxy.verdict(a) == "stale")
    time.sleep(1)
    promise(proxy.holder() is None, "nor after a restart")
    _, answer = held_connect(proxy)
    promise(answer, "a connection is refused")
    code, said = proxy.act("accept", "orders", f"127.0.0.1:{a.port}")
    promise(code == 0, f"accept: {said}")
    follows(proxy, a, 5)
    return told


@row("demoted_in_place", smoke=True)
def demoted_in_place(setup):
    """The roles are swapped: A is stopped in order, B is promoted, A follows B; and the same way back."""
    a, b, proxy, ledger = setup.followed_pair()
    a.stop("fast")
    b.promote()
    follows(proxy, b)
    until("B acknowledges", lambda: ledger.acks_of(b))
    a.start_as_standby(of=b)
    until("A is a replica", lambda: proxy.verdict(a) == "replica")
    promise(not proxy.conditions() & {"stale_primary", "multiple_primaries"}, "nothing to be told")
    record = last_follow(proxy)["following"]
    return f"lost {record.get('lost_bytes')} bytes, sample {record.get('age_ms')} ms old; " + ledger.judge(b, lost_said(proxy, ledger))


@row("promoted_by_mistake", smoke=True)
def promoted_by_mistake(setup):
    """B is promoted while A lives: A keeps the traffic; with an objective that allows the loss, B is followed."""
    a, b, proxy, ledger = setup.followed_pair()
    b.promote()
    until("it is told", lambda: "multiple_primaries" in proxy.conditions())
    time.sleep(1)
    promise(proxy.holder() == a.port and proxy.verdict(b) == "rival", "A keeps the traffic")
    promise(not ledger.cut and not ledger.acks_of(b), "nothing was cut, and nothing went to B")
    told = ledger.judge(a)
    proxy.end()
    proxy = setup.proxy([a, b], keys="    objectives: {rpo: 1GiB}\n")
    time.sleep(2)
    promise(proxy.holder() == a.port, "where B forked was not seen by this process: too much")
    return told


@row("within_the_objective", smoke=True)
def within_the_objective(setup):
    """B is promoted while A lives, and the loss is allowed: A's sessions end, then B is followed."""
    a, b, proxy, ledger = setup.followed_pair(keys="    objectives: {rpo: 1GiB}\n")
    time.sleep(0.5)
    b.promote()
    follows(proxy, b, 5)
    until("B acknowledges", lambda: ledger.acks_of(b))
    record = last_follow(proxy)["following"]
    return f"lost {record['lost_bytes']} bytes; " + ledger.judge(b, 1000)


def promoted_far_behind(setup, keys):
    """B no longer gets A's log, A writes 2 MiB and is killed, and B is promoted."""
    a, b = setup.pair()
    proxy = setup.proxy([a, b], keys=keys)
    follows(proxy, a)
    b.ask("ALTER SYSTEM SET primary_conninfo = ''")
    b.ask("SELECT pg_reload_conf()")
    until("it streams no more", lambda: a.ask("SELECT count(*) FROM pg_stat_replication") == "0")
    a.ask("CREATE TABLE much AS SELECT md5(n::text) FROM generate_series(1, 30000) n")
    time.sleep(1)
    a.kill()
    until("A is gone", lambda: proxy.holder() is None)
    b.promote()
    return a, b, proxy, time.monotonic()


def far_behind_said(proxy, is_known=True):
    record = last_follow(proxy)["following"]
    promise(not is_known or record["lost_bytes"] > 1_000_000, f"the incident says what is lost: {record}")
    promise(record.get("missed_rpo"), f"and that it is more than the objective: {record}")
    promise("rpo_missed" in proxy.conditions() and "beyond_rpo" not in proxy.conditions(), "a condition says so")
    return f"lost {record.get('lost_bytes')} bytes, sample {record['age_ms']} ms old"


@row("objective_override", smoke=True)
def objective_override(setup):
    """B lacks more than the objective: it is not followed, also after a restart of the proxy, until an operator accepts that."""
    _, b, proxy, _ = promoted_far_behind(setup, "    objectives: {rpo: 64KiB}\n    failover: {on_rpo_exceeded: hold}\n")
    until("it is told", lambda: "beyond_rpo" in proxy.conditions())
    promise(proxy.verdict(b) == "beyond_rpo", "and of the endpoint, too")
    time.sleep(2)
    proxy.kill()
    proxy.start()
    until("it is told again", lambda: proxy.verdict(b) == "beyond_rpo")
    time.sleep(2)
    promise(proxy.holder() is None, "B is not followed")
    code, said = proxy.act("accept", "orders", f"127.0.0.1:{b.port}")
    promise(code == 0, f"accept: {said}")
    follows(proxy, b, 5)
    # (Where B forked was seen by the process before.)
    return far_behind_said(proxy, is_known=False)


@row("objective_patience")
def objective_patience(setup):
    """B lacks more than the objective: it is followed when it has waited for `rpo_patience`."""
    keys = "    objectives: {rpo: 64KiB}\n    failover: {on_rpo_exceeded: hold, rpo_patience: 4s}\n"
    _, b, proxy, promoted = promoted_far_behind(setup, keys)
    follows(proxy, b)
    waited = time.monotonic() - promoted
    promise(3.5 < waited < 6, f"it waited for its time: {waited:.1f} s")
    return far_behind_said(proxy) + f", after {waited:.1f} s"


@row("objective_measured")
def objective_measured(setup):
    """B lacks more than the objective: by default it is followed at once, and that is told. So it is for a time as the objective."""
    _, b, proxy, promoted = promoted_far_behind(setup, "    objectives: {rpo: 100ms}\n")
    follows(proxy, b, 3)
    record = last_follow(proxy)["following"]
    promise(record["lost_ms"] >= record["age_ms"] >= 0, f"a time: {record}")
    return far_behind_said(proxy) + f", {record['lost_ms']} ms"


def script(setup, text):
    """A program of this row."""
    path = setup.folder / "fence.sh"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def is_running(path):
    """Is there a process that has this in its command line?"""
    for process in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(path).encode() in process.read_bytes():
                return True
    return False


def fence_said(proxy):
    fence = last_follow(proxy)["following"]["fence"]
    return fence["outcome"], fence.get("detail", ""), fence["took_ms"]


@row("fence_hook", smoke=True)
def fence_hook(setup):
    """A hangs with all of its sessions; the hook kills it before B gets the traffic."""
    fence = script(setup, "sleep 1; kill -KILL $(cat \"$1\"); echo \"$STANDFAST_EVENT $STANDFAST_SERVICE $STANDFAST_FROM $STANDFAST_TO $(date +%s.%N)\" > \"$2\"\n")
    pids, told = setup.folder / "pids", setup.folder / "told"
    keys = f"    failover: {{fence: {{exec: ['{fence}', '{pids}', '{told}']}}}}\n    hold_requests: 8s\n    objectives: {{rto: 30s}}\n"
    a, b, proxy, ledger = setup.followed_pair(keys=keys)
    time.sleep(0.5)
    pids.write_text(" ".join(map(str, [a.process.pid, *a.children()])))
    a.signal_all(signal.SIGSTOP)
    b.promote()
    follows(proxy, b)
    until("B acknowledges", lambda: ledger.acks_of(b))
    event, service, former, following, ended = told.read_text().split()
    promise((event, service, former, following) == ("fence", "orders", f"127.0.0.1:{a.port}", f"127.0.0.1:{b.port}"), f"it was told {told.read_text()}")
    first = ledger.acks_of(b)[0][0] + time.time() - time.monotonic()
    promise(first > float(ended), "B acknowledges when A is fenced, and not before")
    outcome, _, took = fence_said(proxy)
    promise(outcome == "fenced" and took >= 1000 and "unfenced" not in proxy.conditions(), f"the incident says so: {outcome}, {took} ms")
    a.process.wait(timeout=5)
    return f"fenced in {took} ms; " + ledger.judge(b, lost_said(proxy, ledger))


@row("fence_hook_hangs", smoke=True)
def fence_hook_hangs(setup):
    """The hook prints 1 MiB and hangs with its children: it is killed with them, and B is followed."""
    fence = script(setup, "head -c 1048576 /dev/zero | tr '\\0' x; (sh \"$0\" child & wait) & sleep 600\n")
    keys = f"    failover: {{fence: {{exec: ['{fence}'], timeout: 2s}}}}\n"
    a, b, proxy, ledger = setup.followed_pair(keys=keys)
    a.kill()
    killed = time.monotonic()
    b.promote()
    follows(proxy, b)
    waited = time.monotonic() - killed
    outcome, detail, took = fence_said(proxy)
    promise(outcome == "failed" and "was killed" in detail and len(detail) < 300 and 2000 <= took < 3000, f"the incident says so: {outcome}, {detail}")
    promise(waited > 2 and "unfenced" in proxy.conditions(), "a condition says so, too")
    until("nothing of it runs", lambda: not is_running(fence), 5)
    until("B acknowledges", lambda: ledger.acks_of(b))
    return f"went on after {took} ms; " + ledger.judge(b, lost_said(proxy, ledger))


@row("fence_hook_fails", smoke=True)
def fence_hook_fails(setup):
    """The hook ends with 1, and the service waits for it: also over a restart of the proxy."""
    agree = setup.folder / "agree"
    fence = script(setup, f"test -e '{agree}' || {{ echo no such switch; exit 1; }}\n")
    keys = f"    failover: {{fence: {{exec: ['{fence}'], timeout: 500ms, on_failure: wait}}}}\n    hold_requests: 1s\n"
    a, b, proxy, ledger = setup.followed_pair(keys=keys)
    a.kill()
    b.promote()
    until("it is told", lambda: "unfenced" in proxy.conditions())
    time.sleep(3)
    promise(proxy.holder() is None and proxy.verdict(b) == "next" and not ledger.acks_of(b), "B is not followed")
    proxy.kill()
    proxy.start()
    time.sleep(3)
    promise(proxy.holder() is None and "unfenced" in proxy.conditions() and not ledger.acks_of(b), "nor after a restart")
    agree.touch()
    follows(proxy, b)
    until("B acknowledges", lambda: ledger.acks_of(b))
    promise(fence_said(proxy)[0] == "fenced" and "unfenced" not in proxy.conditions(), "the hook has agreed")
    # (The proxy was killed: what it had not read from its clients is unknown to them.)
    return ledger.judge(b, 50)


@row("fence_webhook")
def fence_webhook(setup):
    """A webhook says 503, then 204."""
    import http.server
    import json

    bodies, statuses = [], [503, 204]

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(statuses[min(len(bodies), 2) - 1])
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    setup.parts.callback(server.server_close)
    setup.parts.callback(server.shutdown)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hook = f"{{webhook: 'http://127.0.0.1:{server.server_port}/fence', timeout: 500ms, on_failure: wait}}"
    a, b, proxy, ledger = setup.followed_pair(keys=f"    failover: {{fence: {hook}}}\n")
    a.kill()
    b.promote()
    until("it is told", lambda: "unfenced" in proxy.conditions())
    follows(proxy, b)
    until("B acknowledges", lambda: ledger.acks_of(b))
    wanted = {"event": "fence", "service": "orders", "from": f"127.0.0.1:{a.port}", "to": f"127.0.0.1:{b.port}"}
    promise(len(bodies) == 2 and all(wanted.items() <= body.items() for body in bodies), f"it was told {bodies}")
    promise(fence_said(proxy)[0] == "fenced", "it has agreed")
    return ledger.judge(b, lost_said(proxy, ledger))


@row("close_on_two", smoke=True)
def close_on_two(setup):
    """`on_multiple_primaries: close`: no client writes until one is left."""
    a, b, proxy, ledger = setup.followed_pair(keys="    failover: {on_multiple_primaries: close}\n    hold_requests: off\n")
    b.promote()
    until("none has the traffic", lambda: proxy.holder() is None)
    closed = time.monotonic()
    time.sleep(1)
    promise(not ledger.acks_of(a, since=closed + 0.1) and not ledger.acks_of(b), "no client writes")
    b.stop("fast")
    follows(proxy, a)
    until("A acknowledges again", lambda: ledger.acks_of(a, since=closed + 1))
    return ledger.judge(a)


@row("first_start", smoke=True)
def first_start(setup):
    """A primary and its replica; two of timelines 1 and 2; two of equal timelines."""
    a, b = setup.pair()
    proxy = setup.proxy([b, a])
    follows(proxy, a)
    promise(proxy.verdict(b) == "replica" and not proxy.incidents(), "the first choice is no switch")
    proxy.end()
    b.promote()
    os.unlink(setup.folder / "state.json")
    proxy = setup.proxy([a, b])
    follows(proxy, b)
    until("A is stale", lambda: proxy.verdict(a) == "stale")
    proxy.end()
    # A is promoted on its own too: its number is the same, its history is not.
    a.stop("fast")
    a.start_as_standby()
    a.promote()
    os.unlink(setup.folder / "state.json")
    proxy = setup.proxy([a, b])
    until("it is told", lambda: {"multiple_primaries", "no_primary"} <= proxy.conditions())
    promise(proxy.holder() is None, "none is followed")
    code, said = proxy.act("accept", "orders", f"127.0.0.1:{b.port}")
    promise(code == 0, f"accept: {said}")
    follows(proxy, b, 5)
    return "three starts"


@row("full_table", smoke=True)
def full_table(setup):
    """A's connections are used up, its password is wrong, its database is gone: nothing is cut or moved."""
    a, b = setup.pair()
    a.ask("CREATE ROLE probe LOGIN")
    proxy = setup.proxy([a, b], check="postgres: {user: probe, database: postgres, role: primary}")
    follows(proxy, a)
    ledger = setup.ledger(proxy)
    a.ask("ALTER ROLE probe CONNECTION LIMIT 0")
    until("the probe has no room", lambda: (proxy.endpoint(a).get("check") or {}).get("class") == "busy")
    time.sleep(2)
    a.ask("ALTER ROLE probe CONNECTION LIMIT -1 NOLOGIN")
    until("the probe is blind", lambda: (proxy.endpoint(a).get("check") or {}).get("class") == "blind")
    time.sleep(2)
    promise(proxy.holder() == a.port and "check_blind" in proxy.conditions(), "A keeps the traffic, loudly")
    a.ask("ALTER ROLE probe LOGIN")
    until("it sees again", lambda: proxy.endpoint(a).get("check") is None)
    promise(not ledger.cut, f"a session was cut: {ledger.cut[:2]}")
    return ledger.judge(a)


@row("release_of_the_held", smoke=True)
def release_of_the_held(setup):
    """Many clients wait for a promotion; some give up; the others are let through, few at once."""
    # (`release` bounds how many connect at once, and not how many are connected.)
    a, b = setup.pair(settings=("max_connections=300",))
    proxy = setup.proxy([a, b], keys="    hold_requests: 10s\n    limits: {release: 8, max_pending: 2000}\n    objectives: {rto: 30s}\n")
    follows(proxy, a)
    a.kill()
    until("A is gone", lambda: proxy.holder() is None)
    outcomes, lock = [], threading.Lock()

    def client():
        outcome = held_connect(proxy)
        with lock:
            outcomes.append(outcome)

    clients = [threading.Thread(target=client, daemon=True) for _ in range(200)]
    gone = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(50)]
    for thread in clients:
        thread.start()
    time.sleep(1.5)
    for connection in gone:
        connection.close()
    b.promote()
    follows(proxy, b)
    for thread in clients:
        thread.join(timeout=20)
    wrong = [outcome for outcome in outcomes if outcome[1]]
    promise(len(outcomes) == 200 and not wrong, f"{len(outcomes)} ended, {len(wrong)} refused: {wrong[:2]}")
    return f"200 held, the longest {max(spent for spent, _ in outcomes):.1f} s"


@row("redis_promote", smoke=True)
def redis_promote(setup):
    """The replica of a Redis that has died is promoted; the dead one comes back empty."""
    a = setup.redis("a")
    b = setup.redis("b", replica_of=a)
    until("it replicates", lambda: "master_link_status:up" in b.ask("INFO", "replication"))
    proxy = setup.proxy([a, b], check="redis: {role: primary}")
    follows(proxy, a)
    a.ask("SET", "order", "1")
    until("the replica has it", lambda: b.ask("GET", "order") == "1")
    a.end()
    until("A is gone", lambda: proxy.holder() is None)
    b.ask("REPLICAOF", "NO", "ONE")
    until("B is followed", lambda: proxy.holder() == b.port)
    done = subprocess.run(["redis-cli", "-p", str(proxy.port), "GET", "order"], capture_output=True, text=True, check=False)
    promise(done.stdout.strip() == "1", f"what was written is there: {done.stdout.strip()!r} {done.stderr.strip()}, B has {b.ask('GET', 'order')!r}")
    a.start()
    until("A is foreign", lambda: proxy.verdict(a) == "foreign")
    promise(proxy.holder() == b.port, "B keeps the traffic")
    return f"lost {last_follow(proxy)['following'].get('lost_bytes')} bytes"

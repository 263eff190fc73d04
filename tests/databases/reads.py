"""Rows of reads at replicas: `role: replica`."""

import subprocess
import threading
import time

from parts import promise, until
from rows import held_connect, row

LAG = "postgres: {user: postgres, role: replica, max_lag: 2s}"
FALLBACK = "    failover: {fallback: primary}\n"


class Session:
    """A client connection through the proxy that stays open."""

    def __init__(self, proxy):
        import psycopg2

        self.connection = psycopg2.connect(host="127.0.0.1", port=proxy.port, user="postgres", dbname="postgres", connect_timeout=10)
        self.connection.autocommit = True
        self.server = self.ask("SELECT inet_server_port()")

    def ask(self, question):
        with self.connection.cursor() as cursor:
            cursor.execute(question)
            return cursor.fetchone()[0]

    def close(self):
        self.connection.close()


class Writer:
    """Writes at a server, past the proxy, until it is ended."""

    def __init__(self, server):
        self.server, self.ended = server, threading.Event()
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self):
        import psycopg2

        connection = psycopg2.connect(host="127.0.0.1", port=self.server.port, user="postgres", dbname="postgres")
        connection.autocommit = True
        sequence = 0
        while not self.ended.wait(0.01):
            sequence += 1
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO ledger VALUES (99, %s)", (sequence,))
        connection.close()

    def end(self):
        self.ended.set()
        self.thread.join(timeout=10)


def verdict(proxy, server):
    return (proxy.endpoint(server).get("replica") or {}).get("verdict")


def lag(proxy, server):
    return (proxy.endpoint(server).get("replica") or {}).get("lag")


def servers_of(proxy, count=16):
    """Where new connections go."""
    found = set()
    for _ in range(count):
        session = Session(proxy)
        found.add(session.server)
        session.close()
    return found


def session_at(proxy, server):
    """An open session at this server, which is one of those that get connections."""
    for _ in range(200):
        session = Session(proxy)
        if session.server == server.port:
            return session
        session.close()
    promise(False, f"no connection came to {server.name}")


@row("reads_at_fresh_replicas", smoke=True)
def reads_at_fresh_replicas(setup):
    """Of two replicas one stops to apply what it receives; then the primary is idle."""
    a, b = setup.pair()
    c = setup.postgres("c", standby_of=a)
    proxy = setup.proxy([a, b, c], check=LAG, one_pool=True)
    until("both are fresh", lambda: verdict(proxy, b) == verdict(proxy, c) == "replica")
    writer = Writer(a)
    setup.parts.callback(writer.end)
    time.sleep(1)
    promise(servers_of(proxy) == {b.port, c.port}, "connections go to both replicas, and not to the primary")
    promise(verdict(proxy, a) == "primary" and not proxy.conditions(), "a primary is not down, and nothing is to be told")
    session = session_at(proxy, b)
    b.ask("SELECT pg_wal_replay_pause()")
    paused = time.monotonic()
    until("B is stale", lambda: verdict(proxy, b) == "stale", 10)
    spent = time.monotonic() - paused
    # (2 s, and the time between two probes at most.)
    promise(1.5 < spent < 3.5, f"after {spent:.1f} s")
    shown = proxy.endpoint(b)["replica"]
    promise(shown["text"].startswith("stale replica: ") and shown["lag"]["bytes"] > 0, f"it is said: {shown}")
    promise(servers_of(proxy) == {c.port}, "nothing new goes to B")
    promise(session.ask("SELECT 1") == 1, "its session goes on")
    promise(not proxy.conditions() and not proxy.incidents(), "one that lags alerts nobody")
    b.ask("SELECT pg_wal_replay_resume()")
    until("B is fresh again", lambda: verdict(proxy, b) == "replica")
    promise(servers_of(proxy) == {b.port, c.port}, "both again")
    writer.end()
    time.sleep(5)
    for _ in range(20):
        found = lag(proxy, b), lag(proxy, c)
        promise(found == ({"bytes": 0, "ms": 0}, {"bytes": 0, "ms": 0}), f"an idle primary makes no lag: {found}")
        time.sleep(0.1)
    promise(session.ask("SELECT inet_server_port()") == b.port, "the session was never cut")
    session.close()
    return f"stale after {spent:.1f} s"


@row("reads_all_stale", smoke=True)
def reads_all_stale(setup):
    """The only replica falls behind: the primary serves reads, or they are refused."""
    a, b = setup.pair()
    falls_back = setup.proxy([a, b], check=LAG, keys=FALLBACK)
    refuses = setup.proxy([a, b], check=LAG, one_pool=True, name="refuses")
    for proxy in (falls_back, refuses):
        until("B is fresh", lambda: verdict(proxy, b) == "replica")
        promise(servers_of(proxy, 4) == {b.port}, "reads go to B")
    writer = Writer(a)
    setup.parts.callback(writer.end)
    sessions = [session_at(proxy, b) for proxy in (falls_back, refuses)]
    b.ask("SELECT pg_wal_replay_pause()")
    until("the primary serves", lambda: verdict(falls_back, a) == "fallback", 10)
    promise(servers_of(falls_back, 4) == {a.port}, "reads go to A")
    until("B is stale", lambda: verdict(refuses, b) == "stale", 10)
    spent, answer = held_connect(refuses)
    promise(answer and "no replica is available" in answer and spent < 2, f"in the words of PostgreSQL: {answer}")
    promise("no_fresh_replica" in falls_back.conditions() and "all_down" not in falls_back.conditions(), "it is told")
    promise({"no_fresh_replica", "all_down"} <= refuses.conditions(), "it is told louder")
    time.sleep(1)
    promise(all(session.ask("SELECT 1") == 1 for session in sessions), "sessions at B go on")
    b.ask("SELECT pg_wal_replay_resume()")
    for proxy in (falls_back, refuses):
        until("B is fresh again", lambda: verdict(proxy, b) == "replica")
        until("reads go to B", lambda: servers_of(proxy, 4) == {b.port})
        promise("no_fresh_replica" not in proxy.conditions(), "and it is over")
    for session in sessions:
        session.close()
    return "fallback and refusal"


@row("reads_replica_promoted", smoke=True)
def reads_replica_promoted(setup):
    """The primary dies, its replica is promoted, and the dead one comes back writable."""
    a, b = setup.pair()
    falls_back = setup.proxy([a, b], check=LAG, keys=FALLBACK, one_pool=True)
    refuses = setup.proxy([a, b], check=LAG, one_pool=True, name="refuses")
    for proxy in (falls_back, refuses):
        until("B is fresh", lambda: verdict(proxy, b) == "replica")
    sessions = [session_at(proxy, b) for proxy in (falls_back, refuses)]
    a.kill()
    time.sleep(4)
    promise(servers_of(falls_back, 4) == {b.port}, "B has all that was seen of A")
    b.promote()
    until("B is the primary", lambda: verdict(falls_back, b) == "fallback" and verdict(refuses, b) == "primary")
    promise(servers_of(falls_back, 4) == {b.port}, "the primary serves reads")
    _, answer = held_connect(refuses)
    promise(answer and "no replica is available" in answer, f"refused: {answer}")
    a.start()
    until("A says that it is primary", lambda: verdict(falls_back, a) == "primary")
    time.sleep(1)
    promise(servers_of(falls_back) == {b.port}, "A gets nothing")
    promise(all(session.ask("SELECT 1") == 1 for session in sessions), "reads at a primary are right reads: no session is cut")
    for session in sessions:
        session.close()
    return "no session was cut"


@row("reads_no_replica", smoke=True)
def reads_no_replica(setup):
    """The only replica is stopped and started again: the primary serves reads meanwhile, or none does."""
    a, b = setup.pair()
    falls_back = setup.proxy([a, b], check=LAG, keys=FALLBACK, one_pool=True)
    refuses = setup.proxy([a, b], check=LAG, one_pool=True, name="refuses")
    for proxy in (falls_back, refuses):
        until("B is fresh", lambda: verdict(proxy, b) == "replica")
    b.stop()
    until("the primary serves", lambda: verdict(falls_back, a) == "fallback")
    promise(servers_of(falls_back, 4) == {a.port}, "reads go to A")
    until("it is refused", lambda: (held_connect(refuses)[1] or "").find("no replica is available") >= 0)
    b.start()
    for proxy in (falls_back, refuses):
        until("reads go to B", lambda: verdict(proxy, b) == "replica" and held_connect(proxy)[1] is None)
        until("only to B", lambda: servers_of(proxy, 4) == {b.port})
    return "fallback and refusal"


@row("reads_redis", smoke=True)
def reads_redis(setup):
    """The replica of a Redis is read at, falls behind, and is promoted."""
    a = setup.redis("a")
    b = setup.redis("b", replica_of=a)
    until("it replicates", lambda: "master_link_status:up" in b.ask("INFO", "replication"))
    proxy = setup.proxy([a, b], check="redis: {role: replica, max_lag: 1KiB}", keys=FALLBACK, one_pool=True)
    until("B is fresh", lambda: verdict(proxy, b) == "replica")

    def role():
        done = subprocess.run(["redis-cli", "-p", str(proxy.port), "ROLE"], capture_output=True, text=True, check=False)
        return done.stdout.split()[0]

    promise(role() == "slave", "reads go to B")
    # It loses its master without noticing: it goes on with what it has.
    b.ask("REPLICAOF", "127.0.0.1", "1")
    a.ask("SET", "big", "x" * 4096)
    until("B is stale", lambda: verdict(proxy, b) == "stale")
    promise(role() == "master" and "no_fresh_replica" in proxy.conditions(), "reads go to A")
    b.ask("REPLICAOF", "127.0.0.1", str(a.port))
    until("B is fresh again", lambda: verdict(proxy, b) == "replica")
    until("reads go to B", lambda: role() == "slave")
    b.ask("REPLICAOF", "NO", "ONE")
    until("B says that it is primary", lambda: verdict(proxy, b) == "primary")
    promise(verdict(proxy, a) == "fallback", "A is the primary that was seen")
    return "by bytes"


@row("cancel_request", smoke=True)
def cancel_request(setup):
    """A client cancels its query: that is a connection of its own, which names a session by a key that one server knows."""
    import psycopg2

    a, b = setup.pair()
    c = setup.postgres("c", standby_of=a)
    proxy = setup.proxy([a, b, c], check=LAG, one_pool=True)
    until("both are fresh", lambda: verdict(proxy, b) == verdict(proxy, c) == "replica")
    sessions = [session_at(proxy, server) for server in (b, c, b, c)]
    longest = 0
    for session in sessions:
        ended = []

        def sleep(session=session, ended=ended):
            try:
                ended.append(session.ask("SELECT pg_sleep(20)"))
            except psycopg2.Error as error:
                ended.append(error)

        thread = threading.Thread(target=sleep, daemon=True)
        thread.start()
        server = b if session.server == b.port else c
        until("it sleeps", lambda: server.ask("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'") == "1")
        began = time.monotonic()
        session.connection.cancel()
        thread.join(timeout=5)
        longest = max(longest, time.monotonic() - began)
        promise(ended and isinstance(ended[0], psycopg2.errors.QueryCanceled), f"the query is cancelled: {ended}")
        promise(session.ask("SELECT 1") == 1, "and its session goes on")
    for session in sessions:
        session.close()
    promise(proxy.endpoint(b)["standing"]["operational"] == proxy.endpoint(c)["standing"]["operational"] == "healthy", "no evidence")
    until("no session is left", lambda: proxy.endpoint(b)["in_flight"] == proxy.endpoint(c)["in_flight"] == 0)
    return f"within {longest:.2f} s, {len(sessions)} of {len(sessions)}"

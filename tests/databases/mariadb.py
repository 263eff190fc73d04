"""Rows with MariaDB: a GTID pair, and a cluster of Galera. They need Debian's `mariadb-server`, `galera-4` and `python3-pymysql`, and are left
out, saying so, where these are missing."""

import os
import signal
import subprocess
import threading
import time

from clusters import clusters
from parts import PATIENCE, as_user, free_port, promise, until
from rows import follows, last_follow

GALERA = "/usr/lib/galera/libgalera_smm.so"


def programs_are_there():
    try:
        import pymysql  # noqa: F401
    except ImportError:
        return False
    return True


class Mariadb:
    """A server; `replica_of`: another one, which it follows by GTID; `cluster`: the addresses of the members that it joins, none for the first."""

    def __init__(self, folder, name, number, replica_of=None, cluster=None):
        self.name, self.number, self.port, self.folder = name, number, free_port(), folder / name
        self.run_as, self.log = as_user("mysql"), folder / f"{name}.log"
        self.folder.mkdir(mode=0o755)
        if self.run_as:
            os.chown(self.folder, self.run_as["user"], self.run_as["group"])
        self.data, self.socket = self.folder / "data", self.folder / "socket"
        self.galera = None if cluster is None else free_port()
        done = subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={self.data}", "--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-flush-log-at-trx-commit=0"],
            capture_output=True, text=True, cwd="/", check=False, **self.run_as,
        )
        promise(done.returncode == 0, f"mariadb-install-db: {done.stderr[-500:]}")
        self.start(cluster=cluster)
        if cluster is None or not cluster:
            for user in ("root@'127.0.0.1'", "app@'127.0.0.1'", "standfast@'127.0.0.1'"):
                self.ask(f"CREATE USER IF NOT EXISTS {user}")
            self.ask("GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION")
            self.ask("CREATE DATABASE IF NOT EXISTS shop")
            # (No right that lets it write into a server that is read_only.)
            self.ask("GRANT SELECT, INSERT, UPDATE, DELETE ON shop.* TO app@'127.0.0.1'")
            self.ask("GRANT SLAVE MONITOR ON *.* TO standfast@'127.0.0.1'")
        if replica_of:
            self.ask("RESET MASTER")
            self.follow(replica_of)

    def start(self, cluster=None, bootstrap=False):
        command = [
            "mariadbd", "--no-defaults", f"--datadir={self.data}", f"--socket={self.socket}", f"--port={self.port}", "--bind-address=127.0.0.1",
            f"--server-id={self.number}", "--log-bin=log", "--log-slave-updates", "--binlog-format=ROW", "--skip-name-resolve",
            "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", "--innodb-flush-log-at-trx-commit=0", f"--pid-file={self.folder}/pid",
            "--max-connections=60", "--slave-net-timeout=4", "--innodb-doublewrite=0",
        ]
        if self.galera:
            members = ",".join(cluster or [])
            command += [
                "--wsrep-on=ON", f"--wsrep-provider={GALERA}", f"--wsrep-cluster-address=gcomm://{members}", "--wsrep-cluster-name=shop",
                f"--wsrep-node-address=127.0.0.1:{self.galera}", f"--wsrep-node-name={self.name}", "--wsrep-sst-method=rsync",
                f"--wsrep-sst-receive-address=127.0.0.1:{free_port()}", "--innodb-autoinc-lock-mode=2",
                f"--wsrep-provider-options=base_port={self.galera};gmcast.listen_addr=tcp://127.0.0.1:{self.galera};ist.recv_addr=127.0.0.1:{free_port()};"
                "evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S",
            ]
            if bootstrap or not cluster:
                command.append("--wsrep-new-cluster")
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", start_new_session=True, **self.run_as)
        until(f"{self.name} answers", lambda: self.process.poll() is not None or self.ask("SELECT 1") == "1", 60)
        promise(self.process.poll() is None, f"{self.name} has ended")

    def ask(self, statement, *more):
        command = ["mariadb", "--no-defaults", f"--socket={self.socket}", "-uroot", *(more or ("-N", "-B")), "-e", statement]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        if done.returncode != 0:
            raise OSError(done.stderr.strip())
        return done.stdout.strip()

    def follow(self, other):
        self.ask(f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={other.port}, MASTER_USER='root', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1")
        self.ask("SET GLOBAL read_only=1")
        self.ask("START SLAVE")

    def replicates(self):
        status = self.ask("SHOW SLAVE STATUS", "--vertical")
        return "Slave_SQL_Running: Yes" in status and "Slave_IO_Running: Yes" in status

    def promote(self):
        self.ask("STOP SLAVE")
        self.ask("RESET SLAVE ALL")
        self.ask("SET GLOBAL read_only=0")

    def status(self, name):
        return self.ask(f"SHOW GLOBAL STATUS LIKE '{name}'").partition("\t")[2]

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self):
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGCONT)
            self.kill()


class MysqlLedger:
    """Clients that write rows, and remember what was acknowledged, by which server and when."""

    def __init__(self, proxy, workers=4):
        self.proxy, self.acked, self.unknown, self.failed, self.refused, self.cut = proxy, [], [], [], [], []
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(workers)]

    @staticmethod
    def prepare(server):
        server.ask("CREATE TABLE shop.ledger (worker INT, sequence INT, PRIMARY KEY (worker, sequence)) ENGINE=InnoDB")

    def start(self):
        for thread in self.threads:
            thread.start()
        until("a row is acknowledged", lambda: self.acked)
        return self

    def _work(self, worker):
        import pymysql

        sequence, connection, server = 0, None, None
        while not self.ended.is_set():
            sequence += 1
            sent = False
            try:
                if connection is None:
                    connection = pymysql.connect(host="127.0.0.1", port=self.proxy.port, user="app", connect_timeout=10, autocommit=False)
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT @@port")
                        server = cursor.fetchone()[0]
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO shop.ledger VALUES (%s, %s)", (worker, sequence))
                    sent = True
                    connection.commit()
                with self.lock:
                    self.acked.append((time.monotonic(), server, worker, sequence))
            except (pymysql.Error, OSError) as error:
                with self.lock:
                    if connection is None:
                        self.refused.append(str(error))
                    else:
                        (self.unknown if sent else self.failed).append((worker, sequence))
                        self.cut.append((time.monotonic(), server, str(error)))
                if connection is not None:
                    try:
                        connection.close()
                    except (pymysql.Error, OSError):
                        pass
                connection = None
                time.sleep(0.02)
            time.sleep(0.005)

    def acks_of(self, server, since=0.0):
        with self.lock:
            return [ack for ack in self.acked if ack[1] == server.port and ack[0] > since]

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(timeout=15)

    def judge(self, winner, may_lose=0):
        self.end()
        there = set(winner.ask("SELECT CONCAT(worker, ':', sequence) FROM shop.ledger").split())
        lost = [ack for ack in self.acked if f"{ack[2]}:{ack[3]}" not in there]
        promise(len(lost) <= may_lose, f"{len(lost)} acknowledged rows are lost, of {len(self.acked)}: {lost[:3]}")
        turns = []
        for at, server, *_ in sorted(self.acked):
            if not turns or turns[-1][1] != server and at - turns[-1][0] > 0.01:
                turns.append([at, server])
            elif turns[-1][1] == server:
                turns[-1][0] = at
        promise(len(turns) == len({server for _, server in turns}), f"the acknowledgements of two writers overlap: {turns[:6]}")
        return f"{len(self.acked)} acknowledged, {len(self.unknown)} unknown, {len(self.failed)} failed, {len(lost)} lost"


CHECK = "mysql: {user: standfast, role: primary}"


def pair(setup):
    a = setup._keep(Mariadb(setup.folder, "a", 1))
    MysqlLedger.prepare(a)
    b = setup._keep(Mariadb(setup.folder, "b", 2, replica_of=a))
    until("it replicates", b.replicates)
    until("B has all of A", lambda: "ledger" in b.ask("SHOW TABLES FROM shop"))
    return a, b


def ledger(setup, proxy):
    made = MysqlLedger(proxy)
    setup.parts.callback(made.end)
    return made.start()


def mariadb(name, smoke=False, galera=False):
    """A row of this file."""

    def add(function):
        needed = ["mariadbd", "mariadb-install-db", *(["rsync"] if galera else [])]
        run = clusters(name, *needed, smoke=smoke)

        def guarded(setup):
            if not programs_are_there():
                return "SKIPPED: python3-pymysql is not installed"
            if galera and not os.path.exists(GALERA):
                return "SKIPPED: galera-4 is not installed"
            return function(setup)

        guarded.__doc__ = function.__doc__
        return run(guarded)

    return add


@mariadb("mariadb_kill_then_promote", smoke=True)
def mariadb_kill_then_promote(setup):
    """A is killed, B is made writable by hand, A comes back writable, and then B fails too."""
    a, b = pair(setup)
    proxy = setup.proxy([a, b], check=CHECK)
    follows(proxy, a)
    writes = ledger(setup, proxy)
    time.sleep(1)
    a.kill()
    time.sleep(1)
    b.promote()
    follows(proxy, b)
    until("B acknowledges", lambda: writes.acks_of(b))
    record = last_follow(proxy)["following"]
    a.start()
    back = time.monotonic()
    until("A gets nothing", lambda: proxy.verdict(a) in ("stale", "diverged"))
    time.sleep(0.5)
    promise(not writes.acks_of(a, since=back), "A has acknowledged something after it was back")
    told = writes.judge(b, record.get("lost_transactions", 0) + (50 if record.get("age_ms") else 0))
    promise(proxy.holder() == b.port and "stale_primary" in proxy.conditions(), "B keeps the traffic, and it is told")
    b.kill()
    until("B is gone", lambda: proxy.holder() is None)
    time.sleep(1)
    promise(proxy.holder() is None, "A is not followed, though it is the only one")
    code, said = proxy.act("accept", "orders", f"127.0.0.1:{a.port}")
    promise(code == 0, f"accept: {said}")
    follows(proxy, a, 5)
    return f"lost {record.get('lost_transactions')} transactions, sample {record.get('age_ms')} ms old; {told}"


@mariadb("mariadb_roles_in_place", smoke=True)
def mariadb_roles_in_place(setup):
    """Two take writes for a while; then the roles are swapped by hand, in the right order: A read-only, B writable when it has all."""
    a, b = pair(setup)
    proxy = setup.proxy([a, b], check=CHECK)
    follows(proxy, a)
    writes = ledger(setup, proxy)
    b.ask("STOP SLAVE")
    b.ask("SET GLOBAL read_only=0")
    until("it is told", lambda: "multiple_primaries" in proxy.conditions() or proxy.verdict(b) == "stale")
    time.sleep(1)
    promise(proxy.holder() == a.port and not writes.cut and not writes.acks_of(b), "A keeps the traffic, nothing is cut, nothing goes to B")
    b.ask("SET GLOBAL read_only=1")
    b.ask("START SLAVE")
    until("it replicates", b.replicates)
    demoted = time.monotonic()
    a.ask("SET GLOBAL read_only=1")
    until("A has no traffic", lambda: proxy.holder() is None)
    spent = time.monotonic() - demoted
    until("B has all", lambda: b.ask("SELECT @@gtid_slave_pos") == a.ask("SELECT @@gtid_binlog_pos"))
    b.promote()
    follows(proxy, b)
    until("B acknowledges", lambda: writes.acks_of(b))
    a.follow(b)
    until("A is a replica", lambda: proxy.verdict(a) == "replica")
    record = last_follow(proxy)["following"]
    promise(record.get("lost_transactions") == 0, f"nothing is lost: {record}")
    return f"a statement counts after {spent * 1000:.0f} ms; " + writes.judge(b)


@mariadb("mariadb_full_table")
def mariadb_full_table(setup):
    """A's connections are used up and its password is wrong: nothing is cut or moved."""
    import pymysql

    a, b = pair(setup)
    proxy = setup.proxy([a, b], check=CHECK)
    follows(proxy, a)
    writes = ledger(setup, proxy)
    held = []
    try:
        while len(held) < 70:
            held.append(pymysql.connect(host="127.0.0.1", port=a.port, user="app"))
    except pymysql.Error:
        pass
    until("the probe has no room", lambda: (proxy.endpoint(a).get("check") or {}).get("class") == "busy")
    time.sleep(1.5)
    promise(proxy.holder() == a.port and not writes.cut, f"nothing is cut: {writes.cut[:2]}")
    for connection in held:
        connection.close()
    until("it sees again", lambda: proxy.endpoint(a).get("check") is None)
    a.ask("ALTER USER standfast@'127.0.0.1' IDENTIFIED BY 'another'")
    until("the probe is blind", lambda: (proxy.endpoint(a).get("check") or {}).get("class") == "blind")
    time.sleep(1.5)
    promise(proxy.holder() == a.port and not writes.cut and "check_blind" in proxy.conditions(), "A keeps the traffic, loudly")
    return writes.judge(a)


@mariadb("galera_single_writer", galera=True)
def galera_single_writer(setup):
    """Of three members that all take writes one is the writer. It is killed, it comes back, and the majority is lost."""
    first = setup._keep(Mariadb(setup.folder, "a", 1, cluster=[]))
    MysqlLedger.prepare(first)
    members = [first]
    for number, name in ((2, "b"), (3, "c")):
        members.append(setup._keep(Mariadb(setup.folder, name, number, cluster=[f"127.0.0.1:{member.galera}" for member in members])))
        until(f"{name} is synced", lambda: members[-1].status("wsrep_local_state_comment") == "Synced", 60)
    a, b, c = members
    proxy = setup.proxy(members, check=CHECK, one_pool=True)
    follows(proxy, a)
    promise({proxy.verdict(b), proxy.verdict(c)} == {"peer"} and "multiple_primaries" not in proxy.conditions(), "the others are peers")
    writes = ledger(setup, proxy)
    time.sleep(1)
    a.kill()
    follows(proxy, b)
    until("B acknowledges", lambda: writes.acks_of(b))
    deadlocks = sum(int(member.status("wsrep_local_bf_aborts") or 0) + int(member.status("wsrep_local_cert_failures") or 0) for member in (b, c))
    promise(deadlocks == 0, f"{deadlocks} conflicts of writers")
    told = writes.judge(b)
    a.start(cluster=[f"127.0.0.1:{member.galera}" for member in (b, c)])
    until("A is synced", lambda: a.status("wsrep_local_state_comment") == "Synced", 60)
    until("A is a peer", lambda: proxy.verdict(a) == "peer")
    promise(proxy.holder() == b.port, "nothing moves back")
    # The majority dies: what is left answers, and does not serve.
    a.kill()
    c.kill()
    until("no member serves", lambda: proxy.holder() is None, 30)
    return told


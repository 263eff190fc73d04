"""The parts of a row: servers, the proxy, and clients with a ledger."""

import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request

PATIENCE = 20


class Failure(Exception):
    """What a row promises did not happen."""


def promise(holds, text):
    if not holds:
        raise Failure(text)


def until(what, ask, patience=PATIENCE):
    """Asks until the answer is not false, and returns it."""
    end = time.monotonic() + patience
    while True:
        try:
            answer = ask()
        except (OSError, subprocess.CalledProcessError):
            answer = None
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failure(f"waited in vain: {what}")
        time.sleep(0.02)


def postgres_programs():
    folders = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    return folders[-1].parent if folders else None


def missing():
    """The first part that is not installed."""
    try:
        import psycopg2  # noqa: F401
    except ImportError:
        return "python3-psycopg2"
    if postgres_programs() is None:
        return "postgresql"
    return None if shutil.which("redis-server") else "redis-server"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def as_user(name):
    """How a program is run as the user of its package, where this is root."""
    if os.geteuid() != 0:
        return {}
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return {}
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


class Postgres:
    """A server; `standby_of`: another one, whose data it begins with and which it follows."""

    def __init__(self, folder, name, standby_of=None, settings=()):
        self.programs, self.name, self.port = postgres_programs(), name, free_port()
        self.run_as = as_user("postgres")
        self.data, self.log = folder / name, folder / f"{name}.log"
        self.sockets = folder / f"{name}-sockets"
        self.folder = folder
        for path in (self.data, self.sockets):
            path.mkdir(mode=0o700)
            if self.run_as:
                os.chown(path, self.run_as["user"], self.run_as["group"])
        if standby_of is None:
            self._call("initdb", "-D", self.data, "-N", "-E", "UTF8", "--locale=C", "-A", "trust", "-U", "postgres")
            (self.data / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n")
        else:
            self._call("pg_basebackup", "-h", "127.0.0.1", "-p", standby_of.port, "-U", "postgres", "-D", self.data, "-R", "-X", "stream", "-c", "fast", "--no-sync")
        lines = [
            "listen_addresses='127.0.0.1'", "fsync=off", "shared_buffers=16MB", "max_connections=60", "wal_keep_size=256MB", "wal_log_hints=on",
            "wal_receiver_status_interval=1s", "wal_retrieve_retry_interval=100ms", "wal_receiver_timeout=2s", "wal_sender_timeout=2s",
            f"port={self.port}", f"unix_socket_directories='{self.sockets}'", *settings,
        ]
        # (A server reads the last line of a key.)
        with open(self.data / "postgresql.conf", "a") as configuration:
            configuration.write("\n" + "\n".join(lines) + "\n")
        self.start()

    def _call(self, program, *arguments, check=True):
        command = [str(self.programs / program), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, **self.run_as)
        if check and done.returncode != 0:
            raise Failure(f"{program} of {self.name}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def start(self):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen([str(self.programs / "postgres"), "-D", str(self.data)], stdout=log, stderr=log, cwd="/", start_new_session=True, **self.run_as)
        until(f"{self.name} answers", lambda: self.ask("SELECT 1") == "1")

    def ask(self, question, database="postgres"):
        command = [str(self.programs / "psql"), "-XAtq", "-h", str(self.sockets), "-p", str(self.port), "-U", "postgres", "-d", database, "-c", question]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd="/")
        if done.returncode != 0:
            raise OSError(done.stderr.strip())
        return done.stdout.strip()

    def children(self):
        pid = self.process.pid
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def signal_all(self, number):
        for pid in [self.process.pid, *self.children()]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def kill(self):
        """As a crash: the postmaster and all of its processes."""
        children = self.children()
        os.kill(self.process.pid, signal.SIGKILL)
        for pid in children:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()

    def stop(self, mode="fast"):
        os.kill(self.process.pid, {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
        self.process.wait(timeout=PATIENCE)

    def promote(self):
        promise(self.ask("SELECT pg_promote(true, 10)") == "t", f"{self.name} is promoted")

    def start_as_standby(self, of=None):
        """Starts as a replica, of this server or of none."""
        (self.data / "standby.signal").touch()
        follows = f"host=127.0.0.1 port={of.port} user=postgres" if of else ""
        with open(self.data / "postgresql.auto.conf", "a") as configuration:
            configuration.write(f"\nprimary_conninfo = '{follows}'\n")
        self.start()

    def end(self):
        if self.process.poll() is None:
            self.signal_all(signal.SIGCONT)
            self.kill()


class Redis:
    """A server; `replica_of`: another one."""

    def __init__(self, folder, name, replica_of=None):
        self.name, self.port, self.folder = name, free_port(), folder / name
        self.folder.mkdir()
        run_as = as_user("redis")
        if run_as:
            os.chown(self.folder, run_as["user"], run_as["group"])
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder), "--repl-diskless-sync-delay", "0"]
        if replica_of:
            command += ["--replicaof", "127.0.0.1", str(replica_of.port)]
        self.command, self.run_as, self.log = command, run_as, folder / f"{name}.log"
        self.start()

    def start(self):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, **self.run_as)
        until("Redis answers", lambda: self.ask("PING") == "PONG")

    def ask(self, *words):
        done = subprocess.run(["redis-cli", "-p", str(self.port), *words], capture_output=True, text=True, timeout=PATIENCE, check=False)
        return done.stdout.strip()

    def end(self):
        self.process.kill()
        self.process.wait()


class Proxy:
    """Standfast with one service, `orders`."""

    # (Failures are found quickly: rows are many.)
    RHYTHM = "interval: 200ms, timeout: 1s, fast_interval: 100ms, fall: 3"

    def __init__(self, program, folder, check, endpoints, keys="", one_pool=False, more="", rhythm=RHYTHM, written=None, name="standfast"):
        """`written`: the endpoints as they stand in the file, where that is more than their addresses."""
        self.program, self.folder = program, folder
        self.port, self.admin = free_port(), free_port()
        names = ["a", "b", "c"]
        # (A second proxy of a row has files of its own.)
        self.socket, state = ("admin.sock", "state") if name == "standfast" else (f"{name}.sock", f"{name}-state")
        written = written or [f"'127.0.0.1:{server.port}'" for server in endpoints]
        pools = [f"      - {{name: {pool}, endpoints: [{endpoint}]}}" for pool, endpoint in zip(names, written)]
        if one_pool:
            pools = [f"      - {{name: all, endpoints: [{', '.join(written)}]}}"]
        self.file = folder / f"{name}.yaml"
        self.file.write_text(
            f"admin: {{bind: 127.0.0.1:{self.admin}, socket: {{path: {folder}/{self.socket}}}}}\n"
            f"state: {{path: {folder}/{state}.json}}\n"
            "listeners:\n"
            f"  - {{name: db, bind: 127.0.0.1:{self.port}, protocol: tcp, service: orders}}\n{more}"
            "services:\n  orders:\n    protocol: tcp\n"
            f"    health_check: {{{check}, {rhythm}, jitter: 0%}}\n"
            f"{keys}    pools:\n" + "\n".join(pools) + "\n"
        )
        self.log = folder / f"{name}.log"
        self.start()

    def start(self):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen([str(self.program), "run", str(self.file)], stdout=log, stderr=log)
        until("the proxy answers", lambda: self.process.poll() is not None or self.status())
        promise(self.process.poll() is None, "the proxy has ended")

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=5) as answer:
            return json.load(answer)

    def status(self):
        return self.get("/v1/status")["services"][0]

    def endpoint(self, server):
        wanted = f"127.0.0.1:{server.port}"
        return next(e for pool in self.status()["pools"] for e in pool["endpoints"] if e["address"] == wanted)

    def verdict(self, server):
        return self.endpoint(server).get("following")

    def holder(self):
        """The port of the server that has the traffic; None = none has."""
        status = self.status()
        held = [e for pool in status["pools"] for e in pool["endpoints"] if e.get("following") == "holder"]
        promise(len(held) < 2, f"two holders: {held}")
        return int(held[0]["address"].rsplit(":", 1)[1]) if held else None

    def conditions(self):
        return {condition["kind"] for condition in self.status()["conditions"]}

    def incidents(self):
        return self.get("/v1/incidents")

    def act(self, *arguments):
        command = [str(self.program), *arguments, "--admin", f"unix:{self.folder}/{self.socket}", "-m", "a row of tests/databases"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        return done.returncode, done.stdout + done.stderr

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()
        text = self.log.read_text(errors="replace")
        promise("panicked" not in text, "the proxy has panicked")


class Ledger:
    """Clients that write rows and move money, and remember what was acknowledged, at which server and when."""

    def __init__(self, proxy, workers=6, first=0):
        """`first`: the number of the first worker, where several ledgers write into the same tables."""
        self.proxy = proxy
        self.acked, self.failed, self.unknown, self.refused = [], 0, [], []
        self.lock, self.ended, self.cut = threading.Lock(), threading.Event(), []
        self.threads = [threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(first, first + workers)]

    @staticmethod
    def prepare(server, accounts=20):
        server.ask("CREATE TABLE ledger (worker int, sequence int, PRIMARY KEY (worker, sequence)); CREATE TABLE account (id int PRIMARY KEY, cents int)")
        server.ask(f"INSERT INTO account SELECT id, 1000 FROM generate_series(1, {accounts}) id")

    def start(self):
        for thread in self.threads:
            thread.start()
        until("a row is acknowledged", lambda: self.acked)
        return self

    def _connect(self):
        import psycopg2

        return psycopg2.connect(host="127.0.0.1", port=self.proxy.port, user="postgres", dbname="postgres", connect_timeout=10)

    def _work(self, worker):
        import psycopg2

        sequence, connection = 0, None
        while not self.ended.is_set():
            sequence += 1
            sent, began = False, time.monotonic()
            try:
                if connection is None:
                    server, connection = None, self._connect()
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT inet_server_port()")
                        server = cursor.fetchone()[0]
                    connection.commit()
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO ledger VALUES (%s, %s)", (worker, sequence))
                    one, other = 1 + sequence % 20, 1 + (sequence * 7 + worker) % 20
                    low, high = min(one, other), max(one, other)
                    cursor.execute("UPDATE account SET cents = cents - 1 WHERE id = %s", (low,))
                    cursor.execute("UPDATE account SET cents = cents + 1 WHERE id = %s", (high,))
                    sent = True
                    connection.commit()
                with self.lock:
                    self.acked.append((time.monotonic(), server, worker, sequence))
            except psycopg2.Error as error:
                now = time.monotonic()
                with self.lock:
                    if connection is None:
                        self.refused.append((now - began, str(error).strip()))
                    elif sent:
                        self.unknown.append((worker, sequence))
                    else:
                        self.failed += 1
                    if connection is not None:
                        self.cut.append((now, server, str(error).strip().splitlines()[0] if str(error).strip() else ""))
                if connection is not None:
                    try:
                        connection.close()
                    except psycopg2.Error:
                        pass
                    connection = None
                time.sleep(0.02)
            time.sleep(0.002)
        if connection is not None:
            connection.close()

    def acks_of(self, server, since=0.0):
        with self.lock:
            return [ack for ack in self.acked if ack[1] == server.port and ack[0] > since]

    def refused_by_the_proxy(self):
        """Connections for which it had no primary. (A server that dies while it is logged in to closes without a word.)"""
        return [answer for _, answer in self.refused if "no primary is available" in answer]

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(timeout=15)

    def judge(self, winner, may_lose=0, moves=None):
        """No acknowledged row is lost beyond what the incidents say, none stands there twice, no money is made, and the acknowledgements of
        two holders do not overlap: they change as often as the traffic has moved (`moves`; else once for each further server)."""
        self.end()
        promise(winner.ask("SELECT sum(cents) FROM account") == "20000", "money was made or lost")
        there = set(winner.ask("SELECT worker || ':' || sequence FROM ledger").split())
        lost = [ack for ack in self.acked if f"{ack[2]}:{ack[3]}" not in there]
        promise(len(lost) <= may_lose, f"{len(lost)} acknowledged rows are lost, of {len(self.acked)}: {lost[:3]}")
        turns = []
        for at, server, *_ in sorted(self.acked):
            # (A client notes the time a moment after the answer came.)
            if not turns or turns[-1][1] != server and at - turns[-1][0] > 0.01:
                turns.append([at, server])
            elif turns[-1][1] == server:
                turns[-1][0] = at
        wanted = len({server for _, server in turns}) if moves is None else moves + 1
        promise(len(turns) == wanted, f"the acknowledgements of two holders overlap: {turns[:6]}")
        return f"{len(self.acked)} acknowledged, {len(self.unknown)} unknown, {self.failed} failed, {len(self.refused)} refused, {len(lost)} lost"

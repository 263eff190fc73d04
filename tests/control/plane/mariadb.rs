//! The `mysql` check at a real MariaDB, started as the user of its package where the test is root, and at a server that is none. The
//! first skips and says so where MariaDB is not installed (Debian: `mariadb-server`).

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use standfast::control::EndpointReport;
use standfast::decision::{CheckAnswerClass, DataPosition, DataRole, Operational, TransactionPosition};
use standfast::sys::clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::databases::{Place, Server, answers, at, free_port, is_healthy, is_told_to_be_blind, plane, until};
use super::support::eventually;

/// Planes that the test drops while they probe.
const DROPPED: u64 = 5;

struct Mariadb<'a> {
    place: &'a Place,
    name: &'static str,
    id: u16,
    port: u16,
}

impl Mariadb<'_> {
    fn path(&self, end: &str) -> PathBuf {
        self.place.path(&format!("{}{end}", self.name))
    }

    /// Its files are made; `settings` beside those of a server for tests.
    fn install(&self, settings: &str) {
        let data = self.path("");
        self.place.run(
            "mariadb-install-db",
            &[
                "--no-defaults",
                &format!("--datadir={}", data.display()),
                "--skip-test-db",
                "--auth-root-authentication-method=normal",
            ],
        );
        let text = format!(
            "[mariadbd]\ndatadir={0}\nport={1}\nbind-address=127.0.0.1\nsocket={0}.sock\npid-file={0}.pid\nserver-id={2}\n\
             log-bin=bin\nlog-slave-updates=1\ngtid-strict-mode=1\nskip-name-resolve\ninnodb-buffer-pool-size=16M\n\
             innodb-log-file-size=8M\ninnodb-flush-log-at-trx-commit=0\nsync-binlog=0\nperformance-schema=off\nmax-connections=10\n\
             {settings}\n",
            data.display(),
            self.port,
            self.id,
        );
        fs::write(self.path(".cnf"), text).unwrap();
    }

    fn start(&self) -> Server {
        let mut command = self.place.command("mariadbd");
        command.arg(format!("--defaults-file={}", self.path(".cnf").display()));
        let server = Server(command.stderr(Stdio::null()).spawn().unwrap());
        let begun = clock::now();
        while self.try_sql("SELECT 1").is_none() {
            assert!(clock::now().since(begun).as_secs() < 60, "MariaDB does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn sql(&self, statement: &str) -> String {
        self.try_sql(statement).unwrap_or_else(|| panic!("{statement}"))
    }

    fn count(&self, name: &str) -> u64 {
        let counter =
            format!("SELECT variable_value FROM information_schema.global_status WHERE variable_name = '{name}'");
        self.sql(&counter).parse().unwrap()
    }

    fn try_sql(&self, statement: &str) -> Option<String> {
        let mut command = self.place.command("mariadb");
        command.args(["--no-defaults", "-uroot", "-N", "-B", "-S"]).arg(self.path(".sock")).args(["-e", statement]);
        let output = command.stdout(Stdio::piped()).stderr(Stdio::null()).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }
}

fn has_role(role: DataRole, writable: bool) -> impl Fn(&EndpointReport) -> bool {
    move |found| found.state.reading.as_ref().is_some_and(|read| (read.role, read.writable) == (role, Some(writable)))
}

#[tokio::test]
async fn mariadb_is_asked_for_its_role_and_its_refusals_are_told_apart() {
    if !["/usr/sbin/mariadbd", "/usr/bin/mariadb-install-db"].iter().all(|path| fs::exists(path).unwrap_or_default()) {
        return eprintln!("SKIPPED: MariaDB is not installed");
    }
    let place = Place::new("mysql");
    let first = Mariadb { place: &place, name: "first", id: 1, port: free_port() };
    let second = Mariadb { place: &place, name: "second", id: 2, port: free_port() };
    first.install("");
    second.install("read-only=1");
    let running = first.start();
    let _second = second.start();
    // (Its first user is one of both, and a replica gets it from the other one.)
    first.sql(
        "CREATE USER repl@'127.0.0.1' IDENTIFIED BY 'r'; GRANT REPLICATION SLAVE ON *.* TO repl@'127.0.0.1'; \
         CREATE USER probe@'127.0.0.1' IDENTIFIED BY 's3 crét'; GRANT SLAVE MONITOR ON *.* TO probe@'127.0.0.1'; \
         CREATE DATABASE app; CREATE TABLE app.t (n INT)",
    );
    second.sql(&format!(
        "CHANGE MASTER TO master_host='127.0.0.1', master_port={}, master_user='repl', master_password='r', \
         master_use_gtid=slave_pos, master_connect_retry=1; START SLAVE",
        first.port
    ));
    let password = place.path("password");
    fs::write(&password, "s3 crét\n").unwrap();
    let check = format!("mysql: {{user: probe, password_file: {}}}", password.display());
    let plane = plane(&check, &[first.port, second.port]);
    let primary = until(&plane, first.port, "the primary is read", has_role(DataRole::Primary, true)).await;
    let replica = until(&plane, second.port, "the replica is read", has_role(DataRole::Replica, false)).await;
    assert!(is_healthy(&primary) && is_healthy(&replica), "a replica is as healthy as its primary");
    first.sql("INSERT INTO app.t VALUES (1), (2)");
    eventually("both are at the same position of one history", || async {
        let [primary, replica] = [plane.endpoint(at(first.port)).await, plane.endpoint(at(second.port)).await]
            .map(|found| found.state.reading.clone().unwrap());
        let written = first.sql("SELECT @@gtid_binlog_pos");
        let number: u64 = written.rsplit('-').next()?.parse().ok()?;
        let is_there = matches!(&primary.position, Some(DataPosition::Transactions(TransactionPosition { history, count, .. }))
            if history == "domain 0" && *count == number);
        (is_there && primary.position == replica.position).then_some(())
    })
    .await;

    // A password that is wrong says nothing about the server, and is loud.
    fs::write(&password, "another").unwrap();
    until(&plane, first.port, "the check is blind", |found| answers(found, CheckAnswerClass::Blind, "1045")).await;
    assert!(is_healthy(&plane.endpoint(at(first.port)).await) && is_told_to_be_blind(&plane).await);
    fs::write(&password, "s3 crét").unwrap();
    for port in [first.port, second.port] {
        until(&plane, port, "the check sees again", |found| found.state.check.is_none()).await;
    }
    assert!(!is_told_to_be_blind(&plane).await);
    for (more, words) in [
        ("database: nowhere", "1044"),
        ("tls: {insecure_skip_verify: true}", "TLS is asked for, and the server has none"),
        ("auth: caching_sha2", "`auth: native` is not set"),
    ] {
        let other = self::plane(&check.replace('}', &format!(", {more}}}")), &[first.port]);
        until(&other, first.port, more, |found| answers(found, CheckAnswerClass::Blind, words)).await;
        // A login that is given up does not end in the middle, or the whole host would be let in no more. (One of a plane that is dropped
        // may.)
        let (begun, aborted) = (first.count("Connections"), first.count("Aborted_connects_preauth"));
        eventually("thirty more", || async { (first.count("Connections") > begun + 30).then_some(()) }).await;
        assert!(first.count("Aborted_connects_preauth") <= aborted + 1, "{more}");
    }
    first.sql(
        "SET sql_log_bin = 0; INSTALL SONAME 'auth_ed25519'; CREATE USER ed@'127.0.0.1' IDENTIFIED VIA ed25519 USING PASSWORD('s3 crét')",
    );
    let other = self::plane(&check.replace("probe", "ed"), &[first.port]);
    until(&other, first.port, "another way", |found| answers(found, CheckAnswerClass::Blind, "`client_ed25519`")).await;
    drop(other);
    first.sql("GRANT SELECT ON app.* TO probe@'127.0.0.1'");
    let inside = self::plane(&check.replace('}', ", database: app}"), &[first.port]);
    until(&inside, first.port, "its database", has_role(DataRole::Primary, true)).await;
    drop(inside);

    // A user that may not know of replication is let in all the same.
    first.sql("REVOKE SLAVE MONITOR ON *.* FROM probe@'127.0.0.1'");
    eventually("the right is gone on the replica", || async {
        second.sql("SHOW GRANTS FOR probe@'127.0.0.1'").contains("USAGE").then_some(())
    })
    .await;
    until(&plane, second.port, "it is read", |found| found.state.check.is_none()).await;

    // A full table of connections is no death.
    let mut sessions = Vec::new();
    eventually("it is full", || {
        let mut command = place.command("mariadb");
        command.args(["--no-defaults", "-h127.0.0.1", "-uprobe", "-ps3 crét", &format!("-P{}", first.port)]);
        sessions.push(Server(command.args(["-e", "SELECT SLEEP(60)"]).stderr(Stdio::null()).spawn().unwrap()));
        async {
            Some(plane.endpoint(at(first.port)).await).filter(|found| answers(found, CheckAnswerClass::Busy, "1040"))
        }
    })
    .await;
    assert!(is_healthy(&plane.endpoint(at(first.port)).await));
    drop(sessions);
    eventually("its sessions are ended", || async {
        // (One connection more than the limit is for those with rights.)
        let sessions = first.try_sql("SELECT id FROM information_schema.processlist WHERE user = 'probe'")?;
        sessions.lines().for_each(|id| drop(first.try_sql(&format!("KILL {id}"))));
        plane.endpoint(at(first.port)).await.state.check.is_none().then_some(())
    })
    .await;

    // No probe was given up in the middle of its login, or the whole host would be let in no more. (One of each plane that was dropped may
    // have been.)
    let aborted = first.count("Aborted_connects_preauth");
    assert!(aborted <= DROPPED, "{aborted} logins were given up in the middle");

    // What is read-only says so, until it is promoted. One that is gone is unhealthy.
    first.sql("SET GLOBAL read_only = 1");
    until(&plane, first.port, "it is read-only", has_role(DataRole::Replica, false)).await;
    first.sql("SET GLOBAL read_only = 0");
    until(&plane, first.port, "it takes writes again", has_role(DataRole::Primary, true)).await;
    drop(running);
    until(&plane, first.port, "it is gone", |found| found.state.standing.operational == Operational::Unhealthy).await;
    second.sql("STOP SLAVE; SET GLOBAL read_only = 0");
    until(&plane, second.port, "it is promoted", has_role(DataRole::Primary, true)).await;
    let status = serde_json::to_string(&plane.status().await).unwrap();
    assert!(status.contains("mysql 127.0.0.1") && !status.contains("s3 crét"), "{status}");
}

fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_le_bytes()[..3], &[number], payload].concat()
}

/// A server that answers each client with these packets, one for each that it sends, and the first one before.
async fn scripted(packets: Vec<Vec<u8>>) -> (u16, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            for packet in &packets {
                let _ = stream.write_all(packet).await;
                #[allow(clippy::disallowed_methods, reason = "not on the data path")]
                let _ = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut [0; 4096])).await;
            }
        }
    });
    (port, server)
}

/// As MySQL 8 greets.
fn greeting(method: &str) -> Vec<u8> {
    let parts: [&[u8]; 4] = [
        b"\x0a8.0.36\0\x07\0\0\0",
        b"12345678\0\x00\x82\x2d\x02\0\x08\0\x15\0\0\0\0\0\0\0\0\0\0901234567890\0",
        method.as_bytes(),
        b"\0",
    ];
    packet(0, &parts.concat())
}

#[tokio::test]
async fn what_a_server_says_in_a_login_is_told_apart() {
    let sha2 = || greeting("caching_sha2_password");
    for (packets, class, words) in [
        (vec![packet(0, b"\xff\x10\x04Too many connections")], CheckAnswerClass::Busy, "1040 Too many"),
        (vec![packet(0, b"\xff\x69\x04Host '10.0.0.9' is blocked")], CheckAnswerClass::Blind, "1129 Host"),
        (vec![sha2(), packet(2, b"\xff\x1d\x04#08S01Server shutdown")], CheckAnswerClass::NotServing, "1053"),
        (vec![sha2(), packet(2, b"\xff\x57\x0c#HY000insecure")], CheckAnswerClass::Blind, "3159"),
        (
            vec![sha2(), packet(2, b"\x01\x04"), packet(4, b"\xff\x15\x04no")],
            CheckAnswerClass::Blind,
            "server_key_file",
        ),
        (vec![sha2(), packet(2, b"\xfe"), packet(4, b"\xff\x15\x04no")], CheckAnswerClass::Blind, "before MySQL 4.1"),
        (vec![sha2(), packet(2, b"\xfemysql_native_password\0abc")], CheckAnswerClass::Failing, "less than 20 bytes"),
        (
            vec![sha2(), packet(2, b"\xfemysql_clear_password\0"), packet(4, b"\xff\x15\x04no")],
            CheckAnswerClass::Blind,
            "`auth: cleartext`",
        ),
        (
            vec![sha2(), packet(2, b"\0\0\0\x02\0"), packet(1, b"\xfb/etc/passwd")],
            CheckAnswerClass::Failing,
            "does not belong",
        ),
        (
            vec![sha2(), packet(2, b"\0\0\0\x02\0"), packet(1, b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f")],
            CheckAnswerClass::Failing,
            "without",
        ),
        (vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()], CheckAnswerClass::Failing, "more than is taken"),
        (vec![b"\x05\0\0\0SSH-2".to_vec()], CheckAnswerClass::Failing, "no MySQL or MariaDB server"),
        (Vec::new(), CheckAnswerClass::Failing, "closed without an answer"),
    ] {
        let (port, server) = scripted(packets.clone()).await;
        let plane = plane("mysql: {user: probe, password: s3cret}", &[port]);
        let found = until(&plane, port, "it is judged", |found| found.state.check.is_some()).await;
        assert!(answers(&found, class, words), "{packets:?}: {:?}", found.state.check);
        server.abort();
    }
}

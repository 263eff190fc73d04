//! Checks that log in, at real servers: PostgreSQL and Redis, started as the user of their package where the test is root. Each skips and
//! says so where its server is not installed (Debian: `postgresql`, `redis-server`).

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use standfast::control::EndpointReport;
use standfast::decision::{CheckAnswerClass, ConditionKind, DataPosition, DataRole, Lsn, Operational, Reading};
use standfast::sys::clock;

use super::support::{Plane, eventually, file};
use crate::support::pki::{Pair, Pki};

/// A folder that a server of this user may write, and how to run a program as that user.
pub(super) struct Place {
    pub(super) folder: tempfile::TempDir,
    user: Option<(u32, u32)>,
}

impl Place {
    pub(super) fn new(user: &str) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let user = Place::found(user).filter(|_| rustix::process::geteuid().is_root());
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        user.iter().for_each(|(uid, gid)| chown(folder.path(), Some(*uid), Some(*gid)).unwrap());
        Place { folder, user }
    }

    fn found(user: &str) -> Option<(u32, u32)> {
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == user)?;
        Some((fields[2].parse().ok()?, fields[3].parse().ok()?))
    }

    pub(super) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    pub(super) fn run(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).stdout(Stdio::piped()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {told}");
        told
    }

    /// The user of the servers has this file.
    fn owns(&self, file: &Path) {
        self.user.iter().for_each(|(uid, gid)| chown(file, Some(*uid), Some(*gid)).unwrap());
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A server that ends with the test.
pub(super) struct Server(pub(super) Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A plane with one service whose pools have an endpoint each at these ports, under this check.
pub(super) fn plane(check: &str, ports: &[u16]) -> Plane {
    let pools: Vec<String> =
        ('a'..).zip(ports).map(|(name, port)| format!("{{name: {name}, endpoints: [\"127.0.0.1:{port}\"]}}")).collect();
    let service = format!(
        "  s:\n    protocol: tcp\n    health_check: {{{check}, interval: 50ms, timeout: 5s, fast_interval: 50ms, fall: 2, rise: 1}}\n    \
         failover: {{failback: manual}}\n    pools: [{}]\n",
        pools.join(", ")
    );
    Plane::start(&file(&[("s", service)], ""))
}

pub(super) fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

pub(super) async fn until(
    plane: &Plane,
    port: u16,
    what: &str,
    wanted: impl Fn(&EndpointReport) -> bool,
) -> EndpointReport {
    eventually(what, || async { Some(plane.endpoint(at(port)).await).filter(|found| wanted(found)) }).await
}

pub(super) fn is_healthy(found: &EndpointReport) -> bool {
    found.state.standing.operational == Operational::Healthy
}

pub(super) fn answers(found: &EndpointReport, class: CheckAnswerClass, words: &str) -> bool {
    found.state.check.as_ref().is_some_and(|answer| answer.class == class && answer.detail.contains(words))
}

pub(super) fn lineage(read: &Reading) -> Option<String> {
    read.position.as_ref().map(DataPosition::lineage)
}

pub(super) async fn is_told_to_be_blind(plane: &Plane) -> bool {
    plane.service("s").await.conditions.iter().any(|condition| condition.kind == ConditionKind::CheckBlind)
}

// ---- PostgreSQL ---------------------------------------------------------------------------------------------------

/// The newest PostgreSQL that is installed.
fn postgres_programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let newest = versions.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok()).max()?;
    let folder = PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin"));
    folder.join("initdb").exists().then_some(folder)
}

struct Postgres<'a> {
    place: &'a Place,
    programs: &'a Path,
    data: PathBuf,
    port: u16,
}

impl Postgres<'_> {
    /// `setting`s beside those of a server for tests.
    fn configure(&self, settings: &str) {
        let text = format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = off\nmax_connections = 5\n\
             superuser_reserved_connections = 2\nwal_level = replica\nhot_standby = on\n{settings}\n",
            self.port,
            self.place.folder.path().display()
        );
        fs::write(self.data.join("postgresql.auto.conf"), text).unwrap();
    }

    fn permit(&self, rule: &str) {
        let text = format!("local all all trust\nhost replication all 127.0.0.1/32 trust\n{rule}\n");
        fs::write(self.data.join("pg_hba.conf"), text).unwrap();
    }

    fn start(&self) -> Server {
        let mut command = self.place.command(self.programs.join("postgres"));
        let server = Server(command.arg("-D").arg(&self.data).stderr(Stdio::null()).spawn().unwrap());
        let begun = clock::now();
        while self.try_sql("SELECT 1").is_none() {
            assert!(clock::now().since(begun).as_secs() < 30, "PostgreSQL does not start");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        server
    }

    fn reload(&self) {
        assert_eq!(self.sql("SELECT pg_reload_conf()"), "t");
    }

    fn sql(&self, statement: &str) -> String {
        self.try_sql(statement).unwrap_or_else(|| panic!("{statement}"))
    }

    fn try_sql(&self, statement: &str) -> Option<String> {
        let mut command = self.place.command(self.programs.join("psql"));
        let folder = self.place.folder.path();
        command.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-d",
            "postgres",
            "-c",
            statement,
            "-U",
            "owner",
            "-p",
            &self.port.to_string(),
            "-h",
        ]);
        let output = command.arg(folder).stdout(Stdio::piped()).stderr(Stdio::null()).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }
}

#[tokio::test]
async fn postgres_is_asked_for_its_role_and_its_refusals_are_told_apart() {
    let Some(programs) = postgres_programs() else { return eprintln!("SKIPPED: PostgreSQL is not installed") };
    let place = Place::new("postgres");
    let primary = Postgres { place: &place, programs: &programs, data: place.path("primary"), port: free_port() };
    place.run(
        programs.join("initdb"),
        &["-D", primary.data.to_str().unwrap(), "-U", "owner", "-A", "trust", "--no-sync"],
    );
    primary.configure("password_encryption = 'scram-sha-256'");
    primary.permit("host all all 127.0.0.1/32 scram-sha-256");
    let running = primary.start();
    primary.sql("CREATE ROLE probe LOGIN PASSWORD 's3 crét'");
    let standby = Postgres { place: &place, programs: &programs, data: place.path("standby"), port: free_port() };
    let from = format!("host=127.0.0.1 port={} user=owner", primary.port);
    place.run(
        programs.join("pg_basebackup"),
        &["-D", standby.data.to_str().unwrap(), "-d", &from, "-R", "-X", "stream", "-c", "fast"],
    );
    standby.configure(&format!("primary_conninfo = '{from}'"));
    let _standing_by = standby.start();

    let password = place.path("password");
    fs::write(&password, "s3 crét\n").unwrap();
    let check = format!("postgres: {{user: probe, password_file: {}}}", password.display());
    let plane = plane(&check, &[primary.port, standby.port]);
    let first = until(&plane, primary.port, "the primary is read", |found| found.state.reading.is_some()).await;
    let second = until(&plane, standby.port, "the standby is read", |found| found.state.reading.is_some()).await;
    assert!(is_healthy(&first) && is_healthy(&second), "a replica is as healthy as its primary");
    let (first, second) = (first.state.reading.unwrap(), second.state.reading.unwrap());
    assert_eq!((first.role, first.writable), (DataRole::Primary, Some(true)));
    assert_eq!((second.role, second.writable), (DataRole::Replica, Some(false)));
    assert!(lineage(&first).is_some_and(|lineage| lineage.ends_with("/1")), "{first:?}");
    assert_eq!(lineage(&first), lineage(&second));
    for read in [&first, &second] {
        let Some(DataPosition::Postgres(place)) = &read.position else { panic!("{read:?}") };
        assert!(place.lsn > Lsn(0) && place.started.is_some(), "{place:?}");
    }

    // A password that is wrong says nothing about the server, and is loud.
    fs::write(&password, "another").unwrap();
    until(&plane, primary.port, "the check is blind", |found| answers(found, CheckAnswerClass::Blind, "28P01")).await;
    assert!(is_healthy(&plane.endpoint(at(primary.port)).await) && is_told_to_be_blind(&plane).await);
    fs::write(&password, "s3 crét").unwrap();
    until(&plane, standby.port, "the check sees again", |found| found.state.check.is_none()).await;
    until(&plane, primary.port, "the check sees again", |found| found.state.check.is_none()).await;
    assert!(!is_told_to_be_blind(&plane).await);

    // Weaker ways to give the password are taken only where they are named.
    primary.permit("host all all 127.0.0.1/32 password");
    primary.reload();
    until(&plane, primary.port, "refuses", |found| {
        answers(found, CheckAnswerClass::Blind, "`auth: cleartext` is not set")
    })
    .await;
    let open = self::plane(&check.replace("}", ", auth: cleartext}"), &[primary.port]);
    until(&open, primary.port, "cleartext", |found| found.state.reading.is_some()).await;
    drop(open);
    primary.permit("host all all 127.0.0.1/32 reject");
    primary.reload();
    until(&plane, primary.port, "is rejected", |found| answers(found, CheckAnswerClass::Blind, "28000")).await;
    primary.permit("host all all 127.0.0.1/32 scram-sha-256");
    primary.reload();
    let nowhere = self::plane(&check.replace("}", ", database: nowhere}"), &[primary.port]);
    until(&nowhere, primary.port, "no database", |found| answers(found, CheckAnswerClass::Blind, "3D000")).await;
    drop(nowhere);

    // A full table of connections is no death.
    until(&plane, primary.port, "sees", |found| found.state.check.is_none()).await;
    let mut sessions = Vec::new();
    eventually("it is full", || {
        let mut command = place.command(programs.join("psql"));
        command.args([
            "-X",
            "-d",
            &format!("host=127.0.0.1 port={} user=probe dbname=postgres password='s3 crét'", primary.port),
        ]);
        sessions.push(Server(command.args(["-c", "SELECT pg_sleep(60)"]).stderr(Stdio::null()).spawn().unwrap()));
        async {
            Some(plane.endpoint(at(primary.port)).await).filter(|found| answers(found, CheckAnswerClass::Busy, "53300"))
        }
    })
    .await;
    assert!(is_healthy(&plane.endpoint(at(primary.port)).await));
    drop(sessions);
    primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'probe'");
    until(&plane, primary.port, "has room again", |found| found.state.check.is_none()).await;

    // One that is promoted says so; one that is gone is unhealthy.
    drop(running);
    until(&plane, primary.port, "it is gone", |found| found.state.standing.operational == Operational::Unhealthy).await;
    assert_eq!(standby.sql("SELECT pg_promote()"), "t");
    let promoted = until(&plane, standby.port, "it is promoted", |found| {
        found.state.reading.as_ref().is_some_and(|reading| reading.role == DataRole::Primary)
    })
    .await;
    let promoted = promoted.state.reading.unwrap();
    assert!(
        lineage(&promoted).is_some_and(|lineage| lineage.ends_with("/2")),
        "{promoted:?}: the timeline is that of the log, not of the control file"
    );
    let status = serde_json::to_string(&plane.status().await).unwrap();
    assert!(status.contains("postgres 127.0.0.1") && !status.contains("s3 crét"), "{status}");
}

#[tokio::test]
async fn postgres_over_tls_is_logged_in_to_by_a_bound_password_or_a_certificate() {
    let Some(programs) = postgres_programs() else { return eprintln!("SKIPPED: PostgreSQL is not installed") };
    let place = Place::new("postgres");
    let server = Postgres { place: &place, programs: &programs, data: place.path("data"), port: free_port() };
    place.run(
        programs.join("initdb"),
        &["-D", server.data.to_str().unwrap(), "-U", "owner", "-A", "trust", "--no-sync"],
    );
    let (pki, stranger) = (Pki::new(), Pki::new());
    let serve = |pair: &Pair| {
        for (from, to) in [(&pair.cert, "server.crt"), (&pair.key, "server.key"), (&pki.ca(), "root.crt")] {
            fs::copy(from, server.data.join(to)).unwrap();
        }
        fs::set_permissions(server.data.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
        place.owns(&server.data.join("server.key"));
    };
    serve(&pki.issue("server", &["127.0.0.1"]));
    server.configure("ssl = on\nssl_ca_file = 'root.crt'\npassword_encryption = 'scram-sha-256'");
    server.permit("hostssl all probe 127.0.0.1/32 scram-sha-256\nhostssl all shown 127.0.0.1/32 cert");
    let _running = server.start();
    server.sql("CREATE ROLE probe LOGIN PASSWORD 'päss word'; CREATE ROLE shown LOGIN");

    // A server that offers the binding refuses a client that says that it could have bound and was not offered to: so this one has bound.
    let ca = pki.ca();
    let trusting = |user: &str, more: &str, ca: &Path| {
        let tls = format!("tls: {{ca: {}{more}}}", ca.display());
        plane(&format!("postgres: {{user: {user}, password: 'päss word', {tls}}}"), &[server.port])
    };
    let bound = trusting("probe", "", &ca);
    until(&bound, server.port, "it is logged in", |found| is_healthy(found) && found.state.reading.is_some()).await;

    // A certificate in the place of a password.
    let own = pki.issue("shown", &["shown"]);
    let identity = format!(", client_cert: {}, client_key: {}", own.cert.display(), own.key.display());
    let shown = trusting("shown", &identity, &ca);
    until(&shown, server.port, "the certificate is taken", |found| is_healthy(found) && found.state.reading.is_some())
        .await;
    let bare = trusting("shown", "", &ca);
    until(&bare, server.port, "without it", |found| answers(found, CheckAnswerClass::Blind, "28000")).await;

    // TLS that is required, another authority, and a certificate whose time is over: each has its sentence.
    let clear = plane("postgres: {user: probe, password: 'päss word'}", &[server.port]);
    until(&clear, server.port, "no TLS", |found| answers(found, CheckAnswerClass::Blind, "no encryption")).await;
    let mistrusting = trusting("probe", "", &stranger.ca());
    until(&mistrusting, server.port, "not its authority", |found| {
        answers(found, CheckAnswerClass::Failing, "certificate")
    })
    .await;
    serve(&pki.issue_expired("late", &["127.0.0.1"]));
    server.reload();
    until(&bound, server.port, "expired", |found| answers(found, CheckAnswerClass::Failing, "expired")).await;
    server.configure("ssl = off");
    server.permit("host all all 127.0.0.1/32 scram-sha-256");
    server.reload();
    until(&bound, server.port, "TLS is gone", |found| answers(found, CheckAnswerClass::Blind, "the server has none"))
        .await;
}

// ---- Redis --------------------------------------------------------------------------------------------------------

fn redis(place: &Place, port: u16, more: &[&str]) -> Option<Server> {
    let mut command = place.command("redis-server");
    command.args([
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--requirepass",
        "s3",
        "--masterauth",
        "s3",
    ]);
    let server =
        command.args(["--dir", place.folder.path().to_str()?]).args(more).stderr(Stdio::null()).spawn().ok()?;
    Some(Server(server))
}

#[tokio::test]
async fn redis_is_asked_for_its_role_and_its_refusals_are_told_apart() {
    let place = Place::new("redis");
    let (first, second) = (free_port(), free_port());
    let Some(running) = redis(&place, first, &["--maxclients", "40"]) else {
        return eprintln!("SKIPPED: redis-server is not installed");
    };
    let follows = ["--replicaof", "127.0.0.1", &first.to_string(), "--repl-diskless-sync-delay", "0"];
    let _second = redis(&place, second, &follows).unwrap();
    let password = place.path("password");
    fs::write(&password, "s3\n").unwrap();
    let plane = plane(&format!("redis: {{password_file: {}}}", password.display()), &[first, second]);
    let role = |role: DataRole| {
        move |found: &EndpointReport| found.state.reading.as_ref().is_some_and(|read| read.role == role)
    };
    let master = until(&plane, first, "the master is read", role(DataRole::Primary)).await;
    let replica = until(&plane, second, "the replica is read", role(DataRole::Replica)).await;
    assert!(is_healthy(&master) && is_healthy(&replica));
    // A master takes a new replication id when its first replica comes: both are read until they agree.
    eventually("they are of one lineage", || async {
        let [master, replica] = [plane.endpoint(at(first)).await, plane.endpoint(at(second)).await]
            .map(|found| found.state.reading.clone());
        replica.filter(|replica| lineage(replica).is_some() && lineage(replica) == master.as_ref().and_then(lineage))
    })
    .await;

    fs::write(&password, "another").unwrap();
    until(&plane, first, "the check is blind", |found| answers(found, CheckAnswerClass::Blind, "WRONGPASS")).await;
    assert!(is_healthy(&plane.endpoint(at(first)).await) && is_told_to_be_blind(&plane).await);
    fs::write(&password, "s3").unwrap();
    until(&plane, first, "the check sees again", |found| found.state.check.is_none()).await;
    let unknown = self::plane("redis: {}", &[first]);
    until(&unknown, first, "no login", |found| answers(found, CheckAnswerClass::Blind, "NOAUTH")).await;
    drop(unknown);

    // A full table of connections is no death.
    let mut held = Vec::new();
    eventually("it is full", || {
        held.extend(std::net::TcpStream::connect(at(first)));
        async {
            Some(plane.endpoint(at(first)).await).filter(|found| answers(found, CheckAnswerClass::Busy, "max number"))
        }
    })
    .await;
    assert!(is_healthy(&plane.endpoint(at(first)).await));
    drop(held);
    until(&plane, first, "has room again", |found| found.state.check.is_none()).await;
    drop(running);
    until(&plane, first, "it is gone", |found| found.state.standing.operational == Operational::Unhealthy).await;
}

// ---- servers that are none ----------------------------------------------------------------------------------------

#[tokio::test]
async fn what_is_no_database_fails_with_a_sentence() {
    for (bytes, redis_says, postgres_says) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..],
            "does not begin like a reply",
            "more than 64 KiB",
        ),
        (b"R\x7f\xff\xff\xff\x00\x00\x00\x00", "does not begin like a reply", "more than 64 KiB"),
        (b"R\x00\x00\x00\x03", "does not begin like a reply", "length"),
        (b"$99999999999\r\n", "more than is taken", "more than 64 KiB"),
        (b"E\x00\x00\x00\x0aC53300", "does not begin like a reply", "without an end"),
        (b"", "closed without an answer", "closed without an answer"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = [0; 4096];
                let _ = stream.read(&mut asked).await;
                let _ = stream.write_all(bytes).await;
                let _ = stream.shutdown().await;
            }
        });
        for (check, words) in [("redis: {}", redis_says), ("postgres: {user: probe}", postgres_says)] {
            let plane = plane(check, &[port]);
            let found = until(&plane, port, "it fails", |found| found.state.check.is_some()).await;
            assert!(answers(&found, CheckAnswerClass::Failing, words), "{check} {bytes:?}: {:?}", found.state.check);
        }
        server.abort();
    }
}

//! Thundering herds, and how a whole instance (engine, probes, one worker) takes them: `cargo bench --bench herds`, with the
//! name of a herd only that one. Clients and upstreams are in the same process, so figures of CPU are above the proxy's own.
//! They are for people: what must hold on every machine is in `tests/proxy/herds.rs`.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use standfast::decision::{ActCommand, Admission, Table};
use standfast::sys::clock;
use standfast::sys::process::ProcessUsage;
use standfast::time::MonoTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

#[path = "../tests/support/mod.rs"]
mod support;
use support::plane::{Plane, yaml};
use support::{Behaviour, Instance, Upstream, until};

const REQUEST: &[u8] = b"GET /order HTTP/1.1\r\nHost: herds\r\n\r\n";

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("threads");
    let is_wanted = |name: &str| wanted.as_ref().is_none_or(|wanted| wanted == name);
    if is_wanted("idle") {
        runtime.block_on(idle());
    }
    if is_wanted("burst") {
        runtime.block_on(burst());
    }
    if is_wanted("switch") {
        runtime.block_on(switch());
    }
    if is_wanted("probes") {
        runtime.block_on(probes());
    }
    if is_wanted("publish") {
        runtime.block_on(publish());
    }
}

fn say(what: &str, value: impl Display) {
    println!("{what:<76} {value}");
}

/// An instance before these pools; every upstream's health page is `/health`.
fn instance(pools: &[&[&Upstream]], more: &str) -> Instance {
    checked(pools, "off", more)
}

/// The same, whose probes go on on one connection for so long.
fn checked(pools: &[&[&Upstream]], reuse: &str, more: &str) -> Instance {
    let pools: Vec<String> = pools
        .iter()
        .enumerate()
        .map(|(index, pool)| {
            let endpoints: Vec<_> = pool.iter().map(|upstream| format!("\"{}\"", upstream.address)).collect();
            format!("      - {{name: p{index}, endpoints: [{}]}}\n", endpoints.join(", "))
        })
        .collect();
    Instance::start(&format!(
        "listeners:\n  - name: web\n    bind: 127.0.0.1:0\n    protocol: http\n    limits: {{max_connections: 20000}}\n    \
         timeouts: {{idle: 300s}}\n    routes: [{{service: web}}]\nservices:\n  web:\n    \
         health_check: {{http: {{path: /health, reuse: {reuse}}}, interval: 1s, timeout: 500ms}}\n{more}    pools:\n{}",
        pools.concat()
    ))
}

/// One request, one answer; how long it took.
async fn ask(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(REQUEST).await?;
    let mut bytes = [0; 1024];
    let mut length = 0;
    while !bytes[..length].ends_with(b"\r\n\r\nhello") {
        match stream.read(&mut bytes[length..]).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => length += count,
        }
    }
    if bytes.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(std::io::Error::other("refused")) }
}

/// CPU of the proxy's threads in ten seconds, in milliseconds.
async fn ten_seconds() -> f64 {
    let spent = || thread_cpu("worker-0") + thread_cpu("control");
    let before = spent();
    sleep(Duration::from_secs(10)).await;
    (spent() - before) * 1000.0
}

/// Ten thousand clients that asked once and stay.
async fn idle() {
    let upstream = Upstream::start(Behaviour::ok("hello").green()).await;
    let instance = instance(&[&[&upstream]], "");
    instance.serves("web", 0).await;
    // Both ends of each are here.
    let most = ProcessUsage::now().max_fds().unwrap_or(u64::MAX).saturating_sub(200) / 2;
    let count = most.min(10_000) as usize;
    let without = ten_seconds().await;
    let mut clients = Vec::with_capacity(count);
    let before = ProcessUsage::now().resident_bytes().unwrap_or(0);
    for _ in 0..count {
        let mut client = TcpStream::connect(instance.address("web")).await.expect("the proxy accepts");
        ask(&mut client).await.expect("an answer");
        clients.push(client);
    }
    let memory = ProcessUsage::now().resident_bytes().unwrap_or(0).saturating_sub(before);
    say("idle: CPU in 10 s without clients", format!("{without:.1} ms"));
    say(&format!("idle: CPU in 10 s with {count} idle clients"), format!("{:.1} ms", ten_seconds().await));
    say("idle: memory a client, both ends", format!("{} bytes", memory / count as u64));
}

/// A thousand clients connect and ask at once, leave, and a thousand others do the same.
async fn burst() {
    let upstream = Upstream::start(Behaviour::ok("hello").green()).await;
    let instance = instance(&[&[&upstream]], "");
    instance.serves("web", 0).await;
    for herd in ["first", "second"] {
        let (accepted, began) = (upstream.accepted(), clock::now());
        let mut clients = JoinSet::new();
        let address = instance.address("web");
        for _ in 0..1000 {
            clients.spawn(async move { ask(&mut TcpStream::connect(address).await?).await });
        }
        let answers = clients.join_all().await;
        let served = answers.iter().filter(|answer| answer.is_ok()).count();
        say(&format!("burst: {herd} thousand clients, served"), served);
        say(&format!("burst: {herd} thousand, until the last answer"), milliseconds(clock::now().since(began)));
        // One or two of them are probes.
        say(&format!("burst: {herd} thousand, upstream connects"), upstream.accepted() - accepted);
    }
    say("burst: upstream connections that are open afterwards", upstream.open());
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// Five thousand requests a second, and a switch every half second.
async fn switch() {
    const RATE: u64 = 5000;
    const CLIENTS: u64 = 100;
    const QUIET: u64 = 5;
    const SWITCHES: u64 = 20;
    /// What counts as during a switch.
    const AROUND: Duration = Duration::from_millis(100);
    let (home, standby) =
        (Upstream::start(Behaviour::ok("hello").green()).await, Upstream::start(Behaviour::ok("hello").green()).await);
    let instance = instance(&[&[&home], &[&standby]], "    failover: {max_failovers: {count: 1000, per: 1m}}\n");
    instance.serves("web", 0).await;
    let (address, origin) = (instance.address("web"), clock::now().after(Duration::from_millis(200)));
    let seconds = QUIET + SWITCHES / 2;
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("the proxy accepts");
            stream.set_nodelay(true).expect("alive");
            let mut took: Vec<(MonoTime, Duration)> = Vec::new();
            for n in 0..seconds * RATE / CLIENTS {
                // Its due time counts, not when it could be sent.
                let due = origin.after(Duration::from_micros((n * CLIENTS + client) * 1_000_000 / RATE));
                sleep(due.since(clock::now())).await;
                ask(&mut stream).await.expect("an answer");
                took.push((due, clock::now().since(due)));
            }
            took
        });
    }
    sleep(origin.after(Duration::from_secs(QUIET)).since(clock::now())).await;
    let mut switches = Vec::new();
    for n in 0..SWITCHES {
        let pool = if n % 2 == 0 { "p1" } else { "p0" };
        instance.order(ActCommand::Switchover { service: "web".into(), pool: pool.into() }).await;
        switches.push(clock::now());
        sleep(Duration::from_millis(500)).await;
    }
    let took = clients.join_all().await.concat();
    let (mut quiet, mut during) = (Vec::new(), Vec::new());
    for (due, time) in took {
        let near = |at: &MonoTime| due.since(*at) < AROUND && at.since(due) < AROUND / 10;
        if switches.iter().any(near) {
            during.push(time);
        } else if due.since(origin) < Duration::from_secs(QUIET) {
            quiet.push(time);
        }
    }
    for (name, times) in [("quiet", &mut quiet), ("during a switch", &mut during)] {
        times.sort();
        let part = |share: f64| milliseconds(times[((times.len() - 1) as f64 * share) as usize]);
        say(&format!("switch: {name}, {} requests, p50", times.len()), part(0.5));
        say(&format!("switch: {name}, p99.9"), part(0.999));
    }
}

/// Two thousand endpoints, each checked every second: on a connection of its own each time, and on one that is kept.
async fn probes() {
    let mut upstreams = Vec::new();
    for _ in 0..2000 {
        upstreams.push(Upstream::start(Behaviour::ok("green")).await);
    }
    let all: Vec<&Upstream> = upstreams.iter().collect();
    for reuse in ["off", "1m"] {
        let before: Vec<usize> = all.iter().map(|upstream| upstream.requests()).collect();
        let instance = checked(&[&all], reuse, "");
        instance.serves("web", 0).await;
        // The third one is on a connection that was there.
        let probed = || all.iter().zip(&before).all(|(upstream, before)| upstream.requests() >= before + 3);
        until("all were probed", probed).await;
        let (cpu, user) = (thread_cpu("control"), user_ticks("control"));
        sleep(Duration::from_secs(10)).await;
        let spent = thread_cpu("control") - cpu;
        let share = |seconds: f64| format!("{:.1} % of a core", seconds / 10.0 * 100.0);
        say(&format!("probes: 2000 endpoints every second, reuse {reuse}: CPU of the control thread"), share(spent));
        // A tick is a hundredth of a second.
        say("probes: of it outside the kernel", share((user_ticks("control") - user) as f64 / 100.0));
    }
}

/// CPU seconds of the thread of this name.
fn thread_cpu(name: &str) -> f64 {
    let nanos = of_thread(name, "schedstat").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanos.unwrap_or(0.0) / 1e9
}

/// Ticks that it was outside the kernel.
fn user_ticks(name: &str) -> u64 {
    let ticks = of_thread(name, "stat").and_then(|text| text.rsplit(')').next()?.split(' ').nth(12)?.parse().ok());
    ticks.unwrap_or(0)
}

fn of_thread(name: &str, file: &str) -> Option<String> {
    let is_it = |task: &PathBuf| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name);
    let mut tasks = std::fs::read_dir("/proc/self/task").ok()?.flatten().map(|task| task.path());
    std::fs::read_to_string(tasks.find(is_it)?.join(file)).ok()
}

/// A table of ten thousand endpoints is replaced, under a thousand sessions that each worker has to judge.
async fn publish() {
    const ENDPOINTS: usize = 10_000;
    let upstream = Upstream::start(Behaviour::ok("hello")).await;
    let mut addresses: Vec<SocketAddr> =
        (1..ENDPOINTS as u32).map(|n| (Ipv4Addr::from_bits((10 << 24) + n), 80).into()).collect();
    addresses.push(upstream.address);
    let mut plane = Plane::start(&yaml("tcp", &[&addresses], "", ""));
    let only_the_last = |table: &mut Table| {
        let row = &mut table.services[0].pools[0];
        row.endpoints[..ENDPOINTS - 1].iter_mut().for_each(|endpoint| endpoint.admission = Admission::Closed);
    };
    let epoch = plane.publish(only_the_last);
    until("it was taken up", || plane.published.all_acknowledged(epoch)).await;
    let mut sessions = Vec::new();
    for _ in 0..1000 {
        let mut session = TcpStream::connect(plane.address("web")).await.expect("the proxy accepts");
        ask(&mut session).await.expect("an answer");
        sessions.push(session);
    }
    let (mut built, mut taken_up) = (Vec::new(), Vec::new());
    for n in 0..21 {
        let (worker, began) = (thread_cpu("worker-0"), clock::now());
        let epoch = plane.publish(|table| table.services[0].pools[0].endpoints[n].suspected = true);
        built.push(clock::now().since(began));
        until("it was taken up", || plane.published.all_acknowledged(epoch)).await;
        taken_up.push(Duration::from_secs_f64((thread_cpu("worker-0") - worker).max(0.0)));
    }
    built.sort();
    taken_up.sort();
    say("publish: build and publish a table of 10000 endpoints, median", milliseconds(built[10]));
    say("publish: the worker's CPU to take it up, 1000 sessions, median", milliseconds(taken_up[10]));
}

//! `standfast demo`: the whole proxy in one process with embedded upstreams, no file needed. With `--script` it crashes
//! the active pool under its own load and reports what that cost.

mod load;
mod report;

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval, sleep};

use self::report::Report;
use super::embedded::{Executions, Setup, Upstream};
use crate::app::{self, App};
use crate::signals::Signals;
use standfast::config;
use standfast::control::{IncidentReport, ServiceReport, Status};

/// The demo's HTTP service.
const SHOP: &str = "shop";
/// Its active pool.
const HOME: &str = "active";
/// Longest wait of the script for a failover or a failback.
const SCRIPT_PATIENCE: Duration = Duration::from_secs(30);

/// Where the demo listens and what it does.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where the proxy speaks HTTP.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    http: SocketAddr,
    /// Where the proxy passes TCP on.
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDRESS")]
    tcp: SocketAddr,
    /// Admin port: /metrics, /status, /livez, /readyz.
    #[arg(long, default_value = "127.0.0.1:9901", value_name = "ADDRESS")]
    admin: SocketAddr,
    /// Crash the active pool under load, wait for failover and failback, print a report and exit:
    /// 0 only if no safe request failed and no POST ran twice.
    #[arg(long)]
    script: bool,
}

/// Runs the demo to its end.
pub fn run(options: &Options) -> ExitCode {
    let installed = app::runtime().and_then(|runtime| Ok((Signals::install(&runtime)?, runtime)));
    let (mut signals, runtime) = match installed {
        Ok(installed) => installed,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    runtime.block_on(async {
        match Demo::start(options, &mut signals).await {
            Err(error) => fail(&error),
            Ok(None) => ExitCode::SUCCESS,
            Ok(Some(demo)) if options.script => demo.script(&mut signals).await,
            Ok(Some(demo)) => demo.interactive(&mut signals).await,
        }
    })
}

fn fail(error: &str) -> ExitCode {
    eprintln!("standfast demo: {error}");
    ExitCode::FAILURE
}

/// A running demo.
struct Demo {
    app: App,
    active: [Upstream; 2],
    // They run for as long as they are held.
    _standby: [Upstream; 2],
    executions: Executions,
    http: SocketAddr,
    tcp: SocketAddr,
}

impl Demo {
    /// `None`: it was told to stop before it had started.
    async fn start(options: &Options, signals: &mut Signals) -> Result<Option<Demo>, String> {
        let executions: Executions = Arc::new(Mutex::new(HashMap::new()));
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let upstream = |name: &str| {
            let setup = Setup { name: name.into(), http: any, tcp: Some(any), executions: Some(executions.clone()) };
            Upstream::start(setup).map_err(|e| format!("cannot start upstream {name}: {e}"))
        };
        let active = [upstream("active-1")?, upstream("active-2")?];
        let standby = [upstream("standby-1")?, upstream("standby-2")?];
        let text = configuration(options, &active, &standby);
        let loaded = config::parse(&text, ".".as_ref()).map_err(|problems| problems.to_string())?;
        let started = signals.unless_stopped(|| App::start(loaded.config, None)).await;
        let Some(app) = started.map_err(|error| format!("cannot start: {error}"))? else { return Ok(None) };
        let app = app.map_err(|error| {
            format!(
                "{error}\nIf a port is taken, choose others: --http 127.0.0.1:0 --tcp 127.0.0.1:0 --admin 127.0.0.1:0"
            )
        })?;
        let bound = |listener: &str| app.listening(listener).ok_or_else(|| format!("listener {listener} is not bound"));
        let (http, tcp) = (bound("web")?, bound("lines")?);
        Ok(Some(Demo { app, active, _standby: standby, executions, http, tcp }))
    }

    fn crash(&self) {
        self.active.iter().for_each(Upstream::crash);
    }

    fn revive(&self) {
        self.active.iter().for_each(Upstream::revive);
    }

    async fn shop(&self) -> Option<Shop> {
        let status = self.app.control.status().await.ok()?;
        let requests =
            self.app.control.published().load().service(SHOP).map_or(0, |shop| shop.stats.responses().iter().sum());
        Shop::new(status, requests)
    }

    /// Waits until this pool serves.
    async fn serving(&self, home: bool) -> bool {
        let deadline = Instant::now() + SCRIPT_PATIENCE;
        loop {
            let shop = self.shop().await;
            if shop.and_then(|shop| shop.report.active).is_some_and(|pool| (&*pool == HOME) == home) {
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// A signal to stop ends the script before its end, which is a failure.
    async fn script(self, signals: &mut Signals) -> ExitCode {
        let passed = tokio::select! {
            biased;
            signal = signals.end() => Err(format!("stopped by {signal} before the script's end")),
            passed = self.perform() => passed,
        };
        self.app.stop(signals).await;
        match passed {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(problem) => fail(&problem),
        }
    }

    /// The script; whether all went well.
    async fn perform(&self) -> Result<bool, String> {
        let mut report = Report::default();
        if !self.serving(true).await {
            return Err("the active pool did not become healthy".to_owned());
        }
        println!(
            "load: {} requests/s on http://{}, a quarter of them POSTs, no client-side retry",
            load::RATE,
            self.http
        );
        let (stop, stopped) = watch::channel(false);
        let load = tokio::spawn(load::run(self.http, stopped));
        sleep(Duration::from_secs(2)).await;

        println!("crashing the active pool (as kill -9 would)");
        self.crash();
        if self.serving(false).await {
            sleep(Duration::from_secs(2)).await;
            report.rto = self.shop().await.and_then(|shop| shop.last_rto());
        }

        println!("the active pool is back; failback after its hold-down");
        let revived = Instant::now();
        self.revive();
        if report.rto.is_some() && self.serving(true).await {
            report.failback = Some(revived.elapsed());
            sleep(Duration::from_secs(1)).await;
        }

        stop.send_replace(true);
        report.outcomes = load.await.unwrap_or_default();
        report.executed_twice = match self.executions.lock() {
            Ok(counts) => counts.iter().filter(|(_, count)| **count > 1).map(|(id, _)| id.clone()).collect(),
            Err(_) => return Err("an upstream of the demo failed".to_owned()),
        };
        println!("\n{report}");
        Ok(report.passed())
    }

    async fn interactive(self, signals: &mut Signals) -> ExitCode {
        self.explain();
        let mut words = typed_words();
        let mut clock = interval(Duration::from_secs(1));
        let mut status = StatusLine::new();
        loop {
            tokio::select! {
                _ = clock.tick() => status.show(self.shop().await.as_ref()),
                _ = signals.end() => break,
                Some(word) = words.recv() => match word.as_str() {
                    "crash" | "c" => { self.crash(); status.say("the active pool has crashed"); }
                    "revive" | "r" => { self.revive(); status.say("the active pool runs again"); }
                    "quit" | "q" => break,
                    "" => {}
                    other => status.say(&format!("{other}? type crash, revive or quit")),
                },
            }
        }
        status.say("stopping");
        self.app.stop(signals).await;
        ExitCode::SUCCESS
    }

    fn explain(&self) {
        let admin = self.app.admin_address().map_or_else(String::new, |admin| {
            format!("  curl http://{admin}/metrics       what Prometheus sees\n  curl http://{admin}/status        the same for people and programs\n")
        });
        println!(
            "Standfast demo: HTTP on {http}, TCP on {tcp}; two pools of two embedded upstreams.\n\n\
             Try in another terminal:\n  curl http://{http}/hello\n  wrk -c 16 -d 60 http://{http}/\n  nc {ip} {port}                      lines are echoed with the upstream's name\n{admin}\n\
             Here, type:\n  crash    kills the active pool, as kill -9 would\n  revive   starts it again: failback follows after a hold-down of 3 s\n  quit     stops (so does Ctrl-C)\n",
            http = self.http,
            tcp = self.tcp,
            ip = self.tcp.ip(),
            port = self.tcp.port(),
        );
    }
}

/// The configuration of the demo: what a user would write, with shorter times.
fn configuration(options: &Options, active: &[Upstream; 2], standby: &[Upstream; 2]) -> String {
    let pools = |address: fn(&Upstream) -> SocketAddr| {
        let list = |pool: &[Upstream; 2]| format!("[\"{}\", \"{}\"]", address(&pool[0]), address(&pool[1]));
        format!("[{{name: {HOME}, endpoints: {}}}, {{name: standby, endpoints: {}}}]", list(active), list(standby))
    };
    format!(
        r#"
admin: {{bind: "{admin}"}}
log: {{filter: error, format: human}}
listeners:
  - {{name: web, bind: "{http}", protocol: http, limits: {{max_connections: 2000}}, routes: [{{service: {SHOP}}}]}}
  - {{name: lines, bind: "{tcp}", protocol: tcp, limits: {{max_connections: 2000}}, service: lines}}
services:
  {SHOP}:
    objectives: {{rto: 5s}}
    health_check: {{http: {{path: /healthz}}, interval: 500ms, timeout: 250ms, fast_interval: 200ms, fall: 2, rise: 2}}
    failover: {{failback: {{mode: auto, hold_down: 3s}}}}
    pools: {http_pools}
  lines:
    protocol: tcp
    health_check: {{tcp: {{}}, interval: 500ms, timeout: 250ms, fast_interval: 200ms, fall: 2, rise: 2}}
    failover: {{sessions: close, failback: {{mode: auto, hold_down: 3s}}}}
    pools: {tcp_pools}
"#,
        admin = options.admin,
        http = options.http,
        tcp = options.tcp,
        http_pools = pools(|upstream| upstream.http),
        tcp_pools = pools(|upstream| upstream.tcp.unwrap_or(upstream.http)),
    )
}

/// What is typed, line by line, read by a thread of its own: a terminal cannot be awaited, and must not hold up the end.
fn typed_words() -> mpsc::Receiver<String> {
    let (typed, words) = mpsc::channel(8);
    std::thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if typed.blocking_send(line.trim().to_owned()).is_err() {
                return;
            }
        }
    });
    words
}

/// What the demo shows of its HTTP service.
struct Shop {
    report: ServiceReport,
    last_switch: Option<IncidentReport>,
    requests: u64,
}

impl Shop {
    fn new(status: Status, requests: u64) -> Option<Shop> {
        let report = status.services.into_iter().find(|service| &*service.name == SHOP)?;
        let last_switch = status.incidents.into_iter().rfind(|incident| &*incident.service == SHOP);
        Some(Shop { report, last_switch, requests })
    }

    /// The measured recovery time of the last switch.
    fn last_rto(&self) -> Option<Duration> {
        let rto_ms = self.last_switch.as_ref()?.rto_ms?;
        Some(Duration::from_secs_f64(rto_ms / 1000.0))
    }
}

/// One line that is rewritten on a terminal, and printed only when the active pool changes elsewhere.
struct StatusLine {
    terminal: bool,
    pool: Option<config::Name>,
    requests: u64,
    since: Instant,
}

impl StatusLine {
    fn new() -> StatusLine {
        StatusLine { terminal: io::stdout().is_terminal(), pool: None, requests: 0, since: Instant::now() }
    }

    fn show(&mut self, shop: Option<&Shop>) {
        let Some(shop) = shop else { return };
        let seconds = self.since.elapsed().as_secs_f64().max(0.001);
        let rate = shop.requests.saturating_sub(self.requests) as f64 / seconds;
        let changed = shop.report.active != self.pool;
        (self.pool, self.requests, self.since) = (shop.report.active.clone(), shop.requests, Instant::now());
        let last = match (&shop.last_switch, shop.last_rto()) {
            (None, _) => "no switch yet".to_owned(),
            (Some(switch), None) => format!("last switch: {}, waiting for the first good answer", switch.kind),
            (Some(switch), Some(rto)) => format!("last switch: {}, measured RTO {rto:.1?}", switch.kind),
        };
        let line = format!("active pool: {} | {rate:.0} requests/s | {last}", self.pool.as_deref().unwrap_or("none"));
        if self.terminal {
            print!("\r\x1b[2K{line}");
            let _ = io::stdout().flush();
        } else if changed {
            println!("{line}");
        }
    }

    fn say(&self, what: &str) {
        if self.terminal {
            print!("\r\x1b[2K");
        }
        println!("{what}");
    }
}

//! `standfast demo`: the whole proxy in one process with embedded upstreams and a load of its own, no file needed.
//!
//! * [`configuration`]: what the proxy is told, as a user would write it;
//! * [`load`]: the clients; [`tally`]: what they got;
//! * [`command`]: what a person types; [`terminal`]: the keyboard and the painting; [`screen`]: what is shown;
//! * [`watch`]: the demo for people, on a terminal or line by line;
//! * [`script`]: the demo for machines: a crash and a return under load, then a [`report`].

mod command;
mod configuration;
mod load;
mod report;
mod screen;
mod script;
mod tally;
mod terminal;
mod watch;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use super::embedded::{EmbeddedSetup, EmbeddedUpstream, PostExecutions, UpstreamBehaviour};
use crate::cli::server_process::{self, ServerProcess};
use crate::signals::Signals;
use standfast::config;
use standfast::control::EndpointReport;
use standfast::decision::Operational;
use tokio::time::{Instant, sleep};

/// Longest wait for the first checks.
const START: Duration = Duration::from_secs(10);
/// The demo's HTTP service.
const SHOP: &str = "shop";
/// The pools of its upstreams: in this order a service is served.
const POOLS: [&str; 2] = ["north", "south"];

/// What the upstreams' page tells a person to do.
const ADVICE: &str = "This page loads itself again each second. Type <code>crash</code>, <code>freeze</code>, \
                      <code>slow</code> or <code>errors</code> in the demo's terminal and watch which upstream answers; \
                      <code>revive</code> brings the first one back.";

/// Where the demo listens and what it does.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// The address of all three ports, unless they say another one
    #[arg(long, env = "STANDFAST_DEMO_LISTEN", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "IP")]
    listen: IpAddr,
    /// Where the proxy speaks HTTP [default: port 8080]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<SocketAddr>,
    /// Where the proxy passes TCP on [default: port 8081]
    #[arg(long, value_name = "ADDRESS")]
    tcp: Option<SocketAddr>,
    /// Admin port: /metrics, /status, /livez, /readyz [default: port 9901]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// The built-in clients: 200 requests a second. off: bring your own
    #[arg(long, value_enum, default_value_t = DemoLoad::On)]
    load: DemoLoad,
    /// Crash the serving pool under load, wait for failover and failback, print a report and exit:
    /// 0 only if no safe request failed and no POST ran twice
    #[arg(long)]
    script: bool,
}

/// The built-in clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum DemoLoad {
    On,
    Off,
}

/// Where the proxy listens.
#[derive(Clone, Copy, Debug)]
struct DemoAddresses {
    http: SocketAddr,
    tcp: SocketAddr,
    admin: SocketAddr,
}

impl DemoArgs {
    fn addresses(&self) -> DemoAddresses {
        let at = |said: Option<SocketAddr>, port| said.unwrap_or_else(|| SocketAddr::new(self.listen, port));
        DemoAddresses { http: at(self.http, 8080), tcp: at(self.tcp, 8081), admin: at(self.admin, 9901) }
    }
}

/// Runs the demo to its end.
pub fn run(options: &DemoArgs) -> ExitCode {
    let installed = server_process::runtime().and_then(|runtime| Ok((Signals::install(&runtime)?, runtime)));
    let (mut signals, runtime) = match installed {
        Ok(installed) => installed,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    runtime.block_on(async {
        match Demo::start(options, &mut signals).await {
            Err(error) => fail(&error),
            Ok(None) => ExitCode::SUCCESS,
            Ok(Some(demo)) if options.script => script::run(demo, &mut signals).await,
            Ok(Some(demo)) => watch::run(demo, options.load == DemoLoad::On, &mut signals).await,
        }
    })
}

fn fail(error: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "standfast demo: {error}");
    ExitCode::FAILURE
}

/// Prints a line. A reader that is gone is no failure: a signal ends the demo.
fn tell(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// The upstreams by pool, each with its name.
#[derive(Debug)]
struct DemoUpstreams {
    pools: [(&'static str, Vec<(String, EmbeddedUpstream)>); 2],
}

impl DemoUpstreams {
    fn start(executions: &PostExecutions) -> Result<DemoUpstreams, String> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let upstream = |name: String| {
            let (name_of_it, executions) = (name.as_str().into(), Some(executions.clone()));
            let setup = EmbeddedSetup { name: name_of_it, http: Some(any), tcp: Some(any), executions, advice: ADVICE };
            let started = EmbeddedUpstream::start(setup).map_err(|e| format!("cannot start upstream {name}: {e}"))?;
            Ok::<_, String>((name, started))
        };
        let pool = |pool: &'static str| {
            Ok::<_, String>((pool, vec![upstream(format!("{pool}-1"))?, upstream(format!("{pool}-2"))?]))
        };
        Ok(DemoUpstreams { pools: [pool(POOLS[0])?, pool(POOLS[1])?] })
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, &str, &EmbeddedUpstream)> {
        self.pools.iter().flat_map(|(pool, members)| members.iter().map(|(name, member)| (*pool, &**name, member)))
    }

    /// Lets a pool or one upstream do something else: the names of those that do.
    fn become_all(&self, target: &str, behaviour: UpstreamBehaviour) -> Vec<&str> {
        let meant = self.all().filter(|(pool, name, _)| *pool == target || *name == target || target == EVERYTHING);
        let become_it = |(_, name, upstream): (_, _, &EmbeddedUpstream)| {
            upstream.becomes(behaviour);
            name
        };
        meant.map(become_it).collect()
    }
}

/// A target that means all upstreams.
const EVERYTHING: &str = "*";

/// A running demo.
struct Demo {
    server: ServerProcess,
    upstreams: DemoUpstreams,
    executions: PostExecutions,
    http: SocketAddr,
    tcp: SocketAddr,
}

impl Demo {
    /// `None`: it was told to stop before it had started.
    async fn start(options: &DemoArgs, signals: &mut Signals) -> Result<Option<Demo>, String> {
        let executions = PostExecutions::default();
        let upstreams = DemoUpstreams::start(&executions)?;
        let text = configuration::text(&options.addresses(), &upstreams);
        let loaded = config::parse(&text, ".".as_ref()).map_err(|problems| problems.to_string())?;
        let started = signals.unless_stopped(|| ServerProcess::start(loaded.config, None)).await;
        let Some(server) = started.map_err(|error| format!("cannot start: {error}"))? else { return Ok(None) };
        let server = server.map_err(|error| {
            format!(
                "{error}\nIf a port is taken, choose others: --http 127.0.0.1:0 --tcp 127.0.0.1:0 --admin 127.0.0.1:0"
            )
        })?;
        let bound = |listener: &str| {
            server.app.listener_address(listener).ok_or_else(|| format!("listener {listener} is not bound"))
        };
        let (http, tcp) = (bound("web")?, bound("lines")?);
        Ok(Some(Demo { server, upstreams, executions, http, tcp }))
    }

    /// Waits until every upstream has passed a check; whether that came.
    async fn is_ready(&self) -> bool {
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            let services = self.server.app.control().status().await.map(|status| status.services).unwrap_or_default();
            let mut endpoints = services.iter().flat_map(|service| &service.pools).flat_map(|pool| &pool.endpoints);
            let healthy = |endpoint: &EndpointReport| endpoint.state.standing.operational == Operational::Healthy;
            if !services.is_empty() && endpoints.all(healthy) {
                return true;
            }
            sleep(Duration::from_millis(5)).await;
        }
        false
    }

    /// Where a client on this machine finds the HTTP listener.
    fn reachable(&self) -> SocketAddr {
        match self.http.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, self.http.port())),
            IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, self.http.port())),
            _ => self.http,
        }
    }
}

//! `standfast upstream`: the demo's upstream as a process of its own, to try Standfast out where there is no service yet.

use std::net::SocketAddr;
use std::process::ExitCode;

use super::embedded::{EmbeddedSetup, EmbeddedUpstream};
use super::exit::ExitReason;
use super::server_process;
use crate::signals::Signals;

/// A small HTTP server to stand behind the proxy, to try it out: answers with its own name, and 200 at /healthz
///
/// With --tcp it echoes lines over TCP; --tcp alone opens no HTTP port.
///
/// SIGTERM, SIGINT, SIGQUIT and SIGHUP: requests in flight are answered, then it ends; a further SIGTERM or SIGINT ends it at
/// once. SIGUSR1 and SIGUSR2 have no effect.
#[derive(Clone, Debug, clap::Args)]
pub struct UpstreamArgs {
    /// How it calls itself in its answers
    #[arg(long, default_value = "upstream", value_name = "NAME")]
    name: String,
    /// Where it speaks HTTP [default: 127.0.0.1:3000, and nowhere with --tcp]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<SocketAddr>,
    /// Where it echoes lines over TCP [default: nowhere]
    #[arg(long, value_name = "ADDRESS")]
    tcp: Option<SocketAddr>,
}

/// What its page says below its name.
const ADVICE: &str = "This page loads itself again each second. Stop this upstream (Ctrl-C) to see another one answer.";

/// Where it speaks HTTP when no address is given at all.
const HTTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3000);

/// Runs it to its end.
pub fn run(options: &UpstreamArgs) -> ExitCode {
    match serve(options) {
        Ok(()) => ExitReason::Done.into(),
        Err(error) => {
            let (http, tcp) = ports(options);
            let addresses: Vec<String> = http.into_iter().chain(tcp).map(|address| address.to_string()).collect();
            eprintln!("standfast upstream: cannot start on {}: {error}", addresses.join(" and "));
            ExitReason::No.into()
        }
    }
}

/// Where it speaks HTTP, and where it echoes lines: at least one of them.
fn ports(options: &UpstreamArgs) -> (Option<SocketAddr>, Option<SocketAddr>) {
    (options.http.or(Some(HTTP).filter(|_| options.tcp.is_none())), options.tcp)
}

fn start(options: &UpstreamArgs) -> std::io::Result<EmbeddedUpstream> {
    let (http, tcp) = ports(options);
    EmbeddedUpstream::start(EmbeddedSetup {
        name: options.name.as_str().into(),
        http,
        tcp,
        executions: None,
        advice: ADVICE,
    })
}

/// A line for each port.
fn told(upstream: &EmbeddedUpstream, name: &str) -> String {
    let http = upstream.http.map(|http| format!("{name} answers on http://{http}"));
    let tcp = upstream.tcp.map(|tcp| format!("{name} echoes lines on {tcp}"));
    http.into_iter().chain(tcp).collect::<Vec<_>>().join("\n")
}

fn serve(options: &UpstreamArgs) -> std::io::Result<()> {
    let runtime = server_process::runtime()?;
    let mut signals = Signals::install(&runtime)?;
    runtime.block_on(async {
        let upstream = start(options)?;
        eprintln!("{}", told(&upstream, &options.name));
        signals.end().await;
        let at_once = tokio::sync::Notify::new();
        let leaving = async {
            tokio::select! {
                () = upstream.leave() => {}
                () = at_once.notified() => {}
            }
        };
        signals.stop.phase("leave", leaving, || at_once.notify_one()).await;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(http: Option<&str>, tcp: Option<&str>) -> UpstreamArgs {
        let address = |text: &str| text.parse().expect("an address");
        UpstreamArgs { name: "b2".into(), http: http.map(address), tcp: tcp.map(address) }
    }

    #[test]
    fn tcp_alone_opens_no_http_port() {
        assert_eq!(ports(&options(None, None)), (Some(HTTP), None));
        assert_eq!(ports(&options(None, Some("127.0.0.1:0"))).0, None);
        let both = ports(&options(Some("127.0.0.1:0"), Some("127.0.0.1:0")));
        assert!(both.0.is_some() && both.1.is_some());
    }

    #[tokio::test]
    async fn each_port_is_told_with_its_address() {
        let upstream = start(&options(None, Some("127.0.0.1:0"))).expect("it starts");
        let tcp = upstream.tcp.filter(|_| upstream.http.is_none()).expect("only TCP is asked for");
        assert_eq!(told(&upstream, "b2"), format!("b2 echoes lines on {tcp}"));
        let upstream = start(&options(Some("127.0.0.1:0"), Some("127.0.0.1:0"))).expect("it starts");
        let told = told(&upstream, "b2");
        assert!(told.starts_with("b2 answers on http://127.0.0.1:"), "{told}");
        assert!(told.contains("\nb2 echoes lines on 127.0.0.1:"), "{told}");
    }
}

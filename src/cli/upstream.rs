//! `standfast upstream`: the demo's upstream as a process of its own, to try Standfast out where there is no service yet.

use std::net::SocketAddr;
use std::process::ExitCode;

use super::embedded::{Setup, Upstream};
use super::exit::Exit;
use crate::app;
use crate::signals::Signals;

/// A small HTTP server to stand behind the proxy, to try it out: answers with its own name, and 200 at /healthz
///
/// SIGTERM, SIGINT, SIGQUIT and SIGHUP: requests in flight are answered, then it ends; a further SIGTERM or SIGINT ends it at
/// once. SIGUSR1 and SIGUSR2 have no effect.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How it calls itself in its answers
    #[arg(long, default_value = "upstream", value_name = "NAME")]
    name: String,
    /// Where it speaks HTTP
    #[arg(long, default_value = "127.0.0.1:3000", value_name = "ADDRESS")]
    http: SocketAddr,
    /// Where it echoes lines; absent: nowhere
    #[arg(long, value_name = "ADDRESS")]
    tcp: Option<SocketAddr>,
}

/// What its page says below its name.
const ADVICE: &str = "This page loads itself again each second. Stop this upstream (Ctrl-C) to see another one answer.";

/// Runs it to its end.
pub fn run(options: &Options) -> ExitCode {
    match serve(options) {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            eprintln!("standfast upstream: cannot start on {}: {error}", options.http);
            Exit::No.into()
        }
    }
}

fn serve(options: &Options) -> std::io::Result<()> {
    let runtime = app::runtime()?;
    let mut signals = Signals::install(&runtime)?;
    runtime.block_on(async {
        let name = options.name.as_str().into();
        let upstream =
            Upstream::start(Setup { name, http: options.http, tcp: options.tcp, executions: None, advice: ADVICE })?;
        eprintln!("{} answers on http://{}", options.name, upstream.http);
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

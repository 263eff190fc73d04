//! `standfast upstream`: the demo's upstream as a process of its own, to try Standfast out where there is no service yet.

use std::net::SocketAddr;
use std::process::ExitCode;

use super::embedded::{Setup, Upstream};
use crate::app;

/// A small HTTP server to stand behind the proxy: answers with its own name, and 200 at /healthz.
///
/// SIGTERM and SIGINT: requests in flight are answered, then it ends. Exit codes: 0 = stopped by a signal, 1 = could not
/// start.
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

/// Runs it to its end.
pub fn run(options: &Options) -> ExitCode {
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("standfast upstream: cannot start on {}: {error}", options.http);
            ExitCode::FAILURE
        }
    }
}

fn serve(options: &Options) -> std::io::Result<()> {
    app::runtime()?.block_on(async {
        let mut stop = std::pin::pin!(app::stop_signal());
        let name = options.name.as_str().into();
        let upstream = Upstream::start(Setup { name, http: options.http, tcp: options.tcp, executions: None })?;
        eprintln!("{} answers on http://{}", options.name, upstream.http);
        stop.as_mut().await;
        upstream.leave().await;
        Ok(())
    })
}

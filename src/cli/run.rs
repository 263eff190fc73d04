//! `standfast run`: the proxy with a configuration file, until a signal ends it.

use std::path::PathBuf;
use std::process::ExitCode;

use standfast::config;
use standfast::text::printable_lines;

use crate::app::{self, App};
use crate::signals::Signals;

/// Run the proxy with a configuration file.
///
/// SIGHUP reads the file again: all of it is put into force, or nothing. SIGTERM, SIGINT and SIGQUIT stop: no new connections,
/// work in flight gets `drain_timeout`; a further SIGTERM or SIGINT cuts it. SIGUSR1 opens the access log's file again; SIGUSR2 is
/// reserved. Exit codes: 0 = stopped by a signal, 1 = could not start, or could not go on.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The configuration file
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs the proxy to its end.
pub fn run(options: &Options) -> ExitCode {
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("standfast: {}", printable_lines(&problem));
            ExitCode::FAILURE
        }
    }
}

fn serve(options: &Options) -> Result<(), String> {
    let cannot_start = |error| format!("cannot start: {error}");
    let runtime = app::runtime().map_err(cannot_start)?;
    let mut signals = Signals::install(&runtime).map_err(cannot_start)?;
    let path = options.config.clone();
    let end = runtime.block_on(async {
        let Some(app) = signals.unless_stopped(move || start(path)).await.map_err(cannot_start)? else { return Ok(()) };
        let app = app?;
        let end = app.until_stopped(&mut signals).await;
        app.stop(&mut signals).await;
        end
    });
    // A reload that was left behind may still be reading.
    runtime.shutdown_background();
    end
}

fn start(path: PathBuf) -> Result<App, String> {
    let loaded = config::load(&path).map_err(|problems| problems.to_string())?;
    let app = App::start(loaded.config, Some(path)).map_err(|error| error.to_string())?;
    for warning in &loaded.warnings {
        tracing::warn!(line = warning.line, path = %warning.path, "{}; {}", warning.what, warning.advice);
    }
    Ok(app)
}

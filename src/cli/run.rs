//! `standfast run`: the proxy with a configuration file, until a signal ends it.

use std::path::PathBuf;
use std::process::ExitCode;

use standfast::config;

use crate::app::{self, App};

/// Run the proxy with a configuration file.
///
/// SIGHUP reads the file again: all of it is put into force, or nothing. SIGTERM and SIGINT stop: no new connections, work in
/// flight gets `drain_timeout`. Exit codes: 0 = stopped by a signal, 1 = could not start, or could
/// not go on.
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
            eprintln!("standfast: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: &Options) -> Result<(), String> {
    let loaded = config::load(&options.config).map_err(|problems| problems.to_string())?;
    let runtime = app::runtime().map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        let app = App::start(loaded.config, Some(options.config.clone())).map_err(|error| error.to_string())?;
        for warning in &loaded.warnings {
            tracing::warn!(line = warning.line, path = %warning.path, "{}; {}", warning.what, warning.advice);
        }
        let end = app.until_stopped().await;
        app.stop().await;
        end
    })
}

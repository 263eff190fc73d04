//! `standfast run`: the proxy with a configuration file, until a signal ends it.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use standfast::config::{self, Problems};
use standfast::text::printable_lines;

use super::check;
use super::config_file::ConfigFile;
use super::exit::ExitReason;
use super::server_process::{self, ServerProcess};
use super::text_table::TextLayout;
use crate::signals::Signals;

/// Run the proxy with a configuration file
///
/// SIGHUP reads the file again: all of it is put into force, or nothing. SIGTERM, SIGINT and SIGQUIT stop: no new connections,
/// work in flight gets `drain_timeout`; a further SIGTERM or SIGINT cuts it. SIGUSR1 opens the access log's file again; SIGUSR2 is
/// reserved.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    file: ConfigFile,
}

/// Why the proxy does not run.
enum RunError {
    /// The configuration is refused.
    Refused(Problems),
    /// Anything else: the text says what and what to do.
    Other(String),
}

impl From<Problems> for RunError {
    fn from(problems: Problems) -> RunError {
        RunError::Refused(problems)
    }
}

impl From<String> for RunError {
    fn from(problem: String) -> RunError {
        RunError::Other(problem)
    }
}

/// Runs the proxy to its end.
pub fn run(options: &RunArgs) -> ExitCode {
    match options.file.find("run").map_err(RunError::from).and_then(serve) {
        Ok(()) => ExitReason::Done.into(),
        Err(RunError::Refused(problems)) => {
            let colour = TextLayout::of(&io::stderr()).colour;
            eprint!("{}", check::refused(&problems, colour));
            check::exit(&problems).into()
        }
        Err(RunError::Other(problem)) => {
            eprintln!("standfast: {}", printable_lines(&problem));
            ExitReason::No.into()
        }
    }
}

fn serve(path: PathBuf) -> Result<(), RunError> {
    let cannot_start = |error| format!("cannot start: {error}");
    let runtime = server_process::runtime().map_err(cannot_start)?;
    let mut signals = Signals::install(&runtime).map_err(cannot_start)?;
    let end = runtime.block_on(async {
        let Some(server) = signals.unless_stopped(move || start(path)).await.map_err(cannot_start)? else {
            return Ok(());
        };
        let server = server?;
        let end = server.until_stopped(&mut signals).await;
        server.stop(&mut signals).await;
        end.map_err(RunError::from)
    });
    // A reload that was left behind may still be reading.
    runtime.shutdown_background();
    end
}

fn start(path: PathBuf) -> Result<ServerProcess, RunError> {
    let loaded = match config::load(&path) {
        Ok(loaded) => loaded,
        Err(problems) => return Err(check::examined(Err(problems.clone()), &path).err().unwrap_or(problems).into()),
    };
    let warnings = loaded.warnings.clone();
    let server = ServerProcess::start(loaded.config.clone(), Some(path.clone())).map_err(|error| {
        // A file that it names, most often: that is told as `check` tells it.
        let by_file = check::examined(Ok(loaded), &path).err();
        by_file.map_or_else(|| RunError::Other(error.to_string()), RunError::Refused)
    })?;
    for warning in &warnings {
        tracing::warn!(line = warning.line, path = %warning.path, "{}; {}", warning.what, warning.advice);
    }
    Ok(server)
}

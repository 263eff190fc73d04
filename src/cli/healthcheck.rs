//! `standfast healthcheck`: one question to a running instance, answered by the exit code, for images without a shell.

use std::process::ExitCode;

use super::ask::{self, InstanceArgs};
use super::exit::ExitReason;

/// Ask a running instance whether it is ready, for the health checks of containers: the exit code tells
#[derive(Clone, Debug, clap::Args)]
pub struct HealthcheckArgs {
    #[command(flatten)]
    instance: InstanceArgs,
    /// What is asked for: /readyz, /livez, or the health page of something else
    #[arg(long, value_name = "PATH", default_value = "/readyz")]
    path: String,
}

/// Asks once.
pub fn run(options: &HealthcheckArgs) -> ExitCode {
    match options.instance.get(&options.path) {
        Ok((status, _)) if status.is_success() => ExitReason::Done.into(),
        Ok((status, text)) => {
            println!("{status}: {}", ask::printable(text.trim()));
            ExitReason::No.into()
        }
        Err(problem) => {
            println!("{}", ask::printable(&problem.to_string()));
            ExitReason::No.into()
        }
    }
}

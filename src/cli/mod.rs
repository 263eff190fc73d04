//! The command line: one file a subcommand.

mod ask;
pub mod check;
pub mod demo;
mod embedded;
pub mod healthcheck;
pub mod run;
pub mod status;
mod text_table;
pub mod upstream;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// A layer-4/7 failover reverse proxy: atomic switches, measured recovery, honest retries.
#[derive(Debug, Parser)]
#[command(name = "standfast", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy with a configuration file
    Run(run::Options),
    /// Check a configuration file: every problem at once, and the arithmetic behind the recovery objectives
    Check(check::CheckArgs),
    /// Show the main job with embedded upstreams: no file needed
    Demo(demo::Options),
    /// Show services, pools, endpoints and the last switches of a running instance
    Status(status::StatusArgs),
    /// Ask a running instance whether it is ready, for the health checks of containers: the exit code tells
    Healthcheck(healthcheck::Options),
    /// A small HTTP server to stand behind the proxy, to try it out
    Upstream(upstream::Options),
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs what the command line asks for. Exit codes: 2 for a wrong command line; else as documented by each command.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Check(args) => check::run(&args),
        Command::Demo(options) => demo::run(&options),
        Command::Status(args) => status::run(&args),
        Command::Healthcheck(options) => healthcheck::run(&options),
        Command::Upstream(options) => upstream::run(&options),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "standfast", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}

//! The command line: one file a subcommand.

pub mod act;
mod act_answer;
mod ask;
pub mod audit;
pub mod check;
mod config_file;
pub mod demo;
mod embedded;
mod exit;
pub mod explain;
mod file_change;
pub mod healthcheck;
pub mod incidents;
pub mod journal;
pub mod run;
mod server_process;
pub mod status;
mod text_table;
pub mod token;
pub mod upstream;

use std::process::ExitCode;
use std::sync::OnceLock;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::exit::{COMMANDS, ExitReason, PROGRAM};

/// A layer-4/7 failover reverse proxy: atomic switches, measured recovery, honest retries.
#[derive(Debug, Parser)]
#[command(name = "standfast", version = version(), propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What a command does is said at its options: the first line in the list, all of it in its own `--help`.
#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Check(check::CheckArgs),
    /// Show the main job with embedded upstreams: no file needed
    Demo(demo::DemoArgs),
    Status(status::StatusArgs),
    Incidents(incidents::IncidentsArgs),
    Explain(explain::ExplainArgs),
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Move a service to another pool, and keep it there
    Switchover(act::ToPoolArgs),
    /// Bring a service home now, without waiting for the hold-down
    Failback(act::ServiceArgs),
    /// Keep a service on a pool whatever happens, until `unpin`
    Pin(act::PinArgs),
    /// Let a service decide freely again
    Unpin(act::ServiceArgs),
    /// End the freeze of elective switches of a service
    Thaw(act::ServiceArgs),
    /// Keep a service where it is, for a time
    Hold(act::HoldArgs),
    /// End a hold
    Release(act::ServiceArgs),
    /// Give an endpoint no new work; what it has begun may finish
    Drain(act::TakeOutArgs),
    /// Take an endpoint out of use
    Maint(act::TakeOutArgs),
    /// Take an endpoint back into use
    Ready(act::EndpointArgs),
    /// Give an endpoint another weight than the configured one
    Weight(act::WeightArgs),
    /// Eject an endpoint as failing traffic would
    Eject(act::EjectArgs),
    /// End the ejection of an endpoint
    Uneject(act::OneEndpointArgs),
    /// Follow this primary, whatever data was followed before
    Accept(act::OneEndpointArgs),
    /// Leave the pools of a zone with every service, for a time
    Evacuate(act::EvacuateArgs),
    /// End the evacuation of a zone
    Return(act::ZoneArgs),
    /// Put the configuration file into force
    Reload(act::ReloadArgs),
    /// Show what came of an act
    #[command(subcommand)]
    Act(act::ActCommands),
    Journal(journal::JournalArgs),
    Token(token::TokenArgs),
    Audit(audit::AuditArgs),
    Upstream(upstream::UpstreamArgs),
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// `0.1.0 (1a2b3c4d5e6f)`: the release, and the git revision when it is known.
fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| with_revision(env!("CARGO_PKG_VERSION"), option_env!("STANDFAST_REVISION")))
}

fn with_revision(release: &str, revision: Option<&str>) -> String {
    /// So many characters name a commit.
    const SHORT: usize = 12;
    match revision.map(str::trim) {
        None | Some("" | "unknown") => release.to_owned(),
        Some(revision) => format!("{release} ({})", revision.get(..SHORT).unwrap_or(revision)),
    }
}

/// The command line with examples, exit codes and environment variables in every `--help`.
fn command() -> clap::Command {
    let command = Cli::command().after_help(PROGRAM.text());
    COMMANDS.iter().fold(command, |command, help| {
        let with_help = |command: clap::Command| command.after_help(help.text());
        command.mut_subcommand(help.command, |subcommand| with_help(subcommand).mut_subcommands(with_help))
    })
}

/// Runs what the command line asks for. The exit codes are in [`exit`].
pub fn main() -> ExitCode {
    let parsed = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    match parsed {
        Ok(cli) => run(cli.command),
        Err(error) => {
            // A reader that has seen enough (`| head`) is no error.
            let _ = error.print();
            let asked_health = std::env::args_os().nth(1).is_some_and(|command| command == "healthcheck");
            match (error.use_stderr(), asked_health) {
                (false, _) => ExitReason::Done.into(), // `--help`, `--version`
                (true, false) => ExitReason::NotAsked.into(),
                (true, true) => ExitReason::No.into(), // Docker reserves 2
            }
        }
    }
}

fn run(command: Command) -> ExitCode {
    match command {
        Command::Run(options) => run::run(&options),
        Command::Check(args) => check::run(&args),
        Command::Demo(options) => demo::run(&options),
        Command::Status(args) => status::run(&args),
        Command::Incidents(args) => incidents::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Healthcheck(options) => healthcheck::run(&options),
        Command::Switchover(args) => act::switchover(&args),
        Command::Failback(args) => act::on_service("failback", &args),
        Command::Pin(args) => act::pin(&args),
        Command::Unpin(args) => act::on_service("unpin", &args),
        Command::Thaw(args) => act::on_service("thaw", &args),
        Command::Drain(args) => act::take_out("drain", &args),
        Command::Maint(args) => act::take_out("maint", &args),
        Command::Ready(args) => act::ready(&args),
        Command::Hold(args) => act::hold(&args),
        Command::Release(args) => act::on_service("release", &args),
        Command::Weight(args) => act::weight(&args),
        Command::Eject(args) => act::eject(&args),
        Command::Uneject(args) => act::uneject(&args),
        Command::Accept(args) => act::accept(&args),
        Command::Evacuate(args) => act::evacuate(&args),
        Command::Return(args) => act::end_evacuation(&args),
        Command::Reload(args) => act::reload(&args),
        Command::Act(act::ActCommands::Show(args)) => act::show(&args),
        Command::Journal(args) => journal::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Upstream(options) => upstream::run(&options),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut self::command(), "standfast", &mut std::io::stdout());
            ExitReason::Done.into()
        }
    }
}

#[cfg(test)]
#[path = "../build.rs"]
#[allow(dead_code, reason = "its `main` is for cargo")]
mod build_script;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_that_of_the_working_copy_itself_or_of_the_package() {
        let folder = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let mut command = std::process::Command::new("git");
            for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR"] {
                command.env_remove(variable);
            }
            command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
            command.current_dir(&folder).args(["-c", "user.name=a", "-c", "user.email=a@example.com"]).args(arguments);
            let output = command.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        assert_eq!(build_script::checked_out(folder.path()), None, "no repository");
        git(&["init", "--quiet"]);
        assert_eq!(build_script::checked_out(folder.path()), None, "no commit");
        git(&["commit", "--quiet", "--allow-empty", "--message", "first"]);
        let revision = git(&["rev-parse", "HEAD"]);
        assert_eq!(build_script::checked_out(folder.path()), Some(revision.clone()));
        assert!(build_script::git_path(folder.path(), "HEAD").is_some_and(|path| path.is_file()));
        assert_eq!(build_script::git_path(folder.path(), "packed-refs"), None, "it is not there");
        let inside = folder.path().join("vendor/standfast");
        std::fs::create_dir_all(&inside).unwrap();
        assert_eq!(build_script::checked_out(&inside), None, "the repository around it is another one");
        assert_eq!(build_script::packaged(&inside), None);
        let info = format!("{{\n  \"git\": {{\n    \"sha1\": \"{revision}\"\n  }}\n}}");
        std::fs::write(inside.join(".cargo_vcs_info.json"), info).unwrap();
        assert_eq!(build_script::packaged(&inside), Some(revision));
        std::fs::write(inside.join(".cargo_vcs_info.json"), "{\"git\": {\"sha1\": \"$(x)\"}}").unwrap();
        assert_eq!(build_script::packaged(&inside), None, "not a revision");
    }

    #[test]
    fn every_command_has_examples_that_its_own_command_line_accepts() {
        let names: Vec<_> = Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
        assert_eq!(names, COMMANDS.map(|help| help.command));
        for help in COMMANDS.iter().chain([&PROGRAM]) {
            for (line, _) in help.examples {
                let words = line.split(" > ").next().unwrap_or_default().split(' ');
                command().try_get_matches_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
                assert!(help.command.is_empty() || line.split(' ').nth(1) == Some(help.command), "{line}");
            }
        }
    }

    #[test]
    fn every_help_has_examples_and_exit_codes_and_the_variables_that_are_read() {
        for name in COMMANDS.map(|help| help.command) {
            let help = command().try_get_matches_from(["standfast", name, "--help"]).unwrap_err().to_string();
            assert!(name != "run" || help.contains("SIGHUP"), "what signals do: {help}");
            for word in ["Examples:", "Exit codes:", &format!("standfast {name}")] {
                assert!(help.contains(word), "{name}: {word}\n{help}");
            }
            for (command, variable) in [
                ("run", "STANDFAST_CONFIG"),
                ("run", "STANDFAST_LOG"),
                ("check", "STANDFAST_CONFIG"),
                ("status", "STANDFAST_ADMIN"),
                ("healthcheck", "STANDFAST_ADMIN"),
            ] {
                assert!(name != command || help.contains(variable), "{name}: {variable}\n{help}");
            }
        }
        let help = command().try_get_matches_from(["standfast", "--help"]).unwrap_err().to_string();
        assert!(help.contains("STANDFAST_CONFIG") && help.contains("Exit codes:"), "{help}");
    }

    #[test]
    fn the_version_names_a_revision_that_is_known() {
        assert_eq!(with_revision("1.2.3", Some("0123456789abcdef0123")), "1.2.3 (0123456789ab)");
        for unknown in [None, Some(""), Some(" "), Some("unknown")] {
            assert_eq!(with_revision("1.2.3", unknown), "1.2.3");
        }
        assert_eq!(with_revision("1.2.3", Some("v2")), "1.2.3 (v2)");
    }
}

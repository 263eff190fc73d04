//! `standfast audit`: verifies, shows and exports an audit log, and makes the key of its checkpoints.

mod export;
mod key;
mod log;
mod show;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;

use super::exit::ExitReason;

/// Verify, show or export the audit log, or make the key that signs its checkpoints
///
/// The log is a chain of lines: `verify` finds records that were edited, removed, inserted or moved, and says what it cannot prove.
#[derive(Clone, Debug, clap::Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum AuditCommand {
    Verify(verify::VerifyArgs),
    Show(show::ShowArgs),
    Export(export::ExportArgs),
    /// The key that signs checkpoints
    Key(key::KeyArgs),
}

/// Does what is asked for.
pub fn run(args: &AuditArgs) -> ExitCode {
    let done = match &args.command {
        AuditCommand::Verify(args) => verify::run(args),
        AuditCommand::Show(args) => show::run(args),
        AuditCommand::Export(args) => export::run(args),
        AuditCommand::Key(args) => key::run(args),
    };
    done.unwrap_or_else(|problem| {
        eprintln!("standfast audit: {}", standfast::text::printable_lines(&problem));
        ExitReason::NotAsked
    })
    .into()
}

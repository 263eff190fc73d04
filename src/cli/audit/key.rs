//! `standfast audit key`

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use standfast::audit::{CheckpointKey, CheckpointVerifier};
use standfast::config;
use standfast::control::{host_instance, instance_name};

use super::super::config_file::ConfigFile;
use super::super::exit::ExitReason;

/// What is done with a key.
#[derive(Clone, Debug, clap::Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum KeyCommand {
    New(NewArgs),
}

/// Make a key: FILE gets the private half, and the public half is printed
///
/// FILE is `audit.checkpoint.key_file`, for the user that runs the proxy alone (mode 0600); one that is there is not replaced. Keep the
/// public half on another machine, for `standfast audit verify --key`.
#[derive(Clone, Debug, clap::Args)]
struct NewArgs {
    /// The file to be made
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// The instance that signs with it [default: that of the configuration, else the name of this host]
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
}

pub fn run(args: &KeyArgs) -> Result<ExitReason, String> {
    let KeyCommand::New(args) = &args.command;
    let public = new_key(&args.file, &args.instance.clone().unwrap_or_else(configured))?;
    println!("{public}");
    Ok(ExitReason::Done)
}

/// The instance of the configuration at the default place, or that of this host.
fn configured() -> String {
    let file = ConfigFile::named(None).find("audit key").ok();
    let config = file.and_then(|file| config::load(&file).ok());
    config.map_or_else(host_instance, |loaded| instance_name(&loaded.config)).to_string()
}

fn new_key(file: &Path, instance: &str) -> Result<CheckpointVerifier, String> {
    let pem = CheckpointKey::generate().map_err(|error| error.to_string())?;
    let key = CheckpointKey::parse(instance, &pem).map_err(|error| format!("--instance {instance}: {error}"))?;
    let problem = |error| format!("{}: cannot be made: {error}", file.display());
    let mut private = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(problem)?;
    private.write_all(pem.as_bytes()).and_then(|()| private.sync_all()).map_err(problem)?;
    Ok(key.verifier())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_for_its_user_alone_and_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("audit.key");
        let public = new_key(&file, "edge-1").unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let pem = std::fs::read_to_string(&file).unwrap();
        assert_eq!(CheckpointKey::parse("edge-1", &pem).unwrap().verifier(), public);
        assert!(new_key(&file, "edge-1").unwrap_err().contains("cannot be made"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), pem);
        let bad = folder.path().join("bad.key");
        assert!(new_key(&bad, "a b").is_err() && !bad.exists());
    }
}

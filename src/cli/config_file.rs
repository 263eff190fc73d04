//! Which configuration file a command reads.

use std::path::{Path, PathBuf};

use standfast::config::Problems;

/// Read when no file is named.
const VARIABLE: &str = "STANDFAST_CONFIG";
/// Read when that is not set either.
const DEFAULT: &str = "/etc/standfast/standfast.yaml";

/// The file, by its place or by `-c`.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigFile {
    /// The configuration file [default: $STANDFAST_CONFIG, else /etc/standfast/standfast.yaml]
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// The same as FILE
    #[arg(short, long, value_name = "FILE", conflicts_with = "file", value_hint = clap::ValueHint::FilePath)]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// This one; `None` = the default.
    pub fn named(config: Option<PathBuf>) -> ConfigFile {
        ConfigFile { file: None, config }
    }

    /// The file that is named, or the default. `command`: the one that asks, for advice.
    ///
    /// # Errors
    /// None is named, and there is none at the default place.
    pub fn find(&self, command: &str) -> Result<PathBuf, Problems> {
        let named = self.file.as_ref().or(self.config.as_ref()).cloned();
        let variable = || std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        // (A file that is there and cannot be read is another problem, which its reader tells.)
        let default = || Some(PathBuf::from(DEFAULT)).filter(|path| !matches!(path.try_exists(), Ok(false)));
        named.or_else(variable).or_else(default).ok_or_else(|| none(command))
    }
}

/// No file is named, and there is none at the default place.
fn none(command: &str) -> Problems {
    Problems::of_file(
        Path::new(DEFAULT),
        format!("no configuration file: none was named, {VARIABLE} is not set, and {DEFAULT} does not exist"),
        &format!(
            "name one: `standfast {command} FILE` (config/minimal.yaml is one to start from); `standfast demo` needs none"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::none;

    #[test]
    fn the_command_that_was_typed_is_the_one_to_type_again() {
        for command in ["run", "check"] {
            let advice = &none(command).list[0].advice;
            assert!(advice.starts_with(&format!("name one: `standfast {command} FILE`")), "{advice}");
        }
    }
}

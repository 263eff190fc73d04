//! The private key of checkpoints, from its file.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::audit::CheckpointKey;

/// A key that was read.
#[derive(Debug)]
pub struct KeyFile {
    /// The key.
    pub key: CheckpointKey,
    /// Others may read it, too.
    pub warning: Option<String>,
}

/// Reads the key that signs checkpoints of this instance.
///
/// # Errors
/// What is wrong with the file, and what to do.
pub fn read_key(instance: &str, path: &Path) -> Result<KeyFile, String> {
    let shown = path.display();
    let unreadable = |error| format!("{shown}: cannot be read: {error}; `standfast audit key new {shown}` makes one");
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let mode = std::fs::metadata(path).map_err(unreadable)?.mode();
    let key = CheckpointKey::parse(instance, &text).map_err(|error| format!("{shown}: {error}"))?;
    let warning = (mode & 0o077 != 0).then(|| {
        format!("{shown}: other users may read this private key (mode {:04o}): `chmod 0600 {shown}`", mode & 0o7777)
    });
    Ok(KeyFile { key, warning })
}

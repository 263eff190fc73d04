//! The public keys of an issuer in a file. A set that is wrong, or that others than its owner could have written, is not taken.

use std::io;
use std::path::{Path, PathBuf};

use super::credential_file::{self, CredentialFileError, FileVersion};
use crate::access::jwks::LARGEST_SET;
use crate::access::{KeySet, KeySetError};

/// A key set that can be used.
#[derive(Clone, Debug)]
pub struct ReadKeySet {
    /// The keys.
    pub keys: KeySet,
    /// What was read.
    pub version: FileVersion,
}

/// Why a file of keys is refused.
#[derive(Debug, thiserror::Error)]
pub enum KeySetReadError {
    /// It cannot be read.
    #[error("{}: the key set cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than its owner could put their own key in it.
    #[error("{}: others than its owner can write it (mode {mode:04o})", path.display())]
    Writable {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is no usable set.
    #[error("{}: {problem}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: KeySetError,
    },
}

impl KeySetReadError {
    /// What to do.
    pub fn advice(&self) -> String {
        match self {
            KeySetReadError::Unreadable { .. } => {
                "put the key set of the issuer there, as its `jwks_uri` has it; the user that runs the proxy must be able to \
                 read it"
                    .to_owned()
            }
            KeySetReadError::Writable { path, .. } => format!("`chmod go-w {}`", path.display()),
            KeySetReadError::Wrong { .. } => "write what the `jwks_uri` of the issuer answers".to_owned(),
        }
    }
}

/// Reads a key set. Blocks.
///
/// # Errors
/// It cannot be read, others can write it, or it is no usable set.
pub fn read(path: &Path) -> Result<ReadKeySet, KeySetReadError> {
    let path = || path.to_owned();
    let (text, version) = credential_file::read(&path(), LARGEST_SET).map_err(|error| match error {
        CredentialFileError::Unreadable(source) => KeySetReadError::Unreadable { path: path(), source },
        CredentialFileError::Writable(mode) => KeySetReadError::Writable { path: path(), mode },
    })?;
    let keys = KeySet::parse(text.as_bytes()).map_err(|problem| KeySetReadError::Wrong { path: path(), problem })?;
    Ok(ReadKeySet { keys, version })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const SET: &str =
        r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    #[test]
    fn a_set_that_others_can_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        assert!(matches!(read(&path), Err(KeySetReadError::Unreadable { .. })));
        fs::write(&path, SET).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(&path).unwrap().keys.count(), 1);
        fs::set_permissions(&path, Permissions::from_mode(0o664)).unwrap();
        assert_eq!(read(&path).unwrap_err().advice(), format!("`chmod go-w {}`", path.display()));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "{}").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("it is no JWK set"));
        fs::write(&path, " ".repeat(LARGEST_SET + 1)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("larger than"));
    }
}

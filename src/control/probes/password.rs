//! The password of a probe.

use std::path::Path;

use super::error::ProbeError;
use crate::config::{CheckLogin, CheckPassword, Secret};
use crate::control::credential_file::{self, CredentialFileError};

/// Bytes of the longest password.
const LONGEST: usize = 4096;

/// The password of this login now. A file is read each time, on a thread for blocking work, so that a new password counts at once.
pub(super) async fn password(login: &CheckLogin) -> Result<Option<String>, ProbeError> {
    match &login.password {
        None => Ok(None),
        Some(CheckPassword::Text(text)) => Ok(Some(text.reveal().to_owned())),
        Some(CheckPassword::File(path)) => {
            let path = path.clone();
            let read = tokio::task::spawn_blocking(move || from_file(&path)).await;
            let read = read.map_err(|error| ProbeError::Local(format!("reading the password: {error}")))?;
            read.map(Some).map_err(ProbeError::Blind)
        }
    }
}

/// The text of a server without the password that it was sent: it may repeat it.
pub(super) fn without(password: Option<&str>, text: &str) -> String {
    password.map_or_else(|| text.to_owned(), |password| text.replace(password, Secret::HIDDEN))
}

/// The password in a file, and what is wrong with the file. Blocks.
pub(in crate::control) fn from_file(path: &Path) -> Result<String, String> {
    let (text, _) = credential_file::read(path, LONGEST).map_err(|error| match error {
        CredentialFileError::Unreadable(error) => format!("{}: the password cannot be read: {error}", path.display()),
        CredentialFileError::Writable(mode) => {
            format!("{}: others than its owner can write the password (mode {mode:04o})", path.display())
        }
    })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let password = line.strip_suffix('\r').unwrap_or(line);
    match password.is_empty() || password.contains('\0') {
        true => Err(format!("{}: there is no password in it", path.display())),
        false => Ok(password.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_line_feed_at_the_end_is_no_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        assert!(from_file(&path).unwrap_err().contains("cannot be read"));
        for (text, password) in
            [("s3 crét", "s3 crét"), ("s3\n", "s3"), ("s3\r\n", "s3"), ("a\nb\n", "a\nb"), (" s3 ", " s3 ")]
        {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
            assert_eq!(from_file(&path).as_deref(), Ok(password));
        }
        for text in ["", "\n", "a\0b"] {
            fs::write(&path, text).unwrap();
            assert!(from_file(&path).unwrap_err().contains("no password in it"), "{text:?}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        assert!(from_file(&path).unwrap_err().contains("mode 0666"));
    }
}

//! [`TokenStore`]: the tokens in force. Their file is read again when it has changed; a wrong one is told once, and the tokens of
//! before stay in force.

use std::path::Path;

use super::watched_file::{WatchedContent, WatchedFile};
use crate::access::tokens_file::TokenVerdict;
use crate::access::{BearerToken, TokenEntry, TokensFile};
use crate::control::credential_file::FileVersion;
use crate::control::tokens::{self, ReadTokens, TokensReadError};
use crate::sys::clock;

/// Tokens, and the file that they come from.
#[derive(Debug)]
pub(super) struct TokenStore(WatchedFile<TokensFile>);

/// What a token that was shown comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ShownToken {
    /// It is in force.
    Good(TokenEntry),
    /// It was.
    Expired(TokenEntry),
    /// It is none of ours.
    Unknown,
}

impl TokenStore {
    /// Reads the file. Blocks.
    pub fn open(path: &Path) -> Result<TokenStore, TokensReadError> {
        WatchedFile::open(path).map(TokenStore)
    }

    /// Looks at a token, and at the file first where that is due. Cancel safe.
    pub async fn verify(&self, token: &BearerToken) -> ShownToken {
        match self.0.current().await.verify(token, clock::wall_time()) {
            TokenVerdict::Good(entry) => ShownToken::Good(entry.clone()),
            TokenVerdict::Expired(entry) => ShownToken::Expired(entry.clone()),
            TokenVerdict::Unknown => ShownToken::Unknown,
        }
    }
}

impl WatchedContent for TokensFile {
    type Error = TokensReadError;
    const KEPT: &'static str = "the tokens of before";

    fn read(path: &Path) -> Result<(TokensFile, FileVersion), TokensReadError> {
        tokens::read(path).map(|ReadTokens { file, version }| (file, version))
    }

    fn is_refused(error: &TokensReadError) -> bool {
        !matches!(error, TokensReadError::Unreadable { .. })
    }

    fn advice(error: &TokensReadError) -> String {
        error.advice()
    }

    fn tell_read(&self, path: &Path) {
        tracing::info!(path = %path.display(), tokens = self.entries().len(), "the tokens file was read again");
    }

    fn warn(&self, path: &Path) {
        for warning in self.warnings(clock::wall_time()) {
            tracing::warn!(path = %path.display(), "{warning}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn line(token: &BearerToken, role: &str) -> String {
        format!("{} ada {role} * 2026-11-30 never {}\n", token.id(), token.secret_hash().to_hex())
    }

    #[test]
    fn a_wrong_file_is_told_once_and_the_tokens_of_before_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let (first, second) = (BearerToken::generate().unwrap(), BearerToken::generate().unwrap());
        fs::write(&path, line(&first, "viewer")).unwrap();
        let store = TokenStore::open(&path).unwrap();
        let is_good =
            |token: &BearerToken| matches!(store.0.in_force().verify(token, clock::wall_time()), TokenVerdict::Good(_));
        fs::write(&path, line(&first, "viewer") + &line(&second, "viewer")).unwrap();
        assert!(is_good(&first) && !is_good(&second), "not looked at yet");
        store.0.look();
        assert!(is_good(&second));
        fs::write(&path, line(&first, "root")).unwrap();
        store.0.look();
        assert!(is_good(&first) && is_good(&second) && store.0.trouble().unwrap().contains("`root` is no role"));
        fs::write(&path, line(&first, "admin")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        store.0.look();
        assert!(is_good(&second) && store.0.trouble().unwrap().contains("0666"));
        fs::remove_file(&path).unwrap();
        store.0.look();
        assert!(is_good(&second) && store.0.trouble().unwrap().contains("cannot be read"));
        fs::write(&path, line(&first, "admin")).unwrap();
        store.0.look();
        assert!(is_good(&first) && !is_good(&second) && store.0.trouble().is_none());
    }
}

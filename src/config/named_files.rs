//! Files for TLS, of tokens and of keys that a configuration names, and files that are written. Other rooms look at them; each file carries its place in
//! the configuration, so that a problem with it is told with line and caret like any other.

use std::path::PathBuf;

use super::diagnostic::Severity;
use super::problem::Problem;
use super::tree::NodeId;

/// What is looked at together. A file that the configuration does not name is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedFiles<File = NamedFile> {
    /// A certificate of ours and its key.
    Pair {
        /// The certificate, with its chain.
        certificate: Option<File>,
        /// Its private key.
        key: Option<File>,
    },
    /// Certificates of authorities.
    Authorities {
        /// The file.
        file: File,
        /// Certificates that are no CA are trusted as they are.
        pins: bool,
    },
    /// The file that lists bearer tokens.
    Tokens {
        /// The file.
        file: File,
    },
    /// The public keys of an issuer of JSON web tokens.
    KeySet(File),
    /// The password of a check.
    Password(File),
    /// The program of a check.
    Program(File),
    /// The public RSA key of a server that a check logs in to.
    ServerKey(File),
    /// A file that is written.
    Written {
        /// The file.
        file: File,
        /// Without it nothing starts.
        required: bool,
    },
    /// The private key of checkpoints.
    CheckpointKey(File),
}

/// A file and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// The file; a relative path is already joined to the folder of the configuration.
    pub path: PathBuf,
    /// A problem that says nothing yet.
    pub(super) place: Problem,
}

impl NamedFile {
    /// What is wrong with it, and what to do.
    pub fn problem(&self, severity: Severity, what: &str, advice: &str) -> Problem {
        self.place.saying(severity, what, advice)
    }
}

/// A file while the tree is still at hand.
pub(super) type TypedFile = (NodeId, PathBuf);

impl NamedFiles<TypedFile> {
    /// The same with places looked up.
    pub(super) fn placed(self, place: &mut dyn FnMut(NodeId) -> Problem) -> NamedFiles {
        let mut named = |(at, path): TypedFile| NamedFile { path, place: place(at) };
        match self {
            NamedFiles::Pair { certificate, key } => {
                NamedFiles::Pair { certificate: certificate.map(&mut named), key: key.map(&mut named) }
            }
            NamedFiles::Authorities { file, pins } => NamedFiles::Authorities { file: named(file), pins },
            NamedFiles::Tokens { file } => NamedFiles::Tokens { file: named(file) },
            NamedFiles::KeySet(file) => NamedFiles::KeySet(named(file)),
            NamedFiles::Password(file) => NamedFiles::Password(named(file)),
            NamedFiles::Program(file) => NamedFiles::Program(named(file)),
            NamedFiles::ServerKey(file) => NamedFiles::ServerKey(named(file)),
            NamedFiles::CheckpointKey(file) => NamedFiles::CheckpointKey(named(file)),
            NamedFiles::Written { file, required } => NamedFiles::Written { file: named(file), required },
        }
    }
}

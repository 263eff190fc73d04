//! The unix socket of the admin port: made so that its mode and group hold before it can be reached, and removed at a stop.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::users;
use crate::config::AdminSocket;

/// Connections that the kernel holds for us before we accept them.
const BACKLOG: i32 = 128;

/// Why the unix socket could not be made, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum UnixSocketError {
    /// Something else stands in its place.
    #[error("{}: there is {found}, and no socket: it stays as it is; move it away, or choose another path", path.display())]
    NoSocket {
        /// The path.
        path: PathBuf,
        /// What stands there.
        found: &'static str,
    },
    /// Another process listens on it.
    #[error("{}: another process answers on this socket: stop it, or choose another path (`ss -lxp` shows it)", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// This host has no such group.
    #[error("{}: this host has no group `{group}`: create it, or write another one as `admin.socket.group`", path.display())]
    NoGroup {
        /// The path.
        path: PathBuf,
        /// The group.
        group: String,
    },
    /// Anything else.
    #[error("{}: {doing}: {source}", path.display())]
    Other {
        /// The path.
        path: PathBuf,
        /// What failed.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// A socket in the file system. It is removed when this is dropped, unless another one has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    made: Option<(u64, u64)>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.made.is_some() && inode(&self.path) == self.made {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the socket and listens on it. Blocks on the file system.
pub(super) fn listen(socket: &AdminSocket) -> Result<(UnixListener, SocketFile), UnixSocketError> {
    let path = &socket.path;
    let failed = |doing| move |source| UnixSocketError::Other { path: path.clone(), doing, source };
    let group = socket.group.as_deref().map(|group| {
        let no_group = || UnixSocketError::NoGroup { path: path.clone(), group: group.to_owned() };
        users::group_id(group).ok_or_else(no_group)
    });
    let group = group.transpose()?;
    remove_stale(path)?;
    let listener = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).map_err(failed("no socket"))?;
    let address = SockAddr::unix(path).map_err(failed("this path cannot be a socket's"))?;
    // Bound and not listening yet: nothing can connect.
    listener.bind(&address).map_err(failed("the socket cannot be made (does its folder exist?)"))?;
    let file = SocketFile { path: path.clone(), made: inode(path) };
    if group.is_some() {
        lchown(path, None, group).map_err(failed("its group cannot be set (this process is no member of it)"))?;
    }
    fs::set_permissions(path, Permissions::from_mode(socket.mode)).map_err(failed("its mode cannot be set"))?;
    listener.listen(BACKLOG).map_err(failed("cannot listen on it"))?;
    Ok((listener.into(), file))
}

/// Removes a socket that nothing listens on any more. What is no socket, or answers, stays and is an error.
fn remove_stale(path: &Path) -> Result<(), UnixSocketError> {
    let failed = |doing| move |source| UnixSocketError::Other { path: path.to_owned(), doing, source };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("it cannot be looked at")(error)),
    };
    if !found.is_socket() {
        let found = match found {
            _ if found.is_dir() => "a folder",
            _ if found.is_symlink() => "a link",
            _ if found.is_file() => "a file",
            _ => "a FIFO or device",
        };
        return Err(UnixSocketError::NoSocket { path: path.to_owned(), found });
    }
    match answers(path) {
        Ok(true) => Err(UnixSocketError::InUse { path: path.to_owned() }),
        Ok(false) => fs::remove_file(path).map_err(failed("a socket of before cannot be removed")),
        Err(error) => Err(failed("it cannot be found out whether another process answers on it")(error)),
    }
}

/// Does a process listen there? It is asked without waiting: with a full backlog it listens too.
fn answers(path: &Path) -> io::Result<bool> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => Ok(true),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock => Ok(true),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Ok(false),
            _ => Err(error),
        },
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

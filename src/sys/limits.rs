//! The process's resource limits.

use rustix::process::{Resource, getrlimit, setrlimit};

/// How many descriptors the process may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// The soft limit in force; `None` = unlimited.
    pub limit: Option<u64>,
    /// The soft limit before it was raised; `None` = it was not.
    pub raised_from: Option<u64>,
}

/// Raises the soft limit of open descriptors to the hard one, where the system allows.
pub fn raise_descriptors() -> Descriptors {
    let before = getrlimit(Resource::Nofile);
    let mut wanted = before;
    wanted.current = before.maximum;
    if before.current == before.maximum || setrlimit(Resource::Nofile, wanted).is_err() {
        return Descriptors { limit: before.current, raised_from: None };
    }
    Descriptors { limit: wanted.current, raised_from: before.current }
}

/// How many more descriptors the process may open now. It looks at each open one. `None`: there is no limit, or the platform does
/// not tell.
pub fn free_descriptors() -> Option<usize> {
    let process = super::process::Process::now();
    let free = process.max_fds()?.saturating_sub(process.open_fds()?);
    usize::try_from(free).ok()
}

//! The process's resource limits.

use rustix::process::{Resource, getrlimit, setrlimit};

/// How many descriptors the process may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorLimit {
    /// The soft limit in force; `None` = unlimited.
    pub limit: Option<u64>,
    /// The soft limit before it was raised; `None` = it was not.
    pub raised_from: Option<u64>,
}

/// Raises the soft limit of open descriptors to the hard one, where the system allows.
pub fn raise_descriptors() -> DescriptorLimit {
    let before = getrlimit(Resource::Nofile);
    let mut wanted = before;
    wanted.current = before.maximum;
    if before.current == before.maximum || setrlimit(Resource::Nofile, wanted).is_err() {
        return DescriptorLimit { limit: before.current, raised_from: None };
    }
    DescriptorLimit { limit: wanted.current, raised_from: before.current }
}

/// The soft limit of open descriptors that is in force; `None` = unlimited.
pub fn descriptor_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// How many more descriptors the process may open now. It looks at each open one. `None`: there is no limit, or the platform does
/// not tell.
pub fn free_descriptors() -> Option<usize> {
    let process = super::process::ProcessUsage::now();
    let limit = process.max_fds()?;
    match process.open_fds() {
        Some(open) => usize::try_from(limit.saturating_sub(open)).ok(),
        // Counting takes a descriptor too.
        None => none_is_left().then_some(0),
    }
}

fn none_is_left() -> bool {
    let opened = std::fs::File::open("/dev/null");
    opened.is_err_and(|error| error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()))
}

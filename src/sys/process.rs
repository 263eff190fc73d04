//! What the operating system says about this process. A number that a platform does not tell is `None`.

use std::os::fd::OwnedFd;
use std::process::Child;

use tokio::io::unix::AsyncFd;

use super::clock;

/// This process, seen from its start.
#[derive(Clone, Copy, Debug)]
pub struct ProcessUsage {
    /// When it started (as far as it knows itself), in milliseconds since the Unix epoch.
    pub started_unix_millis: u64,
}

impl ProcessUsage {
    /// It starts now.
    pub fn now() -> ProcessUsage {
        ProcessUsage { started_unix_millis: clock::unix_millis() }
    }

    /// User and system CPU time in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> Option<u64> {
        let text = std::fs::read_to_string("/proc/self/status").ok()?;
        let kib = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?;
        kib.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    }

    /// Open file descriptors (the one that looks is not counted).
    pub fn open_fds(&self) -> Option<u64> {
        let open = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        Some(open.saturating_sub(1))
    }

    /// The most file descriptors it may open; `None` = no limit.
    pub fn max_fds(&self) -> Option<u64> {
        rustix::process::getrlimit(rustix::process::Resource::Nofile).current
    }
}

/// Descriptors that this process was started with, beside the first three, are not passed on to commands that it starts. (What it
/// opens itself never is.)
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "rustix has no close_range")]
pub fn keep_inherited_descriptors() {
    // SAFETY: it takes numbers and closes nothing: it sets a flag of the descriptors that are open. (Kernels before 5.11 refuse it.)
    let _ = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// Other systems have no call for it.
#[cfg(not(target_os = "linux"))]
pub fn keep_inherited_descriptors() {}

/// Becomes readable when this child has ended. `None`: the system has no such descriptor. Must run inside a runtime.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "tokio wants to be promised that the descriptor stays what it is")]
pub fn end_of_child(child: &Child) -> Option<AsyncFd<OwnedFd>> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let end = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).ok()?;
    // SAFETY: what is owned stays open, and the same, until it is dropped.
    unsafe { AsyncFd::register_with_interest(end, tokio::io::Interest::READABLE) }.ok()
}

/// … other systems.
#[cfg(not(target_os = "linux"))]
pub fn end_of_child(_: &Child) -> Option<AsyncFd<OwnedFd>> {
    None
}

/// The name of this host.
pub fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn linux_tells_everything() {
        let process = ProcessUsage::now();
        assert!(process.cpu_seconds() > 0.0);
        assert!(process.resident_bytes().is_some_and(|bytes| bytes > 100_000));
        let before = process.open_fds().unwrap();
        assert!(before >= 3 && Some(before) < process.max_fds().or(Some(u64::MAX)));
    }
}

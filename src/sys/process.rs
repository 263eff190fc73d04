//! What the operating system says about this process. A number that a platform does not tell is `None`.

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

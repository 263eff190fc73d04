//! Running out of descriptors. The limit and the descriptors are the process's: these tests have one of their own, and each
//! of them has it alone while it runs.

#[path = "../support/mod.rs"]
mod support;

mod accepting;
mod instance;
#[cfg(target_os = "linux")]
mod pipes;

use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

static ALONE: Mutex<()> = Mutex::new(());

/// No other test of this process runs meanwhile; at its end the limit is what it was.
struct DescriptorLimit {
    before: Rlimit,
    _alone: MutexGuard<'static, ()>,
}

impl DescriptorLimit {
    /// Runs this test while no other one of this process runs. The runtime too is made, and gone with all its sockets, in its turn.
    fn alone(test: impl AsyncFnOnce(&DescriptorLimit)) {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let descriptors = DescriptorLimit { before: getrlimit(Resource::Nofile), _alone: alone };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(test(&descriptors));
        drop(runtime);
    }

    /// At most this many, from now on.
    fn limit(&self, most: u64) {
        set(Rlimit { current: Some(most), maximum: self.before.maximum });
    }

    /// As many as at the beginning.
    fn restore(&self) {
        set(self.before);
    }
}

impl Drop for DescriptorLimit {
    fn drop(&mut self) {
        self.restore();
    }
}

fn set(limit: Rlimit) {
    setrlimit(Resource::Nofile, limit).expect("no more than the maximum");
}

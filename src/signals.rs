//! Signals of the commands that run until they are told to stop. Their handlers stand before anything else happens, so that no
//! signal ends the process by default, and none is lost when the process is PID 1, which has no default.

use std::io;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals sent since the handlers were set up; of several pending ones of a kind one is kept.
#[derive(Debug)]
pub struct Signals {
    /// SIGTERM, SIGINT and SIGQUIT.
    pub stop: StopSignals,
    /// SIGHUP.
    pub hangup: Signal,
    /// SIGUSR1: open log files again.
    pub reopen: Signal,
    /// SIGUSR2: means nothing yet.
    pub reserved: Signal,
    // A write beyond the limit of a file's size then fails, and does not end the process.
    _file_size: Signal,
}

/// The signals that stop.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    /// Sets the handlers up.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn install(runtime: &Runtime) -> io::Result<Signals> {
        let _inside = runtime.enter();
        Ok(Signals {
            stop: StopSignals {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                quit: signal(SignalKind::quit())?,
            },
            hangup: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
            reserved: signal(SignalKind::user_defined2())?,
            _file_size: signal(SignalKind::from_raw(libc::SIGXFSZ))?,
        })
    }

    /// Waits for a signal to stop, of a command without a configuration to read again: SIGHUP, which a closed terminal sends,
    /// is one too. Cancel safe.
    pub async fn end(&mut self) -> &'static str {
        tokio::select! {
            name = self.stop.any() => name,
            () = next(&mut self.hangup) => "SIGHUP",
        }
    }

    /// Runs what blocks on a thread of its own. `None`: a signal to stop came first; the thread is left behind.
    pub async fn unless_stopped<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Option<T>> {
        let (done, ended) = tokio::sync::oneshot::channel();
        let start = std::thread::Builder::new().name("start".to_owned());
        start.spawn(move || drop(done.send(work())))?;
        tokio::select! {
            biased;
            name = self.stop.any() => {
                eprintln!("standfast: stopped by {name} before it had started");
                Ok(None)
            }
            ended = ended => ended.map(Some).map_err(|_| io::Error::other("the start panicked")),
        }
    }
}

impl StopSignals {
    /// Waits for SIGTERM, SIGINT or SIGQUIT; its name. Cancel safe.
    pub async fn any(&mut self) -> &'static str {
        tokio::select! {
            () = next(&mut self.terminate) => "SIGTERM",
            () = next(&mut self.interrupt) => "SIGINT",
            () = next(&mut self.quit) => "SIGQUIT",
        }
    }

    /// Runs a phase of the stop to its end. Each SIGTERM or SIGINT meanwhile asks for that end at once.
    pub async fn phase<T>(&mut self, name: &str, work: impl Future<Output = T>, end_now: impl Fn()) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            let signal = tokio::select! {
                biased;
                done = work.as_mut() => return done,
                () = next(&mut self.terminate) => "SIGTERM",
                () = next(&mut self.interrupt) => "SIGINT",
            };
            tracing::warn!(signal, phase = name, "a further signal to stop: this phase ends now");
            end_now();
        }
    }
}

/// Waits for the next one. Cancel safe.
pub async fn next(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        // The runtime ends.
        std::future::pending().await
    }
}

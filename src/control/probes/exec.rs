//! The probe by a program: its exit code is the verdict, the first line of its output the reason.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{ProbeError, mismatch};
use super::kept::ProbeRun;
use crate::config::{Endpoint, ExecCheck};
use crate::control::command::{Command, CommandEnd, CommandResult};
use crate::decision::ProbeFailure;
use crate::sys::clock;

/// Programs that run at once, for each processor.
const EACH_PROCESSOR: usize = 4;

/// Characters of the reason.
const REASON: usize = 150;

/// Places for the programs of all checks.
static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(processors * EACH_PROCESSOR))
});

/// Where a checked endpoint is, by name.
#[derive(Clone, Copy)]
pub(super) struct CheckedPlace<'a> {
    pub(super) service: &'a str,
    pub(super) pool: &'a str,
}

/// A probe by a program.
pub(super) struct ExecProbe(Command);

impl ExecProbe {
    /// The program with what it has to know of the endpoint. `timeout`: of the check.
    pub(super) fn new(
        check: &ExecCheck,
        endpoint: &Endpoint,
        address: std::net::SocketAddr,
        place: &CheckedPlace<'_>,
        timeout: Duration,
    ) -> ExecProbe {
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let host = endpoint.host.as_deref().unwrap_or(&ip);
        let filled = |argument: &String| fill(argument, [&ip, &port, host]).into();
        let known = [
            ("ADDRESS", ip.clone()),
            ("PORT", port.clone()),
            ("HOST", host.to_owned()),
            ("ENDPOINT", endpoint.name.as_deref().map_or_else(|| endpoint.address.to_string(), str::to_owned)),
            ("POOL", place.pool.to_owned()),
            ("SERVICE", place.service.to_owned()),
            ("TIMEOUT_MS", timeout.as_millis().to_string()),
        ];
        let known = known.into_iter().map(|(name, value)| (format!("STANDFAST_{name}"), value));
        let configured = check.environment.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned()));
        ExecProbe(Command {
            program: check.program.clone(),
            arguments: check.arguments.iter().map(filled).collect(),
            environment: configured.chain(known).collect(),
        })
    }

    /// A place to run it, when there is one. The wait is no part of the probe. Cancel safe.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        // (It is never closed.)
        PLACES.clone().acquire_owned().await.ok()
    }

    pub(super) async fn probe(
        &mut self,
        attempt: &ProbeRun<'_>,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<Duration, ProbeError> {
        let start = clock::now();
        let result = self.0.run_in(attempt.timeout, place).await.map_err(|error| not_started(&error))?;
        verdict(&result, attempt.timeout)?;
        Ok(clock::now().since(start))
    }
}

/// An argument with what its placeholders stand for. (What was filled in is not looked at again.)
fn fill(argument: &str, values: [&str; 3]) -> String {
    let mut out = String::with_capacity(argument.len());
    let mut rest = argument;
    while let Some(from) = rest.find('{') {
        out.push_str(&rest[..from]);
        rest = &rest[from..];
        let found = crate::config::EXEC_PLACEHOLDERS.iter().zip(values).find(|(name, _)| rest.starts_with(**name));
        let (written, length) = found.map_or(("{", 1), |(name, value)| (value, name.len()));
        out.push_str(written);
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

/// What the end of a program says: 0 = healthy, 1 = unhealthy, and all else that it could not find out.
fn verdict(result: &CommandResult, timeout: Duration) -> Result<(), ProbeError> {
    let reason = result.first_line(REASON);
    let with_reason = |what: &str| reason.as_ref().map_or_else(|| what.to_owned(), |line| format!("{what}: {line}"));
    match result.end {
        CommandEnd::Exited(0) => Ok(()),
        CommandEnd::Exited(1) => Err(mismatch(with_reason("exit code 1"))),
        CommandEnd::Exited(code) => Err(ProbeError::Blind(with_reason(&format!("exit code {code}")))),
        CommandEnd::Signalled(signal) => Err(ProbeError::Blind(with_reason(&format!("ended by signal {signal}")))),
        CommandEnd::TimedOut => {
            let what = format!("killed after {}", humantime::format_duration(timeout));
            Err(ProbeError::Fail(ProbeFailure::Timeout, with_reason(&what)))
        }
    }
}

/// A program that is not there, or may not be run, is a fault of the check; all else is one of this host.
fn not_started(error: &std::io::Error) -> ProbeError {
    use std::io::ErrorKind;
    let detail = format!("the program cannot be run: {error}");
    let is_of_the_check = matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::NotADirectory | ErrorKind::InvalidInput
    );
    match is_of_the_check || error.raw_os_error() == Some(libc::ENOEXEC) {
        true => ProbeError::Blind(detail),
        false => ProbeError::Local(detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_once() {
        let filled = |argument| fill(argument, ["10.0.0.1", "80", "{port}"]);
        assert_eq!(filled("--url=http://{address}:{port}/{}"), "--url=http://10.0.0.1:80/{}");
        assert_eq!(filled("{host}{"), "{port}{");
        assert_eq!(filled("{{port}}"), "{80}");
        assert_eq!(filled("ä{adress}"), "ä{adress}");
    }
}

//! [`RunningHooks`]: the hooks of `failover.fence` that run now.

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::command::{Command, CommandEnd};
use super::webhook;
use crate::config::{FenceHook, HookAction, Name};
use crate::decision::{Event, Gate, GateOutcome, TransitionId};
use crate::sys::clock;
use crate::text::shortened;

/// Characters of what a program says that are told.
const TOLD: usize = 120;
/// Characters of a reason that the incident has.
const LONGEST: usize = 250;

/// What a hook is told.
#[derive(Clone, Debug)]
pub(super) struct FenceRequest {
    pub transition: TransitionId,
    pub service: Name,
    /// The former primary, as far as it is known.
    pub from: Option<SocketAddr>,
    /// The next one.
    pub to: SocketAddr,
    /// The name of this instance.
    pub instance: String,
}

/// Dropping it kills those that run.
#[derive(Debug, Default)]
pub(super) struct RunningHooks(HashMap<TransitionId, AbortHandle>);

impl RunningHooks {
    /// Run it, and tell what it says. Must run inside a runtime.
    pub(super) fn begin(&mut self, hook: Option<Arc<FenceHook>>, request: FenceRequest, events: mpsc::Sender<Event>) {
        let transition = request.transition;
        let running = tokio::spawn(async move {
            let began = clock::now();
            let answer = match &hook {
                Some(hook) => ask(hook, &request).await,
                None => Err("it is no longer configured".to_owned()),
            };
            let seen = clock::now();
            let (service, to) = (&request.service, request.to);
            let took_ms = seen.since(began).as_millis() as u64;
            let from = request.from.map(|from| from.to_string()).unwrap_or_default();
            let outcome = match answer {
                Ok(said) => {
                    tracing::info!(%service, from, %to, took_ms, said, "the fence hook says that the former primary is fenced");
                    GateOutcome::Open
                }
                Err(detail) => {
                    tracing::error!(%service, from, %to, took_ms, detail, "the fence hook failed");
                    GateOutcome::Refused { detail: shortened(&detail, LONGEST) }
                }
            };
            let _ = events.send(Event::GateAnswered { transition, seen, gate: Gate::FenceHook, outcome }).await;
        });
        self.0.insert(transition, running.abort_handle());
    }

    /// Its transition is over: it is killed, if it runs still.
    pub(super) fn end(&mut self, transition: TransitionId) {
        if let Some(running) = self.0.remove(&transition) {
            running.abort();
        }
    }
}

impl Drop for RunningHooks {
    fn drop(&mut self) {
        self.0.values().for_each(AbortHandle::abort);
    }
}

/// `Ok`: the former primary is fenced, and what the hook said besides. `Err`: it is not, or that is not known.
async fn ask(hook: &FenceHook, request: &FenceRequest) -> Result<String, String> {
    let from = request.from.map(|from| from.to_string()).unwrap_or_default();
    let to = request.to.to_string();
    match &hook.action {
        HookAction::Exec(argv) => {
            let [program, arguments @ ..] = &argv[..] else { return Err("there is no program".to_owned()) };
            let environment = [
                ("STANDFAST_EVENT", "fence".to_owned()),
                ("STANDFAST_SERVICE", request.service.to_string()),
                ("STANDFAST_FROM", from),
                ("STANDFAST_TO", to),
                ("STANDFAST_INSTANCE", request.instance.clone()),
            ];
            let command = Command {
                program: program.into(),
                arguments: arguments.iter().map(OsString::from).collect(),
                environment: environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            };
            let result = command.run(hook.timeout).await.map_err(|error| format!("{program}: {error}"))?;
            let said = result.first_line(TOLD).unwrap_or_default();
            match result.end {
                CommandEnd::Exited(0) => Ok(said),
                CommandEnd::Exited(code) => Err(with(format!("it ended with {code}"), &said)),
                CommandEnd::Signalled(signal) => Err(with(format!("it was ended by signal {signal}"), &said)),
                CommandEnd::TimedOut => {
                    let limit = humantime::format_duration(hook.timeout);
                    Err(with(format!("it did not end within {limit} and was killed"), &said))
                }
            }
        }
        HookAction::Webhook(webhook) => {
            let body = json!({
                "event": "fence",
                "service": &*request.service,
                "from": request.from.map(|from| from.to_string()),
                "to": to,
                "instance": request.instance,
            });
            let answer = webhook::post(webhook, body.to_string(), hook.timeout).await?;
            match answer.status {
                200..=299 => Ok(answer.said),
                status => Err(with(format!("it answered {status}"), &answer.said)),
            }
        }
    }
}

fn with(what: String, said: &str) -> String {
    if said.is_empty() { what } else { format!("{what}: {said}") }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::config::OnFenceFailure;

    fn request() -> FenceRequest {
        FenceRequest {
            transition: TransitionId(7),
            service: "orders".into(),
            from: Some(SocketAddr::from(([10, 0, 0, 1], 5432))),
            to: SocketAddr::from(([10, 0, 0, 2], 5432)),
            instance: "edge-1".to_owned(),
        }
    }

    fn program(folder: &Path, text: &str, timeout: Duration) -> FenceHook {
        let path = folder.join("fence");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let argv = vec![path.display().to_string(), "--force".to_owned()];
        FenceHook { action: HookAction::Exec(argv), timeout, on_failure: OnFenceFailure::Wait }
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_program_says_yes_by_ending_with_0_and_nothing_else_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let say = r#"echo "$1 $STANDFAST_EVENT $STANDFAST_SERVICE $STANDFAST_FROM $STANDFAST_TO $STANDFAST_INSTANCE""#;
        let told = ask(&program(folder.path(), say, LONG), &request()).await;
        assert_eq!(told.as_deref(), Ok("--force fence orders 10.0.0.1:5432 10.0.0.2:5432 edge-1"));
        let unknown = FenceRequest { from: None, ..request() };
        let told = ask(&program(folder.path(), "echo \"<$STANDFAST_FROM>\"", LONG), &unknown).await;
        assert_eq!(told.as_deref(), Ok("<>"));
        let cases = [
            ("echo no such switch >&2; exit 3", LONG, "it ended with 3: no such switch"),
            ("exit 255", LONG, "it ended with 255"),
            ("kill -9 $$", LONG, "it was ended by signal 9"),
            ("echo begun; sleep 60", Duration::from_millis(300), "it did not end within 300ms and was killed: begun"),
        ];
        for (text, timeout, wanted) in cases {
            let told = ask(&program(folder.path(), text, timeout), &request()).await;
            assert_eq!(told, Err(wanted.to_owned()));
        }
        let absent = FenceHook {
            action: HookAction::Exec(vec!["/nowhere/fence".to_owned()]),
            ..program(folder.path(), "", LONG)
        };
        assert!(ask(&absent, &request()).await.unwrap_err().starts_with("/nowhere/fence: "));
    }

    #[tokio::test]
    async fn its_answer_is_told_once_and_what_is_called_off_tells_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, mut events) = mpsc::channel(8);
        let mut hooks = RunningHooks::default();
        let fails = format!("echo {}; exit 1", "x".repeat(500));
        hooks.begin(Some(Arc::new(program(folder.path(), &fails, LONG))), request(), sender.clone());
        let Some(Event::GateAnswered { transition, gate, outcome, .. }) = events.recv().await else {
            panic!("an answer")
        };
        assert_eq!((transition, gate), (TransitionId(7), Gate::FenceHook));
        let GateOutcome::Refused { detail } = outcome else { panic!("{outcome:?}") };
        assert!(detail.starts_with("it ended with 1: xxx") && detail.chars().count() <= LONGEST + 1, "{detail}");
        hooks.begin(None, request(), sender.clone());
        let Some(Event::GateAnswered { outcome, .. }) = events.recv().await else { panic!("an answer") };
        assert!(matches!(outcome, GateOutcome::Refused { .. }), "a reload took the hook away");
        let mark = folder.path().join("mark");
        let slow = format!("sleep 0.5; touch {}", mark.display());
        hooks.begin(Some(Arc::new(program(folder.path(), &slow, LONG))), request(), sender);
        hooks.end(TransitionId(7));
        assert!(events.recv().await.is_none(), "it has no sender any more");
        #[allow(clippy::disallowed_methods, reason = "what would have been done by now was not")]
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert!(!mark.exists());
    }
}

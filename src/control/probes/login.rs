//! Checks that log in, with a login of its own for each probe, and their logins that are not answered.
//!
//! The kernel of a server that hangs goes on taking connections: each probe would leave one more in its queue, until no client gets in any
//! more, and when it goes on it would serve all of them first. So a login that has no answer by the deadline of its probe is left open, and
//! while there are [`MOST`] of them no other one is sent. They are no verdict when they end at last, for what they say may be old; they make
//! room, and the next login is sent at once.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::connect::{ConnectReport, ProbeTarget};
use super::error::ProbeError;
use super::kept::ProbeRun;
use super::mysql::MysqlProbe;
use super::postgres::PostgresProbe;
use super::redis::RedisProbe;
use crate::decision::Reading;
use crate::sys::clock;

/// Logins of a check that wait for an answer.
pub(super) const MOST: usize = 4;

/// What a login found: how long that took, and what it read.
pub(super) type LoginResult = Result<(Duration, Option<Reading>), ProbeError>;

/// A kind of login.
#[derive(Clone)]
pub(super) enum LoginProbe {
    Postgres(PostgresProbe),
    Mysql(MysqlProbe),
    Redis(RedisProbe),
}

impl LoginProbe {
    async fn probe(&mut self, attempt: &ProbeRun<'_>) -> LoginResult {
        match self {
            LoginProbe::Postgres(probe) => probe.probe(attempt).await,
            LoginProbe::Mysql(probe) => probe.probe(attempt).await,
            LoginProbe::Redis(probe) => probe.probe(attempt).await,
        }
    }
}

/// A login that is under way.
struct Login {
    ending: Pin<Box<dyn Future<Output = LoginResult> + Send>>,
    report: Arc<ConnectReport>,
}

/// A check that logs in.
pub(super) struct LoginCheck {
    probe: LoginProbe,
    /// The oldest first.
    unanswered: Vec<Login>,
}

impl LoginCheck {
    pub(super) fn new(probe: LoginProbe) -> LoginCheck {
        LoginCheck { probe, unanswered: Vec::new() }
    }

    /// Logins that wait for an answer.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// One probe: `None` = it has no verdict by the `timeout`. What became of its connect is in the report; it stays empty where none was
    /// made. Cancel safe: the login of this probe is given up, and those that wait go on waiting.
    pub(super) async fn run(
        &mut self,
        target: &Arc<ProbeTarget>,
        timeout: Duration,
    ) -> (Option<LoginResult>, Arc<ConnectReport>) {
        let mut deadline = std::pin::pin!(clock::sleep_until(clock::now().after(timeout)));
        let probe = self.probe.clone();
        let begin = || Login::begin(probe.clone(), target.clone(), timeout);
        let mut login = (self.unanswered.len() < MOST).then(begin);
        loop {
            let ending = async {
                match &mut login {
                    Some(login) => login.ending.as_mut().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                result = ending => {
                    return (Some(result), login.map(|login| login.report).unwrap_or_default());
                }
                () = one_ends(&mut self.unanswered) => login = login.or_else(|| Some(begin())),
                () = &mut deadline => {
                    let report = login.as_ref().map(|login| login.report.clone()).unwrap_or_default();
                    // (An endpoint that cannot be reached does not have it in its queue.)
                    self.unanswered.extend(login.filter(|login| login.report.is_connected()));
                    return (None, report);
                }
            }
        }
    }
}

impl Login {
    fn begin(mut probe: LoginProbe, target: Arc<ProbeTarget>, timeout: Duration) -> Login {
        let report = Arc::new(ConnectReport::default());
        let told = report.clone();
        let ending = Box::pin(async move {
            let attempt = ProbeRun { target: &target, timeout, patience: timeout, fresh: true, report: &told };
            probe.probe(&attempt).await
        });
        Login { ending, report }
    }
}

/// Waits until one of them has ended, and takes it out. Cancel safe.
async fn one_ends(logins: &mut Vec<Login>) {
    poll_fn(|cx| {
        let ended = logins.iter_mut().position(|login| login.ending.as_mut().poll(cx).is_ready());
        match ended {
            Some(ended) => {
                logins.remove(ended);
                Poll::Ready(())
            }
            None => Poll::Pending,
        }
    })
    .await;
}

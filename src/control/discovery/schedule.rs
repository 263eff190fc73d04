//! When each question is asked again: when its answer has expired, soon after a lookup that brought nothing, and at once
//! when one of its addresses has been condemned.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::Discovery;
use super::lookup::{LookupOutcome, Resolver};
use crate::config::{Dns, Question};

/// A shorter TTL is taken for this one: names are not asked more often.
const LEAST: Duration = Duration::from_secs(1);
/// A longer TTL is taken for this one: an address that moved is found within a minute.
const MOST: Duration = Duration::from_secs(60);
/// … and within this time while an address of the name is condemned.
const WATCHFUL: Duration = Duration::from_secs(5);
/// Longest pause after lookups that brought nothing; it doubles from [`LEAST`].
const PATIENCE: Duration = Duration::from_secs(15);

/// A lookup ended.
pub(in crate::control) type News = (Question, LookupOutcome);

/// All running lookups. Dropping it ends them.
pub(in crate::control) struct RunningLookups {
    news: mpsc::Sender<News>,
    running: BTreeMap<Question, RunningLookup>,
    resolver: Option<Arc<Resolver>>,
}

struct RunningLookup {
    nudge: Arc<LookupNudge>,
    task: AbortHandle,
}

impl Drop for RunningLookup {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How a running task is told to ask sooner.
#[derive(Debug, Default)]
struct LookupNudge {
    changed: Notify,
    now: AtomicBool,
    watchful: AtomicBool,
}

impl RunningLookups {
    /// None yet; what they find will be sent to `news`.
    pub(in crate::control) fn new(news: mpsc::Sender<News>) -> RunningLookups {
        RunningLookups { news, running: BTreeMap::new(), resolver: None }
    }

    /// Ask exactly what `discovery` wants to know, as `dns` says. What is asked already goes on in its time. Must run
    /// inside a runtime.
    pub(in crate::control) fn reconcile(&mut self, discovery: &Discovery, dns: &Dns) {
        let resolver = match &self.resolver {
            Some(resolver) if resolver.asks_by(dns) => Arc::clone(resolver),
            _ => {
                self.running.clear();
                Arc::new(Resolver::new(dns.clone()))
            }
        };
        self.resolver = Some(Arc::clone(&resolver));
        let mut before = std::mem::take(&mut self.running);
        for question in discovery.questions() {
            let alive = before.remove(question).filter(|running| !running.task.is_finished());
            let running = alive.unwrap_or_else(|| {
                let nudge = Arc::new(LookupNudge::default());
                let run = run(question.clone(), resolver.clone(), nudge.clone(), self.news.clone());
                RunningLookup { nudge, task: tokio::spawn(run).abort_handle() }
            });
            running.nudge.watchful.store(discovery.is_watched(question), Ordering::Relaxed);
            self.running.insert(question.clone(), running);
        }
    }

    /// Ask this now (at most once a second).
    pub(in crate::control) fn now(&self, question: &Question) {
        if let Some(running) = self.running.get(question) {
            running.nudge.now.store(true, Ordering::Relaxed);
            running.nudge.changed.notify_one();
        }
    }

    /// Ask this often, because something is wrong with it, or as its TTL says.
    pub(in crate::control) fn watchful(&self, question: &Question, watchful: bool) {
        if let Some(running) = self.running.get(question)
            && running.nudge.watchful.swap(watchful, Ordering::Relaxed) != watchful
        {
            running.nudge.changed.notify_one();
        }
    }
}

/// Ask for ever. The first time is [`LEAST`] from now: the engine begins with answers of its own.
async fn run(question: Question, resolver: Arc<Resolver>, nudge: Arc<LookupNudge>, news: mpsc::Sender<News>) {
    let mut misses = 0;
    let mut pause = LEAST;
    loop {
        wait(pause, &nudge).await;
        let outcome = resolver.ask(&question).await;
        pause = pause_after(&outcome, &mut misses);
        if news.send((question.clone(), outcome)).await.is_err() {
            return;
        }
    }
}

/// Until `pause` is over, or [`LEAST`] of it when the question is nudged, [`WATCHFUL`] while an address of it is condemned.
async fn wait(pause: Duration, nudge: &LookupNudge) {
    let begun = Instant::now();
    // Names that are looked up together need not stay together: their server is one.
    let pause = pause.mul_f64(1.0 - 0.1 * fastrand::f64());
    loop {
        let pause = match (nudge.now.load(Ordering::Relaxed), nudge.watchful.load(Ordering::Relaxed)) {
            (true, _) => pause.min(LEAST),
            (false, true) => pause.min(WATCHFUL),
            (false, false) => pause,
        };
        tokio::select! {
            () = sleep_until(begun + pause) => break,
            () = nudge.changed.notified() => {}
        }
    }
    nudge.now.store(false, Ordering::Relaxed);
}

fn pause_after(outcome: &LookupOutcome, misses: &mut u32) -> Duration {
    match outcome {
        LookupOutcome::FoundAddress { ttl, missing: None, .. } => {
            *misses = 0;
            (*ttl).clamp(LEAST, MOST)
        }
        LookupOutcome::FoundAddress { .. } | LookupOutcome::Nothing(_) | LookupOutcome::Failed(_) => {
            let pause = LEAST.saturating_mul(1 << (*misses).min(10));
            *misses += 1;
            pause.min(PATIENCE)
        }
    }
}

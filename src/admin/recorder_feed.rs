//! Feeds the recorder of an embedder, on a thread of its own: a recorder that is slow holds nothing up.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use ::metrics::Recorder;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use super::metrics;
use super::source::AdminSource;
use crate::telemetry::recorder::RecorderSink;

/// Shortest pause between two feeds.
const SHORTEST: Duration = Duration::from_millis(100);
/// Longest wait for the last feed.
const LAST_FEED: Duration = Duration::from_secs(5);

/// A recorder that is fed with every metric, as `/metrics` shows them.
#[derive(Clone)]
pub struct RecorderFeed {
    /// The recorder.
    pub recorder: Arc<dyn Recorder + Send + Sync>,
    /// Pause between two feeds; at least 100 ms.
    pub interval: Duration,
}

impl fmt::Debug for RecorderFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecorderFeed").field("interval", &self.interval).finish_non_exhaustive()
    }
}

/// The running thread. Dropping it ends the thread without a last feed and without waiting.
#[derive(Debug)]
pub(super) struct FeedThread {
    last: oneshot::Sender<()>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl FeedThread {
    /// Starts it; the first feed is at once.
    pub fn start(feed: RecorderFeed, source: AdminSource) -> io::Result<FeedThread> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (last, told) = oneshot::channel();
        let (alive, ended) = sync_channel(0);
        std::thread::Builder::new().name("recorder".to_owned()).spawn(move || {
            runtime.block_on(run(feed, source, told));
            drop(alive);
        })?;
        Ok(FeedThread { last, ended })
    }

    /// One more feed, then the end of the thread. Blocks, for [`LAST_FEED`] at most: a recorder that is stuck is left behind.
    pub fn finish(self) {
        let _ = self.last.send(());
        let _ = self.ended.recv_timeout(LAST_FEED);
    }
}

async fn run(feed: RecorderFeed, source: AdminSource, mut told: oneshot::Receiver<()>) {
    let mut sink = RecorderSink::new(feed.recorder);
    let mut feeds = tokio::time::interval(feed.interval.max(SHORTEST));
    feeds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_last = tokio::select! {
            biased;
            told = &mut told => match told {
                Ok(()) => true,
                Err(_) => return,
            },
            _ = feeds.tick() => false,
        };
        let snapshot = source.snapshot().await;
        source.with_scrape(snapshot.as_deref(), |scrape| metrics::walk(scrape, &mut sink));
        sink.end_walk();
        if is_last {
            return;
        }
    }
}

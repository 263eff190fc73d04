//! [`FetchedKeys`]: the keys of an issuer that are asked for at an address, from time to time and when a token has a key that is
//! unknown. What cannot be fetched again stays.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, Semaphore, watch};

use super::fetch::KeyFetcher;
use super::refresh::RefreshSchedule;
use crate::access::{KeySet, KeySetError};
use crate::config::JwksUrl;
use crate::sys::clock;

/// How long a request waits for keys that are being fetched.
const PATIENCE: Duration = Duration::from_secs(3);

/// Requests that wait for the keys of an issuer at once.
const MOST_WAITING: usize = 4;

/// The keys of one address.
#[derive(Debug)]
pub(super) struct FetchedKeys {
    url: JwksUrl,
    keys: ArcSwapOption<KeySet>,
    schedule: Mutex<RefreshSchedule>,
    /// An attempt is to begin at once.
    hurry: Notify,
    /// Attempts that have ended.
    ended: watch::Sender<u64>,
    /// Requests that may wait for the end of an attempt.
    waiting: Semaphore,
}

impl FetchedKeys {
    /// Nothing is fetched yet.
    pub fn new(url: JwksUrl) -> FetchedKeys {
        FetchedKeys {
            url,
            keys: ArcSwapOption::empty(),
            schedule: Mutex::new(RefreshSchedule::new()),
            hurry: Notify::new(),
            ended: watch::Sender::new(0),
            waiting: Semaphore::new(MOST_WAITING),
        }
    }

    /// The last keys that came; `None` = none did, or not for a day.
    pub fn current(&self) -> Option<Arc<KeySet>> {
        self.keys.load_full().filter(|_| !self.schedule().is_stale(clock::now()))
    }

    /// Has the issuer asked at once, where it was not just now, and waits for the end of an attempt, but not for long. Cancel safe.
    pub async fn refresh(&self) {
        // (More requests than these take the keys that there are: no place of the port is held for a slow issuer.)
        let Ok(_waits) = self.waiting.try_acquire() else { return };
        let mut ended = self.ended.subscribe();
        let hurries = self.schedule().hurries(clock::now());
        if hurries {
            self.hurry.notify_one();
        }
        if hurries || self.schedule().is_running() {
            tokio::select! {
                _ = ended.changed() => {}
                () = tokio::time::sleep(PATIENCE) => {}
            }
        }
    }

    /// Asks the issuer for ever. `tell`: what has to be told of its keys.
    pub async fn keep_fresh(&self, issuer: &str, tell: impl Fn(Option<String>)) {
        let mut fetcher = KeyFetcher::new(self.url.clone());
        loop {
            self.schedule().begins(clock::now());
            let fetched = fetcher.fetch().await.and_then(|body| match KeySet::parse(&body) {
                // (Its issuer says that no key is good any more.)
                Err(KeySetError::NoKey(left_out)) if self.keys.load().is_some() => Ok(KeySet::withdrawn(left_out)),
                parsed => parsed.map_err(|error| error.to_string()),
            });
            match fetched {
                Ok(keys) => self.take(issuer, keys),
                Err(problem) => {
                    let is_other = self.schedule().fails(problem.clone());
                    if is_other {
                        tracing::error!(issuer, url = %self.url.url, %problem, "the keys of the issuer cannot be fetched: the last ones stay in force");
                    }
                }
            }
            let (pause, trouble) = {
                let schedule = self.schedule();
                (schedule.pause(fastrand::f64()), schedule.trouble(clock::now()))
            };
            tell(trouble);
            self.ended.send_modify(|ended| *ended = ended.wrapping_add(1));
            tokio::select! {
                () = self.hurry.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn take(&self, issuer: &str, keys: KeySet) {
        let count = keys.count();
        if self.keys.load().is_none() {
            for left_out in keys.left_out() {
                tracing::warn!(issuer, "{left_out}: tokens that are signed with it are refused");
            }
            tracing::info!(issuer, keys = count, "the keys of the issuer were fetched");
        } else {
            tracing::debug!(issuer, keys = count, "the keys of the issuer were fetched again");
        }
        self.keys.store(Some(Arc::new(keys)));
        self.schedule().succeeds(clock::now());
    }

    fn schedule(&self) -> MutexGuard<'_, RefreshSchedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "fetched_keys_tests.rs"]
mod tests;

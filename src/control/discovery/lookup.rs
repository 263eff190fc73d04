//! One lookup, and the first lookups of a start or a reload: queries until there is an answer or a deadline.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use super::answers::{FoundAddress, LookupAnswer, MOST, MissingFamily, answer};
use super::servers::{LookupError, NameServers, ROUNDS};
use super::{Remembered, questions};
use crate::config::{Config, Dns, Question};
use crate::sys::clock;
use crate::time::MonoTime;

/// `/etc/resolv.conf` and `/etc/hosts` are read again when they were read so long ago.
const READ_AGAIN: Duration = Duration::from_secs(30);
/// Longest wait for the first good answers, of a start or of a reload: what starts together with us has a name soon.
/// A name without one by then is looked up further in the background.
const FIRST: Duration = Duration::from_secs(3);
/// Pause between two questions meanwhile.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Results of lookups as metric labels.
pub(in crate::control) const RESULTS: [&str; 3] = ["found", "nothing", "failed"];

/// How a lookup ended.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::control) enum LookupOutcome {
    /// With at least one address, in their order.
    FoundAddress {
        /// The addresses, each once.
        found: Vec<FoundAddress>,
        /// How long DNS says that they are good for.
        ttl: Duration,
        /// A family whose lookup failed while the other one's was answered.
        missing: Option<MissingFamily>,
    },
    /// With the answer that there is nothing: the name does not exist, or has no such records.
    Nothing(String),
    /// Without an answer, or without all of it.
    Failed(String),
}

impl LookupOutcome {
    /// Its place in [`RESULTS`].
    pub(super) fn result(&self) -> usize {
        match self {
            LookupOutcome::FoundAddress { .. } => 0,
            LookupOutcome::Nothing(_) => 1,
            LookupOutcome::Failed(_) => 2,
        }
    }
}

/// The DNS client, as the configuration and the system's files set it up.
#[derive(Debug)]
pub(super) struct Resolver {
    dns: Dns,
    /// The system's files, and when they were read.
    view: Mutex<Option<(MonoTime, Arc<NameServers>)>>,
}

impl Resolver {
    pub(super) fn new(dns: Dns) -> Resolver {
        Resolver { dns, view: Mutex::new(None) }
    }

    /// Is this what it was made from?
    pub(super) fn asks_by(&self, dns: &Dns) -> bool {
        self.dns == *dns
    }

    /// Ask once. Always ends. Cancel safe.
    pub(super) async fn ask(&self, question: &Question) -> LookupOutcome {
        let view = match self.view() {
            Ok(view) => view,
            Err(text) => return LookupOutcome::Failed(text),
        };
        // Names in the search list and targets of SRV records are asked one after another.
        let limit = self.dns.timeout.saturating_mul((4 * ROUNDS * view.servers.len()) as u32);
        #[allow(clippy::disallowed_methods, reason = "not on the data path: one timer for a whole lookup")]
        let answer = tokio::time::timeout(limit, answer(&view, question)).await;
        match answer {
            Ok(Ok(LookupAnswer { mut found, ttl, missing })) => {
                found.sort_unstable();
                found.dedup_by_key(|found| found.address);
                found.truncate(MOST);
                LookupOutcome::FoundAddress { found, ttl, missing }
            }
            Ok(Err(LookupError::Nothing(text))) => LookupOutcome::Nothing(text),
            Ok(Err(LookupError::Failed(text))) => LookupOutcome::Failed(text),
            Err(_) => LookupOutcome::Failed(format!("no answer within {}", humantime::format_duration(limit))),
        }
    }

    fn view(&self) -> Result<Arc<NameServers>, String> {
        let mut current = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            Some((read, view)) if clock::now().since(*read) < READ_AGAIN => Ok(Arc::clone(view)),
            _ => {
                let view = Arc::new(NameServers::read(&self.dns)?);
                *current = Some((clock::now(), Arc::clone(&view)));
                Ok(view)
            }
        }
    }
}

/// Looks up all names of `config` that are not `known`, at once and within [`FIRST`].
pub(in crate::control) async fn first_answers(
    config: &Config,
    known: &BTreeSet<Question>,
    remembered: &BTreeSet<Question>,
) -> Vec<(Question, LookupOutcome)> {
    let resolver = Arc::new(Resolver::new(config.dns.clone()));
    let mut asked = JoinSet::new();
    for question in questions(config).into_iter().filter(|question| !known.contains(question)) {
        let resolver = Arc::clone(&resolver);
        // What an earlier process knew is good enough not to wait for.
        let patient = !remembered.contains(&question);
        asked.spawn(async move {
            let outcome = first_answer(&resolver, &question, patient).await;
            (question, outcome)
        });
    }
    asked.join_all().await
}

/// The first good answer, or the last other one.
async fn first_answer(resolver: &Resolver, question: &Question, patient: bool) -> LookupOutcome {
    let mut last = LookupOutcome::Failed("no answer yet".into());
    let asking = async {
        loop {
            last = resolver.ask(question).await;
            if !patient || matches!(last, LookupOutcome::FoundAddress { .. }) {
                return;
            }
            tokio::time::sleep(FIRST_PAUSE).await;
        }
    };
    #[allow(clippy::disallowed_methods, reason = "not on the data path: one timer for a whole start")]
    let _ = tokio::time::timeout(FIRST, asking).await;
    last
}

/// The same where nothing runs yet, on a thread of its own.
pub(in crate::control) fn first_answers_blocking(
    config: &Config,
    remembered: &Remembered,
) -> std::io::Result<Vec<(Question, LookupOutcome)>> {
    if questions(config).is_empty() {
        return Ok(Vec::new());
    }
    let remembered: BTreeSet<Question> = remembered.iter().map(|(question, _)| question.clone()).collect();
    let ask = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(first_answers(config, &BTreeSet::new(), &remembered)))
    };
    std::thread::scope(|scope| scope.spawn(ask).join()).unwrap_or_else(|_| Ok(Vec::new()))
}

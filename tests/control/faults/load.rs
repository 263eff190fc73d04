//! A small open load: requests at a steady pace whatever becomes of those before, each with an id.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::support::{Answer, Client, get, post, until};

const PACE: Duration = Duration::from_millis(5);

/// Every fourth request is a POST. Clients keep their connections.
pub struct Load {
    shared: Arc<Shared>,
    task: JoinHandle<Ledger>,
}

struct Shared {
    address: SocketAddr,
    idle: Mutex<Vec<Client>>,
    begun: AtomicUsize,
    ended: AtomicUsize,
    stopped: AtomicBool,
}

impl Load {
    pub fn start(address: SocketAddr) -> Load {
        let shared = Arc::new(Shared {
            address,
            idle: Mutex::default(),
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        });
        let task = tokio::spawn(run(Arc::clone(&shared)));
        Load { shared, task }
    }

    /// Requests begun so far: the first of those that begin from now on.
    pub fn mark(&self) -> usize {
        self.shared.begun.load(SeqCst)
    }

    /// Waits until as many have ended as have begun by now, and so many more.
    pub async fn goes_on(&self, more: usize) {
        let until_number = self.mark() + more;
        until("the load goes on", || self.shared.ended.load(SeqCst) >= until_number).await;
    }

    /// Begins no more, and waits for the end of those in flight.
    pub async fn stop(self) -> Ledger {
        self.shared.stopped.store(true, SeqCst);
        self.task.await.expect("clients do not panic")
    }
}

async fn run(shared: Arc<Shared>) -> Ledger {
    let mut clients = JoinSet::new();
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !shared.stopped.load(SeqCst) {
        pace.tick().await;
        let number = shared.begun.fetch_add(1, SeqCst);
        let shared = Arc::clone(&shared);
        clients.spawn(async move {
            let (post, id) = (number % 4 == 3, id(number));
            let answer = ask(&shared, post, &id).await;
            shared.ended.fetch_add(1, SeqCst);
            Outcome { number, post, id, answer }
        });
    }
    let mut outcomes = clients.join_all().await;
    outcomes.sort_by_key(|outcome| outcome.number);
    Ledger(outcomes)
}

fn id(number: usize) -> String {
    format!("load-{number}")
}

async fn ask(shared: &Shared, is_post: bool, id: &str) -> Option<Answer> {
    let kept = shared.idle.lock().unwrap().pop();
    let mut client = match kept {
        Some(client) => client,
        None => Client::connect(shared.address).await,
    };
    let request = if is_post { post("/", id, "order") } else { get("/", id) };
    client.stream.write_all(request.as_bytes()).await.ok()?;
    let answer = client.answer().await?;
    if answer.header("connection") != Some("close") {
        shared.idle.lock().unwrap().push(client);
    }
    Some(answer)
}

/// How one request ended.
pub struct Outcome {
    pub number: usize,
    pub post: bool,
    pub id: String,
    /// `None`: cut.
    pub answer: Option<Answer>,
}

impl Outcome {
    /// 0: it was cut.
    pub fn status(&self) -> u16 {
        self.answer.as_ref().map_or(0, Answer::status)
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = if self.post { "POST" } else { "GET" };
        let cause = self.answer.as_ref().and_then(|answer| answer.header("standfast-cause")).unwrap_or("");
        write!(f, "{method} {}: {} {cause}", self.number, self.status())
    }
}

/// What became of all requests, in the order in which they began.
pub struct Ledger(pub Vec<Outcome>);

impl Ledger {
    /// All but the good answers.
    pub fn failed(&self) -> Vec<&Outcome> {
        self.0.iter().filter(|outcome| outcome.status() != 200).collect()
    }

    /// Those that began from this mark on.
    pub fn failed_since(&self, mark: usize) -> Vec<&Outcome> {
        self.failed().into_iter().filter(|outcome| outcome.number >= mark).collect()
    }

    pub fn failed_gets(&self) -> Vec<&Outcome> {
        self.failed().into_iter().filter(|outcome| !outcome.post).collect()
    }

    pub fn posts(&self) -> impl Iterator<Item = &Outcome> {
        self.0.iter().filter(|outcome| outcome.post)
    }
}

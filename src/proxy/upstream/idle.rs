//! Idle connections to endpoints: one worker's, without locks. A parked connection is its socket and nothing more.
//!
//! How many there are follows how many were in use at once during the last minute. The last parked is the first used, so those
//! that were not needed are at the bottom of the stack: as many as it held at its lowest.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::ReadBuf;

use crate::decision::EndpointId;
use crate::net::{Stream, Transport};
use crate::routing::{EndpointStats, RoutingTable};
use crate::time::MonoTime;

/// Idle connections kept per endpoint and worker, whatever the traffic.
const MOST: usize = 1024;
/// Half of the time that a connection is kept without being needed.
const PERIOD: Duration = Duration::from_secs(30);
/// So many are kept until they expire, needed or not: rare requests find a connection too.
const LEAST: usize = 1;

/// An idle connection.
pub struct IdleConn<S> {
    /// The connection.
    pub stream: S,
    /// [`EndpointStats::generation`] when it was made: after a refusal, a reset on connect or a switch it is not used again.
    pub generation: u64,
    /// When it has been idle for too long.
    pub expires: MonoTime,
}

impl<S: Stream> IdleConn<S> {
    /// May it carry another exchange: is it of this generation, has it not been idle for too long, and has nothing come on it
    /// since it was parked? Whatever came, a late second reply above all, belongs to no request, and a request that must not be
    /// sent twice is not sent to a peer that has closed: so the kernel is asked (`MSG_PEEK`), not only what it has reported so far.
    #[inline]
    pub fn is_usable(&self, generation: u64, now: MonoTime) -> bool {
        self.generation == generation && now < self.expires && self.stream.is_proven_quiet()
    }
}

/// One worker's idle connections by endpoint. The last parked is the first used.
pub struct IdlePool<S = Transport> {
    worker: usize,
    lists: RefCell<BTreeMap<EndpointId, IdleList<S>>>,
}

struct IdleList<S> {
    stats: Arc<EndpointStats>,
    parked: Vec<IdleConn<S>>,
    /// The fewest that were parked in this period, and in the one before it: so many were not needed.
    lowest: usize,
    lowest_before: usize,
    /// When this period ends; it begins with the first sweep.
    ends: Option<MonoTime>,
}

impl<S: Stream> IdleList<S> {
    fn new(stats: &Arc<EndpointStats>) -> IdleList<S> {
        IdleList { stats: Arc::clone(stats), parked: Vec::new(), lowest: 0, lowest_before: 0, ends: None }
    }

    fn pop(&mut self) -> Option<IdleConn<S>> {
        let popped = self.parked.pop();
        self.lowest = self.lowest.min(self.parked.len());
        popped
    }

    /// Closes what is too old, dead or of an older generation, and once a period what was not needed in the last two.
    fn sweep(&mut self, now: MonoTime) {
        let generation = self.stats.generation();
        self.parked.retain_mut(|connection| {
            connection.generation == generation && now < connection.expires && is_quiet(&mut connection.stream)
        });
        self.lowest = self.lowest.min(self.parked.len());
        if now < *self.ends.get_or_insert(now.after(PERIOD)) {
            return;
        }
        let unneeded = self.lowest.min(self.lowest_before).min(self.parked.len().saturating_sub(LEAST));
        self.parked.drain(..unneeded);
        self.lowest_before = self.lowest - unneeded.min(self.lowest);
        self.lowest = self.parked.len();
        self.ends = Some(now.after(PERIOD));
    }
}

impl<S: Stream> IdlePool<S> {
    /// None yet.
    pub fn new(worker: usize) -> IdlePool<S> {
        IdlePool { worker, lists: RefCell::default() }
    }

    /// Keeps a connection for the next exchange, unless it is of an older generation.
    pub fn park(&self, endpoint: EndpointId, stats: &Arc<EndpointStats>, connection: IdleConn<S>) {
        if connection.generation != stats.generation() {
            return;
        }
        let mut lists = self.lists.borrow_mut();
        let list = lists.entry(endpoint).or_insert_with(|| IdleList::new(stats));
        if list.parked.len() < MOST {
            list.parked.push(connection);
            stats.count_idle(self.worker, 1);
        }
    }

    /// A connection that [may be used](IdleConn::is_usable).
    pub fn take(&self, endpoint: EndpointId, stats: &EndpointStats, now: MonoTime) -> Option<S> {
        let mut lists = self.lists.borrow_mut();
        let list = lists.get_mut(&endpoint)?;
        let generation = stats.generation();
        while let Some(connection) = list.pop() {
            stats.count_idle(self.worker, -1);
            if connection.is_usable(generation, now) {
                return Some(connection.stream);
            }
        }
        None
    }

    /// Closes what is too old, dead, of an older generation, has not been needed for a while or belongs to an endpoint that the
    /// table does not know.
    pub fn sweep(&self, table: &RoutingTable, now: MonoTime) {
        self.sweep_where(|endpoint| knows(table, endpoint), now);
    }

    fn sweep_where(&self, known: impl Fn(EndpointId) -> bool, now: MonoTime) {
        self.lists.borrow_mut().retain(|endpoint, list| {
            let before = list.parked.len();
            if before > 0 && known(*endpoint) {
                list.sweep(now);
            } else {
                list.parked.clear();
            }
            list.stats.count_idle(self.worker, list.parked.len() as i64 - before as i64);
            !list.parked.is_empty()
        });
    }
}

impl<S> IdlePool<S> {
    /// Closes all: descriptors are short, or the worker ends.
    pub fn clear(&self) {
        for list in std::mem::take(&mut *self.lists.borrow_mut()).into_values() {
            list.stats.count_idle(self.worker, -(list.parked.len() as i64));
        }
    }
}

impl<S> Drop for IdlePool<S> {
    fn drop(&mut self) {
        self.clear();
    }
}

fn knows(table: &RoutingTable, endpoint: EndpointId) -> bool {
    table.services.iter().any(|service| service.pool_of(endpoint).is_some())
}

/// Has neither a byte nor an end nor an error come? Costs no system call while the socket has not become readable.
fn is_quiet<S: Stream>(stream: &mut S) -> bool {
    let mut byte = [0];
    let mut context = Context::from_waker(Waker::noop());
    matches!(Pin::new(stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte)), Poll::Pending)
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const HOME: EndpointId = EndpointId(1);

    fn at(seconds: u64) -> MonoTime {
        MonoTime::from_micros(seconds * 1_000_000)
    }

    struct IdleFixture {
        listener: TcpListener,
        ends: Vec<TcpStream>,
        idle: IdlePool<TcpStream>,
        stats: Arc<EndpointStats>,
    }

    impl IdleFixture {
        async fn new() -> IdleFixture {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stats = Arc::new(EndpointStats::new(1, 5, Arc::default()));
            IdleFixture { listener, ends: Vec::new(), idle: IdlePool::new(0), stats }
        }

        async fn dial(&mut self) -> TcpStream {
            let (ours, theirs) =
                tokio::join!(TcpStream::connect(self.listener.local_addr().unwrap()), self.listener.accept());
            self.ends.push(theirs.unwrap().0);
            ours.unwrap()
        }

        fn park(&self, stream: TcpStream) {
            let generation = self.stats.generation();
            self.idle.park(HOME, &self.stats, IdleConn { stream, generation, expires: at(3600) });
        }

        /// So many at once are in use, of which as few as possible are new.
        async fn use_at_once(&mut self, count: usize, now: MonoTime) {
            let mut used = Vec::new();
            for _ in 0..count {
                match self.idle.take(HOME, &self.stats, now) {
                    Some(stream) => used.push(stream),
                    None => used.push(self.dial().await),
                }
            }
            used.into_iter().for_each(|stream| self.park(stream));
        }

        fn sweep(&self, now: MonoTime) {
            self.idle.sweep_where(|_| true, now);
        }

        fn idle(&self) -> u64 {
            self.stats.totals().idle
        }
    }

    #[tokio::test]
    async fn idle_connections_follow_the_peak_in_use_of_the_last_minute() {
        let mut rig = IdleFixture::new().await;
        rig.use_at_once(40, at(0)).await;
        let mut seen = Vec::new();
        for second in 0..=180 {
            rig.use_at_once(if second % 50 == 10 { 7 } else { 2 }, at(second)).await;
            rig.sweep(at(second));
            seen.push(rig.idle());
        }
        assert!(seen[..=60].iter().all(|idle| *idle == 40), "the last minute needed them: {seen:?}");
        assert!(seen[91..].iter().all(|idle| *idle == 7), "it did not: {seen:?}");
        assert_eq!(rig.ends.len(), 40, "none was closed that was needed again");
    }

    #[tokio::test]
    async fn the_last_one_stays_until_it_expires() {
        let mut rig = IdleFixture::new().await;
        rig.use_at_once(3, at(0)).await;
        (0..600).for_each(|second| rig.sweep(at(second)));
        assert_eq!(rig.idle(), 1);
        rig.sweep(at(3600));
        assert_eq!(rig.idle(), 0);
    }

    #[tokio::test]
    async fn what_is_older_than_a_reset_is_neither_used_nor_parked() {
        let mut rig = IdleFixture::new().await;
        rig.use_at_once(3, at(0)).await;
        let (generation, used) = (rig.stats.generation(), rig.idle.take(HOME, &rig.stats, at(0)).unwrap());
        rig.stats.note_stale(generation, at(1));
        rig.idle.park(HOME, &rig.stats, IdleConn { stream: used, generation, expires: at(60) });
        assert_eq!(rig.idle(), 2, "not parked again");
        assert!(rig.idle.take(HOME, &rig.stats, at(1)).is_none());
        assert_eq!(rig.idle(), 0);
        let young = rig.dial().await;
        rig.park(young);
        assert!(rig.idle.take(HOME, &rig.stats, at(1)).is_some());
    }
}

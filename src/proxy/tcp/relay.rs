//! Bytes in both directions between two streams: half-close kept, back-pressure by not reading, what was read written at
//! once from a buffer that the whole worker shares. What keeps coming in bulk the kernel moves by itself, where both are bare
//! sockets.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::silence::{SilenceLimits, StreamSilences, StreamState};
use crate::net::{Stream, Transport};
use crate::proxy::buffer::{Buffer, BufferPool, LARGE, SMALL};
use crate::proxy::deadline::{Alarm, Interrupt};
use crate::proxy::pipe::Pipe;
use crate::sys::clock;

/// The buffer through which all relays of a worker read and write within one poll.
pub struct RelayBuffer(RefCell<Box<[u8]>>);

impl RelayBuffer {
    /// One for a worker.
    pub fn new() -> Rc<RelayBuffer> {
        Rc::new(RelayBuffer(RefCell::new(vec![0; LARGE].into_boxed_slice())))
    }
}

/// One of the two streams of a relay.
pub trait RelayStream: AsyncRead + AsyncWrite + Unpin {
    /// The socket beneath, where what is read and written here is from now on what is read from and written to it.
    fn bare(&self) -> Option<&TcpStream> {
        None
    }
}

impl RelayStream for Transport {
    fn bare(&self) -> Option<&TcpStream> {
        Stream::bare(self)
    }
}

/// How a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayEnd {
    /// Both sides closed in order.
    Closed,
    /// Reading from or writing to the client failed.
    Client,
    /// Reading from or writing to the upstream failed.
    Upstream,
    /// Nothing moved in either direction for too long.
    Idle,
    /// The client was silent for too long.
    ClientIdle,
    /// The upstream was silent for too long.
    UpstreamIdle,
    /// A switch or a stop ended it.
    Killed,
}

/// What a relay moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayedBytes {
    /// Client → upstream.
    pub up: u64,
    /// Upstream → client.
    pub down: u64,
    /// The upstream closed its side while the client's was open.
    pub upstream_left_first: bool,
    /// The client ended its side before the upstream did.
    pub client_left_first: bool,
}

/// Both directions between a client and an upstream.
pub struct Relay {
    /// Client → upstream.
    pub up: Direction,
    /// Upstream → client.
    pub down: Direction,
    upstream_left_first: bool,
    client_left_first: bool,
}

impl Relay {
    /// Nothing has moved.
    pub fn new(pool: &Rc<BufferPool>) -> Relay {
        Relay {
            up: Direction::new(pool),
            down: Direction::new(pool),
            upstream_left_first: false,
            client_left_first: false,
        }
    }

    /// Relays until both directions have ended or one of the streams failed; `answered` is called when the first bytes came
    /// back. On any end but [`RelayEnd::Closed`] the caller resets both.
    pub async fn run<C, U>(
        &mut self,
        client: &mut C,
        upstream: &mut U,
        shared: &RelayBuffer,
        alarm: &Alarm,
        silence: SilenceLimits,
        mut answered: impl FnMut(),
    ) -> RelayEnd
    where
        C: RelayStream,
        U: RelayStream,
    {
        let Relay { up, down, upstream_left_first, client_left_first } = self;
        let now = clock::now();
        let mut silences = StreamSilences::new(silence, now);
        alarm.set(silences.next(now));
        poll_fn(|cx| {
            let unanswered = down.moved == 0;
            let first = up.poll(cx, client, upstream, shared);
            let second = down.poll(cx, upstream, client, shared);
            *upstream_left_first |= down.ended && !up.ended;
            *client_left_first |= up.ended && !down.ended;
            if unanswered && down.moved > 0 {
                answered();
            }
            match (first, second) {
                (Poll::Ready(Err(RelaySide::From)), _) | (_, Poll::Ready(Err(RelaySide::To))) => {
                    return Poll::Ready(RelayEnd::Client);
                }
                (Poll::Ready(Err(RelaySide::To)), _) | (_, Poll::Ready(Err(RelaySide::From))) => {
                    return Poll::Ready(RelayEnd::Upstream);
                }
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(RelayEnd::Closed),
                _ => {}
            }
            loop {
                match ready!(alarm.poll(cx)) {
                    Interrupt::Killed => return Poll::Ready(RelayEnd::Killed),
                    Interrupt::Deadline => {
                        let now = clock::now();
                        let states = || [state(client, up, down), state(upstream, down, up)];
                        if let Some(end) = silences.look(up.moved + down.moved, states, now) {
                            return Poll::Ready(end);
                        }
                        alarm.set(silences.next(now));
                    }
                }
            }
        })
        .await
    }

    /// What has moved so far.
    pub fn moved(&self) -> RelayedBytes {
        RelayedBytes {
            up: self.up.moved,
            down: self.down.moved,
            upstream_left_first: self.upstream_left_first,
            client_left_first: self.client_left_first,
        }
    }
}

/// One [`Relay`] from its beginning to its end. `first` was read from the client and goes to the upstream before
/// everything else.
pub async fn relay<C, U>(
    client: &mut C,
    upstream: &mut U,
    first: Buffer,
    shared: &RelayBuffer,
    alarm: &Alarm,
    silence: SilenceLimits,
    answered: impl FnMut(),
) -> (RelayEnd, RelayedBytes)
where
    C: RelayStream,
    U: RelayStream,
{
    let mut relay = Relay::new(first.pool());
    relay.up.rest = first;
    let end = relay.run(client, upstream, shared, alarm, silence, answered).await;
    (end, relay.moved())
}

/// One of the two streams, as it is now.
fn state<S: RelayStream>(stream: &S, from: &Direction, to: &Direction) -> StreamState {
    let waits = to.held() > 0 || to.ended && !to.shut || to.unflushed && stream.bare().is_none();
    StreamState { moved: from.taken() + to.moved, is_due: from.is_read() || waits }
}

/// Which stream of a direction failed.
enum RelaySide {
    From,
    To,
}

/// Bytes from one stream to the other.
pub struct Direction {
    /// Read, but not yet taken by the other side: while there is any, nothing more is read.
    pub rest: Buffer,
    /// Read, but in the kernel: there only while there is anything in it.
    pipe: Option<Pipe>,
    /// It comes in bulk: the last read found as much as it could take, and the other side took all of it, or the last burst
    /// that went through a pipe was large.
    bulk: bool,
    /// Bytes that went through a pipe since there was nothing to put into one.
    burst: usize,
    /// A layer such as TLS may hold some of what was written.
    unflushed: bool,
    ended: bool,
    shut: bool,
    /// Bytes that the other side took.
    pub moved: u64,
}

impl Direction {
    fn new(pool: &Rc<BufferPool>) -> Direction {
        Direction {
            rest: Buffer::new(pool),
            pipe: None,
            bulk: false,
            burst: 0,
            unflushed: false,
            ended: false,
            shut: false,
            moved: 0,
        }
    }

    /// The end of the one stream came, and was passed on to the other.
    pub fn is_shut(&self) -> bool {
        self.shut
    }

    /// Read, and not yet taken by the other side.
    fn held(&self) -> usize {
        self.rest.len() + self.pipe.as_ref().map_or(0, Pipe::len)
    }

    /// Bytes that came from the one stream.
    fn taken(&self) -> u64 {
        self.moved + self.held() as u64
    }

    /// The one stream has not ended, and more is read as soon as it comes.
    fn is_read(&self) -> bool {
        !self.ended && self.held() == 0
    }

    fn poll<F, T>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut F,
        to: &mut T,
        shared: &RelayBuffer,
    ) -> Poll<Result<(), RelaySide>>
    where
        F: RelayStream,
        T: RelayStream,
    {
        loop {
            ready!(self.poll_held(cx, to)).map_err(|_| RelaySide::To)?;
            if self.ended {
                if !self.shut {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(|_| RelaySide::To)?;
                    self.shut = true;
                }
                return Poll::Ready(Ok(()));
            }
            let mut window = SMALL;
            if self.bulk {
                match ready!(self.poll_pipe(cx, from, to)).map_err(|_| RelaySide::From)? {
                    Some(0) => {}
                    Some(_) => continue,
                    // What is read must find room when the other side does not take it.
                    None if self.rest.may_be_large() => window = LARGE,
                    None => {}
                }
            }
            ready!(self.poll_copy(cx, from, to, &mut shared.0.borrow_mut()[..window]))?;
        }
    }

    /// Has the other side take what was read before. `Ready`: it has all of it.
    #[inline]
    fn poll_held<T: RelayStream>(&mut self, cx: &mut Context<'_>, to: &mut T) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            let count = ready!(self.rest.poll_drain(cx, to))?;
            self.moved += count as u64;
            self.unflushed = true;
        }
        self.rest.release();
        if let (Some(pipe), Some(socket)) = (&mut self.pipe, to.bare()) {
            while !pipe.is_empty() {
                let count = ready!(pipe.poll_drain(cx, socket))?;
                self.moved += count as u64;
            }
            self.pipe.take().into_iter().for_each(|pipe| self.rest.pool().pipes.put(pipe));
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, into the worker's buffer, and writes what came at once; what the other side does not take is held.
    #[inline]
    fn poll_copy<F: RelayStream, T: RelayStream>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut F,
        to: &mut T,
        bytes: &mut [u8],
    ) -> Poll<Result<(), RelaySide>> {
        let mut space = ReadBuf::new(bytes);
        match Pin::new(from).poll_read(cx, &mut space) {
            Poll::Ready(result) => result.map_err(|_| RelaySide::From)?,
            Poll::Pending if self.unflushed => {
                ready!(Pin::new(to).poll_flush(cx)).map_err(|_| RelaySide::To)?;
                self.unflushed = false;
                return Poll::Pending;
            }
            Poll::Pending => return Poll::Pending,
        }
        let (window, read) = (space.capacity(), space.filled());
        if read.is_empty() {
            self.ended = true;
            return Poll::Ready(Ok(()));
        }
        let written = match Pin::new(to).poll_write(cx, read) {
            Poll::Ready(result) => result.map_err(|_| RelaySide::To)?,
            Poll::Pending => 0,
        };
        self.moved += written as u64;
        self.unflushed = true;
        self.bulk = written == window;
        if written < read.len() {
            let kept = self.rest.push(&read[written..]);
            debug_assert!(kept, "what was read at once fits the largest class");
        }
        Poll::Ready(Ok(()))
    }

    /// Fills a pipe from the one socket for the other; `None`: there is none to be had. After `Some(0)` reading has to tell what
    /// there is, see [`Pipe::poll_fill`].
    fn poll_pipe<F: RelayStream, T: RelayStream>(
        &mut self,
        cx: &mut Context<'_>,
        from: &F,
        to: &T,
    ) -> Poll<io::Result<Option<usize>>> {
        let (Some(socket), Some(_)) = (from.bare(), to.bare()) else { return Poll::Ready(Ok(None)) };
        let pipes = &self.rest.pool().pipes;
        let Some(mut pipe) = pipes.take() else { return Poll::Ready(Ok(None)) };
        let filled = pipe.poll_fill(cx, socket, usize::MAX);
        if pipe.is_empty() {
            pipes.put(pipe);
        } else {
            self.pipe = Some(pipe);
        }
        let count = ready!(filled)?;
        if count == 0 {
            self.bulk = self.burst >= SMALL;
        }
        self.burst = if count == 0 { 0 } else { self.burst.saturating_add(count) };
        Poll::Ready(Ok(Some(count)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::proxy::deadline::Deadlines;

    impl RelayStream for tokio::io::DuplexStream {}

    async fn on_a_worker<T>(work: impl Future<Output = T>) -> T {
        let local = tokio::task::LocalSet::new();
        local.run_until(work).await
    }

    fn run(
        silence: SilenceLimits,
        size: usize,
    ) -> (tokio::io::DuplexStream, tokio::io::DuplexStream, tokio::task::JoinHandle<(RelayEnd, RelayedBytes)>) {
        let (client, mut ours) = duplex(size);
        let (mut theirs, upstream) = duplex(size);
        let deadlines = Deadlines::new(clock::now());
        tokio::task::spawn_local(deadlines.clone().run());
        let task = tokio::task::spawn_local(async move {
            let alarm = deadlines.alarm();
            let first = Buffer::new(&Rc::new(BufferPool::default()));
            relay(&mut ours, &mut theirs, first, &RelayBuffer::new(), &alarm, silence, || {}).await
        });
        (client, upstream, task)
    }

    #[tokio::test]
    async fn half_close_is_kept_in_both_directions() {
        on_a_worker(async {
            let (mut client, mut upstream, task) = run(SilenceLimits::both(Duration::from_secs(5)), 64);
            client.write_all(b"question").await.unwrap();
            client.shutdown().await.unwrap();
            let mut question = Vec::new();
            upstream.read_to_end(&mut question).await.unwrap();
            assert_eq!(question, b"question");
            upstream.write_all(b"a long answer after the end of the question").await.unwrap();
            upstream.shutdown().await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, b"a long answer after the end of the question");
            let (end, moved) = task.await.unwrap();
            assert!(matches!(end, RelayEnd::Closed));
            assert_eq!(moved, RelayedBytes { up: 8, down: 43, upstream_left_first: false, client_left_first: true });
        })
        .await;
    }

    #[tokio::test]
    async fn bytes_arrive_whole_and_in_order_through_a_narrow_reader() {
        on_a_worker(async {
            let (client, upstream, task) = run(SilenceLimits::both(Duration::from_secs(5)), 1000);
            let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
            let (mut client_read, mut client_write) = tokio::io::split(client);
            let (mut upstream_read, mut upstream_write) = tokio::io::split(upstream);
            let (up, down) = (sent.clone(), sent.clone());
            tokio::task::spawn_local(async move {
                client_write.write_all(&up).await.unwrap();
                client_write.shutdown().await.unwrap();
            });
            tokio::task::spawn_local(async move {
                upstream_write.write_all(&down).await.unwrap();
                upstream_write.shutdown().await.unwrap();
            });
            let (mut at_client, mut at_upstream) = (Vec::new(), Vec::new());
            let (a, b) =
                tokio::join!(client_read.read_to_end(&mut at_client), upstream_read.read_to_end(&mut at_upstream));
            assert_eq!((a.unwrap(), b.unwrap()), (1_000_000, 1_000_000));
            assert!(at_client == sent && at_upstream == sent);
            let moved = task.await.unwrap().1;
            assert_eq!((moved.up, moved.down), (1_000_000, 1_000_000));
        })
        .await;
    }

    #[tokio::test]
    async fn silence_in_both_directions_ends_a_relay() {
        on_a_worker(async {
            let (_client, _upstream, task) = run(SilenceLimits::both(Duration::from_millis(30)), 64);
            assert!(matches!(task.await.unwrap().0, RelayEnd::Idle));
        })
        .await;
    }

    /// Milliseconds of the client and of the endpoint; both together may be silent for long.
    fn apart(client: u64, upstream: u64) -> SilenceLimits {
        let own = |ms| Some(Duration::from_millis(ms));
        SilenceLimits { both: Duration::from_secs(60), client: own(client), upstream: own(upstream) }
    }

    #[tokio::test]
    async fn the_side_that_does_not_take_what_waits_for_it_is_the_silent_one() {
        on_a_worker(async {
            let (client, mut upstream, task) = run(apart(60, 40), 64);
            tokio::task::spawn_local(async move { upstream.write_all(&[b'x'; 10_000]).await });
            assert_eq!(task.await.unwrap().0, RelayEnd::ClientIdle);
            drop(client);
            let (mut client, upstream, task) = run(apart(40, 60), 64);
            tokio::task::spawn_local(async move { client.write_all(&[b'x'; 10_000]).await });
            assert_eq!(task.await.unwrap().0, RelayEnd::UpstreamIdle);
            drop(upstream);
        })
        .await;
    }

    #[tokio::test]
    async fn nothing_is_due_from_a_side_that_has_ended() {
        on_a_worker(async {
            let (mut client, _upstream, task) = run(apart(20, 120), 64);
            client.shutdown().await.unwrap();
            assert_eq!(task.await.unwrap().0, RelayEnd::UpstreamIdle);
            let (_client, mut upstream, task) = run(apart(120, 20), 64);
            upstream.shutdown().await.unwrap();
            assert_eq!(task.await.unwrap().0, RelayEnd::ClientIdle);
        })
        .await;
    }

    /// Ends one side at once; then the other one says this many bytes, slowly, and ends.
    async fn one_sided(
        mut done: tokio::io::DuplexStream,
        mut busy: tokio::io::DuplexStream,
        task: tokio::task::JoinHandle<(RelayEnd, RelayedBytes)>,
    ) {
        done.shutdown().await.unwrap();
        for _ in 0..20 {
            busy.write_all(b"x").await.unwrap();
            assert_eq!(done.read_u8().await.unwrap(), b'x');
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        busy.shutdown().await.unwrap();
        assert_eq!(task.await.unwrap().0, RelayEnd::Closed);
    }

    #[tokio::test]
    async fn a_half_closed_relay_goes_on_for_as_long_as_the_other_side_moves() {
        on_a_worker(async {
            let (client, upstream, task) = run(apart(20, 10_000), 64);
            one_sided(client, upstream, task).await;
            let (client, upstream, task) = run(apart(10_000, 20), 64);
            one_sided(upstream, client, task).await;
        })
        .await;
    }
}

//! How long the two streams of a relay have been silent: together and, where it is configured, each by itself. Looked at a few
//! times within the allowed time, so that moving bytes need not read the clock.

use std::time::Duration;

use super::relay::RelayEnd;
use crate::time::MonoTime;

/// How long the streams of a relay may be silent.
#[derive(Clone, Copy, Debug)]
pub struct SilenceLimits {
    /// Nothing moves in either direction.
    pub both: Duration,
    /// The client gives nothing and takes nothing, and one of these is due; `None` = only `both` holds.
    pub client: Option<Duration>,
    /// The same of the endpoint.
    pub upstream: Option<Duration>,
}

impl SilenceLimits {
    /// Of both together.
    pub const fn both(both: Duration) -> SilenceLimits {
        SilenceLimits { both, client: None, upstream: None }
    }
}

/// One stream of a relay, as it is at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// Bytes that came from it and bytes that it took, since the beginning.
    pub moved: u64,
    /// Something is due from it: it has not ended and is read from, or something waits for it.
    pub is_due: bool,
}

/// The silences of one relay.
pub struct StreamSilences {
    both: StreamSilence,
    /// The client's and the endpoint's own. (Boxed: few services ask for them.)
    apart: Option<Box<[Option<StreamSilence>; 2]>>,
    step: Duration,
}

impl StreamSilences {
    /// A relay begins.
    pub fn new(limits: SilenceLimits, now: MonoTime) -> StreamSilences {
        let own = [limits.client, limits.upstream];
        let shortest = own.iter().flatten().fold(limits.both, |shortest, own| shortest.min(*own));
        let apart = (own != [None, None]).then(|| Box::new(own.map(|own| own.map(|own| StreamSilence::new(own, now)))));
        StreamSilences { both: StreamSilence::new(limits.both, now), apart, step: shortest / 8 }
    }

    /// When to look next.
    pub fn next(&self, now: MonoTime) -> MonoTime {
        now.after(self.step)
    }

    /// A step is over: was one of them silent for as long as allowed? `moved`: in both directions together.
    pub fn look(&mut self, moved: u64, streams: impl FnOnce() -> [StreamState; 2], now: MonoTime) -> Option<RelayEnd> {
        let both = self.both.goes_on(StreamState { moved, is_due: true }, now);
        if let Some(apart) = &mut self.apart {
            let ends = [RelayEnd::ClientIdle, RelayEnd::UpstreamIdle];
            for ((own, stream), end) in apart.iter_mut().zip(streams()).zip(ends) {
                if own.as_mut().is_some_and(|own| own.goes_on(stream, now)) {
                    return Some(end);
                }
            }
        }
        both.then_some(RelayEnd::Idle)
    }
}

/// One silence.
struct StreamSilence {
    allowed: Duration,
    moved: u64,
    was_due: bool,
    since: MonoTime,
}

impl StreamSilence {
    fn new(allowed: Duration, now: MonoTime) -> StreamSilence {
        StreamSilence { allowed, moved: 0, was_due: true, since: now }
    }

    /// Has it lasted for as long as allowed? What moved since the last look moved now, and what became due then is due from now
    /// on, as far as can be known: no silence ends a relay early.
    fn goes_on(&mut self, stream: StreamState, now: MonoTime) -> bool {
        let moved = std::mem::replace(&mut self.moved, stream.moved) != stream.moved;
        let was_due = std::mem::replace(&mut self.was_due, stream.is_due);
        if moved || !was_due || !stream.is_due {
            self.since = now;
        }
        now.since(self.since) >= self.allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_micros(1_000_000 + ms * 1000)
    }

    /// When a relay ends, and how, of which the sides are told at each look.
    fn ends(limits: SilenceLimits, sides: impl Fn(u64) -> [StreamState; 2]) -> Option<(u64, RelayEnd)> {
        let mut silences = StreamSilences::new(limits, at(0));
        let mut now = at(0);
        while now < at(20_000) {
            now = silences.next(now);
            let ms = now.since(at(0)).as_millis() as u64;
            let moved = sides(ms).iter().map(|side| side.moved).max().unwrap();
            if let Some(end) = silences.look(moved, || sides(ms), now) {
                return Some((ms, end));
            }
        }
        None
    }

    const QUIET: StreamState = StreamState { moved: 5, is_due: true };
    const DONE: StreamState = StreamState { moved: 5, is_due: false };

    fn busy(ms: u64) -> StreamState {
        StreamState { moved: ms, is_due: true }
    }

    fn limits(both: u64, client: Option<u64>, upstream: Option<u64>) -> SilenceLimits {
        let ms = Duration::from_millis;
        SilenceLimits { both: ms(both), client: client.map(ms), upstream: upstream.map(ms) }
    }

    #[test]
    fn the_shortest_silence_ends_a_quiet_relay() {
        let quiet = |_| [QUIET, QUIET];
        // (What moved before the first look moved at the first look.)
        assert_eq!(ends(limits(800, None, None), quiet), Some((900, RelayEnd::Idle)));
        assert_eq!(ends(limits(8000, Some(800), None), quiet), Some((900, RelayEnd::ClientIdle)));
        assert_eq!(ends(limits(8000, Some(1600), Some(800)), quiet), Some((900, RelayEnd::UpstreamIdle)));
        assert_eq!(ends(limits(800, Some(1600), Some(1600)), quiet), Some((900, RelayEnd::Idle)));
    }

    #[test]
    fn a_side_is_silent_only_while_something_is_due_from_it() {
        let both = limits(1_000_000, Some(800), Some(800));
        assert_eq!(ends(both, |ms| [DONE, busy(ms)]), None, "the client has ended, the answer goes on");
        assert_eq!(ends(both, |ms| [busy(ms), DONE]), None, "the endpoint has ended, the client goes on");
        assert_eq!(ends(both, |ms| [QUIET, busy(ms)]), Some((900, RelayEnd::ClientIdle)), "it takes nothing");
        assert_eq!(ends(both, |ms| [busy(ms), QUIET]), Some((900, RelayEnd::UpstreamIdle)));
        assert_eq!(ends(both, |_| [DONE, DONE]), None);
    }

    #[test]
    fn no_silence_ends_a_relay_early() {
        // It is due from 950 on, which is seen at 1000.
        let due = |ms| [if ms < 950 { DONE } else { QUIET }, busy(ms)];
        assert_eq!(ends(limits(1_000_000, Some(800), None), due), Some((1800, RelayEnd::ClientIdle)));
        // The last byte moved at 950.
        let moved = |ms: u64| [busy(ms.min(950)), busy(ms)];
        assert_eq!(ends(limits(1_000_000, Some(800), None), moved), Some((1800, RelayEnd::ClientIdle)));
    }
}

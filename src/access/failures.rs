//! [`FailureTable`]: failing credentials by source. A good credential is verified first and is never limited; only failing answers
//! of a source are: ten in a minute are said, further ones are 429 and cost the connection. The table is bounded.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::time::MonoTime;

/// Failing answers in [`WINDOW`] before a source is limited.
pub const FAILURES: u32 = 10;
/// The time in which they count.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Sources that are remembered; beyond, the one whose window began first is forgotten.
const SOURCES: usize = 4096;

/// What a failing credential is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureLimit {
    /// 401, with the reason.
    Answered,
    /// 429, and the connection is closed. So much of the window is left.
    Limited {
        /// Until the source is answered again.
        retry_after: Duration,
    },
}

/// Failing credentials of the last minute.
#[derive(Debug, Default)]
pub struct FailureTable {
    sources: HashMap<IpAddr, FailureWindow>,
}

#[derive(Clone, Copy, Debug)]
struct FailureWindow {
    began: MonoTime,
    failures: u32,
}

impl FailureTable {
    /// A credential of this source failed.
    pub fn failed(&mut self, source: IpAddr, now: MonoTime) -> FailureLimit {
        let source = network_of(source);
        if !self.sources.contains_key(&source) && self.sources.len() >= SOURCES {
            self.make_room(now);
        }
        let fresh = FailureWindow { began: now, failures: 0 };
        let window = self.sources.entry(source).or_insert(fresh);
        if now.since(window.began) >= WINDOW {
            *window = fresh;
        }
        window.failures = window.failures.saturating_add(1);
        match window.failures > FAILURES {
            true => FailureLimit::Limited { retry_after: window.began.after(WINDOW).since(now) },
            false => FailureLimit::Answered,
        }
    }

    /// Windows that are over go; if there is none, the one that began first.
    fn make_room(&mut self, now: MonoTime) {
        self.sources.retain(|_, window| now.since(window.began) < WINDOW);
        if self.sources.len() >= SOURCES {
            let oldest = self.sources.iter().min_by_key(|(_, window)| window.began).map(|(source, _)| *source);
            oldest.map(|source| self.sources.remove(&source));
        }
    }
}

/// What counts as one source: an IPv4 address, an IPv6 network of 64 bits.
pub fn network_of(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> MonoTime {
        MonoTime::from_micros(seconds * 1_000_000)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn ten_failures_a_minute_are_answered() {
        let mut table = FailureTable::default();
        for _ in 0..FAILURES {
            assert_eq!(table.failed(ip("192.0.2.1"), at(5)), FailureLimit::Answered);
        }
        let limited = FailureLimit::Limited { retry_after: Duration::from_secs(20) };
        assert_eq!(table.failed(ip("192.0.2.1"), at(45)), limited);
        assert_eq!(table.failed(ip("::ffff:192.0.2.1"), at(45)), limited, "the same address written otherwise");
        assert_eq!(table.failed(ip("192.0.2.2"), at(45)), FailureLimit::Answered, "another source");
        assert_eq!(table.failed(ip("192.0.2.1"), at(65)), FailureLimit::Answered, "the next minute");
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let mut table = FailureTable::default();
        for host in 0..u128::from(FAILURES) {
            table.failed(IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) | host)), at(0));
        }
        assert!(matches!(table.failed(ip("2001:db8::ffff"), at(0)), FailureLimit::Limited { .. }));
        assert_eq!(table.failed(ip("2001:db8:0:1::1"), at(0)), FailureLimit::Answered);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_oldest() {
        let mut table = FailureTable::default();
        for _ in 0..=FAILURES {
            table.failed(ip("192.0.2.1"), at(0));
        }
        for host in 0..2 * SOURCES as u32 {
            table.failed(IpAddr::V4((0x0a00_0000 + host).into()), at(1));
        }
        assert_eq!(table.sources.len(), SOURCES);
        assert_eq!(table.failed(ip("192.0.2.1"), at(2)), FailureLimit::Answered, "forgotten");
    }
}

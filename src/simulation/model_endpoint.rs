//! Model endpoints: what an address does with a probe, a connect and a request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;

use super::agenda::ms;
use crate::config::ServiceTimeouts;
use crate::decision::{ConnectOutcome, ProbeFailure, ProbeOutcome};
use crate::routing::TryFailure;
use crate::time::MonoTime;

/// How an endpoint behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndpointBehaviour {
    /// Probes, connects and requests are answered well.
    Up,
    /// Its process is gone: connects are refused.
    Dead,
    /// It is cut off: nothing is answered.
    Unreachable,
    /// Probes pass, requests get 503.
    FailingTraffic,
    /// Probes fail, requests are answered.
    FailingChecks,
    /// It accepts and resets.
    Resetting,
    /// Probes pass, one of two requests gets 503.
    Flaky,
    /// Probes pass, one of three requests gets 503.
    Shaky,
    /// Its process is stopped: its kernel accepts, nothing is answered.
    Frozen,
    /// Probes pass, requests are accepted and not answered.
    Stalled,
    /// It answers well, after 20 to 229 ms.
    Slow,
}

impl EndpointBehaviour {
    /// Faults, without [`Shaky`](EndpointBehaviour::Shaky).
    pub const FAULTS: [EndpointBehaviour; 9] = [
        EndpointBehaviour::Dead,
        EndpointBehaviour::Unreachable,
        EndpointBehaviour::FailingTraffic,
        EndpointBehaviour::FailingChecks,
        EndpointBehaviour::Resetting,
        EndpointBehaviour::Flaky,
        EndpointBehaviour::Frozen,
        EndpointBehaviour::Stalled,
        EndpointBehaviour::Slow,
    ];

    /// Probes show that it is bad.
    pub fn seen_by_checks(self) -> bool {
        matches!(
            self,
            EndpointBehaviour::Dead
                | EndpointBehaviour::Unreachable
                | EndpointBehaviour::FailingChecks
                | EndpointBehaviour::Resetting
                | EndpointBehaviour::Frozen
        )
    }

    /// Only traffic shows that it is bad.
    pub fn seen_by_traffic(self) -> bool {
        matches!(self, EndpointBehaviour::FailingTraffic | EndpointBehaviour::Stalled)
    }

    /// Requests that it has received stay unanswered for as long as it behaves so.
    pub fn silent(self) -> bool {
        matches!(self, EndpointBehaviour::Unreachable | EndpointBehaviour::Frozen | EndpointBehaviour::Stalled)
    }
}

/// An endpoint of a simulation.
#[derive(Clone, Copy, Debug)]
pub struct ModelEndpoint {
    /// How it behaves.
    pub behaviour: EndpointBehaviour,
    /// Since when.
    pub since: MonoTime,
}

/// The endpoints of a simulation, by address.
#[derive(Debug, Default)]
pub(super) struct ModelEndpoints(BTreeMap<SocketAddr, ModelEndpoint>);

impl ModelEndpoints {
    /// The endpoint at this address. One that nothing has named is up.
    pub fn at(&self, address: SocketAddr) -> ModelEndpoint {
        let up = ModelEndpoint { behaviour: EndpointBehaviour::Up, since: MonoTime::ZERO };
        self.0.get(&address).copied().unwrap_or(up)
    }

    /// An endpoint at an address that is not known yet.
    pub fn meet(&mut self, address: SocketAddr, endpoint: ModelEndpoint) {
        self.0.entry(address).or_insert(endpoint);
    }

    pub fn set(&mut self, address: SocketAddr, endpoint: ModelEndpoint) {
        self.0.insert(address, endpoint);
    }

    pub fn set_all(&mut self, endpoint: ModelEndpoint) {
        self.0.values_mut().for_each(|known| *known = endpoint);
    }
}

/// How an exchange will end if its endpoint goes on as it is.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeCourse {
    /// After how long.
    pub after: Duration,
    /// How it fails; `None` = it is answered well.
    pub failure: Option<TryFailure>,
    /// Bytes of the request are sent.
    pub sent: bool,
    /// The endpoint executes the request.
    pub executed: bool,
}

impl ModelEndpoint {
    /// After how long a probe ends, and how. Three of 256 fail for reasons of this host; four have an answer that is no evidence.
    pub fn probe(&self, timeout: Duration, rng: &mut Rng) -> (Duration, ProbeOutcome) {
        let soon = ms(1 + rng.u64(..20));
        if rng.u8(..) < 3 {
            return (soon, ProbeOutcome::Local { detail: "no descriptors".to_owned() });
        }
        // Some answers of one that lives are no evidence: it is full, or does not let the probe look.
        let lives = !matches!(
            self.behaviour,
            EndpointBehaviour::Dead
                | EndpointBehaviour::Unreachable
                | EndpointBehaviour::Frozen
                | EndpointBehaviour::Resetting
        );
        match rng.u8(..) {
            0..2 if lives => return (soon, ProbeOutcome::Busy { detail: "no room".to_owned() }),
            2..4 if lives => return (soon, ProbeOutcome::Blind { detail: "not let in".to_owned() }),
            _ => {}
        }
        let fail = |kind| ProbeOutcome::Fail { kind, detail: String::new() };
        match self.behaviour {
            EndpointBehaviour::Up
            | EndpointBehaviour::FailingTraffic
            | EndpointBehaviour::Flaky
            | EndpointBehaviour::Shaky
            | EndpointBehaviour::Stalled
            | EndpointBehaviour::Slow => (soon, ProbeOutcome::Pass { latency: soon, reading: None }),
            EndpointBehaviour::Dead => (ms(1), fail(ProbeFailure::Refused)),
            EndpointBehaviour::Unreachable | EndpointBehaviour::Frozen => (timeout, fail(ProbeFailure::Timeout)),
            EndpointBehaviour::FailingChecks if rng.bool() => (soon, fail(ProbeFailure::NotServing)),
            EndpointBehaviour::FailingChecks => (soon, fail(ProbeFailure::Mismatch)),
            EndpointBehaviour::Resetting => (soon, fail(ProbeFailure::Reset)),
        }
    }

    /// After how long a confirming connect ends, and how; `None` = that is never heard of.
    pub fn connect(&self, rng: &mut Rng) -> Option<(Duration, ConnectOutcome)> {
        match rng.u8(..) {
            0..3 => return None,
            3..6 => return Some((ms(1), ConnectOutcome::Local)),
            _ => {}
        }
        Some(match self.behaviour {
            EndpointBehaviour::Dead => (ms(1), ConnectOutcome::Refused),
            EndpointBehaviour::Unreachable => (ms(50), ConnectOutcome::Timeout),
            _ => (ms(1), ConnectOutcome::Connected),
        })
    }

    /// The course of an exchange that begins now. On a reused connection it is not noticed at first that the other end is
    /// gone.
    pub fn exchange(&self, reused: bool, timeouts: &ServiceTimeouts, rng: &mut Rng) -> ExchangeCourse {
        let after = ms(2 + rng.u64(..15));
        let course = |after, failure, sent, executed| ExchangeCourse { after, failure, sent, executed };
        match self.behaviour {
            EndpointBehaviour::Up
            | EndpointBehaviour::FailingChecks
            | EndpointBehaviour::Frozen
            | EndpointBehaviour::Stalled => course(after, None, true, true),
            EndpointBehaviour::Slow => course(ms(20 + rng.u64(..210)), None, true, true),
            EndpointBehaviour::Dead if reused => course(ms(1), Some(TryFailure::Reset), rng.bool(), false),
            EndpointBehaviour::Dead => course(ms(1), Some(TryFailure::Refused), false, false),
            EndpointBehaviour::Unreachable if reused => course(after, None, true, true),
            EndpointBehaviour::Unreachable => course(timeouts.connect, Some(TryFailure::ConnectTimeout), false, false),
            EndpointBehaviour::FailingTraffic => course(after, Some(TryFailure::Status(503)), true, true),
            EndpointBehaviour::Resetting => course(after, Some(TryFailure::Reset), true, rng.bool()),
            EndpointBehaviour::Flaky if rng.bool() => course(after, Some(TryFailure::Status(503)), true, true),
            EndpointBehaviour::Shaky if rng.u8(..3) == 0 => course(after, Some(TryFailure::Status(503)), true, true),
            EndpointBehaviour::Flaky | EndpointBehaviour::Shaky => course(after, None, true, true),
        }
    }
}

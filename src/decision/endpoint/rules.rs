//! [`EndpointRules`]: what the configuration and the service's state say about an endpoint.

use super::super::Failure;
use crate::config::{Failover, HealthCheck, OnAllDown, OnRefused, OutlierDetection, Pool};

/// What the configuration and the service's state say about an endpoint.
#[derive(Clone, Copy, Debug)]
pub(in crate::decision) struct EndpointRules<'a> {
    pub check: Option<&'a HealthCheck>,
    pub outlier: Option<&'a OutlierDetection>,
    pub on_refused: OnRefused,
    /// A page serves: one good probe is enough.
    pub eager: bool,
    /// Is a connect that is not answered as good as one that is refused? Not where nothing may be served rather than something
    /// wrong: what is cut off from here may be alive.
    pub silence_refuses: bool,
}

impl<'a> EndpointRules<'a> {
    pub fn of(pool: &'a Pool, failover: &Failover) -> EndpointRules<'a> {
        EndpointRules {
            check: pool.health_check.as_ref(),
            outlier: pool.outlier_detection.as_ref(),
            on_refused: failover.on_refused,
            silence_refuses: failover.on_all_down == OnAllDown::FailOpen,
            eager: false,
        }
    }

    /// Failures after which a connect of our own is to say whether the endpoint can be reached at all. (A TLS handshake and an
    /// opening of HTTP/2 that fail are told as resets and malformed answers.)
    pub fn signs_of_refusal(self) -> impl Iterator<Item = Failure> {
        let signs = [Failure::Refused, Failure::ConnectTimeout, Failure::Reset, Failure::Malformed];
        signs.into_iter().filter(move |sign| *sign != Failure::ConnectTimeout || self.silence_refuses)
    }
}

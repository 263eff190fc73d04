//! The arithmetic of `objectives.rto`: how long a *silent* fault (packets are lost, connections are not refused) can go unnoticed.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::model::{HealthCheck, Name, Service};
use super::units::write_time;

/// The worst case of one pool, with everything that is in the sum.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Detection {
    /// The service.
    pub service: Name,
    /// Its pool; the pools of a service may have checks of their own.
    pub pool: Name,
    /// What was promised, if anything.
    pub objective: Option<Duration>,
    /// The sum; `None` = no check looks, so no bound can be given.
    pub worst: Option<Duration>,
    /// `2s × 1.1 + 3 × 1s + 2 × 500ms = 6.2s`
    pub arithmetic: String,
}

impl Detection {
    /// The promise holds, or there is none.
    pub fn holds(&self) -> bool {
        match (self.objective, self.worst) {
            (Some(objective), Some(worst)) => worst <= objective,
            (objective, _) => objective.is_none(),
        }
    }
}

impl fmt::Display for Detection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arithmetic)?;
        match (self.objective, self.holds()) {
            (Some(objective), true) => write!(f, " ≤ rto {}", write_time(objective)),
            (Some(objective), false) => write!(f, " > rto {}", write_time(objective)),
            (None, _) => Ok(()),
        }
    }
}

/// Worst case of a silent fault: the probe was just sent, then `fall` probes must time out, each after a pause.
pub fn worst_case(check: &HealthCheck) -> Duration {
    // All parts are bounded by the reader (365 days, a jitter below 1, 100 probes): neither sum nor product overflows.
    check.interval.mul_f64(1.0 + check.jitter)
        + check.timeout * check.fall
        + check.fast_interval * check.fall.saturating_sub(1)
}

/// One entry for each pool with endpoints.
pub fn detections(service: &Service) -> Vec<Detection> {
    let of_pool = |pool: &super::model::Pool| Detection {
        service: service.name.clone(),
        pool: pool.name.clone(),
        objective: service.objectives.rto,
        worst: pool.health_check.as_ref().map(worst_case),
        arithmetic: pool.health_check.as_ref().map_or_else(|| "no health check: no bound".into(), arithmetic),
    };
    service.pools.iter().filter(|pool| !pool.is_static()).map(of_pool).collect()
}

/// Those with the same sum together, in the order of their first.
pub fn by_sum(detections: Vec<Detection>) -> Vec<Vec<Detection>> {
    let mut groups: Vec<Vec<Detection>> = Vec::new();
    let mut places = HashMap::new();
    for detection in detections {
        let place = *places.entry(detection.to_string()).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(detection),
            None => groups.push(vec![detection]),
        }
    }
    groups
}

fn arithmetic(check: &HealthCheck) -> String {
    let HealthCheck { interval, timeout, fast_interval, fall, jitter, .. } = check;
    let time = |time: &Duration| write_time(*time);
    let seconds = |time: Duration| format!("{}s", (time.as_secs_f64() * 1000.0).round() / 1000.0);
    format!(
        "{} × {} + {fall} × {} + {} × {} = {}",
        time(interval),
        1.0 + jitter,
        time(timeout),
        fall.saturating_sub(1),
        time(fast_interval),
        seconds(worst_case(check)),
    )
}

//! [`ActCommand`]: what an act asks for.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ActRefusal, Administrative};
use crate::config::Name;
use crate::time::MonoTime;

/// What an act asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ActCommand {
    /// Go to this pool now (an ordered switchover).
    Switchover {
        /// The service.
        service: Name,
        /// The pool.
        pool: Name,
    },
    /// Go home now, without waiting for the hold-down.
    Failback {
        /// The service.
        service: Name,
    },
    /// Stay on this pool whatever happens, until unpinned.
    Pin {
        /// The service.
        service: Name,
        /// The pool.
        pool: Name,
        /// When it ends by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<ActUntil>,
    },
    /// Decide freely again.
    Unpin {
        /// The service.
        service: Name,
    },
    /// End a freeze.
    Thaw {
        /// The service.
        service: Name,
    },
    /// Make no switch of this kind until then.
    Hold {
        /// The service.
        service: Name,
        /// Which switches.
        scope: HoldScope,
        /// When it ends by itself.
        until: ActUntil,
    },
    /// End a hold.
    Release {
        /// The service.
        service: Name,
    },
    /// Change the administrative state of endpoints.
    Administer {
        /// The service.
        service: Name,
        /// Which endpoints.
        #[serde(flatten)]
        endpoints: EndpointSelection,
        /// Their new state.
        state: Administrative,
        /// Also where a serving pool is not available any more then.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
    },
    /// Give an endpoint another weight than the configured one.
    Weight {
        /// The service.
        service: Name,
        /// The endpoint's address.
        address: SocketAddr,
        /// Its weight.
        weight: u32,
        /// When the configured one applies again; it does as soon as a reload changes that one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<ActUntil>,
        /// Also where a serving pool is not available any more then.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
    },
    /// Eject an endpoint as real traffic would: its time runs, then trials decide.
    Eject {
        /// The service.
        service: Name,
        /// The endpoint's address.
        address: SocketAddr,
        /// Also where a serving pool is not available any more then.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
    },
    /// End an ejection, whatever caused it.
    Uneject {
        /// The service.
        service: Name,
        /// The endpoint's address.
        address: SocketAddr,
    },
    /// Take the data of this primary for the right one, whatever was followed before, and follow it.
    Accept {
        /// The service, which follows its primary.
        service: Name,
        /// The endpoint's address.
        address: SocketAddr,
    },
    /// Leave the pools of a zone, and use them only where no other is available, until then.
    Evacuate {
        /// The zone.
        zone: Name,
        /// When it ends by itself.
        until: ActUntil,
        /// Also where a service cannot leave.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        partial: bool,
        /// The services that have a pool in the zone: those that the actor was asked about. No other is touched.
        services: Vec<Name>,
    },
    /// End the evacuation of a zone.
    Return {
        /// The zone.
        zone: Name,
        /// The services that have a pool in the zone: those that the actor was asked about. No other is touched.
        services: Vec<Name>,
    },
    /// Put the configuration file into force. (The shell has done that when it tells the core: the act is remembered.)
    Reload,
}

/// What a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActTarget<'a> {
    /// One service.
    Service(&'a Name),
    /// Each of these services.
    Services(&'a [Name]),
    /// The whole instance.
    Instance,
}

/// Switches that a hold keeps from being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldScope {
    /// Failback and rollback.
    Elective,
    /// Every switch away from a pool. What would have been done is recorded.
    All,
}

/// Endpoints of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointSelection {
    /// The one with this address.
    Address(SocketAddr),
    /// Every one of this pool.
    Pool(Name),
    /// Every one of the pools in this zone.
    Zone(Name),
}

/// When something that an act asks for ends by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActUntil {
    /// The end, by the clock of the process that the act was sent to.
    pub at: MonoTime,
    /// The end as its sender wrote it: an act that is sent again has the same.
    pub said: String,
}

impl ActUntil {
    /// A hold ends by then.
    pub const LONGEST_HOLD: Duration = Duration::from_secs(24 * 3600);
    /// An evacuation ends by then.
    pub const LONGEST_EVACUATION: Duration = Duration::from_secs(72 * 3600);
    /// Anything else ends by then.
    pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
}

impl HoldScope {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            HoldScope::Elective => "elective",
            HoldScope::All => "all",
        }
    }
}

impl ActCommand {
    /// The largest weight of an endpoint.
    pub const LARGEST_WEIGHT: u32 = 1000;

    /// What it is about.
    pub fn target(&self) -> ActTarget<'_> {
        match self {
            ActCommand::Switchover { service, .. }
            | ActCommand::Failback { service }
            | ActCommand::Pin { service, .. }
            | ActCommand::Unpin { service }
            | ActCommand::Thaw { service }
            | ActCommand::Hold { service, .. }
            | ActCommand::Release { service }
            | ActCommand::Administer { service, .. }
            | ActCommand::Weight { service, .. }
            | ActCommand::Eject { service, .. }
            | ActCommand::Uneject { service, .. }
            | ActCommand::Accept { service, .. } => ActTarget::Service(service),
            ActCommand::Evacuate { services, .. } | ActCommand::Return { services, .. } => {
                ActTarget::Services(services)
            }
            ActCommand::Reload => ActTarget::Instance,
        }
    }

    /// The one service that it is about; `None` = several, or the instance.
    pub fn service(&self) -> Option<&Name> {
        match self.target() {
            ActTarget::Service(service) => Some(service),
            ActTarget::Services(_) | ActTarget::Instance => None,
        }
    }

    /// Its name in logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            ActCommand::Switchover { .. } => "switchover",
            ActCommand::Failback { .. } => "failback",
            ActCommand::Pin { .. } => "pin",
            ActCommand::Unpin { .. } => "unpin",
            ActCommand::Thaw { .. } => "thaw",
            ActCommand::Hold { .. } => "hold",
            ActCommand::Release { .. } => "release",
            ActCommand::Administer { .. } => "administer",
            ActCommand::Weight { .. } => "weight",
            ActCommand::Eject { .. } => "eject",
            ActCommand::Uneject { .. } => "uneject",
            ActCommand::Accept { .. } => "accept",
            ActCommand::Evacuate { .. } => "evacuate",
            ActCommand::Return { .. } => "return",
            ActCommand::Reload => "reload",
        }
    }

    /// When it ends by itself, and the longest time that this may last.
    fn until(&self) -> Option<(&ActUntil, Duration)> {
        match self {
            ActCommand::Hold { until, .. } => Some((until, ActUntil::LONGEST_HOLD)),
            ActCommand::Evacuate { until, .. } => Some((until, ActUntil::LONGEST_EVACUATION)),
            ActCommand::Pin { until, .. } | ActCommand::Weight { until, .. } => {
                until.as_ref().map(|until| (until, ActUntil::LONGEST))
            }
            _ => None,
        }
    }

    /// Is its end one that can be?
    pub(super) fn check_until(&self, now: MonoTime) -> Result<(), ActRefusal> {
        match self.until() {
            Some((until, _)) if until.at <= now => Err(ActRefusal::UntilPassed { said: until.said.clone() }),
            Some((until, longest)) if until.at.since(now) > longest => {
                Err(ActRefusal::UntilTooFar { said: until.said.clone(), longest_hours: longest.as_secs() / 3600 })
            }
            _ => Ok(()),
        }
    }

    /// Services that a record of an act names at most.
    pub const MOST_RECORDED: usize = 64;

    /// The same for a record: of many services the first ones stand for all.
    pub fn recorded(&self) -> ActCommand {
        let mut recorded = self.clone();
        if let ActCommand::Evacuate { services, .. } | ActCommand::Return { services, .. } = &mut recorded {
            services.truncate(ActCommand::MOST_RECORDED);
        }
        recorded
    }

    /// The same as its sender wrote it, without what the process that received it has added.
    pub(super) fn as_sent(&self) -> ActCommand {
        let mut sent = self.clone();
        match &mut sent {
            ActCommand::Hold { until, .. } => until.at = MonoTime::ZERO,
            ActCommand::Pin { until, .. } | ActCommand::Weight { until, .. } => {
                until.iter_mut().for_each(|until| until.at = MonoTime::ZERO);
            }
            ActCommand::Evacuate { until, services, .. } => {
                until.at = MonoTime::ZERO;
                services.clear();
            }
            ActCommand::Return { services, .. } => services.clear(),
            _ => {}
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_written_beside_the_other_fields() {
        let service = || Name::from("shop");
        let state = Administrative::Drain;
        let address = "10.0.0.1:80".parse().expect("an address");
        let selections = [
            (
                EndpointSelection::Address(address),
                r#"{"administer":{"service":"shop","address":"10.0.0.1:80","state":"drain"}}"#,
            ),
            (EndpointSelection::Pool("a".into()), r#"{"administer":{"service":"shop","pool":"a","state":"drain"}}"#),
            (EndpointSelection::Zone("z".into()), r#"{"administer":{"service":"shop","zone":"z","state":"drain"}}"#),
        ];
        for (endpoints, written) in selections {
            let command = ActCommand::Administer { service: service(), endpoints, state, force: false };
            assert_eq!(serde_json::to_string(&command).ok().as_deref(), Some(written));
            assert_eq!(serde_json::from_str(written).ok(), Some(command));
        }
    }
}

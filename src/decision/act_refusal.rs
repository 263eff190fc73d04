//! [`ActRefusal`]: why an act was not carried out, for programs and for people.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ActCommand;
use crate::config::{Name, Service};

/// Why an act was not carried out. `Display` writes the text and the advice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum ActRefusal {
    /// Its time has passed.
    Expired,
    /// Its id is that of another act of the last minutes.
    IdReused,
    /// The service is not as the act expects it.
    MarkChanged {
        /// The service.
        service: Name,
        /// Its mark now.
        mark: String,
    },
    /// The configuration has no such service.
    #[serde(rename = "no_service", alias = "unknown_service")]
    UnknownService {
        /// The name that was given.
        service: Name,
    },
    /// The service has no such pool.
    #[serde(rename = "no_pool", alias = "unknown_pool")]
    UnknownPool {
        /// The service.
        service: Name,
        /// The name that was given.
        pool: Name,
        /// The pools that it has.
        known: Vec<Name>,
    },
    /// The service has no endpoint with this address.
    #[serde(rename = "no_endpoint", alias = "unknown_endpoint")]
    UnknownEndpoint {
        /// The service.
        service: Name,
        /// The address that was given.
        address: SocketAddr,
    },
    /// A switchover has no meaning for an `active_active` service.
    ActiveActive {
        /// The service.
        service: Name,
    },
    /// The service goes where another one goes.
    MovesWith {
        /// The service.
        service: Name,
        /// The other one.
        leader: Name,
    },
    /// The service follows its primary, wherever that is.
    FollowsPrimary {
        /// The service.
        service: Name,
    },
    /// The service follows no primary.
    FollowsNone {
        /// The service.
        service: Name,
    },
    /// The endpoint does not say that it is primary.
    NotPrimary {
        /// The service.
        service: Name,
        /// The endpoint's address.
        address: SocketAddr,
    },
    /// The service is pinned.
    Pinned {
        /// The service.
        service: Name,
        /// To this pool.
        pool: Name,
    },
    /// The service has not chosen its first pool yet.
    Starting {
        /// The service.
        service: Name,
    },
    /// The pool cannot take the service.
    NotAvailable {
        /// The service.
        service: Name,
        /// The pool.
        pool: Name,
    },
    /// No pool that the service would rather be on is available.
    NoBetterPool {
        /// The service.
        service: Name,
    },
    /// There is no pin to take away.
    NotPinned {
        /// The service.
        service: Name,
    },
    /// There is no freeze to end.
    NotFrozen {
        /// The service.
        service: Name,
    },
    /// A hold keeps the service where it is.
    Held {
        /// The service.
        service: Name,
    },
    /// There is no hold to end.
    NotHeld {
        /// The service.
        service: Name,
    },
    /// The pool is in a zone that is evacuated.
    Evacuated {
        /// The service.
        service: Name,
        /// The pool.
        pool: Name,
        /// The zone.
        zone: Name,
    },
    /// No pool has this zone.
    #[serde(rename = "no_zone")]
    UnknownZone {
        /// The name that was given.
        zone: Name,
        /// The zones that there are.
        known: Vec<Name>,
    },
    /// These services cannot leave the zone.
    CannotEvacuate {
        /// The zone.
        zone: Name,
        /// Which, and why not.
        stays: Vec<ServiceStays>,
    },
    /// The zone is not evacuated.
    NotEvacuated {
        /// The zone.
        zone: Name,
    },
    /// A serving pool would not be available any more.
    LastEndpoint {
        /// The service.
        service: Name,
        /// The pool.
        pool: Name,
        /// The pool that would then serve; `None` = none.
        next: Option<Name>,
    },
    /// The endpoint is not ejected.
    NotEjected {
        /// The service.
        service: Name,
        /// The endpoint's address.
        address: SocketAddr,
    },
    /// The weight is too large.
    WeightTooLarge {
        /// The weight that was given.
        weight: u32,
    },
    /// The time at which it is to end has passed.
    UntilPassed {
        /// The time that was given.
        said: String,
    },
    /// The time at which it is to end is too far away.
    UntilTooFar {
        /// The time that was given.
        said: String,
        /// The longest that it may last, in hours.
        longest_hours: u64,
    },
    /// The configuration cannot be put into force.
    ConfigRefused {
        /// Every problem of it.
        problems: Vec<String>,
    },
}

/// A service that an evacuation does not move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceStays {
    /// The service.
    #[schema(value_type = String)]
    pub service: Name,
    /// For people: why.
    pub why: String,
}

impl ActRefusal {
    /// None of these services has a pool in this zone.
    pub(super) fn unknown_zone<'a>(zone: &Name, services: impl IntoIterator<Item = &'a Service>) -> ActRefusal {
        let zones: BTreeSet<&Name> = services.into_iter().flat_map(Service::zones).collect();
        ActRefusal::UnknownZone { zone: zone.clone(), known: zones.into_iter().cloned().collect() }
    }

    /// Its name for programs: does not change.
    pub fn code(&self) -> &'static str {
        match self {
            ActRefusal::Expired => "expired",
            ActRefusal::IdReused => "id_reused",
            ActRefusal::MarkChanged { .. } => "mark_changed",
            ActRefusal::UnknownService { .. } => "no_service",
            ActRefusal::UnknownPool { .. } => "no_pool",
            ActRefusal::UnknownEndpoint { .. } => "no_endpoint",
            ActRefusal::ActiveActive { .. } => "active_active",
            ActRefusal::MovesWith { .. } => "moves_with",
            ActRefusal::FollowsPrimary { .. } => "follows_primary",
            ActRefusal::FollowsNone { .. } => "follows_none",
            ActRefusal::NotPrimary { .. } => "not_primary",
            ActRefusal::Pinned { .. } => "pinned",
            ActRefusal::Starting { .. } => "starting",
            ActRefusal::NotAvailable { .. } => "not_available",
            ActRefusal::NoBetterPool { .. } => "no_better_pool",
            ActRefusal::NotPinned { .. } => "not_pinned",
            ActRefusal::NotFrozen { .. } => "not_frozen",
            ActRefusal::Held { .. } => "held",
            ActRefusal::NotHeld { .. } => "not_held",
            ActRefusal::Evacuated { .. } => "evacuated",
            ActRefusal::UnknownZone { .. } => "no_zone",
            ActRefusal::CannotEvacuate { .. } => "cannot_evacuate",
            ActRefusal::NotEvacuated { .. } => "not_evacuated",
            ActRefusal::LastEndpoint { .. } => "last_endpoint",
            ActRefusal::NotEjected { .. } => "not_ejected",
            ActRefusal::WeightTooLarge { .. } => "weight_too_large",
            ActRefusal::UntilPassed { .. } => "until_passed",
            ActRefusal::UntilTooFar { .. } => "until_too_far",
            ActRefusal::ConfigRefused { .. } => "config_refused",
        }
    }

    /// For people: why.
    pub fn text(&self) -> String {
        match self {
            ActRefusal::Expired => "it has expired".to_owned(),
            ActRefusal::MarkChanged { service, mark } => {
                format!("{service} has changed meanwhile: its mark is {mark} now")
            }
            ActRefusal::IdReused => "its id is that of another act of the last ten minutes".to_owned(),
            ActRefusal::UnknownService { service } => format!("there is no service {service}"),
            ActRefusal::UnknownPool { service, pool, .. } => format!("{service} has no pool {pool}"),
            ActRefusal::UnknownEndpoint { service, address } => format!("{service} has no endpoint {address}"),
            ActRefusal::ActiveActive { service } => format!("{service} is active_active"),
            ActRefusal::MovesWith { service, leader } => format!("{service} goes where {leader} goes"),
            ActRefusal::FollowsPrimary { service } => format!("{service} goes where its primary is"),
            ActRefusal::FollowsNone { service } => format!("the check of {service} asks for no role"),
            ActRefusal::NotPrimary { service, address } => {
                format!("endpoint {address} of {service} does not say that it is primary")
            }
            ActRefusal::Pinned { service, pool } => format!("{service} is pinned to {pool}"),
            ActRefusal::Starting { service } => format!("{service} is still choosing its first pool"),
            ActRefusal::NotAvailable { service, pool } => format!("pool {pool} of {service} is not available"),
            ActRefusal::NoBetterPool { service } => format!("no better pool of {service} is available"),
            ActRefusal::NotPinned { service } => format!("{service} is not pinned"),
            ActRefusal::NotFrozen { service } => format!("{service} is not frozen"),
            ActRefusal::Held { service } => format!("{service} is held where it is"),
            ActRefusal::NotHeld { service } => format!("{service} is not held"),
            ActRefusal::Evacuated { service, pool, zone } => {
                format!("pool {pool} of {service} is in zone {zone}, which is evacuated")
            }
            ActRefusal::UnknownZone { zone, .. } => format!("no pool has the zone {zone}"),
            ActRefusal::CannotEvacuate { zone, stays } => {
                let stays: Vec<_> = stays.iter().map(|one| format!("{} ({})", one.service, one.why)).collect();
                format!("these services cannot leave {zone}: {}", stays.join(", "))
            }
            ActRefusal::NotEvacuated { zone } => format!("{zone} is not evacuated"),
            ActRefusal::LastEndpoint { service, pool, .. } => {
                format!("pool {pool}, which serves {service}, would not be available any more")
            }
            ActRefusal::NotEjected { service, address } => format!("endpoint {address} of {service} is not ejected"),
            ActRefusal::WeightTooLarge { weight } => {
                format!("the weight {weight} is too large: {} at most", ActCommand::LARGEST_WEIGHT)
            }
            ActRefusal::UntilPassed { said } => format!("until {said}: that time has passed"),
            ActRefusal::UntilTooFar { said, longest_hours } => {
                format!("until {said}: that is too far away, {longest_hours} h at most")
            }
            ActRefusal::ConfigRefused { problems } => {
                format!("the configuration cannot be put into force: {}", problems.join("; "))
            }
        }
    }

    /// For people: what would make it possible; `None` = nothing has to be done.
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            ActRefusal::Expired => "look at the state again, and send a new one".to_owned(),
            ActRefusal::MarkChanged { .. } => "look at the service again, and decide again".to_owned(),
            ActRefusal::IdReused => "use another id for each act, and the same one only to send it again".to_owned(),
            ActRefusal::UnknownService { .. } => "`standfast status` lists the services".to_owned(),
            ActRefusal::UnknownPool { known, pool, .. } => format!("it has {}", near_names(known, pool)),
            ActRefusal::UnknownZone { known, .. } if known.is_empty() => {
                "give pools a `zone` in the configuration first".to_owned()
            }
            ActRefusal::UnknownZone { known, zone } => format!("there are {}", near_names(known, zone)),
            ActRefusal::UnknownEndpoint { .. } => "`standfast status` lists its endpoints".to_owned(),
            ActRefusal::ActiveActive { .. } => "pin it to one pool instead".to_owned(),
            ActRefusal::MovesWith { leader, .. } => format!("order it of {leader}"),
            ActRefusal::FollowsPrimary { .. } => "promote another endpoint: the service follows it".to_owned(),
            ActRefusal::FollowsNone { .. } => "give its check `role: primary` first".to_owned(),
            ActRefusal::NotPrimary { .. } => "start or promote it first: it is accepted for what it is now".to_owned(),
            ActRefusal::Pinned { .. } => "unpin it first".to_owned(),
            ActRefusal::Starting { .. } => "try again in a moment".to_owned(),
            ActRefusal::NotAvailable { service, .. } => format!("pin {service} to it to go there nevertheless"),
            ActRefusal::NoBetterPool { .. } => "its endpoints must be healthy first".to_owned(),
            ActRefusal::Held { .. } => "release it first".to_owned(),
            ActRefusal::Evacuated { service, zone, .. } => {
                format!("return zone {zone} first, or pin {service} to the pool")
            }
            ActRefusal::CannotEvacuate { .. } => {
                "make them ready to leave, or evacuate the others with partial".to_owned()
            }
            ActRefusal::LastEndpoint { next: Some(next), .. } => format!("with force the service goes to {next}"),
            ActRefusal::LastEndpoint { next: None, .. } => "with force no pool is available then".to_owned(),
            ActRefusal::WeightTooLarge { .. } => "weights are shares: 1000 and 1 is the largest difference".to_owned(),
            ActRefusal::UntilPassed { .. } | ActRefusal::UntilTooFar { .. } => {
                "write `for` with a time such as 30m, or `until` with an offset such as 2026-01-31T18:00:00+01:00"
                    .to_owned()
            }
            ActRefusal::ConfigRefused { .. } => {
                "nothing has changed; `standfast check` shows each problem with its place".to_owned()
            }
            ActRefusal::NotPinned { .. }
            | ActRefusal::NotFrozen { .. }
            | ActRefusal::NotHeld { .. }
            | ActRefusal::NotEvacuated { .. }
            | ActRefusal::NotEjected { .. } => return None,
        })
    }
}

/// The names that there are, and the one that was likely meant.
fn near_names(known: &[Name], given: &Name) -> String {
    let names: Vec<&str> = known.iter().map(|name| &**name).collect();
    // (What is longer than a name is none that was mistyped.)
    let distance = |name: &str| strsim::damerau_levenshtein(name, given);
    let near = names.iter().filter(|_| given.len() <= 64).map(|name| (distance(name), name));
    let near = near.filter(|(distance, name)| *distance <= 1 + name.len() / 4).min();
    let near = near.map(|(_, name)| format!("; did you mean {name}?")).unwrap_or_default();
    format!("{}{near}", names.join(", "))
}

impl fmt::Display for ActRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())?;
        self.advice().map_or(Ok(()), |advice| write!(f, ": {advice}"))
    }
}

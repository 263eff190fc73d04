//! What the core has concluded, as one numbered value: `routing` builds the published table from it.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Admission, PoolSessions, Standing};
use crate::config::Name;
use crate::time::MonoTime;

/// An endpoint of this process's life: allotted once per (service, address), never reused, kept over reloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct EndpointId(pub u32);

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.0)
    }
}

/// All conclusions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Grows with every published decision.
    pub epoch: u64,
    /// In the order of the configuration.
    pub services: Vec<ServiceRow>,
}

/// Conclusions about one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceRow {
    /// Its name.
    pub name: Name,
    /// Who serves.
    pub serving: Serving,
    /// The epoch of the switch whose first good answer is still awaited (`Event::Answered` carries it back).
    pub awaiting_answer: Option<u64>,
    /// All its pools became unreachable at once: whatever it keeps, it serves no request.
    #[serde(default)]
    pub isolated: bool,
    /// In the order of the configuration.
    pub pools: Vec<PoolRow>,
}

/// Who serves a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Serving {
    /// The first choice has not been made: requests wait up to 1 s, then 503.
    Starting,
    /// This pool (an index), and only this one. Its `Open` endpoints are usable, perhaps because it is failing open.
    Active(usize),
    /// `active_active`: shares by pool; 0 = none. At least one is not 0.
    Shared(Vec<u32>),
    /// No pool: `Trial` endpoints of any pool take one live request per 100 ms, the rest is refused or held.
    Down,
}

impl Serving {
    /// The active pool, an index; `None` in `active_active` too.
    pub fn active(&self) -> Option<usize> {
        match self {
            Serving::Active(active) => Some(*active),
            Serving::Starting | Serving::Shared(_) | Serving::Down => None,
        }
    }

    /// Does any pool serve?
    pub fn is_served(&self) -> bool {
        matches!(self, Serving::Active(_) | Serving::Shared(_))
    }

    /// Does this pool (an index) serve?
    pub fn serves(&self, pool: usize) -> bool {
        match self {
            Serving::Active(active) => *active == pool,
            Serving::Shared(shares) => shares.get(pool).is_some_and(|share| *share > 0),
            Serving::Starting | Serving::Down => false,
        }
    }

    /// Does a page answer in the place of endpoints? `pages`: of each pool in order, whether it is one. (A service that is nothing
    /// but a page is served by it.)
    pub fn shows_a_page(&self, pages: impl Iterator<Item = bool> + Clone) -> bool {
        let mut serving = pages.clone().enumerate().filter(|(pool, _)| self.serves(*pool)).peekable();
        serving.peek().is_some() && serving.all(|(_, page)| page) && !pages.clone().all(|page| page)
    }
}

/// Conclusions about one pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolRow {
    /// Its name.
    pub name: Name,
    /// May it take the service (enough usable endpoints; a static response always).
    pub available: bool,
    /// What becomes of its sessions.
    #[serde(default)]
    pub sessions: PoolSessions,
    /// None for a static response.
    pub endpoints: Vec<EndpointRow>,
}

/// Conclusions about one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointRow {
    /// Its identity.
    pub id: EndpointId,
    /// Its address.
    pub address: SocketAddr,
    /// State and reason.
    pub standing: Standing,
    /// What may be sent to it.
    pub admission: Admission,
    /// When it last joined a pool that was already serving: where its slow start begins.
    pub joined: Option<MonoTime>,
    /// It is asked and says nothing, or has just refused: new work goes elsewhere as long as there is an elsewhere, or waits
    /// for the verdict.
    #[serde(default)]
    pub suspected: bool,
    /// Its good answers are to be counted by source even if it has not failed: it is being proven.
    #[serde(default)]
    pub proving: bool,
    /// The service follows its primary, and this is another one: no session may be there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fenced: bool,
    /// What counts in the place of the configured weight: an operator's, and the share that an agent states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

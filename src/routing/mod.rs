//! The meeting place of control plane and data plane: an immutable, numbered [`RoutingTable`] behind one `ArcSwap`
//! ([`Published`]), the atomics beside it that survive republishing ([`EndpointStats`], [`ServiceStats`],
//! [`ListenerStats`]), and pure picks on both: match, balance, retry rule, budget.
//!
//! # The way through this room
//!
//! * [`table`]: what is published, and [`RoutingTable::build`], which only one writer calls.
//! * [`materials`]: what TLS needs, beside the [`sockets`] the other thing that a table only carries.
//! * [`matching`]: request → route, at a cost that does not depend on the number of routes.
//! * [`sni`]: the same for TLS that is passed through.
//! * [`pick`]: service → endpoint, by [`balance`], under what the core has concluded.
//! * [`latency`]: how long a route's answers take, and so when one is late.
//! * [`tries`]: what to do after a try failed; [`faults`]: whose failure it was; [`budget`]: how often a service may.
//! * [`stats`]: what workers count; [`limits`]: the circuit breaker; [`hold_line`]: TCP sessions that wait for an endpoint.
//! * [`protocol`]: the switch protocol over a generic cell; [`published`]: the same over the real one; [`register`]:
//!   the sessions that a switch must find.
pub mod balance;
pub mod budget;
pub mod faults;
#[cfg(test)]
mod fixture;
pub mod hold_line;
pub mod latency;
pub mod limits;
pub mod matching;
pub mod materials;
pub mod pick;
pub mod protocol;
pub mod published;
pub mod register;
pub mod sni;
pub mod sockets;
pub mod stats;
pub mod table;
pub mod tried;
pub mod tries;

pub use budget::Budget;
pub use faults::FailedTry;
pub use latency::LatencyEstimate;
pub use limits::{HeldPlace, Limits, Permit, PermitError, UnprovenBody};
pub use matching::{HasHeader, Matcher, RouteQuery, RouteView};
pub use materials::TlsAssets;
pub use pick::{Pick, PickChoice, PickRequest, PickScope, PickState};
pub use published::{Handle, Published, WorkerId, WorkerView};
pub use register::{RegisteredSession, SessionEntry, SessionRegister};
pub use sockets::{BoundSocket, ListenerSockets};
pub use stats::{
    ConnRejection, DigestCursor, EndpointStats, EndpointTotals, FailsEverywhere, FirstAnswer, InFlight, ListenerPermit,
    ListenerStats, RecentSources, Rejection, ResponseTracker, RetryReason, RetryReasons, ServiceStats, SourceKey,
};
pub use table::{
    EndpointView, ListenerTarget, ListenerView, PoolTerm, PoolView, RoutingTable, ServiceView, SessionVerdict,
    SocketMap, TableIdentity,
};
pub use tried::TriedEndpoints;
pub use tries::{GiveUpReason, RequestClass, RetryDecision, Tries, TryEnd, TryFailure};

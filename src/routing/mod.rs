//! The meeting place of control plane and data plane: an immutable, numbered [`RoutingTable`] behind one `ArcSwap`
//! ([`Published`]), the atomics beside it that survive republishing ([`EndpointStats`], [`ServiceStats`]), and pure picks
//! on both: match, balance, retry rule, budget.
mod published;
mod stats;
mod table;

pub use published::{Published, WorkerId, WorkerView};
pub use stats::{EndpointStats, ServiceStats};
pub use table::{EndpointView, ListenerView, PoolView, RoutingTable, ServiceView};

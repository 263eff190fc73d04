//! The way to an endpoint: the pick, an idle connection of this worker, a place on one that is shared or a new one, and the
//! waits in between.
mod destination;
mod dial;
mod dial_gate;
mod dispatch;
mod faults;
mod first_connect;
mod h2_connection;
mod h2_pool;
mod idle;
mod pools;
mod race;
mod retry;
mod select;
mod share;
mod wait;

pub use destination::{Destination, is_condemned};
pub use dispatch::{ClientInfo, Dispatch, SelectError, Selected, SelectedTarget, UpstreamLink, hash_peer};
pub use faults::{FaultSubject, blame};
pub use h2_connection::H2Stream;
pub use idle::IdleConn;
pub use pools::UpstreamPools;

//! From a request to a connection: the pick of an endpoint; an idle connection of this worker, a stream of a shared one or a new
//! one; and the waits in between.
mod destination;
mod dial;
mod dial_gate;
mod dispatch;
mod faults;
mod first_connect;
mod h2_connection;
mod h2_pool;
mod hold;
mod idle;
mod pools;
mod race;
mod retry;
mod select;
mod session_hold;
mod share;
mod wait;

pub use destination::{Destination, is_condemned};
pub use dispatch::{ClientInfo, Dispatch, SelectError, Selected, SelectedTarget, UpstreamLink, hash_peer};
pub use faults::{FaultSubject, blame};
pub use h2_connection::H2Stream;
pub use pools::UpstreamPools;
pub use session_hold::SessionHold;

//! The way to an endpoint: the pick, an idle connection of this worker, a place on one that is shared or a new one, and the
//! waits in between.
mod destination;
mod dial;
mod faults;
mod h2_connection;
mod h2_pool;
mod idle;
mod place;
mod pools;
mod race;
mod retry;
mod select;
mod share;
mod wait;

pub use destination::{Spot, is_condemned};
pub use faults::{Subject, blame};
pub use h2_connection::Strand;
pub use idle::Parked;
pub use place::{Asker, Link, Placed, Placing, Target, Unplaced, hash_peer};
pub use pools::UpstreamPools;

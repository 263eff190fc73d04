//! The way to an endpoint: the pick, an idle connection of this worker or a new one, and the waits in between.
mod idle;
mod place;

pub use idle::{Idle, Parked};
pub use place::{Interrupted, Placed, Placing, Spot, Target, Unplaced, guarded};

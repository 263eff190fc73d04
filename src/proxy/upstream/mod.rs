//! The way to an endpoint: the pick, an idle connection of this worker, a place on one that is shared or a new one, and the
//! waits in between.
mod faults;
mod idle;
mod multiplexed;
mod place;
mod race;

pub use faults::Subject;
pub use idle::{Idle, Parked};
pub use multiplexed::{Lines, Strand};
pub use place::{Asker, Interrupted, Link, Placed, Placing, Spot, Target, Unplaced, blame, guarded, is_condemned};

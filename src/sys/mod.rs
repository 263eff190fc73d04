//! What the operating system alone knows: the monotonic clock, limits, memory, CPU affinity. The only room that may read a clock.

pub mod clock;
pub mod limits;
pub mod memory;
pub mod pipe;
pub mod process;
mod running;
pub mod tcp;

//! The data plane's IO: per-core workers that accept, read, pick, dial, relay and count. It never meets `control`; both
//! meet in `routing`.
#[allow(dead_code)]
mod buffer;
#[allow(dead_code)]
mod deadline;

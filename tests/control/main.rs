//! The control plane on real sockets: by itself, and as part of whole instances before upstreams that fail.

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod formats;
mod plane;

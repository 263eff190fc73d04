//! Layer 4: a client's connection relayed to an endpoint, byte by byte.
mod relay;
mod session;

pub use relay::Shared;
pub use session::{hash_peer, serve_connection};

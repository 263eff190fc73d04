//! Layer 4: a client's connection relayed to an endpoint, byte by byte. The tunnels of layer 7 are relayed here too.
mod cancel;
mod hello;
mod refusal;
mod relay;
mod session;
mod silence;

pub use relay::{Direction, Relay, RelayBuffer, RelayEnd, RelayStream};
pub use session::serve_connection;
pub use silence::SilenceLimits;

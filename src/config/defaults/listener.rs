//! An item of `listeners:`

use std::time::Duration;

use super::s;
use crate::config::model::Forwarded;

/// A TLS handshake or PROXY header takes two round trips; ten seconds forgive a bad mobile network.
pub const HANDSHAKE: Duration = s(10);
/// A request head is one packet or a few; a client that takes longer holds the connection on purpose.
pub const HEADER: Duration = s(10);
/// Between two reads: an upload that says nothing for so long is gone.
pub const CLIENT_BODY: Duration = s(30);
/// Browsers reuse a connection within seconds; a parked one costs a socket.
pub const CLIENT_IDLE: Duration = s(60);
/// A bound that a flood cannot pass with common descriptor limits (two per connection), and ordinary traffic never meets.
pub const LISTENER_CONNECTIONS: usize = 10_000;
/// Larger than any browser's cookies, small enough to hold for every connection at once.
pub const HEADER_BYTES: usize = 64 << 10;
/// Browsers and gateways together send about thirty.
pub const HEADERS: usize = 100;
/// What a client says about itself is not believed. `append` is for listeners behind load balancers that set these fields.
pub const FORWARDED: Forwarded = Forwarded::Replace;
/// What browsers and gRPC clients expect at least (RFC 9113 §6.5.2 recommends 100 or more).
pub const STREAMS: u32 = 128;

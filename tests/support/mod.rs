//! What the socket tests share: raw upstreams, an exact client, and a data plane whose table a test writes itself.
#![allow(dead_code, unused_imports, reason = "every test binary uses another part of it")]
pub mod black_hole;
pub mod client;
pub mod http2;
pub mod http2_upstream;
pub mod instance;
pub mod pki;
pub mod plane;
pub mod traffic;
pub mod upstream;

pub use black_hole::BlackHole;
pub use client::{Answer, Client, get, post, until, within};
pub use http2::Http2;
pub use instance::{Instance, reload_permit};
pub use pki::{Pair, Pki};
pub use plane::Plane;
pub use upstream::{Behaviour, Then, Upstream, response};

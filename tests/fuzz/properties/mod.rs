//! What must hold of each reader of bytes from outside, whatever the bytes. One file a reader; each has a `check` that panics
//! when a property does not hold.
//!
//! `tests/fuzz/main.rs` replays the corpus and generates inputs; the fuzz targets (`tests/fuzz/src/main.rs`) search for others.
//! What the properties are, for every reader where they apply:
//!
//! - **Whole and in pieces alike**: the verdict, what was read and where it ended do not depend on how the bytes were cut.
//! - **Written and read again**: what we send is what we would accept, and says the same.
//! - **A second reader**: a naive one from the specification, or `httparse`, understands the same.
//! - **Bounded**: no input makes a reader hold or allocate more than a fixed amount and a multiple of its length.
//!
//! An input is the bytes alone. Options that are no part of them (limits, header changes) are chosen by [`tools::seed`].
pub mod chunked;
pub mod client_hello;
pub mod config;
#[path = "../../support/fixture.rs"]
mod fixture;
pub mod forwarded;
pub mod grpc_answer;
pub mod h1_request;
pub mod h1_response;
pub mod h2_frames;
pub mod h2_messages;
pub mod heads;
pub mod proxy_protocol;
pub mod routing;
pub mod state_file;
pub mod target;
pub mod tools;
pub mod units;
pub mod websocket;

/// A reader and its properties.
pub struct Target {
    /// Its name: that of its corpus and of `run.py TARGET`.
    pub name: &'static str,
    /// Panics when a property does not hold of these bytes.
    pub check: fn(&[u8]),
    /// The longest input that is worth trying.
    pub longest: usize,
}

/// Every reader.
pub const TARGETS: [Target; 15] = [
    Target { name: "h1_request", check: h1_request::check, longest: 2500 },
    Target { name: "h1_response", check: h1_response::check, longest: 2500 },
    Target { name: "chunked", check: chunked::check, longest: 1024 },
    Target { name: "h2_frames", check: h2_frames::check, longest: 4096 },
    Target { name: "h2_messages", check: h2_messages::check, longest: 1024 },
    Target { name: "proxy_protocol", check: proxy_protocol::check, longest: 600 },
    Target { name: "client_hello", check: client_hello::check, longest: 1024 },
    Target { name: "websocket", check: websocket::check, longest: 512 },
    Target { name: "target", check: target::check, longest: 200 },
    Target { name: "routing", check: routing::check, longest: 400 },
    Target { name: "forwarded", check: forwarded::check, longest: 400 },
    Target { name: "grpc_answer", check: grpc_answer::check, longest: 100 },
    Target { name: "config", check: config::check, longest: 3000 },
    Target { name: "units", check: units::check, longest: 60 },
    Target { name: "state_file", check: state_file::check, longest: 4000 },
];

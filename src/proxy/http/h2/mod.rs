//! HTTP/2 towards clients: the engine (the crate `h2`) frames and multiplexes, every stream is a task that runs the same
//! request function as HTTP/1.
//!
//! `io` stands between the engine and the socket and watches what comes, `connection` drives the engine and keeps the
//! connection's deadlines, `client` is the request function's view of one stream.
mod client;
mod connection;
mod io;

pub use connection::serve_connection;

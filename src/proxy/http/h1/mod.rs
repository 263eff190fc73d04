//! HTTP/1 over connections: the thin IO around `wire::h1`, on both sides.
mod client;
mod connection;
mod upstream;

pub use connection::serve_connection;
pub use upstream::H1Exchange;

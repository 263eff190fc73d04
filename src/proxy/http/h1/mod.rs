//! HTTP/1 over connections: the thin IO around `wire::h1`, on both sides. Towards clients `connection` waits for requests,
//! `request_slot` has the tasks that serve them, `serve` has both, `client` is the request function's view of the connection.
mod client;
mod connection;
mod request_slot;
mod serve;
mod upstream;

pub use request_slot::SlotPool;
pub use serve::serve_connection;
pub use upstream::H1Exchange;

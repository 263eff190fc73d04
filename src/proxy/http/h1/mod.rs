//! HTTP/1 over connections: the thin IO around `wire::h1`, on both sides. Towards clients `connection` waits for requests,
//! `desk` has the room in which they are served, `client` is the request function's view of the connection.
mod client;
mod connection;
mod desk;
mod upstream;

pub use connection::serve_connection;
pub use desk::Desks;
pub use upstream::H1Exchange;

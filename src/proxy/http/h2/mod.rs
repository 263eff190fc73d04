//! HTTP/2 on both sides. Towards clients: the engine (the crate `h2`) frames and multiplexes, every stream is a task that runs the same
//! request function as HTTP/1.
//!
//! `io` stands between the engine and the socket and watches what comes, `connection` drives the engine and keeps the
//! connection's deadlines, `stream` is one request and what it shares with the others, `task_pool` has the streams' tasks, `client`
//! is the request function's view of one stream. `upstream` is one exchange over a stream to an endpoint, whose connection
//! `proxy/upstream` keeps.
mod client;
mod connection;
mod io;
mod stream;
mod task_pool;
mod upstream;

pub use connection::serve_connection;
pub use task_pool::TaskPool;
pub use upstream::H2Exchange;

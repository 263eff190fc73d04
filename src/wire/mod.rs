//! Bytes to values and back, without IO: no async, no clock, no sockets, no randomness, no logs.
//!
//! - [`Fields`]: header fields or trailers of one message in a reused arena; HTTP/1 parses into it, HTTP/2 can fill it
//!   from name/value pairs.
//! - [`h1`]: the strict HTTP/1 codec for both sides.
//! - [`h2`]: what HTTP/2 brings and takes, in the same values.
//! - [`proxy_protocol`]: PROXY headers; [`client_hello`]: what the first message of a TLS handshake asks for.
//! - [`cookie()`], [`query_parameter`]: one value of a request by its name.
//! - [`mysql`]: packets of MySQL and MariaDB, for checks.
//! - [`refusal`]: how clients of databases are told that there is no server for them.
//! - [`resp`]: replies of Redis and Valkey, for checks.
//! - [`websocket`]: where the frames of a relayed WebSocket end, and the frame that ends it.
#[cfg(test)]
mod alike;
mod ascii;
pub mod client_hello;
mod cookie;
mod fields;
pub mod h1;
pub mod h2;
pub mod mysql;
pub mod proxy_protocol;
mod query;
pub mod refusal;
pub mod resp;
pub mod websocket;

pub use cookie::cookie;
pub use fields::{Field, Fields, Known};
pub use query::query_parameter;

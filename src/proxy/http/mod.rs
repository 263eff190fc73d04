//! Layer 7: one request function, and the protocols that clients and endpoints speak around it.
//!
//! `request` is the list of steps of one request, `attempt` one try of it, `body` the replay of its body, `respond` the one
//! place that maps failures to answers, `account` what is counted and logged at its end. `client` is what the request
//! function asks of a client's protocol, `exchange` what it asks of an endpoint's; `h1` implements both.
//! `tunnel` is what becomes of both connections when a reply switches protocols.
mod account;
mod attempt;
mod body;
mod client;
mod exchange;
mod h1;
mod request;
mod respond;
mod tunnel;

pub use h1::serve_connection;
pub use request::Scratch;

//! The black-box suite of HTTP/1.1: a running data plane, hand-made bytes from clients and from upstreams, and what may
//! never come out on the other side.

pub mod cases;
pub mod raw;
mod replies;
mod requests;
mod splits;
mod streams;
mod waits;

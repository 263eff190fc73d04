//! The black-box protocol suite: a running data plane, hand-made bytes from clients and from upstreams, and what may
//! never come out on the other side.
#![allow(missing_docs)]
mod support;

#[path = "protocol/cases.rs"]
mod cases;
#[path = "protocol/raw.rs"]
mod raw;
#[path = "protocol/replies.rs"]
mod replies;
#[path = "protocol/requests.rs"]
mod requests;
#[path = "protocol/splits.rs"]
mod splits;
#[path = "protocol/streams.rs"]
mod streams;
#[path = "protocol/waits.rs"]
mod waits;

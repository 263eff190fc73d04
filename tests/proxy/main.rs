//! The data plane on real sockets, before upstreams that the tests play: what clients and upstreams see.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod bulk;
mod cancel;
mod cold_pool;
mod condemned;
mod deadlines;
mod failures;
mod grpc;
mod held;
mod herds;
mod http;
mod passthrough;
mod proxy_protocol;
mod stalls;
mod switch;
mod switch_race;
mod tcp;
mod tls;

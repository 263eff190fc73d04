//! The protocols as their peers see them, on real sockets: HTTP/1.1 and HTTP/2 from clients and from upstreams, upgrades,
//! and programs that others wrote.

#[path = "../support/mod.rs"]
mod support;

mod against_hyper;
mod http1;
mod http2;
mod http2_upstream;
mod real_clients;
mod upgrades;

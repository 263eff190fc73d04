//! **Standfast** is a layer-4/7 failover reverse proxy: when the active pool fails, clients that can be saved do not notice, and
//! afterwards the operator can read exactly what happened, when, why and how fast.
//!
//! # The rooms
//!
//! ```text
//! wiring     app.rs · main.rs · cli/                 may see everything: the assembled proxy, and the program around it
//! IO         admin/ ──▶ control/        proxy/       control plane      data plane; these two never import each other
//! dry run    simulation/                             core and table on a virtual clock, before model endpoints: no IO
//! meeting    routing/                                the published table: immutable, numbered, one ArcSwap, lock-free reads
//! tools      telemetry/   net/   sys/                metrics+logs+traces · sockets · the only `unsafe` and the only clock
//! pure       config/   wire/   decision/             text→Config · bytes↔values · events in, effects out
//!            access/   audit/                        act→permit · records↔a chain of lines
//! bottom     text.rs   time.rs   digest.rs           text of others, fit to be shown · monotonic time as data · SHA-256 and hex
//! aside      manual/                                 text only: how all of this works, and why
//! ```
//!
//! An import only points down (or along the arrow). The [`manual`] says why, and has a chapter for each mechanism.
//!
//! [`App`] is the whole of it as a value: the program starts one, and so does another program that embeds the proxy.
// Of the library alone: tests may stop at what is wrong, and print. The other lints are in Cargo.toml.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod access;
pub mod admin;
pub mod app;
pub mod audit;
pub mod config;
pub mod control;
pub mod decision;
mod digest;
pub mod manual;
pub mod net;
pub mod proxy;
pub mod routing;
pub mod simulation;
pub mod sys;
pub mod telemetry;
pub mod text;
pub mod time;
pub mod wire;

pub use app::{App, AppBuilder, AppStartError, ReloadError};

/// Files that unit tests and integration tests share name the library so.
#[cfg(test)]
extern crate self as standfast;

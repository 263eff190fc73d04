//! The window into a running proxy: an HTTP server on a thread of its own, read-only, bounded, never in a worker's way.
//!
//! * [`server`]: binding, the thread, connections and their bounds;
//! * [`connections`]: which connection is closed when there are too many;
//! * [`pages`]: what answers to which path;
//! * [`overview`]: the page for people, written by [`html`];
//! * [`metrics`]: one scrape, made anew from the published table and the engine's counts.
mod connections;
mod html;
mod metrics;
mod overview;
mod pages;
mod server;

pub use metrics::{Scrape, render};
pub use server::{AdminError, AdminHandle, AdminSetup, start};

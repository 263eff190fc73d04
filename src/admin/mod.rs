//! The window into a running proxy: an HTTP server on a thread of its own, read-only, bounded, never in a worker's way.
//!
//! * [`server`]: binding, the thread, connections and their bounds;
//! * [`connections`]: which connection is closed when there are too many;
//! * [`pages`]: what answers to which path;
//! * [`overview`]: the page for people, written by [`html`];
//! * [`metrics`]: the walk over all metrics, those of endpoints in [`endpoint_metrics`].
mod connections;
mod endpoint_metrics;
mod html;
mod metrics;
mod overview;
mod pages;
mod scrape;
mod server;

pub use metrics::{render, walk};
pub use scrape::Scrape;
pub use server::{AdminError, AdminHandle, AdminSetup, start};

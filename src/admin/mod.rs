//! The window into a running proxy: an HTTP server on a thread of its own, read-only, bounded, never in a worker's way.
//!
//! * [`server`]: binding, the thread, connections and their bounds;
//! * [`connections`]: which connection is closed when there are too many;
//! * [`pages`]: what answers to which path, compressed by [`compression`];
//! * [`source`]: what they read: the workers' counts, and one [`snapshot`] of the engine for all of them;
//! * [`overview`]: the page for people, written by [`html`];
//! * [`metrics`]: the walk over all metrics, those of endpoints in [`endpoint_metrics`];
//! * [`recorder_feed`]: the same walk into the recorder of an embedder.
mod compression;
mod connections;
mod endpoint_metrics;
mod html;
mod metrics;
mod overview;
mod pages;
mod recorder_feed;
mod scrape;
mod server;
mod snapshot;
mod source;

pub use compression::gzip;
pub use metrics::{render, walk};
pub use recorder_feed::RecorderFeed;
pub use scrape::MetricsWalk;
pub use server::{AdminError, AdminHandle, AdminSetup, start};

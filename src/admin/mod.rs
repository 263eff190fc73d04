//! The window into a running proxy: an HTTP server on a thread of its own, bounded, never in a worker's way; and
//! the door for acts.
//!
//! * [`server`]: binding, the thread, its end;
//! * [`port`]: one port, its connections and their bounds; [`unix_socket`]: the one in the file system;
//! * [`connections`]: which connection is closed when there are too many, and the places that are kept;
//! * [`gate`]: what a request has to pass: its host, its origin, its credential;
//! * [`caller`]: the sender of a request, and what it may do; [`users`]: names of users;
//! * [`credentials`]: the credentials in force: [`token_store`] and [`jwt`]; [`watched_file`]: files that say which are good;
//! * [`v1`]: the programmatic interface: acts and reads;
//! * [`openapi`]: the description of all of it (OpenAPI 3.1), made from the handlers and the table of commands;
//! * [`health`]: may traffic be sent here, for load balancers and DNS;
//! * [`pages`]: what answers to which path;
//! * [`response`]: how answers are made, compressed by [`compression`]; [`problem`]: error answers (RFC 9457);
//! * [`source`]: what they read: the workers' counts, and one [`snapshot`] of the engine for all of them;
//! * [`overview`]: the page for people, written by [`html`];
//! * [`metrics`]: the walk over all metrics, those of endpoints in [`endpoint_metrics`];
//! * [`recorder_feed`]: the same walk into the recorder of an embedder.
mod caller;
mod compression;
mod connections;
mod credentials;
mod endpoint_metrics;
mod gate;
mod health;
mod html;
mod jwt;
mod metrics;
mod openapi;
mod overview;
mod pages;
mod port;
mod problem;
mod recorder_feed;
mod response;
mod scrape;
mod server;
mod snapshot;
mod source;
mod token_store;
mod unix_socket;
mod users;
mod v1;
mod watched_file;

pub use compression::gzip;
pub use metrics::{render, walk};
pub use openapi::{Command, commands, openapi_document};
pub use recorder_feed::RecorderFeed;
pub use scrape::MetricsWalk;
pub use server::{AdminError, AdminHandle, AdminSetup, start};
pub use unix_socket::UnixSocketError;

//! What is meant → YAML, every value written out: reading a dump gives an equal configuration, except for secrets. The values
//! of `request_headers` of a check are `***`; keys and certificates are files, and only their names are part of a
//! configuration.

#[macro_use]
mod written;

mod admin;
mod audit;
mod balance;
mod check;
mod dns;
mod endpoint;
mod failover;
mod file;
mod journal;
mod listener;
mod logs;
mod outlier;
mod pool;
mod retry;
mod route;
mod service;
mod state;
mod static_response;
mod tls;
mod upstream;

use super::emit::emit;
use super::model::Config;

/// The configuration as YAML with every default filled in. Relative paths have become what they count from; a
/// `body_file` has become the `body` that was read from it.
pub fn dump(config: &Config) -> String {
    emit(&file::file(config))
}

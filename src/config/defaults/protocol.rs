//! `protocol:` of a listener or a service.

use crate::config::model::Protocol;

/// Of listeners and services: most are HTTP, and a TCP one must say so.
pub const PROTOCOL: Protocol = Protocol::Http;

//! The admin port and what people read: pages, metrics, the log, `standfast status`.

mod acts;
mod commands;
mod credentials;
mod description;
mod jwt;
mod manual;
mod metrics;
mod port;
mod program;
mod support;
mod tokens;
mod unix_socket;
#[path = "../support/waiting.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod waiting;

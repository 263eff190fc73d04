//! The admin port and what people read: pages, metrics, the log, `standfast status`.

mod manual;
mod metrics;
mod port;
mod program;
mod support;
#[path = "../support/waiting.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod waiting;

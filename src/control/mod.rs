//! The control plane's IO: the engine that alone owns the decisions, and the probes that feed it.
#![allow(dead_code)]
mod confirm;
mod probes;

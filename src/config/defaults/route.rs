//! An item of `routes:`

/// What people expect to work; everything else has to be named.
pub const UPGRADES: &[&str] = &["websocket"];

//! `journal:`

use crate::config::units::SizeInBytes;

map! { /// `journal:`
Journal = "journal" {
    path: String,
    max_bytes: SizeInBytes,
}}

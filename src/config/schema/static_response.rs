//! `static_response:`

use crate::config::item::Entries;
use crate::config::units::Count;

map! { /// `static_response:`
StaticResponse = "static_response" {
    status: Count<200, 599>,
    content_type: String,
    headers: Entries<String>,
    body: String,
    body_file: String,
}}

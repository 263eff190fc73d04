//! `static_response:`

use crate::config::spanned::NamedEntries;
use crate::config::units::RangedCount;

map! { /// `static_response:`
StaticResponse = "static_response" {
    status: RangedCount<200, 599>,
    content_type: String,
    headers: NamedEntries<String>,
    body: String,
    body_file: String,
}}

//! `static_response:`

/// Of a `static_response` whose `body_file` does not tell by its ending.
pub const CONTENT_TYPE: &str = "text/plain; charset=utf-8";
/// What a pool that says "not now" answers.
pub const STATIC_STATUS: u16 = 503;

//! `static_response:`

use serde_yaml::Value;

use super::written::pairs;
use crate::config::model::StaticResponse;

pub(super) fn static_response(response: &StaticResponse) -> Value {
    map! {
        "status" => response.status,
        "content_type" => response.content_type.as_str(),
        "headers" => pairs(&response.headers),
        "body" => response.body.as_str(),
    }
}

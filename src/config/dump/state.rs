//! `state:`

use serde_yaml::Value;

use super::written::path;
use crate::config::model::StateFile;

pub(super) fn state(state: Option<&StateFile>) -> Option<Value> {
    state.map(|state| map! { "path" => path(&state.path), "max_age" => state.max_age })
}

//! `state:`

use crate::config::units::TypedDuration;

map! { /// `state:`
State = "state" {
    path: String,
    max_age: TypedDuration,
}}

//! `state:`

use crate::config::units::Time;

map! { /// `state:`
State = "state" {
    path: String,
    max_age: Time,
}}

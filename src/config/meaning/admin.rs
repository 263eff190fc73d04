//! `admin:`

use super::address;
use super::diagnostics::Room;
use crate::config::item::{Item, Short, Switch};
use crate::config::model::Admin;
use crate::config::schema;

pub(super) fn admin(room: &mut Room, admin: &Item<Switch<Short<schema::Admin>>>) -> Option<Admin> {
    match admin.found()? {
        (at, Switch::On(admin)) => address::bind(room, &admin.0.bind, at).map(|bind| Admin { bind }),
        (_, Switch::Off) => None,
    }
}

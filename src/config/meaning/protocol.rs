//! `protocol:` of a listener or a service.

use super::diagnostics::Room;
use crate::config::defaults;
use crate::config::item::Item;
use crate::config::model::Protocol;
use crate::config::schema;

/// `protocol:` of a listener or a service.
pub(super) fn protocol(room: &mut Room, item: &Item<schema::Protocol>) -> Protocol {
    match item.found() {
        None => defaults::PROTOCOL,
        Some((_, schema::Protocol::Http)) => Protocol::Http,
        Some((_, schema::Protocol::Tcp)) => Protocol::Tcp,
        Some((at, schema::Protocol::Udp)) => {
            room.later(at, "`udp`", "`http` and `tcp` are");
            Protocol::Tcp
        }
    }
}

//! `dns:`

use super::address;
use super::diagnostics::Room;
use crate::config::defaults;
use crate::config::item::Item;
use crate::config::model::Dns;
use crate::config::schema;
use crate::config::units::Purpose;

pub(super) fn dns(room: &mut Room, dns: Option<&schema::Dns>) -> Dns {
    let servers = dns.and_then(|dns| dns.servers.get()).map_or(&[][..], |servers| &servers.0);
    let mut wanted = Vec::new();
    for (at, server) in servers.iter().filter_map(Item::found) {
        if server.0.port() == 0 {
            room.problem(at, "port 0 cannot be connected to", "write the server's port; most use 53");
        }
        address::check(room, at, server.0, Purpose::Connect);
        wanted.push(server.0);
    }
    let timeout = dns.map_or(defaults::DNS_TIMEOUT, |dns| room.wait(&dns.timeout, defaults::DNS_TIMEOUT));
    if let Some(dns) = dns {
        room.at_most_a_day(&dns.timeout);
    }
    Dns { servers: wanted, timeout }
}

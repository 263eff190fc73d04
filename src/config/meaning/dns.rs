//! `dns:`

use super::address;
use super::diagnostics::Diagnostics;
use crate::config::defaults;
use crate::config::model::Dns;
use crate::config::schema;
use crate::config::spanned::Spanned;
use crate::config::units::AddressPurpose;

pub(super) fn dns(diagnostics: &mut Diagnostics, dns: Option<&schema::Dns>) -> Dns {
    let servers = dns.and_then(|dns| dns.servers.get()).map_or(&[][..], |servers| &servers.0);
    let mut wanted = Vec::new();
    for (at, server) in servers.iter().filter_map(Spanned::found) {
        if server.0.port() == 0 {
            diagnostics.problem(at, "port 0 cannot be connected to", "write the server's port; most use 53");
        }
        address::check(diagnostics, at, server.0, AddressPurpose::Connect);
        wanted.push(server.0);
    }
    let timeout = dns.map_or(defaults::DNS_TIMEOUT, |dns| diagnostics.wait(&dns.timeout, defaults::DNS_TIMEOUT));
    if let Some(dns) = dns {
        diagnostics.at_most_a_day(&dns.timeout);
    }
    Dns { servers: wanted, timeout }
}

//! Addresses that cannot be listened on or connected to, whatever the machine.

use std::net::{IpAddr, SocketAddr};

use super::diagnostics::Diagnostics;
use crate::config::Bind;
use crate::config::spanned::Spanned;
use crate::config::tree::NodeId;
pub(super) use crate::config::units::AddressPurpose;
use crate::config::units::BindAddress;

/// Notes an address that cannot be listened on.
pub(super) fn check_bind(diagnostics: &mut Diagnostics, at: NodeId, bind: Bind) {
    if let Bind::Address(address) = bind {
        check(diagnostics, at, address, AddressPurpose::Bind);
    }
}

/// A `bind:` that must be given.
pub(super) fn bind(diagnostics: &mut Diagnostics, item: &Spanned<BindAddress>, owner: NodeId) -> Option<Bind> {
    let bind = diagnostics.required(item, owner, "bind", "bind: 127.0.0.1:9901").map(|bind| bind.0)?;
    check_bind(diagnostics, item.at().unwrap_or(owner), bind);
    Some(bind)
}

/// Notes an address that cannot be used so.
pub(super) fn check(diagnostics: &mut Diagnostics, at: NodeId, address: SocketAddr, purpose: AddressPurpose) {
    let scope = match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(v6) => v6.scope_id(),
    };
    if let Some((what, advice)) = unusable(address.ip(), scope, purpose) {
        diagnostics.problem(at, format!("{address} {what}"), advice);
    }
}

/// The same for an address without a port.
pub(super) fn check_ip(diagnostics: &mut Diagnostics, at: NodeId, ip: IpAddr) {
    if let Some((what, advice)) = unusable(ip, 0, AddressPurpose::Connect) {
        let link_local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let advice =
            if link_local { "an address alone cannot say it: write another one of that machine" } else { advice };
        diagnostics.problem(at, format!("{ip} {what}"), advice);
    }
}

/// Why, and what to write instead.
fn unusable(ip: IpAddr, scope: u32, purpose: AddressPurpose) -> Option<(&'static str, &'static str)> {
    // `::ffff:0.0.0.0` is no other address than `0.0.0.0`.
    let ip = ip.to_canonical();
    if ip.is_unspecified() {
        let advice = "write the server's own address; on this machine `127.0.0.1` or `[::1]`";
        return (purpose == AddressPurpose::Connect)
            .then_some(("stands for every address when listening, and is no server's", advice));
    }
    if ip.is_multicast() {
        return Some(("is a multicast address: TCP has no groups", "write the address of one machine"));
    }
    match ip {
        IpAddr::V4(v4) if v4.is_broadcast() => {
            Some(("is the broadcast address: no machine has it", "write the address of one machine"))
        }
        IpAddr::V6(v6) if v6.is_unicast_link_local() && scope == 0 => {
            let advice = "add the interface's number, such as `[fe80::1%2]:8080` (`ip link` shows the numbers)";
            Some(("is link-local, and its interface is not said", advice))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(ip: &str, purpose: AddressPurpose) -> bool {
        unusable(ip.parse().unwrap(), 0, purpose).is_some()
    }

    #[test]
    fn addresses_that_no_machine_has_are_refused_in_every_spelling() {
        for ip in ["224.0.0.1", "239.255.255.250", "255.255.255.255", "ff02::1", "::ffff:224.0.0.1", "fe80::1"] {
            assert!(refused(ip, AddressPurpose::Connect) && refused(ip, AddressPurpose::Bind), "{ip}");
        }
        for ip in ["0.0.0.0", "::", "::ffff:0.0.0.0"] {
            assert!(refused(ip, AddressPurpose::Connect) && !refused(ip, AddressPurpose::Bind), "{ip}");
        }
        for ip in ["127.0.0.1", "::1", "10.255.255.255", "169.254.169.254", "fd00::1", "2001:db8::1"] {
            assert!(!refused(ip, AddressPurpose::Connect) && !refused(ip, AddressPurpose::Bind), "{ip}");
        }
    }

    #[test]
    fn a_link_local_address_with_its_interface_is_good() {
        assert_eq!(unusable("fe80::1".parse().unwrap(), 2, AddressPurpose::Connect), None);
    }
}

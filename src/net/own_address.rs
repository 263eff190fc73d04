//! Which addresses this machine has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Does an interface of this machine have this address? The kernel is asked which source it would take towards it, which is
/// the address itself only here; nothing is sent. When the kernel does not say, it is taken for another machine's.
pub fn is_own_address(ip: IpAddr) -> bool {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    /// Any will do: the port is not part of the route.
    const PORT: u16 = 9;
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((ip, PORT))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_packets_leave_by_is_this_machines_and_a_documentation_address_is_not() {
        assert!(is_own_address(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_own_address(Ipv4Addr::new(192, 0, 2, 1).into()));
    }
}

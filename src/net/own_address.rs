//! Which addresses this machine has.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Does an interface of this machine have this address? The kernel is asked which source it would take towards it, which is
/// the address itself only here; nothing is sent. When the kernel does not say, it is taken for another machine's.
pub fn is_own_address(ip: IpAddr) -> bool {
    /// Any will do: the port is not part of the route.
    const PORT: u16 = 9;
    let source = datagram_socket(ip).and_then(|socket| {
        socket.connect((ip, PORT))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == ip)
}

/// An unbound datagram socket of this address's family: where it can be connected to, the kernel knows a way.
pub(super) fn datagram_socket(ip: IpAddr) -> io::Result<UdpSocket> {
    match ip {
        IpAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
        IpAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
    }
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

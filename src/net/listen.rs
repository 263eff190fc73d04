//! Listening sockets: bound once per worker with `SO_REUSEPORT`, after a plain bind has proved that no other process holds
//! the address.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::config::Bind;

/// Connections the kernel holds for us before we accept them (it clamps this to `net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// Why an address could not be listened on, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process (or another socket of ours) holds it.
    #[error("{bind} is already in use by another process: stop it or choose another port (`ss -ltnp` shows who)")]
    InUse {
        /// What we wanted.
        bind: Bind,
    },
    /// A port below 1024 without the right to it.
    #[error("{bind}: no permission to listen on this port: use a port from 1024 up or grant CAP_NET_BIND_SERVICE")]
    Forbidden {
        /// What we wanted.
        bind: Bind,
    },
    /// The address belongs to no interface of this machine.
    #[error("{bind}: this machine has no such address")]
    NoSuchAddress {
        /// What we wanted.
        bind: Bind,
    },
    /// Anything else.
    #[error("cannot listen on {bind}: {source}")]
    Other {
        /// What we wanted.
        bind: Bind,
        /// What the system said.
        source: io::Error,
    },
}

impl BindError {
    fn new(bind: Bind, source: io::Error) -> BindError {
        match Errno::from_io_error(&source) {
            Some(Errno::ADDRINUSE) => BindError::InUse { bind },
            Some(Errno::ACCESS | Errno::PERM) => BindError::Forbidden { bind },
            Some(Errno::ADDRNOTAVAIL) => BindError::NoSuchAddress { bind },
            _ => BindError::Other { bind, source },
        }
    }
}

/// Binds one listening, non-blocking socket for each worker. Port 0 takes one free port for all of them.
///
/// `SO_REUSEPORT` would happily share the port with a foreign process that set it too, and half of the connections would
/// vanish there: so the address is first bound without it. An IPv6 address takes no IPv4 connections; [`Bind::Every`] takes
/// both by one socket, and IPv4 alone where the machine has no IPv6.
pub fn bind(bind: Bind, workers: usize) -> Result<Vec<TcpListener>, BindError> {
    let fail = |error| BindError::new(bind, error);
    let (proof, families) = match bind {
        Bind::Address(address) => (socket(address, SocketFamilies::One, false), SocketFamilies::One),
        Bind::Every(port) => match socket((Ipv6Addr::UNSPECIFIED, port).into(), SocketFamilies::Both, false) {
            Err(error) if has_no_ipv6(&error) => {
                (socket((Ipv4Addr::UNSPECIFIED, port).into(), SocketFamilies::One, false), SocketFamilies::One)
            }
            proof => (proof, SocketFamilies::Both),
        },
    };
    let proof = proof.map_err(fail)?;
    let address = proof.local_addr().map_err(fail)?.as_socket();
    let address = address.ok_or_else(|| fail(io::Error::other("not an address of the internet")))?;
    drop(proof);
    (0..workers).map(|_| listening(address, families).map_err(fail)).collect()
}

/// What a socket takes connections of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SocketFamilies {
    /// The family of its address.
    One,
    /// IPv4 too, although its address is one of IPv6.
    Both,
}

/// Does this error of the IPv6 wildcard say that there is no IPv6: not in the kernel, or not on this machine?
fn has_no_ipv6(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

fn listening(address: SocketAddr, families: SocketFamilies) -> io::Result<TcpListener> {
    let socket = socket(address, families, true)?;
    // Accepted connections inherit it: one system call less for each.
    socket.set_tcp_nodelay(true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr, families: SocketFamilies, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(families == SocketFamilies::One)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// An end of a connection as its network has it: a socket that takes both families tells an IPv4 address as
/// `::ffff:192.0.2.1`.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => v6.ip().to_ipv4_mapped().map_or(address, |v4| (v4, v6.port()).into()),
        SocketAddr::V4(_) => address,
    }
}

/// Makes the kernel refuse new connections on this socket, however many duplicates of it are still open. What waits in
/// its accept queue is reset: accept it first.
pub fn stop_listening(listener: &impl std::os::fd::AsFd) -> io::Result<()> {
    SockRef::from(listener).shutdown(std::net::Shutdown::Both)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn port_zero_gives_every_worker_the_same_port() {
        let sockets = bind((Ipv4Addr::LOCALHOST, 0).into(), 3).unwrap();
        let ports: Vec<_> = sockets.iter().map(|s| s.local_addr().unwrap().port()).collect();
        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0));
    }

    #[test]
    fn accepted_connections_do_not_delay_small_writes() {
        let sockets = bind((Ipv4Addr::LOCALHOST, 0).into(), 1).unwrap();
        sockets[0].set_nonblocking(false).unwrap();
        let _client = TcpStream::connect(sockets[0].local_addr().unwrap()).unwrap();
        assert!(sockets[0].accept().unwrap().0.nodelay().unwrap());
    }

    #[test]
    fn a_foreign_holder_is_a_clear_error_even_if_it_shares() {
        let held = bind((Ipv4Addr::LOCALHOST, 0).into(), 1).unwrap();
        let address = held[0].local_addr().unwrap();
        let error = bind(address.into(), 2).unwrap_err();
        assert!(matches!(error, BindError::InUse { .. }), "{error}");
    }

    #[test]
    fn an_address_of_another_machine_is_named_as_such() {
        let error = bind("192.0.2.1:0".parse().unwrap(), 1).unwrap_err();
        assert!(matches!(error, BindError::NoSuchAddress { .. }), "{error}");
    }

    #[test]
    fn ipv6_and_ipv4_listen_on_one_port_side_by_side() {
        let Ok(six) = bind((Ipv6Addr::UNSPECIFIED, 0).into(), 2) else { return }; // a machine without IPv6
        let port = six[0].local_addr().unwrap().port();
        assert_eq!(bind((Ipv4Addr::UNSPECIFIED, port).into(), 2).unwrap().len(), 2);
    }

    #[test]
    fn every_address_is_both_families_on_one_port() {
        let Ok(six) = bind((Ipv6Addr::LOCALHOST, 0).into(), 1) else { return }; // a machine without IPv6
        drop(six);
        let sockets = bind(Bind::Every(0), 2).unwrap();
        let port = sockets[0].local_addr().unwrap().port();
        assert_eq!(sockets[1].local_addr().unwrap().port(), port);
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
        for taken in [Bind::Every(port), (Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()] {
            let error = bind(taken, 1).unwrap_err();
            assert!(matches!(error, BindError::InUse { bind } if bind == taken), "{error}");
        }
    }

    #[test]
    fn a_port_that_is_taken_in_one_family_is_not_taken_in_the_other() {
        let held = bind((Ipv4Addr::UNSPECIFIED, 0).into(), 1).unwrap();
        let taken = Bind::Every(held[0].local_addr().unwrap().port());
        let error = bind(taken, 1).unwrap_err();
        assert!(matches!(error, BindError::InUse { bind } if bind == taken), "{error}");
    }

    #[test]
    fn only_the_want_of_ipv6_leads_to_ipv4_alone() {
        let no_ipv6 = |errno: Errno| has_no_ipv6(&io::Error::from(errno));
        assert!([Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].into_iter().all(no_ipv6));
        assert!(![Errno::ADDRINUSE, Errno::ACCESS, Errno::MFILE, Errno::INVAL].into_iter().any(no_ipv6));
    }

    #[test]
    fn a_stopped_listener_refuses_although_a_duplicate_is_open() {
        let sockets = bind((Ipv4Addr::LOCALHOST, 0).into(), 1).unwrap();
        let address = sockets[0].local_addr().unwrap();
        let duplicate = sockets[0].try_clone().unwrap();
        TcpStream::connect(address).unwrap();
        stop_listening(&duplicate).unwrap();
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}

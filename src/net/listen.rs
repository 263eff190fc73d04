//! Listening sockets: bound once per worker with `SO_REUSEPORT`, after a plain bind has proved that nobody else holds
//! the address.

use std::io;
use std::net::{SocketAddr, TcpListener};

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Connections the kernel holds for us before we accept them (it clamps this to `net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// Why an address could not be listened on, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process (or another socket of ours) holds it.
    #[error("{address} is already in use by another process: stop it or choose another port (`ss -ltnp` shows who)")]
    InUse {
        /// What we wanted.
        address: SocketAddr,
    },
    /// A port below 1024 without the right to it.
    #[error("{address}: no permission to listen on this port: use a port from 1024 up or grant CAP_NET_BIND_SERVICE")]
    Forbidden {
        /// What we wanted.
        address: SocketAddr,
    },
    /// The address belongs to no interface of this machine.
    #[error("{address}: this machine has no such address")]
    NoSuchAddress {
        /// What we wanted.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// What we wanted.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl BindError {
    fn new(address: SocketAddr, source: io::Error) -> BindError {
        match Errno::from_io_error(&source) {
            Some(Errno::ADDRINUSE) => BindError::InUse { address },
            Some(Errno::ACCESS | Errno::PERM) => BindError::Forbidden { address },
            Some(Errno::ADDRNOTAVAIL) => BindError::NoSuchAddress { address },
            _ => BindError::Other { address, source },
        }
    }
}

/// Binds one listening, non-blocking socket for each worker. Port 0 takes one free port for all of them.
///
/// `SO_REUSEPORT` would happily share the port with a foreign process that set it too, and half of the connections would
/// vanish there: so the address is first bound without it. An IPv6 address never takes IPv4 connections; list both.
pub fn bind(address: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, BindError> {
    let fail = |error| BindError::new(address, error);
    let proof = socket(address, false).map_err(fail)?;
    let address = proof.local_addr().ok().and_then(|local| local.as_socket()).unwrap_or(address);
    drop(proof);
    (0..workers).map(|_| listening(address).map_err(fail)).collect()
}

fn listening(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address, true)?;
    // Accepted connections inherit it: one system call less for each.
    socket.set_tcp_nodelay(true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Makes the kernel refuse new connections on this socket, however many duplicates of it are still open. What waits in
/// its accept queue is reset: accept it first.
pub fn stop_listening(listener: &impl std::os::fd::AsFd) -> io::Result<()> {
    SockRef::from(listener).shutdown(std::net::Shutdown::Both)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};

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
        let error = bind(address, 2).unwrap_err();
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
    fn a_stopped_listener_refuses_although_a_duplicate_is_open() {
        let sockets = bind((Ipv4Addr::LOCALHOST, 0).into(), 1).unwrap();
        let address = sockets[0].local_addr().unwrap();
        let duplicate = sockets[0].try_clone().unwrap();
        TcpStream::connect(address).unwrap();
        stop_listening(&duplicate).unwrap();
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}

//! The connects of the control plane, and what their errors mean. Every connection made here ends with a reset when it is
//! dropped, so that probing leaves no connection in TIME_WAIT on either side.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use rustix::io::Errno;
use tokio::net::TcpStream;

/// Why there is no connection.
#[derive(Debug)]
pub(in crate::control) enum ConnectError {
    /// Refused, reset on connect, host or net unreachable.
    Refused(io::Error),
    /// The kernel gave up waiting.
    Timeout(io::Error),
    /// Our own machine could not ask: evidence about nobody.
    Local(io::Error),
}

/// Connect, without a deadline of its own. Cancel safe: a dropped attempt is closed.
pub(in crate::control) async fn connect(address: SocketAddr) -> Result<TcpStream, ConnectError> {
    let stream = TcpStream::connect(address).await.map_err(classify)?;
    stream.set_zero_linger().map_err(ConnectError::Local)?;
    Ok(stream)
}

/// Whose fault is it? What we do not know is taken as our own: a wrong guess must not condemn an endpoint.
fn classify(error: io::Error) -> ConnectError {
    match error.kind() {
        ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable => return ConnectError::Refused(error),
        ErrorKind::TimedOut => return ConnectError::Timeout(error),
        _ => {}
    }
    match Errno::from_io_error(&error) {
        Some(Errno::HOSTDOWN | Errno::NETDOWN | Errno::NETRESET) => ConnectError::Refused(error),
        _ => ConnectError::Local(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(errno: Errno) -> ConnectError {
        classify(errno.into())
    }

    #[test]
    fn errors_of_our_own_machine_are_local() {
        for errno in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::ADDRNOTAVAIL,
            Errno::ADDRINUSE,
            Errno::PERM,
            Errno::ACCESS,
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::AGAIN,
            Errno::AFNOSUPPORT,
        ] {
            assert!(matches!(of(errno), ConnectError::Local(_)), "{errno:?}");
        }
    }

    #[test]
    fn refusals_of_the_network_are_refusals() {
        for errno in [Errno::CONNREFUSED, Errno::CONNRESET, Errno::HOSTUNREACH, Errno::NETUNREACH] {
            assert!(matches!(of(errno), ConnectError::Refused(_)), "{errno:?}");
        }
        assert!(matches!(of(Errno::TIMEDOUT), ConnectError::Timeout(_)));
    }
}

//! Addresses where connects are neither accepted nor refused.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;

/// A listening socket whose accept queue is full: the kernel drops every SYN, while this lives.
pub struct BlackHole {
    pub address: SocketAddr,
    _socket: Socket,
    _held: Vec<TcpStream>,
}

impl BlackHole {
    /// On a port of its own.
    pub async fn start() -> BlackHole {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
        BlackHole::fill(socket).await
    }

    /// Made of a socket from which nobody accepts (any more).
    pub async fn fill(socket: Socket) -> BlackHole {
        socket.listen(0).expect("it is bound");
        let address = socket.local_addr().expect("bound").as_socket().expect("an address");
        let mut held = Vec::new();
        #[allow(clippy::disallowed_methods, reason = "that nothing comes is seen by waiting")]
        while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            held.push(stream.expect("it listens"));
        }
        BlackHole { address, _socket: socket, _held: held }
    }
}

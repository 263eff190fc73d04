//! The TLS handshake with a client: within its deadline, ended by a stop, counted by how it went.

use std::io;
use std::net::Shutdown;

use socket2::SockRef;
use tokio::net::TcpStream;

use super::header::hurry;
use crate::config::Protocol;
use crate::net::tls::{HandshakeOutcome, ServerTls, TlsAccepted};
use crate::proxy::deadline::Alarm;
use crate::proxy::guarded::{WaitError, guarded};
use crate::proxy::worker_core::WorkerCore;
use crate::routing::ListenerView;
use crate::time::MonoTime;

/// Makes the handshake, before `until`. `None`: the connection is closed and the reason is counted.
pub async fn tls_handshake(
    core: &WorkerCore,
    listener: &ListenerView,
    tls: &ServerTls,
    socket: TcpStream,
    alarm: &Alarm,
    until: MonoTime,
) -> Option<TlsAccepted> {
    alarm.set(until);
    if listener.config.protocol == Protocol::Http && begins_with_a_method(&socket, core, alarm).await {
        listener.stats.count_handshake(core.id, HandshakeOutcome::NotTls);
        tracing::debug!(listener = &*listener.config.name, "plain HTTP on a TLS port: answered 400");
        refuse_plain(&socket, core, alarm).await;
        return None;
    }
    let shaken = match guarded(alarm, &mut hurry(core, alarm), tls.accept(socket)).await {
        Ok(shaken) => shaken.map_err(|(how, error)| (how, error.to_string())),
        Err(WaitError::Late) => Err((HandshakeOutcome::Timeout, "timeouts.handshake ran out".to_owned())),
        Err(WaitError::Gone | WaitError::Killed) => Err((HandshakeOutcome::Closed, "stopped".to_owned())),
    };
    alarm.clear();
    match shaken {
        Ok(shaken) => {
            listener.stats.count_handshake(core.id, shaken.how);
            listener.stats.count_tls_version(core.id, shaken.version);
            Some(shaken)
        }
        Err((how, reason)) => {
            listener.stats.count_handshake(core.id, how);
            tracing::debug!(listener = &*listener.config.name, how = how.as_str(), reason, "TLS handshake failed");
            None
        }
    }
}

/// The answer to plain HTTP on a TLS port.
const PLAIN: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 48\r\nConnection: close\r\n\r\n\
This port speaks HTTPS: use https:// in the URL\n";
/// The most of such a request that is read, so that the answer is not lost to a reset.
const MOST: usize = 64 * 1024;

/// Does the client begin with a letter in upper case, as requests of HTTP do and a TLS record never does? Waits for the first byte.
async fn begins_with_a_method(socket: &TcpStream, core: &WorkerCore, alarm: &Alarm) -> bool {
    let mut first = [0];
    let looked = guarded(alarm, &mut hurry(core, alarm), socket.peek(&mut first)).await;
    matches!(looked, Ok(Ok(1))) && first[0].is_ascii_uppercase()
}

/// Answers in the clear, and reads on until the client closes or the handshake's time is over.
async fn refuse_plain(socket: &TcpStream, core: &WorkerCore, alarm: &Alarm) {
    let answered = async {
        let _ = socket.try_write(PLAIN);
        let _ = SockRef::from(socket).shutdown(Shutdown::Write);
        let (mut waste, mut left) = ([0; 4096], MOST);
        while left > 0 && socket.readable().await.is_ok() {
            match socket.try_read(&mut waste) {
                Ok(0) => break,
                Ok(count) => left = left.saturating_sub(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    };
    let _ = guarded(alarm, &mut hurry(core, alarm), answered).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_says_its_length() {
        let text = std::str::from_utf8(PLAIN).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{}", body.len());
    }
}

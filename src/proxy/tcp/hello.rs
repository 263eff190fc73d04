//! Passed-through TLS: the ClientHello is collected, understood and kept to be sent first, as it came.

use std::future::poll_fn;
use std::io;

use crate::net::Transport;
use crate::proxy::buffer::Buffer;
use crate::proxy::deadline::Alarm;
use crate::proxy::guarded::{WaitError, guarded};
use crate::proxy::handshake::hurry;
use crate::proxy::worker_core::WorkerCore;
use crate::routing::ConnRejection;
use crate::wire::client_hello::{HelloError, HelloReader, HelloRequest};

/// Reads until it is known what the client asks for, by the armed alarm. `None` asked: what came is not TLS. All that was read
/// is appended to `read`.
pub async fn collect(
    core: &WorkerCore,
    client: &mut Transport,
    read: &mut Buffer,
    alarm: &Alarm,
) -> Result<Option<HelloRequest>, ConnRejection> {
    match guarded(alarm, &mut hurry(core, alarm), understand(client, read)).await {
        Ok(asked) => asked,
        Err(WaitError::Late) => Err(ConnRejection::Timeout),
        Err(WaitError::Gone | WaitError::Killed) => Err(ConnRejection::Closed),
    }
}

async fn understand(client: &mut Transport, read: &mut Buffer) -> Result<Option<HelloRequest>, ConnRejection> {
    let mut reader = HelloReader::new();
    loop {
        let before = read.len();
        let more = poll_fn(|cx| {
            // The reader's bound is far below that of the buffer.
            if !read.is_empty() && !read.reserve(1) {
                return std::task::Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
            }
            read.poll_fill(cx, client)
        });
        match more.await {
            Ok(count) if count > 0 => {}
            Ok(_) | Err(_) => return Err(ConnRejection::Closed),
        }
        match reader.feed(&read.bytes()[before..]) {
            Ok(None) => {}
            Ok(asked) => return Ok(asked),
            Err(HelloError::NotTls) => return Ok(None),
            Err(HelloError::Malformed(reason)) => {
                tracing::debug!(reason, "not a ClientHello");
                return Err(ConnRejection::MalformedHello);
            }
            Err(HelloError::TooLong) => {
                tracing::debug!(reason = "it is too long", "not a ClientHello");
                return Err(ConnRejection::MalformedHello);
            }
        }
    }
}

//! Passed-through TLS: the ClientHello is collected, understood and kept to be sent first, as it came.

use std::future::poll_fn;
use std::io;

use crate::net::Transport;
use crate::proxy::buffer::Buffer;
use crate::proxy::deadline::Alarm;
use crate::proxy::door::hurry;
use crate::proxy::guarded::{Interrupted, guarded};
use crate::proxy::worker_core::WorkerCore;
use crate::routing::ConnRejection;
use crate::wire::client_hello::{Asked, Fault, Reader};

/// Reads until it is known what the client asks for, by the armed alarm. `None` asked: what came is not TLS. All that was read
/// is appended to `read`.
pub async fn collect(
    core: &WorkerCore,
    client: &mut Transport,
    read: &mut Buffer,
    alarm: &Alarm,
) -> Result<Option<Asked>, ConnRejection> {
    match guarded(alarm, &mut hurry(core, alarm), understand(client, read)).await {
        Ok(asked) => asked,
        Err(Interrupted::Late) => Err(ConnRejection::Timeout),
        Err(Interrupted::Gone | Interrupted::Killed) => Err(ConnRejection::Closed),
    }
}

async fn understand(client: &mut Transport, read: &mut Buffer) -> Result<Option<Asked>, ConnRejection> {
    let mut reader = Reader::new();
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
            Err(Fault::NotTls) => return Ok(None),
            Err(Fault::Malformed(reason)) => {
                tracing::debug!(reason, "not a ClientHello");
                return Err(ConnRejection::MalformedHello);
            }
            Err(Fault::TooLong) => {
                tracing::debug!(reason = "it is too long", "not a ClientHello");
                return Err(ConnRejection::MalformedHello);
            }
        }
    }
}

//! The opening of an HTTP/2 connection to an endpoint.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};

/// Drives a new connection, made with `initial_max_send_streams(0)`, until the endpoint has shown by its SETTINGS that it speaks
/// HTTP/2. (Before they have come, no stream may be opened.) `Err(None)`: it was closed without an error. Cancel safe.
pub async fn await_settings<T: AsyncRead + AsyncWrite + Unpin>(
    sender: &SendRequest<Bytes>,
    connection: &mut Connection<T, Bytes>,
) -> Result<(), Option<h2::Error>> {
    poll_fn(|cx| match Pin::new(&mut *connection).poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Err(ended.err())),
        Poll::Pending if sender.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await
}

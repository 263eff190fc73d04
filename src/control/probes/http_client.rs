//! hyper's client on one connection, as HTTP and gRPC probes use it: an independent reading of what the endpoint answers.
//! It can be used again; what is left of an answer is read before the next request, when it has long arrived.

use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::Instant;

use super::error::{ProbeError, exchange_error};
use super::stream::ProbeStream;

/// Bytes of a response head that hyper may buffer.
const HEAD: usize = 64 * 1024;

/// Bytes of an answer that are read only to get them out of the way …
const REST: u64 = 64 * 1024;
/// … and how long: they have come since the last probe, or do not come.
const PROMPT: Duration = Duration::from_millis(20);

/// An HTTP connection for one probe or for several. Over HTTP/1.1 it is polled only during an exchange: one that waits for its
/// next probe wakes no task. Dropping it closes it in order: over HTTP/2 by GOAWAY, then as [`ProbeStream`] does.
pub(super) struct ProbeClient {
    sender: RequestSender,
    /// Moves bytes; `None` when the connection is over.
    driver: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// What is left of the last answer.
    rest: Option<Incoming>,
    opened: Instant,
}

enum RequestSender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl ProbeClient {
    /// Speak HTTP/1.1 on this connection.
    pub(super) async fn http1(stream: ProbeStream) -> Result<ProbeClient, ProbeError> {
        let handshake = http1::Builder::new().max_buf_size(HEAD).handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(exchange_error)?;
        Ok(ProbeClient::new(RequestSender::Http1(sender), async { drop(connection.await) }))
    }

    /// Speak HTTP/2 on it.
    pub(super) async fn http2(stream: ProbeStream) -> Result<ProbeClient, ProbeError> {
        let handshake = http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(exchange_error)?;
        Ok(ProbeClient::new(RequestSender::Http2(sender), async { drop(connection.await) }))
    }

    fn new(sender: RequestSender, connection: impl Future<Output = ()> + Send + 'static) -> ProbeClient {
        ProbeClient { sender, driver: Some(Box::pin(connection)), rest: None, opened: Instant::now() }
    }

    /// When it was opened.
    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// Is little left of the last answer?
    pub(super) fn is_reusable(&self) -> bool {
        self.driver.is_some() && self.rest.as_ref().is_some_and(|rest| rest.size_hint().lower() <= REST)
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self.sender, RequestSender::Http2(_))
    }

    /// One exchange. The judge gives back what it did not read of the answer. A client whose exchange was cancelled or failed must
    /// not be used again.
    pub(super) async fn exchange<F>(
        &mut self,
        request: Request<Full<Bytes>>,
        judge: impl FnOnce(Response<Incoming>) -> F,
    ) -> Result<(), ProbeError>
    where
        F: Future<Output = Result<Incoming, ProbeError>>,
    {
        let (sender, rest) = (&mut self.sender, self.rest.take());
        let exchange = async {
            if let Some(rest) = rest {
                clear(rest).await?;
                sender.ready().await.map_err(exchange_error)?;
            }
            judge(sender.send(request).await.map_err(exchange_error)?).await
        };
        let mut exchange = pin!(exchange);
        let verdict = match &mut self.driver {
            None => exchange.await,
            Some(driver) => tokio::select! {
                biased;
                verdict = &mut exchange => verdict,
                () = driver => {
                    self.driver = None;
                    // The connection is over; what it has delivered is still there to be judged.
                    exchange.await
                }
            },
        };
        self.rest = Some(verdict?);
        Ok(())
    }
}

impl RequestSender {
    /// The last exchange is over.
    async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            RequestSender::Http1(sender) => sender.ready().await,
            RequestSender::Http2(sender) => sender.ready().await,
        }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match self {
            RequestSender::Http1(sender) => sender.send_request(request).await,
            RequestSender::Http2(sender) => sender.send_request(request).await,
        }
    }
}

/// Reads what is left of the last answer.
async fn clear(mut rest: Incoming) -> Result<(), ProbeError> {
    if rest.is_end_stream() {
        return Ok(());
    }
    let reading = async {
        let mut length = 0;
        while let Some(frame) = rest.frame().await {
            length += frame.map_err(exchange_error)?.into_data().map_or(0, |data| data.len() as u64);
            if length > REST {
                break;
            }
        }
        Ok(length)
    };
    #[allow(clippy::disallowed_methods, reason = "not on the data path")]
    match tokio::time::timeout(PROMPT, reading).await {
        Ok(Ok(length)) if length <= REST => Ok(()),
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) | Err(_) => Err(ProbeError::Local("the last answer did not come to its end".to_owned())),
    }
}

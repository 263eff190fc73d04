//! A client of HTTP/2: the `h2` crate for what is honest, frames by hand for what is not.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::within;

/// One connection by the engine.
pub struct Http2 {
    /// For what only some tests need.
    pub sender: SendRequest<Bytes>,
    /// How the connection ended.
    pub end: JoinHandle<Result<(), h2::Error>>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
    /// A field as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }
}

impl Http2 {
    /// With prior knowledge, in the clear.
    pub async fn connect(address: SocketAddr) -> Http2 {
        let stream = TcpStream::connect(address).await.expect("the proxy accepts");
        stream.set_nodelay(true).expect("alive");
        Http2::over(stream, &h2::client::Builder::new()).await
    }

    /// Over this connection.
    pub async fn over<S>(stream: S, builder: &h2::client::Builder) -> Http2
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = within(builder.handshake(stream)).await.expect("HTTP/2");
        Http2 { sender, end: tokio::spawn(connection) }
    }

    /// Begins a request; `ends`: without a body.
    pub async fn begin(&mut self, request: Request<()>, ends: bool) -> (ResponseFuture, SendStream<Bytes>) {
        let mut sender = within(self.sender.clone().ready()).await.expect("room for a stream");
        sender.send_request(request, ends).expect("sent")
    }

    /// One request without a body, one answer.
    pub async fn ask(&mut self, request: Request<()>) -> Result<Reply, h2::Error> {
        let (answer, _) = self.begin(request, true).await;
        whole(within(answer).await?).await
    }

    /// One request with a body, one answer.
    pub async fn post(&mut self, request: Request<()>, body: &str) -> Result<Reply, h2::Error> {
        let (answer, mut send) = self.begin(request, false).await;
        send.send_data(Bytes::copy_from_slice(body.as_bytes()), true)?;
        whole(within(answer).await?).await
    }
}

/// Reads an answer to its end, giving the window back as it goes.
pub async fn whole(answer: Response<RecvStream>) -> Result<Reply, h2::Error> {
    let (parts, mut stream) = answer.into_parts();
    let body = body(&mut stream).await?;
    let trailers = within(stream.trailers()).await?;
    Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body, trailers })
}

/// Reads a body to its end.
pub async fn body(stream: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut body = Vec::new();
    while let Some(data) = within(stream.data()).await {
        let data = data?;
        body.extend_from_slice(&data);
        stream.flow_control().release_capacity(data.len())?;
    }
    Ok(body)
}

/// A GET that says who it is.
pub fn get(path: &str, id: &str) -> Request<()> {
    request("GET", path, &[("x-request-id", id)])
}

/// A request for the host `test`.
pub fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(format!("http://test{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request")
}

/// One frame, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const ACK: u8 = 1;
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Frame {
    /// The code in RST_STREAM or GOAWAY.
    pub fn reason(&self) -> Reason {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        Reason::from(u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("a code")))
    }
}

/// A frame by hand.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Fields as literals without indexing, names and values as they are.
pub fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name.as_bytes(), value] {
            integer(text.len(), &mut bytes);
            bytes.extend_from_slice(text);
        }
    }
    bytes
}

fn integer(number: usize, bytes: &mut Vec<u8>) {
    if number < 127 {
        bytes.push(number as u8);
        return;
    }
    bytes.push(127);
    let mut rest = number - 127;
    while rest >= 128 {
        bytes.push((rest % 128 + 128) as u8);
        rest /= 128;
    }
    bytes.push(rest as u8);
}

/// The block of a GET for the host `test`, with more fields.
pub fn get_block(path: &str, more: &[(&str, &[u8])]) -> Vec<u8> {
    let mut fields: Vec<(&str, &[u8])> =
        vec![(":method", b"GET"), (":scheme", b"http"), (":authority", b"test"), (":path", path.as_bytes())];
    fields.extend_from_slice(more);
    block(&fields)
}

/// One connection by hand.
pub struct RawHttp2 {
    pub stream: TcpStream,
    input: Vec<u8>,
}

impl RawHttp2 {
    /// Connects; nothing is sent.
    pub async fn silent(address: SocketAddr) -> RawHttp2 {
        let stream = TcpStream::connect(address).await.expect("the proxy accepts");
        stream.set_nodelay(true).expect("alive");
        RawHttp2 { stream, input: Vec::new() }
    }

    /// Connects and sends preface and SETTINGS.
    pub async fn connect(address: SocketAddr) -> RawHttp2 {
        let mut raw = RawHttp2::silent(address).await;
        raw.send(PREFACE).await;
        raw.send(frame(SETTINGS, 0, 0, &[])).await;
        raw
    }

    /// Writes these bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the proxy reads");
    }

    /// Writes these bytes if anybody still reads.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        within(self.stream.write_all(bytes.as_ref())).await.is_ok()
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn frame(&mut self) -> Option<Frame> {
        within(async {
            loop {
                if let Some((head, rest)) = self.input.split_at_checked(9) {
                    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                    if rest.len() >= length {
                        let stream = u32::from_be_bytes(head[5..9].try_into().expect("four bytes"));
                        let (kind, flags, payload) = (head[3], head[4], rest[..length].to_vec());
                        self.input.drain(..9 + length);
                        return Some(Frame { kind, flags, stream, payload });
                    }
                }
                if !matches!(self.stream.read_buf(&mut self.input).await, Ok(count) if count > 0) {
                    return None;
                }
            }
        })
        .await
    }

    /// The next frame of this kind; `None` when the connection ends without one.
    pub async fn next(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.frame().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }
}

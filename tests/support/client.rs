//! A client that writes what a test says and reads answers exactly.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::upstream::{header, read_body, read_head};

/// No wait in a test is longer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status line and fields, without the empty line.
    pub head: String,
    /// Decoded.
    pub body: Vec<u8>,
}

impl Answer {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status line")
    }
    /// The first field of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

/// One connection.
pub struct Client<S = TcpStream> {
    /// Its socket, or TLS over it, for what only some tests need.
    pub stream: S,
    input: Vec<u8>,
}

impl Client {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.expect("the proxy accepts");
        stream.set_nodelay(true).expect("alive");
        Client::over(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Over what is connected already.
    pub fn over(stream: S) -> Client<S> {
        Client { stream, input: Vec::new() }
    }

    /// Writes these bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the proxy reads");
    }

    /// The next answer, interim ones included; `None` when the connection ends without a whole one.
    pub async fn answer(&mut self) -> Option<Answer> {
        self.answer_to("GET").await
    }

    /// The next answer to a request with this method (an answer to HEAD has no body).
    pub async fn answer_to(&mut self, method: &str) -> Option<Answer> {
        within(async {
            let head = read_head(&mut self.stream, &mut self.input).await?;
            let answer = Answer { head, body: Vec::new() };
            let status = answer.status();
            if method == "HEAD" || status < 200 || status == 204 || status == 304 {
                return Some(answer);
            }
            let length = answer.header("content-length").is_some() || answer.header("transfer-encoding").is_some();
            let body = if length {
                read_body(&mut self.stream, &mut self.input, &answer.head).await?
            } else {
                self.stream.read_to_end(&mut self.input).await.ok()?;
                std::mem::take(&mut self.input)
            };
            Some(Answer { body, ..answer })
        })
        .await
    }

    /// Everything until the end of the connection; an error (a reset) is said in the second value.
    pub async fn rest(&mut self) -> (Vec<u8>, Option<std::io::ErrorKind>) {
        within(async {
            let mut bytes = std::mem::take(&mut self.input);
            let error = self.stream.read_to_end(&mut bytes).await.err().map(|error| error.kind());
            (bytes, error)
        })
        .await
    }

    /// One request, one answer.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request.as_ref()).await;
        let method = String::from_utf8_lossy(request.as_ref()).split(' ').next().unwrap_or("").to_owned();
        self.answer_to(&method).await.expect("a whole answer")
    }
}

/// A GET that says who it is.
pub fn get(path: &str, id: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\nX-Request-Id: {id}\r\n\r\n")
}

/// A POST that says who it is.
pub fn post(path: &str, id: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: test\r\nX-Request-Id: {id}\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// Fails the test when it takes longer than [`PATIENCE`].
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    #[allow(clippy::disallowed_methods, reason = "a test must end")]
    tokio::time::timeout(PATIENCE, work).await.expect("the test waited too long")
}

/// Waits until the condition holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..PATIENCE.as_millis() / 2 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("waited in vain until {what}");
}

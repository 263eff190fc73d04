//! An upstream whose every byte the test writes, and readers that tell a whole reply from a cut one.

use std::net::SocketAddr;

use standfast::wire::h1::{AskedMethod, BodyDecoder, HeadLimits, Progress, ResponseHead, ResponseParser};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::cases::Cut;
use crate::support::within;

/// Listens; the test accepts.
pub struct Raw {
    pub address: SocketAddr,
    listener: TcpListener,
}

impl Raw {
    pub async fn start() -> Raw {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Raw { address: listener.local_addr().unwrap(), listener }
    }

    /// The next connection of the proxy.
    pub async fn accept(&self) -> Conn {
        within(self.accept_ever()).await
    }

    /// The same without a deadline of its own.
    pub async fn accept_ever(&self) -> Conn {
        let (stream, _) = self.listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        Conn { stream, seen: Vec::new() }
    }
}

/// One connection from the proxy.
pub struct Conn {
    pub stream: TcpStream,
    /// What has come and was not taken yet.
    pub seen: Vec<u8>,
}

impl Conn {
    /// Reads until the bytes contain this text; takes everything up to its end.
    pub async fn until(&mut self, text: &str) -> String {
        within(self.until_ever(text)).await.unwrap_or_else(|| {
            panic!("the connection ended before {text:?}: {}", self.seen.escape_ascii());
        })
    }

    /// The next request's head.
    pub async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// The same without a deadline of its own; `None` when the connection ends first.
    pub async fn until_ever(&mut self, text: &str) -> Option<String> {
        loop {
            if let Some(at) = self.seen.windows(text.len()).position(|window| window == text.as_bytes()) {
                let taken: Vec<u8> = self.seen.drain(..at + text.len()).collect();
                return Some(String::from_utf8_lossy(&taken).into_owned());
            }
            if self.stream.read_buf(&mut self.seen).await.ok()? == 0 {
                return None;
            }
        }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the proxy reads");
    }

    /// Everything until the end of the connection, whichever way it ends.
    pub async fn rest(&mut self) -> Vec<u8> {
        within(async {
            let _ = self.stream.read_to_end(&mut self.seen).await;
            std::mem::take(&mut self.seen)
        })
        .await
    }

    /// Resets the connection.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

/// Writes a message in pieces; a peer that has seen enough may close before the end.
pub async fn write(stream: &mut TcpStream, bytes: &[u8], cut: Cut) {
    for piece in cut.pieces(bytes) {
        if stream.write_all(piece).await.is_err() {
            return;
        }
        if cut == Cut::EveryByte {
            tokio::task::yield_now().await;
        } else {
            // Long enough for the proxy to look at the first piece alone.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
}

/// What a client got for one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// All heads, interim ones included, as text.
    pub heads: String,
    /// 0 = not even a head.
    pub status: u16,
    pub body: Vec<u8>,
    /// The reply came to its end.
    pub whole: bool,
}

/// Reads one reply from a connection, as exactly as the codec reads. Ends with the reply or with the connection.
pub async fn read_reply(stream: &mut TcpStream, asked: AskedMethod, input: &mut Vec<u8>) -> Reply {
    within(async {
        let mut reply = Reply::default();
        let (mut parser, mut head) = (ResponseParser::new(), ResponseHead::new());
        loop {
            if input.is_empty() && !matches!(stream.read_buf(input).await, Ok(n) if n > 0) {
                return reply;
            }
            let progress = parser.feed(input, &HeadLimits::REPLY, asked, &mut head).expect("we send valid heads");
            let used = if let Progress::Complete(used) = progress { used } else { input.len() };
            reply.heads += &String::from_utf8_lossy(&input[..used]);
            input.drain(..used);
            if progress != Progress::Partial && !head.is_interim() {
                break;
            }
        }
        reply.status = head.status();
        let mut decoder = BodyDecoder::new(head.body());
        while !decoder.is_done() {
            if input.is_empty() && !matches!(stream.read_buf(input).await, Ok(n) if n > 0) {
                // Until close never counts as whole here: a client cannot tell.
                break;
            }
            let piece = decoder.decode(input).expect("we send valid bodies");
            reply.body.extend_from_slice(&input[piece.data]);
            input.drain(..piece.taken);
        }
        reply.whole = decoder.is_done();
        reply
    })
    .await
}

//! Requests over any stream, as they are written.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

/// One answer.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    /// In lower case.
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.map(str::trim)
    }

    /// The code of its problem.
    #[track_caller]
    pub fn problem(&self) -> String {
        assert_eq!(self.field("content-type"), Some("application/problem+json"), "{self:?}");
        let body: Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(
            (&body["status"], &body["type"]),
            (&Value::from(self.code), &Value::from("about:blank")),
            "{self:?}"
        );
        body["code"].as_str().expect("a code").to_owned()
    }
}

/// By TCP, with these fields besides `Host: localhost`.
pub fn ask(address: SocketAddr, line: &str, fields: &str) -> Answer {
    ask_for(address, "localhost", line, fields)
}

/// The same for a host.
pub fn ask_for(address: SocketAddr, host: &str, line: &str, fields: &str) -> Answer {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    exchange(&mut stream, host, line, fields)
}

/// By a unix socket.
pub fn ask_local(path: &Path, line: &str) -> Answer {
    let mut stream = UnixStream::connect(path).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    exchange(&mut stream, "whatever", line, "")
}

/// One request on a stream that is closed behind it.
pub fn exchange(stream: &mut (impl Read + Write), host: &str, line: &str, fields: &str) -> Answer {
    // In one write: what is refused early may be answered before the rest has left.
    let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).expect("it is taken");
    read_answer(stream, line)
}

fn read_answer(stream: &mut impl Read, line: &str) -> Answer {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let text = String::from_utf8(answer).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{line}: {text:?} {read:?}"));
    let code = head[9..12].parse().expect("a status");
    Answer { code, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// `Authorization` with this token.
pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// A POST of JSON by TCP, with these fields besides.
pub fn post(address: SocketAddr, path: &str, fields: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    send_json(&mut stream, path, fields, body)
}

/// The same by a unix socket.
pub fn post_local(socket: &Path, path: &str, fields: &str, body: &str) -> Answer {
    let mut stream = UnixStream::connect(socket).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    send_json(&mut stream, path, fields, body)
}

fn send_json(stream: &mut (impl Read + Write), path: &str, fields: &str, body: &str) -> Answer {
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{fields}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("it is taken");
    read_answer(stream, path)
}

//! Hostile replies: what a client must never see, and which upstream connections must never be used again.

use standfast::wire::h1::AskedMethod;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::cases::{self, Case, Cut};
use super::raw::{Conn, Raw, read_reply, write};
use crate::support::plane::http_yaml;
use crate::support::{Plane, within};

const CASES: &str = include_str!("hostile_replies.case");

struct Trial<'a> {
    plane: &'a Plane,
    upstream: &'a Raw,
    case: &'a Case,
    bytes: &'a [u8],
    cut: Cut,
}

impl Trial<'_> {
    async fn run(&self) -> Result<(), String> {
        let [expected, method, then, ..] = self.case.columns[..] else { unreachable!("checked when read") };
        let asked = if method == "HEAD" { AskedMethod::Head } else { AskedMethod::Other };
        let mut client = TcpStream::connect(self.plane.address("web")).await.unwrap();
        client.write_all(format!("{method} / HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes()).await.unwrap();
        let mut conn = self.upstream.accept().await;
        conn.head().await;
        write(&mut conn.stream, self.bytes, self.cut).await;
        let mut conn = match then {
            "rst" => {
                conn.reset();
                None
            }
            "fin" => {
                let _ = conn.stream.shutdown().await;
                Some(conn)
            }
            _ => Some(conn),
        };
        let mut input = Vec::new();
        let reply = read_reply(&mut client, asked, &mut input).await;
        let answer = format!("{} {} {}", reply.status, reply.body.escape_ascii(), reply.heads);
        match expected {
            "502" if reply.status == 502 && reply.whole => {}
            "cut" if reply.status == 502 || !reply.whole => {}
            "drop" | "keep" | "pass" if reply.whole && reply.status < 400 => {}
            _ => return Err(format!("whole: {}, {answer}", reply.whole)),
        }
        let unmet = cases::unmet(self.case.columns.get(5), &reply.heads);
        if !unmet.is_empty() {
            return Err(format!("{unmet:?} unmet by {answer}"));
        }
        if answer.contains("smuggled") {
            return Err(answer);
        }
        if reply.status == 502 || !reply.whole {
            return match &mut conn {
                Some(conn) => ended(conn).await,
                None => Ok(()),
            };
        }
        self.next(&mut client, &mut input, conn, expected == "keep").await
    }

    /// A second request of the same client: it goes over the same upstream connection or, when that must not be, over
    /// another one; in any case it gets its own answer.
    async fn next(
        &self,
        client: &mut TcpStream,
        input: &mut Vec<u8>,
        conn: Option<Conn>,
        keep: bool,
    ) -> Result<(), String> {
        client.write_all(b"GET /second HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut old = conn.expect("a reply that passes does not end in a reset");
        let (mut conn, same) = within(async {
            tokio::select! {
                fresh = self.upstream.accept_ever() => (fresh, false),
                Some(_) = old.until_ever("\r\n\r\n") => (old, true),
            }
        })
        .await;
        if !same {
            conn.head().await;
        }
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond").await;
        let reply = read_reply(client, AskedMethod::Other, input).await;
        if (reply.body.as_slice(), reply.whole) != (b"second", true) {
            return Err(format!("the next request got another answer: {reply:?}"));
        }
        if same == keep { Ok(()) } else { Err(format!("used again: {same}")) }
    }
}

async fn ended(conn: &mut Conn) -> Result<(), String> {
    let rest = conn.rest().await;
    if rest.is_empty() { Ok(()) } else { Err(format!("the connection went on: {}", rest.escape_ascii())) }
}

#[tokio::test]
async fn hostile_replies_are_answered_502_or_cut_and_never_cross_over() {
    let cases = cases::read(CASES, 5..=6);
    assert_eq!(cases.len(), 151);
    let upstream = Raw::start().await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], "    retry: {attempts: 1, cross_pool: never}\n"));
    let mut wrong = Vec::new();
    for case in &cases {
        let bytes = cases::bytes(case.columns[4]);
        for cut in Cut::ways(bytes.len()) {
            let trial = Trial { plane: &plane, upstream: &upstream, case, bytes: &bytes, cut };
            if let Err(problem) = trial.run().await {
                wrong.push(format!("{} [{}, {cut:?}]: {problem}", case.columns[3], case.columns[0]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The same corpus, streamed instead of held: a reply that turns bad after its head was passed on is cut.
#[tokio::test]
async fn hostile_replies_are_cut_when_they_stream() {
    let upstream = Raw::start().await;
    let more = "    retry: {attempts: 1, cross_pool: never}\n    hold_response: 0\n";
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], more));
    let mut wrong = Vec::new();
    for case in cases::read(CASES, 5..=6).iter().filter(|case| case.columns[0] == "cut") {
        let bytes = cases::bytes(case.columns[4]);
        for cut in Cut::ways(bytes.len()) {
            let trial = Trial { plane: &plane, upstream: &upstream, case, bytes: &bytes, cut };
            if let Err(problem) = trial.run().await {
                wrong.push(format!("{} [{}, {cut:?}]: {problem}", case.columns[3], case.columns[0]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

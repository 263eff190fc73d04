//! Hostile requests: what must never reach an upstream, and what may reach it only in one reading.

use standfast::wire::h1::AskedMethod;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::cases::{self, Case, Cut};
use super::raw::{Reply, read_reply, write};
use crate::support::plane::http_yaml;
use crate::support::{Behaviour, Plane, Upstream, until};

const CASES: &str = include_str!("hostile_requests.case");

/// How many requests go upstream whole for an expectation.
fn passes(expected: &str) -> usize {
    match expected {
        "one" | "then 400" => 1,
        "two" => 2,
        _ => 0,
    }
}

struct Trial<'a> {
    plane: &'a Plane,
    upstream: &'a Upstream,
    case: &'a Case,
    bytes: &'a [u8],
    cut: Cut,
}

impl Trial<'_> {
    /// What went wrong, if anything.
    async fn run(&self) -> Result<(), String> {
        let [expected, ..] = self.case.columns[..] else { unreachable!("checked when read") };
        let (heads, whole) = (self.upstream.heads().len(), self.upstream.requests());
        let mut client = TcpStream::connect(self.plane.address("web")).await.unwrap();
        client.set_nodelay(true).unwrap();
        write(&mut client, self.bytes, self.cut).await;
        let mut input = Vec::new();
        for _ in 0..passes(expected) {
            let asked = if self.bytes.starts_with(b"HEAD") { AskedMethod::Head } else { AskedMethod::Other };
            let reply = read_reply(&mut client, asked, &mut input).await;
            ensure(reply.status == 200 && reply.whole, || format!("expected an answer: {reply:?}"))?;
        }
        match expected.trim_start_matches("then ") {
            "one" | "two" => {
                let _ = client.shutdown().await;
                let more = read_reply(&mut client, AskedMethod::Other, &mut input).await;
                ensure(more == Reply::default(), || format!("one answer too many: {more:?}"))?;
            }
            "cut" => {
                let reply = read_reply(&mut client, AskedMethod::Other, &mut input).await;
                let refused = matches!(reply.status, 0 | 400..=499);
                ensure(refused, || format!("expected a refusal: {reply:?}"))?;
                closed(&mut client, &mut input).await?;
            }
            status => {
                let reply = read_reply(&mut client, AskedMethod::Other, &mut input).await;
                // What is still on its way when we refuse resets the connection; the answer may be lost with it.
                let lost = reply.status == 0 && self.cut != Cut::Whole;
                ensure(lost || reply.status.to_string() == status, || format!("expected {status}: {reply:?}"))?;
                ensure(lost || reply.heads.contains("Connection: close\r\n"), || format!("no close: {reply:?}"))?;
                closed(&mut client, &mut input).await?;
            }
        }
        let whole = self.upstream.requests() - whole;
        ensure(whole == passes(expected), || format!("{whole} whole requests upstream"))?;
        let heads = self.upstream.heads()[heads..].to_vec();
        ensure(heads.len() == whole || expected == "cut", || format!("heads upstream: {heads:#?}"))?;
        let unmet = cases::unmet(self.case.columns.get(3), &format!("{}\r\n", heads.join("\r\n\r\n")));
        ensure(unmet.is_empty(), || format!("{unmet:?} unmet by {heads:#?}"))
    }
}

fn ensure(holds: bool, problem: impl Fn() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

async fn closed(client: &mut TcpStream, input: &mut Vec<u8>) -> Result<(), String> {
    let more = read_reply(client, AskedMethod::Other, input).await;
    ensure(more == Reply::default(), || format!("after the refusal: {more:?}"))
}

#[tokio::test]
async fn hostile_requests_have_one_reading_or_none() {
    let cases = cases::read(CASES, 3..=4);
    assert_eq!(cases.len(), 310);
    // Requests that are cut on their way have an upstream of their own: the head of one may reach it after the next began.
    let (whole, cut) = (Upstream::start(Behaviour::ok("hello")).await, Upstream::start(Behaviour::ok("hello")).await);
    let planes = [&whole, &cut].map(|upstream| Plane::start(&http_yaml(&[&[upstream.address]], "")));
    let (mut wrong, mut totals) = (Vec::new(), [0, 0]);
    for case in &cases {
        let bytes = cases::bytes(case.columns[2]);
        let place = usize::from(case.columns[0].ends_with("cut"));
        for way in Cut::ways(bytes.len()) {
            let upstream = [&whole, &cut][place];
            let trial = Trial { plane: &planes[place], upstream, case, bytes: &bytes, cut: way };
            totals[place] += passes(case.columns[0]);
            if let Err(problem) = trial.run().await {
                wrong.push(format!("{} [{}, {way:?}]: {problem}", case.columns[1], case.columns[0]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    for (upstream, total) in [&whole, &cut].into_iter().zip(totals) {
        until("no request came late", || upstream.requests() == total).await;
        assert!(upstream.heads().iter().all(|head| !head.contains("smuggled")));
    }
}

//! The probe of an agent: a program beside the endpoint that says on one line of text how it stands, in HAProxy's words. Each line says
//! all: what it does not name has its default.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::error::{ProbeError, broken, closed, malformed};
use super::kept::ProbeRun;
use crate::config::{AgentCheck, payload_bytes};
use crate::decision::ProbeFailure;
use crate::sys::clock;
use crate::text::shortened;

/// Bytes of the longest line.
const LINE: usize = 1024;

/// Characters of a reason.
const REASON: usize = 100;

/// The largest share, in percent of the weight.
const MOST: u16 = 1000;

/// A probe of an agent.
pub(super) struct AgentProbe {
    send: Vec<u8>,
    /// It was told already that `maxconn` is not obeyed.
    told: bool,
}

/// What an agent says.
#[derive(Debug, PartialEq)]
struct AgentStatement {
    /// `Err`: it is down, and why.
    serves: Result<(), String>,
    /// Its part of its weight in percent; 0: nothing new.
    share: u16,
    /// It names a limit of connections.
    limits: bool,
}

impl AgentProbe {
    pub(super) fn new(check: &AgentCheck) -> AgentProbe {
        let send = check.send.as_ref().map(|text| payload_bytes(text.reveal()).unwrap_or_default());
        AgentProbe { send: send.unwrap_or_default(), told: false }
    }

    /// The latency, and the share that the agent states.
    pub(super) async fn probe(&mut self, attempt: &ProbeRun<'_>) -> Result<(Duration, u16), ProbeError> {
        let start = clock::now();
        let mut stream = attempt.target.connect(attempt.report).await?;
        if !self.send.is_empty() {
            stream.write_all(&self.send).await.map_err(broken)?;
            stream.flush().await.map_err(broken)?;
        }
        let mut line = Vec::new();
        let mut piece = [0; LINE];
        let end = loop {
            let count = stream.read(&mut piece).await.map_err(broken)?;
            let from = line.len();
            line.extend_from_slice(&piece[..count]);
            let end = line[from..].iter().position(|byte| matches!(byte, b'\n' | b'\r' | 0)).map(|at| from + at);
            match end {
                Some(end) if end <= LINE => break end,
                _ if line.len() > LINE => return Err(malformed("the agent's line is longer than 1 KiB")),
                _ if count > 0 => {}
                _ if line.is_empty() => return Err(closed()),
                _ => break line.len(),
            }
        };
        let statement = statement(&line[..end])?;
        if statement.limits && !std::mem::replace(&mut self.told, true) {
            let target = attempt.target.address;
            tracing::warn!(%target, "the agent states `maxconn`, which is not obeyed: write `max_connections` of the endpoint");
        }
        match statement.serves {
            Ok(()) => Ok((clock::now().since(start), statement.share)),
            Err(reason) => Err(ProbeError::Fail(ProbeFailure::NotServing, reason)),
        }
    }
}

/// What a line says. A word that is not known makes all of it void: it is the agent that is at fault, not what it speaks of.
fn statement(line: &[u8]) -> Result<AgentStatement, ProbeError> {
    let text = String::from_utf8_lossy(line);
    let unknown =
        |word: &str| ProbeError::Blind(format!("the agent says {:?}, which is no word of it", shortened(word, 40)));
    // (What stands behind `#` is for people.)
    let (words, remark) = text.split_once('#').unwrap_or((&text, ""));
    let mut statement = AgentStatement { serves: Ok(()), share: 100, limits: false };
    let mut drains = false;
    let mut is_empty = true;
    for word in words.split([' ', '\t', ',']).filter(|word| !word.is_empty()) {
        is_empty = false;
        let word = word.to_ascii_lowercase();
        match &*word {
            "up" | "ready" => {}
            "down" | "fail" | "failed" | "stopped" => {
                let remark = shortened(remark.trim(), REASON);
                statement.serves = Err(if remark.is_empty() { word } else { format!("{word}: {remark}") });
            }
            "drain" | "maint" => drains = true,
            _ => match (word.strip_suffix('%').and_then(number), word.strip_prefix("maxconn:").and_then(number)) {
                (Some(percent), _) if percent <= u32::from(MOST) => statement.share = percent as u16,
                (_, Some(_)) => statement.limits = true,
                _ => return Err(unknown(&word)),
            },
        }
    }
    if drains {
        statement.share = 0;
    }
    if is_empty { Err(unknown(&text)) } else { Ok(statement) }
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn says(line: &str) -> (Result<(), String>, u16) {
        let statement = statement(line.as_bytes()).map_err(|error| error.detail().to_owned()).unwrap();
        (statement.serves, statement.share)
    }

    #[test]
    fn words_of_haproxy_are_known() {
        for line in ["up", "ready", "UP", " ready,up\t", "100%", "up 100% maxconn:30", "maxconn:30", "up # all is well"]
        {
            assert_eq!(says(line), (Ok(()), 100), "{line}");
        }
        assert_eq!(says("ready 75%"), (Ok(()), 75));
        assert_eq!(says("0%"), (Ok(()), 0));
        assert_eq!((says("drain"), says("maint 50%"), says("up drain")), ((Ok(()), 0), (Ok(()), 0), (Ok(()), 0)));
        assert_eq!(says("down").0, Err("down".to_owned()));
        assert_eq!(says("stopped#for the\x1b night ").0, Err("stopped: for the\u{fffd} night".to_owned()));
        assert_eq!(says("50% failed").0, Err("failed".to_owned()));
        assert!(statement(b"maxconn:1").unwrap().limits);
    }

    #[test]
    fn what_is_no_word_is_evidence_about_nobody() {
        for line in [
            "",
            "  ",
            "#down",
            "yes",
            "up yes",
            "1001%",
            "-1%",
            "%",
            "+5%",
            "7.5%",
            "maxconn:",
            "maxconn:x",
            "HTTP/1.1 400",
        ] {
            assert!(matches!(statement(line.as_bytes()), Err(ProbeError::Blind(_))), "{line}");
        }
        let Err(error) = statement(&[0xff, b'x', 27]) else { panic!("it is a word") };
        assert!(!error.detail().contains('\x1b'), "{}", error.detail());
    }

    proptest! {
        #[test]
        fn no_line_breaks_the_reader(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(said) = statement(&line) {
                prop_assert!(said.share <= MOST);
            }
        }
    }
}

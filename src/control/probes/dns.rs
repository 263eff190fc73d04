//! The DNS probe: one question, over UDP or TCP. hickory reads the messages. An answer over UDP that was truncated is asked for again
//! over TCP where its records are looked at.

use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::datagram::{LONGEST, connected, refused};
use super::error::{ProbeError, broken, malformed, mismatch};
use super::kept::ProbeRun;
use crate::config::{DNS_RCODES, DnsCheck};
use crate::sys::clock;
use crate::text::shortened;

/// A probe by a question to DNS.
pub(super) struct DnsProbe {
    /// `Err`: the name cannot be asked for.
    question: Result<Query, String>,
    rcode: u8,
    answer: Option<String>,
    over_tcp: bool,
}

impl DnsProbe {
    pub(super) fn new(check: &DnsCheck) -> DnsProbe {
        let question = || {
            let mut name = Name::from_ascii(&check.name).map_err(|error| error.to_string())?;
            name.set_fqdn(true);
            let kind: RecordType = check.record.parse().map_err(|_| format!("no type {}", check.record))?;
            Ok(Query::query(name, kind))
        };
        DnsProbe {
            question: question(),
            rcode: check.rcode,
            answer: check.answer.as_deref().map(normal),
            over_tcp: check.tcp,
        }
    }

    pub(super) async fn probe(&mut self, attempt: &ProbeRun<'_>) -> Result<Duration, ProbeError> {
        let start = clock::now();
        let question = self.question.as_ref().map_err(|problem| ProbeError::Local(problem.clone()))?;
        let mut answer = match self.over_tcp {
            true => ask_over_tcp(attempt, question).await?,
            false => ask(attempt, question).await?,
        };
        if answer.metadata.truncation && self.answer.is_some() && !self.over_tcp {
            answer = ask_over_tcp(attempt, question).await?;
        }
        self.judge(&answer)?;
        Ok(clock::now().since(start))
    }

    fn judge(&self, answer: &Message) -> Result<(), ProbeError> {
        let rcode = answer.metadata.response_code.low();
        if rcode != self.rcode {
            return Err(mismatch(format!("answered {}, wanted {}", rcode_name(rcode), rcode_name(self.rcode))));
        }
        let Some(wanted) = &self.answer else { return Ok(()) };
        let found = |text: String| normal(&text) == *wanted;
        match answer.answers.iter().any(|record| found(record.data.to_string())) {
            true => Ok(()),
            false => {
                let count = answer.answers.len();
                Err(mismatch(format!("none of {count} records is {:?}", shortened(wanted, 80))))
            }
        }
    }
}

/// Names and numbers as they are compared: without upper case, the dot at the end of a name, and quotation marks.
fn normal(text: &str) -> String {
    let word = |word: &str| word.trim_matches('"').trim_end_matches('.').to_ascii_lowercase();
    text.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

fn rcode_name(rcode: u8) -> String {
    let known = DNS_RCODES.iter().find(|(_, number)| *number == rcode);
    known.map_or_else(|| format!("RCODE {rcode}"), |(name, _)| (*name).to_owned())
}

/// A question with a random number, as it is sent.
fn written(question: &Query) -> Result<(u16, Vec<u8>), ProbeError> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(question.clone());
    let bytes = message.to_vec().map_err(|error| ProbeError::Local(error.to_string()))?;
    Ok((message.metadata.id, bytes))
}

/// The answer to this question, if it is one. `None`: it belongs to another question.
fn read(bytes: &[u8], id: u16, question: &Query) -> Result<Option<Message>, ProbeError> {
    if bytes.get(..2) != Some(&id.to_be_bytes()[..]) {
        return Ok(None);
    }
    let message = Message::from_vec(bytes).map_err(|_| malformed("the answer is no message of DNS"))?;
    let is_response = message.metadata.message_type == MessageType::Response;
    // (Servers that refuse a question need not repeat it.)
    let asked = match &message.queries[..] {
        [] => message.metadata.response_code.low() != 0,
        [asked] => asked.query_type == question.query_type && asked.name.eq_ignore_root(&question.name),
        _ => false,
    };
    match is_response && asked {
        true => Ok(Some(message)),
        false => Err(malformed("the answer is to another question")),
    }
}

/// Over UDP: datagrams that belong to another question are left aside. No deadline of its own.
async fn ask(attempt: &ProbeRun<'_>, question: &Query) -> Result<Message, ProbeError> {
    let (id, bytes) = written(question)?;
    let socket = connected(attempt.target.address).await?;
    socket.send(&bytes).await.map_err(|error| refused(&error))?;
    let mut answer = vec![0; LONGEST];
    loop {
        let count = socket.recv(&mut answer).await.map_err(|error| refused(&error))?;
        if let Some(message) = read(&answer[..count], id, question)? {
            return Ok(message);
        }
    }
}

/// Over TCP: each message has its length in front of it (RFC 1035, section 4.2.2). No deadline of its own.
async fn ask_over_tcp(attempt: &ProbeRun<'_>, question: &Query) -> Result<Message, ProbeError> {
    let (id, bytes) = written(question)?;
    let length = u16::try_from(bytes.len()).map_err(|error| ProbeError::Local(error.to_string()))?;
    let mut stream = attempt.target.connect(attempt.report).await?;
    stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat()).await.map_err(broken)?;
    let length = stream.read_u16().await.map_err(broken)?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await.map_err(broken)?;
    read(&answer, id, question)?.ok_or_else(|| malformed("the answer is to another question"))
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::{OpCode, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{A, TXT};
    use hickory_resolver::proto::rr::{RData, Record};
    use proptest::prelude::*;

    use super::*;

    fn probe(rcode: u8, answer: Option<&str>) -> DnsProbe {
        let answer = answer.map(str::to_owned);
        let check = DnsCheck { name: "app.internal".into(), record: "A".into(), rcode, answer, tcp: false, port: None };
        DnsProbe::new(&check)
    }

    fn message(code: ResponseCode, data: Vec<RData>) -> Message {
        let mut message = Message::response(7, OpCode::Query);
        message.metadata.response_code = code;
        let name = Name::from_ascii("App.Internal.").unwrap();
        message.add_query(Query::query(name.clone(), RecordType::A));
        message.add_answers(data.into_iter().map(|data| Record::from_rdata(name.clone(), 60, data)));
        message
    }

    fn judged(probe: &DnsProbe, message: &Message) -> Result<(), String> {
        let question = probe.question.clone().unwrap();
        let read = read(&message.to_vec().unwrap(), 7, &question).map_err(|error| error.detail().to_owned())?;
        probe.judge(&read.ok_or("of another question")?).map_err(|error| error.detail().to_owned())
    }

    #[test]
    fn codes_and_records_are_judged() {
        let a = || vec![RData::A(A::new(10, 0, 0, 1)), RData::A(A::new(10, 0, 0, 2))];
        assert_eq!(judged(&probe(0, None), &message(ResponseCode::NoError, a())), Ok(()));
        assert_eq!(judged(&probe(0, None), &message(ResponseCode::NoError, vec![])), Ok(()));
        assert_eq!(judged(&probe(3, None), &message(ResponseCode::NXDomain, vec![])), Ok(()));
        let told = judged(&probe(0, None), &message(ResponseCode::Refused, vec![])).unwrap_err();
        assert_eq!(told, "answered REFUSED, wanted NOERROR");
        assert_eq!(judged(&probe(0, Some("10.0.0.2")), &message(ResponseCode::NoError, a())), Ok(()));
        let told = judged(&probe(0, Some("10.0.0.3")), &message(ResponseCode::NoError, a())).unwrap_err();
        assert_eq!(told, "none of 2 records is \"10.0.0.3\"");
        let text = message(ResponseCode::NoError, vec![RData::TXT(TXT::new(vec!["Ready Now".to_owned()]))]);
        assert_eq!(judged(&probe(0, Some("ready now")), &text), Ok(()));
    }

    #[test]
    fn an_answer_to_another_question_is_none() {
        let probe = probe(0, None);
        let question = probe.question.clone().unwrap();
        let mut other = message(ResponseCode::NoError, vec![]);
        assert!(matches!(read(&other.to_vec().unwrap(), 8, &question), Ok(None)));
        other.queries[0].query_type = RecordType::AAAA;
        assert!(judged(&probe, &other).unwrap_err().contains("another question"));
        other.queries.clear();
        assert!(judged(&probe, &other).unwrap_err().contains("another question"));
        other.metadata.response_code = ResponseCode::FormErr;
        assert_eq!(judged(&probe, &other).unwrap_err(), "answered FORMERR, wanted NOERROR");
        let (id, sent) = written(&question).ok().unwrap();
        assert!(read(&sent, id, &question).is_err(), "its own question is no answer");
        assert!(matches!(read(&[], 0, &question), Ok(None)));
        assert!(read(&[0, 7], 7, &question).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..60_usize) {
            let probe = probe(0, Some("10.0.0.1"));
            let question = probe.question.clone().unwrap();
            let _ = read(&bytes, 7, &question);
            let mut whole = message(ResponseCode::NoError, vec![RData::A(A::new(10, 0, 0, 1))]).to_vec().unwrap();
            whole.truncate(whole.len().saturating_sub(cut));
            bytes.splice(0..0, whole);
            if let Ok(Some(message)) = read(&bytes, 7, &question) {
                let _ = probe.judge(&message);
            }
        }
    }
}

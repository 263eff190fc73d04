//! The PostgreSQL probe: a login of its own each time (a postmaster that hangs serves old sessions well and new ones never), one
//! question about role, history and position, and a goodbye. Its user needs no right but to log in.
//!
//! The messages are read and written by the crate `postgres-protocol`; what they say about the server is judged here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{SCRAM_SHA_256, SCRAM_SHA_256_PLUS};
use postgres_protocol::message::backend::{AuthenticationSaslBody, DataRowBody, ErrorFields, Header, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::error::{ProbeError, broken, closed, malformed};
use super::kept::ProbeRun;
use super::password::{password, without};
use super::scram::{ChannelBinding, ScramError, ScramKeyCache, ScramKeys, ScramLogin};
use super::stream::ProbeStream;
use crate::config::{PasswordMethod, PostgresCheck};
use crate::decision::{DataPosition, DataRole, PostgresPosition, ProbeFailure, Reading, SystemId};
use crate::net::Socket;
use crate::sys::clock;
use crate::text::shortened;

/// Bytes of one message of a server at most, and of all of them together.
const LONGEST_MESSAGE: usize = 64 * 1024;
const LONGEST_ANSWER: usize = 256 * 1024;

/// Role, whether it takes writes, the identity of the cluster, the timeline, the position as bytes of the log, where the last recovery
/// ended or a replica's has come to, and when the server was started. Where functions about the log raise an error in recovery, CASE keeps them from being called. The
/// timeline of a primary is that of the file it writes: the control file is late after a promotion. A replica's is that of its receiver,
/// where this user may read it, else the control file's. Received alone falls back by up to a segment after a restart, so the position is
/// the greater of both; what a replica has applied, which is what can be read there, is told beside it.
const QUESTION: &str = "SELECT pg_catalog.pg_is_in_recovery()::text, \
    pg_catalog.current_setting('transaction_read_only'), \
    (SELECT system_identifier::text FROM pg_catalog.pg_control_system()), \
    CASE WHEN pg_catalog.pg_is_in_recovery() \
        THEN pg_catalog.lpad(pg_catalog.to_hex(COALESCE( \
            (SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver LIMIT 1), \
            (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()))), 8, '0') \
        ELSE pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) END, \
    CASE WHEN pg_catalog.pg_is_in_recovery() \
        THEN GREATEST(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())::text \
        ELSE pg_catalog.pg_current_wal_lsn()::text END, \
    pg_catalog.pg_last_wal_replay_lsn()::text, \
    (EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time()) * 1000000)::bigint::text";

/// A probe of PostgreSQL.
#[derive(Clone)]
pub(super) struct PostgresProbe {
    check: Arc<PostgresCheck>,
    /// Of its logins at this endpoint.
    keys: Arc<ScramKeyCache>,
}

impl PostgresProbe {
    pub(super) fn new(check: Arc<PostgresCheck>) -> PostgresProbe {
        PostgresProbe { check, keys: Arc::default() }
    }

    pub(super) async fn probe(&mut self, attempt: &ProbeRun<'_>) -> Result<(Duration, Option<Reading>), ProbeError> {
        let start = clock::now();
        let mut socket = attempt.target.open(attempt.report).await?;
        if attempt.target.has_tls() {
            ask_for_tls(&mut socket).await?;
        }
        let stream = attempt.target.secure(socket).await?;
        let mut session = Session { stream, received: BytesMut::new(), taken: 0, secret: None };
        self.log_in(&mut session).await?;
        let found = self.ask(&mut session, attempt.timeout).await;
        // Without a goodbye the server logs that its client went away. (In the middle of a login it would log the goodbye.)
        session.say_goodbye().await;
        Ok((clock::now().since(start), Some(found?)))
    }

    async fn ask(&self, session: &mut Session, timeout: Duration) -> Result<Reading, ProbeError> {
        // (A question that hangs ends by itself: the server would not notice that this side has gone. LOCAL: a pooler in between gives the
        // session to others.)
        let limit = timeout.as_millis().max(1);
        let question = format!("BEGIN; SET LOCAL statement_timeout = {limit}; {QUESTION}; COMMIT");
        session.send(|out| frontend::query(&question, out)).await?;
        let mut reading = None;
        loop {
            match session.next().await? {
                Message::DataRow(_) if reading.is_some() => return Err(malformed("two rows where there is one")),
                Message::DataRow(row) => reading = Some(read(&row)?),
                Message::RowDescription(_) | Message::CommandComplete(_) => {}
                Message::ReadyForQuery(_) => break,
                _ => return Err(malformed("a message that does not belong to an answer")),
            }
        }
        reading.ok_or_else(|| malformed("an answer without a row"))
    }

    async fn log_in(&self, session: &mut Session) -> Result<(), ProbeError> {
        let login = &self.check.login;
        session
            .send(|out| frontend::startup_message([("user", &*login.user), ("database", &*self.check.database)], out))
            .await?;
        self.authenticate(session).await?;
        session.until_ready().await
    }

    async fn authenticate(&self, session: &mut Session) -> Result<(), ProbeError> {
        loop {
            match session.next().await? {
                Message::AuthenticationOk => return Ok(()),
                Message::AuthenticationSasl(body) => {
                    let binding = binding(&body, session.stream.end_point_hash())?;
                    let password = self.needed_password().await?;
                    self.scram(session, password, binding).await?;
                }
                Message::AuthenticationMd5Password(body) => {
                    let password = self.password_by(PasswordMethod::Md5, session).await?;
                    let hash = md5_hash(self.check.login.user.as_bytes(), password.as_bytes(), body.salt());
                    session.send(|out| frontend::password_message(hash.as_bytes(), out)).await?;
                }
                Message::AuthenticationCleartextPassword => {
                    let password = self.password_by(PasswordMethod::Cleartext, session).await?;
                    session.send(|out| frontend::password_message(password.as_bytes(), out)).await?;
                }
                Message::AuthenticationGss
                | Message::AuthenticationSspi
                | Message::AuthenticationKerberosV5
                | Message::AuthenticationScmCredential => {
                    return Err(ProbeError::Blind("it asks for a way to log in that a check does not have".to_owned()));
                }
                _ => return Err(malformed("a message that does not belong to a login")),
            }
        }
    }

    /// The password, where the server asks for it in this way and the configuration takes that. No message of the session may show it
    /// from then on.
    async fn password_by(&self, method: PasswordMethod, session: &mut Session) -> Result<String, ProbeError> {
        if self.check.weakest < method {
            let asked = match method {
                PasswordMethod::Cleartext => "the password in the clear",
                _ => "an MD5 of the password",
            };
            let detail = format!("it asks for {asked}, and `auth: {}` is not set", method.as_str());
            return Err(ProbeError::Blind(detail));
        }
        let password = self.needed_password().await?;
        session.secret = Some(password.clone());
        Ok(password)
    }

    /// SCRAM-SHA-256, with a channel binding where there can be one. The keys of a password take milliseconds to make: not on this thread,
    /// and not for each login.
    async fn scram(&self, session: &mut Session, password: String, binding: ChannelBinding) -> Result<(), ProbeError> {
        let mechanism = match binding {
            ChannelBinding::Certificate(_) => SCRAM_SHA_256_PLUS,
            ChannelBinding::Unsupported | ChannelBinding::NotOffered => SCRAM_SHA_256,
        };
        let login = ScramLogin::new(binding)?;
        let first = login.message();
        session.send(|out| frontend::sasl_initial_response(mechanism, first.as_bytes(), out)).await?;
        let Message::AuthenticationSaslContinue(body) = session.next().await? else {
            return Err(malformed("SCRAM is not continued"));
        };
        let challenge = login.challenge(body.data())?;
        let recipe = challenge.recipe().clone();
        let kept = self.keys.find(&password, &recipe);
        let (password, keys) = match kept {
            Some(keys) => (None, keys),
            None => {
                let by = recipe.clone();
                let made = tokio::task::spawn_blocking(move || (ScramKeys::derive(&password, &by), password)).await;
                let (keys, password) = made.map_err(|error| ProbeError::Local(format!("SCRAM: {error}")))?;
                (Some(password), keys)
            }
        };
        let (answer, proof) = challenge.answer(&keys);
        session.send(|out| frontend::sasl_response(answer.as_bytes(), out)).await?;
        let Message::AuthenticationSaslFinal(body) = session.next().await? else {
            return Err(malformed("SCRAM has no end"));
        };
        proof.verify(body.data())?;
        if let Some(password) = password {
            self.keys.keep(password, recipe, keys);
        }
        Ok(())
    }

    async fn needed_password(&self) -> Result<String, ProbeError> {
        password(&self.check.login)
            .await?
            .ok_or_else(|| ProbeError::Blind("it asks for a password, and there is none".to_owned()))
    }
}

/// SSLRequest, and its answer: one byte.
async fn ask_for_tls(socket: &mut Socket) -> Result<(), ProbeError> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    socket.write_all(&request).await.map_err(broken)?;
    match socket.read_u8().await.map_err(broken)? {
        b'S' => Ok(()),
        b'N' => Err(ProbeError::Blind("TLS is asked for, and the server has none".to_owned())),
        b'E' => Err(malformed("an error in the place of an answer to SSLRequest: no TLS, or no PostgreSQL server")),
        _ => Err(malformed("no answer to SSLRequest: it is no PostgreSQL server")),
    }
}

/// What a login is bound to: the best that both sides have.
fn binding(offered: &AuthenticationSaslBody, hash: Option<Vec<u8>>) -> Result<ChannelBinding, ProbeError> {
    let mechanisms: Vec<&str> = offered.mechanisms().collect().map_err(|error| malformed(&error.to_string()))?;
    let (plain, plus) = (mechanisms.contains(&SCRAM_SHA_256), mechanisms.contains(&SCRAM_SHA_256_PLUS));
    match hash {
        Some(hash) if plus => Ok(ChannelBinding::Certificate(hash)),
        Some(_) if plain => Ok(ChannelBinding::NotOffered),
        None if plain => Ok(ChannelBinding::Unsupported),
        None if plus => {
            Err(ProbeError::Blind("it asks for a channel binding, which this connection has not".to_owned()))
        }
        _ => Err(ProbeError::Blind("it asks for a SASL mechanism other than SCRAM-SHA-256".to_owned())),
    }
}

impl From<ScramError> for ProbeError {
    fn from(error: ScramError) -> ProbeError {
        let detail = error.to_string();
        match error {
            ScramError::Malformed(_) | ScramError::Unproved => malformed(&detail),
            // A matter of how the password was set.
            ScramError::TooManyIterations(_) => ProbeError::Blind(detail),
            ScramError::NoRandom => ProbeError::Local(detail),
        }
    }
}

/// A connection, and what has come on it.
struct Session {
    stream: ProbeStream,
    received: BytesMut,
    /// Bytes of all messages so far.
    taken: usize,
    /// What was sent to it that no message may show.
    secret: Option<String>,
}

impl Session {
    async fn send(&mut self, write: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> Result<(), ProbeError> {
        let mut out = BytesMut::new();
        write(&mut out).map_err(|error| ProbeError::Local(error.to_string()))?;
        self.stream.write_all(&out).await.map_err(broken)
    }

    /// The next message that is no news. An error of the server is one of ours.
    async fn next(&mut self) -> Result<Message, ProbeError> {
        loop {
            let header = Header::parse(&self.received).map_err(|error| malformed(&error.to_string()))?;
            if let Some(header) = header {
                let length = usize::try_from(header.len()).unwrap_or(usize::MAX);
                if length > LONGEST_MESSAGE {
                    return Err(malformed("a message of more than 64 KiB"));
                }
                if self.received.len() > length {
                    self.taken += length;
                    if self.taken > LONGEST_ANSWER {
                        return Err(malformed("an answer of more than 256 KiB"));
                    }
                    match Message::parse(&mut self.received).map_err(|error| malformed(&error.to_string()))? {
                        Some(Message::ErrorResponse(body)) => {
                            return Err(refusal(body.fields(), self.secret.as_deref()));
                        }
                        Some(
                            Message::NoticeResponse(_) | Message::ParameterStatus(_) | Message::NotificationResponse(_),
                        ) => {
                            continue;
                        }
                        Some(message) => return Ok(message),
                        None => return Err(malformed("a message is shorter than it says")),
                    }
                }
            }
            if self.stream.read_buf(&mut self.received).await.map_err(broken)? == 0 {
                return Err(closed());
            }
        }
    }

    /// After a login.
    async fn until_ready(&mut self) -> Result<(), ProbeError> {
        loop {
            match self.next().await? {
                Message::BackendKeyData(_) => {}
                Message::ReadyForQuery(_) => return Ok(()),
                _ => return Err(malformed("a message that does not belong to a login")),
            }
        }
    }

    async fn say_goodbye(&mut self) {
        let mut out = BytesMut::new();
        frontend::terminate(&mut out);
        // (It may have closed already.)
        let _ = self.stream.write_all(&out).await;
    }
}

/// What an error of the server says about it, by its SQLSTATE.
fn refusal(fields: ErrorFields<'_>, secret: Option<&str>) -> ProbeError {
    let (mut code, mut text) = (String::new(), String::new());
    let told = fields.for_each(|field| {
        let value = || String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => code = value(),
            b'M' => text = value(),
            _ => {}
        }
        Ok(())
    });
    if told.is_err() {
        return malformed("an error without an end");
    }
    let detail = shortened(&format!("{} {}", shortened(&code, 5), without(secret, &text)), 150);
    classified(&code, detail)
}

/// The class of an SQLSTATE (PostgreSQL, appendix A).
fn classified(code: &str, detail: String) -> ProbeError {
    match code {
        // It starts, stops, or recovers from a crash. (57P01 is no statement about the server: an operator ended this session, it may be.)
        "57P02" | "57P03" => ProbeError::Fail(ProbeFailure::NotServing, detail),
        "57P01" => ProbeError::Fail(ProbeFailure::Reset, detail),
        "53300" => ProbeError::Busy(detail),
        // The database, a right, or a function that this server has not.
        "3D000" | "55000" | "42501" | "42883" | "0A000" => ProbeError::Blind(detail),
        code if code.starts_with("28") => ProbeError::Blind(detail),
        _ => ProbeError::Fail(ProbeFailure::Mismatch, detail),
    }
}

/// What the row says.
fn read(row: &DataRowBody) -> Result<Reading, ProbeError> {
    let ranges: Vec<_> = row.ranges().collect().map_err(|error| malformed(&error.to_string()))?;
    let values: Vec<Option<&str>> = ranges
        .into_iter()
        .map(|range| range.and_then(|range| row.buffer().get(range)).and_then(|bytes| std::str::from_utf8(bytes).ok()))
        .collect();
    let [recovers, read_only, system, timeline, place, replayed, started] = values[..] else {
        return Err(malformed("a row that was not asked for"));
    };
    let role = match recovers {
        Some("true" | "t") => DataRole::Replica,
        Some("false" | "f") => DataRole::Primary,
        _ => return Err(malformed("pg_is_in_recovery() is neither true nor false")),
    };
    let writable = match read_only {
        Some("on") => Some(false),
        Some("off") => Some(true),
        _ => None,
    };
    let (recovered, applied) = match role {
        DataRole::Replica => (None, replayed),
        DataRole::Primary | DataRole::Unknown => (replayed, None),
    };
    let position = |place, recovered| position(system, timeline, place, recovered, started);
    Ok(Reading { role, writable, position: position(place, recovered), applied: position(applied, None).map(Box::new) })
}

/// `None`: it did not say all that makes a position.
fn position(
    system: Option<&str>,
    timeline: Option<&str>,
    place: Option<&str>,
    recovered: Option<&str>,
    started: Option<&str>,
) -> Option<DataPosition> {
    Some(DataPosition::Postgres(PostgresPosition {
        system: SystemId::try_from(system?.to_owned()).ok()?,
        timeline: u32::from_str_radix(timeline?, 16).ok()?,
        lsn: place?.parse().ok()?,
        recovered: recovered.and_then(|end| end.parse().ok()),
        fork: None,
        started: started.and_then(|started| started.parse().ok()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_put_into_their_classes() {
        for (code, wanted) in [
            ("57P03", "NotServing"),
            ("57P01", "Reset"),
            ("57P02", "NotServing"),
            ("53300", "Busy"),
            ("28P01", "Blind"),
            ("28000", "Blind"),
            ("3D000", "Blind"),
            ("42501", "Blind"),
            ("55000", "Blind"),
            ("42883", "Blind"),
            ("53200", "Mismatch"),
            ("57014", "Mismatch"),
            ("XX000", "Mismatch"),
            ("", "Mismatch"),
        ] {
            assert_eq!(classified(code, String::new()).class(), wanted, "{code}");
        }
    }
}

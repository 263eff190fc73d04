//! The MySQL probe, for MariaDB too: a login of its own each time, questions about role, history and position and about the cluster
//! that the server may be in, and a goodbye. [`session`] is the connection, [`proof`] the password, [`reading`] what answers say,
//! `refusal` what errors say.
//!
//! A server counts connections that end in the middle of a login against the host that they come from, and in the end lets none of its
//! connections in, those of the traffic neither (`max_connect_errors`). So a login that is given up is ended by a refusal of the server.

mod proof;
mod reading;
mod refusal;
mod session;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt};

pub(in crate::control) use self::proof::server_key;
use self::reading::MysqlState;
use self::refusal::refusal;
use self::session::{MysqlSession, MysqlTable, not_understood, read_packet};
use super::error::{ProbeError, broken, malformed};
use super::kept::ProbeRun;
use super::password::password;
use crate::config::{MysqlCheck, MysqlMethod};
use crate::decision::{ProbeFailure, Reading};
use crate::sys::clock;
use crate::text::shortened;
use crate::wire::mysql::{self, MysqlGreeting, MysqlLogin, MysqlLoginReply, NONCE};

/// Packets of a server within one login at most.
const LONGEST_LOGIN: usize = 8;

/// What both servers have, whatever their version: a variable that one does not have is left out of the answer.
const VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'super_read_only', 'server_uuid', 'gtid_mode', \
    'gtid_domain_id', 'wsrep_on', 'group_replication_group_name')";
const GALERA: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_ready', 'wsrep_cluster_status', \
    'wsrep_local_state_comment', 'wsrep_cluster_state_uuid', 'wsrep_last_committed')";
const GROUP: &str = "SELECT MEMBER_ID, MEMBER_STATE FROM performance_schema.replication_group_members LIMIT 64";
/// SHOW VARIABLES cuts long values. One that would not fit in an answer is not known.
const EXECUTED: &str = "SELECT IF(LENGTH(@@GLOBAL.gtid_executed) > 16384, NULL, @@GLOBAL.gtid_executed)";
/// The last of each server that is in the log, and what was applied: a server that follows may not log it.
const POSITIONS: &str = "SELECT IF(LENGTH(@@GLOBAL.gtid_binlog_state) > 16384, NULL, @@GLOBAL.gtid_binlog_state), \
    IF(LENGTH(@@GLOBAL.gtid_current_pos) > 16384, NULL, @@GLOBAL.gtid_current_pos)";

/// A probe of MySQL or MariaDB.
#[derive(Clone)]
pub(super) struct MysqlProbe(pub(super) Arc<MysqlCheck>);

impl MysqlProbe {
    pub(super) async fn probe(&mut self, attempt: &ProbeRun<'_>) -> Result<(Duration, Option<Reading>), ProbeError> {
        let start = clock::now();
        let password = password(&self.0.login).await?;
        let mut socket = attempt.target.open(attempt.report).await?;
        let (greeting, stream, number) = match attempt.target.has_tls() {
            true => {
                let greeting = greeting(&mut socket).await?;
                if !greeting.has_tls {
                    let session = MysqlSession::new(attempt.target.without_tls(socket), 1, None);
                    return Err(self.without_tls(session).await);
                }
                let mut request = Vec::new();
                mysql::write_packet(1, &self.login(&[], MysqlMethod::Native, true).tls_request(), &mut request);
                socket.write_all(&request).await.map_err(broken)?;
                (greeting, attempt.target.secure(socket).await?, 2)
            }
            false => {
                let mut stream = attempt.target.secure(socket).await?;
                (greeting(&mut stream).await?, stream, 1)
            }
        };
        let mut session = MysqlSession::new(stream, number, password);
        self.log_in(&mut session, &greeting).await?;
        let state = ask(&mut session).await;
        session.say_goodbye().await;
        Ok((clock::now().since(start), Some(state?.verdict()?)))
    }

    fn login<'a>(&'a self, proof: &'a [u8], method: MysqlMethod, tls: bool) -> MysqlLogin<'a> {
        let database = self.0.database.as_deref();
        MysqlLogin { user: &self.0.login.user, proof, database, method: proof::plugin(method), tls }
    }

    /// The server has no TLS.
    async fn without_tls(&self, mut session: MysqlSession) -> ProbeError {
        let refused = session.send(&self.login(&[], MysqlMethod::Native, false).request()).await;
        if refused.is_ok() {
            let _ = session.next().await;
        }
        session.say_goodbye().await;
        ProbeError::Blind("TLS is asked for, and the server has none".to_owned())
    }

    async fn log_in(&self, session: &mut MysqlSession, greeting: &MysqlGreeting) -> Result<(), ProbeError> {
        // (Where the user logs in in another way than the server proposes, the server says so.)
        let proposed = proof::method(&greeting.method).filter(|method| *method <= self.0.weakest);
        let mut method =
            proposed.filter(|method| *method != MysqlMethod::Cleartext).unwrap_or(MysqlMethod::CachingSha2);
        let mut nonce = greeting.nonce;
        let proof = proof::proof(method, session.secret(), &nonce);
        let tls = !session.is_plain();
        session.send(&self.login(&proof, method, tls).request()).await?;
        for _ in 0..LONGEST_LOGIN {
            let payload = session.next().await?;
            match mysql::login_reply(&payload).map_err(not_understood)? {
                MysqlLoginReply::In => return Ok(()),
                MysqlLoginReply::Refused(error) => return Err(refusal(error, session.secret())),
                MysqlLoginReply::OldMethod => {
                    return Err(
                        give_up(session, &[], "it asks for the way to log in of before MySQL 4.1".to_owned()).await
                    );
                }
                MysqlLoginReply::Switch { method: name, nonce: challenge } => {
                    method = match self.taken(name) {
                        Ok(method) => method,
                        // (A signature that is wrong, where a part of an exchange that is too short would count as one that ends.)
                        Err(detail) if name == b"client_ed25519" => {
                            return Err(give_up(session, &[0; 64], detail).await);
                        }
                        Err(detail) => return Err(give_up(session, &[], detail).await),
                    };
                    // (The password itself needs no challenge.)
                    match challenge.first_chunk::<NONCE>() {
                        Some(challenge) => nonce = *challenge,
                        None if method == MysqlMethod::Cleartext => {}
                        None => return Err(malformed("a challenge of less than 20 bytes")),
                    }
                    let proof = proof::proof(method, session.secret(), &nonce);
                    session.send(&proof).await?;
                }
                // It has the user in its cache: that it is let in follows.
                MysqlLoginReply::More([3]) if method == MysqlMethod::CachingSha2 => {}
                MysqlLoginReply::More([4]) if method == MysqlMethod::CachingSha2 => {
                    match self.whole_password(session, &nonce).await {
                        Ok(sent) => session.send(&sent).await?,
                        Err(ProbeError::Blind(detail)) => return Err(give_up(session, &[], detail).await),
                        Err(error) => return Err(error),
                    }
                }
                MysqlLoginReply::More(_) => return Err(malformed("a part of a login that was not begun")),
            }
        }
        Err(malformed("a login without an end"))
    }

    /// The way with this name, where the configuration takes it.
    fn taken(&self, name: &[u8]) -> Result<MysqlMethod, String> {
        let method = proof::method(name).ok_or_else(|| {
            let name = shortened(&String::from_utf8_lossy(name), 40);
            format!("it asks for the way to log in `{name}`, which a check does not have")
        })?;
        match method <= self.0.weakest {
            true => Ok(method),
            false => {
                Err(format!("it asks for `{}`, and `auth: {}` is not set", proof::plugin(method), method.as_str()))
            }
        }
    }

    /// What `caching_sha2_password` wants while the user is not in its cache: the password itself.
    async fn whole_password(&self, session: &MysqlSession, nonce: &[u8; NONCE]) -> Result<Vec<u8>, ProbeError> {
        let password = session.secret().unwrap_or_default();
        if !session.is_plain() {
            return Ok(proof::ended(password));
        }
        let Some(path) = self.0.server_key.clone() else {
            return Err(ProbeError::Blind(
                "caching_sha2_password: it does not have the user in its cache, and wants the password itself: add `tls: on` or \
                 `server_key_file`"
                    .to_owned(),
            ));
        };
        let read = tokio::task::spawn_blocking(move || server_key(&path)).await;
        let read = read.map_err(|error| ProbeError::Local(format!("reading the server's key: {error}")))?;
        let key = read.map_err(ProbeError::Blind)?;
        let sent = proof::encrypted(password, nonce, &key);
        sent.ok_or_else(|| ProbeError::Blind("the password is too long for the server's key".to_owned()))
    }
}

/// What the server says first.
async fn greeting(stream: &mut (impl AsyncRead + Unpin)) -> Result<MysqlGreeting, ProbeError> {
    let payload = read_packet(stream).await?;
    mysql::greeting(&payload).map_err(not_understood)?.map_err(|error| refusal(error, None))
}

/// Ends a login that cannot go on, by an answer that is wrong and the refusal that it brings.
async fn give_up(session: &mut MysqlSession, wrong: &[u8], detail: String) -> ProbeError {
    if session.send(wrong).await.is_ok() {
        let _ = session.next().await;
    }
    ProbeError::Blind(detail)
}

async fn ask(session: &mut MysqlSession) -> Result<MysqlState, ProbeError> {
    let mut state = MysqlState { variables: session.ask(VARIABLES).await?.pairs(), ..MysqlState::default() };
    if state.is_galera() {
        state.galera = session.ask(GALERA).await?.pairs();
    }
    if state.is_grouped() {
        state.group = permitted(session.ask(GROUP).await)?;
    }
    if state.has_gtids() {
        let question = if state.is_mariadb() { POSITIONS } else { EXECUTED };
        let table = permitted(session.ask(question).await)?.unwrap_or_default();
        state.gtids = table.rows.into_iter().flatten().flatten().collect();
    }
    state.replicas = match state.is_mariadb() {
        true => permitted(session.ask("SHOW ALL SLAVES STATUS").await)?,
        // (The word of before 8.0.22.)
        false => match permitted(session.ask("SHOW REPLICA STATUS").await)? {
            None => permitted(session.ask("SHOW SLAVE STATUS").await)?,
            found => found,
        },
    };
    Ok(state)
}

/// `None`: this user may not ask that, or this server does not know the question.
fn permitted(answer: Result<MysqlTable, ProbeError>) -> Result<Option<MysqlTable>, ProbeError> {
    match answer {
        Ok(table) => Ok(Some(table)),
        Err(ProbeError::Blind(_) | ProbeError::Fail(ProbeFailure::Mismatch, _)) => Ok(None),
        Err(error) => Err(error),
    }
}

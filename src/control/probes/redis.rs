//! The Redis probe: one login for each, a ping, and the question for role and offset, sent at once and answered in turn. Redis and Valkey
//! answer it alike. The user needs `+ping +info`.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::error::{ProbeError, broken, closed, malformed, mismatch};
use super::kept::ProbeRun;
use super::password::{password, without};
use super::stream::ProbeStream;
use crate::config::RedisCheck;
use crate::decision::{DataPosition, DataRole, ProbeFailure, Reading, RedisPosition};
use crate::sys::clock;
use crate::text::shortened;
use crate::wire::resp::{self, RespReply};

/// Bytes of all replies together.
const LONGEST_ANSWER: usize = 64 * 1024;

/// A probe of Redis.
#[derive(Clone)]
pub(super) struct RedisProbe(pub(super) Arc<RedisCheck>);

impl RedisProbe {
    pub(super) async fn probe(&mut self, attempt: &ProbeRun<'_>) -> Result<(Duration, Option<Reading>), ProbeError> {
        let start = clock::now();
        let mut stream = attempt.target.connect(attempt.report).await?;
        let password = password(&self.0.login).await?;
        let mut commands = Vec::new();
        match (&*self.0.login.user, &password) {
            (_, None) => {}
            ("", Some(password)) => resp::write_command(&[b"AUTH", password.as_bytes()], &mut commands),
            (user, Some(password)) => {
                resp::write_command(&[b"AUTH", user.as_bytes(), password.as_bytes()], &mut commands);
            }
        }
        // (Where a role is asked for, the life of the process and its mode are, too.)
        let sections: &[&[u8]] = if self.0.role.is_some() { &[b"replication", b"server"] } else { &[b"replication"] };
        resp::write_command(&[b"PING"], &mut commands);
        sections.iter().for_each(|section| resp::write_command(&[b"INFO", section], &mut commands));
        resp::write_command(&[b"QUIT"], &mut commands);
        // (A server that is full says so and closes, whatever it is sent.)
        let written = stream.write_all(&commands).await;
        let mut replies = Replies { stream, bytes: Vec::new(), used: 0 };
        if password.is_some() {
            expect_status("AUTH", replies.next().await?, login_refusal)?;
        }
        written.map_err(broken)?;
        let refused = |error: &[u8]| refusal(error, password.as_deref());
        expect_status("PING", replies.next().await?, refused)?;
        let mut info = String::new();
        for _ in sections {
            match replies.next().await? {
                RespReply::Text(text) => {
                    info.push_str(std::str::from_utf8(text).map_err(|_| malformed("INFO is no text"))?);
                    info.push('\n');
                }
                RespReply::Error(error) => return Err(refused(error)),
                _ => return Err(malformed("INFO was not answered by a text")),
            }
        }
        let reading = reading(&info)?;
        Ok((clock::now().since(start), Some(reading)))
    }
}

/// The replies on a connection.
struct Replies {
    stream: ProbeStream,
    bytes: Vec<u8>,
    used: usize,
}

impl Replies {
    async fn next(&mut self) -> Result<RespReply<'_>, ProbeError> {
        let length = loop {
            let found = resp::parse(&self.bytes[self.used..], LONGEST_ANSWER);
            match found.map_err(|error| malformed(&error.to_string()))? {
                Some((_, length)) => break length,
                None if self.bytes.len() > LONGEST_ANSWER => return Err(malformed("an answer of more than 64 KiB")),
                None => {}
            }
            if self.stream.read_buf(&mut self.bytes).await.map_err(broken)? == 0 {
                return Err(closed());
            }
        };
        let from = self.used;
        self.used += length;
        match resp::parse(&self.bytes[from..], LONGEST_ANSWER) {
            Ok(Some((reply, _))) => Ok(reply),
            _ => Err(malformed("it is no reply")),
        }
    }
}

fn expect_status(
    command: &str,
    reply: RespReply<'_>,
    refused: impl FnOnce(&[u8]) -> ProbeError,
) -> Result<(), ProbeError> {
    match reply {
        RespReply::Status(_) => Ok(()),
        RespReply::Error(error) => Err(refused(error)),
        _ => Err(malformed(&format!("{command} was not answered by a status"))),
    }
}

/// What an error says about the server. `secret`: it is not told, though the server repeats it.
fn refusal(error: &[u8], secret: Option<&str>) -> ProbeError {
    let text = String::from_utf8_lossy(error);
    let detail = shortened(&without(secret, &text), 150);
    match text.split(' ').next().unwrap_or_default() {
        "LOADING" | "MASTERDOWN" => ProbeError::Fail(ProbeFailure::NotServing, detail),
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED" => ProbeError::Blind(detail),
        _ if text.starts_with("ERR max number of clients") => ProbeError::Busy(detail),
        _ if text.starts_with("ERR unknown command") => ProbeError::Blind(detail),
        _ => mismatch(detail),
    }
}

/// The same of an answer to AUTH. It may repeat what it was sent, so that of its text only the class is told.
fn login_refusal(error: &[u8]) -> ProbeError {
    let text = String::from_utf8_lossy(error);
    match text.split(' ').next().unwrap_or_default() {
        "LOADING" => ProbeError::Fail(ProbeFailure::NotServing, "LOADING, in answer to AUTH".to_owned()),
        _ if text.starts_with("ERR max number of clients") => {
            ProbeError::Busy("max number of clients reached".to_owned())
        }
        "WRONGPASS" => ProbeError::Blind("WRONGPASS, in answer to AUTH".to_owned()),
        "DENIED" => ProbeError::Blind("DENIED (protected mode), in answer to AUTH".to_owned()),
        _ if text.starts_with("ERR invalid password") => ProbeError::Blind("ERR invalid password".to_owned()),
        _ if text.contains("without any password configured") || text.contains("no password is set") => {
            ProbeError::Blind("it has no password, and the check sends one".to_owned())
        }
        _ => {
            ProbeError::Blind("AUTH was refused: has this server that user, and AUTH with a user (Redis 6)?".to_owned())
        }
    }
}

/// What `INFO replication` and `INFO server` say.
fn reading(info: &str) -> Result<Reading, ProbeError> {
    let field =
        |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim_end);
    // (All its data is split over servers, and it sends clients to others.)
    if field("redis_mode") == Some("cluster") {
        return Err(ProbeError::Blind("it is a node of Redis Cluster, whose clients must know all nodes".to_owned()));
    }
    let role = match field("role") {
        Some("master") => DataRole::Primary,
        Some("slave") => DataRole::Replica,
        Some(other) => return Err(mismatch(format!("the role `{}`", shortened(other, 40)))),
        None => return Err(malformed("INFO replication has no role")),
    };
    let id = |name: &str| {
        let is_id = |id: &&str| id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        field(name).filter(is_id).map(str::to_owned)
    };
    let number = |name: &str| field(name).and_then(|number| number.parse::<i64>().ok()?.try_into().ok());
    let offset: Option<u64> = match role {
        // (What it has applied, not what its master has sent.)
        DataRole::Replica => number("slave_repl_offset"),
        _ => number("master_repl_offset"),
    };
    // Without a former id it is written as zeros, and its offset as -1; the offset is that of the first byte that is not taken over.
    let former = id("master_replid2").filter(|id| id.bytes().any(|byte| byte != b'0'));
    let forked = number("second_repl_offset").map(|first: u64| first.saturating_sub(1)).filter(|_| former.is_some());
    let position = id("master_replid").zip(offset).map(|(replication, offset)| {
        DataPosition::Redis(RedisPosition { id: replication, former, forked, offset, run: id("run_id") })
    });
    Ok(Reading { role, writable: None, position, applied: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_put_into_their_classes() {
        for (error, wanted) in [
            ("LOADING Redis is loading the dataset in memory", "NotServing"),
            ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "NotServing"),
            ("NOAUTH Authentication required.", "Blind"),
            ("NOPERM User probe has no permissions to run the 'info' command", "Blind"),
            ("DENIED Redis is running in protected mode", "Blind"),
            ("ERR max number of clients reached", "Busy"),
            ("BUSY Redis is busy running a script.", "Mismatch"),
            ("ERR unknown command 'INFO'", "Blind"),
            ("", "Mismatch"),
        ] {
            assert_eq!(refusal(error.as_bytes(), None).class(), wanted, "{error}");
        }
        for (error, wanted) in [
            ("LOADING Redis is loading the dataset in memory", "NotServing"),
            ("ERR max number of clients reached", "Busy"),
            ("WRONGPASS invalid username-password pair or user is disabled.", "Blind"),
            ("ERR AUTH <password> called without any password configured for the default user.", "Blind"),
            ("ERR invalid password", "Blind"),
            ("ERR wrong number of arguments for 'auth' command", "Blind"),
        ] {
            assert_eq!(login_refusal(error.as_bytes()).class(), wanted, "{error}");
        }
    }

    #[test]
    fn what_a_server_repeats_of_a_password_is_not_told() {
        let echo = "ERR unknown command 'AUTH', with args beginning with: 'standfast' 'hunter2'";
        assert!(!login_refusal(echo.as_bytes()).detail().contains("hunter2"));
        let error = refusal(echo.as_bytes(), Some("hunter2"));
        assert!(!error.detail().contains("hunter2") && error.detail().contains("***"), "{}", error.detail());
    }

    #[test]
    fn role_and_position_are_read() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        let zeros = "0".repeat(40);
        let info = format!(
            "# Replication\r\nrole:slave\r\nmaster_link_status:up\r\nslave_repl_offset:4711\r\nmaster_replid:{id}\r\n\
             master_replid2:{zeros}\r\nmaster_repl_offset:9\r\nsecond_repl_offset:-1\r\n\n# Server\r\nredis_mode:standalone\r\nrun_id:{id}\r\n"
        );
        let read = |info: &str| reading(info).map_err(|error| error.detail().to_owned());
        let position = |offset, former: Option<&str>, forked| {
            let (id, former, run) = (id.to_owned(), former.map(str::to_owned), Some(id.to_owned()));
            Some(DataPosition::Redis(RedisPosition { id, former, forked, offset, run }))
        };
        let found = read(&info).unwrap();
        assert_eq!((found.role, found.position), (DataRole::Replica, position(4711, None, None)));
        let promoted = info.replace("role:slave", "role:master").replace(&zeros, &"a".repeat(40)).replace(":-1", ":8");
        let found = read(&promoted).unwrap();
        assert_eq!((found.role, found.position), (DataRole::Primary, position(9, Some(&"a".repeat(40)), Some(7))));
        let found = read("role:master\r\nmaster_replid:x\r\nmaster_repl_offset:-1\r\n").unwrap();
        assert_eq!(found.position, None);
        assert!(read("role:sentinel\r\n").unwrap_err().contains("`sentinel`"));
        assert!(read("").unwrap_err().contains("no role"));
        let cluster = read("role:master\r\nredis_mode:cluster\r\n").unwrap_err();
        assert!(cluster.contains("Redis Cluster"), "{cluster}");
    }
}

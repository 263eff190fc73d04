//! The refusal of a TCP session in the language of its client: an error of the protocol, and an orderly end behind it. A client
//! that says nothing in time, or something else than its protocol has, is reset.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::config::{RefusalLanguage, Service};
use crate::net::{Stream, Transport};
use crate::proxy::buffer::Buffer;
use crate::proxy::deadline::Alarm;
use crate::proxy::guarded::guarded;
use crate::proxy::upstream::SelectError;
use crate::routing::GiveUpReason;
use crate::sys::clock;
use crate::wire::refusal::{
    LONGEST_STARTUP, POSTGRES_ENCRYPTION_REQUEST, POSTGRES_NOT_ENCRYPTED, PostgresOpening, TLS_HANDSHAKE,
    postgres_fatal, redis_error,
};

/// How long the first message of a client is waited for, and after the error its end.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes that are read and forgotten after the error.
const MOST_WASTE: usize = 64 * 1024;
/// Requests for encryption that one client makes: TLS and GSSAPI.
const ENCRYPTION_REQUESTS: usize = 2;

/// Why a session is refused, as far as its client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCause {
    /// No endpoint serves.
    NoEndpoint,
    /// No endpoint serves, and the service reads at replicas.
    NoReplica,
    /// A limit is reached.
    Overloaded,
}

impl RefusalCause {
    /// `None`: the client has left, or the session was ended from outside.
    pub fn of(unselected: SelectError, service: &Service) -> Option<RefusalCause> {
        match unselected {
            SelectError::GaveUp(GiveUpReason::Full | GiveUpReason::Local) | SelectError::Limited(_) => {
                Some(RefusalCause::Overloaded)
            }
            SelectError::GaveUp(_) if service.failover.reads.is_some() => Some(RefusalCause::NoReplica),
            SelectError::GaveUp(_) => Some(RefusalCause::NoEndpoint),
            SelectError::Interrupted(_) => None,
        }
    }
}

/// Refuses a client of which this was `read` already. Returns how many bytes it was sent.
pub async fn refuse(
    client: &mut Transport,
    mut read: Buffer,
    language: RefusalLanguage,
    cause: RefusalCause,
    alarm: &Alarm,
) -> u64 {
    let mut sent = 0;
    let mut never = |_: &mut Context<'_>| Poll::Pending;
    alarm.set(clock::now().after(PATIENCE));
    let said = guarded(alarm, &mut never, say(client, &mut read, language, cause, &mut sent)).await;
    if !matches!(said, Ok(Ok(()))) {
        client.reset_on_close();
        return sent;
    }
    drop(read);
    // Closed at once, the kernel would answer what is unread with a reset, which can overtake the error.
    alarm.set(clock::now().after(PATIENCE));
    if guarded(alarm, &mut never, linger(client)).await.is_err() {
        client.reset_on_close();
    }
    sent
}

/// Says why, once the client takes it, and closes our side. An error: there is nothing to be said to it.
async fn say(
    client: &mut Transport,
    read: &mut Buffer,
    language: RefusalLanguage,
    cause: RefusalCause,
    sent: &mut u64,
) -> io::Result<()> {
    let error = match language {
        RefusalLanguage::Postgres => {
            take_startup(client, read, sent).await?;
            let (sqlstate, message) = match cause {
                RefusalCause::NoEndpoint => ("57P03", "no primary is available at the moment"),
                RefusalCause::NoReplica => ("57P03", "no replica is available at the moment"),
                RefusalCause::Overloaded => ("53300", "too many connections are open or waiting at the moment"),
            };
            postgres_fatal(sqlstate, message)
        }
        RefusalLanguage::Redis => {
            take_command(client, read).await?;
            match cause {
                RefusalCause::NoEndpoint => redis_error("MASTERDOWN", "No master is available at the moment"),
                RefusalCause::NoReplica => redis_error("MASTERDOWN", "No replica is available at the moment"),
                RefusalCause::Overloaded => redis_error("ERR", "max number of clients reached"),
            }
        }
    };
    client.write_all(&error).await?;
    client.shutdown().await?;
    *sent += error.len() as u64;
    Ok(())
}

/// Reads up to the end of the startup message. Requests for encryption before it are declined.
async fn take_startup(client: &mut Transport, read: &mut Buffer, sent: &mut u64) -> io::Result<()> {
    let mut declined = 0;
    loop {
        match PostgresOpening::of(read.bytes()) {
            PostgresOpening::Startup => return Ok(()),
            PostgresOpening::Incomplete => fill(client, read).await?,
            PostgresOpening::EncryptionRequest if declined < ENCRYPTION_REQUESTS => {
                declined += 1;
                read.consume(POSTGRES_ENCRYPTION_REQUEST);
                client.write_all(POSTGRES_NOT_ENCRYPTED).await?;
                client.flush().await?;
                *sent += POSTGRES_NOT_ENCRYPTED.len() as u64;
            }
            PostgresOpening::EncryptionRequest | PostgresOpening::Cancel | PostgresOpening::Other => {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }
}

/// Waits for the beginning of a command: an error is the answer to one.
async fn take_command(client: &mut Transport, read: &mut Buffer) -> io::Result<()> {
    if read.is_empty() {
        fill(client, read).await?;
    }
    if read.bytes().first() == Some(&TLS_HANDSHAKE) { Err(io::ErrorKind::InvalidData.into()) } else { Ok(()) }
}

/// Reads more. An error: the client has closed its side, or has sent too much.
async fn fill(client: &mut Transport, read: &mut Buffer) -> io::Result<()> {
    if read.len() >= LONGEST_STARTUP || !read.is_empty() && !read.reserve(1) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    match poll_fn(|cx| read.poll_fill(cx, client)).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Reads and forgets what the client still sends, until it closes its side.
async fn linger(client: &mut Transport) {
    let mut waste = [0; 512];
    let mut most = MOST_WASTE;
    while most > 0
        && let Ok(count @ 1..) = client.read(&mut waste).await
    {
        most = most.saturating_sub(count);
    }
}

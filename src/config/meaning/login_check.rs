//! Checks that log in and ask: `health_check.postgres`, `health_check.mysql` and `health_check.redis`.

use super::diagnostics::Diagnostics;
use super::tls;
use crate::config::defaults;
use crate::config::lag_limit::LagLimit;
use crate::config::model::{
    CheckLogin, CheckPassword, FollowedRole, MaxLag, MysqlCheck, MysqlMethod, PasswordMethod, PostgresCheck,
    RedisCheck, ReplicaCheck, Secret, UpstreamTls,
};
use crate::config::named_files::NamedFiles;
use crate::config::schema;
use crate::config::spanned::{OffOr, OnOr, Spanned};
use crate::config::tree::{NodeId, shorten};

/// Bytes of the longest name of a user or database.
const LONGEST_NAME: usize = 128;

pub(super) fn postgres(
    diagnostics: &mut Diagnostics,
    at: NodeId,
    typed: &schema::PostgresCheck,
) -> Option<PostgresCheck> {
    let database = match typed.database.found() {
        Some((at, database)) => name(diagnostics, at, database),
        None => Some(defaults::CHECK_DATABASE.to_owned()),
    };
    let password = password(diagnostics, &typed.password, &typed.password_file);
    let login = login(diagnostics, at, &typed.user, password);
    let weakest = match typed.auth.get() {
        None | Some(schema::PasswordMethod::Scram) => PasswordMethod::Scram,
        Some(schema::PasswordMethod::Md5) => PasswordMethod::Md5,
        Some(schema::PasswordMethod::Cleartext) => PasswordMethod::Cleartext,
    };
    let tls = tls_when_asked(diagnostics, &typed.tls);
    if let (Some(at), PasswordMethod::Cleartext, None) = (typed.auth.at(), weakest, &tls) {
        let what = "the password would travel in the clear";
        diagnostics.warning(at, what, "add `tls: on`, or leave `auth` out: SCRAM sends no password");
    }
    let port = typed.port.get().map(|port| port.0 as u16);
    let (role, replica) = role(diagnostics, &typed.role, &typed.max_lag);
    Some(PostgresCheck { login: login?, database: database?, weakest, role, replica, port, tls })
}

pub(super) fn mysql(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::MysqlCheck) -> Option<MysqlCheck> {
    let database = typed.database.found().and_then(|(at, database)| name(diagnostics, at, database));
    let password = password(diagnostics, &typed.password, &typed.password_file);
    let login = login(diagnostics, at, &typed.user, password);
    let weakest = match typed.auth.get() {
        Some(schema::MysqlMethod::CachingSha2) => MysqlMethod::CachingSha2,
        None | Some(schema::MysqlMethod::Native) => MysqlMethod::Native,
        Some(schema::MysqlMethod::Cleartext) => MysqlMethod::Cleartext,
    };
    let tls = tls_when_asked(diagnostics, &typed.tls);
    if let (Some(at), MysqlMethod::Cleartext, None) = (typed.auth.at(), weakest, &tls) {
        let what = "the password would travel in the clear";
        diagnostics.warning(at, what, "add `tls: on`, or leave `auth` out");
    }
    if let Some(file) = diagnostics.named(&typed.server_key_file) {
        diagnostics.named.push(NamedFiles::ServerKey(file));
    }
    let server_key = typed.server_key_file.found().map(|(_, path)| diagnostics.path(path));
    if let (Some(at), Some(_)) = (typed.server_key_file.at(), &tls) {
        diagnostics.warning(at, "over TLS this key is not used", "leave it out, or leave `tls` out");
    }
    let port = typed.port.get().map(|port| port.0 as u16);
    let role = match typed.role.found() {
        Some((at, schema::CheckedRole::Replica)) => {
            diagnostics.not_supported(at, "`replica`", "`primary` and `writable` are");
            None
        }
        _ => role(diagnostics, &typed.role, &Spanned::default()).0,
    };
    Some(MysqlCheck { login: login?, database, weakest, server_key, role, port, tls })
}

pub(super) fn redis(diagnostics: &mut Diagnostics, typed: &schema::RedisCheck) -> RedisCheck {
    let user = typed.user.found().and_then(|(at, user)| name(diagnostics, at, user));
    let password = password(diagnostics, &typed.password, &typed.password_file);
    if let (Some((at, user)), None) = (typed.user.found(), &password) {
        let what = format!("`{}` logs in without a password", shorten(user));
        diagnostics.warning(at, what, "add `password_file: /run/secrets/redis`, or leave `user` out");
    }
    let tls = tls_when_asked(diagnostics, &typed.tls);
    let port = typed.port.get().map(|port| port.0 as u16);
    let (role, replica) = role(diagnostics, &typed.role, &typed.max_lag);
    if let (Some(at), Some(FollowedRole::Writable)) = (typed.role.at(), role) {
        diagnostics.problem(at, "Redis does not say whether it takes writes", "write `role: primary`");
    }
    RedisCheck { login: CheckLogin { user: user.unwrap_or_default(), password }, role, replica, port, tls }
}

/// `role`: of the endpoint that the service follows, or of those that it reads at. `max_lag` is about the latter.
fn role(
    diagnostics: &mut Diagnostics,
    role: &Spanned<schema::CheckedRole>,
    max_lag: &Spanned<LagLimit>,
) -> (Option<FollowedRole>, Option<ReplicaCheck>) {
    let followed = match role.get() {
        Some(schema::CheckedRole::Replica) => {
            let max_lag = max_lag.get().map(|limit| match limit {
                LagLimit::Time(time) => MaxLag::Time(*time),
                LagLimit::Bytes(bytes) => MaxLag::Bytes(*bytes),
            });
            return (None, Some(ReplicaCheck { max_lag }));
        }
        Some(schema::CheckedRole::Primary) => Some(FollowedRole::Primary),
        Some(schema::CheckedRole::Writable) => Some(FollowedRole::Writable),
        None => None,
    };
    if let Some(at) = max_lag.at() {
        let what = "`max_lag` has no effect: it is about replicas, and this check does not ask for them";
        diagnostics.warning(at, what, "write `role: replica`, or leave it out");
    }
    (followed, None)
}

/// A login that needs a user.
fn login(
    diagnostics: &mut Diagnostics,
    at: NodeId,
    user: &Spanned<String>,
    password: Option<CheckPassword>,
) -> Option<CheckLogin> {
    let found = diagnostics.required(user, at, "user", "user: standfast")?;
    let user = name(diagnostics, user.at().unwrap_or(at), found)?;
    Some(CheckLogin { user, password })
}

/// What can be a name in a login: no server takes a byte 0 in it.
fn name(diagnostics: &mut Diagnostics, at: NodeId, name: &str) -> Option<String> {
    let is_usable = (1..=LONGEST_NAME).contains(&name.len()) && !name.chars().any(char::is_control);
    if !is_usable {
        let what = format!("`{}` is no name to log in with", shorten(name));
        diagnostics.problem(at, what, "write the name of a user or database, such as `standfast`");
    }
    is_usable.then(|| name.to_owned())
}

/// `password` or `password_file`.
fn password(diagnostics: &mut Diagnostics, text: &Spanned<String>, file: &Spanned<String>) -> Option<CheckPassword> {
    if let Some(file) = diagnostics.named(file) {
        diagnostics.named.push(NamedFiles::Password(file));
    }
    match (text.found(), file.found()) {
        (Some(_), Some((at, _))) => {
            diagnostics.problem(at, "the password is given already", "keep `password_file`, or `password: ${NAME}`");
            None
        }
        (None, Some((_, path))) => Some(CheckPassword::File(diagnostics.path(path))),
        (Some((at, text)), None) if text.contains('\0') => {
            diagnostics.problem(at, "no server takes a password with a byte 0", "write the password as it was set");
            None
        }
        // (`${NAME:-}` without the variable.)
        (Some((_, text)), None) if text.is_empty() => None,
        (Some((_, text)), None) => Some(CheckPassword::Text(Secret::from(text.clone()))),
        (None, None) => None,
    }
}

/// What a database speaks before TLS is its own: only when it is asked for.
fn tls_when_asked(
    diagnostics: &mut Diagnostics,
    item: &Spanned<OffOr<OnOr<schema::UpstreamTls>>>,
) -> Option<UpstreamTls> {
    match item.found() {
        Some((at, OffOr::Value(typed))) => tls::upstream(diagnostics, at, typed, None),
        _ => None,
    }
}

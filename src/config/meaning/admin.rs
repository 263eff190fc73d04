//! `admin:` and `metrics:`

use std::os::unix::ffi::OsStrExt;

use super::diagnostics::Diagnostics;
use super::{address, jwt, role, tls};
use crate::config::Bind;
use crate::config::defaults;
use crate::config::model::{Admin, AdminRole, AdminSocket, MetricsDetail, Reasons};
use crate::config::named_files::NamedFiles;
use crate::config::schema;
use crate::config::spanned::{OffOr, ShorthandMap, Spanned};
use crate::config::tree::{NodeId, shorten};

/// Bytes of the longest path that a unix socket can have.
const LONGEST_SOCKET_PATH: usize = 107;

pub(super) fn admin(
    diagnostics: &mut Diagnostics,
    admin: &Spanned<OffOr<ShorthandMap<schema::Admin>>>,
) -> Option<Admin> {
    let (at, typed) = match admin.found()? {
        (at, OffOr::Value(admin)) => (at, &admin.0),
        (_, OffOr::Off) => return None,
    };
    let socket = socket(diagnostics, &typed.socket);
    let on_socket_alone = typed.bind.at().is_none() && matches!(typed.socket.get(), Some(OffOr::Value(_)));
    let bind = if on_socket_alone { None } else { address::bind(diagnostics, &typed.bind, at) };
    let admin = Admin {
        bind,
        socket,
        tokens_file: typed.tokens_file.get().map(|path| diagnostics.path(path)),
        jwt: jwt::issuers(diagnostics, &typed.jwt),
        tls: tls::admin(diagnostics, &typed.tls),
        hosts: hosts(diagnostics, typed),
        anonymous_viewer: matches!(typed.anonymous.get(), Some(OffOr::Value(schema::AnonymousRole::Viewer))),
        reasons: match typed.reasons.get() {
            None => defaults::REASONS,
            Some(schema::Reasons::Required) => Reasons::Required,
            Some(schema::Reasons::Optional) => Reasons::Optional,
        },
    };
    if let Some(file) = diagnostics.named(&typed.tokens_file) {
        diagnostics.named.push(NamedFiles::Tokens { file });
    }
    check_tokens(diagnostics, at, typed, &admin);
    if on_socket_alone {
        check_without_bind(diagnostics, typed);
    }
    (admin.bind.is_some() || admin.socket.is_some()).then_some(admin)
}

/// A token can be used by everyone who has seen it.
fn check_tokens(diagnostics: &mut Diagnostics, owner: NodeId, typed: &schema::Admin, admin: &Admin) {
    let is_encrypted = matches!(typed.tls.get(), Some(OffOr::Value(_)));
    let has_tokens = admin.tokens_file.is_some() || matches!(typed.jwt.get(), Some(OffOr::Value(_)));
    let (Some(bind), true, false) = (admin.bind, has_tokens, is_encrypted) else { return };
    if !bind.is_loopback() {
        let at = typed.bind.at().unwrap_or(owner);
        let what = format!("tokens would travel in the clear on {bind}: set admin.tls, or bind 127.0.0.1");
        let advice = format!(
            "write `bind: 127.0.0.1:{}`, or add `tls: {{certificates: [{{cert: fullchain.pem, key: key.pem}}]}}`",
            bind.port()
        );
        diagnostics.problem(at, what, advice);
    }
}

/// What is about the TCP port, and there is none.
fn check_without_bind(diagnostics: &mut Diagnostics, typed: &schema::Admin) {
    let said = [
        ("tokens_file", typed.tokens_file.at()),
        ("jwt", typed.jwt.at()),
        ("tls", typed.tls.at()),
        ("hosts", typed.hosts.at()),
        ("anonymous", typed.anonymous.at()),
    ];
    for (key, at) in said {
        if let Some(at) = at {
            let what = format!("`{key}` has no effect on the unix socket, whose users are known by the kernel");
            diagnostics.warning(at, what, "add `bind: 127.0.0.1:9901`, or leave it out");
        }
    }
}

fn socket(
    diagnostics: &mut Diagnostics,
    item: &Spanned<OffOr<ShorthandMap<schema::AdminSocket>>>,
) -> Option<AdminSocket> {
    let (at, typed) = match item.found()? {
        (at, OffOr::Value(typed)) => (at, &typed.0),
        (_, OffOr::Off) => return None,
    };
    let role = typed.role.get().map_or(defaults::ADMIN_SOCKET_ROLE, |role| role::admin_role(*role));
    let mode = typed.mode.get().map_or(defaults::ADMIN_SOCKET_MODE, |mode| mode.0);
    if let Some(at) = typed.mode.at()
        && mode & 0o002 != 0
        && role != AdminRole::Viewer
    {
        let what = format!("every user of this host may connect and is {}", role.as_str());
        diagnostics.warning(at, what, "write `mode: \"0660\"` and the group that may, or `role: viewer`");
    }
    let group = typed.group.found().and_then(|(at, group)| {
        let is_usable = !group.is_empty() && group.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        if !is_usable {
            let what = format!("`{}` is no group", shorten(group));
            diagnostics.problem(at, what, "write its name, such as `group: ops`, or its number");
        }
        is_usable.then(|| group.clone())
    });
    let path = diagnostics.required(&typed.path, at, "path", "path: /run/standfast/admin.sock")?;
    let path = diagnostics.path(path);
    let length = path.as_os_str().as_bytes().len();
    if length > LONGEST_SOCKET_PATH {
        let what = format!("the path of a unix socket has {LONGEST_SOCKET_PATH} bytes at most, this one has {length}");
        diagnostics.problem(typed.path.at().unwrap_or(at), what, "write `path: /run/standfast/admin.sock`");
    }
    diagnostics.names_written_file(&typed.path, false);
    Some(AdminSocket { path, mode, group, role })
}

/// Names in lower case.
fn hosts(diagnostics: &mut Diagnostics, typed: &schema::Admin) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (at, text) in typed.hosts.get().into_iter().flat_map(|list| &list.0).filter_map(Spanned::found) {
        match tls::dns_name(text) {
            Some(name) if found.contains(&name) => {
                diagnostics.problem(at, format!("`{}` stands twice", shorten(text)), "keep it once");
            }
            Some(name) => found.push(name),
            None => {
                let advice = match text.rsplit_once(':') {
                    _ if text.parse::<std::net::IpAddr>().is_ok() => "leave it out: addresses are always taken".into(),
                    Some((name, port)) if port.parse::<u16>().is_ok() && tls::dns_name(name).is_some() => {
                        format!("write `{name}`: the port is not looked at")
                    }
                    _ => "write a name such as `standfast.internal`, one for each".to_owned(),
                };
                diagnostics.problem(at, format!("`{}` is not the name of a host", shorten(text)), advice);
            }
        }
    }
    found
}

/// The port of its own; it may be left out where only the detail is meant.
pub(super) fn metrics_bind(
    diagnostics: &mut Diagnostics,
    metrics: &Spanned<ShorthandMap<schema::Metrics>>,
) -> Option<Bind> {
    let (at, metrics) = metrics.found()?;
    let only_detail = metrics.0.bind.at().is_none() && metrics.0.detail.at().is_some();
    if only_detail { None } else { address::bind(diagnostics, &metrics.0.bind, at) }
}

pub(super) fn metrics_detail(metrics: Option<&ShorthandMap<schema::Metrics>>) -> MetricsDetail {
    match metrics.and_then(|metrics| metrics.0.detail.get()) {
        None => defaults::METRICS_DETAIL,
        Some(schema::MetricsDetail::Full) => MetricsDetail::Full,
        Some(schema::MetricsDetail::Lean) => MetricsDetail::Lean,
    }
}

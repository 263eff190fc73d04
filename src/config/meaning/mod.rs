//! What was typed → what is meant: defaults filled in, every value checked, problems collected. One file a section of the
//! configuration; what spans sections (names, addresses that meet) is in [`cross`].

mod address;
mod admin;
mod audit;
mod balance;
mod check;
mod companions;
mod consistency;
mod cross;
mod diagnostics;
mod dns;
mod endpoint;
mod exchange_check;
mod failover;
mod fence;
mod files;
mod following;
mod header;
mod journal;
mod jwt;
mod listener;
mod login_check;
mod logs;
mod names;
mod outlier;
mod own_listener;
mod pool;
mod protocol;
mod reads;
mod request_line;
mod retry;
mod role;
mod route;
mod service;
mod services;
mod sni;
mod state;
mod static_response;
mod tls;
mod upstream;

use std::path::Path;
use std::sync::Arc;

use self::diagnostics::Diagnostics;
use super::defaults;
use super::diagnostic::DiagnosticList;
use super::model::Config;
use super::named_files::{NamedFiles, TypedFile};
use super::schema;
use super::spanned::Spanned;

/// The whole file. `None` when it is not even a map; otherwise a configuration that is to be used only if no fault
/// is an error.
pub(super) fn config(
    file: &Spanned<schema::File>,
    base_dir: &Path,
    path: &Path,
    found: &mut DiagnosticList,
    named: &mut Vec<NamedFiles<TypedFile>>,
) -> Option<Config> {
    let (root, file) = file.found()?;
    let mut diagnostics = Diagnostics { found, named, base_dir };
    let drain_timeout = diagnostics.time(&file.drain_timeout, defaults::DRAIN_TIMEOUT);
    let mut services = service::services(&mut diagnostics, root, &file.services, drain_timeout);
    companions::companions(&mut diagnostics, file, &mut services);
    let listeners = listener::listeners(&mut diagnostics, root, &file.listeners, &services);
    let state = state::state_file(&mut diagnostics, &file.state);
    let config = Config {
        instance: file.instance.found().and_then(|(at, name)| diagnostics.name(at, name)),
        workers: file.workers.get().map(|count| count.0 as usize),
        drain_timeout,
        admin: admin::admin(&mut diagnostics, &file.admin),
        metrics: admin::metrics_bind(&mut diagnostics, &file.metrics),
        metrics_detail: admin::metrics_detail(file.metrics.get()),
        journal: journal::journal_file(&mut diagnostics, &file.journal, state.as_ref()),
        state,
        audit: audit::audit_file(&mut diagnostics, &file.audit),
        log: logs::log(&mut diagnostics, &file.log),
        access_log: logs::access_log(&mut diagnostics, &file.access_log),
        listeners: listeners.into_iter().map(Arc::new).collect(),
        services: services.list.into_iter().filter_map(|service| service.meaning).map(Arc::new).collect(),
        dns: dns::dns(&mut diagnostics, file.dns.get()),
    };
    files::check(&mut diagnostics, file, &config, path);
    audit::check(&mut diagnostics, file, &config, path);
    cross::check(&mut diagnostics, file, &config);
    own_listener::check(&mut diagnostics, file, &config);
    Some(config)
}

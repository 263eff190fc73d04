//! `audit:`

use std::path::{Path, PathBuf};

use super::diagnostics::Diagnostics;
use super::files::{is_same, kind};
use crate::config::defaults;
use crate::config::model::{AuditCheckpoints, AuditFailurePolicy, AuditFile, Config};
use crate::config::named_files::NamedFiles;
use crate::config::schema;
use crate::config::spanned::{OffOr, ShorthandMap, Spanned};
use crate::config::tree::shorten;
use crate::config::units::SizeInBytes;

type TypedAudit = Spanned<OffOr<ShorthandMap<schema::Audit>>>;

pub(super) fn audit_file(diagnostics: &mut Diagnostics, audit: &TypedAudit) -> Option<AuditFile> {
    let (at, audit) = match audit.found()? {
        (at, OffOr::Value(audit)) => (at, &audit.0),
        (_, OffOr::Off) => return None,
    };
    let path = diagnostics.required(&audit.path, at, "path", "path: /var/log/standfast/audit.jsonl").cloned();
    diagnostics.names_written_file(&audit.path, true);
    let rotate = rotate(diagnostics, &audit.rotate);
    let keep = audit.keep.get().map_or(defaults::AUDIT_KEEP, |count| count.0 as usize);
    let on_error = match audit.on_error.get() {
        None => defaults::AUDIT_ON_ERROR,
        Some(schema::AuditFailurePolicy::Continue) => AuditFailurePolicy::Continue,
        Some(schema::AuditFailurePolicy::RefuseActs) => AuditFailurePolicy::RefuseActs,
    };
    let checkpoint = checkpoints(diagnostics, audit.checkpoint.get());
    Some(AuditFile { path: diagnostics.path(&path?), rotate, keep, on_error, checkpoint })
}

fn rotate(diagnostics: &mut Diagnostics, typed: &Spanned<SizeInBytes>) -> u64 {
    let Some((at, size)) = typed.found() else { return defaults::AUDIT_ROTATE };
    if size.0 < defaults::AUDIT_LEAST_ROTATE {
        let what = format!("files of {} bytes are too small", size.0);
        diagnostics.problem(at, what, "at least 1MiB; left out it is 64MiB");
    }
    size.0
}

fn checkpoints(diagnostics: &mut Diagnostics, typed: Option<&schema::AuditCheckpoints>) -> AuditCheckpoints {
    let none = schema::AuditCheckpoints::default();
    let typed = typed.unwrap_or(&none);
    let every = typed.every.get().map_or(defaults::AUDIT_CHECKPOINT_EVERY, |count| count.0);
    let (least, default) = (defaults::AUDIT_CHECKPOINT_LEAST_INTERVAL, defaults::AUDIT_CHECKPOINT_INTERVAL);
    let interval = diagnostics.at_least(&typed.interval, least, default);
    diagnostics.at_most_a_day(&typed.interval);
    if let Some(file) = diagnostics.named(&typed.key_file) {
        diagnostics.named.push(NamedFiles::CheckpointKey(file));
    }
    let key_file = typed.key_file.get().map(|path| diagnostics.path(path));
    AuditCheckpoints { every, interval, key_file }
}

/// It is added to and renamed: only a file of its own can be. `own`: the configuration's path.
pub(super) fn check(diagnostics: &mut Diagnostics, file: &schema::File, config: &Config, own: &Path) {
    let (Some(audit), Some(OffOr::Value(typed))) = (&config.audit, file.audit.get()) else { return };
    let Some((at, typed)) = typed.0.path.found() else { return };
    let shown = shorten(typed);
    if typed.ends_with('/') {
        return diagnostics.problem(at, format!("`{shown}` is a folder"), "write the path of a file in it");
    }
    let advice = "write the path of a file of its own, such as `/var/log/standfast/audit.jsonl`";
    if let Some(kind) = std::fs::symlink_metadata(&audit.path).ok().and_then(|found| kind(found.file_type())) {
        return diagnostics.problem(at, format!("`{shown}` is {kind}: the audit log cannot be kept there"), advice);
    }
    let others: [(&str, Option<PathBuf>); 5] = [
        ("the configuration itself", Some(own.to_owned())),
        ("the state file", config.state.as_ref().map(|state| state.path.clone())),
        ("the journal", config.journal.as_ref().map(|journal| journal.path.clone())),
        ("the access log", config.access_log.as_ref().and_then(|log| log.path.clone())),
        ("the key of its checkpoints", audit.checkpoint.key_file.clone()),
    ];
    let mut others = others.iter().filter_map(|(name, path)| Some((name, path.as_deref()?)));
    if let Some((other, _)) = others.find(|(_, other)| is_same(&audit.path, other)) {
        diagnostics.problem(at, format!("`{shown}` is {other}: the audit log would be mixed with it"), advice);
    }
}

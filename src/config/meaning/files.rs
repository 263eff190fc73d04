//! Files that we write: whether what stands at their paths can be one.

use std::fs::FileType;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::diagnostics::Diagnostics;
use crate::config::model::Config;
use crate::config::schema;
use crate::config::spanned::OffOr;
use crate::config::tree::{NodeId, shorten};

/// The state file and the access log. `path`: the configuration's own.
pub(super) fn check(diagnostics: &mut Diagnostics, file: &schema::File, config: &Config, path: &Path) {
    let log = config.access_log.as_ref().and_then(|log| log.path.as_deref());
    if let (Some(log), Some((at, typed))) = (log, access_log_place(file))
        && log.is_dir()
    {
        diagnostics.problem(at, format!("`{}` is a folder", shorten(typed)), "write the path of a file in it");
    }
    if let (Some(state), Some(place)) = (&config.state, state_place(file)) {
        check_state(diagnostics, place, &state.path, log, path);
    }
    check_journal(diagnostics, file, config, path);
}

/// The state file is written aside and renamed: only a file of its own can be replaced so.
fn check_state(
    diagnostics: &mut Diagnostics,
    (at, path): (NodeId, &String),
    state: &Path,
    log: Option<&Path>,
    config: &Path,
) {
    let typed = shorten(path);
    if path.ends_with('/') {
        return diagnostics.problem(at, format!("`{typed}` is a folder"), "write the path of a file in it");
    }
    if let Ok(found) = std::fs::metadata(state)
        && let Some(kind) = kind(found.file_type())
    {
        let what = format!("`{typed}` is {kind}: the state cannot be kept there");
        let sample =
            if found.is_dir() { format!("{typed}/state.json") } else { "/var/lib/standfast/state.json".into() };
        return diagnostics.problem(at, what, format!("write the path of a file of its own, such as `{sample}`"));
    }
    let other = match log {
        _ if is_same(state, config) => "the configuration itself",
        Some(log) if is_same(state, log) => "the access log",
        _ => return,
    };
    let what = format!("`{typed}` is {other}: the state would replace it");
    diagnostics.problem(at, what, "write the path of a file of its own, such as `/var/lib/standfast/state.json`");
}

/// The journal is begun again and again, and its older half stands beside it: both must be files of its own.
fn check_journal(diagnostics: &mut Diagnostics, file: &schema::File, config: &Config, own: &Path) {
    let Some(journal) = &config.journal else { return };
    // (Without a path of its own it stands beside the state file.)
    let beside_state = || state_place(file).map(|(at, typed)| (at, format!("{typed}.journal")));
    let typed = journal_place(file).map(|(at, typed)| (at, typed.clone()));
    let advice = match typed {
        Some(_) => "write the path of a file of its own, such as `/var/lib/standfast/journal`",
        None => "add `journal: /var/lib/standfast/journal`, or `journal: off`",
    };
    let Some((at, typed)) = typed.or_else(beside_state) else { return };
    let shown = shorten(&typed);
    if typed.ends_with('/') {
        return diagnostics.problem(at, format!("`{shown}` is a folder"), "write the path of a file in it");
    }
    if let Ok(found) = std::fs::metadata(&journal.path)
        && let Some(kind) = kind(found.file_type())
    {
        return diagnostics.problem(at, format!("`{shown}` is {kind}: the journal cannot be kept there"), advice);
    }
    let beside = |path: &Path, suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let mut others = vec![("the configuration itself", own.to_owned())];
    others.extend(config.access_log.iter().filter_map(|log| Some(("the access log", log.path.clone()?))));
    if let Some(state) = &config.state {
        others.push(("the state file", state.path.clone()));
        let written = ["previous", "new", "damaged"].map(|suffix| format!(".{suffix}"));
        others.extend(written.map(|suffix| ("a file beside the state file", beside(&state.path, &suffix))));
    }
    let mine = [journal.path.clone(), beside(&journal.path, ".previous")];
    if let Some((other, _)) = others.iter().find(|(_, other)| mine.iter().any(|mine| is_same(mine, other))) {
        diagnostics.problem(at, format!("`{shown}` is {other}: the journal would replace it"), advice);
    }
}

/// What is no file; `None` = it is one.
fn kind(found: FileType) -> Option<&'static str> {
    match found {
        _ if found.is_dir() => Some("a folder"),
        _ if found.is_fifo() => Some("a FIFO"),
        _ if found.is_socket() => Some("a socket"),
        _ if found.is_char_device() || found.is_block_device() => Some("a device"),
        _ => None,
    }
}

/// Do both paths lead to one file, be it there already or not.
fn is_same(one: &Path, other: &Path) -> bool {
    let inode = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let linked = inode(one).zip(inode(other)).is_some_and(|(one, other)| one == other);
    linked || resolved(one) == resolved(other)
}

/// The path without links and detours, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (parent.canonicalize(), path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => path.components().collect(),
    }
}

fn state_place(file: &schema::File) -> Option<(NodeId, &String)> {
    let OffOr::Value(state) = file.state.get()? else { return None };
    state.0.path.found()
}

fn journal_place(file: &schema::File) -> Option<(NodeId, &String)> {
    let OffOr::Value(journal) = file.journal.get()? else { return None };
    journal.0.path.found()
}

fn access_log_place(file: &schema::File) -> Option<(NodeId, &String)> {
    let OffOr::Value(log) = file.access_log.get()? else { return None };
    log.0.path.found()
}

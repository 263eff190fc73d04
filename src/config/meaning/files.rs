//! Files that we write: whether what stands at their paths can be one.

use std::fs::FileType;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::diagnostics::Diagnostics;
use crate::config::file_names::{DAMAGED, JOURNAL, NEW, PREVIOUS, beside};
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
        check_state(diagnostics, place, config, &state.path, path);
    }
    check_journal(diagnostics, file, config, path);
}

/// A file that is replaced as a whole: it must be one, and no other file of ours.
struct OwnFile<'a> {
    /// What is kept in it: `state`.
    content: &'static str,
    /// Its place in the configuration, and what is typed there.
    place: (NodeId, &'a str),
    /// Its path, and those beside it that are written too.
    paths: &'a [PathBuf],
    /// What to do when it cannot be this one.
    advice: String,
}

fn check_own(diagnostics: &mut Diagnostics, file: OwnFile<'_>, others: &[(&str, PathBuf)]) {
    let OwnFile { content, place: (at, typed), paths, advice } = file;
    let shown = shorten(typed);
    if typed.ends_with('/') {
        return diagnostics.problem(at, format!("`{shown}` is a folder"), "write the path of a file in it");
    }
    let found = paths.first().and_then(|path| std::fs::metadata(path).ok());
    if let Some(kind) = found.and_then(|found| kind(found.file_type())) {
        return diagnostics.problem(at, format!("`{shown}` is {kind}: the {content} cannot be kept there"), advice);
    }
    if let Some((other, _)) = others.iter().find(|(_, other)| paths.iter().any(|path| is_same(path, other))) {
        diagnostics.problem(at, format!("`{shown}` is {other}: the {content} would replace it"), advice);
    }
}

/// The configuration, and the access log.
fn other_files(config: &Config, own: &Path) -> Vec<(&'static str, PathBuf)> {
    let log = config.access_log.as_ref().and_then(|log| log.path.clone());
    let log = log.map(|log| ("the access log", log));
    [("the configuration itself", own.to_owned())].into_iter().chain(log).collect()
}

/// The state file is written aside and renamed: only a file of its own can be replaced so.
fn check_state(diagnostics: &mut Diagnostics, place: (NodeId, &str), config: &Config, state: &Path, own: &Path) {
    let folder = if state.is_dir() { shorten(place.1) } else { "/var/lib/standfast".into() };
    let advice = format!("write the path of a file of its own, such as `{folder}/state.json`");
    let file = OwnFile { content: "state", place, paths: &[state.to_owned()], advice };
    check_own(diagnostics, file, &other_files(config, own));
}

/// The journal is begun again and again, and its older half stands beside it: both must be files of its own.
fn check_journal(diagnostics: &mut Diagnostics, file: &schema::File, config: &Config, own: &Path) {
    let Some(journal) = &config.journal else { return };
    // (Without a path of its own it stands beside the state file.)
    let beside_state = || state_place(file).map(|(at, typed)| (at, format!("{typed}{JOURNAL}")));
    let typed = journal_place(file).map(|(at, typed)| (at, typed.to_owned()));
    let advice = match typed {
        Some(_) => "write the path of a file of its own, such as `/var/lib/standfast/journal`",
        None => "add `journal: /var/lib/standfast/journal`, or `journal: off`",
    };
    let Some((at, typed)) = typed.or_else(beside_state) else { return };
    let mut others = other_files(config, own);
    if let Some(state) = &config.state {
        others.push(("the state file", state.path.clone()));
        let written = [PREVIOUS, NEW, DAMAGED].map(|suffix| beside(&state.path, suffix));
        others.extend(written.map(|path| ("a file beside the state file", path)));
    }
    let paths = &[journal.path.clone(), beside(&journal.path, PREVIOUS)];
    let file = OwnFile { content: "journal", place: (at, &typed), paths, advice: advice.to_owned() };
    check_own(diagnostics, file, &others);
}

/// What is no file; `None` = it is one.
pub(super) fn kind(found: FileType) -> Option<&'static str> {
    match found {
        _ if found.is_dir() => Some("a folder"),
        _ if found.is_fifo() => Some("a FIFO"),
        _ if found.is_socket() => Some("a socket"),
        _ if found.is_char_device() || found.is_block_device() => Some("a device"),
        _ => None,
    }
}

/// Do both paths lead to one file, be it there already or not.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
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

fn state_place(file: &schema::File) -> Option<(NodeId, &str)> {
    let OffOr::Value(state) = file.state.get()? else { return None };
    state.0.path.found().map(|(at, typed)| (at, &**typed))
}

fn journal_place(file: &schema::File) -> Option<(NodeId, &str)> {
    let OffOr::Value(journal) = file.journal.get()? else { return None };
    journal.0.path.found().map(|(at, typed)| (at, &**typed))
}

fn access_log_place(file: &schema::File) -> Option<(NodeId, &str)> {
    let OffOr::Value(log) = file.access_log.get()? else { return None };
    log.0.path.found().map(|(at, typed)| (at, &**typed))
}

//! `journal:`

use super::diagnostics::Diagnostics;
use crate::config::defaults;
use crate::config::file_names::{JOURNAL, beside};
use crate::config::model::{JournalFile, StateFile};
use crate::config::schema;
use crate::config::spanned::{OffOr, ShorthandMap, Spanned};
use crate::config::units::SizeInBytes;

/// It stands beside the state file, unless it is off or somewhere else.
pub(super) fn journal_file(
    diagnostics: &mut Diagnostics,
    journal: &Spanned<OffOr<ShorthandMap<schema::Journal>>>,
    state: Option<&StateFile>,
) -> Option<JournalFile> {
    let Some((at, typed)) = journal.found() else {
        // (What is typed and bad is told, and no reason to begin one.)
        let state = state.filter(|_| journal.at().is_none())?;
        return Some(JournalFile { path: beside(&state.path, JOURNAL), max_bytes: defaults::JOURNAL_MAX_BYTES });
    };
    let typed = match typed {
        OffOr::Value(typed) => &typed.0,
        OffOr::Off => return None,
    };
    let max_bytes = max_bytes(diagnostics, &typed.max_bytes);
    let path = match (typed.path.at(), state) {
        (None, Some(state)) => beside(&state.path, JOURNAL),
        _ => {
            let path = diagnostics.required(&typed.path, at, "path", "path: /var/lib/standfast/journal")?;
            diagnostics.base_dir.join(path)
        }
    };
    diagnostics.names_written_file(&typed.path, false);
    Some(JournalFile { path, max_bytes })
}

fn max_bytes(diagnostics: &mut Diagnostics, typed: &Spanned<SizeInBytes>) -> u64 {
    let Some((at, size)) = typed.found() else { return defaults::JOURNAL_MAX_BYTES };
    if size.0 < defaults::JOURNAL_LEAST_BYTES {
        let what = format!("a journal of {} bytes is too small", size.0);
        diagnostics.problem(at, what, "at least 1MiB; left out it is 64MiB; `journal: off` is none");
    }
    size.0
}

//! `state:`

use super::diagnostics::Diagnostics;
use crate::config::defaults;
use crate::config::model::StateFile;
use crate::config::schema;
use crate::config::spanned::{OffOr, ShorthandMap, Spanned};

pub(super) fn state_file(
    diagnostics: &mut Diagnostics,
    state: &Spanned<OffOr<ShorthandMap<schema::State>>>,
) -> Option<StateFile> {
    let (at, state) = match state.found()? {
        (at, OffOr::Value(state)) => (at, &state.0),
        (_, OffOr::Off) => return None,
    };
    let path = diagnostics.required(&state.path, at, "path", "path: /var/lib/standfast/state.json")?;
    diagnostics.names_written_file(&state.path, false);
    let max_age = diagnostics.wait(&state.max_age, defaults::STATE_MAX_AGE);
    Some(StateFile { path: diagnostics.base_dir.join(path), max_age })
}

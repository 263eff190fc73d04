//! `state:`

use super::diagnostics::Room;
use crate::config::defaults;
use crate::config::item::{Item, Short, Switch};
use crate::config::model::StateFile;
use crate::config::schema;

pub(super) fn state_file(room: &mut Room, state: &Item<Switch<Short<schema::State>>>) -> Option<StateFile> {
    let (at, state) = match state.found()? {
        (at, Switch::On(state)) => (at, &state.0),
        (_, Switch::Off) => return None,
    };
    let path = room.required(&state.path, at, "path", "path: /var/lib/standfast/state.json")?;
    room.written(&state.path, false);
    let max_age = room.wait(&state.max_age, defaults::STATE_MAX_AGE);
    Some(StateFile { path: room.base_dir.join(path), max_age })
}

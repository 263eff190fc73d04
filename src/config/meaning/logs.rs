//! `log:` and `access_log:`

use super::diagnostics::Room;
use crate::config::defaults;
use crate::config::item::{Item, Short, Switch};
use crate::config::log_filter;
use crate::config::model::{AccessFormat, AccessLog, Log, LogFormat};
use crate::config::schema;

pub(super) fn log(room: &mut Room, log: &Item<Short<schema::Log>>) -> Log {
    let empty = schema::Log::default();
    let log = log.get().map_or(&empty, |log| &log.0);
    let filter = log.filter.found().and_then(|(at, filter)| match log_filter::understand(filter) {
        Ok(filter) => Some(filter),
        Err((what, advice)) => {
            room.problem(at, what, advice);
            None
        }
    });
    Log {
        filter: filter.unwrap_or_else(|| defaults::LOG_FILTER.into()),
        format: match log.format.get() {
            None => defaults::LOG_FORMAT,
            Some(schema::LogFormat::Auto) => LogFormat::Auto,
            Some(schema::LogFormat::Human) => LogFormat::Human,
            Some(schema::LogFormat::Json) => LogFormat::Json,
        },
    }
}

pub(super) fn access_log(room: &mut Room, log: &Item<Switch<Short<schema::AccessLog>>>) -> Option<AccessLog> {
    let Switch::On(log) = log.get()? else { return None };
    let log = &log.0;
    room.written(&log.path, true);
    let format = match log.format.get() {
        None => defaults::ACCESS_FORMAT,
        Some(schema::AccessFormat::Json) => AccessFormat::Json,
        Some(schema::AccessFormat::Common) => AccessFormat::Common,
        Some(schema::AccessFormat::Combined) => AccessFormat::Combined,
    };
    Some(AccessLog { path: log.path.get().map(|path| room.base_dir.join(path)), format })
}

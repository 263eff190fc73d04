//! `log:` and `access_log:`

use super::diagnostics::Diagnostics;
use crate::config::defaults;
use crate::config::log_filter;
use crate::config::model::{AccessFormat, AccessLog, Log, LogFormat};
use crate::config::schema;
use crate::config::spanned::{OffOr, ShorthandMap, Spanned};

pub(super) fn log(diagnostics: &mut Diagnostics, log: &Spanned<ShorthandMap<schema::Log>>) -> Log {
    let empty = schema::Log::default();
    let log = log.get().map_or(&empty, |log| &log.0);
    let filter = log.filter.found().and_then(|(at, filter)| match log_filter::understand(filter) {
        Ok(filter) => Some(filter),
        Err((what, advice)) => {
            diagnostics.problem(at, what, advice);
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

pub(super) fn access_log(
    diagnostics: &mut Diagnostics,
    log: &Spanned<OffOr<ShorthandMap<schema::AccessLog>>>,
) -> Option<AccessLog> {
    let OffOr::Value(log) = log.get()? else { return None };
    let log = &log.0;
    diagnostics.names_written_file(&log.path, true);
    let format = match log.format.get() {
        None => defaults::ACCESS_FORMAT,
        Some(schema::AccessFormat::Json) => AccessFormat::Json,
        Some(schema::AccessFormat::Common) => AccessFormat::Common,
        Some(schema::AccessFormat::Combined) => AccessFormat::Combined,
    };
    Some(AccessLog { path: log.path.get().map(|path| diagnostics.base_dir.join(path)), format })
}

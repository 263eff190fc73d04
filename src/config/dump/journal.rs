//! `journal:`

use serde_yaml::Value;

use super::written::path;
use crate::config::model::JournalFile;

pub(super) fn journal(journal: Option<&JournalFile>) -> Value {
    match journal {
        Some(journal) => map! { "path" => path(&journal.path), "max_bytes" => journal.max_bytes },
        None => "off".into(),
    }
}

//! `audit:`

use serde_yaml::Value;

use super::written::{path, word};
use crate::config::model::AuditFile;

pub(super) fn audit(audit: Option<&AuditFile>) -> Option<Value> {
    let audit = audit?;
    let checkpoint = &audit.checkpoint;
    Some(map! {
        "path" => path(&audit.path),
        "rotate" => audit.rotate,
        "keep" => audit.keep,
        "on_error" => word(&audit.on_error),
        "checkpoint" => map! {
            "every" => checkpoint.every,
            "interval" => checkpoint.interval,
            "key_file" => checkpoint.key_file.as_deref().map(path),
        },
    })
}

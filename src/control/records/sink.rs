//! [`RecordSink`]: what takes every record.

use std::sync::Arc;

use super::record::ChangeRecord;

/// Takes every record, in their order, in the engine's turn and after the publish: it must not block.
pub(in crate::control) trait RecordSink {
    /// The next record.
    fn take(&mut self, record: &Arc<ChangeRecord>);
}

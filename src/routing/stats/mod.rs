//! Counters beside the table: written by workers without locks, read by the control plane, kept while the configuration
//! still names their endpoint or service.

/// One endpoint's atomics.
#[derive(Debug, Default)]
pub struct EndpointStats {}

/// One service's atomics.
#[derive(Debug, Default)]
pub struct ServiceStats {}

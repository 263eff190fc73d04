//! An item of `endpoints:`

use crate::config::model::Family;

/// A host with both families is one endpoint, not two that fall together.
pub const FAMILY: Family = Family::Auto;
/// Endpoints and pools are equal unless said otherwise.
pub const WEIGHT: u32 = 1;

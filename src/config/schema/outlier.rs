//! `outlier_detection:`

use crate::config::spanned::{OffOr, OneOrMany};
use crate::config::units::{FractionOfOne, RangedCount, TypedDuration};

map! { /// `outlier_detection:`
OutlierDetection {
    consecutive_failures: RangedCount<1, 10_000>,
    failure_rate: OffOr<FractionOfOne>,
    min_requests: RangedCount<1, 1_000_000>,
    base_ejection: TypedDuration,
    max_ejection: TypedDuration,
    max_ejected: FractionOfOne,
    evidence: EvidenceRule,
    failures: OneOrMany<String>,
}}

words! { /// `outlier_detection.evidence`
EvidenceRule { Corroborated, Any, }}

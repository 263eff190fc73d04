//! `outlier_detection:`

use crate::config::item::{Many, Switch};
use crate::config::units::{Count, Share, Time};

map! { /// `outlier_detection:`
OutlierDetection {
    consecutive_failures: Count<1, 10_000>,
    failure_rate: Switch<Share>,
    min_requests: Count<1, 1_000_000>,
    base_ejection: Time,
    max_ejection: Time,
    max_ejected: Share,
    evidence: EvidenceRule,
    failures: Many<String>,
}}

words! { /// `outlier_detection.evidence`
EvidenceRule { Corroborated, Any, }}

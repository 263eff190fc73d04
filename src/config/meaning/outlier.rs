//! `outlier_detection:`. A pool's own keys are laid over its service's, key by key.

use super::diagnostics::Diagnostics;
use crate::config::defaults;
use crate::config::model::{EvidenceRule, Failures, OutlierDetection};
use crate::config::schema;
use crate::config::spanned::{OffOr, OneOrMany, Spanned};
use crate::config::tree::shorten;
use crate::config::units::{error_statuses, merged, write_time};

/// `outlier_detection:` of a service (over the defaults) or of a pool (over its service's).
pub(super) fn outlier_detection(
    diagnostics: &mut Diagnostics,
    item: &Spanned<OffOr<schema::OutlierDetection>>,
    over: Option<&OutlierDetection>,
) -> Option<OutlierDetection> {
    let typed = match item.found() {
        None => return over.cloned(),
        Some((_, OffOr::Off)) => return None,
        Some((_, OffOr::Value(typed))) => typed,
    };
    let base = over.cloned().unwrap_or_else(outlier_defaults);
    let failure_rate = match typed.failure_rate.found() {
        None => base.failure_rate,
        Some((_, OffOr::Off)) => None,
        Some((at, OffOr::Value(share))) => {
            if share.0 <= 0.0 {
                diagnostics.problem(at, "a rate of 0 would eject for nothing", "write one such as `50%`, or `off`");
            }
            Some(share.0)
        }
    };
    let rule = OutlierDetection {
        consecutive_failures: typed.consecutive_failures.get().map_or(base.consecutive_failures, |n| n.0 as u32),
        failure_rate,
        min_requests: typed.min_requests.get().map_or(base.min_requests, |n| n.0 as u32),
        base_ejection: diagnostics.wait(&typed.base_ejection, base.base_ejection),
        max_ejection: diagnostics.wait(&typed.max_ejection, base.max_ejection),
        max_ejected: typed.max_ejected.get().map_or(base.max_ejected, |share| share.0),
        evidence: match typed.evidence.get() {
            None => base.evidence,
            Some(schema::EvidenceRule::Corroborated) => EvidenceRule::Corroborated,
            Some(schema::EvidenceRule::Any) => EvidenceRule::Any,
        },
        failures: typed.failures.get().map_or(base.failures, |list| failures(diagnostics, list)),
    };
    if rule.max_ejection < rule.base_ejection
        && let Some(at) = typed.max_ejection.at().or(typed.base_ejection.at())
    {
        let (max, base) = (write_time(rule.max_ejection), write_time(rule.base_ejection));
        diagnostics.problem(
            at,
            format!("max_ejection {max} is shorter than base_ejection {base}"),
            "the first ejection must fit",
        );
    }
    Some(rule)
}

/// `outlier_detection.failures`.
fn failures(diagnostics: &mut Diagnostics, list: &OneOrMany<String>) -> Failures {
    let mut failures = Failures { reset: false, timeout: false, malformed: false, cut: false, statuses: Vec::new() };
    for (at, text) in list.0.iter().filter_map(Spanned::found) {
        match text.as_str() {
            "reset" => failures.reset = true,
            "timeout" => failures.timeout = true,
            "malformed" => failures.malformed = true,
            "cut" => failures.cut = true,
            _ => match error_statuses(text) {
                Some(range) => failures.statuses.push(range),
                None => {
                    let what = format!("`{}` is not an outcome that can be a failure", shorten(text));
                    let known =
                        "known here: `reset`, `timeout`, `malformed`, `cut`, and statuses such as `500` or `502-504`";
                    diagnostics.problem(at, what, known);
                }
            },
        }
    }
    failures.statuses = merged(failures.statuses);
    failures
}

/// What holds when nothing is typed.
pub(super) fn outlier_defaults() -> OutlierDetection {
    OutlierDetection {
        consecutive_failures: defaults::CONSECUTIVE_FAILURES,
        failure_rate: defaults::FAILURE_RATE,
        min_requests: defaults::MIN_REQUESTS,
        base_ejection: defaults::BASE_EJECTION,
        max_ejection: defaults::MAX_EJECTION,
        max_ejected: defaults::MAX_EJECTED,
        evidence: EvidenceRule::default(),
        failures: Failures::default(),
    }
}

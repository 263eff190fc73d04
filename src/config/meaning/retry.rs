//! `retry:`

use std::time::Duration;

use super::diagnostics::Diagnostics;
use crate::config::defaults;
use crate::config::model::{CrossPool, Protocol, Retry, RetryOn};
use crate::config::schema;
use crate::config::spanned::{OffOr, OneOrMany, Spanned};
use crate::config::tree::shorten;
use crate::config::units::{error_statuses, merged};

pub(super) fn retry(
    diagnostics: &mut Diagnostics,
    item: &Spanned<schema::Retry>,
    protocol: Protocol,
    response: Duration,
) -> Retry {
    if let (Protocol::Tcp, Some(at)) = (protocol, item.at()) {
        let advice = "leave it out: connects that carried no byte go on to the next endpoint anyway";
        diagnostics.warning(at, "`retry` has no effect on a tcp service", advice);
    }
    let typed = item.get().filter(|_| protocol == Protocol::Http).cloned().unwrap_or_default();
    let per_try_timeout = match typed.per_try_timeout.found() {
        None | Some((_, OffOr::Off)) => None,
        Some((at, OffOr::Value(time))) => {
            if time.0 < Duration::from_millis(1) {
                diagnostics.problem(at, "no try could ever succeed", "at least 1ms; left out it is off");
            } else {
                diagnostics.before(at, "per_try_timeout", time.0, ("timeouts.response", response));
            }
            Some(time.0)
        }
    };
    let end = match per_try_timeout {
        Some(time) if time < response => ("per_try_timeout", time),
        _ => ("timeouts.response", response),
    };
    Retry {
        attempts: typed.attempts.get().map_or(defaults::ATTEMPTS, |n| n.0 as u32),
        on: typed.on.get().map_or_else(RetryOn::default, |list| retry_on(diagnostics, list)),
        per_try_timeout,
        budget: typed.budget.get().map_or(defaults::BUDGET, |share| share.0),
        cross_pool: match typed.cross_pool.get() {
            None => defaults::cross_pool(protocol),
            Some(schema::CrossPool::Safe) => CrossPool::Safe,
            Some(schema::CrossPool::Idempotent) => CrossPool::Idempotent,
            Some(schema::CrossPool::Never) => CrossPool::Never,
        },
        replay_bytes: bytes(diagnostics, &typed.replay_bytes, defaults::REPLAY_BYTES),
        hedge: diagnostics.patience(&typed.hedge, "hedge", end, protocol),
    }
}

/// `retry.on`.
fn retry_on(diagnostics: &mut Diagnostics, list: &OneOrMany<String>) -> RetryOn {
    let mut on = RetryOn { reset: false, timeout: false, statuses: Vec::new() };
    for (at, text) in list.0.iter().filter_map(Spanned::found) {
        match (text.as_str(), error_statuses(text)) {
            ("reset", _) => on.reset = true,
            ("timeout", _) => on.timeout = true,
            (_, Some(range)) => on.statuses.push(range),
            _ => {
                let what = format!("`{}` is not an outcome to try again on", shorten(text));
                let known = "known here: `reset`, `timeout`, and statuses from 400 to 599, alone or as `502-504`";
                diagnostics.problem(at, what, known);
            }
        }
    }
    on.statuses = merged(on.statuses);
    on
}

/// A buffer's size: bounded, because every request in flight may hold one.
pub(super) fn bytes(
    diagnostics: &mut Diagnostics,
    item: &Spanned<crate::config::units::SizeInBytes>,
    default: usize,
) -> usize {
    const LARGEST: u64 = 16 << 20;
    match item.found() {
        Some((at, bytes)) if bytes.0 > LARGEST => {
            diagnostics.problem(
                at,
                format!("{} bytes are too many: each request may hold them", bytes.0),
                "at most 16MiB",
            );
            default
        }
        Some((_, bytes)) => bytes.0 as usize,
        None => default,
    }
}

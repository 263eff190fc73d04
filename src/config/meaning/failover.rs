//! `failover:`

use std::time::Duration;

use super::diagnostics::Diagnostics;
use crate::config::defaults;
use crate::config::model::{Failback, FailbackMode, Failover, MaxFailovers, OnAllDown, OnRefused, Sessions};
use crate::config::schema;
use crate::config::spanned::Spanned;

pub(super) fn failover(
    diagnostics: &mut Diagnostics,
    item: &Spanned<schema::Failover>,
    drain_timeout: Duration,
) -> Failover {
    let typed = item.get().cloned().unwrap_or_default();
    let max = typed.max_failovers.get().cloned().unwrap_or_default();
    let failover = Failover {
        min_healthy: typed.min_healthy.get().map_or(defaults::MIN_HEALTHY, |n| n.0 as usize),
        on_refused: match typed.on_refused.get() {
            None => defaults::ON_REFUSED,
            Some(schema::OnRefused::Verdict) => OnRefused::Verdict,
            Some(schema::OnRefused::Checks) => OnRefused::Checks,
        },
        on_all_down: match typed.on_all_down.get() {
            None => defaults::ON_ALL_DOWN,
            Some(schema::OnAllDown::FailOpen) => OnAllDown::FailOpen,
            Some(schema::OnAllDown::FailClosed) => OnAllDown::FailClosed,
        },
        sessions: match typed.sessions.get() {
            None => defaults::SESSIONS,
            Some(schema::Sessions::Drain) => Sessions::Drain,
            Some(schema::Sessions::Close) => Sessions::Close,
        },
        drain_timeout: diagnostics.time(&typed.drain_timeout, drain_timeout),
        max_failovers: MaxFailovers {
            count: max.count.get().map_or(defaults::MAX_FAILOVERS, |n| n.0 as u32),
            per: diagnostics.wait(&max.per, defaults::MAX_FAILOVERS_PER),
        },
        failback: failback(diagnostics, &typed.failback),
        damping: diagnostics.time_or_off(&typed.damping, defaults::DAMPING),
        confirm_window: diagnostics.time_or_off(&typed.confirm_window, defaults::CONFIRM_WINDOW),
        following: None,
        leader: None,
        fence: None,
        reads: None,
    };
    let (max, window) = (&failover.max_failovers, failover.confirm_window);
    if let Some(at) = typed.confirm_window.at()
        && window.saturating_mul(max.count.saturating_add(1)) >= max.per
    {
        let what = "`max_failovers` never freezes: switches within confirm_window of an outage belong to it";
        diagnostics.warning(at, what, "make confirm_window shorter, or the time of max_failovers longer");
    }
    failover
}

fn failback(
    diagnostics: &mut Diagnostics,
    item: &Spanned<crate::config::spanned::ShorthandMap<schema::Failback>>,
) -> Failback {
    let typed = item.get().map(|typed| typed.0.clone()).unwrap_or_default();
    let mode = match typed.mode.found() {
        None => defaults::FAILBACK_MODE,
        Some((_, schema::FailbackMode::Auto)) => FailbackMode::Auto,
        Some((_, schema::FailbackMode::Manual)) => FailbackMode::Manual,
        Some((at, mode)) => {
            let word = if *mode == schema::FailbackMode::Window { "`window`" } else { "`ramp`" };
            diagnostics.not_supported(at, word, "`auto` and `manual` are");
            FailbackMode::Manual
        }
    };
    Failback { mode, hold_down: diagnostics.time(&typed.hold_down, defaults::HOLD_DOWN) }
}

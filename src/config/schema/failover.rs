//! `failover:`

use crate::config::item::{Later, Short, Switch};
use crate::config::units::{Count, Time};

map! { /// `failover:`
Failover {
    min_healthy: Count<1, 10_000>,
    on_refused: OnRefused,
    on_all_down: OnAllDown,
    sessions: Sessions,
    drain_timeout: Time,
    max_failovers: MaxFailovers,
    failback: Short<Failback>,
    damping: Switch<Time>,
    confirm_window: Switch<Time>,
    on_multiple_primaries: Later,
    lease: Later,
    promote: Later,
}}

words! { /// `failover.on_refused`
OnRefused { Verdict, Checks, }}

words! { /// `failover.on_all_down`
OnAllDown { FailOpen, FailClosed, }}

words! { /// `failover.sessions`
Sessions { Drain, Close, }}

map! { /// `failover.max_failovers`
MaxFailovers {
    count: Count<1, 1000>,
    per: Time,
}}

map! { /// `failover.failback`
Failback = "mode" {
    mode: FailbackMode,
    hold_down: Time,
    window: Later,
    ramp: Later,
}}

words! { /// `failover.failback.mode`
FailbackMode { Auto, Manual, Window, Ramp, }}

//! `failover:`

use super::webhook::Webhook;
use crate::config::spanned::{OffOr, ReservedKey, ShorthandMap, Spanned};
use crate::config::units::{OnOff, RangedCount, TypedDuration};

map! { /// `failover:`
Failover {
    min_healthy: RangedCount<1, 10_000>,
    on_refused: OnRefused,
    on_all_down: OnAllDown,
    sessions: Sessions,
    drain_timeout: TypedDuration,
    max_failovers: MaxFailovers,
    failback: ShorthandMap<Failback>,
    damping: OffOr<TypedDuration>,
    confirm_window: OffOr<TypedDuration>,
    on_multiple_primaries: OnMultiplePrimaries,
    fence_after: OffOr<TypedDuration>,
    follow: String,
    votes: OnOff,
    on_rpo_exceeded: OnRpoExceeded,
    rpo_patience: OffOr<TypedDuration>,
    fence: FenceHook,
    fallback: ReadFallback,
    lease: ReservedKey,
    promote: ReservedKey,
}}

words! { /// `failover.on_refused`
OnRefused { Verdict, Checks, }}

words! { /// `failover.on_all_down`
OnAllDown { FailOpen, FailClosed, }}

words! { /// `failover.on_multiple_primaries`
OnMultiplePrimaries { Freeze, Close, }}

words! { /// `failover.on_rpo_exceeded`
OnRpoExceeded { Follow, Hold, }}

map! { /// `failover.fence`
FenceHook {
    exec: Vec<Spanned<String>>,
    webhook: ShorthandMap<Webhook>,
    timeout: TypedDuration,
    on_failure: OnFenceFailure,
}}

words! { /// `failover.fence.on_failure`
OnFenceFailure { GoOn, Wait, }}

words! { /// `failover.fallback`
ReadFallback { Primary, Refuse, }}

words! { /// `failover.sessions`
Sessions { Drain, Close, }}

map! { /// `failover.max_failovers`
MaxFailovers {
    count: RangedCount<1, 1000>,
    per: TypedDuration,
}}

map! { /// `failover.failback`
Failback = "mode" {
    mode: FailbackMode,
    hold_down: TypedDuration,
    window: ReservedKey,
    ramp: ReservedKey,
}}

words! { /// `failover.failback.mode`
FailbackMode { Auto, Manual, Window, Ramp, }}

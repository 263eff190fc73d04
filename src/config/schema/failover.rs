//! `failover:`

use crate::config::spanned::{OffOr, ReservedKey, ShorthandMap};
use crate::config::units::{RangedCount, TypedDuration};

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

//! Chapter 8: the failover machine of one service: first choice, failover, rollback, recovery, failback, and what
//! holds them back.
//!
//! Users read `config/guides/failover.md`. The code is `decision/failover.rs` for `active_passive`,
//! `decision/active_active.rs` for `active_active`, `decision/gating.rs` and `transition.rs` for switches that wait, and
//! `decision/isolation.rs`, `freeze.rs`, `hold_down.rs`, `pool.rs` beside them.
//!
//! # One decision
//!
//! `Service::decide_active` runs at the end of every turn. The first line that applies decides:
//!
//! | state | decision |
//! |---|---|
//! | no pool chosen yet | [first choice](#first-choice) |
//! | the pool was left on evidence that turned out wrong, less than `confirm_window` ago | rollback to it |
//! | pinned | stay; a condition is open while the pool is not available |
//! | a page serves, no operator wanted it, and a pool with endpoints is available | recovery to it, at once |
//! | the active pool is available | stay; failback if a better one is due |
//! | this host is likelier cut off than the pool is gone | stay ([isolation](#isolation)) |
//! | the active pool is not available | leave it |
//! | no pool serves | recovery to the first that can |
//!
//! # Leaving
//!
//! `Service::leave`, in order:
//!
//! 1. **Rollback**, if the last switch was no rollback and at most `confirm_window` ago, the pool before it is
//!    available and not a page, and the service is not frozen. It follows any kind of switch: a failback into a pool
//!    that fails at once is rolled back too. It happens once, because the next one would be a swing.
//! 2. **Failover** to the first available pool in order of priority. A page comes last, wherever it stands in the
//!    list.
//! 3. **Last resort**: `fail_open` ([all down](#all-down)), or no pool.
//!
//! A rollback freezes nothing by itself. It counts as the same outage as the failover that it undoes, because it comes
//! within `confirm_window`.
//!
//! A forced switch is a `failover`, `rollback` or `recovery`
//! ([`SwitchKind::is_forced`](crate::decision::SwitchKind::is_forced)). A pool whose weights a reload sets to 0, or
//! that a reload removes, is left by a `switchover` of Standfast's own: it is an order and no fault.
//!
//! # The times of an incident
//!
//! - *fault*: the first sign of trouble at the endpoint that made the pool one too few. Signs less than 10 s before it
//!   belong to the same fault; an endpoint that had been dead for long does not (`decision/timeline.rs`).
//! - *detected*: the first endpoint's standing fell. *decided*: the switch. *answered*: the first good answer.
//!
//! An outage goes on over several switches: if the last forced switch has had no good answer, and is within
//! `confirm_window` (or led to no pool), the next one takes over its fault time. The same holds when a page serves. It
//! does not, if a probe found the pool well in between (`Endpoint::proven`): then the service was there, and no client
//! asked. A probe that passes while requests are outstanding proves nothing about them, and is not taken
//! (`note_unanswered`).
//!
//! # First choice
//!
//! A service chooses its first pool when one is available and all better ones are given up. It is no switch and no
//! incident.
//!
//! | `failback` | a better pool is given up |
//! |---|---|
//! | `auto` | after `fall` failed probes, or after one when 900 ms are over. A wrong choice costs one failback, and requests wait 1 s |
//! | `manual` | after `fall` failed probes: only an operator could correct a wrong choice |
//!
//! When the first round of probes has had its time (the longest check timeout and half a second, and the time in the
//! table), the choice is made with what is known.
//!
//! After a restart with state, the pool that was active is waited for under the second rule, whatever the mode. A pool
//! that was only late for the first choice has never served, so nothing is held down for it.
//!
//! # Failback
//!
//! `auto`: the best better pool that is available and whose hold-down is over. Not while pinned, frozen, or after an
//! ordered switchover.
//!
//! - The hold-down counts from the time at which the pool has had `min_healthy` endpoints that are usable, or only
//!   wait for trials (`Pool::observe`). A probe that fails restarts it, even if the endpoint does not fall.
//! - **Relapse**: forced away within `damping` of a failback doubles it, three times at most. Forced away later resets
//!   it.
//! - **Rhythm**: a pool that fell twice within `damping` must be well for twice the longest interval between such
//!   falls, at most 8 × `hold_down` and `damping`. A fault that repeats every two minutes outlives a hold-down of one:
//!   this rule finds the period without a key for it.
//! - Ejected endpoints of that pool get their trials as the last step before.
//!
//! Failback is one atomic switch like any other. No connections are opened ahead, and no traffic is shared as a ramp.
//!
//! # Freeze
//!
//! `max_failovers` counts **outages**. One begins when a pool with endpoints is left by force and the last outage
//! began more than `confirm_window` ago. It counts only if another pool with endpoints exists. Not counted: a recovery
//! from a page or from no pool (that outage has begun already), and the undoing of a switch on wrong evidence.
//!
//! More than `count` outages within `per` freeze failback, rollback and trials ahead of a failback, until the window
//! has room. A forced failover away from a pool that cannot serve still happens: staying would be the greater fault. A
//! freeze keeps a service that oscillates in one place until a person has looked at it, or until it has been quiet.
//!
//! # Pages
//!
//! A page is a pool that never fails, and it is no service. So it never ranks above endpoints, it does not count as
//! relief for ejections, and its outage goes on. While it serves, one good probe or one good trial is proof enough,
//! and the switch to endpoints is a `recovery`, without hold-down. An operator's order or pin to a page is respected.
//!
//! # All down
//!
//! With `fail_open`, pools with some usable endpoints (fewer than `min_healthy`) come first, then pools whose
//! endpoints fail *only their checks*, whose last exchange was good and which do not refuse. Among equals the present
//! one stays. The reason: a health page breaks more often than every server behind it at once. The state is
//! `failing_open`, and the condition `all_down` is open.
//!
//! With `fail_closed`, or when no endpoint is left: `Serving::Down`. With `fail_open` every endpoint in use then gets
//! one live request per 100 ms as a trial. Requests wait for `hold_requests`, or get 503.
//!
//! A page is available always, so with a page neither happens.
//!
//! # Isolation
//!
//! When all pools become unreachable at the same time, the likely cause is this host. Then there is no switch: it
//! would only move the service, and come back later with a hold-down.
//!
//! `decision/reach.rs` keeps for each endpoint when something last came from it (a refusal counts: packets came back)
//! and since when nothing does. `decision/isolation.rs` compares pools:
//!
//! | the other pools | verdict |
//! |---|---|
//! | one was heard since, or was lost at another time, or there is no other | apart: the pool is left |
//! | lost within one detection time of each other | lost: the pool is kept |
//! | not asked since | unknown: they are asked at once; the pool is kept for up to 1 s if it was lost at once |
//!
//! "Lost at once" means host unreachable or no route, not a timeout: then others may be lost too, without knowing yet.
//! While isolated, a pool whose probes pass again is waited for, so that the first packet after the return is no
//! switch. The condition is `isolated`.
//!
//! # active_active
//!
//! Pools share by weight. A pool that is not available loses its share: each loss is a forced switch with its
//! incident. It comes back by the rules of failback: hold-down, relapse, rhythm, freeze, `manual`. If no pool with a
//! share is available, any available pool with a weight serves, even during its hold-down; then pools of weight 0 and
//! pages; then the last resort. A pin gives everything to one pool. A switchover is refused: it has no meaning here.
//!
//! # Transitions
//!
//! Deciding yields an intended switch, and `Service::take` is the one place that takes it. In between are its *gates*:
//! conditions outside the decision, such as the grant of a hook. Without gates the switch is taken in the turn that
//! intends it. No key of the configuration asks for gates yet;
//! [`Decision::with_gates`](crate::decision::Decision::with_gates) does. A switch to a page or to no pool has none: it
//! makes no second writer. Nor have the shares of `active_active`, nor the first choice, which is no switch.
//!
//! A switch with gates waits as a *transition* (`decision/transition.rs`; the rules are in `decision/gating.rs`). The
//! service stays as it is meanwhile, and the decision is made again in every turn:
//!
//! | in a turn | the transition |
//! |---|---|
//! | intends the same switch | goes on; its time goes on too |
//! | intends another one | is *replaced*: the new one asks for its gates and has a time of its own |
//! | intends none | is *withdrawn* |
//! | is an operator's order for another switch | is replaced |
//! | is an operator's order to stay | is withdrawn |
//! | all gates are open | is *taken*; the incident's *decided* is this turn |
//! | a gate was refused | is *given up*, whatever applies when the time is over |
//! | its time is over | is given up, or taken nevertheless ([`LimitAction`](crate::decision::LimitAction)) |
//!
//! A transition that an operator ordered does not need the evidence of a turn. It stands before Standfast's own switches
//! as long as it is possible: its pool is available (for a pin: exists), and no pin forbids it. The answer to the act is
//! then `waiting`, and a pin holds only from the time its switch is taken.
//!
//! The time is a limit for one transition (`Timer::Transition`), 0.1 s at least; an answer that comes when it is
//! over counts no more. Given up means: the service stays where it is, and the record says which gate was closed. An own
//! switch that is still right is intended again after a pause as long as the limit, so a service on a failed pool goes
//! on trying. An order that was given up is over.
//!
//! Each transition has a number, counted over all services, and an answer is about the transition of that number, whatever its
//! service is called by then. So what was granted to one switch never
//! opens the gate of the next.
//!
//! The gate [`FenceAcknowledged`](crate::decision::Gate::FenceAcknowledged) is the end of all sessions at the pool that
//! serves (or served last), *before* another one takes over. While the transition waits, that pool gets no new work, and
//! its sessions end as if it had been left. The gate opens by the acknowledgement of this very fence
//! ([the end of sessions](super::published_table#the-end-of-sessions)), not of an earlier one. A transition that is
//! withdrawn or given up takes the fence away: what has not ended by then may go on. When the same switch is intended again,
//! the sessions have no more time than at first (`drain_timeout` from the first fence on), so a limit shorter than
//! `drain_timeout` puts the switch off and does not prevent it. The fence of a pool that a reload removed is awaited by the
//! epoch at which it was left; a later pool of the same name is another one.
//!
//! While no pool serves (or a page does), the pools that a transition, or one that was given up, does not allow yet get no
//! trials: only the pool that served last does.
//!
//! The saved state knows nothing of a transition: it has the pool that is active. After a restart that pool serves
//! again, and the decision is made again, with its gates. A reload goes on with what waits, under the new names. When a
//! reload removes the active pool, that pool cannot be kept until gates are open: then no pool serves meanwhile, and the
//! way to the next one is a recovery with gates.
//!
//! # Services that move together
//!
//! With `failover.follow` a service is the *companion* of another one, its *leader* (`decision/companions.rs`). Pools are matched by name.
//! After each turn about one of the group, `align` hears the companions' votes, lets the leader decide again if they are new, and tells the
//! companions where it is, all of them under the epoch of that turn.
//!
//! - A companion decides nothing about pools: `Service::decide_led` stands in the place of the machine above. Its switches are no incidents;
//!   the leader's names it in `Incident::companions`. Freeze, hold-down, pins, holds and evacuations are the leader's.
//! - A vote is a pool in which the companion has no usable endpoint and could have none by probes that are still out. The leader takes such a
//!   pool for not available, but only while it has one that is available and has no vote against it: else each of two services with one
//!   side left could take down the other. A pool recovers, for the hold-down, when the last vote has ended.
//! - The fault of a switch by a vote began where the companion's did, and its evidence is that of the companion.
//! - A leader that follows its primary hears no votes. When its sessions have no right to go on, those of its companions have none, and
//!   its gate `FenceAcknowledged` opens when those have ended too.
//!
//! # Operators
//!
//! A command is a value, [`Act`](crate::decision::Act): number, actor, reason, time of expiry, and what it asks for
//! ([`ActCommand`](crate::decision::ActCommand): and what is ordered of services, endpoints and zones).
//! It comes by `/v1/acts` of the admin port. [`authorise`](crate::access::authorise) turns it into a permit, and
//! [`ControlHandle::act`](crate::control::ControlHandle::act), which takes nothing else, carries it to the core.
//! Each act has exactly one answer ([`ActOutcome`](crate::decision::ActOutcome)): done, no change, waiting (for the gates
//! of its switch), or refused with a code, the reason and the next step. An act whose time has passed is refused. Endpoints are named by service and address.
//!
//! | command | rule |
//! |---|---|
//! | switchover | the pool must be available; then the service stays there: no failback by itself |
//! | failback | skips the hold-down and a freeze, not the availability |
//! | pin | whatever its health; a condition is open while it is not available |
//! | thaw | the count of outages begins again |
//! | hold | elective switches wait as in a freeze; with `all` a forced one is not made either: `Incident::held` has what would have been. A recovery from a page, or from no pool, is made. Acts that would move the service are refused |
//! | evacuate | pools of the zone rank behind all others until it ends: the first choice, failovers and failbacks follow from that order. A service that is there moves at once, all of them under one epoch |
//! | drain, maint, weight 0, eject | refused where a serving pool would not be available any more, unless forced; a pool that is left for a drain is left by a switchover |
//! | weight | in the place of the configured weight, until a reload changes that one |
//!
//! Ends that come by themselves (`ActUntil`) are timers of the service or the endpoint. The saved state has what is left of them.
//! Each decision about a service raises `ServiceStatus::decisions`, which is the last part of its mark: probes do not change
//! it, and no later state has it again.

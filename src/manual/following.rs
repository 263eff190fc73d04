//! Chapter 15: following the primary of a database: one holder, by what servers state and by where their data is.
//!
//! Users read `config/guides/primaries.md`. The code is `decision/following/`: `course.rs` says what is to be done and changes
//! nothing, `mod.rs` does it, `view.rs` tells and saves it. `decision/position.rs` compares positions.
//!
//! # One principle
//!
//! What a server states counts at once, in both directions; silence and errors are counted. So `fall` and `rise` apply to
//! silence alone, one passed probe is enough to come back (`Service::is_eager`), and an answer that is no evidence (busy,
//! blind) leaves the last known role in force.
//!
//! # The course
//!
//! `Service::course` runs at the end of every turn. The first line that applies decides:
//!
//! | state | course |
//! |---|---|
//! | an operator has accepted an endpoint that is primary | follow it, or serve if it is the holder |
//! | the holder is primary, and its position continues what was followed | serve; follow another one only if it is of a later lineage and the loss is known and within `rpo` ([below](#what-may-be-lost)); with `close` and a rival none serves |
//! | another one may be followed (*the heir*), it lacks more than `rpo`, and `on_rpo_exceeded` is `hold` | lose the holder; follow it after `rpo_patience` |
//! | another one may be followed | follow it |
//! | the holder said that it is none, or its data is not what was followed | lose it: its sessions end |
//! | it is silent | lose it: its sessions go on, until `fence_after` |
//!
//! The heir is the rival that continues all other rivals, or is of one cluster with them and the first. Where none does, none is followed: two promotions that know
//! nothing of each other have equal timelines and different histories.
//!
//! # Two publishes
//!
//! A holder is never left for another one in one publish: a worker might send to the new one while another still relays
//! for the old one. First `Serving::Down`, with the pool of the holder fenced
//! ([the end of sessions](super::published_table#the-end-of-sessions)); then a switch of the kind `follow`, whose gate is
//! the end of the sessions (`GateRules::with_fence`). A fence that is not acknowledged is waited for no longer than
//! `FENCE_LIMIT`.
//!
//! Where `failover.fence` is set, its hook is one more gate (`Gate::FenceHook`, `decision/fence_hook.rs`), and the only one that is
//! asked when all others are open. A worker that has not acknowledged in time does not keep it from being run: it is what helps
//! then. Its own time begins when it is asked, and with it `on_failure` takes the place of what applies at the limit. It goes on by
//! default, because what is followed has been promoted already. `RunFence` names the former primary and the next one; when the
//! next one becomes another, the transition is replaced and the hook asked again. Nothing of it is saved: after a restart the
//! holder is the former one still, so the switch begins from the beginning and the hook is run again.
//!
//! Since all endpoints but the holder are fenced by their row ([`EndpointRow::fenced`]), a worker that was
//! stuck ends what it has when it takes up the next table, also where both endpoints are of one pool.
//!
//! When the holder is silent, no pool serves and its sessions go on: the same endpoint may come back, which is a
//! `recovery` and needs no fence. They end when another one is followed.
//!
//! # Positions
//!
//! A lineage takes over all of the one before it up to the place where it forked. What is lost by following it is the last
//! known position of the former holder minus that place.
//!
//! - PostgreSQL: the timeline is the number of the lineage, and `pg_last_wal_replay_lsn()` of a promoted server is where it
//!   forked. But a recovery from a crash replaces that value. So it is believed only of a server that was seen as a replica
//!   on an earlier timeline in the same life of its postmaster, before it had more than that
//!   (`DataPosition::with_fork_seen`), and is kept from then on.
//! - Redis: a promoted server keeps the id before and how much of it it has. A master takes a new id when its first replica
//!   comes, and is the same one: its `run_id` says so.
//!
//! - MySQL and MariaDB have no numbers of lineages: positions are sets of transactions (`decision/transactions.rs`). One that has all that is
//!   followed and more continues it. One that lacks some was promoted if it was seen as a replica since the holder arrived, of this
//!   history and without transactions of its own beside those that it lacked (`DataPosition::is_promoted_from`); what it lacks is
//!   counted, but `rpo`, in bytes, allows none of it. All else that lacks some is stale or diverged.
//! - Galera: the members of a cluster have the same transactions in the same order, so they are peers and no rivals. The heir is the first of
//!   them in the order of the configuration. While the holder serves, a peer may be a moment behind; when it is gone, a member that has
//!   less than was followed is stale until it has applied what it received.
//!
//! Positions of one endpoint may go back in the same lineage: it lost what it had not written to disk. It is still the
//! holder, and the incident says what it lost. Another endpoint that lacks something is stale.
//!
//! # What may be lost
//!
//! `following/loss.rs` measures what the next holder has not of what is followed. In bytes that is exact up to the last sample.
//! As a time it is now minus the last time at which the holder was at that place or before (`decision/position_history.rs`), so
//! it includes the age of the last sample. Of old samples every second one is left out again and again: the time found is then
//! earlier than the truth, and never later. A follow that was decided waits for the end of the sessions; the time that passes
//! meanwhile does not take it back (`is_underway`).
//!
//! The objective gates a living holder always, and one that is gone only with `hold`: a promotion that has happened is a fact,
//! and clients that wait for a server that is dead wait for ever. So a hold has two ends besides the holder's return: `accept`,
//! and `rpo_patience`, whose time survives a restart. Services that follow have no ordered switchover that could be gated.
//!
//! # Promotion
//!
//! `decision/promotion/` is the machine that is to promote a replica by order. It is not reachable: no key asks for it, no event feeds
//! it, and nothing obeys its steps. What it settles already:
//!
//! - Each precondition that is missing has a name (`Obstacle`), and all of them are looked at again in the turn of the call.
//! - The candidate is the witness. A primary that is idle sends its replica nothing, so silence proves nothing by itself: only when
//!   the receiver has asked, after half of `wal_receiver_timeout`, and was not answered, or has gone. With `wal_receiver_timeout = 0`
//!   a receiver that stays is no witness, nor is one that had lost the primary long before it failed here. A replica that is not promoted and hears the primary keeps the others from it, too.
//! - The intent is on the disk before the call. Writes are numbered, because an earlier one that ends late does not have it.
//! - From the intent on it is spent until a primary serves again. A restart verifies what it finds, by the role and a later
//!   timeline, and orders nothing.
//!
//! # Reads at replicas
//!
//! Users read `config/guides/reads.md`. A service whose check asks for `role: replica` is any service, with one rule beside it
//! (`decision/reads.rs`): an endpoint that is no fresh replica is not *usable*, though it is healthy. All else follows from that: its
//! admission, the availability of its pool, switches, the native refusal. Nothing is fenced, because what a replica or a primary answers
//! is right; it may be old.
//!
//! `decision/lag.rs` measures. Of the primary it keeps samples of place and time, thinned to a sixteenth of the longest `max_lag`; a
//! replica's lag is the time from the newest sample that it has all of to its own reading. So no clock of a server counts, an idle
//! primary makes no lag, and thinning can only say more than is. A lag is measured at a reading of the replica and stays until the next
//! one, or until the lineage that it was measured against ends: silence, `Busy` and `Blind` are no statements about lag either.
//!
//! Which endpoint is the primary is found as in following, and more simply, since nothing is written here: the one that says so, for as
//! long as it does; after it one that continues what was seen. It is measured against and may be the fallback; no other primary is.
//!
//! # What does not apply
//!
//! No ejection, no trials, no last resort, no failback, no hold-down, no freeze, no isolation by comparison of pools: each
//! of them would send work to an endpoint because another one is worse, and here none is a substitute.
//!
//! [`EndpointRow::fenced`]: crate::decision::EndpointRow::fenced

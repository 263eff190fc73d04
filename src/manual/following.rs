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
//! | the holder is primary, and its position continues what was followed | serve; follow another one only if it is of a later lineage and the loss is known and within `rpo`; with `close` and a rival none serves |
//! | another one may be followed (*the heir*) | follow it |
//! | the holder said that it is none, or its data is not what was followed | lose it: its sessions end |
//! | it is silent | lose it: its sessions go on, until `fence_after` |
//!
//! The heir is the rival that continues all other rivals. Where none does, none is followed: two promotions that know
//! nothing of each other have equal timelines and different histories.
//!
//! # Two publishes
//!
//! A holder is never left for another one in one publish: a worker might send to the new one while another still relays
//! for the old one. First `Serving::Down`, with the pool of the holder fenced
//! ([the end of sessions](super::published_table#the-end-of-sessions)); then a switch of the kind `follow`, whose gate is
//! the end of the sessions (`GateRules::with_fence`). A fence that is not acknowledged is waited for no longer than
//! `FENCE_LIMIT`. Since all endpoints but the holder are fenced by their row ([`EndpointRow::fenced`]), a worker that was
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
//! Positions of one endpoint may go back in the same lineage: it lost what it had not written to disk. It is still the
//! holder, and the incident says what it lost. Another endpoint that lacks something is stale.
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

//! Chapter 13: change records: what happened, in one form for every reader.
//!
//! Users read `config/guides/records.md`. The code is `control/records/`.
//!
//! # One record
//!
//! A [`ChangeRecord`](crate::control::ChangeRecord) has an id, a time, a type, a service (unless it is about the whole
//! instance) and what changed. The id is `LIFE.N`: a random number of 64 bits for each start of the control plane, and a
//! number that counts from 1 without gaps. So a reader sees that it has missed something, and an id is never used twice. The
//! time is that of the wall clock, for people, and the running time since the start, for order and distances.
//!
//! | type | is made when |
//! |---|---|
//! | `service.switched` | a service goes from one pool to another, or to none; `kind` says why |
//! | `service.answered` | the new pool gave its first good answer: the same incident with its recovery time |
//! | `service.transition` | a switch waits for its gates, or waits no longer; `stage` says how it ended |
//! | `service.objective_missed` | that took longer than `objectives.rto` |
//! | `endpoint.standing` | an endpoint's operational or administrative state changed |
//! | `endpoint.held` | failures in a row did not condemn an endpoint |
//! | `condition.raised` | a condition began |
//! | `condition.cleared` | a condition ended, or its service is gone |
//! | `act.asked` | an act waits for its answer; a line of the [audit log](super::audit) alone |
//! | `act.done` | an act was carried out, or asked for what is so already (`changed: false`) |
//! | `act.refused` | an act was not carried out |
//! | `act.rehearsed` | a dry run of an act (`dry`); a line of the audit log alone |
//! | `act.denied` | something was denied; a line of the audit log alone |
//! | `config.reloaded` | a configuration was put into force |
//! | `config.refused` | a configuration was refused |
//! | `audit.gap` | records of the audit log are missing |
//! | `audit.checkpoint` | the end of the audit log, for witnesses |
//! | `instance.started` | the control plane started: always record 1 |
//! | `instance.stopping` | the control plane was told to end: the last record |
//!
//! The words are fixed. A new capability adds words, and never a second word for the same thing.
//!
//! # Sinks
//!
//! The engine makes a record in its turn, after the publish, and the sinks take it one after the other
//! (`control/records/sink.rs`). No sink may block. The log writes its line with the id in the field `record`. The counts
//! behind `/metrics` follow. The ring keeps the last 4,096 records (4 MiB at most) for readers that follow them
//! ([`ControlHandle::records`](crate::control::ControlHandle::records)): a reader names the last record that it has, gets
//! what came after, and learns of a gap if it was too slow.
//! [`ControlHandle::records_after`](crate::control::ControlHandle::records_after) waits for that, and for the engine's end. The broadcast of notices is a view
//! of the records for callers inside the process, and nothing rests on it.
//!
//! The audit log takes each record last, and writes it on a thread of its own ([audit](super::audit)).
//!
//! Pauses of the process, failing probes of its own, and names without an answer are lines of the log and no records: they
//! are not changes of what is decided.
//!
//! # Conditions
//!
//! A [`Condition`](crate::decision::Condition) is an alert with an end (`decision/conditions.rs`). The core derives those that
//! hold from the state of a service at the end of each turn, and compares them with those that are open. So each is raised
//! and cleared, whatever way led there.
//!
//! | kind | is open while |
//! |---|---|
//! | all down | no pool is available (and no pin is the reason) |
//! | pinned to unusable | the pin points at a pool that is not available |
//! | isolated | all pools are unreachable from here |
//! | frozen | failback and rollback are frozen |
//! | on standby | a pool serves behind one with endpoints; where pools share the traffic: one has lost its share. About that pool |
//! | failing open | the pool that serves is not available, and serves as the last resort |
//! | no standby | one pool with endpoints is available, it serves, and the service has others |
//! | held | a hold lasts |
//! | held to unusable | a hold of everything keeps it on a pool that is not available, and another one is. About that pool |
//! | evacuated | a zone of its pools is evacuated |
//! | objective missed | the last recovery that was measured took longer than `objectives.rto` |
//! | endpoint out | an endpoint of the pool is unhealthy or ejected. About that pool |
//!
//! While a service chooses its first pool, nothing is known of its pools: what is open stays open. Open conditions are part of
//! the saved state, so a restart neither raises nor clears what goes on. What a removed service leaves open is cleared, and
//! a renamed service clears its conditions under the old name and raises them under the new one, with the time at which they
//! began. A freeze that a further outage makes longer is the same condition: it is raised again, with its beginning and its new
//! end; so is a hold or an evacuation that is made longer. The count `thawed` is of freezes that ended, not of those whose service was renamed or removed. The
//! record `service.objective_missed` tells each recovery that took too long; the condition of this name is open until the next
//! one that did not.

//! Chapter 5: one failover, from the first refused connect to the first good answer, file by file.
//!
//! The example: pool `north` has one endpoint, its process dies, and pool `south` is available. All steps together
//! take about a millisecond on one machine.
//!
//! # 1. `proxy/upstream/dial.rs`: the refused connect
//!
//! A worker's connect fails with ECONNREFUSED. `judge_connect` sorts the error: refused or unreachable is evidence, an
//! error of this host is not, no route is a case of its own. The retry rule sends the request to the next endpoint.
//! Here there is none, so the request waits for a newer table. Safe requests need not wait: they may go to the next
//! pool before the switch (`retry.cross_pool`).
//!
//! # 2. `routing/stats/endpoint.rs`: the count
//!
//! `record_failure` counts the failure, makes the streak longer, bumps the generation, and sets the flag *urgent* if
//! it was not set. The worker then wakes the engine ([`Published::urgent`](crate::routing::Published::urgent)).
//! Refusals, unanswered connects, resets, and streaks of `consecutive_failures` are urgent. Everything else waits for
//! the next sweep.
//!
//! # 3. `control/sweep.rs`: the digest
//!
//! The engine sweeps every 50 ms, and at once when woken, at most once a millisecond. It makes one
//! [`Digest`](crate::decision::Digest) of each endpoint whose counters changed. There is no queue: counters only grow,
//! and a digest is the difference to the last one. So nothing is dropped, however long the engine was busy.
//!
//! # 4. `decision/endpoint/mod.rs`: the suspicion
//!
//! The digest is an [`Event::InBand`](crate::decision::Event::InBand). The endpoint notes its first sign of trouble
//! (the *fault* time of the incident), asks for a probe now, and asks for a confirming connect. One refused connect
//! alone is no verdict: the listen queue may have been full, or the process may be restarting.
//!
//! The same is asked after a reset, a malformed answer and a failed TLS handshake, because a listener in front of a
//! dead server accepts and hangs up. An unanswered connect counts so only with `on_all_down: fail_open`: what cannot
//! be reached from here may be alive, and a service that fails closed has to assume it is.
//!
//! # 5. `control/confirm.rs`: the second opinion
//!
//! The engine opens one connection as traffic does: PROXY header, TLS, HTTP/2 up to the endpoint's SETTINGS. It has
//! 900 ms, longer than any round trip, so that a refusal from far away counts too. The core waits 1 s.
//!
//! # 6. `decision/service.rs`: the verdict
//!
//! A confirmed refusal makes the endpoint *doubted*. If its pool has another endpoint that nothing is known against,
//! new work avoids the doubted one, and it is asked again after 50 ms: a restart shorter than that is no failure. If
//! the pool has no such endpoint, it is condemned in the same turn (`Service::end_doubts`). For a lone endpoint,
//! waiting cannot tell a restart from a death, and every request would wait meanwhile.
//!
//! `Service::settle` is the pass that follows every event: timers → standings → routes → doubts → in-band evidence →
//! pools → the failover machine → conditions → admissions → the published row. Everything that follows from an event is
//! concluded in one turn.
//!
//! # 7. `decision/failover.rs`: the switch
//!
//! `decide_active` finds the active pool unavailable. It is left unless this host is likelier to be cut off
//! ([failover](super::failover#isolation)). `leave` chooses: back to the pool before if this one was taken a moment
//! ago, else the first available pool, else the last resort. `switch` is the one function that every switch goes
//! through. It opens the incident, with the times *fault*, *detected* and *decided*, counts it for damping and freeze,
//! and sets the new serving pool.
//!
//! # 8. `control/engine.rs`: the effects
//!
//! The core returns effects in a fixed order: publish, sessions, probes and connects, incident, records and conditions,
//! persist. Publishing is first. Nothing that could block or fail stands before it. The engine takes in up to 64
//! events before it carries out their effects, so that a lost rack is one publish. Failback, switchover, rollback and
//! recovery come this same way. There is no second path that only an emergency would run.
//!
//! # 9. `routing/published.rs`: the publish
//!
//! Chapter [the published table](super::published_table). Its second step is the instant of the switch.
//!
//! # 10. `proxy/worker.rs`: the workers follow
//!
//! Each worker wakes, takes up the table, judges what runs, closes idle connections of `north`, acknowledges, and
//! wakes its waiting requests. They forget their refusals (the table judged the endpoints again), pick from `south`,
//! connect and are sent. The first good head fills the `FirstAnswer`, the worker wakes the engine, the sweep makes an
//! [`Event::Answered`](crate::decision::Event::Answered) of it, and the incident has its RTO: answered − fault.
//!
//! # The same with a silent fault
//!
//! Packets vanish and nothing is refused. Then the first sign is a late connect or a late answer, which is raced or
//! hedged, and the verdict comes from witnesses, from a probe out of turn, or from `fall` failed probes. The worst
//! case is without any request: `interval × (1 + jitter) + fall × timeout + (fall − 1) × fast_interval`. `standfast
//! check` compares this sum with `objectives.rto` (`config/objective.rs`).

//! Chapter 1: the terms of the domain, the terms that only the code has, and the standard names for local ones.
//!
//! Words of the configuration, the log and the metrics are defined for users in `config/guides/glossary.md`. They mean
//! the same here. This chapter adds what an engineer needs beside them.
//!
//! # The objects
//!
//! | term | what it is | in code |
//! |---|---|---|
//! | service | the unit that fails over: an ordered list of pools, and policies | [`config::Service`](crate::config::Service); its state in `src/decision/service.rs`; as published: [`ServiceView`](crate::routing::ServiceView) |
//! | pool | interchangeable endpoints, or a static response ("page") | [`config::Pool`](crate::config::Pool), `src/decision/pool.rs`, [`PoolView`](crate::routing::PoolView) |
//! | home | the first pool of the list | index 0 |
//! | endpoint | one upstream address of one service | [`EndpointId`](crate::decision::EndpointId), `src/decision/endpoint/mod.rs`, [`EndpointView`](crate::routing::EndpointView) |
//! | standing | an endpoint's state: operational × administrative, with a cause | [`Standing`](crate::decision::Standing) |
//! | admission | what the data plane may send to an endpoint: new work, trials, nothing | [`Admission`](crate::decision::Admission) |
//! | serving | which pools serve: none yet, one, shares, none | [`Serving`](crate::decision::Serving) |
//! | available | a pool with at least `min_healthy` usable endpoints; a page always is | `Pool::available` in `src/decision/pool.rs` |
//! | usable | healthy, `ready`, and of a weight above 0 | `Endpoint::usable` in `src/decision/endpoint/mod.rs` |
//! | table | all conclusions of the core under one number; what workers route by | [`Table`](crate::decision::Table), built into a [`RoutingTable`](crate::routing::RoutingTable) |
//! | epoch | the number of a table; it grows with every publish | [`RoutingTable::epoch`](crate::routing::RoutingTable::epoch) |
//! | switch | a change of the active pool, or of a pool's share | [`SwitchKind`](crate::decision::SwitchKind) |
//! | condition | a state of a service that an operator should know of, as long as it lasts | [`Condition`](crate::decision::Condition) |
//! | change record | one change with its number, for every reader | [`ChangeRecord`](crate::control::ChangeRecord) |
//! | intended switch | a decision to change the active pool that is not taken yet | `src/decision/switch.rs` |
//! | transition | an intended switch that waits for its gates, within a time limit | `src/decision/transition.rs`, [`TransitionRecord`](crate::decision::TransitionRecord) |
//! | gate | a condition outside the decision that must hold before a switch is taken | [`Gate`](crate::decision::Gate) |
//! | fence | what keeps new work from a pool and ends its sessions, until the last one has ended | [`PoolSessions`](crate::decision::PoolSessions), `src/control/fences.rs` |
//! | incident | the record of one switch: cause, evidence, actor, epoch, five times | [`Incident`](crate::decision::Incident) |
//! | outage | what `max_failovers` counts; not every forced switch begins one | `src/decision/freeze.rs` |
//!
//! # The terms of evidence
//!
//! | term | what it is | in code |
//! |---|---|---|
//! | probe | one out-of-band health check | [`ProbeOutcome`](crate::decision::ProbeOutcome) |
//! | exchange | one request written to one endpoint, and its answer | `src/proxy/http/exchange.rs` |
//! | digest | what workers counted about one endpoint since the last digest | [`Digest`](crate::decision::Digest) |
//! | streak | failures in a row without a good answer to any client in between; streaks are numbered | [`Digest::streak`](crate::decision::Digest::streak) |
//! | source | a client network, the unit of independent evidence | [`Source`](crate::decision::Source) |
//! | caller | a source that the service answered well in the last ten minutes | `src/routing/stats/callers.rs` |
//! | target | a hash of route and path: what a request asks for | [`RequestTarget`](crate::decision::RequestTarget) |
//! | contrast | the same request failed at one endpoint and was answered well at another | [`Elsewhere`](crate::decision::Elsewhere) |
//! | witness | a request that is outstanding at one endpoint and was answered by another | [`Silence::witnesses`](crate::decision::Silence::witnesses) |
//! | silence | four or more outstanding requests and one of them late: a suspected stall | [`Silence`](crate::decision::Silence) |
//! | confirming connect | a connection that the engine opens at once as a second opinion | `src/control/confirm.rs` |
//! | trial | a client's request that proves an endpoint which traffic had condemned | [`Admission::Trial`](crate::decision::Admission::Trial) |
//! | held | failures in a row that did not eject, and why | [`Held`](crate::decision::Held) |
//!
//! # The terms of one request
//!
//! | term | what it is | in code |
//! |---|---|---|
//! | try | one attempt to get an answer from one endpoint, connects included | [`Tries`](crate::routing::Tries) |
//! | attempt (`retry.attempts`) | a try with bytes sent | [`Retry::attempts`](crate::config::Retry::attempts) |
//! | hedge | a second try while the first one is pending | `src/proxy/http/hedge.rs` |
//! | race | a second *connect* while the first one is pending; no byte of the request is sent | `src/proxy/upstream/race.rs` |
//! | gate | the bound on connects to one endpoint that a worker has under way; further requests wait in line | `src/proxy/upstream/dial_gate.rs` |
//! | re-check | the comparison of epochs immediately before the first byte | [`WorkerView::still_holds`](crate::routing::WorkerView::still_holds) |
//! | generation | a number of each endpoint; idle connections of an older one are not used again | [`EndpointStats::generation`](crate::routing::EndpointStats::generation) |
//! | permit | a place under `limits.max_connections` of the service | [`Permit`](crate::routing::Permit) |
//!
//! # Names in code and the standard terms
//!
//! Some types have local names. This table gives the standard term of each one. The names are to become the terms.
//!
//! | name in code | file | standard term |
//! |---|---|---|
//! | `Tries`, `TriedEndpoints` | `routing/tries.rs`, `routing/tried.rs` | retry state machine of one request; endpoints it has tried |
//! | `RequestClass` | `routing/tries.rs` | request class: safe, idempotent, with body |
//! | `TryFailure`, `TryEnd` | `routing/tries.rs` | failure of a try; a finished try |
//! | `GiveUpReason`, `RetryDecision` | `routing/tries.rs` | reason to give up; retry decision |
//! | `PickRequest`, `PickScope`, `Pick`, `PickChoice` | `routing/pick.rs` | pick request, its scope, its result, the chosen endpoint |
//! | `LatencyEstimate` | `routing/latency.rs` | rolling p99 of a route: latency estimate |
//! | `ResponseTracker` | `routing/stats/liveness.rs` | response tracker: outstanding requests of an endpoint |
//! | `Silence` | `decision/event.rs` | suspected stall |
//! | `Attribution`, `FailureReport` | `routing/stats/attribution.rs` | failures with client network and target |
//! | `Avoidance` | `routing/stats/avoidance.rs` | targets that fail at one endpoint only: per-target exclusion |
//! | `FailsEverywhere` | `routing/stats/everywhere.rs` | negative cache of requests that fail at every endpoint |
//! | `ReuseTrust` | `routing/stats/reuse.rs` | rule for reuse of idle connections after resets |
//! | `PoolTerm` | `routing/table/mod.rs` | activation (term) of a pool under which a session began |
//! | `PublishBoard`, `Published` | `routing/protocol.rs`, `published.rs` | the publication protocol; its instance over `ArcSwap` |
//! | `TlsAssets` | `routing/materials.rs` | loaded certificates and keys |
//! | `AcceptedConn`, `handshake::admit` | `proxy/handshake/mod.rs` | client connection after PROXY header and TLS; the handshake |
//! | `RequestSlot`, `SlotPool` | `proxy/http/h1/request_slot.rs` | pooled request tasks |
//! | `TaskPool`, `TaskSlot` | `proxy/http/h2/task_pool.rs` | pooled stream tasks |
//! | `ExchangeScratch` | `proxy/http/memory.rs` | reusable buffers of one request |
//! | `Dispatch`, `Selected`, `SelectError` | `proxy/upstream/dispatch.rs` | endpoint selection, waiting and connecting; its result; its error |
//! | `Destination`, `SelectedTarget` | `proxy/upstream/destination.rs`, `dispatch.rs` | chosen endpoint with its table; the same with a connection |
//! | `ClientInfo`, `ConnectionContext`, `RequestContext` | `dispatch.rs`, `proxy/http/context.rs` | client of a connection; what all requests of a connection share; what one request needs |
//! | `H2Connection`, `H2Stream`, `H2Endpoint`, `H2Pool` | `proxy/upstream/h2_pool.rs`, `h2_connection.rs` | HTTP/2 connection, one stream, connections to one endpoint, the pool |
//! | `UpstreamTry` | `proxy/http/upstream_try.rs` | one try: send, wait, head, verdict |
//! | `DialGate`, `GateTurn`, `FirstConnect` | `proxy/upstream/dial_gate.rs`, `first_connect.rs` | limit of pending connects to one endpoint, a request's turn at it; the connect of a try |
//! | `Alarm`, `TaskKiller` | `proxy/deadline.rs` | deadline of a task; handle that cancels it |
//! | `proxy/termination.rs` | | labels of terminations |
//! | `Act`, `ActCommand` | `decision/act.rs`, `commands.rs` | operator command as a value; what it asks for |
//! | `MonoTime` | `time.rs` | monotonic time as plain data |
//! | `Turn` | `decision/turn.rs` | context of one evaluation: time, epoch, effects |
//! | `Conviction`, `Finding` | `decision/corroboration.rs` | sufficient evidence; result of a judgement |
//! | `FallRhythm` | `decision/hold_down.rs` | interval between falls of a flapping pool |
//! | `Succession`, `Predecessor` | `decision/succession.rs` | identity map from an old configuration to a new one |
//! | `decision/active_active.rs` | | `active_active` |
//! | `Probe`, `ProbeError` | `control/probes/` | prepared probe; why it failed |
//! | "condemned", "absolved", "acquitted" | `decision/endpoint/mod.rs` | unhealthy or ejected; counters reset; returned to service |
//! | "eager", "bold", "captive" | `decision/` and `routing/` | one good probe is enough; send although suspected; a page serves while a pool is available |
//!
//! Some words of the code are plain, and their use is narrow: *open*, *trial* and *closed* are admissions, *green* and
//! *red* are verdicts of checks, *lost* is a way to an endpoint from which nothing comes back, and *urgent* is a flag
//! that asks the engine for a sweep now instead of at its next interval.

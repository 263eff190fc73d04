//! Chapter 6: how the health of one endpoint is concluded from probes, real traffic and connects, and what evidence
//! is.
//!
//! What users see of it is in `config/guides/health.md`. This chapter has the mechanism and the reasons.
//!
//! # Three parts of the state
//!
//! An endpoint's state is folded from three parts (`Endpoint::operational` in `decision/endpoint/conclusions.rs`). The first row
//! that applies decides:
//!
//! | part | says | operational state |
//! |---|---|---|
//! | `Ejection` | real traffic condemned it | ejected |
//! | `Refusal::Confirmed` | it cannot be connected to | unhealthy, cause `refused` |
//! | `Checks`, red | `fall` probes failed in a row | unhealthy, cause `checks_failed` |
//! | `Checks`, unknown | no probe has answered yet | checking |
//! | `Checks`, green | `rise` probes passed in a row, or there is no check | healthy |
//!
//! The administrative state (`ready`, `drain`, `maint`) is a second dimension. A weight of 0 counts as `drain`.
//! Suspicion is a third one: it changes where new work goes and never the standing. Two separate facts about the *way*
//! to an endpoint are kept beside all this (`decision/reach.rs`). See [this host's own faults](super::own_faults).
//!
//! An event about an endpoint carries the time at which it was *observed*. An observation that is older than the
//! newest one counted says nothing about the present: it changes no streak and no suspicion (`Checks::fold`,
//! `Outlier::fold`, `Suspicion::fold`).
//!
//! # Probes
//!
//! `decision/health.rs` has the streaks, `control/probes/` the IO.
//!
//! - The first probe of a new endpoint decides alone, in both directions: nothing has spoken for or against it yet.
//!   After it has been green once, `rise` counts. A first failure is tentative: the first choice of a pool does not
//!   give the pool up for it at once ([failover](super::failover)).
//! - A probe that failed because of this host (`Local`) counts for nothing.
//! - Probes run at `fast_interval` while a verdict is in transition, while a refusal is open, and after traffic met
//!   trouble until `rise` of them have passed.
//! - Trouble in traffic asks for a probe at once, at most one per `fast_interval`. A probe that runs already may have
//!   asked before the fault, so another one follows it.
//! - A change of verdict resets what traffic said: it belongs to the same trouble. When checks turn red, a running
//!   ejection from then on lasts as long as they do.
//! - Each check owns its connection (`kept.rs`) and connects by `net/dial.rs`; `tcp.rs`, `http.rs`, `grpc.rs`,
//!   `postgres.rs`, `mysql/` and `redis.rs` are the kinds. What is searched for in an answer is in `expected.rs`.
//! - `exec.rs` runs a program by `control/command.rs`. It waits for a place *before* its probe begins, so that a full machine is held
//!   against no endpoint. Exit codes other than 0 and 1 are `Blind`: a check that crashes says nothing about what it checks.
//! - `agent.rs`: a word that is unknown makes the line `Blind`, for the same reason. `drain` and `maint` are a share of 0
//!   (`Event::ShareStated`), which counts as a weight of 0 does: the endpoint stays healthy and gets nothing new. Shares are percent,
//!   so the weights of a pool with agents are in hundredths (`EndpointWeight::in_force`).
//! - `dns.rs` and `datagram.rs` use connected sockets: the kernel drops what others send, and tells of a closed port.
//! - A connection ends in order, whatever the verdict (`control/probes/stream.rs`): over HTTP/2 by GOAWAY, over TLS by
//!   `close_notify`, then by a FIN; what still comes is read for up to 500 ms and 1 MiB, and no longer than until the next
//!   probe connects. A reset would stand in the logs of the endpoint as a fault of its client. The price is a TIME_WAIT of one minute per probe on this side, in the place of
//!   the endpoint's. With `reuse` there are fewer.
//! - A passed probe may carry a `Reading`: role, writability, lineage and position of the endpoint's data. The last one
//!   is part of the status; nothing is concluded from it. `postgres`, `mysql` and `redis` give one.
//! - A login at MySQL that ends in the middle counts for `max_connect_errors`, so one that is given up (`mysql/mod.rs`) is ended by an
//!   answer that the server refuses.
//! - What a server states counts at once: `NotServing` (it starts, it stops) counts like `fall` failures. Silence and
//!   errors are counted. `Busy` (no room for the probe) and `Blind` (not let in) are no evidence: a full table of connections
//!   is not taken for a death. They refute the silence before them and change no other verdict. While they are all that
//!   is heard, traffic speaks as it does without a check: a refusal ends with a connect, a suspicion with its time. An
//!   endpoint of which nothing else was heard is taken as one without a check, but no service goes home to it. `Blind`
//!   raises the condition `check_blind`, because a check that is not let in sees no fault either.
//! - `reuse` keeps a probe's connection. What fails on a kept connection is asked again on a new one: the connection
//!   may be at fault. In transition every probe uses a new one.
//!
//! # Refusals
//!
//! States of `Refusal`: no → suspected (a request failed) → doubted (one confirming connect refused) → confirmed (two
//! of them, 50 ms apart, or one where the pool has no endpoint without trouble). [One failover](super::one_failover)
//! has the steps and reasons. A confirmed refusal explains the failures before it, so they are not counted a second
//! time.
//!
//! It ends with a connect that succeeds while the checks are green by a whole streak of `rise` *after* the verdict. A
//! health page on another port must not overrule a closed port, and an open port must not overrule a failing health
//! page.
//!
//! With `on_refused: checks` no confirming connect is made. Failed connects then count like other failures in traffic.
//!
//! # Traffic: what a failure is about
//!
//! A failed exchange is about three things: the client, what it asks for, and the endpoint. It is evidence against the
//! endpoint only when the other two are excluded. Otherwise one client with a bad URL, or one broken page, could move
//! a whole service. So the data plane attributes ([`FailureReport`](crate::decision::FailureReport): source, target,
//! kind, time, and how the same request fared elsewhere), and the core concludes.
//!
//! A report is sent when its request is settled: at the next answer, or at the end of the request
//! (`proxy/upstream/faults.rs`). That is the only time at which it is known how the request fared elsewhere. Counts
//! are immediate.
//!
//! The rule stands at the top of `decision/corroboration.rs` as a table. Its reasons:
//!
//! - **A probe that fails is independent.** `consecutive_failures` and a probe that *began* after the first of them
//!   convict, whatever the sources.
//! - **Several sources do not share a fault of their own.** As many sources as the service has callers, three at most,
//!   convict. A service with one caller (behind a load balancer) is convicted by that one. The number comes from
//!   traffic, not from a key, because it changes with the topology in front.
//! - **A failed connect is about no client.** No request was involved.
//! - **Three targets, each answered well elsewhere,** exclude the target for a single source. One endpoint of a pool
//!   may be ejected on this, and only after four times the usual time: a client that attacks could choose its targets.
//! - **A streak must last.** Five failures in a row happen by chance at a high rate. So they must last for as long as
//!   five good answers usually take there, at most 1 s; where most sources see none of it, four times as long, at most
//!   60 s. Where the whole pool fails, the time is divided by the number of its endpoints: a good answer of any of
//!   them would be an end of it. An endpoint that never gave a good answer is not waited for.
//! - **Half of the exchanges fail** within 10 s at half of the sources or more, each source weighing the same: an
//!   endpoint that fails every second request never has a long streak. With proof by contrast (nine of ten failed
//!   requests were answered well elsewhere) a fifth is enough.
//! - **Twenty failures over 10 s with nothing to compare them with** convict in the end. Without this row a lone
//!   endpoint with a lone client would never be ejected.
//! - **503 with `Retry-After`** is addressed to a client, and **a session hung up on** may be the client's fault. They
//!   count only from as many sources as are needed (hang-ups: two at least).
//!
//! What fails at every endpoint, across pools where there are several, is remembered as such for 10 s
//! (`routing/stats/everywhere.rs`), and its retries are spared. What fails at one endpoint for one target, and is
//! answered well by others, moves that target away from that endpoint (`routing/stats/avoidance.rs`): safe requests
//! for 10 s, others for 30 s.
//!
//! `evidence: any` replaces all this by two counters (`decision/outlier.rs`): failures in a row, and the rate.
//!
//! Failures that are not enough are *held*: counted, and logged with the reason at most once in 10 s for each
//! endpoint.
//!
//! # What may be ejected
//!
//! `Service::may_eject` in `decision/service.rs`:
//!
//! - Another pool with endpoints could serve: all of this pool may be ejected.
//! - None could: at most `max_ejected` of the endpoints with a weight (rounded down, but one of two), and never below
//!   `min_healthy`. Beyond that, the load itself is the likely cause. A page is no relief.
//! - A pool that would be left on the evidence of too few sources needs more: it serves, another pool with endpoints
//!   is there, and it happens once within `damping`.
//!
//! The last rule is `decision/few_sources.rs`, with a proof afterwards. Where the same sources fail in the new pool
//! as well, within `confirm_window`, their evidence was wrong: it is withdrawn, the service goes home at once, and
//! what they report counts for nothing until `damping` is over, unless they are all the service has. Where they are
//! answered well in the new pool (ten exchanges, nine of ten good), it was right, and they may do it once more.
//!
//! # Stalls: silence and suspicion
//!
//! Silence is measured from *request fully sent* to the first byte of the answer, and for connects from SYN to the end
//! of TLS or to HTTP/2's SETTINGS. `routing/stats/liveness.rs` counts outstanding requests of an endpoint. A late
//! request is one that waits longer than 3 × p99 of its route, at least 250 ms; 1 s before the route has 100 answers
//! (`routing/latency.rs`). Not measured: gRPC calls, upgrades, requests that accept event streams, routes with `stall:
//! off`.
//!
//! Four or more requests since the last sign of life, one of them late, are a **suspicion**. It is no verdict:
//!
//! - new work avoids the endpoint; a safe request that goes there all the same is hedged at once; a probe starts;
//! - if all of its pool is suspected and another pool is available, unsafe requests wait up to 1 s, and then go;
//! - it ends with any answer, or a passed probe; without a check, 5 s after the last late request. The next one begins
//!   200 ms after an answer at the earliest: an endpoint that is slow, but answers, must not be suspected with every
//!   answer.
//!
//! It becomes a **verdict** (cause `stalled`) when the probe fails, or when three witnesses were answered elsewhere.
//! The witnesses must be of as many sources as are needed, or for three targets. Otherwise a single slow report, asked
//! for four times, would eject.
//!
//! For 2 s after a late answer an endpoint gets one proposed request in eight while there are others
//! (`PoolView::shuns` in `routing/pick.rs`). This is not suspicion: it needs no second request.
//!
//! # Coming back
//!
//! An ejection lasts `base_ejection` × n, at most `max_ejection`. n starts again after a clean time of `max_ejection`.
//! Then
//!
//! 1. the checks must be green: until then it stays out;
//! 2. it is *tried*: three trials answered well bring it back, one that fails ejects it again;
//! 3. where there is no traffic to try it with, green checks alone bring it back after another `base_ejection`.
//!
//! Traffic condemned it, so traffic has to speak for it. A green check alone does not: the check had been green
//! before.
//!
//! A trial is a request of a client. The gate opens once per 100 ms and endpoint, for safe requests first (50 ms later
//! for others), and 400 ms later when half of the retry budget is used, because a failed trial needs a retry.
//!
//! | the pool | its ejected endpoints get trials |
//! |---|---|
//! | serves, or no endpoint serves the service | at once |
//! | is a better pool that the service will go home to by itself | as the last step: after the hold-down, not while frozen |
//! | any other | never: live traffic there would be mixed traffic |
//!
//! When no endpoint serves the service (it is down, or a page serves), one good trial or one good probe is enough
//! (`eager`).
//!
//! # Slow start
//!
//! An endpoint that opens in a pool that serves already accepts a growing share of what is proposed to it, from a
//! tenth to all, over `slow_start` (`warm_enough` in `routing/pick.rs`). Endpoints that come up together in the first
//! round of probes, or with their pool, do not: there would be no warm one beside them. With hash balancing the share
//! of *keys* grows, so that no key goes back and forth.

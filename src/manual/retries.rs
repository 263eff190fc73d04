//! Chapter 7: retries, hedges, connect races and the retry budget: the rules of one request's tries, and their
//! reasons.
//!
//! `config/guides/retries.md` has the table of cases for users. The rules are one pure state machine,
//! [`Tries`](crate::routing::Tries) in `routing/tries.rs`, whose module documentation lists what always holds. Around
//! it: `proxy/upstream/` (`select.rs`, `dial.rs`, `wait.rs`, `retry.rs`), `proxy/http/attempt.rs` (one exchange),
//! `proxy/http/hedge.rs`, `proxy/upstream/race.rs`.
//!
//! # What decides
//!
//! Three facts about a failed try decide what may follow:
//!
//! 1. **Was it sent?** The kernel took at least one byte of the request, or it did not. Not sent means not executed.
//! 2. **May it be repeated?** By method: safe (GET, HEAD, OPTIONS, TRACE), idempotent (also PUT, DELETE), or neither.
//!    A safe method with a body is not treated as safe for hedges, races and crossings. An unknown method is neither.
//! 3. **Can it be repeated?** All of its body that was read so far is in the replay buffer, or it has none.
//!
//! | | not sent | sent |
//! |---|---|---|
//! | counted by `retry.attempts` | no | yes |
//! | bounded by | the endpoints under one table, the deadline | `attempts`, the budget, the deadline |
//! | methods | all | idempotent; all, if the endpoint said that it did not process the request |
//! | leaves its pool before the switch | safe ones (`cross_pool`) | the same, once |
//! | outcome has to be in `retry.on` | no | yes, but not for trials, unprocessed requests and stale connections |
//!
//! # Attempts
//!
//! - `attempts` counts exchanges with bytes sent. When they are used up, one further exchange may go to the next
//!   available pool, if `cross_pool` allows it. It goes there sooner where the pool has no endpoint left that has not
//!   failed this request: asking the same endpoint again is worse than asking another pool (`Tries::crosses_rather`).
//! - Not counted: the exchange on a trial (the request did not choose to be one), one on a stale idle connection (then
//!   only fresh ones are used), and one further exchange when the endpoint was condemned after its hedge came to
//!   nothing. Each of these needs budget all the same.
//! - PUT and DELETE go again inside their pool. After a timeout they do not: the first one may still run, and two at a
//!   time are more than one. With `cross_pool: idempotent` both limits fall.
//! - An answer with a status of `retry.on` is given up only if another endpoint can be picked right now. A 503 that is
//!   there is better than a wait.
//! - A safe request whose endpoint a newer table condemns while its answer is awaited leaves at once (`Tries::leave`),
//!   under the same rules. An unsafe one goes on waiting: its answer may still come.
//! - No pause stands before another endpoint. Before the same one: 25 ms at first, up to 250 ms, random.
//!
//! A *stale* connection is a reused one that was reset before its answer. For a request that may be repeated this is
//! no failure of the endpoint. `routing/stats/reuse.rs` says when reused connections are not used for requests that
//! must not be sent twice.
//!
//! # Waits
//!
//! A request waits instead of failing where a verdict is about to come. Each wait has one bound, and the deadline of
//! the request (`timeouts.connect` + `timeouts.response`; of a TCP session see `longest_search` in
//! `proxy/tcp/session.rs`) bounds all of them.
//!
//! | it waits for | at most | constant |
//! |---|---|---|
//! | the first choice of a pool | 1 s | `VERDICT_WAIT` |
//! | the verdict on a pool whose endpoints all refused it | 1 s, or `hold_requests` if longer | `VERDICT_WAIT` |
//! | … that did not answer its connect | 1.5 s: the engine's confirming connect takes nearly 1 s | `SILENT_VERDICT_WAIT` |
//! | the verdict on a pool whose endpoints are all suspected (unsafe requests) | 1 s, then it is sent there | `VERDICT_WAIT` |
//! | an endpoint, while the service is down | `hold_requests` | where a trial may come, looks every 100 ms: `HOLD_STEP` |
//! | something of this host (descriptor, port, memory) | `queue_timeout`, then `local_error` | tries every 50 ms: `LOCAL_STEP` |
//! | a route to the endpoint | 1 s, then as if refused | `VERDICT_WAIT` |
//! | room at endpoints with `max_connections` | `queue_timeout` | |
//! | a connection, while 16 connects to the endpoint are under way ([chapter 4](super::one_request)) | until a connect would be late, then it connects | `AT_ONCE` |
//!
//! `hold_requests` longer than the wait for the verdict: what is held asks refused endpoints again once a second, because the
//! verdict may have been in their favour.
//!
//! A wait ends early with a newer table. If the table's view of the service is another one, refused endpoints may be
//! asked again, because they were judged again (`Tries::resumed`).
//!
//! # Held sessions
//!
//! A TCP session of a service with `hold_requests` is *held* while the service is down or the pool has refused it
//! (`proxy/upstream/hold.rs`). Its deadline is that of its search plus the hold.
//!
//! - It gives back its permit of the service and takes a place in the service's line instead
//!   ([`HoldLine`](crate::routing::hold_line::HoldLine)), which all workers share. It counts as pending: beyond
//!   `limits.max_pending` a session is refused at once.
//! - The oldest `limits.release` places have their *turn*, and only these wait for a newer table. The others sleep until
//!   their turn comes. So a promotion wakes 64 tasks and not thousands, and the order is that of the places whichever
//!   worker has the session.
//! - With its turn a session picks from the newest table, takes a permit again, and connects. Its connect is not raced.
//!   With the connection, the place and the turn are given back, and the next session has its turn. A connect that failed
//!   leaves the session where it was: among the oldest, waiting for a newer table.
//! - A session that is not held never looks at the line.
//!
//! Nothing is read from the client meanwhile. Its bytes stay with the kernel, and what was read for SNI in its buffer. A
//! client that closes its side while it is held leaves, also where the FIN stands behind unread bytes. (`READABLE` says
//! nothing about that, and is not to be cleared: `net::stream::closed_by_peer` waits for the end of the read side alone.)
//! While its connect is under way, only a reset counts: then the FIN is passed on.
//!
//! A session without an endpoint is refused in the language of its client where `refusals` is `native`
//! (`proxy/tcp/refusal.rs`, with the encoders in `wire/refusal.rs`). The client's first message is waited for, for at most
//! 1 s: an error that is sent before it could be lost with the reset that follows an unread message.
//!
//! # Hedges
//!
//! A hedge is for answers that are late. A request is hedged if it is safe, has no body, and is no gRPC call, upgrade
//! or event stream, and the route's `stall` is not `off`. It starts after `retry.hedge`: with `auto` when the answer
//! is late by the same measure as for stalls ([health](super::health)). So the request that waits and the evidence
//! against its endpoint come from one clock.
//!
//! - It goes to an endpoint of the pool that is not suspected and either owes no answer or gave a sign of life since
//!   the request began to wait; else to the next pool, where allowed. Without such an endpoint it is put off for 50
//!   ms: two requests into the same stall help neither.
//! - It counts as an exchange, and needs budget.
//! - From its start the request's tries are those of the hedge, by the same rule. The first try only waits. If the
//!   first one fails, the hedge goes on alone; if the hedge comes to nothing, the first one does.
//! - The first good answer wins; the other try is cancelled at once (RST_STREAM, or a closed connection). From another
//!   pool only a status below 400 counts as good while the first try is pending: a standby may not know what home
//!   knows.
//! - A hedge that wins makes its request a *witness* against the first endpoint.
//!
//! # Connect races
//!
//! A connect is late after four times the usual time of connects to that endpoint, between 50 ms and 1 s; 250 ms if
//! nothing is known (`EndpointStats::connect_late_after`). Then another endpoint is dialled as well (after RFC 8305).
//! No byte of a request is sent before the race is over, so every request may race inside its pool, and safe ones into
//! another pool. One overtaken connect for each worker and endpoint goes on in the background, so that it becomes
//! known whether it was slow or lost. Its connection is kept.
//!
//! A request that waits in line for a connection races as if it were connecting. It is no witness, and its time in line
//! is no silence of the endpoint (`first_connect.rs`).
//!
//! # The budget
//!
//! Over any 10 s, extra exchanges (retries, hedges, crossings) are at most `retry.budget` × requests + 12
//! ([`Retry::BUDGET_FLOOR`](crate::config::Retry::BUDGET_FLOOR)).
//!
//! - **Why a budget:** when every endpoint is slow, retries and hedges double the load at the worst time. 20 % lets a
//!   dying pool's requests move once and stops a storm.
//! - **Why a floor:** a service with few requests has a share of nothing. Twelve are enough for the requests until a
//!   verdict on a pool of two endpoints.
//! - **Why shared by workers:** a budget for each worker would depend on how the kernel spreads connections. It is
//!   lock-free: reserve first, then look, so racing callers never get more than there is (`routing/budget.rs`).
//! - **One client network gets half** of it at most, where the service has several. Otherwise one client with a broken
//!   page uses the retries of all.
//! - Connects that carried no byte need no budget.
//!
//! Requests that failed in the same way at two endpoints (of two pools, where there are two), and were answered by
//! none, are remembered for 10 s. The same client network's requests for the same target are then not retried, except
//! one a second as a test. After a reset there is no test: what may kill a server process each time is not tried for
//! curiosity.

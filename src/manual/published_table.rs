//! Chapter 3: the published table and the switch protocol, which make a switch one instant for all workers.
//!
//! The protocol itself, with its guarantees, is documented and implemented in
//! [`routing::protocol`](crate::routing::protocol). It is generic over its memory: the proxy runs it on `ArcSwap` and
//! atomics ([`Published`](crate::routing::Published)), and `tests/world/switch_protocol.rs` runs the same code under a
//! schedule explorer.
//!
//! # What is published
//!
//! A [`RoutingTable`](crate::routing::RoutingTable) is immutable and numbered by its epoch. It has the routes, for
//! each service the serving pools, and for each endpoint its standing, admission and balancing weight. One writer
//! builds it: the engine, from the configuration and the conclusions of the core (`src/routing/table/build.rs`). A
//! service about which nothing changed is the same `Arc` as in the table before. Equality of pointers is then the
//! cheap test for "nothing changed here".
//!
//! Counters are atomics beside the table: [`EndpointStats`](crate::routing::EndpointStats),
//! [`ServiceStats`](crate::routing::ServiceStats), [`ListenerStats`](crate::routing::ListenerStats). They are carried
//! over from table to table by identity, so a publish loses no count.
//!
//! # The steps of a publish
//!
//! | step | by | file |
//! |---|---|---|
//! | 1. store the table | engine | `routing/published.rs` |
//! | 2. store its number: from here on re-checks of older tables fail | engine | |
//! | 3. bump the generation of endpoints whose pool ceased to serve, is gone, or is spoken to with other TLS settings | engine | `retire_connections` |
//! | 4. announce the number and wake every worker | engine | |
//! | 5. load the newest table, follow its sockets, sweep sessions, exchanges and idle connections | each worker | `Worker::take_up` in `proxy/worker.rs` |
//! | 6. acknowledge the number that was *announced* when step 5 began | each worker | `Board::catch_up` |
//!
//! Step 1 stands before step 2, so that a reader of number N loads a table at least as new as N. A worker acknowledges
//! what was announced, not the number of the table it loaded: a table can be visible before its publish has finished,
//! and then step 3 may not be done. `tests/world/switch_protocol.rs` shows that each of these orders, when changed, breaks a
//! guarantee.
//!
//! # What a try does
//!
//! 1. It picks an endpoint from the newest table.
//! 2. It takes an idle connection, or connects. This can take time.
//! 3. It registers its pool's activation with the worker (`ClientEntry::set_pool_term` in `proxy/clients.rs`).
//! 4. It re-checks: is the table still the newest, or is its service the same `Arc` in the newest one
//!    ([`WorkerView::still_holds`](crate::routing::WorkerView::still_holds))? If not, it picks again. No attempt is
//!    counted.
//! 5. It writes its first byte. No suspension point lies between 4 and 5: both are in one `poll` of the exchange
//!    (`poll_send` in `proxy/http/h1/upstream.rs` and `h2/upstream.rs`).
//!
//! A worker is one thread, so its acknowledgement cannot fall between 4 and 5. Hence: once all workers have
//! acknowledged epoch N, no try writes its first byte under a table older than N. The service is then in one pool
//! alone.
//!
//! A try that passed its re-check just before step 2 of the publish may write a moment later. This is not a gap: at
//! that time the switch is visible nowhere.
//!
//! A request keeps the route and the policies of its *first* table. Only the pick uses the newest one. A reload in the
//! middle of a request changes where it goes and not how it is treated.
//!
//! # Sessions and exchanges that run at a switch
//!
//! What runs when its pool is left is judged by a [`PoolTerm`](crate::routing::PoolTerm): the activation of the pool under
//! which it began, named by the epoch at which the pool began to serve. A sweep asks the new table for a
//! [`SessionVerdict`](crate::routing::SessionVerdict):
//!
//! The core decides by one rule what becomes of them ([`SessionRule`](crate::decision::SessionRule)), and says it of each
//! pool in the table ([`PoolSessions`](crate::decision::PoolSessions)): of the sessions of earlier terms, and of those of
//! its present one if it is fenced. Workers only obey. They apply the rule themselves where no row speaks of the session
//! any more (its endpoint, its pool or its service is gone), and to a request that was sent to a standby pool on purpose.
//!
//! | the pool in the new table | verdict |
//! |---|---|
//! | serves under the same activation, and the endpoint is still a member | stay |
//! | the same, and the pool is fenced for a switch that waits | as left; stay again if the switch comes to nothing |
//! | serves again, but under another activation | as left: `failover.sessions` decides |
//! | does not serve | `drain`: reset at the time it was left + `drain_timeout`; `close`: reset at once |
//! | the service is down, so no other pool has taken over | stay: the pool keeps its activation (the effect names the rule that would apply) |
//! | the endpoint was removed from the pool by a reload or DNS | as left |
//! | the endpoint was condemned, protocol `tcp`, `sessions: close` | reset at once |
//!
//! A trial or a try across pools begins under activation 0. It stays until another pool serves, and an HTTP request of
//! this kind may always finish within `drain_timeout`, counted from now.
//!
//! TCP sessions are in the [`SessionRegister`](crate::routing::SessionRegister) of their worker; HTTP exchanges are in
//! its list of clients. For both the order is: register first, then re-check; the worker takes up the table first,
//! then sweeps. So either the session sees the new epoch, or the sweep sees the session. A request that is between two
//! tries is registered with no activation: a switch never ends a request that can still be served by the new pool. The
//! same holds while it has two tries in flight.
//!
//! # The end of sessions
//!
//! When a pool is left or fenced, the core names the epoch that says so
//! ([`Effect::Sessions`](crate::decision::Effect::Sessions)), and is told when nothing is left there
//! ([`Event::SessionsEnded`](crate::decision::Event::SessionsEnded)). `control/fences.rs` concludes that from two things:
//! every worker has acknowledged that epoch or a newer one, and nothing is in flight at the pool's endpoints, those that a
//! reload took out of the pool while they were busy included.
//!
//! That is enough. A session counts as in flight before it connects and until both of its sides are closed; what a worker
//! began under an older table was counted before its acknowledgement; and after it nothing begins under an older table.
//! So a request pays nothing for this. A worker that is stuck never acknowledges: then the end is not told, and only the
//! time limit of a transition bounds the wait. Requests that go to the pool on purpose meanwhile (trials, tries across
//! pools) are in flight there too, and put the end off. The engine looks every 50 ms.
//!
//! The two are told apart by the epoch and by the identities of service and pool, which outlive a rename. The core is told of
//! the service under its present name and of the pool under the name that the effect used. An endpoint that a reload moves
//! to another pool keeps its counters, but what is in flight there is counted by its *stay*
//! ([`EndpointStats::begin_stay`](crate::routing::EndpointStats::begin_stay)): the pool it was taken from awaits what began
//! before the move, and no more. (An endpoint that moves a second time before that has ended begins no further stay: then the
//! end may be told too late, never too early.)
//!
//! The incident of the switch shows it as `fenced_ms` (fault → end of the last session). A pool that serves again before
//! its last session has ended has no such time. Where the switch had a fence as its gate, the sessions had ended before
//! *decided*: `fenced_ms` is then the time at which all workers had acknowledged the switch itself.
//!
//! # Idle connections
//!
//! Each idle connection keeps the generation of its endpoint from the time it was made. A checkout compares it
//! (`proxy/upstream/idle.rs`). The generation grows when
//!
//! - a connect is refused,
//! - the endpoint's pool ceases to serve, is gone, or gets other TLS settings,
//! - a reused connection is reset before its answer, unless resets of single connections are this endpoint's habit
//!   (`routing/stats/reuse.rs`),
//! - an answer is late and the kernel has sent the request again without an acknowledgement (`proxy/http/waiting.rs`).
//!
//! A connection is also asked whether it is *proven*: a peek finds no FIN, no RST and no byte. A TLS connection with
//! bytes pending is not proven. When an exchange ends, its connection is kept only if its pool still serves
//! ([`WorkerView::still_serves`](crate::routing::WorkerView::still_serves)).
//!
//! # Why POSTs survive a switch
//!
//! A request that must not be executed twice is safe to send elsewhere only when it was not sent at all. Therefore
//!
//! - it is written only to a connection that is new or proven (above), and not to reused connections for a time after
//!   an endpoint reset one;
//! - a request counts as sent when the kernel took at least one byte of it; a write that took none never happened;
//! - a refused connect leaves it unsent, and it goes on to the next endpoint of its pool;
//! - when every endpoint of the pool was refused, it waits for a newer table, up to 1 s
//!   ([`VERDICT_WAIT`](crate::routing::tries::VERDICT_WAIT)), or 1.5 s where a connect was not answered; the engine
//!   needs milliseconds ([one failover](super::one_failover)), and the request goes on under the new table;
//! - a connect that is pending when a newer table condemns its endpoint, or leaves its pool, is given up, and the
//!   request picks again (`Dispatch::superseded` in `proxy/upstream/wait.rs`);
//! - while every endpoint of its pool is suspected and another pool is available, it waits up to 1 s instead of being
//!   sent into a stall;
//! - its body is replayed from the buffer (`retry.replay_bytes`) if a part of it had been read.
//!
//! What was sent and broke off is answered with 502, never sent again.
//!
//! # The end of a switch
//!
//! The publish that carries a switch also carries a [`FirstAnswer`](crate::routing::FirstAnswer). The first head of an
//! answer from the new pool that is no failure fills it and wakes the engine, which closes the incident: that is the
//! measured RTO. Time in which no request came is left out: for a request that began after the switch, the answer
//! counts as if the request had come at the switch.
//!
//! Old tables are freed by the engine and not by a worker, once every worker has acknowledged a newer epoch and no
//! request holds them ([`Published::reap`](crate::routing::Published::reap)).

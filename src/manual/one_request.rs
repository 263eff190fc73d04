//! Chapter 4: one HTTP request from accept to the access log, file by file.
//!
//! The clients' protocols (HTTP/1, HTTP/2) and the endpoints' protocols are behind two traits, `Client` and `Exchange`
//! in `proxy/http/`. One request function serves all four combinations. This chapter follows HTTP/1 on both sides.
//!
//! # 1. `proxy/accept.rs`: accept
//!
//! Each worker has one listening socket per address (`SO_REUSEPORT`), and an accept loop for it. The order is: a place
//! under `limits.max_connections` of the listener, a place in the descriptor budget, then `accept`, then a task.
//! Nothing slow stands in between. Where there is no place, the connection waits in the kernel's queue: a client that
//! is accepted can be served. See [this host's own faults](super::own_faults).
//!
//! # 2. `proxy/handshake/mod.rs`: PROXY header and TLS
//!
//! An optional PROXY header is read without taking one byte behind it, then TLS is negotiated. Both have to be done
//! within `timeouts.handshake`. ALPN decides between HTTP/1 and HTTP/2. In the clear, HTTP/2 is found by its preface.
//!
//! # 3. `proxy/http/h1/connection.rs`: the connection
//!
//! It reads a head, has the request served, and goes on with the next one. Most connections are idle most of the time,
//! and a request needs many times the memory of a connection. So the state of requests is in pooled tasks
//! (`h1/request_slot.rs`), and an idle connection keeps little more than its socket.
//!
//! # 4. `wire/h1/request.rs`: parse
//!
//! The parser is strict, incremental and without IO. It refuses what two readers could understand differently:
//! repeated or contradictory lengths, bare line feeds, bytes that a field must not have. Heads are written again from
//! parsed values on the way out (`wire/h1/encode.rs`), so nothing passes through unread.
//!
//! Standfast has an HTTP/1 codec of its own because a general one repairs messages that a proxy must refuse, and
//! cannot say how many bytes of a request the kernel took. That number decides whether a retry is safe. HTTP/2 uses
//! the crate `h2` on both sides, with limits of our own in front (`wire/h2/meter.rs`).
//!
//! # 5. `proxy/http/request.rs`: the list of steps
//!
//! `Request::serve` and `Request::ask` read like this list:
//!
//! ```text
//! too many hops?             → 508
//! match the route            by the first table
//! count it for the budget
//! first bytes of the body    must be here before the request takes a permit
//! permit of the service      or wait in its queue
//! loop:
//!     pick an endpoint       from the newest table
//!     idle connection, or connect
//!     re-check, send, wait for the final head
//!     failed?                → the retry rule: again, wait, or give up
//! stream the answer
//! count, one access-log record
//! ```
//!
//! # 6. `routing/matching.rs`: the route
//!
//! The most specific route wins: host, path, method, number of header conditions, order. The cost depends on the
//! request and not on the number of routes.
//!
//! # 7. `proxy/http/upload.rs`: the body before the permit
//!
//! A client that announces a body and sends nothing must not hold a permit. The first bytes have to be here before.
//! Bodies that have not shown the least rate (512 B/s) share half of the permits. gRPC calls and clients that wait for
//! `100 Continue` take a place among these at once.
//!
//! # 8. `routing/limits.rs`: the permit
//!
//! `limits.max_connections` of the service over all workers, waiters oldest first, `limits.queue_timeout` as their
//! deadline.
//!
//! # 9. `proxy/upstream/select.rs`: from a service to a connection
//!
//! `Dispatch::next` loops until there is a connection, a static response, or a reason to give up. Failed connects are
//! counted and gone on from here; waits for a newer table are waited here. TCP sessions use the same function. A
//! connect that is late is raced by one to another endpoint (`race.rs`).
//!
//! # 10. `routing/pick.rs`: the endpoint
//!
//! One pure function of the table, the request's class and what it has tried. In order: a trial if one is due and the
//! request is safe; the balancing method's proposals among open endpoints that are untried, not suspected and have
//! room; then any such endpoint; then an endpoint that was asked before. It allocates nothing.
//!
//! # 11. `proxy/upstream/idle.rs`: the idle connection
//!
//! The last one parked is the first one used. It has to be of the newest generation and proven. Nothing is taken if
//! the retry rule asks for a fresh connection.
//!
//! Where there is none, `dial.rs` connects. Of each worker at most 16 connects to one endpoint are under way at once, for
//! each millisecond of the round trip to it (64 ms at most). A further request waits in line, first in first out, for whichever comes
//! first: a connection that an exchange gives back, or a permit to connect (`dial_gate.rs`). So a burst that finds no
//! idle connection, as after a switch to a standby, does not spend its first 100 ms with connects alone: the first
//! requests are answered meanwhile, and their connections serve most of the others.
//!
//! - A connection that is given back goes to the first request in line and not to the idle list. The request looks at
//!   it as at an idle one: generation, expiry, peek.
//! - A connect that fails lets all of the line go. Each connects for itself, so the verdict on a dead endpoint is as
//!   fast as without a gate, and no failure is counted but that of a connect that was made.
//! - A connect, or a wait, that is *late* (four times the usual, see [retries](super::retries#connect-races)) leaves
//!   the gate: the connect gives back its permit, and the waiting request connects. So a few connects that get lost do
//!   not hold up the line.
//! - The time in line is a part of `timeouts.connect`. A request for which it runs out goes on as after an unanswered
//!   connect. That is evidence against the endpoint only where the connect had the whole time.
//! - Not gated: requests to which a connection of others is of no use (`keepalive: off`, PROXY protocol, POST after a
//!   reset, TCP sessions), the second connect of a race, and hedges. HTTP/2 has one dial for many requests instead.
//!
//! # 12. `proxy/http/attempt.rs`: one exchange
//!
//! Register, re-check, send, wait for the final head. The steps of a try are functions of `UpstreamTry`
//! (`upstream_try.rs`), which hedges use too. While it waits, four things can happen beside the answer: it is
//! late (`waiting.rs`), it is hedged (`hedge.rs`), its endpoint is condemned by a newer table (a safe request leaves),
//! or its client goes away. A good head is passed on: short answers to safe requests are held up to 100 ms until they
//! are complete (`hold_response`), so that one that breaks off can be sent again. Longer ones are streamed. An answer
//! that breaks off while it is streamed is cut at the client too. It never ends as if it were complete.
//!
//! # 13. `routing/tries.rs`: what comes after a failure
//!
//! A pure state machine, one per request. Chapter [retries](super::retries) has its rules.
//!
//! # 14. `proxy/http/account.rs`: counters and the access log
//!
//! Counters are sharded by worker and looked up once per table, not by label. The record is formatted into a buffer of
//! the worker and handed to a writer thread (`telemetry/access.rs`). A full queue drops records and counts them. It
//! never makes a request wait.
//!
//! # What the way of a request does not have
//!
//! A healthy request takes no lock of ours (the semaphore behind the permit has one inside), sends no message to
//! another thread, and allocates nothing over HTTP/1 (`tests/allocations.rs`). Attribution of failures takes locks
//! (`routing/stats/attribution.rs`), but only when a try has failed or the endpoint has failed lately. A timer per
//! read would cost more than the read, so all deadlines of a worker are in one ring of 10 ms ticks
//! (`proxy/deadline.rs`).

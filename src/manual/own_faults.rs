//! Chapter 10: time, and faults of this host: pauses, lack of descriptors, missing routes. None of them is evidence
//! against an endpoint.
//!
//! # Time
//!
//! - The core gets time as an argument ([`MonoTime`](crate::time::MonoTime)). It never goes back: `Decision` keeps the
//!   newest time it was told, and observations that lie in the future count as now.
//! - Only `sys/clock.rs` reads a clock. It is `CLOCK_MONOTONIC`. The wall clock is for records that people read, and
//!   for the age of the state file.
//! - Deadlines of the data path have a precision of 10 ms (`proxy/deadline.rs`). None fires early.
//! - Events carry the time of observation; their handling may be later.
//!
//! # Pauses
//!
//! A process that was stopped (SIGSTOP, a frozen container, no CPU) finds every deadline passed when it goes on,
//! although the answers have been waiting in its sockets. Taken at face value, every endpoint would have timed out at
//! once.
//!
//! 1. **The clock leaves the pause out** (`sys/running.rs`). A thread gives a sign every 25 ms. A gap of 100 ms or
//!    more without a sign of any thread is a pause, and the clock goes on from the last sign. So everything that is
//!    armed moves by the length of the pause.
//! 2. **Sockets are read before deadlines fire.** A sweep that comes more than three ticks late first lets the runtime
//!    take what has arrived.
//! 3. **What fails right after a pause says nothing.** Resets, timeouts and unanswered connects within 100 ms of its
//!    end are not counted (`count_fault` in `proxy/upstream/faults.rs`). Probes and confirming connects that a pause
//!    overlapped end as `Local`, unless they passed.
//!
//! Times in records for people have the pause added again (`clock::paused_for`).
//!
//! # Local errors of a connect
//!
//! `judge_connect` in `net/dial.rs` sorts errors of a connect. Only what came from the network is evidence:
//!
//! | outcome | errors | meaning |
//! |---|---|---|
//! | refused | ECONNREFUSED, ECONNRESET, ECONNABORTED, EPIPE | evidence |
//! | unreachable | EHOSTUNREACH, ENETUNREACH and the like, from the network | as good as refused |
//! | timeout | ETIMEDOUT, or the deadline | evidence; a verdict by itself only with `on_all_down: fail_open`, and confirmed |
//! | no route | the same errors, but *at once*, before a packet left; no source address | this host's, unless it lasts (below) |
//! | local | all others: EMFILE, ENOMEM, EPERM, no free port | this host's |
//!
//! A request that met a local error tries the same pool again every 50 ms, for up to `queue_timeout`, and then gets
//! 503 with `local_error`. It does not leave its pool for it: the next pool is dialled with the same descriptors.
//!
//! # Descriptors
//!
//! `net/descriptors.rs` is a budget, counted by the process itself, so that a connection costs no system call for it.
//!
//! - A client is accepted only if there is room for a connection to an endpoint beside it. So what is accepted can be
//!   served. Further clients wait in the kernel's queue.
//! - A reserve is left for the admin port, files and probes: 96 and one for each checked endpoint, at most a quarter
//!   of all.
//! - When it is short, idle connections to endpoints are closed, and connections of clients end with their request.
//! - EMFILE or ENFILE from the kernel all the same closes idle connections. Met by a connect to an endpoint, it stops
//!   accepting for one second; met by an accept, for 50 ms.
//!
//! # No route
//!
//! A connect that fails before a packet leaves says that this host has no way to the endpoint: link down, no route, no
//! source address. This is often a passing state. It counts against the endpoint only if both hold (`Reach::is_cut`,
//! `Service::judge_routes`):
//!
//! - it lasts for 1 s or longer, and
//! - an endpoint of another pool was reached since it began, *and then* a further connect to this endpoint found no
//!   route again. Where all ways come back, one of them is the first.
//!
//! Meanwhile the way is looked for every 250 ms, and requests wait up to 1 s. Where all pools are lost at the same
//! time, see [isolation](super::failover#isolation).
//!
//! # Loops
//!
//! A request that passed through ten proxies of this kind is refused with 508 (`MOST_HOPS` in
//! `proxy/http/request.rs`). `check` and the start warn of endpoints that are a listener of our own.
//!
//! # The process
//!
//! A panic in a connection's task ends that connection. A panic in a worker ends its connections, and the worker
//! begins again after 100 ms. If the control plane ends, the process exits with an error, so that the supervisor
//! restarts it with the state of before: a proxy that cannot fail over must not look healthy.

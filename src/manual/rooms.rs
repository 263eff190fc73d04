//! Chapter 2: the modules at the top ("rooms"), which of them may import which, and the threads that run them.
//!
//! The picture is in the documentation of the library ([`crate`]). `tests/shape.rs` is its proof: `ARROWS` lists what
//! each room may import, and an import that is not listed fails the test, as does a listed one that is not used. A new
//! room is a line there and a word in the picture.
//!
//! # Why the arrows point as they do
//!
//! - **`decision/` is pure.** It has no IO, clock, randomness, lock or log. Its whole state is one value
//!   ([`Decision`](crate::decision::Decision)) that is `Clone + Serialize + PartialEq`. So a journal of events replays
//!   to an equal value, the simulated world can compare two cores, and every rule can be tested with times as
//!   arguments. See [verification](super::verification).
//! - **`proxy/` and `control/` never import each other.** They meet in `routing/`: the control plane publishes a
//!   table, the data plane reads it and counts in atomics beside it. So no request waits for a decision, and no
//!   decision for a request.
//! - **`routing/` is pure apart from its atomics and notifications.** The simulated world drives the real table, pick,
//!   retry rule, budget and counters.
//! - **`simulation/` stands on `routing/`, beside `control/` and `proxy/`.** It runs the core and the table on a virtual
//!   clock, with models in the place of both. It has no IO, and draws chance from a seed. So a dry run and the world test
//!   are one machine. The only users are the program around it and tests.
//! - **`wire/` turns bytes into values and back.** It does no IO, so every parser has properties in `tests/fuzz`.
//! - **`sys/` has the only `unsafe` and the only clock.** `clippy.toml` forbids `Instant::now` and `SystemTime::now`
//!   elsewhere.
//! - **`telemetry/` names every metric in one file**, `src/telemetry/names.rs`.
//! - **`admin/` imports `control/`, and not the reverse.** The engine answers messages and knows nothing of HTTP.
//! - **`manual/` imports nothing.** It is text.
//!
//! Imports in circles between files are listed in the same test (`CIRCLES`), each with its reason. The list only
//! becomes shorter. Files are at most 450 lines of code (`LINES`), apart from those in `LONG`.
//!
//! # Where a new thing goes
//!
//! | it is | room |
//! |---|---|
//! | a rule that changes which pool serves, or what an endpoint may get | `decision/` |
//! | a rule about one request's tries | `routing/tries.rs` |
//! | something that workers count for such a rule | `routing/stats/` |
//! | a key of the configuration | `config/`, as the end of its module documentation says |
//! | a reader or writer of bytes | `wire/`, with properties in `tests/fuzz` |
//! | a behaviour of endpoints, clients or the engine for dry runs and the world test | `simulation/` |
//! | an IO of the control plane: a kind of probe, a notification | `control/` |
//! | something on the way of a request | `proxy/` |
//! | a system call | `sys/` if it needs `unsafe`, else `net/` |
//!
//! # Threads
//!
//! | thread | runs | file |
//! |---|---|---|
//! | main | signals, and waiting for the others | `src/cli/server_process.rs` |
//! | `control` | the engine, all probes, DNS lookups; a runtime of one thread | `src/control/engine.rs` |
//! | `worker-0` … | one event loop each: accepts, clients, upstream connections, deadlines | `src/proxy/worker.rs` |
//! | `admin` | the HTTP port and unix socket for people and scrapers | `src/admin/server.rs` |
//! | `recorder` | feeds the recorder of an embedder with all metrics | `src/admin/recorder_feed.rs` |
//! | `file-state`, `file-journal` | write the files of the control plane, one each | `src/control/file_writer.rs` |
//! | `audit` | writes the audit log | `src/control/audit/writer.rs` |
//! | `clock` | gives a sign every 25 ms, so that pauses of the process are found | `src/sys/clock.rs` |
//!
//! Writers of the log and of the access log are threads of their own. Workers share nothing with each other but what
//! `routing/` shares: tables, and counters with one shard a worker.

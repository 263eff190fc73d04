//! Chapter 9: what survives a restart, a reload and a DNS answer, and how identity is decided.
//!
//! Users read `config/guides/operate.md` and `config/guides/names.md`.
//!
//! # Restart: the state file
//!
//! `control/state/` does the IO, `decision/persist.rs` says what is kept ([`Saved`](crate::decision::Saved)):
//!
//! | kept | not kept, and why |
//! |---|---|
//! | the active pool, or the lost shares | health of endpoints: it is proven again, since it may have changed |
//! | the pin, and that a switchover was ordered | ejections and streaks: evidence is about the past |
//! | the last switch, relapses, the time of the last failback | rhythm of pools |
//! | outages of the window, the rest of a freeze | |
//! | open conditions | |
//! | administrative states | |
//! | the last 64 incidents, the epoch, the next incident's number | |
//! | what names stood for | |
//!
//! All times are written as ages. The monotonic clock of the next process may have another origin, so at reading they
//! are made older by the wall-clock time that passed. A file older than `max_age` is not used, and a missing file is a
//! first start.
//!
//! - The engine persists after a publish, never before it. A thread of its own (`control/file_writer.rs`) writes it
//!   aside with mode 0600, syncs, renames and syncs the folder. A newer state replaces one that still waits. The file before stays as `.previous`.
//! - Without a change it is written every minute (or a quarter of `max_age`): its age has to say how long no process
//!   ran.
//! - A SHA-256 stands at its end. Damage means: the file is kept as `.damaged`, and `.previous` is used. An entry that
//!   cannot be true costs only itself, is logged, and stands in the status.
//! - Hold-downs begin again with the proof of health. All pools count as having served, so a restart is never a
//!   failback without hold-down.
//!
//! The first choice after a restart is in [failover](super::failover). `Saved::VERSION` is the number of the format. A
//! file of another number is read as far as its entries can be read, and the rest is told. Fields that are not known are ignored
//! where the checksum is right: a later version may add some. `tests/formats/state-1.json` is a file of format 1. It is never
//! edited, and a test reads it. The snapshot of the decision (`GET /v1/decision`) has a number by the same rules
//! ([`DecisionSnapshot`](crate::control::DecisionSnapshot)).
//!
//! # The journal
//!
//! `control/journal/` keeps what the core was told, so that a failover can be replayed by the program's own code. A segment
//! is a [`Decision`](crate::decision::Decision) as JSON and a line for each event. There are two files, each of half of `max_bytes`:
//! the newest at `path`, the one before it as `.previous`. When one is full, the next one begins with a new snapshot, to
//! which the events have to lead: `standfast journal` compares them. The core is deterministic, so a difference is a bug, another
//! version of the program, or a secret that changed (secrets are written as `***`).
//!
//! - The engine makes the lines in its turn and hands them over once in a sweep. A snapshot is cloned in the turn and written as
//!   text on the file's thread. The queue is bounded (8 MiB): when it is full, or a batch does not fit, events are dropped and
//!   counted, and a new segment begins, one in 10 s at most. Its reason `overflow` says that the one before it ends too early.
//!   A snapshot of more than a quarter of a file is refused.
//! - Each batch ends with a checksum of itself and of the checksum before. What stands behind the last checksum was not written whole
//!   and is left out. A checksum of something else is a damage: the segment ends before it, and the next one is read again.
//! - A start adds its segment to the file at `path` while that is less than half full: a crash loop does not rotate away what led
//!   to it. A panic of the engine hands over what it had gathered.
//! - Nothing is synced but at the stop: a crash of the process loses nothing that was handed over, a crash of the machine may lose
//!   what the kernel had not written.
//! - What stands at `path` or as `.previous` and is no journal is not replaced. No link is followed. A path that blocks blocks
//!   nothing but the journal.
//!
//! # Reload
//!
//! `ControlHandle::reload` reads and validates the whole file, reads certificates, and looks up new names, all off the
//! control thread. Then the engine binds new sockets, which is the last step that can fail. From there on nothing
//! fails: a reload is one [`Event::Configured`](crate::decision::Event::Configured), one epoch and one publish for all
//! services. A refusal changes nothing.
//!
//! Sockets of an address that stays are kept, also when it moves to another listener. A new address is first bound
//! without `SO_REUSEPORT`, so that a foreign process on that port is an error and not a sharer of it.
//!
//! Some keys need a restart ([`NEED_RESTART`](crate::control::NEED_RESTART)): what was started with the process. A
//! reload that changes them warns.
//!
//! # Identity
//!
//! [`Succession`](crate::decision::Succession) compares two configurations. The core, the table, the metrics and
//! discovery use the same comparison, so they agree.
//!
//! | thing | is the same if |
//! |---|---|
//! | service | it has the same name; or the same protocol, pools, listeners and routes under another name, unambiguously |
//! | pool | it has the same name in that service; or the same set of endpoints under another name, unambiguously |
//! | endpoint | it has the same address in that service; it may move to another pool |
//! | listener | it has the same name |
//!
//! In doubt it is new: a wrong identity would give one service's decisions to another. What is the same keeps health,
//! counters, decisions, incidents and idle connections. An [`EndpointId`](crate::decision::EndpointId) is never used
//! again.
//!
//! - A changed check keeps its last verdict; streaks begin again. Without a check an endpoint is green.
//! - A new endpoint of an address that the *same check* (kind, host, port, times) already knows from another service
//!   begins with what that check found. Health is never shared by address alone.
//! - A pool that a reload adds is held down for. It has to prove itself like one that comes back.
//! - If the active pool's endpoints are replaced by unknown ones, requests wait for their first probes as after a
//!   restart, and no switch is made if they pass (`await_strangers`).
//! - If the active pool is removed, the service goes to the best one that stays, before the pool is gone.
//! - A connection or exchange at a removed endpoint ends by `failover.sessions`. Clients that were admitted
//!   by other rules (TLS, client certificates, PROXY header) finish their request, and their connections are closed.
//!
//! # DNS
//!
//! `control/discovery/` turns names into addresses. Below the engine there are only addresses: a new answer is to the
//! core what a reload is ([`Event::Configured`](crate::decision::Event::Configured)).
//!
//! - An answer without addresses, and a lookup that fails, change nothing. DNS must not be a cause of outages, and
//!   health is for checks to say.
//! - An address that an answer no longer has stays up to 10 s while its pool has too few other endpoints that are
//!   well: the new ones are checked before the old ones go.
//! - TTLs are taken as 1 to 60 s. A name whose address is condemned is asked at once, and every 5 s at least: the
//!   server may have moved.
//! - After 5 minutes without a good answer an alert says so. The addresses stay.

//! Chapter 14: the audit log: its lines, its files, and what it proves.
//!
//! Users read `config/guides/audit.md`. The format is `src/audit/` (pure), the files are `control/audit/`, the reader is
//! `cli/audit/`.
//!
//! # Format 1
//!
//! A record is one line of JSON of at most 64 KiB, ended by a line feed:
//!
//! ```json
//! {"seq":4711,"time":"2026-11-29T10:42:07.311Z","instance":"edge-1","life":"9f3c1a6be2d04578","type":"act.done",
//!  "record":"9f3c1a6be2d04578.17","service":"shop","what":{…},"prev":"…","hash":"…"}
//! ```
//!
//! (It is shown in two lines here, and is one.)
//!
//! | field | is |
//! |---|---|
//! | `seq` | its number: 1, 2, 3 … without gaps, over files and restarts. Always the first field |
//! | `time` | RFC 3339 in UTC with milliseconds, by the wall clock, which may be set back. The order is that of `seq` |
//! | `instance` | the name of the instance (`instance:` of the configuration, else the host's) |
//! | `life` | a random number of 64 bits for each start, 16 hexadecimal digits |
//! | `type` | the word of a [change record](super::records), or `act.asked`, `act.rehearsed`, `act.denied`, `audit.gap`, `audit.checkpoint` |
//! | `record` | the id of the change record, `LIFE.N`; absent where there is none |
//! | `service` | the service that it is about; absent: the whole instance |
//! | `what` | the content, as the change record of this type has it |
//! | `prev` | the `hash` of the line before, 64 hexadecimal digits; 64 zeros in the first line. The last field but one |
//! | `hash` | SHA-256 of `standfast-audit-v1`, a line feed, the 32 bytes of `prev`, and the bytes of this line before `,"hash"`. The last field |
//!
//! A reader takes fields that it does not know, and does not rely on the order of those between `seq` and `prev`. A change
//! that a reader of format 1 could not verify is another domain word (`standfast-audit-v2`) and another number.
//! `tests/formats/audit-1.jsonl` is a log of format 1. It is never edited, and a test reads it.
//!
//! The types of the log's own have this content:
//!
//! | type | `what` |
//! |---|---|
//! | `act.asked` | `act`, `command`, `actor`, `reason`, as `act.done` has them |
//! | `act.rehearsed` | the same, of a dry run: nothing changed |
//! | `act.denied` | `source`, `actor` where it is known, `denied` (for people), `left_out`: denials of this source since its last record that have none of their own |
//! | `audit.gap` | `lost`: so many records are missing here |
//! | `audit.checkpoint` | `seq` and `hash` of the record before it, and both as a signed note (`note`) |
//!
//! A content that would not fit in a line is `{"too_long":BYTES}`.
//!
//! # Order
//!
//! An act is on disk (fsync) as `act.asked` before the engine hears of it; its outcome follows
//! ([`ControlHandle::act`](crate::control::ControlHandle::act)). The wait is 1 s at most. Where the record fails or is late,
//! `audit.on_error` decides; root on this host may always act, since else a full disk would lock out the one who can free it. What
//! was late is written later, before its outcome. What Standfast decides itself is recorded after its publish, and waits for
//! nothing.
//!
//! # The thread
//!
//! Everything goes through one queue of 8 MiB to the thread `audit` (`desk.rs`, `writer.rs`). It takes what waits, up to
//! 256 KiB, and makes one write and one fsync of it. A write that fails is taken back (the file is cut to what was whole) and
//! made again: every second, and at once for an act that waits. After an fsync that failed a second fsync alone would prove
//! nothing, so the bytes are written again. What does not fit in the queue is counted, and `audit.gap` stands where it is
//! missing. Denials are bounded apart from that: one record a second for each source, and ten of all together, so that
//! denials cannot push the rest out of the files.
//!
//! # Files
//!
//! The newest file is at `audit.path`. When a write would make it larger than `rotate`, it is renamed: the number of its first record
//! with twelve digits is put behind its name. It keeps that name. The newest `keep` of these stay.
//! Beside them are `.lock` (held by flock, with the number of the process), and `.torn` if there was a crash: a last line
//! without a line feed is moved there, at the next start, and the chain goes on before it. Anything else that is wrong with
//! the end of the file refuses the start: nothing is ever added to what is not understood.
//!
//! # What it proves
//!
//! The chain shows edited, removed, inserted and reordered records and files between the first and the last record. It does
//! not show that the end was cut off, or that all of it was written again from some record on:
//! write access to the file is enough for that. Against that, each checkpoint is also a line of the program's log, a record for readers of `/records`, and
//! `standfast_audit_records_total` is the number of the last record: any copy of these elsewhere is a witness
//! (`standfast audit verify --expect SEQ:HASH`). A key that only the instance can read adds: who does not have it can
//! write no checkpoint. `audit verify` ends with one sentence that says what is not proven.

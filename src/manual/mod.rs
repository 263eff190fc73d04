//! The manual: how Standfast works inside, and why it is so, for engineers who carry the project on.
//!
//! It has text only. Users read `config/guides/`; the manual does not repeat the guides, and has the mechanisms and reasons
//! behind them. Paths without `src/` in front are below it.
//!
//! | chapter | is about |
//! |---|---|
//! | 1 [`vocabulary`] | terms, and the standard names of what has a local name in the code |
//! | 2 [`rooms`] | modules, the direction of imports, threads |
//! | 3 [`published_table`] | the published table and the switch protocol; why POSTs survive |
//! | 4 [`one_request`] | one request from accept to the access log, file by file |
//! | 5 [`one_failover`] | one failover from the first refused connect to the first good answer, file by file |
//! | 6 [`health`] | states, evidence, stalls, ejection, trials, slow start |
//! | 7 [`retries`] | retries, hedges, connect races, the budget |
//! | 8 [`failover`] | failover, rollback, failback, hold-down, freeze, pages, isolation, `active_active` |
//! | 9 [`persistence`] | state file, reload, DNS, identity |
//! | 10 [`own_faults`] | time, pauses, descriptors, routes: faults of this host |
//! | 11 [`defaults`] | defaults with their reasons |
//! | 12 [`verification`] | how it is proven, and how to run each proof |
//! | 13 [`records`] | change records, their sinks, conditions |
//! | 14 [`audit`] | the audit log: its lines, its files, and what it proves |
//! | 15 [`following`] | following the primary of a database |
//!
//! A first reading is chapters 2, 5, 4, 3.
//!
//! # How it stays true
//!
//! Where the manual and the code differ, the code is right and the manual has a fault. A commit that changes a rule changes
//! its chapter. Comments in the code name the chapter of the rule that they are part of.
//!
//! # What is not built
//!
//! Some names in the code make room for parts that do not exist yet: promotion of a database, signed
//! webhooks, drills, UDP, a fleet with a shared decision, hand-over at an
//! upgrade, failback windows and ramps. The configuration refuses their keys as not supported yet. README.md has the list
//! for users.
pub mod audit;
pub mod defaults;
pub mod failover;
pub mod following;
pub mod health;
pub mod one_failover;
pub mod one_request;
pub mod own_faults;
pub mod persistence;
pub mod published_table;
pub mod records;
pub mod retries;
pub mod rooms;
pub mod verification;
pub mod vocabulary;

//! Chapter 12: how the rules are proven, and how to run each proof.
//!
//! `bash .ci/run` runs everything that a change must pass. The parts:
//!
//! | what | proves | run |
//! |---|---|---|
//! | unit tests of the core | each rule by itself, with times as arguments | `cargo test --lib decision` |
//! | simulated world | the rules together, under noise | `cargo test --test world` |
//! | mutants | that the world would notice a wrong rule | `python3 tests/mutants/run.py` |
//! | schedule explorer | the switch protocol in every order of steps | `cargo test --test world switch_protocol` |
//! | switch race | the same on real sockets | `cargo test --test proxy switch_race` |
//! | the API | its answers are those of `config/openapi.json` | `python3 tests/openapi/run.py`; longer: `bash .ci/run --long openapi` |
//! | fuzz | the readers of bytes | `cargo test --test fuzz`; searching: `bash .ci/run --long fuzz` |
//! | faults | what is promised about failures, with the whole program | `cargo test --test control faults` |
//! | databases | what is promised about primaries, with real servers and clients that keep a ledger | `tests/databases/run`; longer: `bash .ci/run --long databases` |
//! | containers | the same in Docker: stopped, killed, cut off under load | `python3 tests/compose/run.py` |
//! | allocations, instructions | the cost of a request | `cargo test --test allocations`, `cargo bench --bench instructions` |
//! | documentation | every example and table of the guides | `cargo test --test config documentation` |
//! | shape | rooms, arrows, circles, lengths | `cargo test --test shape` |
//!
//! # The simulated world
//!
//! `tests/world` is the main test of the decisions. It runs 256 worlds of 8000 steps. Each world is a
//! [`Simulation`](crate::simulation::Simulation) with a seed, a virtual clock and a queue of events. In it run the *real*
//! core, table, pick, retry rule, hedges, races, budget and counters. Only endpoints, network and the engine's IO are
//! models. Endpoints die, hang, freeze, stall, fail and flap; messages are late or lost; operators, reloads and restarts
//! come at any time (`world/world.rs`).
//!
//! The simulation is a room of the library (`src/simulation`): the same code answers what an act would do to a running
//! proxy. What is real and what is modelled in it, its documentation says. It judges nothing: `world/judge.rs` is its
//! observer, and hands what it sees to the oracle.
//!
//! Five judges look at every step:
//!
//! - **The oracle** (`world/oracle.rs`) knows what the core was told, and judges what it concluded, from outside: no
//!   standing changes without evidence, no switch is made that no rule allows, no try writes its first byte to a pool
//!   that was left, effects come in their order. It has a formulation of its own for each rule, not the rule's code.
//! - **The vigil** (`world/vigil.rs`) knows the truth about the upstreams, and demands the opposite: a fault is
//!   noticed within its bound, and a pool that is well does not stand by while the service is down.
//! - **The calm** (`world/calm.rs`): after the noise all faults end, and within a bound traffic is good and the
//!   service is home.
//! - **Conditions** (`world/conditions.rs`): each is raised once when its reason begins, and cleared when it ends.
//! - **The replay**: the journal of all events gives an equal core.
//!
//! **Coverage** (`WANTED` in `world/main.rs`): a run that does not see every listed edge often enough fails. So a change
//! that makes a path unreachable is noticed.
//!
//! `world/gates.rs` has a family of its own, of 96 worlds whose switches have gates: answers and acknowledgements that
//! come late, twice, never, or about another switch; orders, reloads and restarts while one waits. Its oracle is
//! `world/gates_oracle.rs`.
//!
//! `world/primaries.rs` is a world of its own, of databases: servers with branches of history that the model knows by itself,
//! replicas that lag, postmasters that hang, promotions by right and by mistake, rewinds, restarts of the proxy, workers that
//! are late. Its oracle: one endpoint is open at most, and none between two; no acknowledgement of a former holder comes
//! after one of the next; nothing is opened whose data does not continue what was followed; no session is cut without a
//! reason; a statement is in force at once; in the end the only primary is the holder.
//!
//! `STANDFAST_SEED=17 cargo test --test world -- --nocapture` replays one world. `world/plays.rs` has scripted attacks
//! and faults, each with what must come of it and many seeds.
//!
//! A new effect of the core needs its part in `src/simulation/model_engine.rs`; a new behaviour of endpoints, of clients or of
//! the data plane its model there.
//!
//! A new rule of the core needs: a unit test, a line in the oracle that forbids its opposite, an edge in `WANTED`, and
//! a mutant.
//!
//! # Mutants
//!
//! `tests/mutants/mutants.py` lists wrong cores, one changed line each, with what would go wrong for users. `run.py`
//! builds a copy of the pure rooms for each and expects the world (or the unit tests) to fail. A mutant that survives
//! is a hole in the oracle. Names select some: `python3 tests/mutants/run.py fall_is_one_less`. The text of a mutant
//! has to stand in its file exactly once. So a change of that line needs a change of the list.
//!
//! # The switch protocol
//!
//! `routing/protocol.rs` is generic over its memory. `tests/world/switch_protocol.rs` runs it on cells of the schedule
//! explorer `shuttle`: thousands of schedules for the right order of steps, in none of which a guarantee breaks, and
//! for each wrong order a schedule in which one does. `tests/proxy/switch_race.rs` switches the whole proxy hundreds of
//! times under HTTP and TCP traffic, and asks the upstreams what they saw.
//!
//! # Fuzz
//!
//! Each reader of outside bytes has properties in `tests/fuzz/properties`: whole and in pieces alike, written and read
//! again, alike to a second reader, bounded. `cargo test --test fuzz` holds them against a corpus and generated
//! inputs. `tests/fuzz/run.py` searches with libFuzzer, and `run.py planted` shows that the targets find bugs that are
//! planted for them. See `tests/fuzz/README.md`.
//!
//! # The instruction gate
//!
//! `benches/instructions.txt` has the number of instructions of each part and of whole requests. A count that is more
//! than 5 % higher fails. It does not depend on what else the machine does. Times and CPU seconds beside other proxies
//! (`benches/peers`) and after a failover (`benches/recovery`) are for people, on a quiet machine. See
//! `benches/README.md`.
//!
//! # Faults with the whole program
//!
//! `tests/control/faults` runs engine, probes and data plane on real sockets, before upstreams that die, freeze, vanish, lie
//! and cut, under a small open load. It asserts what clients and upstreams saw, which switches were made and why, and
//! never how long something took: a busy machine must not fail it. `tests/compose/run.py` does the same with
//! containers, and asks Prometheus what it saw. `benches/failover_picture` draws one failover request by request.
//!
//! Runs over hours (soaks) and comparisons of fault behaviour with other proxies need a machine of their own. They are
//! not part of this repository.

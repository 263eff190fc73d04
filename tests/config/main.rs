//! Configuration and everything that is written about it: files that load or say what is wrong, the guides, dashboards and
//! alerts.

#[path = "../support/memory.rs"]
mod memory;
#[path = "../support/sources.rs"]
mod sources;
#[path = "../support/waiting.rs"]
mod waiting;

mod documentation;
mod loading;
mod watching;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

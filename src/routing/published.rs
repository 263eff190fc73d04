//! The switch protocol: publish, wake, refresh, sweep, acknowledge (DESIGN §2).

/// A worker's number, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkerId(pub usize);

/// The one table, and who has seen it.
#[derive(Debug)]
pub struct Published {}

/// A worker's cached view.
#[derive(Debug)]
pub struct WorkerView {}

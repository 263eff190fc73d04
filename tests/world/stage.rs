//! Actors: client networks whose requests have a script, beside or instead of ordinary traffic. What must come of each attack and
//! each fault is in `tests/world/plays.rs`.

use std::time::Duration;

use standfast::decision::Source;
use standfast::simulation::ModelClient;

/// A client of the first service that is answered as the endpoints are, from the network of this number.
pub fn honest(network: u8, pause: Duration) -> ModelClient {
    ModelClient::new("s0".into(), Source::of([203, 0, network, 1].into()), pause)
}

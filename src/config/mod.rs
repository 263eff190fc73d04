//! Configuration: what was typed ([`source`](self), to come) becomes what is meant ([`Config`]).
mod model;
pub use model::*;

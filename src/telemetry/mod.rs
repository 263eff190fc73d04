//! What is seen from outside: the counters that workers write ([`instruments`]).
pub mod instruments;

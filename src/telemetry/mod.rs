//! What is seen from outside: the counters that workers write ([`instruments`]), every metric's name ([`names`]) and how
//! they are written down ([`exposition`]).
pub mod exposition;
pub mod instruments;
pub mod names;

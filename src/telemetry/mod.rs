//! What is seen from outside: the counters that workers write ([`instruments`]), every metric's name ([`names`]), and what they
//! are written to ([`sink`]): a text ([`exposition`]) or the recorder of an embedder ([`recorder`]); the log ([`logs`]) and the
//! access log ([`access`]), both through a bounded queue to a thread that writes ([`lines`]); why an answer is Standfast's own
//! ([`cause`]).
pub mod access;
mod access_format;
mod access_record;
pub mod cause;
pub mod exposition;
pub mod instruments;
mod labels;
pub mod lines;
pub mod logs;
pub mod names;
pub mod recorder;
pub mod sink;

//! Readers of bytes from outside, held against the properties in `properties`: with the corpus, with generated inputs,
//! and configurations that are big. `tests/fuzz/README.md` says how inputs are searched for.

mod big;
mod corpus;
mod generated;
mod properties;

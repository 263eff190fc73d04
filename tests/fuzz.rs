//! Readers of bytes from outside, held against the properties in `fuzz/properties`: with the corpus, with generated inputs,
//! and configurations that are big. `tests/fuzz/README.md` says how inputs are searched for.
#![allow(missing_docs)]

#[path = "fuzz/big.rs"]
mod big;
#[path = "fuzz/corpus.rs"]
mod corpus;
#[path = "fuzz/generated.rs"]
mod generated;
#[path = "fuzz/properties/mod.rs"]
mod properties;

//! The `standfast` program: reads the command line and hands over to one file of `cli/`.
#![forbid(unsafe_code)]
// As in the library; but it may print.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli;
mod signals;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}

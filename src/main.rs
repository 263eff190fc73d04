//! The `standfast` program: reads the command line and hands over to one file of `cli/`.
#![forbid(unsafe_code)]

mod cli;
mod signals;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}

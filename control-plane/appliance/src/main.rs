//! The one binary: daemon and command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    clavija::cli::main()
}

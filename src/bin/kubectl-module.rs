//! `kubectl module`: the command line tool for people. Parses, makes a runtime, passes the exit code on.

use std::process::ExitCode;

use clap::Parser;
use module_controller::cli::{self, args::Cli};

// One thread: it waits for the API server nearly all of its time.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ExitCode::from(cli::run(Cli::parse()).await)
}

//! `kubectl module` as a whole: the program that users run, against a real API server.

mod bundle;
mod migrate;
mod releases;
mod rights;

use std::process::{Output, Stdio};

use rig::cluster::World;
use tokio::process::Command;

/// The program.
fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-module"));
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// The program in the scenario's namespace.
fn tool(world: &World, args: &[&str]) -> Command {
    let mut command = program(args);
    command.args(["-n", world.namespace()]);
    command
}

/// Runs it to its end.
async fn run(world: &World, args: &[&str]) -> Output {
    tool(world, args).output().await.expect("it runs")
}

/// Runs it, which must succeed, and gives what it printed.
async fn done(world: &World, args: &[&str]) -> String {
    let output = run(world, args).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a run of the tool gave.
pub struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// What it printed, if it succeeded.
    fn fails_never(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    /// The error, if it failed with this code.
    fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        assert!(self.err.starts_with("error: "), "{}", self.err);
        self.err
    }
}

async fn ctl(world: &World, args: &[&str]) -> Ran {
    Ran::of(run(world, args).await)
}

//! `kubectl module` as a whole: the program that users run, against a real API server.

mod bundle;
mod migrate;
mod releases;

use std::process::{Output, Stdio};

use rig::cluster::World;
use tokio::process::Command;

/// The program in the scenario's namespace.
fn tool(world: &World, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-module"));
    command.args(args).args(["-n", world.namespace()]).stdin(Stdio::null()).kill_on_drop(true);
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

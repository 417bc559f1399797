//! `kubectl module` as a whole: the program that users run, against a real API server.

mod asked;
mod bundle;
mod completion;
mod live;
mod migrate;
mod releases;
mod rights;
mod watch;

use std::process::{Output, Stdio};

use rig::cluster::{SOON, World};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

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

/// Runs it to its end, which comes.
async fn run(world: &World, args: &[&str]) -> Output {
    let ended = tokio::time::timeout(SOON, tool(world, args).output()).await;
    ended.unwrap_or_else(|_| panic!("{args:?} did not end within {SOON:?}")).expect("it runs")
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

/// A `status --watch` under way.
struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Lines that were read.
    seen: Vec<String>,
}

/// Watches a deployment, with more options.
fn watched(world: &World, name: &str, options: &[&str]) -> Watch {
    let mut command = tool(world, &[&["status", name, "--watch", "--timeout", "60s"], options].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the tool runs");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    Watch { child, lines, seen: Vec::new() }
}

impl Watch {
    /// Reads the errors on until a line says it.
    async fn until_said(&mut self, part: &str) {
        let mut lines = BufReader::new(self.child.stderr.take().expect("a pipe")).lines();
        let read = async {
            while let Some(line) = lines.next_line().await.expect("text") {
                if line.contains(part) {
                    return true;
                }
            }
            false
        };
        let found = tokio::time::timeout(SOON, read).await;
        assert_eq!(found, Ok(true), "no error says {part:?}; it printed {:#?}", self.seen);
    }

    /// Reads on until a line says it.
    async fn until_line(&mut self, part: &str) {
        let read = async {
            while let Some(line) = self.lines.next_line().await.expect("text") {
                let found = line.contains(part);
                self.seen.push(line);
                if found {
                    return true;
                }
            }
            false
        };
        let found = tokio::time::timeout(SOON, read).await;
        assert_eq!(found, Ok(true), "no line says {part:?}: {:#?}", self.seen);
    }

    /// Its end, with the lines that weren't read yet.
    async fn end(self) -> Ran {
        let Self { child, mut lines, .. } = self;
        let rest = async {
            let mut text = String::new();
            while let Some(line) = lines.next_line().await.expect("text") {
                text.push_str(&line);
                text.push('\n');
            }
            text
        };
        let (out, output) = tokio::join!(rest, child.wait_with_output());
        let ran = Ran::of(output.expect("an end"));
        Ran { out, ..ran }
    }
}

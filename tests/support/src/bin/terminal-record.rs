//! Runs the commands of a script on a terminal and writes what is seen as a picture and as a recording:
//!
//! `terminal-record --svg FILE --cast FILE <SCRIPT`
//!
//! Each line of the script is a command, shown behind a prompt with what it prints; `# ...` is shown as it is; `@ COMMAND` is run
//! and not shown, until it succeeds. A shown command may fail: its exit code is the reader's to see.

use std::{
    io::Read,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use clap::Parser;
use rig::recording::{Chunk, cast, svg};

/// How long a condition of the script may take to come true.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const POLL: Duration = Duration::from_millis(200);

/// Records a terminal session.
#[derive(Parser)]
struct Flags {
    /// The picture.
    #[arg(long)]
    svg: PathBuf,
    /// The recording.
    #[arg(long)]
    cast: PathBuf,
    /// The window's title.
    #[arg(long, default_value = "kubectl module")]
    title: String,
    /// The terminal's width.
    #[arg(long, default_value_t = 110)]
    columns: u16,
}

fn main() -> ExitCode {
    match record(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("terminal-record: {message}");
            ExitCode::FAILURE
        }
    }
}

fn record(flags: &Flags) -> Result<(), String> {
    let mut script = String::new();
    std::io::stdin().read_to_string(&mut script).map_err(|error| format!("no script: {error}"))?;
    let (began, mut chunks) = (Instant::now(), Vec::new());
    let mut show = |text: String| chunks.push(Chunk { at: began.elapsed().as_secs_f64(), text });
    let mut first = true;
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(condition) = line.strip_prefix('@') {
            until(condition.trim())?;
            continue;
        }
        if !std::mem::take(&mut first) {
            show("\r\n".to_owned());
        }
        if line.starts_with('#') {
            show(format!("\u{1b}[2m{line}\u{1b}[0m\r\n"));
            first = true;
            continue;
        }
        show(format!("\u{1b}[32m$\u{1b}[0m \u{1b}[1m{line}\u{1b}[0m\r\n"));
        show(printed(line, flags.columns)?);
    }
    let write = |path: &PathBuf, text: String| {
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    write(&flags.svg, svg(&flags.title, flags.columns, &chunks))?;
    write(&flags.cast, cast(&flags.title, flags.columns, &chunks))
}

/// What a command prints on a terminal.
fn printed(command: &str, columns: u16) -> Result<String, String> {
    let sized = format!("stty cols {columns} rows 50; {command}");
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &sized, "/dev/null"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("the command script is missing ({error}); install the package bsdutils"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn until(command: &str) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = Command::new("bash").args(["-c", command]).stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("bash: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("waited in vain for {command}: {said}"));
        }
        std::thread::sleep(POLL);
    }
}

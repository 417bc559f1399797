//! What the benchmarks share: settings from the environment, the processes that they start, and the meter, which takes what the
//! audit log, `/proc` and a process's own counters say of one phase.
//!
//! Must not: judge figures. What they mean is each benchmark's to say.

pub mod audit;
pub mod bases;
pub mod meter;
pub mod processes;
pub mod tables;
pub mod watch;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

/// Whatever went wrong, to be printed.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Nothing in a benchmark takes longer, even ten times slower than it should be.
pub const DEADLINE: Duration = Duration::from_secs(600);
/// Requests of a benchmark at a time.
pub const AT_ONCE: usize = 16;

/// A number from the environment.
pub fn number<N: FromStr>(name: &str, default: N) -> Result<N> {
    match std::env::var(name) {
        Ok(value) => value.parse().map_err(|_| format!("{name} is not a number: {value}").into()),
        Err(_) => Ok(default),
    }
}

/// A variable that the rig or the starting script sets.
pub fn variable(name: &str) -> Result<String> {
    std::env::var(name).map_err(|_| format!("{name} is not set; start this with benches/run").into())
}

/// Writes a report to the file that `BENCH_OUT` names, if it names one.
pub fn save(report: &Value) -> Result<()> {
    let Some(file) = std::env::var_os("BENCH_OUT").map(PathBuf::from) else {
        return Ok(());
    };
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&file, serde_json::to_vec_pretty(report)?)?;
    println!("written to {}", file.display());
    Ok(())
}

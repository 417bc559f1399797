//! The processes that are measured, and those that are started for it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{DEADLINE, Result, variable};

/// Where the operator serves its metrics and probes.
const METRICS: &str = "127.0.0.1:18080";
const PROBES: &str = "127.0.0.1:18082";

/// The operator, as its release binary, in a process of its own.
pub struct Operator {
    child: Child,
}

impl Operator {
    /// Starts it; its log is beside those of the control plane. `OPERATOR_FLAGS` adds flags.
    pub fn start() -> Result<Self> {
        let log = File::create(PathBuf::from(variable("RIG_STATE")?).join("logs/operator.log"))?;
        let flags = std::env::var("OPERATOR_FLAGS").unwrap_or_default();
        let child = Command::new(binary("module-controller")?)
            .args(["--metrics-bind-address", METRICS, "--health-probe-bind-address", PROBES])
            .args(flags.split_whitespace())
            .env("KUBECONFIG", variable("RIG_OPERATOR_KUBECONFIG")?)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { child })
    }

    /// Waits until its caches are complete.
    pub async fn ready(&self) -> Result<()> {
        let began = Instant::now();
        while !get(PROBES, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            if began.elapsed() > DEADLINE {
                return Err("the operator doesn't become ready".into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    pub fn process(&self) -> Process {
        Process::of(self.child.id())
    }

    /// The text of its metrics.
    pub fn metrics(&self) -> Result<String> {
        get(METRICS, "/metrics")
    }

    /// Ends it in good order.
    pub fn stop(mut self) -> Result<()> {
        terminate(&self.child)?;
        let status = self.child.wait()?;
        if !status.success() {
            return Err(format!("the operator ended with {status}").into());
        }
        Ok(())
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // Gone already, if all went well.
        let _ = self.child.kill();
    }
}

/// The agents of all bases.
pub struct Simulator {
    child: Option<Child>,
}

impl Simulator {
    /// Starts it: every install and uninstall takes `millis`.
    pub fn start(millis: u64) -> Result<Self> {
        let delay = millis.to_string();
        let child = Command::new(binary("arklet-sim")?)
            .args(["--install-delay-ms", &delay, "--uninstall-delay-ms", &delay])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self { child: Some(child) })
    }

    pub fn process(&self) -> Process {
        Process::of(self.child.as_ref().map_or(0, Child::id))
    }

    /// Ends it; gives what it counted.
    pub fn stop(mut self) -> Result<Value> {
        let Some(child) = self.child.take() else {
            return Ok(Value::Null);
        };
        terminate(&child)?;
        let output = child.wait_with_output()?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
        }
    }
}

/// Built beside this program.
fn binary(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let binary = own.with_file_name(name);
    if binary.exists() {
        return Ok(binary);
    }
    Err(format!("{} isn't built; start this with benches/run", binary.display()).into())
}

fn terminate(child: &Child) -> Result<()> {
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
    Ok(())
}

fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A process as /proc shows it.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    pid: u32,
}

impl Process {
    pub fn of(pid: u32) -> Self {
        Self { pid }
    }

    /// A component of the control plane.
    pub fn component(name: &str) -> Result<Self> {
        let file = PathBuf::from(variable("RIG_STATE")?).join("pids").join(name);
        Ok(Self::of(fs::read_to_string(file)?.trim().parse()?))
    }

    /// User and system time so far, in seconds.
    pub fn cpu_seconds(self) -> Result<f64> {
        /// The kernel's USER_HZ, the same on every architecture that runs this.
        const TICKS: f64 = 100.0;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The name in parentheses may hold anything; utime and stime are the 12th and 13th word after it.
        let words: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| words.get(at).and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
        Ok((ticks(11) + ticks(12)) / TICKS)
    }

    /// The peak of its resident memory since the last [`Process::reset_peak`], in MiB.
    pub fn peak_mib(self) -> Result<f64> {
        self.status("VmHWM:")
    }

    /// Its resident memory now, in MiB.
    pub fn rss_mib(self) -> Result<f64> {
        self.status("VmRSS:")
    }

    fn status(self, key: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib / 1024.0)
    }

    /// Begins a new peak.
    pub fn reset_peak(self) -> Result<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.pid), "5")?)
    }
}

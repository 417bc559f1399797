//! The processes that are measured, and those that are started for it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{DEADLINE, Result, variable};

/// Where a measured process of ours serves its metrics and probes.
const METRICS: &str = "127.0.0.1:18080";
const PROBES: &str = "127.0.0.1:18082";

/// The module controller, as its release binary, in a process of its own.
pub struct Controller {
    name: &'static str,
    child: Child,
}

impl Controller {
    /// Its user in the rig.
    pub const USER: &str = "module-controller";

    /// Starts it with these arguments, to be called `name`; its log is beside those of the control plane.
    pub fn start(name: &'static str, args: &[&str]) -> Result<Self> {
        let log = log_file(name)?;
        let child = Command::new(binary("module-controller")?)
            .args(args)
            .args(["--metrics-bind-address", METRICS, "--health-probe-bind-address", PROBES])
            .env("KUBECONFIG", variable("RIG_OPERATOR_KUBECONFIG")?)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { name, child })
    }

    /// Waits until its caches are complete.
    pub async fn ready(&self) -> Result<()> {
        let began = Instant::now();
        while !get(PROBES, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            if began.elapsed() > DEADLINE {
                return Err(format!("the {} doesn't become ready", self.name).into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// What is measured of it.
    pub fn subject(&self) -> Subject {
        Subject { name: self.name, user: Self::USER, process: Process::of(self.child.id()), metrics: Some(METRICS) }
    }

    /// Ends it in good order.
    pub fn stop(mut self) -> Result<()> {
        terminate(&self.child)?;
        let status = self.child.wait()?;
        if !status.success() {
            return Err(format!("the {} ended with {status}", self.name).into());
        }
        Ok(())
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // Gone already, if all went well.
        let _ = self.child.kill();
    }
}

/// Who is measured.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// What it is called in tables.
    pub name: &'static str,
    /// Its user, by which its requests are found in the audit log. Nobody else has it.
    pub user: &'static str,
    /// Its process.
    pub process: Process,
    /// Where it serves counters, if it does.
    pub metrics: Option<&'static str>,
}

impl Subject {
    /// The text of its metrics; empty without any.
    pub fn metrics(&self) -> Result<String> {
        self.metrics.map_or(Ok(String::new()), |address| get(address, "/metrics"))
    }
}

/// A second kwok beside the rig's own: fake kubelets that are measured. With settings of its own, and the rig's stages.
pub struct Kwok {
    child: Child,
}

impl Kwok {
    /// Its user in the rig.
    pub const USER: &str = "kwok-fleet";

    /// Starts it: it plays the nodes that `selector` matches.
    pub fn start(selector: &str) -> Result<Self> {
        let rig = Path::new(env!("CARGO_MANIFEST_DIR")).join("../control-plane");
        let kubeconfig = Command::new(rig.join("user-kubeconfig")).args([Self::USER, "system:masters"]).output()?;
        if !kubeconfig.status.success() {
            return Err(String::from_utf8_lossy(&kubeconfig.stderr).into_owned().into());
        }
        let mut stages: Vec<PathBuf> =
            fs::read_dir(rig.join("stages"))?.map(|one| Ok(one?.path())).collect::<Result<_>>()?;
        stages.sort();
        let log = log_file(Self::USER)?;
        let child = Command::new(PathBuf::from(variable("RIG_STATE")?).join("bin/kwok"))
            .args(["--kubeconfig", String::from_utf8(kubeconfig.stdout)?.trim()])
            .arg("--config")
            .arg(rig.join("kwok-fleet.yaml"))
            .args(stages.iter().flat_map(|stage| [OsStr::new("--config"), stage.as_os_str()]))
            // Addresses that the rig's own kwok doesn't give; nobody calls them.
            .args(["--cidr", "10.201.0.0/16", "--manage-nodes-with-label-selector", selector])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { child })
    }

    /// What is measured of it.
    pub fn subject(&self) -> Subject {
        Subject { name: "fake kubelets", user: Self::USER, process: Process::of(self.child.id()), metrics: None }
    }
}

impl Drop for Kwok {
    fn drop(&mut self) {
        // It has nothing to give back.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log_file(name: &str) -> Result<File> {
    Ok(File::create(PathBuf::from(variable("RIG_STATE")?).join("logs").join(format!("{name}.log")))?)
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

    /// Its process.
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

/// The kernel's USER_HZ, the same on every architecture that runs this.
const TICKS: f64 = 100.0;

/// The time that all processors of this machine have worked, in seconds.
pub fn machine_cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    // cpu user nice system idle iowait irq softirq
    let words = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<f64> = words.map(|word| word.parse().unwrap_or(0.0)).collect();
    let worked = [0, 1, 2, 5, 6].into_iter().filter_map(|at| ticks.get(at));
    Ok(worked.sum::<f64>() / TICKS)
}

/// A process as /proc shows it.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    pid: u32,
}

impl Process {
    /// The process with this number.
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

//! The operator's own binary, for one namespace; a story may have it play more for its own time.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    process::{Child, Command},
    runtime::Handle,
    time::sleep,
};

/// From its start to its first `/readyz`.
const START: Duration = Duration::from_secs(30);

/// The running operator; it ends with this.
pub struct Operator {
    log: PathBuf,
    process: Child,
}

impl Operator {
    /// Starts it for one namespace and waits until it says that it is ready.
    pub async fn start(namespace: &str, work: &Path, lasting: &Handle) -> Self {
        Self::start_with(&[&format!("--namespace={namespace}")], work, lasting).await
    }

    /// Ends it at once and starts another with these arguments in its place.
    pub async fn replace(&mut self, args: &[&str], work: &Path, lasting: &Handle) {
        self.process.kill().await.expect("killed");
        *self = Self::start_with(args, work, lasting).await;
    }

    async fn start_with(args: &[&str], work: &Path, lasting: &Handle) -> Self {
        let kubeconfig = std::env::var_os("RIG_OPERATOR_KUBECONFIG").or(std::env::var_os("KUBECONFIG"));
        let log = work.join("operator.log");
        let file = std::fs::File::create(&log).expect("a log file");
        let port = free_port();
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_module-controller")])
            .args(args)
            .args(["--metrics-bind-address=0", "--log-level=info,module_controller=debug"])
            // Often, so that it meets bases that hang.
            .arg("--health-interval=1s")
            .arg(format!("--health-probe-bind-address=127.0.0.1:{port}"))
            .env("KUBECONFIG", kubeconfig.expect("the stage has looked"))
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a log file"))
            .stderr(file)
            .kill_on_drop(true);
        // The kernel kills it when the thread that started it ends.
        let spawned = lasting.spawn(async move { command.spawn() }).await.expect("no panic");
        let mut process = spawned.expect("setpriv, from the package util-linux");
        let web = reqwest::Client::builder().timeout(Duration::from_secs(2)).no_proxy().build().expect("a client");
        let begin = Instant::now();
        while crate::base::get(&web, &format!("http://127.0.0.1:{port}/readyz")).await.is_err() {
            let ended = process.try_wait().expect("its status");
            assert!(ended.is_none(), "the operator ended: {}", tail(&log, 5));
            assert!(begin.elapsed() < START, "the operator isn't ready in {START:?}: {}", tail(&log, 5));
            sleep(Duration::from_millis(100)).await;
        }
        Self { log, process }
    }

    /// Its last lines.
    pub fn said(&self) -> String {
        tail(&self.log, 60)
    }
}

fn tail(log: &Path, lines: usize) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

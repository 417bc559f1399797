//! The operator as a process of its own: the binary, with flags, probes and an exit code.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use rig::cluster::{SOON, World};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

/// A running `module-controller`; it ends with this.
pub struct Process {
    child: Child,
    probes: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// Starts it for the namespace of `world`, with more flags. It has the rights of an install there.
    pub async fn start(world: &World, flags: &[&str]) -> Self {
        Self::begin(command(world).await, flags)
    }

    /// As [`Process::start`], as the process of a pod there.
    pub async fn start_in(world: &World, pod: &str, flags: &[&str]) -> Self {
        let mut command = command(world).await;
        command.env("POD_NAMESPACE", world.namespace()).env("POD_NAME", pod);
        Self::begin(command, flags)
    }

    fn begin(mut command: Command, flags: &[&str]) -> Self {
        // Taken from the system and given back: nothing else in the rig listens on loopback meanwhile.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|one| one.local_addr());
        let probes = free.expect("a free port");
        let mut child = command
            .arg("--metrics-bind-address=0")
            .arg(format!("--health-probe-bind-address={probes}"))
            .arg("--health-interval=1s")
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let log: Arc<Mutex<String>> = Arc::default();
        let (noted, stderr) = (Arc::clone(&log), child.stderr.take().expect("a pipe"));
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut log = noted.lock().unwrap_or_else(PoisonError::into_inner);
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, probes, log }
    }

    /// What it has said.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The answer of `/readyz`, head and body.
    async fn readyz(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.probes).await?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// Waits until `/readyz` says this with an error, and the log too.
    pub async fn refuses(&self, world: &World, why: &str) {
        let look = || async {
            let answer = self.readyz().await.map_err(|error| error.to_string())?;
            let unready = !answer.lines().next().unwrap_or_default().contains("200") && answer.contains(why);
            if unready && self.log().contains(why) { Ok(()) } else { Err(format!("{answer}\n{}", self.log())) }
        };
        world.eventually(SOON, "a refusal", look).await;
    }

    /// Waits until it is ready.
    pub async fn ready(&self, world: &World) {
        let look = || async {
            let answer = self.readyz().await.map_err(|error| error.to_string())?;
            if answer.lines().next().unwrap_or_default().contains("200") { Ok(()) } else { Err(answer) }
        };
        world.eventually(SOON, "readiness", look).await;
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(SOON, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("it goes on: {}", self.log())).expect("its end")
    }
}

async fn command(world: &World) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_module-controller"));
    command
        .arg(format!("--namespace={}", world.namespace()))
        .arg(format!("--leader-elect-namespace={}", world.namespace()))
        .stdin(Stdio::null())
        .env("KUBECONFIG", world.operator_kubeconfig().await)
        .env_remove("POD_NAME")
        .kill_on_drop(true);
    command
}

/// Runs it to its end.
pub async fn run(world: &World, flags: &[&str]) -> Output {
    let output = tokio::time::timeout(SOON * 2, command(world).await.args(flags).output()).await;
    output.unwrap_or_else(|_| panic!("{flags:?} never ends")).expect("its output")
}

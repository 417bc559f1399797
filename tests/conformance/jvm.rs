//! A real base: a JVM that ends with its handle.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use module_controller::arklet::client::{Bounds, Client, Endpoint};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::conversations::Kind;

/// From the start of a JVM to its first answer: 4 to 6 s alone on two cores, more if several start at once.
const START: Duration = Duration::from_secs(90);

/// A JVM. It is killed when this is dropped, and by the kernel if the test's process dies first.
pub struct Base {
    pub at: Endpoint,
    _jvm: Child,
}

impl Base {
    /// Starts a base with its web port at `ip` and its agent at `port`, and waits for the agent.
    pub async fn start(ip: Ipv4Addr, port: u16, kind: Kind) -> Self {
        let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let work = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("conformance");
        let log = work.join(format!("{kind:?}.log"));
        let _ = std::fs::remove_file(&log);
        // Two cores whatever the machine has: the agent's event loops are twice as many, and the conversations count on four.
        let setting = match kind {
            Kind::Plain => "",
            Kind::ActivateNew => " -Dactivate.new.module=true",
        };
        let mut jvm = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(repository.join("samples/java/run-base"))
            .arg("--work")
            .arg(&work)
            .args([ip.to_string(), port.to_string()])
            .arg(&log)
            .env("JAVA_TOOL_OPTIONS", format!("-XX:ActiveProcessorCount=2{setting}"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("setpriv, from the package util-linux");
        let at = Endpoint { ip: ip.into(), port };
        let client = Client::new(Bounds::default()).expect("a client");
        let begin = Instant::now();
        loop {
            if client.query_all(at).await.is_ok() {
                return Self { at, _jvm: jvm };
            }
            if let Some(status) = jvm.try_wait().expect("its status") {
                panic!("the base ended with {status}: {}", last_line(&log));
            }
            assert!(begin.elapsed() < START, "the base did not answer in {START:?}; its log is {}", log.display());
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// What a base said last; for one that didn't even start, what is missing.
fn last_line(log: &std::path::Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing; see above").to_owned()
}

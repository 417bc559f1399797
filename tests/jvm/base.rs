//! One real base: a pod, and the JVM that listens on the pod's address.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use module_controller::arklet::{
    client::{Bounds, Client, Endpoint, NoAnswer},
    wire::{Biz, BizState},
};
use tokio::{
    process::{Child, Command},
    runtime::Handle,
    time::sleep,
};

/// From the start of a JVM to its first answer: 4 to 6 s alone on two cores, more beside a build.
const START: Duration = Duration::from_secs(90);
/// A base hangs every fourth new connection while it installs something; then one asks again.
const QUERY: Duration = Duration::from_millis(700);
const TRIES: u32 = 5;

/// A base and the process that plays it.
pub struct Base {
    pub pod: String,
    pub at: Endpoint,
    agent: Client,
    web: reqwest::Client,
    log: PathBuf,
    work: PathBuf,
    jvm: Option<Child>,
}

impl Base {
    /// The base of a pod; its JVM isn't started yet.
    pub fn new(pod: &str, at: Endpoint, work: &Path) -> Self {
        let web = reqwest::Client::builder().timeout(Duration::from_secs(5)).pool_max_idle_per_host(0).no_proxy();
        Self {
            pod: pod.to_owned(),
            at,
            agent: Client::new(Bounds { query: QUERY, ..Bounds::default() }).expect("a client"),
            web: web.build().expect("a client"),
            log: work.join(format!("base-{}.log", at.port)),
            work: work.to_owned(),
            jvm: None,
        }
    }

    /// Starts the JVM without waiting for it. `lasting` is a runtime whose threads live as long as the process: the
    /// kernel kills the JVM when the thread that started it ends, so that none is left behind.
    pub async fn start(&mut self, lasting: &Handle) {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .arg(repository.join("samples/java/run-base"))
            .arg("--work")
            .arg(&self.work)
            .args([self.at.ip.to_string(), self.at.port.to_string()])
            .arg(&self.log)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let spawned = lasting.spawn(async move { command.spawn() }).await.expect("no panic");
        self.jvm = Some(spawned.expect("setpriv, from the package util-linux"));
    }

    /// Waits until the agent answers.
    pub async fn ready(&mut self) {
        let begin = Instant::now();
        while self.agent.query_all(self.at).await.is_err() {
            let ended = self.jvm.as_mut().and_then(|jvm| jvm.try_wait().expect("its status"));
            if let Some(status) = ended {
                panic!("the JVM of {} ended with {status}: {}", self.pod, self.last_line());
            }
            assert!(begin.elapsed() < START, "no answer in {START:?}; the log is {}", self.log.display());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends the JVM at once, as the kernel does when a container is out of memory.
    pub async fn kill(&mut self) {
        self.jvm.as_mut().expect("a JVM").kill().await.expect("killed");
    }

    /// What the base has, as `name version STATE` in order.
    pub async fn list(&self) -> Vec<String> {
        match self.ask().await {
            Ok(list) => words(&list),
            Err(why) => vec![format!("no answer: {why}")],
        }
    }

    /// The list, asked for again if a connection hangs.
    pub async fn ask(&self) -> Result<Vec<Biz>, NoAnswer> {
        let mut tries = 1;
        loop {
            match self.agent.query_all(self.at).await {
                Err(_) if tries < TRIES => tries += 1,
                answer => return answer,
            }
        }
    }

    /// Takes everything off the base; for the end of a test that failed.
    pub async fn empty(&self) {
        for biz in self.ask().await.unwrap_or_default() {
            eprintln!("{} was left with {} {}, which is taken off now", self.pod, biz.name, biz.version);
            let _ = self.agent.uninstall(self.at, &biz.name, &biz.version).await;
        }
    }

    /// What a module answers on the base's own port, without the line's end.
    pub async fn get(&self, path: &str) -> Result<String, String> {
        get(&self.web, &format!("http://{}:8080{path}", self.at.ip)).await
    }

    fn last_line(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
    }
}

/// A page that is there, which is status 200 and nothing else, or why it isn't.
pub async fn get(web: &reqwest::Client, url: &str) -> Result<String, String> {
    let why = |error: reqwest::Error| {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            let _ = write!(text, ": {inner}");
            source = inner.source();
        }
        text
    };
    let response = web.get(url).send().await.map_err(why)?;
    let status = response.status();
    let text = response.text().await.map_err(why)?;
    if status == reqwest::StatusCode::OK { Ok(text.trim_end().to_owned()) } else { Err(format!("{status}: {text}")) }
}

/// A list in words, in order.
pub fn words(list: &[Biz]) -> Vec<String> {
    let state = |biz: &Biz| match &biz.state {
        BizState::Other(word) => word.clone(),
        known => format!("{known:?}").to_uppercase(),
    };
    let mut words: Vec<String> =
        list.iter().map(|biz| format!("{} {} {}", biz.name, biz.version, state(biz))).collect();
    words.sort();
    words
}

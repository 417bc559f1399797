//! One conversation with one base, step by step.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use module_controller::arklet::client::{Bounds, Client, Endpoint, InstallOutcome};
use module_controller::arklet::wire::BizState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::conversations::{Conversation, Step};
use crate::tap::Tap;
use crate::words;

/// What a hasty client waits for.
const HASTE: Duration = Duration::from_secs(1);
/// Until an install that was begun is under way: the real base has to unpack the jar first.
const BEGUN: Duration = Duration::from_secs(2);
/// For how long a base may take to settle, on a machine that does much else.
const SETTLING: Duration = Duration::from_secs(60);

/// A base under test.
pub struct Target<'a> {
    pub name: &'static str,
    pub at: Endpoint,
    pub jars: &'a Jars,
    /// Ends the download that hangs.
    pub release: Box<dyn Fn() + 'a>,
}

/// Where the jars of the conversations are.
pub struct Jars {
    built: PathBuf,
    own: PathBuf,
    hanging: SocketAddr,
    downloads: Mutex<Option<JoinHandle<()>>>,
}

impl Jars {
    /// Makes the jar that is corrupt and the server that never answers.
    pub async fn prepare() -> Self {
        let own = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("conformance");
        std::fs::create_dir_all(&own).expect("a folder");
        std::fs::write(own.join("corrupt-1.0.0-ark-biz.jar"), "this is no jar").expect("a file");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a listener");
        let hanging = listener.local_addr().expect("its address");
        let downloads = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        let built = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/samples");
        Self { built, own, hanging, downloads: Mutex::new(Some(downloads)) }
    }

    /// Closes every download that hangs, and refuses new ones.
    pub fn release_hanging(&self) {
        if let Some(downloads) = self.downloads.lock().expect("no panic").take() {
            downloads.abort();
        }
    }

    /// Fails with what to do if the samples aren't there.
    pub fn require_built(&self) {
        for jar in ["base.jar", "hello-1.0.0-ark-biz.jar", "quiet-2.0.0-ark-biz.jar", "slow-1.0.0-ark-biz.jar"] {
            let jar = self.built.join(jar);
            assert!(jar.exists(), "there is no {}: run samples/java/build", jar.display());
        }
    }

    /// The file of a jar.
    pub fn path(&self, jar: &str) -> String {
        let folder = if jar.starts_with("corrupt") { &self.own } else { &self.built };
        folder.join(format!("{jar}-ark-biz.jar")).display().to_string()
    }

    /// What a base is given as `bizUrl`.
    pub fn url(&self, jar: &str) -> String {
        match jar {
            "hanging" => format!("http://{}/hanging.jar", self.hanging),
            // Port 1 of this machine: nobody listens there.
            "refused" => "http://127.0.0.1:1/refused.jar".to_owned(),
            "schemeless" => "quiet-1.0.0-ark-biz.jar".to_owned(),
            jar => format!("file://{}", self.path(jar)),
        }
    }
}

/// Plays all steps; gives a sentence for each answer that isn't as written.
pub async fn conversation(target: &Target<'_>, conversation: &Conversation) -> Vec<String> {
    let mut differences = Vec::new();
    let mut begun = None;
    for (number, (step, expected)) in conversation.steps.iter().enumerate() {
        let got = play(target, *step, &mut begun).await.replace(&*target.jars.built.to_string_lossy(), "<jars>");
        if std::env::var_os("CONFORMANCE_PRINT").is_some() {
            println!("{}: {}: {step:?}\n    {got}", target.name, conversation.name);
        }
        if got != *expected {
            differences.push(format!(
                "{} base, {:?}, step {}: {step:?}\n  expected {expected}\n  got      {got}",
                target.name,
                conversation.name,
                number + 1
            ));
        }
    }
    differences
}

/// Panics with the differences, if there are any.
pub fn assert_none(differences: &[String]) {
    assert!(differences.is_empty(), "{} answers differ:\n{}", differences.len(), differences.join("\n"));
}

type Begun = Option<(Tap, JoinHandle<InstallOutcome>)>;

async fn play(target: &Target<'_>, step: Step, begun: &mut Begun) -> String {
    let hasty = matches!(step, Step::HastyInstall(..) | Step::HastyQuery);
    let bounds = Bounds::default();
    let bounds = if hasty { Bounds { query: HASTE, install: HASTE, ..bounds } } else { bounds };
    let client = Client::new(bounds).expect("a client");
    let url = |jar| target.jars.url(jar);
    match step {
        Step::Install(name, version, jar) | Step::HastyInstall(name, version, jar) => {
            let tap = Tap::to(target.at).await;
            let outcome = client.install(tap.at, name, version, &url(jar)).await;
            words::answer(&tap.heard(), &outcome)
        }
        Step::Begin(name, version, jar) => {
            let tap = Tap::to(target.at).await;
            let (at, url) = (tap.at, url(jar));
            let install = tokio::spawn(async move { client.install(at, name, version, &url).await });
            sleep(BEGUN).await;
            *begun = Some((tap, install));
            String::new()
        }
        Step::Await => {
            let (tap, install) = begun.take().expect("something begun");
            let outcome = install.await.expect("no panic");
            words::answer(&tap.heard(), &outcome)
        }
        Step::Uninstall(name, version) => {
            let tap = Tap::to(target.at).await;
            let outcome = client.uninstall(tap.at, name, version).await;
            words::answer(&tap.heard(), &outcome)
        }
        Step::Switch(name, version) => {
            let tap = Tap::to(target.at).await;
            let outcome = client.switch(tap.at, name, version).await;
            words::answer(&tap.heard(), &outcome)
        }
        Step::Query | Step::HastyQuery => {
            let tap = Tap::to(target.at).await;
            let list = client.query_all(tap.at).await;
            words::list(&tap.heard(), list)
        }
        Step::Health => {
            let tap = Tap::to(target.at).await;
            let health = client.health(tap.at).await;
            words::answer(&tap.heard(), &health)
        }
        Step::Post(path, body) => {
            let request =
                format!("POST /{path} HTTP/1.1\r\nHost: base\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            words::raw(&exchange(target.at, request.as_bytes()).await)
        }
        Step::Raw(request) => words::raw(&exchange(target.at, request.as_bytes()).await),
        Step::Release => {
            (target.release)();
            String::new()
        }
        Step::Wait(time) => {
            sleep(time).await;
            String::new()
        }
        Step::Settle => {
            // What doesn't settle is told by the next step's answer.
            let _ = timeout(SETTLING, settle(&client, target.at)).await;
            String::new()
        }
    }
}

/// Asks until something is listed and nothing is starting. A question that hangs on the loop of an install is asked again.
async fn settle(client: &Client, at: Endpoint) {
    loop {
        let list = client.query_all(at).await.unwrap_or_default();
        if !list.is_empty() && list.iter().all(|biz| biz.state != BizState::Resolved) {
            return;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Sends bytes; what comes back until the connection ends or stays silent for a second, and whether it is open then.
async fn exchange(at: Endpoint, request: &[u8]) -> (Vec<u8>, bool) {
    let mut stream = TcpStream::connect((at.ip, at.port)).await.expect("a connection");
    stream.write_all(request).await.expect("a base that listens");
    let mut answer = Vec::new();
    loop {
        match timeout(HASTE, stream.read_buf(&mut answer)).await {
            Ok(Ok(read)) if read > 0 => {}
            Ok(_) => return (answer, false),
            Err(_) => return (answer, true),
        }
    }
}

//! A real MQTT broker, and simulated bases that speak with the provider through it.
//!
//! The broker is mosquitto, with a plain listener for the bases and one with TLS for the provider; certificates are made for
//! each broker. A base on MQTT is the simulated one behind its pod's address, with all its behaviours: what arrives on its
//! topics is passed on to it, and what it answers is published as a real base does.

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command as Process, Stdio},
    time::{Duration, SystemTime},
};

use module_controller::vnode::tunnel::mqtt::{link::Address, packets::Version, tls};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, Publish, QoS};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
    task::JoinHandle,
};

use super::{BasePod, SOON, World, until};

/// Where brokers listen: an address of this machine inside the rig, which no pod has.
const HOST: &str = "10.200.255.4";
/// The port of every agent.
const AGENT: u16 = 1238;
/// Between two heartbeats.
const BEAT: Duration = Duration::from_millis(500);

/// A running broker; it ends with this.
pub struct Broker {
    folder: PathBuf,
    plain: u16,
    tls: u16,
    child: Child,
}

impl Broker {
    /// Starts a broker and waits until it listens. `user:password` is the only login that it knows; nobody needs one.
    pub async fn start(world: &World) -> Self {
        Self::start_with(world, "").await
    }

    /// As [`Broker::start`], but whoever comes over TLS needs a certificate of its authority, such as `friend.crt` with
    /// `friend.key`; `foe.crt` is of another one.
    pub async fn start_asking_for_certificates(world: &World) -> Self {
        Self::start_with(world, "require_certificate true\n").await
    }

    async fn start_with(world: &World, demands: &str) -> Self {
        let folder = world.file("broker");
        std::fs::create_dir_all(&folder).expect("a folder");
        for (ca, certificates) in [("ca", &["broker", "friend"][..]), ("stranger", &["foe"])] {
            make_authority(&folder, ca);
            certificates.iter().for_each(|name| make_certificate(&folder, ca, name));
        }
        let passwords = folder.join("passwords");
        std::fs::write(&passwords, "").expect("a file");
        run(Process::new(tool("mosquitto_passwd")).arg("-b").arg(&passwords).args(["user", "password"]));
        let (plain, tls) = (free_port(), free_port());
        let file = |name: &str| folder.join(name).display().to_string();
        // A user by whose name it would change to is unknown in the rig's namespace.
        let config = format!(
            "user root\npersistence false\nallow_anonymous true\npassword_file {}\nlistener {plain} {HOST}\n\
             listener {tls} {HOST}\ncafile {}\ncertfile {}\nkeyfile {}\n{demands}",
            file("passwords"),
            file("ca.crt"),
            file("broker.crt"),
            file("broker.key"),
        );
        std::fs::write(folder.join("broker.conf"), config).expect("a file");
        let child = spawn(&folder);
        let broker = Self { folder, plain, tls, child };
        broker.until_it_listens().await;
        broker
    }

    async fn until_it_listens(&self) {
        let look = || async {
            match TcpStream::connect((HOST, self.tls)).await {
                Ok(_) => Ok(()),
                Err(error) => {
                    let log = std::fs::read_to_string(self.folder.join("broker.log")).unwrap_or_default();
                    Err(format!("{error}; {log}"))
                }
            }
        };
        until(SOON, "the broker listens", look).await;
    }

    /// Ends the broker at once.
    pub async fn stop(&mut self) {
        self.child.kill().await.expect("it ran");
    }

    /// Starts it again, with nothing left of before.
    pub async fn start_again(&mut self) {
        self.child = spawn(&self.folder);
        self.until_it_listens().await;
    }

    /// A file of this broker's: `ca.crt`, or `stranger.crt` of an authority that it doesn't know, and what they signed.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// How a provider gets in.
    pub fn address(&self, client_id: &str, version: Version) -> Address {
        Address {
            host: HOST.to_owned(),
            port: self.tls,
            tls: Some(tls::Files { ca: Some(self.file("ca.crt")), client: None }),
            version,
            username: None,
            password_file: None,
            client_id: client_id.to_owned(),
        }
    }

    /// A client without TLS.
    fn client(&self, name: &str) -> (AsyncClient, EventLoop) {
        let mut options = MqttOptions::new(name, HOST, self.plain);
        options.set_keep_alive(Duration::from_secs(5)).set_max_packet_size(4 << 20, 4 << 20);
        AsyncClient::new(options, 64)
    }

    /// Publishes one message, and waits until the broker has it.
    pub async fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>, retain: bool) {
        let (client, mut events) = self.client(&unique("publisher"));
        client.publish(topic, QoS::AtLeastOnce, retain, payload).await.expect("room");
        let acknowledged = async {
            while !matches!(events.poll().await.expect("a connection"), Event::Incoming(Packet::PubAck(_))) {}
        };
        tokio::time::timeout(SOON, acknowledged).await.expect("the broker takes it");
    }

    /// The topics under which the broker has kept a message.
    pub async fn retained(&self) -> Vec<String> {
        let (client, mut events) = self.client(&unique("checker"));
        let marker = unique("marker");
        client.subscribe("#", QoS::AtLeastOnce).await.expect("room");
        let mut found = Vec::new();
        let look = async {
            loop {
                match events.poll().await.expect("a connection") {
                    // What was kept comes with the subscription, before anything that is published after it.
                    Event::Incoming(Packet::SubAck(_)) => {
                        client.publish(&marker, QoS::AtLeastOnce, false, "").await.expect("room");
                    }
                    Event::Incoming(Packet::Publish(message)) if message.topic == marker => return,
                    Event::Incoming(Packet::Publish(message)) if message.retain => found.push(message.topic),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(SOON, look).await.expect("the broker answers");
        found
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A base that is connected to a broker; it goes silent when this is dropped.
pub struct MqttBase {
    task: JoinHandle<()>,
    /// What it calls itself in topics.
    pub device: String,
}

impl MqttBase {
    /// Connects the simulated base behind a pod, as `device`.
    pub fn start(world: &World, broker: &Broker, pod: &BasePod, device: &str) -> Self {
        let env = world.env().to_lowercase();
        let (client, events) = broker.client(&unique(device));
        let base = Adapter { prefix: format!("koupleless_{env}/{device}"), ip: pod.ip, client };
        Self { task: tokio::spawn(base.serve(events, device.to_owned())), device: device.to_owned() }
    }
}

impl Drop for MqttBase {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Adapter {
    prefix: String,
    ip: IpAddr,
    client: AsyncClient,
}

impl Adapter {
    async fn serve(self, mut events: EventLoop, device: String) {
        let mut beat = tokio::time::interval(BEAT);
        let mut asked = false;
        loop {
            tokio::select! {
                event = events.poll() => match event {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        let topics = [format!("{}/+", self.prefix), format!("{}/base/baseline", self.prefix)];
                        for topic in topics {
                            let _ = self.client.try_subscribe(topic, QoS::AtLeastOnce);
                        }
                        if !std::mem::replace(&mut asked, true) {
                            self.say("queryBaseline", metadata(&device));
                        }
                    }
                    Ok(Event::Incoming(Packet::Publish(message))) => {
                        let base = self.clone();
                        tokio::spawn(async move { base.obey(message).await });
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(BEAT).await,
                },
                _ = beat.tick() => self.say("heart", heartbeat(&device, self.ip)),
            }
        }
    }

    fn say(&self, word: &str, data: Value) {
        let topic = format!("{}/base/{word}", self.prefix);
        let _ = self.client.try_publish(topic, QoS::AtLeastOnce, false, envelope(now(), data));
    }

    async fn obey(&self, message: Publish) {
        let command = message.topic.rsplit('/').next().unwrap_or_default().to_owned();
        let request: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
        // A real base knows no others.
        if !["health", "queryAllBiz", "installBiz", "uninstallBiz"].contains(&command.as_str()) {
            return;
        }
        let Some(reply) = post(self.ip, &command, &message.payload).await else { return };
        match command.as_str() {
            "health" => self.say("health", reply),
            "queryAllBiz" => {
                let all = reply["data"].as_array().cloned().unwrap_or_default();
                let simple = |biz: &Value| json!({ "name": biz["bizName"], "version": biz["bizVersion"], "state": biz["bizState"] });
                self.say("simpleBiz", all.iter().map(simple).collect());
            }
            _ => self.say(
                "bizOperation",
                json!({
                    "command": command, "bizName": request["bizName"], "bizVersion": request["bizVersion"],
                    "response": reply,
                }),
            ),
        }
    }
}

/// Passes a command on to the simulated base, which speaks HTTP; nothing if it doesn't answer with JSON.
async fn post(ip: IpAddr, command: &str, body: &[u8]) -> Option<Value> {
    let mut stream = TcpStream::connect(SocketAddr::new(ip, AGENT)).await.ok()?;
    let head = format!("POST /{command} HTTP/1.1\r\nHost: b\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let start = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    serde_json::from_slice(&answer[start..]).ok()
}

/// What a base publishes.
pub fn envelope(published: i64, data: Value) -> String {
    json!({ "publishTimestamp": published, "data": data }).to_string()
}

/// A base's announcement.
pub fn heartbeat(device: &str, ip: IpAddr) -> Value {
    json!({
        "baseMetadata": metadata(device), "localIP": ip, "localHostName": "base-0", "port": AGENT, "state": "ACTIVATED",
    })
}

fn metadata(device: &str) -> Value {
    json!({ "identity": device, "name": "base", "version": "1.0.0", "clusterName": "default" })
}

/// Milliseconds since the epoch.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or_default()
}

fn unique(name: &str) -> String {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    format!("{name}-{}", COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

/// A program of the package mosquitto; Debian puts the broker where not every PATH looks.
fn tool(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    let found = folders.map(|folder: PathBuf| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("the command {name} is missing: run tests/broker"))
}

fn spawn(folder: &Path) -> Child {
    let log = std::fs::File::create(folder.join("broker.log")).expect("a file");
    // Ends with this process, however that ends.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(tool("mosquitto")).arg("-c").arg(folder.join("broker.conf"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
    command.spawn().expect("setpriv is there")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((HOST, 0)).expect("the rig has this address");
    listener.local_addr().expect("an address").port()
}

/// A new key of the kind that all here have.
const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

fn make_authority(folder: &Path, name: &str) {
    let file = |ending: &str| folder.join(format!("{name}.{ending}")).display().to_string();
    let subject = format!("/CN={name}");
    run(Process::new("openssl")
        .args(["req", "-x509", "-days", "2", "-subj", &subject, "-keyout", &file("key"), "-out", &file("crt")])
        .args(NEW_KEY));
}

fn make_certificate(folder: &Path, ca: &str, name: &str) {
    let file = |name: &str, ending: &str| folder.join(format!("{name}.{ending}")).display().to_string();
    let (csr, names) = (file(name, "csr"), file(name, "ext"));
    std::fs::write(&names, format!("subjectAltName=IP:{HOST}\n")).expect("a file");
    let subject = format!("/CN={name}");
    run(Process::new("openssl")
        .args(["req", "-new", "-subj", &subject, "-keyout", &file(name, "key"), "-out", &csr])
        .args(NEW_KEY));
    run(Process::new("openssl")
        .args(["x509", "-req", "-days", "2", "-set_serial", "2", "-in", &csr, "-extfile", &names])
        .args(["-CA", &file(ca, "crt"), "-CAkey", &file(ca, "key"), "-out", &file(name, "crt")]));
}

fn run(command: &mut Process) {
    let output = command.output().expect("the command is there");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

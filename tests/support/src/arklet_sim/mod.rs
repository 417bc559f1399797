//! Simulated bases: one listener on every address of the machine is as many of them as are wanted.
//!
//! The destination address of a connection says which base is meant. A base is born empty with the first call to its address
//! or with [`Sim::base`], answers as a real Arklet was seen to answer, quirks included, and can be told to misbehave. What it
//! was asked is counted and logged, and what no correct operator does (two operations at once on one biz name, a third
//! version of a name) is kept as a violation.
//!
//! The simulator is itself held against a real JVM base by the test `conformance`: what that finds is changed here.
//!
//! Must not: use code of the operator, or be kinder than the real agent unless a setting asks for it.

mod base;
mod config;
mod http;
mod operate;
mod record;
mod reply;
mod serve;
mod state;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use self::base::Base;
pub use self::config::{BaseConfig, Behaviour, End, Fault, Metaspace, Style};
pub use self::record::{Call, Change, Command, Counts};
pub use self::state::{BizView, State};

use self::base::BaseCell;
use self::record::Ledger;

/// Connections that may wait to be accepted: a burst to thousands of bases arrives at one socket.
const BACKLOG: u32 = 4096;

/// All simulated bases of a port. They vanish, with every open connection, when this is dropped.
pub struct Sim {
    shared: Arc<Shared>,
    port: u16,
    server: JoinHandle<()>,
}

/// What the listener, the bases and the handles have in common.
struct Shared {
    started: Instant,
    settings: Mutex<Settings>,
    bases: Mutex<HashMap<IpAddr, Arc<BaseCell>>>,
    ledger: Mutex<Ledger>,
}

/// What holds for all bases that say nothing else.
#[derive(Default)]
struct Settings {
    config: BaseConfig,
    jars: HashMap<String, Behaviour>,
    names: HashMap<(String, String), Behaviour>,
}

impl Sim {
    /// Listens on `port` of every IPv4 address (0 takes a free one) and serves from tasks of the present runtime.
    pub async fn start(port: u16) -> io::Result<Self> {
        Self::start_with(port, BaseConfig::default()).await
    }

    /// As [`Sim::start`], with another configuration for bases that aren't configured one by one.
    pub async fn start_with(port: u16, config: BaseConfig) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))?;
        let listener = socket.listen(BACKLOG)?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            started: Instant::now(),
            settings: Mutex::new(Settings { config, ..Settings::default() }),
            bases: Mutex::default(),
            ledger: Mutex::default(),
        });
        let server = tokio::spawn(serve::listen(listener, Arc::clone(&shared)));
        Ok(Self { shared, port, server })
    }

    /// The port of all bases.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The base at an address; empty if nobody asked for it before.
    pub fn base(&self, ip: impl Into<IpAddr>) -> Base {
        Base::new(self.shared.base(ip.into()), Arc::clone(&self.shared))
    }

    /// Puts a new pod in the place of the one at `ip`: an empty base with the default configuration. Connections to the old
    /// one die. Its calls stay in the log, under their incarnation.
    pub fn reset(&self, ip: impl Into<IpAddr>) {
        self.base(ip).replace();
    }

    /// The configuration of bases that are born or reset from now on.
    pub fn configure(&self, change: impl FnOnce(&mut BaseConfig)) {
        change(&mut lock(&self.shared.settings).config);
    }

    /// What lies behind `url`, for every base: as in reality, the jar decides how it starts and what it is called.
    pub fn jar(&self, url: &str, behaviour: Behaviour) {
        lock(&self.shared.settings).jars.insert(url.to_owned(), behaviour);
        self.shared.wake_all();
    }

    /// How `name:version` behaves on every base that wasn't told otherwise, whatever its URL.
    pub fn behave(&self, name: &str, version: &str, behaviour: Behaviour) {
        lock(&self.shared.settings).names.insert((name.to_owned(), version.to_owned()), behaviour);
        self.shared.wake_all();
    }

    /// Every address that was called or asked for, in order.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<_> = lock(&self.shared.bases).keys().copied().collect();
        addresses.sort_unstable();
        addresses
    }

    /// The counts of all bases together, those of earlier incarnations included.
    pub fn totals(&self) -> Counts {
        lock(&self.shared.ledger).totals
    }

    /// Every change of a biz so far, oldest first; what the bases served at any moment can be told from it.
    pub fn changes(&self) -> Vec<Change> {
        lock(&self.shared.ledger).changes.iter().cloned().collect()
    }

    /// What no correct operator does, one sentence each.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.shared.ledger).violations.clone()
    }

    /// Panics with the violations, if there are any.
    pub fn assert_no_violations(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "the bases saw what must not be:\n{}", violations.join("\n"));
    }

    /// How long this simulator has been running: the clock of [`Call::at`] and [`Change::at`].
    pub fn elapsed(&self) -> Duration {
        self.shared.started.elapsed()
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn base(&self, ip: IpAddr) -> Arc<BaseCell> {
        let mut bases = lock(&self.bases);
        Arc::clone(bases.entry(ip).or_insert_with(|| BaseCell::new(ip, lock(&self.settings).config.clone())))
    }

    /// The behaviour of what is asked for, where the base itself has none: the jar's, else the name's, else a plain start.
    fn behaviour(&self, name: &str, version: &str, url: &str) -> Behaviour {
        let settings = lock(&self.settings);
        let by_name = || settings.names.get(&(name.to_owned(), version.to_owned()));
        settings.jars.get(url).or_else(by_name).cloned().unwrap_or_default()
    }

    fn wake_all(&self) {
        for base in lock(&self.bases).values() {
            base.wake();
        }
    }
}

/// A lock that outlives the panic of a test.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Leader election on the Lease that V1 used: one process acts, the others wait.
//!
//! The record has the format of client-go's elector and follows its rules, so a V1 manager that runs with
//! `--leader-elect` in the same namespace and this process keep out of each other's way.
//!
//! - The Lease is only ever *replaced*, guarded by its resourceVersion, never patched: of two writers one
//!   gets a conflict and looks again.
//! - Whether a lease has run out is judged from changes seen here, by a monotonic clock ([`plan`]).
//! - A leader that can't renew in time stops before others may start, and never resumes in place: the
//!   caller ends the process and a new one stands for election under a new name.
//! - A stopped leader gives the lease back after its work has ended, and only if it is still its own.
//!
//! Must not: let work outlive the lease. The work gets a [`CancellationToken`]; its future is dropped if it
//! doesn't follow. It must spawn whatever computes for long, because the renewals share its task.

mod elector;
#[cfg(test)]
mod fake;
pub mod plan;
pub mod store;

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::api::keys::LEASE_NAME;
use elector::Elector;
pub use plan::{Loss, Timing};
use store::{KubeStore, LeaseStore};

/// Who stands for election where, and how patient it is.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaseConfig {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Name of this process in the record; no other process may ever have the same.
    pub identity: String,
    /// Periods of the protocol.
    pub timing: Timing,
    /// How long the leader's work may take to end after a stop.
    pub stop_grace: Duration,
}

impl LeaseConfig {
    /// The Lease of V1 in `namespace`, under a name that is this process's alone. The work may take 20 s to
    /// end: less than the 30 s that a pod has between the signal and the kill.
    pub fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: LEASE_NAME.to_owned(),
            identity: identity(),
            timing: Timing::default(),
            stop_grace: Duration::from_secs(20),
        }
    }
}

/// Why nobody was elected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The periods don't keep two leaders apart.
    #[error("the lease settings are unsafe: {0}")]
    Timing(&'static str),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Stopped before it ever led.
    NeverLed,
    /// Stopped while leading.
    Stopped {
        /// Whether the lease was given back; otherwise it runs out by itself.
        released: bool,
    },
    /// The work ended by itself, without a stop.
    Ended {
        /// Whether the lease was given back.
        released: bool,
    },
    /// The leadership was lost: the process should exit with an error and be started anew.
    Lost(Loss),
}

/// Waits until this process leads, runs `lead`, and returns once it no longer leads.
///
/// The token given to `lead` is cancelled when `stop` fires or the leadership is lost. API errors are waited
/// out and logged; the only error is a configuration that can't be safe.
pub async fn run<F, Fut>(cfg: LeaseConfig, client: Client, stop: CancellationToken, lead: F) -> Result<Outcome, Error>
where
    F: FnOnce(CancellationToken) -> Fut,
    Fut: Future<Output = ()>,
{
    let store = KubeStore::new(client, &cfg.namespace, &cfg.name);
    run_with(cfg, store, stop, lead).await
}

/// As [`run`], on any [`LeaseStore`].
pub async fn run_with<S, F, Fut>(cfg: LeaseConfig, store: S, stop: CancellationToken, lead: F) -> Result<Outcome, Error>
where
    S: LeaseStore,
    F: FnOnce(CancellationToken) -> Fut,
    Fut: Future<Output = ()>,
{
    cfg.timing.check().map_err(Error::Timing)?;
    Ok(Elector::new(cfg, store, Arc::new(Timestamp::now)).run(stop, lead).await)
}

/// A name for this process: `<host name>_<random>`, as client-go forms it.
pub fn identity() -> String {
    let host = std::env::var("HOSTNAME")
        .ok()
        .or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown-host".to_owned());
    // Each RandomState is keyed from the operating system's randomness; the process id and the time guard
    // against a platform where that is poor.
    let word = || RandomState::new().hash_one((std::process::id(), Timestamp::now()));
    let (a, b) = (word(), word());
    format!("{host}_{:08x}-{:04x}-{:04x}-{:016x}", a >> 32, (a >> 16) & 0xffff, a & 0xffff, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_differ_and_name_the_host() {
        let (a, b) = (identity(), identity());
        assert_ne!(a, b);
        let (host, random) = a.rsplit_once('_').unwrap();
        assert!(!host.is_empty());
        assert_eq!(random.len(), 8 + 1 + 4 + 1 + 4 + 1 + 16, "{random}");
    }

    #[tokio::test]
    async fn unsafe_timing_is_refused() {
        let mut cfg = LeaseConfig::new("default");
        cfg.timing.renew_deadline = cfg.timing.lease;
        let api = fake::FakeApi::new();
        let got = run_with(cfg, api.store(|_| fake::Fate::Fine), CancellationToken::new(), |_| async {}).await;
        assert!(matches!(got, Err(Error::Timing(_))));
    }
}

//! Whole-system scenarios: a real API server, simulated bases on the addresses of its pods, the operator in this process.
//!
//! What there is once in a process is in [`shared`]: the runtime, the simulator, the watch that makes every new pod a new,
//! empty base, and the installed kinds. Each scenario gets a [`World`]: a namespace of its own and an operator for it, which
//! can be stopped and started. Scenarios run side by side. Waiting is always for a condition ([`World::eventually`]).

mod bases;
mod endpoints;
mod metrics;
mod modules;
mod mortal;
mod mqtt;
mod objects;
mod operator;
mod provider;
mod report;
mod rights;
mod shared;
mod timeline;
mod vpods;
mod waiting;

use std::{
    collections::BTreeSet,
    future::Future,
    net::IpAddr,
    panic::{AssertUnwindSafe, resume_unwind},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use futures::FutureExt;
use kube::Client;

pub use self::bases::{BasePod, base_deployment};
pub use self::endpoints::Endpoints;
pub use self::modules::{ModuleSpec, condition, module};
pub use self::mqtt::{Broker, MqttBase, envelope, heartbeat, now};
pub use self::objects::{Kind, text};
pub use self::operator::Operator;
pub use self::provider::{Provider, hasty, is_ready, is_vpod, labelled_base, vnode_name};
pub use self::rights::holding_back;
pub use self::shared::Sighting;
pub use self::timeline::{Stopped, Timeline};
pub use self::vpods::{VPodSpec, vpod};
pub use self::waiting::{SOON, until};

use self::rights::Install;
use self::shared::Shared;
use crate::metrics_api::MetricsApi;

/// One scenario's part of the cluster. Clones are handles on the same.
#[derive(Clone)]
pub struct World {
    inner: Arc<Inner>,
}

struct Inner {
    shared: &'static Shared,
    client: Client,
    namespace: String,
    /// The simulator's clock when the scenario began.
    began: Duration,
    /// How many violations there were then.
    violations: usize,
    /// The environment of its virtual nodes, where that isn't the namespace.
    env: OnceLock<String>,
    /// Every address that a base of this scenario ever had.
    addresses: Mutex<BTreeSet<IpAddr>>,
    operator: tokio::sync::Mutex<Option<Operator>>,
    providers: tokio::sync::Mutex<Vec<Provider>>,
    /// Whose rights there are already.
    granted: tokio::sync::Mutex<Vec<Install>>,
    /// What autoscalers read, once a metric was set.
    metrics: tokio::sync::OnceCell<MetricsApi>,
}

/// Plays a scenario in a new namespace, with the operator running; takes everything away after it, and prints what was there
/// if it failed.
pub fn scenario<F: Future<Output = ()>>(name: &str, play: impl FnOnce(World) -> F) {
    play_out(name, true, play);
}

/// As [`scenario`], with the operator not started yet.
pub fn scenario_without_operator<F: Future<Output = ()>>(name: &str, play: impl FnOnce(World) -> F) {
    play_out(name, false, play);
}

fn play_out<F: Future<Output = ()>>(name: &str, operator: bool, play: impl FnOnce(World) -> F) {
    let shared = shared::shared();
    shared.runtime.block_on(async {
        let world = World::new(shared, name).await;
        if operator {
            world.start_operator().await;
        }
        let played = async {
            play(world.clone()).await;
            world.assert_no_violations();
        };
        let result = AssertUnwindSafe(played).catch_unwind().await;
        if result.is_err() {
            world.report().await;
        }
        world.stop_operator().await;
        world.stop_providers().await;
        world.take_vnodes_away().await;
        world.withdraw_metrics().await;
        world.withdraw_rights().await;
        world.take_away().await;
        if let Err(panic) = result {
            resume_unwind(panic);
        }
    });
}

impl World {
    async fn new(shared: &'static Shared, name: &str) -> Self {
        let client = shared::client().await;
        let namespace = objects::new_namespace(&client, name).await;
        Self {
            inner: Arc::new(Inner {
                shared,
                client,
                namespace,
                began: shared.sim.elapsed(),
                violations: shared.sim.violations().len(),
                env: OnceLock::new(),
                addresses: Mutex::default(),
                operator: tokio::sync::Mutex::new(None),
                providers: tokio::sync::Mutex::default(),
                granted: tokio::sync::Mutex::default(),
                metrics: tokio::sync::OnceCell::new(),
            }),
        }
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.inner.namespace
    }

    /// Where a file or folder of this scenario's own may lie: in the rig's folder, with which it goes. Two rigs at a time may
    /// have scenarios of one name.
    pub fn file(&self, name: &str) -> PathBuf {
        let rig = std::env::var_os("RIG_STATE").map_or_else(std::env::temp_dir, PathBuf::from);
        rig.join(format!("{}-{name}", self.namespace()))
    }

    /// The API client of the test itself.
    pub fn client(&self) -> Client {
        self.inner.client.clone()
    }

    fn addresses(&self) -> MutexGuard<'_, BTreeSet<IpAddr>> {
        self.inner.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails if the bases of this scenario were asked for what no correct operator asks.
    pub fn assert_no_violations(&self) {
        let all = self.inner.shared.sim.violations();
        let own = self.addresses();
        let ours = |violation: &&String| own.iter().any(|ip| violation.starts_with(&format!("{ip} at ")));
        let found: Vec<&String> = all.iter().skip(self.inner.violations).filter(ours).collect();
        assert!(found.is_empty(), "the bases saw what must not be: {found:#?}");
    }
}

//! The fleet as its watcher sees it: one watch of each kind, counted as events come, so that waiting costs next to nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::StreamExt;
use kube::Api;
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::watcher::{self, Event};
use serde_json::Value;
use tokio::sync::Notify;

use super::cluster::{Cluster, NAMESPACE};
use super::{DEADLINE, Result};

/// What is known of the fleet.
#[derive(Default)]
pub struct Seen {
    modules: HashMap<String, (String, bool)>,
    available: HashMap<String, usize>,
    deployments: HashMap<String, bool>,
}

impl Seen {
    /// Modules that exist.
    pub fn modules(&self) -> usize {
        self.modules.len()
    }

    /// Modules of a version that are Available.
    pub fn available(&self, version: &str) -> usize {
        self.available.get(version).copied().unwrap_or(0)
    }

    /// ModuleDeployments that exist.
    pub fn deployments(&self) -> usize {
        self.deployments.len()
    }

    /// ModuleDeployments whose present release is complete.
    pub fn completed(&self) -> usize {
        self.deployments.values().filter(|completed| **completed).count()
    }

    fn forget_module(&mut self, name: &str) {
        if let Some((version, true)) = self.modules.remove(name)
            && let Some(count) = self.available.get_mut(&version)
        {
            *count -= 1;
        }
    }

    fn module(&mut self, object: &DynamicObject) {
        self.forget_module(&object.name_any());
        let word = |path: &str| object.data.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let version = word("/spec/module/version").to_owned();
        let available = word("/status/status") == "Available" && object.metadata.deletion_timestamp.is_none();
        *self.available.entry(version.clone()).or_default() += usize::from(available);
        self.modules.insert(object.name_any(), (version, available));
    }

    fn deployment(&mut self, object: &DynamicObject) {
        let at = |path: &str| object.data.pointer(path);
        let present = at("/status/observedGeneration").and_then(Value::as_i64) == object.metadata.generation;
        let progress = at("/status/releaseStatus/progress").and_then(Value::as_str);
        let wanted = at("/spec/replicas").and_then(Value::as_i64);
        let available = at("/status/updatedAvailableReplicas").and_then(Value::as_i64);
        let completed = present && progress == Some("Completed") && available == wanted;
        self.deployments.insert(object.name_any(), completed);
    }
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Notify,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The watches.
pub struct Fleet {
    shared: Arc<Shared>,
}

impl Fleet {
    /// Begins to watch.
    pub async fn watch(cluster: &Cluster) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        tokio::spawn(follow(cluster.api("Module", NAMESPACE), Arc::clone(&shared), Seen::module, Seen::forget_module));
        tokio::spawn(follow(
            cluster.api("ModuleDeployment", NAMESPACE),
            Arc::clone(&shared),
            Seen::deployment,
            |seen, name| {
                seen.deployments.remove(name);
            },
        ));
        Ok(Self { shared })
    }

    /// Waits until `done`.
    pub async fn until(&mut self, what: &str, done: impl Fn(&Seen) -> bool) -> Result<()> {
        let began = Instant::now();
        loop {
            let changed = self.shared.changed.notified();
            if done(&self.shared.seen()) {
                return Ok(());
            }
            let left = DEADLINE.saturating_sub(began.elapsed());
            if tokio::time::timeout(left, changed).await.is_err() {
                let seen = self.shared.seen();
                return Err(format!(
                    "in {} s not all {what}: {} Modules, Available by version {:?}, {} of {} releases Completed",
                    DEADLINE.as_secs(),
                    seen.modules(),
                    seen.available,
                    seen.completed(),
                    seen.deployments()
                )
                .into());
            }
        }
    }
}

async fn follow(
    api: Api<DynamicObject>,
    shared: Arc<Shared>,
    applied: fn(&mut Seen, &DynamicObject),
    deleted: fn(&mut Seen, &str),
) {
    let mut events = std::pin::pin!(watcher::watcher(api, watcher::Config::default()));
    while let Some(event) = events.next().await {
        match event {
            // A second list of the same objects can't hide a deletion: it comes only when a watch was lost for minutes.
            Ok(Event::Apply(object) | Event::InitApply(object)) => applied(&mut shared.seen(), &object),
            Ok(Event::Delete(object)) => deleted(&mut shared.seen(), &object.name_any()),
            Ok(Event::Init | Event::InitDone) => {}
            Err(error) => eprintln!("fleet-bench: watch: {error}"),
        }
        shared.changed.notify_one();
    }
}

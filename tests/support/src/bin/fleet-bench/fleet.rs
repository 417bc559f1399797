//! The fleet as its watcher sees it: one watch of each kind.

use std::collections::HashMap;
use std::fmt;

use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::watcher;
use rig::bench::watch::Watch;
use serde_json::Value;

use super::cluster::{Cluster, NAMESPACE};

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

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (modules, available) = (self.modules(), &self.available);
        let (completed, deployments) = (self.completed(), self.deployments());
        write!(
            f,
            "{modules} Modules, Available by version {available:?}, {completed} of {deployments} releases Completed"
        )
    }
}

/// Begins to watch.
pub fn watch(cluster: &Cluster) -> Watch<Seen> {
    let watch = Watch::default();
    let all = watcher::Config::default;
    watch.follow(cluster.api("Module", NAMESPACE), all(), Seen::module, Seen::forget_module);
    watch.follow(cluster.api("ModuleDeployment", NAMESPACE), all(), Seen::deployment, |seen: &mut Seen, name: &str| {
        seen.deployments.remove(name);
    });
    watch
}

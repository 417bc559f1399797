//! Nodes and pods as a watcher sees them.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Node;
use kube::runtime::watcher;
use kube::{Api, ResourceExt};
use module_controller::runtime::kinds::BasePod;
use rig::bench::watch::Watch;

use super::cluster::{Cluster, MODULES, NODES};

/// When a pod got on.
#[derive(Clone, Copy, Default)]
struct Times {
    bound: Option<Instant>,
    ready: Option<Instant>,
}

/// What is known.
#[derive(Default)]
pub struct Seen {
    nodes: HashMap<String, bool>,
    pods: HashMap<String, Times>,
    ready_nodes: usize,
    ready_pods: usize,
}

impl Seen {
    /// Nodes that exist.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    pub fn ready_nodes(&self) -> usize {
        self.ready_nodes
    }

    /// Pods that exist.
    pub fn pods(&self) -> usize {
        self.pods.len()
    }

    /// Pods that exist and have been Ready.
    pub fn ready_pods(&self) -> usize {
        self.ready_pods
    }

    fn node(&mut self, node: &Node) {
        let conditions = node.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
        let ready = conditions.into_iter().any(|one| one.type_ == "Ready" && one.status == "True");
        let before = self.nodes.insert(node.name_any(), ready);
        self.ready_nodes = self.ready_nodes + usize::from(ready) - usize::from(before == Some(true));
    }

    fn no_node(&mut self, name: &str) {
        self.ready_nodes -= usize::from(self.nodes.remove(name) == Some(true));
    }

    fn pod(&mut self, pod: &BasePod) {
        let now = Instant::now();
        let times = self.pods.entry(pod.name_any()).or_default();
        if pod.spec.node_name.is_some() {
            times.bound.get_or_insert(now);
        }
        let ready = pod.condition("Ready").is_some_and(|one| one.status == "True");
        if ready && times.ready.is_none() {
            times.ready = Some(now);
            self.ready_pods += 1;
        }
    }

    /// How long each pod that is there took from its binding to Ready, shortest first.
    pub fn lags(&self) -> Vec<Duration> {
        let lag = |times: &Times| Some(times.ready?.saturating_duration_since(times.bound?));
        let mut lags: Vec<Duration> = self.pods.values().filter_map(lag).collect();
        lags.sort_unstable();
        lags
    }

    fn no_pod(&mut self, name: &str) {
        let gone = self.pods.remove(name);
        self.ready_pods -= usize::from(gone.is_some_and(|times| times.ready.is_some()));
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nodes, pods) = (self.nodes(), self.pods());
        write!(f, "{nodes} nodes, {} of them Ready; {pods} pods, {} of them Ready", self.ready_nodes, self.ready_pods)
    }
}

/// Begins to watch the nodes of both sides and the pods of modules.
pub fn begin(cluster: &Cluster) -> Watch<Seen> {
    let watch = Watch::default();
    let (client, all) = (|| cluster.client.clone(), watcher::Config::default);
    watch.follow(Api::all(client()), all().labels(NODES), Seen::node, Seen::no_node);
    watch.follow(Api::namespaced(client(), MODULES), all(), Seen::pod, Seen::no_pod);
    watch
}

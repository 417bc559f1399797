//! What all parts of the provider share, and how news travels between them.
//!
//! Must not: decide; whoever is woken looks at everything again.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Node;
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    bases::{Bases, News},
    carry,
    guard::Guard,
    health, keep,
    pod::ModulePod,
    pods::{Changed, Key, Pods},
    state::{Found, VNode},
    tunnel::mqtt::commands::Commands,
    ways::Ways,
    world::ProviderWorld,
};
use crate::{
    api::vkeys,
    arklet::{
        agents::Agents,
        session::{Care, Sessions},
    },
    domain::{backoff, vnode::keep::Times},
    runtime::{
        cache::{Cache, Change},
        clock::Clock,
        health::Readiness,
        metrics::{AgentCommand, AgentOutcome, Metrics},
        ops::Ops,
    },
};

/// How often a pod that lost the label of a module pod, and stays bound to its VNode, is looked for.
const STRAY_LOOK: Duration = Duration::from_secs(30);

/// What can be set for a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The environment: other environments' bases and vPods are none of this process's business.
    pub env: String,
    /// This process's name in Leases. No other process may have it at the same time.
    pub client_id: String,
    /// Where vPods and base pods are; empty for all namespaces.
    pub namespaces: Vec<String>,
    /// The label selector of base pods; `None`: they announce themselves.
    pub discover: Option<String>,
    /// The periods of a VNode.
    pub times: Times,
    /// How often a base is asked how it is.
    pub health_interval: Duration,
    /// How often a base is asked for its list of biz.
    pub biz_interval: Duration,
    /// How long a module goes on serving after its vPod was ordered to end.
    pub drain: Duration,
    /// Lifetime of a watch (seconds).
    pub watch_seconds: u32,
}

impl Settings {
    /// [`Settings::drain`] in milliseconds.
    pub fn drain_millis(&self) -> i64 {
        i64::try_from(self.drain.as_millis()).unwrap_or(i64::MAX)
    }

    /// The namespaces to watch one by one; `None` for all of them together.
    pub fn scopes(&self) -> Vec<Option<String>> {
        match self.namespaces.as_slice() {
            [] => vec![None],
            names => names.iter().cloned().map(Some).collect(),
        }
    }
}

/// What a provider stands on.
#[derive(Clone)]
pub struct Ground {
    /// Writes.
    pub ops: Ops,
    /// The way to agents.
    pub agents: Arc<dyn Agents>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Readiness of the process.
    pub readiness: Arc<Readiness>,
}

/// The provider.
pub struct Provider {
    /// Writes.
    pub ops: Ops,
    /// The way to agents.
    pub agents: Arc<dyn Agents>,
    /// Settings.
    pub settings: Settings,
    /// The MQTT tunnel, where there is one.
    pub mqtt: Option<Arc<Commands>>,
    /// Time.
    pub clock: Clock,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Bases and their VNodes.
    pub bases: Bases,
    /// The Nodes of VNodes of this environment.
    pub nodes: Arc<Cache<Node>>,
    /// vPods.
    pub pods: Pods,
    /// Conversations with agents.
    pub sessions: Arc<Sessions>,
    /// The number of Ready VNodes, or a Deployment that follows it, may have changed.
    pub peers_turn: Notify,
    /// Ends everything.
    pub stop: CancellationToken,
    /// Namespaces whose base pods were listed.
    discovered: AtomicUsize,
    /// The loops of all VNodes.
    loops: Mutex<JoinSet<()>>,
    me: Weak<Provider>,
}

impl Provider {
    /// A provider that knows nothing yet, over the Nodes in `nodes`.
    pub fn new(
        ground: &Ground,
        settings: Settings,
        mqtt: Option<Arc<Commands>>,
        nodes: Arc<Cache<Node>>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let clock = Clock::start();
        // Two labels mark a module pod.
        let watches = settings.scopes().len() * 2;
        Arc::new_cyclic(|me: &Weak<Self>| {
            let world = Arc::new(ProviderWorld::new(me.clone(), Arc::clone(&ground.metrics)));
            let ways = Ways::new(Arc::clone(&ground.agents), mqtt.clone(), me.clone());
            let agents: Arc<dyn Agents> = Arc::new(Guard::new(Arc::new(ways), me.clone()));
            let care = Care { health_interval: settings.biz_interval, min_free_metaspace: 0 };
            let sessions = Sessions::new(Arc::clone(&agents), clock, care, world, stop.child_token());
            Self {
                ops: ground.ops.clone(),
                agents,
                pods: Pods::new(&settings.env, watches),
                settings,
                mqtt,
                clock,
                metrics: Arc::clone(&ground.metrics),
                bases: Bases::default(),
                nodes,
                sessions,
                peers_turn: Notify::new(),
                stop,
                discovered: AtomicUsize::new(0),
                loops: Mutex::default(),
                me: me.clone(),
            }
        })
    }

    /// The Node of this name, as far as is known.
    pub fn node(&self, name: &str) -> Option<Arc<Node>> {
        self.nodes.get_bare(&ObjectRef::new(name))
    }

    /// A call to an agent ended.
    pub fn called(&self, command: &str, outcome: &str, took: Duration) {
        self.metrics.agent_call(AgentCommand::of(command), AgentOutcome::of(outcome), took);
    }

    /// A base was found, or changed.
    pub fn found(&self, found: Found) -> Arc<VNode> {
        let uid = found.id.uid.clone();
        match self.bases.found(found, self.clock.now(), &self.stop) {
            News::New(vnode) => {
                self.look_after(&vnode);
                vnode
            }
            News::Known { vnode, replaced, restarted } => {
                if let Some(replaced) = replaced {
                    self.sessions.close(&replaced);
                }
                if restarted {
                    self.sessions.restarted(&uid);
                }
                vnode.wake();
                vnode
            }
        }
    }

    /// The pod of a base is gone, or about to be.
    pub fn lost(&self, uid: &str) {
        if let Some(vnode) = self.bases.lost(uid) {
            self.sessions.close(uid);
            vnode.wake();
        }
    }

    /// Nothing is left of a VNode whose base is silent for good. A pod's end will be told; who announced itself is forgotten
    /// until it does so again.
    pub fn dead(&self, vnode: &VNode) {
        let found = vnode.state().found.clone();
        if let Some(found) = found.filter(|found| found.facts.tunnel != vkeys::tunnel::DISCOVERY) {
            self.lost(&found.id.uid);
        }
    }

    /// Begins to look after a VNode: three loops in one task, until nothing is left of it.
    pub fn look_after(&self, vnode: &Arc<VNode>) {
        let Some(provider) = self.me.upgrade() else { return };
        let vnode = Arc::clone(vnode);
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that ended need no memory.
        while loops.try_join_next().is_some() {}
        loops.spawn(async move {
            tokio::select! {
                () = vnode.stop.cancelled() => {}
                () = keep::attend(Arc::clone(&provider), Arc::clone(&vnode)) => {}
                () = carry::attend(Arc::clone(&provider), Arc::clone(&vnode)) => {}
                () = health::attend(Arc::clone(&provider), Arc::clone(&vnode)) => {}
            }
        });
    }

    /// Waits until no VNode is looked after any more.
    pub async fn ended(&self) {
        let mut loops = std::mem::take(&mut *self.loops.lock().unwrap_or_else(PoisonError::into_inner));
        loops.shutdown().await;
    }

    /// The base pods of one namespace were listed.
    pub fn discovered(&self) {
        self.discovered.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether all base pods were listed.
    pub fn is_discovered(&self) -> bool {
        self.settings.discover.is_none() || self.discovered.load(Ordering::Acquire) >= self.settings.scopes().len()
    }

    /// A Node changed.
    pub fn changed_node(&self, change: &Change<Node>) {
        let (Change::Applied(node) | Change::Deleted(node)) = change;
        self.peers_turn.notify_one();
        if let Some(vnode) = self.bases.named(&node.name_any()) {
            vnode.node_turn.notify_one();
            vnode.pods_turn.notify_one();
        }
    }

    /// vPods changed: their VNodes look again, and those that no watch shows are asked for.
    pub fn changed(&self, changed: Changed) {
        for name in changed.vnodes {
            if let Some(vnode) = self.bases.named(&name) {
                vnode.pods_turn.notify_one();
            }
        }
        for key in changed.missing {
            let Some(provider) = self.me.upgrade() else { return };
            tokio::spawn(async move { provider.confirm(key).await });
        }
    }

    /// Asks the API server for a pod that no watch shows. Only its own word makes a pod gone; an error is no word.
    async fn confirm(self: Arc<Self>, key: Key) {
        let mut failures = 0;
        while let Some(known) = self.pods.stray(&key) {
            let wait = match self.ops.read::<ModulePod>(&key.0, &key.1).await {
                Ok(Some(found)) if found.metadata.uid.as_deref() == Some(known.uid.as_str()) => {
                    // It lost its label. It stays what it is: a pod that runs on our VNode.
                    failures = 0;
                    self.changed(self.pods.apply(None, found));
                    STRAY_LOOK
                }
                Ok(_) => return self.changed(self.pods.gone(&key, &known.uid)),
                Err(error) => {
                    failures += 1;
                    tracing::warn!(pod = key.1, %error, "whether a pod is gone is not known yet");
                    backoff::after(failures, &key.1).min(STRAY_LOOK)
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// A check for the process's readiness: whether all vPods are known.
    pub fn pods_check(self: &Arc<Self>) -> impl Fn(Instant) -> Result<(), String> + Send + Sync + 'static + use<> {
        let provider = Arc::downgrade(self);
        move |_| match provider.upgrade() {
            Some(provider) if !provider.pods.is_complete() => Err("the first list isn't complete".to_owned()),
            _ => Ok(()),
        }
    }
}

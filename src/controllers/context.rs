//! What all controllers share.
//!
//! One [`Context`] serves one scope: a namespace, or the whole cluster. Watches, sessions and own writes end up in
//! [`Context::changed_module`] and its sisters in [`super::wake`], which tell who has to look again. Must not: decide
//! anything; that is left to the plans.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use tokio_util::sync::CancellationToken;

use super::{
    error::Error,
    ordering::Orderings,
    queues::{Queue, Queues},
    session_world::SessionWorld,
};
use crate::{
    api::{Delivery, Module, ModuleDeployment, ModuleReplicaSet, OperationStrategy},
    arklet::{
        agents::Agents,
        session::{Care, Sessions},
    },
    domain::placement::Ineligible,
    runtime::{
        bases::{BaseKey, Bases},
        cache::Cache,
        clock::{Clock, timestamp},
        index::{self, Modules, Sets},
        kinds::{BaseNode, ModulePod},
        metrics::Metrics,
        ops::Ops,
        vnodes::VNodes,
    },
};

/// What can be set for a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often each base is asked how it is, and for what.
    pub care: Care,
    /// Lifetime of a watch.
    pub watch_seconds: u32,
    /// Reconciles of one kind at a time.
    pub concurrency: u16,
    /// How modules get into bases where a deployment doesn't say.
    pub default_delivery: Delivery,
    /// The environment whose virtual nodes are used.
    pub vnode_env: String,
}

/// Counts in a status are written at most once in this time (milliseconds).
pub const STATUS_PACE: i64 = 1_000;

/// What Modules take from their replica set: strategy, minReadySeconds, revision label, the jar's URL, the way into the
/// base. Not its number of replicas, which changes with every step of a release.
type SetState = (Option<OperationStrategy>, Option<i32>, u64, Option<String>, Option<Delivery>);

/// What all controllers of one scope share.
pub struct Context {
    /// Writes.
    pub ops: Ops,
    /// Time.
    pub clock: Clock,
    /// When this scope began to be watched (milliseconds).
    pub watching_since: i64,
    /// ModuleDeployments.
    pub deployments: Arc<Cache<ModuleDeployment>>,
    /// ModuleReplicaSets, indexed.
    pub sets: Sets,
    /// Modules, indexed.
    pub modules: Modules,
    /// Services that belong to modules.
    pub services: Arc<Cache<Service>>,
    /// Nodes; empty where they may not be read.
    pub nodes: Arc<Cache<BaseNode>>,
    /// Which virtual node stands for which base.
    pub vnodes: VNodes,
    /// Modules that are pods on virtual nodes.
    pub vpods: Arc<Cache<ModulePod>>,
    /// Base pods.
    pub bases: Arc<Bases>,
    /// Conversations with agents.
    pub sessions: Arc<Sessions>,
    /// Who has to look again.
    pub queues: Queues,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Settings.
    pub settings: Settings,
    /// Deployments whose orders to their replica sets are being written.
    pub ordering: Orderings,
    /// Held from looking at bases to taking places on them: two replica sets never take one place.
    pub placing: Mutex<()>,
    /// When the status of an object was last written (milliseconds), by kind and key.
    pub written: Mutex<HashMap<String, i64>>,
    /// Why a deployment's Service isn't as wanted, by namespace and name.
    pub service_reports: Mutex<HashMap<(String, String), (String, String)>>,
    /// What its Modules take from each replica set, by UID, as last seen.
    pub(super) seen_sets: Mutex<HashMap<String, SetState>>,
    /// Namespace and name of replica sets that have Modules to place, or to delete, and can't yet.
    pub(super) waiting: Mutex<BTreeSet<(String, String)>>,
    /// What finds no base, by namespace and name of the replica set.
    pub unplaced: Mutex<HashMap<(String, String), Unplaced>>,
    /// Set while the process ends: nothing new is begun.
    pub stop: CancellationToken,
}

/// Modules of one replica set that find no base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unplaced {
    /// The base Deployment.
    pub base: BaseKey,
    /// How many.
    pub count: u32,
    /// A sentence.
    pub why: String,
    /// What keeps most bases from taking them; `None`: there are none.
    pub reason: Option<Ineligible>,
}

/// The caches that a [`Context`] is built over.
pub struct Caches {
    /// ModuleDeployments.
    pub deployments: Arc<Cache<ModuleDeployment>>,
    /// ModuleReplicaSets.
    pub sets: Arc<Cache<ModuleReplicaSet>>,
    /// Modules.
    pub modules: Arc<Cache<Module>>,
    /// Services.
    pub services: Arc<Cache<Service>>,
    /// Nodes.
    pub nodes: Arc<Cache<BaseNode>>,
    /// Modules that are pods.
    pub vpods: Arc<Cache<ModulePod>>,
}

impl Context {
    /// Everything that controllers of one scope share.
    pub fn new(
        ops: Ops,
        arklet: Arc<dyn Agents>,
        caches: Caches,
        metrics: Arc<Metrics>,
        settings: Settings,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let clock = Clock::start();
        Arc::new_cyclic(|weak: &Weak<Self>| {
            let news = weak.clone();
            let on_base = move |change| {
                if let Some(context) = news.upgrade() {
                    context.changed_base(change);
                }
            };
            let bases = Arc::new(Bases::new(ops.client(), clock, settings.watch_seconds, stop.child_token(), on_base));
            let world = Arc::new(SessionWorld::new(weak.clone(), Arc::clone(&metrics)));
            let sessions = Sessions::new(arklet, clock, settings.care, world, stop.child_token());
            Self {
                ops,
                clock,
                watching_since: clock.now(),
                deployments: caches.deployments,
                sets: Sets::new(caches.sets),
                modules: Modules::new(caches.modules),
                services: caches.services,
                vnodes: VNodes::new(Arc::clone(&caches.nodes), settings.vnode_env.clone()),
                nodes: caches.nodes,
                vpods: caches.vpods,
                bases,
                sessions,
                queues: Queues {
                    deployments: Queue::new(),
                    sets: Queue::new(),
                    modules: Queue::new(),
                    services: Queue::new(),
                    pods: Queue::new(),
                },
                metrics,
                settings,
                ordering: Orderings::default(),
                placing: Mutex::new(()),
                written: Mutex::default(),
                service_reports: Mutex::default(),
                seen_sets: Mutex::default(),
                waiting: Mutex::default(),
                unplaced: Mutex::default(),
                stop,
            }
        })
    }

    /// Takes note of whether a replica set waits for places, or for Modules of others, to come or go.
    pub fn note_waiting(&self, set: &ModuleReplicaSet, waits: bool) {
        let key = (set.namespace().unwrap_or_default(), set.name_any());
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waits {
            waiting.insert(key);
        } else {
            waiting.remove(&key);
        }
    }

    /// Whether a replica set waits for places, or for Modules of others, to come or go.
    pub fn is_waiting(&self, set: &ModuleReplicaSet) -> bool {
        let key = (set.namespace().unwrap_or_default(), set.name_any());
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).contains(&key)
    }

    /// Takes note of what finds no base.
    pub fn note_unplaced(&self, set: &ModuleReplicaSet, unplaced: Option<Unplaced>) {
        let key = (set.namespace().unwrap_or_default(), set.name_any());
        let mut all = self.unplaced.lock().unwrap_or_else(PoisonError::into_inner);
        match unplaced {
            Some(unplaced) => _ = all.insert(key, unplaced),
            None => _ = all.remove(&key),
        }
    }

    /// Takes back what a Module wished for, without uninstalling anything.
    pub fn withdraw(&self, module: &Module) {
        let Some(base) = index::base_uid(module) else { return };
        for name in index::biz_names(module) {
            self.sessions.withdraw(base, name, &module.name_any());
        }
    }

    /// Lets everybody see a Module as leaving from before the request to delete it goes out: another replica set that
    /// looks for a place meanwhile must not count on it.
    pub fn order_away(&self, module: &Module) {
        let mut leaving = module.clone();
        leaving.metadata.deletion_timestamp.get_or_insert_with(|| timestamp(self.clock.now()));
        self.modules.cache.put(leaving);
    }

    /// Deletes a Module; its own reconcile sees to the rest.
    pub async fn delete_module(&self, module: &Module) -> Result<(), Error> {
        // One that is being created has no UID yet: its answer comes first.
        let Some(uid) = module.uid() else { return Ok(()) };
        let (namespace, name) = (module.namespace().unwrap_or_default(), module.name_any());
        if let Some(ending) = self.ops.delete::<Module>(&namespace, &name, &uid).await? {
            self.modules.cache.put(ending);
            self.queues.modules.push_named(&namespace, &name);
        }
        Ok(())
    }

    /// The replica sets that the deployment controls.
    pub fn sets_of(&self, deployment: &ModuleDeployment) -> Vec<Arc<ModuleReplicaSet>> {
        deployment.uid().map(|uid| self.sets.controlled_by(&uid)).unwrap_or_default()
    }

    /// Whether `key` may be written now; if not, when (milliseconds). What moves all the time is written at most once
    /// in `pace` milliseconds, an edge always.
    pub fn may_write(&self, key: &str, edge: bool, pace: i64, now: i64) -> Result<(), i64> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        match written.get(key) {
            Some(last) if !edge && now < last + pace => Err(last + pace),
            _ => {
                written.insert(key.to_owned(), now);
                Ok(())
            }
        }
    }

    /// Forgets the pace of an object that is gone.
    pub fn forget_pace(&self, key: &str) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// The name of the ModuleDeployment that controls a replica set.
pub fn deployment_of(set: &ModuleReplicaSet) -> Option<String> {
    let controller = index::controller(set)?;
    (controller.kind == "ModuleDeployment").then(|| controller.name.clone())
}

//! What all controllers share, and how news travels between them.
//!
//! One [`Context`] serves one scope: a namespace, or the whole cluster. Watches, sessions and own writes end up in
//! [`Context::changed_module`] and its sisters, which wake exactly the objects that have to look again. Waking is
//! cheap and idempotent; deciding is left to the plans.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use k8s_openapi::api::core::v1::Service;
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::{error::Error, ordering::Orderings, session_world::SessionWorld};
use crate::{
    api::{Delivery, Module, ModuleDeployment, ModuleReplicaSet, OperationStrategy, keys::label},
    arklet::{
        agents::Agents,
        session::{Care, Sessions},
    },
    domain::{deployment::rank, names, placement::Ineligible},
    runtime::{
        bases::{BaseChange, BaseKey, Bases},
        cache::{Cache, Change},
        clock::{Clock, timestamp},
        index::{self, Modules, Sets},
        kinds::{BaseNode, BasePod, ModulePod},
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

/// The queue of one kind.
pub struct Queue<K: kube::Resource> {
    sender: UnboundedSender<ObjectRef<K>>,
    receiver: Mutex<Option<UnboundedReceiver<ObjectRef<K>>>>,
}

impl<K: kube::Resource<DynamicType = ()>> Queue<K> {
    fn new() -> Self {
        let (sender, receiver) = unbounded_channel();
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }

    /// Asks for a reconcile of an object.
    pub fn push(&self, key: ObjectRef<K>) {
        // The receiver is gone only while the process ends.
        let _ = self.sender.send(key);
    }

    /// Asks for a reconcile by namespace and name.
    pub fn push_named(&self, namespace: &str, name: &str) {
        self.push(ObjectRef::new(name).within(namespace));
    }

    /// The receiving end, once.
    pub fn take(&self) -> Option<UnboundedReceiver<ObjectRef<K>>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// One queue a controller.
pub struct Queues {
    /// ModuleDeployments.
    pub deployments: Queue<ModuleDeployment>,
    /// ModuleReplicaSets.
    pub sets: Queue<ModuleReplicaSet>,
    /// Modules.
    pub modules: Queue<Module>,
    /// Services, by the deployment that asks.
    pub services: Queue<ModuleDeployment>,
    /// Base pods.
    pub pods: Queue<BasePod>,
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
    seen_sets: Mutex<HashMap<String, SetState>>,
    /// Namespace and name of replica sets that have Modules to place, or to delete, and can't yet.
    waiting: Mutex<BTreeSet<(String, String)>>,
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

    /// A ModuleDeployment changed, or is gone.
    pub fn changed_deployment(&self, change: &Change<ModuleDeployment>) {
        let (Change::Applied(deployment) | Change::Deleted(deployment)) = change;
        let key = ObjectRef::from_obj(&**deployment);
        self.queues.deployments.push(key.clone());
        self.queues.services.push(key);
        if matches!(change, Change::Deleted(_)) {
            self.forget_bases();
            self.wake_sharers(deployment);
        } else {
            self.wake_waiting_sets_of(deployment);
        }
    }

    /// Its replica sets that wait look again: what `spec.paused` holds goes on by nothing else.
    fn wake_waiting_sets_of(&self, deployment: &ModuleDeployment) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for set in self.sets.controlled_by(&deployment.uid().unwrap_or_default()) {
            let key = (set.namespace().unwrap_or_default(), set.name_any());
            if waiting.contains(&key) {
                self.queues.sets.push_named(&key.0, &key.1);
            }
        }
    }

    /// Other deployments of the same module look at their common Service again.
    pub fn wake_sharers(&self, deployment: &ModuleDeployment) {
        let Some(module) = deployment.module() else { return };
        for other in self.deployments.all() {
            let same = other.namespace() == deployment.namespace()
                && other.module().is_some_and(|theirs| theirs.name == module.name);
            if same && other.uid() != deployment.uid() {
                self.queues.services.push(ObjectRef::from_obj(&*other));
            }
        }
    }

    fn forget_bases(&self) {
        let named = |deployment: &Arc<ModuleDeployment>| {
            (deployment.namespace().unwrap_or_default(), deployment.spec.base_deployment_name.clone())
        };
        let used = self.deployments.all().iter().map(named).collect();
        self.bases.retain(&used);
    }

    /// A ModuleReplicaSet changed, or is gone.
    pub fn changed_set(&self, change: &Change<ModuleReplicaSet>) {
        let (Change::Applied(set) | Change::Deleted(set)) = change;
        match change {
            Change::Applied(set) => _ = self.sets.note(set),
            Change::Deleted(set) => self.sets.drop_key(set),
        }
        let namespace = set.namespace().unwrap_or_default();
        self.queues.sets.push(ObjectRef::from_obj(&**set));
        match (deployment_of(set), set.labels().get(label::MODULE_DEPLOYMENT)) {
            (Some(owner), _) => self.queues.deployments.push_named(&namespace, &owner),
            // An orphan: the deployment of that name may adopt it.
            (None, Some(label)) => self.wake_deployment(&namespace, label),
            (None, None) => {}
        }
        if self.is_news_for_modules(change) {
            for module in self.modules.of_set(&namespace, &set.name_any()) {
                self.queues.modules.push(ObjectRef::from_obj(&*module));
            }
        }
    }

    /// Whether something changed that its Modules take from a replica set: their strategy, drain time, rank and URL.
    fn is_news_for_modules(&self, change: &Change<ModuleReplicaSet>) -> bool {
        let mut seen = self.seen_sets.lock().unwrap_or_else(PoisonError::into_inner);
        match change {
            Change::Applied(set) => {
                let strategy = set.spec.operation_strategy.clone();
                let revision = rank(set);
                let url = set.module().map(|module| module.url.clone());
                let state = (strategy, set.spec.min_ready_seconds, revision, url, set.spec.delivery);
                let uid = set.uid().unwrap_or_default();
                seen.insert(uid, state.clone()) != Some(state)
            }
            Change::Deleted(set) => {
                self.note_waiting(set, false);
                self.note_unplaced(set, None);
                seen.remove(&set.uid().unwrap_or_default());
                true
            }
        }
    }

    /// A Module changed, or is gone.
    pub fn changed_module(&self, change: &Change<Module>) {
        let (Change::Applied(module) | Change::Deleted(module)) = change;
        let concerns_base = match change {
            Change::Applied(module) => {
                self.queues.modules.push(ObjectRef::from_obj(&**module));
                self.modules.note(module)
            }
            Change::Deleted(module) => {
                self.modules.drop_key(module);
                self.withdraw(module);
                // What it leaves behind, and the room it makes, is the business of the others in its slot.
                let name = |module: &Module| module.spec.module.as_ref().map(|info| info.name.clone());
                let slot = name(module);
                let base = index::base_uid(module).unwrap_or_default();
                self.wake_modules_on(base, |other| name(other) == slot);
                true
            }
        };
        self.wake_owners(module);
        // Its status comes from the conversation, which tells the base itself.
        if concerns_base {
            self.wake_base_of(module);
        }
        self.wake_waiting(&module.namespace().unwrap_or_default());
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

    /// Takes note of what finds no base.
    pub fn note_unplaced(&self, set: &ModuleReplicaSet, unplaced: Option<Unplaced>) {
        let key = (set.namespace().unwrap_or_default(), set.name_any());
        let mut all = self.unplaced.lock().unwrap_or_else(PoisonError::into_inner);
        match unplaced {
            Some(unplaced) => _ = all.insert(key, unplaced),
            None => _ = all.remove(&key),
        }
    }

    /// A Module came, became available, began to leave or is gone: replica sets that wait for such a thing look again.
    fn wake_waiting(&self, namespace: &str) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for (namespace, set) in waiting.iter().filter(|(of, _)| of == namespace) {
            self.queues.sets.push_named(namespace, set);
        }
    }

    /// Takes back what a Module wished for, without uninstalling anything.
    pub fn withdraw(&self, module: &Module) {
        if let (Some(base), Some(info)) = (index::base_uid(module), &module.spec.module) {
            self.sessions.withdraw(base, &info.name, &module.name_any());
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
        match self.ops.delete::<Module>(&namespace, &name, &uid).await {
            Ok(Some(ending)) => {
                self.modules.cache.put(ending);
                self.queues.modules.push_named(&namespace, &name);
            }
            Ok(None) => {}
            Err(error) => {
                // It isn't leaving after all: the watch's view counts again.
                self.modules.cache.forget(&ObjectRef::from_obj(module));
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Wakes the replica set and the deployment of a Module.
    pub fn wake_owners(&self, module: &Module) {
        let namespace = module.namespace().unwrap_or_default();
        let labels = module.labels();
        if let Some(set) = labels.get(label::MODULE_REPLICA_SET) {
            self.wake_set(&namespace, set);
        }
        if let Some(name) = labels.get(label::MODULE_DEPLOYMENT) {
            self.wake_deployment(&namespace, name);
        }
    }

    fn wake_set(&self, namespace: &str, label: &str) {
        if self.sets.cache.named(namespace, label).is_some() {
            self.queues.sets.push_named(namespace, label);
            return;
        }
        // The label is a safe form of a longer name.
        for set in self.sets.cache.all() {
            if set.namespace().as_deref() == Some(namespace) && names::label_safe(&set.name_any()) == label {
                self.queues.sets.push(ObjectRef::from_obj(&*set));
            }
        }
    }

    fn wake_deployment(&self, namespace: &str, label: &str) {
        if self.deployments.named(namespace, label).is_some() {
            self.queues.deployments.push_named(namespace, label);
            return;
        }
        for deployment in self.deployments.all() {
            let name = deployment.name_any();
            if deployment.namespace().as_deref() == Some(namespace) && names::label_safe(&name) == label {
                self.queues.deployments.push(ObjectRef::from_obj(&*deployment));
            }
        }
    }

    fn wake_base_of(&self, module: &Module) {
        if let (Some(namespace), Some(pod)) = (module.namespace(), index::base_name(module)) {
            self.queues.pods.push_named(&namespace, pod);
        }
    }

    /// A base pod or base Deployment changed.
    fn changed_base(&self, change: BaseChange) {
        match change {
            BaseChange::Pod { before, now } => self.changed_pod(before.as_deref(), &now),
            BaseChange::PodLeft(pod) => {
                self.sessions.close(pod.uid());
                self.wake_modules_on(pod.uid(), |_| true);
                let namespace = pod.namespace().unwrap_or_default();
                self.wake_all_of_namespace(&namespace);
            }
            BaseChange::Deployment(base) => self.wake_users_of(&base),
        }
    }

    fn changed_pod(&self, before: Option<&BasePod>, now: &BasePod) {
        let namespace = now.namespace().unwrap_or_default();
        self.queues.pods.push(ObjectRef::from_obj(now));
        let replaced = before.filter(|before| before.uid() != now.uid());
        if let Some(replaced) = replaced {
            self.sessions.close(replaced.uid());
            self.wake_modules_on(replaced.uid(), |_| true);
        }
        let same = before.filter(|before| before.uid() == now.uid());
        if same.is_some_and(|before| before.restarts() != now.restarts()) {
            self.sessions.restarted(now.uid());
        }
        let fate = |pod: &BasePod| (pod.is_ending(), pod.status.pod_ip.clone(), pod.arklet_port());
        if same.is_none_or(|before| fate(before) != fate(now)) {
            self.wake_modules_on(now.uid(), |_| true);
        } else if let Some(before) = same {
            let changed = |key: String| before.labels().contains_key(&key) != now.labels().contains_key(&key);
            self.wake_modules_on(now.uid(), |module| biz_names(module).any(|name| changed(names::traffic_label(name))));
        }
        let going = |pod: &BasePod| pod.is_ending() || pod.is_to_be_emptied();
        let room = |pod: &BasePod| (going(pod), pod.is_ready(), pod.max_modules(), pod.spec.node_name.clone());
        if same.is_none_or(|before| room(before) != room(now)) {
            self.wake_users_of_pod(&namespace, &now.name_any());
        }
    }

    /// A base pod takes more than before, or less.
    pub fn wake_users_of_pod(&self, namespace: &str, pod: &str) {
        for base in self.bases.holders(namespace, pod) {
            self.wake_users_of(&base);
        }
    }

    fn wake_modules_on(&self, base_uid: &str, concerned: impl Fn(&Module) -> bool) {
        for module in self.modules.on_base(base_uid).iter().filter(|module| concerned(module)) {
            self.queues.modules.push(ObjectRef::from_obj(&**module));
        }
    }

    fn wake_all_of_namespace(&self, namespace: &str) {
        for deployment in self.deployments.all() {
            if deployment.namespace().as_deref() == Some(namespace) {
                self.wake_user(&deployment);
            }
        }
    }

    fn wake_users_of(&self, base: &BaseKey) {
        for deployment in self.deployments.all() {
            let uses = deployment.namespace().as_deref() == Some(base.0.as_str())
                && deployment.spec.base_deployment_name == base.1;
            if uses {
                self.wake_user(&deployment);
            }
        }
    }

    fn wake_user(&self, deployment: &ModuleDeployment) {
        self.queues.deployments.push(ObjectRef::from_obj(deployment));
        for set in self.sets_of(deployment) {
            self.queues.sets.push(ObjectRef::from_obj(&*set));
        }
    }

    /// A Module's pod changed, or is gone.
    pub fn changed_vpod(&self, change: &Change<ModulePod>) {
        let (Change::Applied(pod) | Change::Deleted(pod)) = change;
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let Some(module) = self.modules.cache.named(&namespace, &name) else { return };
        self.wake_base_of(&module);
        // Whether another version may come, or is superseded, depends on it.
        self.wake_modules_on(index::base_uid(&module).unwrap_or_default(), |_| true);
    }

    /// The virtual node of the base at this address came, went, or is ready or not.
    pub fn changed_vnode(&self, ip: &str) {
        for module in self.modules.cache.all() {
            if module.labels().get(label::BASE_INSTANCE_IP).is_some_and(|of| *of == names::label_safe(ip)) {
                self.queues.modules.push(ObjectRef::from_obj(&*module));
                self.wake_base_of(&module);
            }
        }
    }

    /// A node was cordoned or uncordoned: every deployment may have new places.
    pub fn changed_node(&self) {
        for deployment in self.deployments.all() {
            self.wake_user(&deployment);
        }
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

/// The biz names that a Module has, or had, on its base.
fn biz_names(module: &Module) -> impl Iterator<Item = &str> {
    let wanted = module.spec.module.as_ref().map(|info| info.name.as_str());
    let installed = module.status.as_ref().and_then(|status| status.installed.as_ref()).map(|info| info.name.as_str());
    wanted.into_iter().chain(installed)
}

/// The name of the ModuleDeployment that controls a replica set.
pub fn deployment_of(set: &ModuleReplicaSet) -> Option<String> {
    let controller = index::controller(set)?;
    (controller.kind == "ModuleDeployment").then(|| controller.name.clone())
}

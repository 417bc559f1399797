//! The base pods: one watch for each base Deployment and its selector, never all pods of a cluster.
//!
//! A watch begins when a ModuleDeployment first names its base Deployment and ends when none does any more. All pods
//! lie in one store, so that the controller of base pods sees them as one kind. Own label patches are put into the
//! store at once; when a traffic label went off is remembered, because draining begins there.
//!
//! Must not: take a pod that is missing here for gone. It may only have left the selector: ask the API server.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{
    Api, Client, ResourceExt,
    core::Selector,
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, Store, store::Writer},
        watcher,
    },
};
use tokio_util::sync::CancellationToken;

use super::{
    clock::Clock,
    kinds::{BaseDeployment, BasePod},
    watch_health::WatchHealth,
};
use crate::api::keys::label;

/// A base Deployment's namespace and name.
pub type BaseKey = (String, String);

/// Something happened to a base.
#[derive(Clone, Debug)]
pub enum BaseChange {
    /// A pod is new or changed.
    Pod {
        /// How it was, if it was known.
        before: Option<Arc<BasePod>>,
        /// How it is.
        now: Arc<BasePod>,
    },
    /// A pod left the watch: it is gone, or no longer selected.
    PodLeft(Arc<BasePod>),
    /// The base Deployment, or what is known of it, changed.
    Deployment {
        /// Which.
        base: BaseKey,
        /// Until now nothing was known of it: [`BaseState::Unknown`].
        found_out: bool,
    },
}

/// What is known of a base Deployment.
#[derive(Clone, Debug, PartialEq)]
pub enum BaseState {
    /// Nothing yet.
    Unknown,
    /// It doesn't exist.
    Absent,
    /// It exists; its pods are known.
    Present(Arc<BaseDeployment>),
}

#[derive(Default)]
struct Watched {
    deployment: Option<Arc<BaseDeployment>>,
    deployment_synced: bool,
    pods_synced: bool,
    pods: BTreeSet<String>,
    stop: CancellationToken,
}

impl Watched {
    fn state(&self) -> BaseState {
        match &self.deployment {
            Some(deployment) if self.pods_synced => BaseState::Present(Arc::clone(deployment)),
            None if self.deployment_synced => BaseState::Absent,
            _ => BaseState::Unknown,
        }
    }
}

/// The bases of one scope.
pub struct Bases {
    client: Client,
    clock: Clock,
    watch_seconds: u32,
    stop: CancellationToken,
    store: Store<BasePod>,
    writer: Mutex<Writer<BasePod>>,
    watched: Mutex<HashMap<BaseKey, Watched>>,
    /// Pods that left every selector while Modules are bound to them: read from the API server now and then.
    strays: Mutex<BTreeSet<BaseKey>>,
    /// Pod UID and traffic label to when it went off.
    label_off: Mutex<HashMap<(String, String), i64>>,
    on_change: Box<dyn Fn(BaseChange) + Send + Sync>,
}

impl Bases {
    /// No bases yet. Watches are renewed every `watch_seconds` and end with `stop`.
    pub fn new(
        client: Client,
        clock: Clock,
        watch_seconds: u32,
        stop: CancellationToken,
        on_change: impl Fn(BaseChange) + Send + Sync + 'static,
    ) -> Self {
        let (store, mut writer) = kube::runtime::reflector::store();
        writer.apply_watcher_event(&watcher::Event::Init);
        writer.apply_watcher_event(&watcher::Event::InitDone);
        Self {
            client,
            clock,
            watch_seconds,
            stop,
            store,
            writer: Mutex::new(writer),
            watched: Mutex::default(),
            strays: Mutex::default(),
            label_off: Mutex::default(),
            on_change: Box::new(on_change),
        }
    }

    /// All known pods.
    pub fn store(&self) -> Store<BasePod> {
        self.store.clone()
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<BaseKey, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to watch a base Deployment and its pods, if that isn't done yet.
    pub fn ensure(self: &Arc<Self>, base: &BaseKey) {
        let mut watched = self.watched();
        if watched.contains_key(base) {
            return;
        }
        let entry = Watched { stop: self.stop.child_token(), ..Watched::default() };
        let task = watch_deployment(Arc::clone(self), base.clone(), entry.stop.clone());
        watched.insert(base.clone(), entry);
        tokio::spawn(task);
    }

    /// Ends the watches of bases that aren't in `used`.
    pub fn retain(&self, used: &BTreeSet<BaseKey>) {
        let ended: Vec<(BaseKey, Watched)> = self.watched().extract_if(|base, _| !used.contains(base)).collect();
        for ((namespace, _), entry) in ended {
            entry.stop.cancel();
            for pod in entry.pods {
                self.left(&namespace, &pod);
            }
        }
    }

    /// What is known of a base Deployment.
    pub fn state(&self, base: &BaseKey) -> BaseState {
        self.watched().get(base).map_or(BaseState::Unknown, Watched::state)
    }

    /// Takes note of something about a base Deployment that is watched; whether nothing was known of it until now.
    fn learn(&self, base: &BaseKey, learn: impl FnOnce(&mut Watched)) -> bool {
        let mut watched = self.watched();
        let Some(entry) = watched.get_mut(base) else { return false };
        let was_unknown = entry.state() == BaseState::Unknown;
        learn(entry);
        was_unknown && entry.state() != BaseState::Unknown
    }

    /// The base Deployments that are watched.
    pub fn keys(&self) -> Vec<BaseKey> {
        self.watched().keys().cloned().collect()
    }

    /// The pods that a base Deployment's selector matches.
    pub fn pods(&self, base: &BaseKey) -> Vec<Arc<BasePod>> {
        let names = self.watched().get(base).map(|entry| entry.pods.clone()).unwrap_or_default();
        names.iter().filter_map(|name| self.pod(&base.0, name)).collect()
    }

    /// A pod by namespace and name.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<Arc<BasePod>> {
        self.store.get(&ObjectRef::new(name).within(namespace))
    }

    /// The labels that the pods of the bases which hold this pod are born with.
    pub fn template_labels(&self, namespace: &str, pod: &str) -> BTreeMap<String, String> {
        let watched = self.watched();
        let holds = |(key, entry): &(&BaseKey, &Watched)| key.0 == namespace && entry.pods.contains(pod);
        let of = |entry: &Watched| entry.deployment.as_ref().map(|d| d.spec.template.metadata.labels.clone());
        watched.iter().filter(holds).filter_map(|(_, entry)| of(entry)).flatten().collect()
    }

    /// The base Deployments that hold this pod.
    pub fn holders(&self, namespace: &str, pod: &str) -> Vec<BaseKey> {
        let watched = self.watched();
        watched
            .iter()
            .filter(|(key, entry)| key.0 == namespace && entry.pods.contains(pod))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// When a traffic label went off, as far as this process saw it.
    pub fn label_off_since(&self, pod_uid: &str, key: &str) -> Option<i64> {
        let off = self.label_off.lock().unwrap_or_else(PoisonError::into_inner);
        off.get(&(pod_uid.to_owned(), key.to_owned())).copied()
    }

    /// Takes a pod as it stands now, as a watch or a look shows it.
    pub fn apply(&self, pod: BasePod) {
        self.take(pod, |_, _| true);
    }

    /// Takes the answer to an own patch. Where the watch has shown the pod's end meanwhile, or another pod of its name, it
    /// says nothing: no watch would ever take out again what it put in.
    pub fn answered(&self, pod: BasePod) {
        self.take(pod, |pod, known| known.is_some_and(|known| known.uid() == pod.uid()));
    }

    fn take(&self, mut pod: BasePod, says_something: impl Fn(&BasePod, Option<&BasePod>) -> bool) {
        pod.strip();
        let namespace = pod.namespace().unwrap_or_default();
        let (before, now) = {
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let before = self.pod(&namespace, &pod.name_any());
            let is_old = before.as_ref().is_some_and(|before| !is_newer(&pod, before));
            if is_old || !says_something(&pod, before.as_deref()) {
                return;
            }
            writer.apply_watcher_event(&watcher::Event::Apply(pod.clone()));
            (before, Arc::new(pod))
        };
        self.note_labels(before.as_deref(), &now);
        (self.on_change)(BaseChange::Pod { before, now });
    }

    /// A pod by namespace and name, if a watch covers it.
    pub fn watched_pod(&self, namespace: &str, name: &str) -> Option<Arc<BasePod>> {
        let stray = self.strays().contains(&(namespace.to_owned(), name.to_owned()));
        self.pod(namespace, name).filter(|_| !stray)
    }

    fn strays(&self) -> MutexGuard<'_, BTreeSet<BaseKey>> {
        self.strays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a pod that no watch covers, as the API server has just shown it: its labels are still ours to take off.
    pub fn keep_stray(&self, pod: BasePod) {
        let key = (pod.namespace().unwrap_or_default(), pod.name_any());
        if self.holders(&key.0, &key.1).is_empty() {
            self.strays().insert(key);
            self.apply(pod);
        }
    }

    /// Drops a pod that no watch covers and that is gone.
    pub fn drop_stray(&self, namespace: &str, name: &str) {
        if self.strays().remove(&(namespace.to_owned(), name.to_owned())) {
            self.left(namespace, name);
        }
    }

    /// A pod left a watch; it is dropped where no other base holds it.
    fn left(&self, namespace: &str, name: &str) {
        if !self.holders(namespace, name).is_empty() {
            return;
        }
        let gone = {
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let gone = self.pod(namespace, name);
            if let Some(gone) = &gone {
                writer.apply_watcher_event(&watcher::Event::Delete((**gone).clone()));
            }
            gone
        };
        if let Some(gone) = gone {
            let mut off = self.label_off.lock().unwrap_or_else(PoisonError::into_inner);
            off.retain(|(uid, _), _| uid != gone.uid());
            drop(off);
            (self.on_change)(BaseChange::PodLeft(gone));
        }
    }

    fn note_labels(&self, before: Option<&BasePod>, now: &BasePod) {
        let is_on = |pod: &BasePod, key: &str| pod.labels().contains_key(key);
        let mut off = self.label_off.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = before.filter(|before| before.uid() == now.uid()) {
            let traffic = before.labels().keys().filter(|key| key.starts_with(label::TRAFFIC_PREFIX));
            for key in traffic.filter(|key| !is_on(now, key)) {
                off.insert((now.uid().to_owned(), key.clone()), self.clock.now());
            }
        }
        off.retain(|(uid, key), _| uid != now.uid() || !is_on(now, key));
    }
}

fn is_newer(pod: &BasePod, than: &BasePod) -> bool {
    let version = |pod: &BasePod| pod.resource_version().and_then(|version| version.parse::<u64>().ok());
    version(pod) > version(than) || pod.uid() != than.uid()
}

/// Watches one Deployment by name; restarts the watch of its pods when its selector changes.
async fn watch_deployment(bases: Arc<Bases>, base: BaseKey, stop: CancellationToken) {
    let api: Api<BaseDeployment> = Api::namespaced(bases.client.clone(), &base.0);
    let config = watcher::Config::default().fields(&format!("metadata.name={}", base.1)).timeout(bases.watch_seconds);
    let mut events = Box::pin(watcher::watcher(api, config).default_backoff().modify(BaseDeployment::strip));
    let mut pods: Option<(LabelSelector, CancellationToken)> = None;
    let mut listed = None;
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = events.next() => event,
        };
        let found = match event {
            Some(Ok(watcher::Event::Init)) => {
                listed = None;
                continue;
            }
            Some(Ok(watcher::Event::InitApply(deployment))) => {
                listed = Some(deployment);
                continue;
            }
            Some(Ok(watcher::Event::InitDone)) => listed.take(),
            Some(Ok(watcher::Event::Apply(deployment))) => Some(deployment),
            Some(Ok(watcher::Event::Delete(_))) => None,
            Some(Err(error)) => {
                tracing::warn!(namespace = base.0, deployment = base.1, %error, "watch of the base Deployment failed");
                continue;
            }
            None => return,
        };
        let selector = found.as_ref().map(|deployment| deployment.spec.selector.clone());
        if let Some(selector) = &selector
            && pods.as_ref().map(|(known, _)| known) != Some(selector)
        {
            if let Some((_, old)) = pods.take() {
                old.cancel();
            }
            // What the old selector found says nothing of the new one.
            bases.learn(&base, |entry| entry.pods_synced = false);
            let pods_stop = stop.child_token();
            pods = Some((selector.clone(), pods_stop.clone()));
            tokio::spawn(watch_pods(Arc::clone(&bases), base.clone(), selector.clone(), pods_stop));
        }
        let found_out = bases.learn(&base, |entry| {
            entry.deployment = found.map(Arc::new);
            entry.deployment_synced = true;
        });
        (bases.on_change)(BaseChange::Deployment { base: base.clone(), found_out });
    }
}

async fn watch_pods(bases: Arc<Bases>, base: BaseKey, selector: LabelSelector, stop: CancellationToken) {
    let Ok(selector) = Selector::try_from(selector) else {
        tracing::warn!(namespace = base.0, deployment = base.1, "the base Deployment's selector cannot be read");
        return;
    };
    let api: Api<BasePod> = Api::namespaced(bases.client.clone(), &base.0);
    let config = watcher::Config::default().labels_from(&selector).timeout(bases.watch_seconds);
    let health = WatchHealth::default();
    let mut events = Box::pin(watcher::watcher(api, config).default_backoff());
    let mut listed = BTreeSet::new();
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            Some(Ok(watcher::Event::Init)) => listed = BTreeSet::new(),
            Some(Ok(watcher::Event::InitApply(pod))) => {
                listed.insert(pod.name_any());
                hold(&bases, &base, pod);
            }
            Some(Ok(watcher::Event::InitDone)) => {
                relisted(&bases, &base, std::mem::take(&mut listed));
            }
            Some(Ok(watcher::Event::Apply(pod))) => hold(&bases, &base, pod),
            Some(Ok(watcher::Event::Delete(pod))) => {
                if let Some(entry) = bases.watched().get_mut(&base) {
                    entry.pods.remove(&pod.name_any());
                }
                bases.left(&base.0, &pod.name_any());
            }
            Some(Err(error)) => {
                health.failed();
                tracing::warn!(namespace = base.0, deployment = base.1, %error, "watch of the base pods failed");
            }
            None => return,
        }
    }
}

fn hold(bases: &Bases, base: &BaseKey, pod: BasePod) {
    if pod.is_virtual() {
        return;
    }
    if let Some(entry) = bases.watched().get_mut(base) {
        entry.pods.insert(pod.name_any());
    }
    bases.strays().remove(&(base.0.clone(), pod.name_any()));
    bases.apply(pod);
}

/// A list is complete: what isn't on it left while nobody was looking.
fn relisted(bases: &Bases, base: &BaseKey, listed: BTreeSet<String>) {
    let mut left = Vec::new();
    let found_out = bases.learn(base, |entry| {
        entry.pods_synced = true;
        left.extend(entry.pods.extract_if(.., |name| !listed.contains(name)));
    });
    for name in left {
        bases.left(&base.0, &name);
    }
    (bases.on_change)(BaseChange::Deployment { base: base.clone(), found_out });
}

#[cfg(test)]
#[path = "bases_tests.rs"]
mod tests;

//! Who has to look again when something changed: how news travels between the controllers.
//!
//! Waking is cheap and idempotent, and may be too much but never too little: an object that isn't woken by what it waits
//! for stands still. Must not: decide anything; that is left to the plans.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
};

use kube::{ResourceExt, runtime::reflector::ObjectRef};

use super::context::{Context, deployment_of};
use crate::{
    api::{Module, ModuleDeployment, ModuleReplicaSet, keys::label},
    domain::{deployment::rank, names},
    runtime::{
        bases::{BaseChange, BaseKey},
        cache::Change,
        index,
        kinds::{BasePod, ModulePod},
    },
};

impl Context {
    /// A ModuleDeployment changed, or is gone.
    pub fn changed_deployment(&self, change: &Change<ModuleDeployment>) {
        let (Change::Applied(deployment) | Change::Deleted(deployment)) = change;
        let key = ObjectRef::from_obj(&**deployment);
        self.queues.deployments.push(key.clone());
        self.queues.services.push(key);
        if matches!(change, Change::Deleted(_)) {
            let key = (deployment.namespace().unwrap_or_default(), deployment.name_any());
            self.service_reports.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
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
                let base = index::base_uid(module).unwrap_or_default();
                let slots: BTreeSet<&str> = index::biz_names(module).collect();
                self.wake_modules_on(base, |other| index::biz_names(other).any(|name| slots.contains(name)));
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

    /// A Module came, became available, began to leave or is gone: replica sets that wait for such a thing look again.
    fn wake_waiting(&self, namespace: &str) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for (namespace, set) in waiting.iter().filter(|(of, _)| of == namespace) {
            self.queues.sets.push_named(namespace, set);
        }
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
    pub(super) fn changed_base(&self, change: BaseChange) {
        match change {
            BaseChange::Pod { before, now } => self.changed_pod(before.as_deref(), &now),
            BaseChange::PodLeft(pod) => {
                self.pod_is_gone(&pod);
                let namespace = pod.namespace().unwrap_or_default();
                self.wake_all_of_namespace(&namespace);
            }
            BaseChange::Deployment { base, found_out } => {
                self.wake_users_of(&base);
                if found_out {
                    self.wake_modules_without_pod(&base);
                }
            }
        }
    }

    fn pod_is_gone(&self, pod: &BasePod) {
        self.sessions.close(pod.uid());
        self.forget_pace(&format!("pod/{}", pod.uid()));
        self.wake_modules_on(pod.uid(), |_| true);
    }

    fn changed_pod(&self, before: Option<&BasePod>, now: &BasePod) {
        let namespace = now.namespace().unwrap_or_default();
        self.queues.pods.push(ObjectRef::from_obj(now));
        let replaced = before.filter(|before| before.uid() != now.uid());
        if let Some(replaced) = replaced {
            self.pod_is_gone(replaced);
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
            self.wake_modules_on(now.uid(), |module| {
                index::biz_names(module).any(|name| changed(names::traffic_label(name)))
            });
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

    /// Who names the base Deployment, or has replica sets on it: those of a deployment that moves away from it, and those
    /// that somebody made by hand.
    fn wake_users_of(&self, base: &BaseKey) {
        for deployment in self.deployments.all() {
            let uses = deployment.namespace().as_deref() == Some(base.0.as_str())
                && deployment.spec.base_deployment_name == base.1;
            if uses {
                self.wake_user(&deployment);
            }
        }
        for set in self.sets_on(base) {
            self.queues.sets.push(ObjectRef::from_obj(&*set));
        }
    }

    /// The replica sets whose label names the base Deployment.
    fn sets_on(&self, base: &BaseKey) -> impl Iterator<Item = Arc<ModuleReplicaSet>> {
        let label = names::label_safe(&base.1);
        let is_on_base = move |set: &Arc<ModuleReplicaSet>| {
            set.namespace().as_deref() == Some(base.0.as_str())
                && set.labels().get(label::BASE_DEPLOYMENT) == Some(&label)
        };
        self.sets.cache.all().into_iter().filter(is_on_base)
    }

    /// Modules that waited for what is known now: those whose pod the watch has shown were woken by it, but a pod that was
    /// gone before anybody looked is shown by nothing.
    fn wake_modules_without_pod(&self, base: &BaseKey) {
        for set in self.sets_on(base) {
            for module in self.modules.of_set(&base.0, &set.name_any()) {
                let pod = index::base_name(&module).unwrap_or_default();
                if self.bases.watched_pod(&base.0, pod).is_none() {
                    self.queues.modules.push(ObjectRef::from_obj(&*module));
                }
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

    /// The virtual node of the base at this address came, went, or is ready or not. A pod that was started anew may have
    /// another address than its Modules are labelled with.
    pub fn changed_vnode(&self, ip: &str) {
        let is_at = |module: &Module| {
            let (namespace, pod) = (module.namespace().unwrap_or_default(), index::base_name(module)?);
            self.bases.pod(&namespace, pod)?.status.pod_ip.clone()
        };
        for module in self.modules.cache.all() {
            if is_at(&module).is_some_and(|at| at == ip) {
                self.queues.modules.push(ObjectRef::from_obj(&*module));
                self.wake_base_of(&module);
            }
        }
    }

    /// A node was cordoned or uncordoned: there may be new places on every base.
    pub fn changed_node(&self) {
        for base in self.bases.keys() {
            self.wake_users_of(&base);
        }
    }
}

#[cfg(test)]
#[path = "wake_tests.rs"]
mod tests;

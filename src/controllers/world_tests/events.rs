//! What users do, and what befalls bases and the operator.

use kube::ResourceExt;
use serde_json::json;

use super::world::{BASE, Mood, NAMESPACE, Pod, World};
use crate::{
    api::{ModuleDeployment, keys::label},
    domain::{merge::patched, slot::BizState},
    runtime::{clock::timestamp, kinds::BasePod},
};

const POLICIES: [&str; 3] = ["install_then_uninstall", "uninstall_then_install", "scaleup_then_scaledown"];

/// Something that happens.
#[derive(Clone, Debug)]
pub enum Event {
    Version { which: u8, version: u8 },
    Replicas { which: u8, replicas: i32 },
    Scale { which: u8, replicas: i32 },
    Strategy { which: u8, policy: u8, batches: i32, max_unavailable: i32 },
    Confirm { which: u8, batch: i32 },
    Pause { which: u8, paused: bool },
    Delete { which: u8 },
    BaseComes { max: Option<u32>, activates_new: bool },
    BaseDies { which: u8, at_once: bool },
    BaseReady { which: u8, ready: bool },
    BaseRestarts { which: u8 },
    Agent { which: u8, mood: u8 },
    Degrades { which: u8 },
    OperatorRestarts,
    OperatorCrashes { after: u8 },
    WatchesCatchUp,
}

/// A ModuleDeployment to begin with.
#[derive(Clone, Debug)]
pub struct Begin {
    pub shared_name: bool,
    pub replicas: i32,
    pub policy: u8,
    pub batches: i32,
    pub beta: bool,
    pub confirm: bool,
    pub gray: i32,
    pub max_unavailable: i32,
    pub min_ready: i32,
    pub drain: i32,
}

fn nth<V>(map: &std::collections::BTreeMap<String, V>, which: u8) -> Option<&String> {
    map.keys().nth(usize::from(which) % map.len().max(1))
}

impl World {
    pub fn begin(&mut self, index: usize, begin: &Begin) {
        let name = format!("d{index}");
        let module = if begin.shared_name { "m".to_owned() } else { format!("m{index}") };
        let policy = POLICIES[usize::from(begin.policy) % 3];
        let replicas = if policy == "scaleup_then_scaledown" { begin.replicas.max(0) } else { begin.replicas };
        let object: ModuleDeployment = serde_json::from_value(json!({
            "apiVersion": "koupleless.io/v1alpha1", "kind": "ModuleDeployment",
            "metadata": {"name": name, "namespace": NAMESPACE, "uid": self.uid(), "generation": 1, "resourceVersion": "1"},
            "spec": {
                "baseDeploymentName": BASE, "replicas": replicas, "minReadySeconds": begin.min_ready,
                "operationStrategy": {
                    "upgradePolicy": policy, "batchCount": begin.batches, "useBeta": begin.beta,
                    "needConfirm": begin.confirm, "grayTimeBetweenBatchSeconds": begin.gray,
                    "maxUnavailable": begin.max_unavailable, "serviceStrategy": {"drainSeconds": begin.drain},
                },
                "template": {"spec": {"module": {"name": module, "version": "1", "url": "file:///m.jar"}}},
            }
        }))
        .expect("a ModuleDeployment");
        self.note(format!("{name}: {begin:?}"));
        self.strict.insert(module);
        self.deployments.insert(name, object);
    }

    /// Strict are the modules for which no deployment ever says otherwise.
    pub fn find_strict(&mut self) {
        for deployment in self.deployments.values() {
            let strategy = deployment.spec.operation_strategy.as_ref();
            let policy = strategy.and_then(|strategy| strategy.upgrade_policy.as_deref());
            if policy != Some("uninstall_then_install")
                && let Some(module) = deployment.module()
            {
                self.strict.remove(&module.name);
            }
        }
    }

    fn edit(&mut self, which: u8, patch: &serde_json::Value) {
        let Some(name) = nth(&self.deployments, which).cloned() else { return };
        self.note(format!("edit {name} {patch}"));
        let mut edited: ModuleDeployment = patched(&self.deployments[&name], patch);
        edited.metadata.generation = edited.metadata.generation.map(|generation| generation + 1);
        edited.metadata.resource_version = edited.metadata.generation.map(|generation| generation.to_string());
        self.deployments.insert(name, edited);
        self.find_strict();
    }

    fn is_surge(&self, which: u8) -> bool {
        let deployment = nth(&self.deployments, which).map(|name| &self.deployments[name]);
        let strategy = deployment.and_then(|deployment| deployment.spec.operation_strategy.as_ref());
        strategy.and_then(|strategy| strategy.upgrade_policy.as_deref()) == Some(POLICIES[2])
    }

    fn is_peer(&self, which: u8) -> bool {
        nth(&self.deployments, which).is_some_and(|name| self.deployments[name].spec.replicas == Some(-1))
    }

    pub fn happen(&mut self, event: &Event) {
        match *event {
            Event::Version { which, version } => {
                self.edit(
                    which,
                    &json!({"spec": {"template": {"spec": {"module": {"version": version.to_string()}}}}}),
                );
            }
            Event::Replicas { which, replicas } => {
                let least = if self.is_surge(which) { 0 } else { -1 };
                self.edit(which, &json!({"spec": {"replicas": replicas.max(least)}}));
            }
            Event::Scale { which, replicas } => self.edit(which, &json!({"spec": {"scaleReplicas": replicas.max(0)}})),
            Event::Strategy { which, policy, batches, max_unavailable } => {
                let policy = if self.is_peer(which) { policy % 2 } else { policy % 3 };
                let strategy = json!({"upgradePolicy": POLICIES[usize::from(policy)], "batchCount": batches,
                    "maxUnavailable": max_unavailable});
                self.edit(which, &json!({"spec": {"operationStrategy": strategy}}));
            }
            Event::Confirm { which, batch } => self.edit(which, &json!({"spec": {"confirmBatchNum": batch}})),
            Event::Pause { which, paused } => self.edit(which, &json!({"spec": {"paused": paused}})),
            Event::Delete { which } => {
                let now = timestamp(self.now);
                if let Some(name) = nth(&self.deployments, which).cloned() {
                    self.note(format!("the user deletes {name}"));
                    let held = self.deployments[&name].metadata.finalizers.as_ref().is_some_and(|all| !all.is_empty());
                    if held {
                        let live = self.deployments.get_mut(&name).expect("it exists");
                        live.metadata.deletion_timestamp.get_or_insert(now);
                        live.metadata.resource_version = Some("deleted".to_owned());
                    } else {
                        self.deployments.remove(&name);
                    }
                }
            }
            Event::OperatorRestarts => self.restart_operator(),
            Event::OperatorCrashes { after } => self.crash_after = Some(usize::from(after)),
            Event::WatchesCatchUp => self.watch(),
            _ => self.befall(event),
        }
    }

    fn befall(&mut self, event: &Event) {
        let now = self.now;
        self.note(format!("{event:?}"));
        let (which, at) = match *event {
            Event::BaseComes { max, activates_new } => return self.base_comes(max, activates_new),
            Event::BaseDies { which, .. }
            | Event::BaseReady { which, .. }
            | Event::BaseRestarts { which }
            | Event::Agent { which, .. }
            | Event::Degrades { which } => (which, now),
            _ => return,
        };
        let Some(name) = nth(&self.pods, which).cloned() else { return };
        let Some(pod) = self.pods.get_mut(&name) else { return };
        pod.hurt_at = at;
        match *event {
            Event::BaseDies { at_once: false, .. } => {
                pod.object.metadata.deletion_timestamp.get_or_insert(timestamp(now));
            }
            Event::BaseReady { ready, .. } => set_ready(&mut pod.object, ready),
            Event::BaseRestarts { .. } => {
                pod.biz.clear();
                pod.object.status.container_statuses[0].restart_count += 1;
            }
            Event::Agent { mood, .. } => {
                pod.mood = [Mood::Fine, Mood::Refuses, Mood::Hangs, Mood::Mutters][usize::from(mood % 4)];
            }
            Event::Degrades { .. } => {
                if let Some(state) = pod.biz.values_mut().next() {
                    *state = BizState::Broken;
                }
            }
            _ => {
                self.pods.remove(&name);
            }
        }
    }

    pub fn base_comes(&mut self, max: Option<u32>, activates_new: bool) {
        if self.pods.len() >= 6 {
            return;
        }
        let uid = self.uid();
        let free = (0..).map(|n| format!("base-{n}")).find(|name| !self.pods.contains_key(name));
        let name = free.unwrap_or_default();
        let mut object: BasePod = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": NAMESPACE, "uid": uid, "labels": {"app": "base"}},
            "status": {"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": [{"restartCount": 0}]}
        }))
        .expect("a pod");
        if let Some(max) = max {
            object.metadata.labels.get_or_insert_default().insert(label::MAX_MODULE_COUNT.to_owned(), max.to_string());
        }
        set_ready(&mut object, true);
        let hurt_at = self.now;
        self.pods.insert(object.name_any(), Pod { object, activates_new, hurt_at, ..Pod::default() });
    }

    /// No more faults: everybody answers, pods that end are gone, releases are confirmed and go on.
    pub fn heal(&mut self) {
        self.note("calm".to_owned());
        self.crash_after = None;
        self.pods.retain(|_, pod| !pod.object.is_ending());
        let now = self.now;
        for pod in self.pods.values_mut() {
            (pod.mood, pod.hurt_at) = (Mood::Fine, now);
            set_ready(&mut pod.object, true);
        }
        for which in 0..u8::try_from(self.deployments.len()).unwrap_or(0) {
            self.edit(which, &json!({"spec": {"paused": false}}));
        }
    }

    /// Users confirm what waits for them.
    pub fn confirm(&mut self) {
        for which in 0..u8::try_from(self.deployments.len()).unwrap_or(0) {
            let Some(name) = nth(&self.deployments, which) else { continue };
            let deployment = &self.deployments[name];
            let release = deployment.status.as_ref().and_then(|status| status.release_status.as_ref());
            let waits = release.and_then(|release| release.progress.as_deref()) == Some("WaitingForConfirmation");
            let batch = release.and_then(|release| release.current_batch).unwrap_or(0);
            if waits {
                let had = deployment.spec.confirm_batch_num.unwrap_or(0);
                let batch = if had == batch { batch + 1 } else { batch };
                self.edit(which, &json!({"spec": {"confirmBatchNum": batch}}));
            }
        }
    }
}

fn set_ready(pod: &mut BasePod, ready: bool) {
    let status = if ready { "True" } else { "False" };
    let conditions = json!([{"type": "Ready", "status": status}]);
    pod.status.conditions = serde_json::from_value(conditions).expect("conditions");
}

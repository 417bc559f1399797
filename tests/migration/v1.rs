//! Objects as V1 leaves them: no annotations, duplicate conditions, statuses that claim more than there is, old replica sets
//! without `spec.replicas`.

use std::{
    future::Future,
    sync::{PoisonError, RwLock},
};

use rig::{
    arklet_sim::State,
    cluster::{BasePod, Kind, World, scenario_without_operator, text},
};
use serde_json::{Value, json};

/// When V1 worked.
pub const V1_TIME: &str = "2026-11-20T18:30:52Z";

/// One of V1's deployments, being made.
pub struct Old<'a> {
    world: &'a World,
    name: &'a str,
    deployment: Value,
}

/// V1's operation strategy where nobody asked for a Service.
pub fn strategy() -> Value {
    json!({ "batchCount": 1, "upgradePolicy": "install_then_uninstall", "serviceStrategy": { "targetPort": 0 } })
}

/// The template of a module.
pub fn template(world: &World, name: &str, version: &str) -> Value {
    let module = json!({ "name": name, "version": version, "url": world.url(name, version) });
    json!({ "metadata": {}, "spec": { "selector": {}, "module": module } })
}

fn owner(object: &Value, controller: Option<bool>) -> Value {
    let mut owner = json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"], "name": object["metadata"]["name"],
        "uid": object["metadata"]["uid"], "blockOwnerDeletion": true,
    });
    if let Some(controller) = controller {
        owner["controller"] = json!(controller);
    }
    owner
}

/// V1 appended one of each for every release.
pub fn conditions(releases: usize) -> Vec<Value> {
    let one = |type_: &str, message: &str| json!({ "type": type_, "status": "True", "message": message, "last_transition_time": V1_TIME });
    let pair = [
        one("Progressing", "deployment release: curbatch 1, batchCount 1"),
        one("Available", "deployment release progress completed"),
    ];
    (0..releases).flat_map(|_| pair.clone()).collect()
}

/// V1's word for everything that it had ordered.
pub fn completed(replicas: i32, releases: usize) -> Value {
    json!({
        "conditions": conditions(releases),
        "releaseStatus": {
            "batchProgress": "Completed", "currentBatch": 1, "lastTransitionTime": V1_TIME,
            "originalDeltaReplicas": replicas, "progress": "Completed", "realBatchCount": 1,
        },
    })
}

impl<'a> Old<'a> {
    /// A deployment without a Service.
    pub async fn deployment(world: &'a World, name: &'a str, version: &str, replicas: i32, status: Value) -> Self {
        Self::with(world, name, version, replicas, strategy(), status).await
    }

    /// A deployment with an operation strategy.
    pub async fn with(
        world: &'a World,
        name: &'a str,
        version: &str,
        replicas: i32,
        strategy: Value,
        status: Value,
    ) -> Self {
        let base = world.get(Kind::Deployment, "base").await;
        let finalizers = ["koupleless.io/module-replicaset-existed", "koupleless.io/module-existed"];
        let object = json!({
            "metadata": {
                "name": name, "labels": { "app": name }, "finalizers": finalizers,
                "ownerReferences": [owner(&base, Some(true))],
            },
            "spec": {
                "baseDeploymentName": "base", "confirmBatchNum": 0, "replicas": replicas,
                "operationStrategy": strategy, "schedulingStrategy": { "schedulingPolicy": "scatter" },
                "template": template(world, name, version),
            },
        });
        world.create(Kind::ModuleDeployment, object).await;
        let deployment = world.patch_status(Kind::ModuleDeployment, name, status).await;
        Self { world, name, deployment }
    }

    /// The replica set of a revision; V1 leaves `replicas` out where it is 0.
    pub async fn set(&self, revision: u32, version: &str, replicas: u32) {
        let name = format!("{}-replicas-{revision}", self.name);
        let mut spec = json!({
            "selector": { "matchLabels": { "app": "base" } },
            "operationStrategy": self.deployment["spec"]["operationStrategy"],
            "schedulingStrategy": { "schedulingPolicy": "scatter" },
            "template": template(self.world, self.name, version),
        });
        let mut status = json!({});
        if replicas > 0 {
            spec["replicas"] = json!(replicas);
            status = json!({ "replicas": replicas, "currentReplicas": replicas, "availableReplicas": replicas });
        }
        let object = json!({
            "metadata": {
                "name": name, "labels": self.labels(revision), "finalizers": ["koupleless.io/module-existed"],
                "ownerReferences": [owner(&self.deployment, Some(true))],
            },
            "spec": spec,
        });
        self.world.create(Kind::ModuleReplicaSet, object).await;
        self.world.patch_status(Kind::ModuleReplicaSet, &name, status).await;
    }

    /// The labels of what belongs to a revision.
    pub fn labels(&self, revision: u32) -> Value {
        json!({
            "app": self.name,
            "koupleless.io/deployment-name": "base",
            "koupleless.io/module-deployment": self.name,
            "koupleless.io/module-name": self.name,
            "koupleless.io/module-replicaset-revision": revision.to_string(),
            "koupleless.io/module-scheduling-strategy": "scatter",
        })
    }

    /// A Module on a base that really runs it, with the label that V1 put on the pod.
    pub async fn module(&self, revision: u32, version: &str, pod: &BasePod) -> Value {
        let set = format!("{}-replicas-{revision}", self.name);
        let mut labels = self.labels(revision);
        labels["koupleless.io/module-replicaset"] = json!(set);
        labels["koupleless.io/module-version"] = json!(version);
        labels["koupleless.io/base-instance-ip"] = json!(pod.ip.to_string());
        labels["koupleless.io/base-instance-name"] = json!(pod.name);
        let home = self.world.get(Kind::Pod, &pod.name).await;
        let object = json!({
            "metadata": {
                "generateName": format!("{set}-{}-", self.name), "labels": labels,
                "finalizers": ["koupleless.io/allocate-pod"], "ownerReferences": [owner(&home, None)],
            },
            "spec": {
                "selector": { "matchLabels": { "app": "base" } }, "upgradePolicy": "install_then_uninstall",
                "module": template(self.world, self.name, version)["spec"]["module"],
            },
        });
        let made = self.world.create(Kind::Module, object).await;
        let status = json!({ "status": "Available", "last_transition_time": V1_TIME });
        let made = self.world.patch_status(Kind::Module, text(&made, "/metadata/name"), status).await;
        let label = format!("module.koupleless.io/{}", self.name);
        let count = self.world.base(pod).list().len() + 1;
        let labels = json!({ label: "true", "koupleless.io/module-instance-count": count.to_string() });
        self.world.patch(Kind::Pod, &pod.name, json!({ "metadata": { "labels": labels } })).await;
        self.world.base(pod).put(self.name, version, State::Activated);
        made
    }
}

/// The kinds are the whole cluster's: whoever puts others in their place is alone.
static KINDS: RwLock<()> = RwLock::new(());

/// A story that finds V1's objects; the operator isn't started yet.
pub fn story<F: Future<Output = ()>>(name: &str, play: impl FnOnce(World) -> F) {
    let _kinds = KINDS.read().unwrap_or_else(PoisonError::into_inner);
    scenario_without_operator(name, play);
}

/// As [`story`], while no other one is played.
pub fn story_alone<F: Future<Output = ()>>(name: &str, play: impl FnOnce(World) -> F) {
    let _kinds = KINDS.write().unwrap_or_else(PoisonError::into_inner);
    scenario_without_operator(name, play);
}

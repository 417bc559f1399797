//! A pod on a VNode, as the API server has it.
//!
//! Decoded into the few fields that are read, and kept as [`VPod`]: there may be tens of thousands. Must not: decide.

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Resource, ResourceExt};
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        keys::{annotation, label},
        vkeys,
    },
    domain::vnode::{
        status::VPodStatus,
        vpod::{Container, VPod},
    },
    runtime::metadata,
};

/// A pod that may stand for modules.
#[derive(Clone, Debug, Default, Deserialize, Serialize, Resource)]
#[resource(inherit = Pod)]
pub struct ModulePod {
    /// Standard metadata.
    #[serde(deserialize_with = "metadata::read")]
    pub metadata: ObjectMeta,
    /// What was asked for.
    #[serde(default)]
    pub spec: ModulePodSpec,
    /// What is.
    #[serde(default)]
    pub status: VPodStatus,
}

/// The part of a pod's spec that is read.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ModulePodSpec {
    /// The VNode that it is bound to.
    pub node_name: Option<String>,
    /// Its containers.
    pub containers: Vec<PodContainer>,
    /// Its readiness gates.
    pub readiness_gates: Vec<ReadinessGate>,
}

/// The part of a container that is read.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct PodContainer {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Its environment.
    pub env: Vec<Variable>,
}

/// A variable of a container's environment.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Option<String>,
}

/// A readiness gate.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReadinessGate {
    /// The condition that has to be True.
    pub condition_type: String,
}

impl ModulePod {
    /// The VNode that it is bound to; empty while it is bound to none.
    pub fn vnode(&self) -> &str {
        self.spec.node_name.as_deref().unwrap_or_default()
    }

    /// Its resource version as a number: versions grow with time (KEP-5504).
    pub fn version(&self) -> u64 {
        self.resource_version().and_then(|version| version.parse().ok()).unwrap_or(0)
    }

    /// What plans look at.
    pub fn read(self) -> VPod {
        let group = self.group();
        let (modules, others): (Vec<PodContainer>, Vec<PodContainer>) =
            self.spec.containers.into_iter().partition(|container| Container::is_module(&container.image));
        let stranger = others.into_iter().next().map(|other| (other.name, other.image));
        let metadata = self.metadata;
        let annotations = metadata.annotations.unwrap_or_default();
        VPod {
            keeps: label::is_set(&annotations, annotation::KEEP_BIZ),
            uid: metadata.uid.unwrap_or_default(),
            namespace: metadata.namespace.unwrap_or_default(),
            name: metadata.name.unwrap_or_default(),
            created: metadata.creation_timestamp.map_or(0, |time| time.0.as_second()),
            seen: 0,
            deleting: metadata.deletion_timestamp.is_some(),
            grace: metadata.deletion_grace_period_seconds.unwrap_or(0).saturating_mul(1000),
            held: metadata.finalizers.is_some_and(|finalizers| !finalizers.is_empty()),
            group,
            stranger: stranger.filter(|_| modules.is_empty()),
            modules: modules.into_iter().map(module).collect(),
            gates: self.spec.readiness_gates.into_iter().map(|gate| gate.condition_type).collect(),
            status: self.status,
        }
    }

    /// What controls it. A ReplicaSet of a Deployment is named after that and its template's hash; the pods of all
    /// revisions of a Deployment are one group.
    fn group(&self) -> Option<String> {
        let owner = self.owner_references().iter().find(|owner| owner.controller == Some(true))?;
        let hash = self.labels().get("pod-template-hash");
        let deployment = hash.and_then(|hash| owner.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
        Some(match deployment {
            Some(deployment) => format!("Deployment/{deployment}"),
            None => format!("{}/{}", owner.kind, owner.name),
        })
    }
}

fn module(container: PodContainer) -> Container {
    let version = container.env.into_iter().find(|variable| variable.name == vkeys::BIZ_VERSION_ENV);
    let version = version.and_then(|variable| variable.value).filter(|version| !version.is_empty());
    Container { name: container.name, image: container.image, version }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_read_as_the_contract_shapes_it() {
        let pod: ModulePod = serde_json::from_value(json!({
            "metadata": {
                "name": "shop-6d4f-x1", "namespace": "n", "uid": "u", "creationTimestamp": "1970-01-01T00:01:40Z",
                "labels": { "pod-template-hash": "6d4f" }, "annotations": { "koupleless.io/keep-biz": "true" },
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop-6d4f", "uid": "r", "controller": true }],
                "deletionTimestamp": "1970-01-01T00:02:10Z", "deletionGracePeriodSeconds": 30,
            },
            "spec": {
                "nodeName": "vnode.id.dev", "schedulerName": "default-scheduler",
                "containers": [
                    { "name": "shop", "image": "https://store/shop.jar", "env": [{ "name": "BIZ_VERSION", "value": "1.0.0" }] },
                    { "name": "sidecar", "image": "nginx" },
                    { "name": "till", "image": "file:///till.jar?x", "env": [{ "name": "BIZ_VERSION", "value": "" }] },
                ],
                "readinessGates": [{ "conditionType": "example.com/gate" }],
            },
            "status": { "phase": "Pending", "qosClass": "BestEffort",
                "conditions": [{ "type": "PodScheduled", "status": "True", "lastProbeTime": null }] },
        }))
        .unwrap();
        assert_eq!(pod.vnode(), "vnode.id.dev");
        let read = pod.read();
        let modules: Vec<(&str, Option<&str>)> =
            read.modules.iter().map(|module| (module.name.as_str(), module.version.as_deref())).collect();
        assert_eq!(modules, [("shop", Some("1.0.0")), ("till", None)]);
        assert_eq!((read.group.as_deref(), read.created, read.stranger), (Some("Deployment/shop"), 100, None));
        assert_eq!((read.deleting, read.grace, read.held, read.keeps), (true, 30_000, false, true));
        assert_eq!(read.gates, ["example.com/gate"]);
        assert_eq!(read.status.phase.as_deref(), Some("Pending"));
    }

    #[test]
    fn what_controls_a_pod_is_its_group() {
        let group = |kind: &str, owner: &str, hash: Option<&str>| {
            let pod: ModulePod = serde_json::from_value(json!({ "metadata": {
                "labels": hash.map(|hash| json!({ "pod-template-hash": hash })),
                "ownerReferences": [{ "apiVersion": "v1", "kind": kind, "name": owner, "uid": "r", "controller": true }],
            } }))
            .unwrap();
            pod.group()
        };
        assert_eq!(group("ReplicaSet", "shop-77", Some("77")).as_deref(), Some("Deployment/shop"));
        assert_eq!(group("ReplicaSet", "shop-77", None).as_deref(), Some("ReplicaSet/shop-77"));
        assert_eq!(group("DaemonSet", "shop", None).as_deref(), Some("DaemonSet/shop"));
        assert_eq!(ModulePod::default().group(), None);
    }
}

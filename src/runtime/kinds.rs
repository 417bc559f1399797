//! Kubernetes kinds, cut down to what is read.
//!
//! A full Pod takes kilobytes in memory and most of the time of parsing; a base is known by a dozen fields. These
//! types are decoded straight from the API server's answer, so what isn't named here is never kept.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Node, Pod},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::Resource;
use serde::{Deserialize, Serialize};

use crate::{
    api::{keys, vkeys},
    domain::vnode::status::{PodCondition, VPodStatus},
    runtime::metadata,
};

const READY: &str = "Ready";
const CONTAINERS_READY: &str = "ContainersReady";

/// A pod that may be a base.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, Resource)]
#[resource(inherit = Pod)]
pub struct BasePod {
    /// Standard metadata, stripped by [`BasePod::strip`].
    #[serde(deserialize_with = "metadata::read")]
    pub metadata: ObjectMeta,
    /// What was asked for.
    #[serde(default)]
    pub spec: BasePodSpec,
    /// What is.
    #[serde(default)]
    pub status: BasePodStatus,
}

/// The part of a pod's spec that is read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BasePodSpec {
    /// The node it runs on.
    pub node_name: Option<String>,
    /// For the port named `arklet`.
    #[serde(default)]
    pub containers: Vec<BaseContainer>,
    /// Kept only where one of them is ours.
    #[serde(default)]
    pub readiness_gates: Vec<BaseGate>,
}

/// A readiness gate.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseGate {
    /// The condition that it looks at.
    #[serde(default)]
    pub condition_type: String,
}

/// The part of a container that is read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct BaseContainer {
    /// Its ports.
    #[serde(default)]
    pub ports: Vec<BasePort>,
}

/// The part of a container port that is read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BasePort {
    /// Its name.
    pub name: Option<String>,
    /// Its number.
    #[serde(default)]
    pub container_port: i64,
}

/// The part of a pod's status that is read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BasePodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed`.
    pub phase: Option<String>,
    /// The address.
    #[serde(rename = "podIP")]
    pub pod_ip: Option<String>,
    /// For `Ready`, and the gates.
    #[serde(default)]
    pub conditions: Vec<BaseCondition>,
    /// For the number of restarts.
    #[serde(default)]
    pub container_statuses: Vec<BaseContainerStatus>,
}

/// The part of a pod condition that is read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct BaseCondition {
    /// Which.
    #[serde(rename = "type", default)]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    #[serde(default)]
    pub status: String,
    /// Kept only of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The part of a container's status that is read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseContainerStatus {
    /// How often it was restarted.
    #[serde(default)]
    pub restart_count: i64,
}

impl BasePod {
    /// Drops what nobody reads.
    pub fn strip(&mut self) {
        let metadata = &mut self.metadata;
        metadata.generate_name = None;
        metadata.finalizers = None;
        if let Some(annotations) = &mut metadata.annotations {
            annotations.retain(|key, _| key == keys::annotation::ARKLET_PORT);
        }
        for container in &mut self.spec.containers {
            container.ports.retain(|port| port.name.as_deref() == Some(keys::ARKLET_PORT_NAME));
        }
        self.spec.containers.retain(|container| !container.ports.is_empty());
        if !self.is_gated() {
            self.spec.readiness_gates = Vec::new();
        }
        let gates = &self.spec.readiness_gates;
        self.status.conditions.retain(|condition| {
            condition.type_ == READY
                || (!gates.is_empty() && condition.type_ == CONTAINERS_READY)
                || gates.iter().any(|gate| gate.condition_type == condition.type_)
        });
        for condition in self.status.conditions.iter_mut().filter(|condition| condition.type_ != keys::MODULES_READY) {
            condition.message = None;
        }
    }

    /// Whether its readiness waits for its modules.
    pub fn is_gated(&self) -> bool {
        self.spec.readiness_gates.iter().any(|gate| gate.condition_type == keys::MODULES_READY)
    }

    /// A condition of its status.
    pub fn condition(&self, type_: &str) -> Option<&BaseCondition> {
        self.status.conditions.iter().find(|condition| condition.type_ == type_)
    }

    fn is_true(&self, type_: &str) -> bool {
        self.condition(type_).is_some_and(|condition| condition.status == "True")
    }

    /// Which template of its Deployment it was made from.
    pub fn template_hash(&self) -> Option<&str> {
        self.labels().get("pod-template-hash").map(String::as_str)
    }

    /// Its UID; empty for an object that never was in a cluster.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Its labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.metadata.labels.as_ref().unwrap_or(&NONE)
    }

    /// Whether it is a vPod, which runs in a base and is none, whatever labels it has.
    pub fn is_virtual(&self) -> bool {
        let component = vkeys::read_either(self.labels(), vkeys::label::COMPONENT, vkeys::older::COMPONENT);
        component == Some(vkeys::component::MODULE)
    }

    /// Whether it is being deleted, or has ended by itself: nothing can run in it again.
    pub fn is_ending(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
            || matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"))
    }

    /// Whether a user has ordered that its modules leave and it is deleted then.
    pub fn is_to_be_emptied(&self) -> bool {
        keys::label::is_set(self.labels(), keys::label::DELETE_POD)
    }

    /// Whether a user has ordered that it is deleted at once.
    pub fn is_to_be_deleted(&self) -> bool {
        keys::label::is_set(self.labels(), keys::label::DELETE_POD_DIRECTLY)
    }

    /// Whether it is Running, has an address, and is Ready but for the gate that waits for its modules.
    pub fn is_ready(&self) -> bool {
        let others = || self.spec.readiness_gates.iter().filter(|gate| gate.condition_type != keys::MODULES_READY);
        let but_for_ours = || {
            self.is_gated() && self.is_true(CONTAINERS_READY) && others().all(|gate| self.is_true(&gate.condition_type))
        };
        self.status.phase.as_deref() == Some("Running")
            && self.status.pod_ip.is_some()
            && (self.is_true(READY) || but_for_ours())
    }

    /// Restarts of all its containers.
    pub fn restarts(&self) -> i64 {
        self.status.container_statuses.iter().map(|status| status.restart_count).sum()
    }

    /// Where its Arklet listens: the annotation, else the container port named `arklet`, else 1238.
    pub fn arklet_port(&self) -> u16 {
        let annotated = self
            .metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(keys::annotation::ARKLET_PORT))
            .and_then(|port| port.parse().ok());
        let declared = self
            .spec
            .containers
            .iter()
            .flat_map(|container| &container.ports)
            .find(|port| port.name.as_deref() == Some(keys::ARKLET_PORT_NAME))
            .and_then(|port| u16::try_from(port.container_port).ok());
        annotated.or(declared).filter(|port| *port > 0).unwrap_or(keys::ARKLET_DEFAULT_PORT)
    }

    /// How many module slots it may hold.
    pub fn max_modules(&self) -> Option<u32> {
        self.labels().get(keys::label::MAX_MODULE_COUNT).and_then(|count| count.parse().ok())
    }
}

/// A Deployment that may be a base Deployment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, Resource)]
#[resource(inherit = Deployment)]
pub struct BaseDeployment {
    /// Standard metadata, stripped by [`BaseDeployment::strip`].
    #[serde(deserialize_with = "metadata::read")]
    pub metadata: ObjectMeta,
    /// What was asked for.
    #[serde(default)]
    pub spec: BaseDeploymentSpec,
}

/// The part of a Deployment's spec that is read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct BaseDeploymentSpec {
    /// Which pods are its.
    #[serde(default)]
    pub selector: LabelSelector,
    /// For the labels that its pods are born with.
    #[serde(default)]
    pub template: BasePodTemplate,
}

/// The part of a pod template that is read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct BasePodTemplate {
    /// Labels.
    #[serde(default)]
    pub metadata: BasePodTemplateMetadata,
}

/// The part of a pod template's metadata that is read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct BasePodTemplateMetadata {
    /// The labels that pods are born with.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl BaseDeployment {
    /// Drops what nobody reads.
    pub fn strip(&mut self) {
        self.metadata.annotations = None;
    }
}

/// A vPod of ours: a Module as a pod on a virtual node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, Resource)]
#[resource(inherit = Pod)]
pub struct ModulePod {
    /// Standard metadata, stripped by [`ModulePod::strip`].
    #[serde(deserialize_with = "metadata::read")]
    pub metadata: ObjectMeta,
    /// What is.
    #[serde(default)]
    pub status: VPodStatus,
}

impl ModulePod {
    /// The label selector of those that are Modules: they carry both the contract's label and the name of a replica set.
    pub fn selector() -> String {
        format!("{}={},{}", vkeys::label::COMPONENT, vkeys::component::MODULE, keys::label::MODULE_REPLICA_SET)
    }

    /// Whether [`ModulePod::selector`] selects it. Not after [`ModulePod::strip`].
    pub fn is_selected(&self) -> bool {
        self.metadata.labels.as_ref().is_some_and(|labels| {
            let component = labels.get(vkeys::label::COMPONENT).map(String::as_str);
            component == Some(vkeys::component::MODULE) && labels.contains_key(keys::label::MODULE_REPLICA_SET)
        })
    }

    /// Drops what nobody reads.
    pub fn strip(&mut self) {
        self.metadata.labels = None;
        self.metadata.annotations = None;
        self.status.start_time = None;
    }
}

/// A node, for whether it is cordoned, and for which base it stands if it is a virtual one.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, Resource)]
#[resource(inherit = Node)]
pub struct BaseNode {
    /// Standard metadata, stripped by [`BaseNode::strip`].
    #[serde(deserialize_with = "metadata::read")]
    pub metadata: ObjectMeta,
    /// What was asked for.
    #[serde(default)]
    pub spec: BaseNodeSpec,
    /// What is; kept of virtual nodes only.
    #[serde(default)]
    pub status: BaseNodeStatus,
}

/// The part of a node's status that is read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct BaseNodeStatus {
    /// For the internal one.
    #[serde(default)]
    pub addresses: Vec<BaseNodeAddress>,
    /// For `Ready`.
    #[serde(default)]
    pub conditions: Vec<PodCondition>,
}

/// An address of a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct BaseNodeAddress {
    /// Which.
    #[serde(rename = "type", default)]
    pub type_: String,
    /// The address.
    #[serde(default)]
    pub address: String,
}

/// The part of a node's spec that is read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct BaseNodeSpec {
    /// Cordoned.
    #[serde(default)]
    pub unschedulable: bool,
}

impl BaseNode {
    /// Drops what nobody reads.
    pub fn strip(&mut self) {
        self.metadata.annotations = None;
        if self.is_virtual() {
            self.status.conditions.retain(|condition| condition.type_ == READY);
            self.status.addresses.retain(|address| address.type_ == "InternalIP");
        } else {
            self.metadata.labels = None;
            self.status = BaseNodeStatus::default();
        }
    }

    /// Its labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.metadata.labels.as_ref().unwrap_or(&NONE)
    }

    /// Whether it stands for a base.
    pub fn is_virtual(&self) -> bool {
        let component = vkeys::read_either(self.labels(), vkeys::label::COMPONENT, vkeys::older::COMPONENT);
        component == Some(vkeys::component::VNODE)
    }

    /// The address of the base that it stands for.
    pub fn base_ip(&self) -> Option<&str> {
        self.status.addresses.first().map(|address| address.address.as_str())
    }

    /// Its condition Ready.
    pub fn ready(&self) -> Option<&PodCondition> {
        self.status.conditions.first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(json: serde_json::Value) -> BasePod {
        let mut pod: BasePod = serde_json::from_value(json).expect("a pod");
        pod.strip();
        pod
    }

    #[test]
    fn the_arklet_port_is_the_annotation_then_the_named_port_then_1238() {
        let named = serde_json::json!({"containers": [
            {"ports": [{"name": "http", "containerPort": 8080}]},
            {"ports": [{"name": "arklet", "containerPort": 1500}]}]});
        let annotated = serde_json::json!({"annotations": {"koupleless.io/arklet-port": "1600", "other": "x"}});
        for (metadata, spec, port) in [
            (serde_json::json!({}), serde_json::json!({}), 1238),
            (serde_json::json!({}), named.clone(), 1500),
            (annotated, named, 1600),
            (serde_json::json!({"annotations": {"koupleless.io/arklet-port": "many"}}), serde_json::json!({}), 1238),
        ] {
            let pod = pod(serde_json::json!({"metadata": metadata, "spec": spec}));
            assert_eq!(pod.arklet_port(), port, "{pod:?}");
        }
    }

    #[test]
    fn ready_means_running_with_an_address_and_the_condition() {
        let status = |phase: &str, ip: Option<&str>, ready: &str| {
            pod(serde_json::json!({"metadata": {}, "status": {"phase": phase, "podIP": ip, "conditions": [
                {"type": "Initialized", "status": "True"}, {"type": "Ready", "status": ready}]}}))
        };
        assert!(status("Running", Some("10.0.0.1"), "True").is_ready());
        assert!(!status("Running", Some("10.0.0.1"), "False").is_ready());
        assert!(!status("Running", None, "True").is_ready());
        assert!(!status("Pending", Some("10.0.0.1"), "True").is_ready());
        assert!(status("Failed", None, "False").is_ending());
    }

    #[test]
    fn a_gate_that_waits_for_modules_does_not_make_a_base_unready_for_them() {
        let gated = |gates: &[&str], on: &[&str]| {
            let gates: Vec<_> = gates.iter().map(|gate| serde_json::json!({"conditionType": gate})).collect();
            let on: Vec<_> = on.iter().map(|type_| serde_json::json!({"type": type_, "status": "True"})).collect();
            pod(serde_json::json!({"metadata": {}, "spec": {"readinessGates": gates},
                "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": on}}))
        };
        let ours = keys::MODULES_READY;
        for (gates, on, ready) in [
            (&[ours][..], &["ContainersReady"][..], true),
            (&[ours], &[], false),
            (&[ours, "lb/attached"], &["ContainersReady"], false),
            (&[ours, "lb/attached"], &["ContainersReady", "lb/attached"], true),
            (&["lb/attached"], &["ContainersReady", "lb/attached"], false),
            (&["lb/attached"], &["Ready"], true),
        ] {
            assert_eq!(gated(gates, on).is_ready(), ready, "{gates:?} {on:?}");
        }
        assert!(gated(&["lb/attached"], &["lb/attached"]).status.conditions.is_empty(), "nobody reads it");
    }
}

//! Does a controller run that would work on the same objects? While one does, nothing may be converted.
//!
//! What tells of one, [`crate::runtime::predecessor::plan`] knows, for the operator too: its pods, and the Lease that it renews
//! while it is looked at. Here this operator counts as well as V1, and a Deployment that isn't at zero counts before its first
//! pod is there: it may have one at any moment.

use k8s_openapi::{
    api::{apps::v1::Deployment, coordination::v1::Lease, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{ResourceExt, api::ObjectMeta};

use crate::runtime::predecessor::plan::{acts, program};

/// Every version's election is held under this id, in groups that differ.
const ELECTION: &str = "2245841c.";

/// The Deployments of a controller that aren't scaled to zero, `namespace/name`, in order.
pub fn deployments(all: &[Deployment]) -> Vec<String> {
    let is_controller = |one: &&Deployment| program(&pod_of(one)).is_some();
    in_order(all.iter().filter(|one| !is_at_zero(one)).filter(is_controller).map(named))
}

/// The pods of a controller that act, `namespace/name`, in order.
pub fn pods(all: &[Pod]) -> Vec<String> {
    in_order(all.iter().filter(|pod| acts(pod) && program(pod).is_some()).map(named))
}

fn in_order(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    names
}

/// `namespace/name`.
pub fn named<K: ResourceExt>(object: &K) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// A pod as the Deployment makes them.
fn pod_of(deployment: &Deployment) -> Pod {
    let template = deployment.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let owner = OwnerReference { controller: Some(true), ..OwnerReference::default() };
    let metadata = ObjectMeta { owner_references: Some(vec![owner]), ..template.metadata.unwrap_or_default() };
    Pod { metadata, spec: template.spec, status: None }
}

/// A pod that is still on its way out works on.
fn is_at_zero(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let running = deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or(0);
    wanted == 0 && running == 0
}

/// Whether a Lease is a controller's election.
pub fn is_election(lease: &Lease) -> bool {
    lease.name_any().starts_with(ELECTION)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deployment(labels: Value, image: &str, replicas: Value, running: i32) -> Deployment {
        let spec = json!({
            "replicas": replicas, "selector": {},
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "manager", "image": image, "command": ["/manager"] }] },
            },
        });
        serde_json::from_value(
            json!({ "metadata": { "name": "x", "namespace": "ns" }, "spec": spec, "status": { "replicas": running } }),
        )
        .unwrap()
    }

    #[test]
    fn a_controller_runs_until_its_last_pod_is_gone() {
        let v1 = || json!({ "control-plane": "controller-manager" });
        let ours = || json!({ "app.kubernetes.io/name": "module-controller" });
        for (one, runs) in [
            (deployment(v1(), "registry/test/module-controller:1.0", json!(1), 1), true),
            (deployment(v1(), "registry/test/module-controller:1.0", json!(null), 0), true),
            (deployment(v1(), "registry/test/module-controller:1.0", json!(0), 1), true),
            (deployment(v1(), "registry/test/module-controller:1.0", json!(0), 0), false),
            (deployment(ours(), "mc:2", json!(1), 1), true),
            (deployment(v1(), "module-controller/other:1", json!(1), 1), false),
            (deployment(json!({}), "base:1", json!(1), 1), false),
        ] {
            assert_eq!(deployments(std::slice::from_ref(&one)).len(), usize::from(runs), "{one:?}");
        }
    }

    #[test]
    fn a_pod_without_a_deployment_counts_while_it_acts() {
        let pod = |name: &str, phase: &str| -> Pod {
            serde_json::from_value(json!({
                "metadata": { "name": name, "namespace": "ns", "labels": { "control-plane": "controller-manager" } },
                "spec": { "containers": [{ "name": "c", "image": "r/module-controller:1.0" }] },
                "status": { "phase": phase },
            }))
            .unwrap()
        };
        assert_eq!(pods(&[pod("b", "Running"), pod("a", "Running"), pod("c", "Succeeded")]), ["ns/a", "ns/b"]);
    }
}

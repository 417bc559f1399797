//! Does a controller run that would work on the same objects? While one does, nothing may be converted.

use k8s_openapi::{
    api::{apps::v1::Deployment, coordination::v1::Lease},
    jiff::Timestamp,
};
use kube::ResourceExt;

use crate::runtime::predecessor::plan::{ACCOUNT, IMAGES, bare};

/// Every version's election is held under this id, in groups that differ.
const ELECTION: &str = "2245841c.";

/// The Deployments of a controller that aren't scaled to zero, `namespace/name`, in order.
pub fn deployments(all: &[Deployment]) -> Vec<String> {
    let mut found: Vec<String> = all.iter().filter(|one| is_controller(one) && !is_at_zero(one)).map(named).collect();
    found.sort();
    found
}

fn named<K: ResourceExt>(object: &K) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// By V1's account, which ours has too and their Deployments are called after, or by the name of the image.
fn is_controller(deployment: &Deployment) -> bool {
    let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let account = pod.and_then(|pod| pod.service_account_name.as_deref());
    let mut images = pod.into_iter().flat_map(|pod| &pod.containers).filter_map(|container| container.image.as_deref());
    account == Some(ACCOUNT) || deployment.name_any() == ACCOUNT || images.any(|image| IMAGES.contains(&bare(image)))
}

/// A pod that is still on its way out works on.
fn is_at_zero(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let running = deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or(0);
    wanted == 0 && running == 0
}

/// The elections that somebody holds at `now`, as `namespace/name (holder)`.
pub fn leaders(all: &[Lease], now: Timestamp) -> Vec<String> {
    let holder = |lease: &Lease| {
        let spec = lease.spec.as_ref()?;
        let holder = spec.holder_identity.as_deref().filter(|holder| !holder.is_empty())?;
        let renewed = spec.renew_time.as_ref()?.0.as_second();
        let until = renewed + i64::from(spec.lease_duration_seconds.unwrap_or(15));
        (lease.name_any().starts_with(ELECTION) && until > now.as_second())
            .then(|| format!("{} ({holder})", named(lease)))
    };
    all.iter().filter_map(holder).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deployment(name: &str, image: &str, replicas: Value, running: i32) -> Deployment {
        let spec = json!({
            "replicas": replicas, "selector": {},
            "template": { "spec": { "containers": [{ "name": "manager", "image": image, "command": ["/manager"] }] } },
        });
        serde_json::from_value(
            json!({ "metadata": { "name": name, "namespace": "ns" }, "spec": spec, "status": { "replicas": running } }),
        )
        .unwrap()
    }

    #[test]
    fn a_controller_runs_until_its_last_pod_is_gone() {
        for (one, runs) in [
            (deployment("x", "registry/test/module-controller:1.0", json!(1), 1), true),
            (deployment("x", "registry/test/module-controller:1.0", json!(null), 0), true),
            (deployment("x", "registry/test/module-controller:1.0", json!(0), 1), true),
            (deployment("x", "registry/test/module-controller:1.0", json!(0), 0), false),
            (deployment("module-deployment-controller-manager", "controller", json!(1), 1), true),
            (deployment("other-manager", "module-controller/other:1", json!(1), 1), false),
            (deployment("base", "base:1", json!(1), 1), false),
        ] {
            assert_eq!(deployments(std::slice::from_ref(&one)).len(), usize::from(runs), "{one:?}");
        }
    }

    #[test]
    fn an_election_counts_while_it_is_held() {
        let lease = |name: &str, holder: &str| -> Lease {
            let spec = json!({ "holderIdentity": holder, "renewTime": "2026-01-01T00:00:00.000000Z", "leaseDurationSeconds": 15 });
            serde_json::from_value(json!({ "metadata": { "name": name, "namespace": "ns" }, "spec": spec })).unwrap()
        };
        let at = |seconds: i64| Timestamp::from_second(1_767_225_600 + seconds).unwrap();
        let held = [lease("2245841c.alipay.com", "pod_1"), lease("other", "x"), lease("2245841c.koupleless.io", "")];
        assert_eq!(leaders(&held, at(14)), ["ns/2245841c.alipay.com (pod_1)"]);
        assert_eq!(leaders(&held, at(15)), Vec::<String>::new());
    }
}

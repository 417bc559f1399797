//! The pods of the bases: their Deployment, an address for each, and a port for each one's agent.
//!
//! A story may add a base and must not keep it: the pod that was added last is the first to go when the Deployment
//! shrinks, so that the others keep their JVMs. Nothing here knows what is installed where.

use std::{
    net::IpAddr,
    path::Path,
    time::{Duration, Instant},
};

use k8s_openapi::api::{apps::v1, core::v1::Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use module_controller::arklet::client::Endpoint;
use serde_json::{Value, json};

use crate::{
    base::Base,
    stage::{BASES, DEADLINE},
};

/// The first base's agent; the next one's is one higher, because agents listen on every address.
const FIRST_PORT: u16 = 1241;
const DEPLOYMENT: &str = "base";

/// The base pods; no JVM is started yet.
pub async fn create(client: &Client, namespace: &str, work: &Path) -> Vec<Base> {
    let deployment: v1::Deployment = serde_json::from_value(json!({
        "metadata": { "name": DEPLOYMENT },
        "spec": {
            "replicas": BASES,
            "selector": { "matchLabels": { "app": "base" } },
            "template": {
                "metadata": { "labels": { "app": "base" } },
                "spec": { "containers": [{ "name": "base", "image": "base:1.0.0" }] },
            },
        },
    }))
    .expect("a Deployment");
    let deployments: Api<v1::Deployment> = Api::namespaced(client.clone(), namespace);
    deployments.create(&PostParams::default(), &deployment).await.expect("the Deployment of the bases");
    let mut bases = Vec::new();
    for ((pod, ip), port) in addresses(client, namespace, BASES).await.into_iter().zip(FIRST_PORT..) {
        annotate(client, namespace, &pod, json!({ "koupleless.io/arklet-port": port.to_string() })).await;
        bases.push(Base::new(&pod, Endpoint { ip, port }, work));
    }
    bases
}

/// One more pod beside these.
pub async fn add(client: &Client, namespace: &str, work: &Path, bases: &[Base]) -> Base {
    scale(client, namespace, bases.len() + 1).await;
    let all = addresses(client, namespace, bases.len() + 1).await;
    let mut new = all.into_iter().filter(|(pod, _)| bases.iter().all(|base| base.pod != *pod));
    let (pod, ip) = new.next().expect("a pod more than bases");
    let port = FIRST_PORT + u16::try_from(bases.len()).expect("a few bases");
    let annotations = json!({
        "koupleless.io/arklet-port": port.to_string(),
        // Cheaper than the others, so that it is the one that goes.
        "controller.kubernetes.io/pod-deletion-cost": "-1",
    });
    annotate(client, namespace, &pod, annotations).await;
    Base::new(&pod, Endpoint { ip, port }, work)
}

/// Takes back what was added: the pods, and the JVMs with them.
pub async fn take_back(client: &Client, namespace: &str, bases: &mut Vec<Base>) {
    scale(client, namespace, BASES).await;
    let left = addresses(client, namespace, BASES).await;
    for mut base in bases.split_off(BASES) {
        assert!(left.iter().all(|(pod, _)| base.pod != *pod), "{} should have gone, of {left:?}", base.pod);
        base.kill().await;
    }
}

async fn scale(client: &Client, namespace: &str, replicas: usize) {
    let deployments: Api<v1::Deployment> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
    deployments.patch(DEPLOYMENT, &PatchParams::default(), &patch).await.expect("scaled");
}

/// Name and address of each base pod, when there are as many as this.
async fn addresses(client: &Client, namespace: &str, count: usize) -> Vec<(String, IpAddr)> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let begin = Instant::now();
    loop {
        let list = pods.list(&ListParams::default().labels("app=base")).await.expect("a list");
        let address = |pod: &Pod| pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok();
        let found: Vec<_> = list.iter().filter_map(|pod| Some((pod.name_any(), address(pod)?))).collect();
        if found.len() == count && list.items.len() == count {
            return found;
        }
        assert!(begin.elapsed() < DEADLINE, "there aren't {count} base pods but {found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn annotate(client: &Client, namespace: &str, pod: &str, annotations: Value) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Merge(json!({ "metadata": { "annotations": annotations } }));
    pods.patch(pod, &PatchParams::default(), &patch).await.expect("annotated");
}

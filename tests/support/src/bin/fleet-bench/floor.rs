//! The floor: what no operator can avoid. One create and one status patch a Module, of objects as large as the operator's own,
//! by a writer that decides nothing.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use rig::bench::{AT_ONCE, DEADLINE, Result, bases};
use serde_json::{Value, json};

use super::cluster::{BASE, Cluster};

/// Not the fleet's namespace; empty again before the operator starts.
const NAMESPACE: &str = "floor";
/// Where its Modules come from.
const URL: &str = "https://repository.example.com/modules/biz-00/1.0.0/biz-00-1.0.0-ark-biz.jar";

/// How long `modules` take.
pub async fn measure(cluster: &Cluster, modules: usize) -> Result<Duration> {
    bases::create_namespace(&cluster.client, NAMESPACE).await?;
    let owner = make_owner(cluster).await?;
    let api = cluster.api("Module", NAMESPACE);
    // The connections are up and the kind is known before the clock starts.
    write(&api, 0..AT_ONCE, &owner, "warm").await?;
    let began = Instant::now();
    write(&api, 0..modules, &owner, "floor").await?;
    let took = began.elapsed();
    api.delete_collection(&DeleteParams::background(), &ListParams::default()).await?;
    while !api.list_metadata(&ListParams::default().limit(1)).await?.items.is_empty() {
        if began.elapsed() > DEADLINE {
            return Err("the Modules of the floor don't go away".into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // The garbage collector works its queue off.
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(took)
}

/// Owner references are looked at by the garbage collector, as those to base pods are.
async fn make_owner(cluster: &Cluster) -> Result<String> {
    let owners: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let owner = serde_json::from_value(json!({"metadata": {"name": "owner"}}))?;
    let owner = owners.create(&PostParams::default(), &owner).await?;
    owner.uid().ok_or_else(|| "the API server gives no UID".into())
}

async fn write(api: &Api<DynamicObject>, indices: std::ops::Range<usize>, owner: &str, prefix: &str) -> Result<()> {
    stream::iter(indices)
        .map(|index| write_one(api, format!("biz-00-1-biz-00-{prefix}{index:05}"), owner))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

async fn write_one(api: &Api<DynamicObject>, name: String, owner: &str) -> Result<()> {
    let object: DynamicObject = serde_json::from_value(module(&name, owner))?;
    let created = api.create(&PostParams::default(), &object).await?;
    let status = json!({
        "metadata": {"uid": created.uid()},
        "status": {
            "status": "Available",
            "last_transition_time": "2025-01-01T00:00:00Z",
            "installed": {"name": "biz-00", "version": "1.0.0", "url": URL},
            "observedGeneration": 1,
        },
    });
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(())
}

/// A Module with the operator's labels, annotation, owner and spec, but without a finalizer: nobody would take it off.
fn module(name: &str, owner: &str) -> Value {
    json!({
        "apiVersion": "koupleless.io/v1alpha1",
        "kind": "Module",
        "metadata": {
            "name": name,
            "labels": {
                "koupleless.io/base-instance-ip": "10.200.0.100",
                "koupleless.io/base-instance-name": "base-7c5d9f8b6d-abcde",
                "koupleless.io/deployment-name": BASE,
                "koupleless.io/module-deployment": "biz-00",
                "koupleless.io/module-name": "biz-00",
                "koupleless.io/module-replicaset": "biz-00-1",
                "koupleless.io/module-replicaset-revision": "1",
                "koupleless.io/module-scheduling-strategy": "scatter",
                "koupleless.io/module-version": "1.0.0",
            },
            "annotations": {"koupleless.io/module-replicaset-uid": owner},
            "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner}],
        },
        "spec": {
            "selector": {"matchLabels": {"app": BASE}},
            "upgradePolicy": "install_then_uninstall",
            "module": {
                "name": "biz-00",
                "version": "1.0.0",
                "url": URL,
            },
        },
    })
}

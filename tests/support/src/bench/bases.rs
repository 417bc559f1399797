//! Base pods for a benchmark, on the nodes of the rig. Made as the user `admin`, so that requests of whoever is measured stand
//! alone in the audit log.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{DEADLINE, Result};

/// Makes a namespace.
pub async fn create_namespace(client: &Client, name: &str) -> Result<()> {
    let namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.create(&PostParams::default(), &namespace).await?;
    Ok(())
}

/// Makes a Deployment of `count` bases called `name`, with these labels beside `app`, and waits for them. The namespace has no
/// other pods.
pub async fn create(client: &Client, namespace: &str, name: &str, labels: &Value, count: usize) -> Result<()> {
    let mut all = json!({"app": name});
    for (key, value) in labels.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    let base: Deployment = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": count,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": all},
                "spec": {"containers": [{"name": "base", "image": "base:1", "ports": [{"containerPort": 8080}]}]},
            },
        },
    }))?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    deployments.create(&PostParams::default(), &base).await?;
    until_ready(client, namespace, count).await
}

async fn until_ready(client: &Client, namespace: &str, wanted: usize) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let ready = |pod: &Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
    };
    let began = Instant::now();
    loop {
        let count = pods.list(&ListParams::default()).await?.iter().filter(|p| ready(p)).count();
        if count == wanted {
            return Ok(());
        }
        if began.elapsed() > DEADLINE {
            return Err(format!("{count} of {wanted} bases are ready").into());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

//! The cluster on both sides: bases, fake nodes, and Deployments of modules. All as the user `admin`.

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client};
use rig::bench::{AT_ONCE, Result, bases};
use serde_json::{Value, json};

/// Where the modules' Deployments live.
pub const MODULES: &str = "modules";
/// Where the bases live.
const HOME: &str = "bases";
/// The base Deployment, and the name of its bases by label.
const BASE: &str = "base";
/// Selects bases.
pub const BASES: &str = "role=base";
/// Selects the nodes that kwok plays in this benchmark.
pub const FAKE: &str = "rig.koupleless.io/kubelet=fleet";
/// Selects the nodes of both sides.
pub const NODES: &str = "base.koupleless.io/name=base";

/// The way to the API server.
#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
}

impl Cluster {
    pub async fn connect() -> Result<Self> {
        Ok(Self { client: Client::try_default().await? })
    }

    /// Makes the namespaces.
    pub async fn prepare(&self) -> Result<()> {
        for name in [HOME, MODULES] {
            bases::create_namespace(&self.client, name).await?;
        }
        Ok(())
    }

    pub async fn create_bases(&self, count: usize) -> Result<()> {
        let labels = json!({"role": "base", "base.koupleless.io/name": BASE, "base.koupleless.io/version": "1.0.0"});
        bases::create(&self.client, HOME, BASE, &labels, count).await
    }

    pub async fn delete_bases(&self) -> Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), HOME);
        deployments.delete(BASE, &DeleteParams::background()).await?;
        Ok(())
    }

    fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// Makes `count` nodes for kwok, with the labels by which modules choose their bases, and with the taints of VNodes.
    pub async fn create_fake_nodes(&self, count: usize) -> Result<()> {
        each(count, |index| async move {
            self.nodes().create(&PostParams::default(), &serde_json::from_value(node(index))?).await?;
            Ok(())
        })
        .await
    }

    pub async fn delete_fake_nodes(&self) -> Result<()> {
        self.nodes().delete_collection(&DeleteParams::default(), &ListParams::default().labels(FAKE)).await?;
        Ok(())
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), MODULES)
    }

    /// Makes a Deployment of `replicas` pods for each of `count` modules.
    pub async fn create_deployments(&self, count: usize, replicas: usize) -> Result<()> {
        each(count, |index| async move {
            let deployment = serde_json::from_value(deployment(index, replicas))?;
            self.deployments().create(&PostParams::default(), &deployment).await?;
            Ok(())
        })
        .await
    }

    pub async fn delete_deployments(&self) -> Result<()> {
        self.deployments().delete_collection(&DeleteParams::background(), &ListParams::default()).await?;
        Ok(())
    }
}

/// Runs `request` for each index, some at a time.
async fn each<F: Future<Output = Result<()>>>(count: usize, request: impl Fn(usize) -> F) -> Result<()> {
    stream::iter((0..count).map(request)).buffer_unordered(AT_ONCE).try_collect().await
}

fn node(index: usize) -> Value {
    let name = format!("fake-{index:05}");
    let resources = json!({"cpu": "4k", "memory": "16Ti", "pods": "65535"});
    json!({
        "metadata": {
            "name": name,
            "labels": {
                "rig.koupleless.io/kubelet": "fleet",
                "base.koupleless.io/name": BASE,
                "base.koupleless.io/version": "1.0.0",
                "kubernetes.io/hostname": name,
                "kubernetes.io/role": "agent",
                "type": "fake",
            },
        },
        "spec": {"taints": [
            {"key": "schedule.koupleless.io/virtual-node", "value": "True", "effect": "NoExecute"},
            {"key": "schedule.koupleless.io/node-env", "value": "dev", "effect": "NoExecute"},
        ]},
        "status": {"capacity": resources, "allocatable": resources},
    })
}

/// A module as users deploy it, with the affinities of the sample in `config/samples`: on bases of one name and version, and no
/// two pods on one of them. The anti-affinity is what makes the scheduler work, and what makes a thousand replicas a thousand
/// modules: without it two pods of one module may land on one VNode and share what is installed there.
fn deployment(index: usize, replicas: usize) -> Value {
    let name = format!("biz-{index:02}");
    let chosen = |key: &str, value: &str| json!({"key": key, "operator": "In", "values": [value]});
    let chosen = [chosen("base.koupleless.io/name", BASE), chosen("base.koupleless.io/version", "1.0.0")];
    let tolerated = |key: &str, value: &str| json!({"key": key, "value": value, "effect": "NoExecute"});
    json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name, "virtual-kubelet.koupleless.io/component": "module"}},
                "spec": {
                    "containers": [{
                        "name": name,
                        "image": format!("https://repository.example.com/modules/{name}-1.0.0-ark-biz.jar"),
                        "env": [{"name": "BIZ_VERSION", "value": "1.0.0"}],
                        "resources": {"requests": {"memory": "16Mi"}},
                    }],
                    "affinity": {
                        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [{"matchExpressions": chosen}],
                        }},
                        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": {"matchLabels": {"app": name}},
                        }]},
                    },
                    "tolerations": [
                        tolerated("schedule.koupleless.io/virtual-node", "True"),
                        tolerated("schedule.koupleless.io/node-env", "dev"),
                    ],
                },
            },
        },
    })
}

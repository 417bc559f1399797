//! The cluster under the fleet: kinds, bases, and what a user does to ModuleDeployments. All as the user `admin`, so that the
//! operator's requests stand alone under its own name in the audit log.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{DEADLINE, Result};

/// Where the fleet lives.
pub const NAMESPACE: &str = "fleet";
/// The base Deployment.
pub const BASE: &str = "base";
/// Requests at a time, everywhere in this benchmark.
pub const AT_ONCE: usize = 16;

/// The way to the API server.
#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
}

impl Cluster {
    pub async fn connect() -> Result<Self> {
        Ok(Self { client: Client::try_default().await? })
    }

    /// A kind of the operator's, in a namespace.
    pub fn api(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let resource = ApiResource {
            group: "koupleless.io".to_owned(),
            version: "v1alpha1".to_owned(),
            api_version: "koupleless.io/v1alpha1".to_owned(),
            kind: kind.to_owned(),
            plural: format!("{}s", kind.to_lowercase()),
        };
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    pub async fn create_namespace(&self, name: &str) -> Result<()> {
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.create(&PostParams::default(), &namespace).await?;
        Ok(())
    }

    /// Installs the kinds, makes the bases and waits for them.
    pub async fn prepare(&self, bases: usize) -> Result<()> {
        let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
        kubectl(&["apply", "-k", &crds.to_string_lossy()])?;
        kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"])?;
        self.create_namespace(NAMESPACE).await?;
        let base: Deployment = serde_json::from_value(json!({
            "metadata": {"name": BASE},
            "spec": {
                "replicas": bases,
                "selector": {"matchLabels": {"app": BASE}},
                "template": {
                    "metadata": {"labels": {"app": BASE}},
                    "spec": {"containers": [{"name": "base", "image": "base:1", "ports": [{"containerPort": 8080}]}]},
                },
            },
        }))?;
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), NAMESPACE);
        deployments.create(&PostParams::default(), &base).await?;
        self.bases_ready(bases).await
    }

    async fn bases_ready(&self, bases: usize) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let ready = |pod: &Pod| {
            let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
            conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
        };
        let began = Instant::now();
        loop {
            let count = pods.list(&ListParams::default()).await?.iter().filter(|p| ready(p)).count();
            if count == bases {
                return Ok(());
            }
            if began.elapsed() > DEADLINE {
                return Err(format!("{count} of {bases} bases are ready").into());
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }

    /// Creates `count` ModuleDeployments.
    pub async fn create_deployments(&self, count: usize, replicas: usize, version: &str) -> Result<()> {
        let api = self.api("ModuleDeployment", NAMESPACE);
        let bodies: Vec<Value> = (0..count).map(|index| deployment(index, replicas, version)).collect();
        stream::iter(bodies)
            .map(|body| async {
                let object: DynamicObject = serde_json::from_value(body)?;
                api.create(&PostParams::default(), &object).await?;
                Result::Ok(())
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Gives all of them another version.
    pub async fn upgrade_deployments(&self, count: usize, version: &str) -> Result<()> {
        let api = self.api("ModuleDeployment", NAMESPACE);
        stream::iter(0..count)
            .map(|index| {
                let patch = json!({"spec": {"template": {"spec": {"module": module(index, version)}}}});
                let api = api.clone();
                async move {
                    let params = PatchParams::default();
                    api.patch(&module_name(index), &params, &Patch::Merge(&patch)).await?;
                    Result::Ok(())
                }
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Deletes all of them.
    pub async fn delete_deployments(&self) -> Result<()> {
        let api = self.api("ModuleDeployment", NAMESPACE);
        api.delete_collection(&DeleteParams::background(), &ListParams::default()).await?;
        Ok(())
    }
}

/// Name of the `index`th module and of its ModuleDeployment.
fn module_name(index: usize) -> String {
    format!("biz-{index:02}")
}

fn module(index: usize, version: &str) -> Value {
    let name = module_name(index);
    let url = format!("https://repository.example.com/modules/{name}/{version}/{name}-{version}-ark-biz.jar");
    json!({"name": name, "version": version, "url": url})
}

fn deployment(index: usize, replicas: usize, version: &str) -> Value {
    json!({
        "apiVersion": "koupleless.io/v1alpha1",
        "kind": "ModuleDeployment",
        "metadata": {"name": module_name(index), "labels": {"app.kubernetes.io/name": module_name(index)}},
        "spec": {
            "baseDeploymentName": BASE,
            "replicas": replicas,
            "template": {"spec": {"module": module(index, version)}},
            "operationStrategy": {"upgradePolicy": "install_then_uninstall", "batchCount": 1},
            "schedulingStrategy": {"schedulingPolicy": "scatter"},
        },
    })
}

fn kubectl(args: &[&str]) -> Result<()> {
    let output = Command::new("kubectl").args(args).stdout(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("kubectl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr)).into())
}

//! The cluster under the fleet: kinds, bases, and what a user does to ModuleDeployments. All as the user `admin`, so that the
//! operator's requests stand alone under its own name in the audit log.

use std::path::Path;
use std::process::{Command, Stdio};

use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use rig::bench::{AT_ONCE, Result, bases};

/// Where the fleet lives.
pub const NAMESPACE: &str = "fleet";
/// The base Deployment.
pub const BASE: &str = "base";

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

    /// Installs the kinds, makes the bases and waits for them.
    pub async fn prepare(&self, count: usize) -> Result<()> {
        let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
        kubectl(&["apply", "-k", &crds.to_string_lossy()])?;
        kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"])?;
        bases::create_namespace(&self.client, NAMESPACE).await?;
        bases::create(&self.client, NAMESPACE, BASE, &json!({}), count).await
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

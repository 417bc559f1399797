//! Objects as JSON, and `kubectl`.

use std::{
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

use super::{World, shared::repository};

/// A `kubectl` that waits for something doesn't wait longer.
const KUBECTL: Duration = Duration::from_secs(60);

/// The kinds that scenarios look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `koupleless.io` ModuleDeployment.
    ModuleDeployment,
    /// `koupleless.io` ModuleReplicaSet.
    ModuleReplicaSet,
    /// `koupleless.io` Module.
    Module,
    /// Pod.
    Pod,
    /// Service.
    Service,
    /// EndpointSlice.
    EndpointSlice,
    /// `apps` Deployment.
    Deployment,
    /// ResourceQuota.
    ResourceQuota,
    /// `apps` StatefulSet.
    StatefulSet,
    /// `apps` DaemonSet.
    DaemonSet,
    /// `autoscaling` HorizontalPodAutoscaler.
    HorizontalPodAutoscaler,
    /// Event.
    Event,
}

impl Kind {
    pub(super) fn resource(self) -> ApiResource {
        let (group, version) = match self {
            Self::ModuleDeployment | Self::ModuleReplicaSet | Self::Module => ("koupleless.io", "v1alpha1"),
            Self::Pod | Self::Service | Self::ResourceQuota => ("", "v1"),
            Self::EndpointSlice => ("discovery.k8s.io", "v1"),
            Self::Deployment | Self::StatefulSet | Self::DaemonSet => ("apps", "v1"),
            Self::HorizontalPodAutoscaler => ("autoscaling", "v2"),
            Self::Event => ("events.k8s.io", "v1"),
        };
        ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &format!("{self:?}")))
    }
}

/// A new namespace, whose name begins with that of the scenario.
pub(super) async fn new_namespace(client: &Client, scenario: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let scenario: String = scenario.replace('_', "-").chars().take(40).collect();
    let name = format!("{}-{}-{count}", scenario.trim_end_matches('-'), std::process::id());
    // Where the contract tests have installed the admission policies, this label keeps them out: here the operator is asked.
    let labels = json!({ "contract.test/policy": "off" });
    let namespace = serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels } })).expect("JSON");
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.expect("a new namespace");
    name
}

fn value(object: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).expect("JSON");
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    value
}

/// The text at a JSON pointer; empty if there is none.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Asks again while the API server is busy with a kind that came or changed a moment ago (429).
async fn patiently<T, F>(what: &str, ask: impl Fn() -> F) -> T
where
    F: Future<Output = kube::Result<T>>,
{
    let look = || async {
        match ask().await {
            Err(kube::Error::Api(status)) if status.code == 429 => Err(status.message),
            answer => Ok(answer.unwrap_or_else(|error| panic!("{what}: {error}"))),
        }
    };
    super::until(super::SOON, what, look).await
}

impl World {
    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.inner.client.clone(), &self.inner.namespace, &kind.resource())
    }

    /// Creates an object.
    pub async fn create(&self, kind: Kind, mut object: Value) -> Value {
        let resource = kind.resource();
        object["apiVersion"] = json!(resource.api_version);
        object["kind"] = json!(resource.kind);
        let typed: DynamicObject = serde_json::from_value(object).expect("an object");
        let created = self.api(kind).create(&PostParams::default(), &typed).await;
        value(&created.unwrap_or_else(|error| panic!("{kind:?} {}: {error}", typed.name_any())))
    }

    /// The object, if it exists.
    pub async fn find(&self, kind: Kind, name: &str) -> Option<Value> {
        let api = self.api(kind);
        let found = patiently(&format!("{kind:?} {name}"), || api.get_opt(name)).await;
        found.map(|found| value(&found))
    }

    /// The object, which must exist.
    pub async fn get(&self, kind: Kind, name: &str) -> Value {
        let found = self.find(kind, name).await;
        found.unwrap_or_else(|| panic!("there is no {kind:?} {name}"))
    }

    /// All objects of the namespace, oldest first.
    pub async fn list(&self, kind: Kind) -> Vec<Value> {
        let (api, all) = (self.api(kind), ListParams::default());
        let listed = patiently(&format!("all {kind:?}"), || api.list(&all)).await;
        let mut objects: Vec<Value> = listed.items.iter().map(value).collect();
        objects.sort_by_key(|object| text(object, "/metadata/creationTimestamp").to_owned());
        objects
    }

    /// Changes an object by a JSON merge patch.
    pub async fn patch(&self, kind: Kind, name: &str, patch: Value) -> Value {
        let patched = self.api(kind).patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        value(&patched.unwrap_or_else(|error| panic!("{kind:?} {name}: {error}")))
    }

    /// Changes an object's status by a JSON merge patch.
    pub async fn patch_status(&self, kind: Kind, name: &str, status: Value) -> Value {
        let patch = json!({ "status": status });
        let patched = self.api(kind).patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        value(&patched.unwrap_or_else(|error| panic!("status of {kind:?} {name}: {error}")))
    }

    /// Asks for the end of an object, in the background.
    pub async fn delete(&self, kind: Kind, name: &str) {
        let deleted = self.api(kind).delete(name, &DeleteParams::background()).await;
        deleted.unwrap_or_else(|error| panic!("{kind:?} {name}: {error}"));
    }

    /// Runs `kubectl` in the namespace and gives what it printed.
    pub async fn kubectl(&self, args: &[&str]) -> String {
        let args: Vec<&str> = ["-n", self.namespace()].iter().chain(args).copied().collect();
        kubectl(&args, "").await
    }

    /// Applies manifests that say themselves where they belong.
    pub async fn apply_anywhere(&self, manifests: &str) {
        kubectl(&["apply", "--server-side", "-f", "-"], manifests).await;
    }

    /// Takes the namespace away. The operator is gone by now, so its finalizers are taken off here.
    pub(super) async fn take_away(&self) {
        let none = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        for kind in [Kind::ModuleDeployment, Kind::ModuleReplicaSet, Kind::Module] {
            let api = self.api(kind);
            let _ = api.delete_collection(&DeleteParams::background(), &ListParams::default()).await;
            let left = api.list(&ListParams::default()).await.map(|list| list.items);
            for object in left.unwrap_or_default() {
                let _ = api.patch(&object.name_any(), &PatchParams::default(), &none).await;
            }
        }
        let namespaces: Api<Namespace> = Api::all(self.inner.client.clone());
        let deleted = namespaces.delete(&self.inner.namespace, &DeleteParams::background()).await;
        if let Err(error) = deleted {
            eprintln!("namespace {} stays: {error}", self.inner.namespace);
        }
    }
}

/// Runs `kubectl` in the repository and gives what it printed.
pub(super) async fn kubectl(args: &[&str], input: &str) -> String {
    let mut child = Command::new("kubectl")
        .args(args)
        .current_dir(repository())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("kubectl is in PATH");
    let mut stdin = child.stdin.take().expect("a pipe");
    // One that reads nothing has ended before.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = tokio::time::timeout(KUBECTL, child.wait_with_output()).await;
    let output = output.unwrap_or_else(|_| panic!("kubectl {} never ended", args.join(" "))).expect("its output");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {}: {said}", args.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

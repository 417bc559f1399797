//! The rig of these tests: the installed kinds and policies, a namespace for each test, `kubectl`, and waiting.

use std::{
    future::Future,
    panic::resume_unwind,
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures::FutureExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::{GroupVersionKind, Request},
};
use rig::cluster::until;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command, sync::OnceCell};

/// How long a condition may take to come true; the slowest one here takes about 2 s on two cores.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// On a namespace: the admission policies don't hold there, as in a cluster that hasn't got them.
const POLICY_LABEL: &str = "contract.test/policy";

/// Whether the admission policies hold in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    On,
    Off,
}

/// A namespace of one test.
#[derive(Clone)]
pub struct Space {
    pub client: Client,
    pub name: String,
}

/// Runs `test` in a new namespace and takes the namespace away, whatever came of it; prints what was there if it
/// failed.
pub async fn in_namespace<T, F>(policy: Policy, test: T)
where
    T: FnOnce(Space) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let client = client().await;
    // In a task, so that a failure is everybody's at once and not tried again by each test.
    let installed = INSTALLED.get_or_init(|| async { tokio::spawn(install(client.clone())).await.is_ok() }).await;
    assert!(*installed, "the kinds and policies can't be installed; the first test that failed says why");
    let space = Space { name: new_namespace(&client, policy).await, client };
    let result = tokio::spawn(test(space.clone())).await;
    if result.is_err() {
        let state =
            kubectl(&["-n", &space.name, "get", "koupleless,deployments,pods,services,events", "-o", "yaml"]).await;
        eprintln!("--- left in namespace {}:\n{}{}", space.name, state.out, state.err);
    }
    space.delete().await;
    if let Err(error) = result {
        resume_unwind(error.into_panic());
    }
}

static INSTALLED: OnceCell<bool> = OnceCell::const_new();

async fn client() -> Client {
    assert!(
        std::env::var_os("KUBECONFIG").is_some(),
        "KUBECONFIG is not set: run `make test`, or `tests/control-plane/with-cluster -- cargo test --test contract`"
    );
    // A second install fails, which says that another test was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::try_default().await.expect("KUBECONFIG names a cluster")
}

/// The kinds, and the policies with a way round them for the tests that need what V1 could store.
async fn install(client: Client) {
    apply("-k", "crds").await;
    let crds = ["moduledeployments", "modulereplicasets", "modules", "moduletemplates"];
    for crd in crds {
        let name = format!("crd/{crd}.koupleless.io");
        let said = kubectl(&["wait", "--for=condition=Established", "--timeout=60s", &name]).await;
        assert!(said.ok, "{name}: {}", said.err);
    }
    let rendered = kubectl(&["kustomize", "config/admission"]).await;
    assert!(rendered.ok, "{}", rendered.err);
    let selector = json!({
        "namespaceSelector": { "matchExpressions": [{ "key": POLICY_LABEL, "operator": "NotIn", "values": ["off"] }] },
    });
    let mut objects = documents(&rendered.out);
    for object in &mut objects {
        if object["kind"] == "ValidatingAdmissionPolicyBinding" {
            object["spec"]["matchResources"] = selector.clone();
        }
    }
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string();
    let said = kubectl_with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &list).await;
    assert!(said.ok, "{}", said.err);
    let space = Space { name: new_namespace(&client, Policy::On).await, client };
    wait_for_policies(&space).await;
    space.delete().await;
}

/// The API server takes a policy into use some time after it has stored it.
async fn wait_for_policies(space: &Space) {
    let refused = json!({ "metadata": { "name": "probe" }, "spec": { "baseDeploymentName": "base" } });
    let modules = space.api("Module");
    let module = |version: &str| {
        json!({
            "apiVersion": "koupleless.io/v1alpha1", "kind": "Module", "metadata": { "name": "probe" },
            "spec": { "module": { "name": "m", "version": version, "url": "file:///m.jar" } },
        })
    };
    let stored = serde_json::from_value(module("1")).expect("a Module");
    modules.create(&PostParams::default(), &stored).await.expect("a Module is created");
    eventually("the policies are in use", || async {
        let deployment = space.create("ModuleDeployment", &refused, true).await;
        let changed =
            modules.patch("probe", &PatchParams { dry_run: true, ..merge() }, &Patch::Merge(module("2"))).await;
        let mut hint = refused.clone();
        hint["spec"]["template"] =
            json!({ "spec": { "module": { "name": "m", "version": "1", "url": "file:///m.jar" } } });
        hint["spec"]["operationStrategy"] = json!({ "upgradePolicy": "odd" });
        let hint = space.kubectl_create("ModuleDeployment", &hint).await;
        let hinted = hint.ok && hint.err.contains("is unknown and means");
        (deployment.is_err() && changed.is_err() && hinted).then_some(())
    })
    .await;
}

async fn new_namespace(client: &Client, policy: Policy) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let label = if policy == Policy::On { "on" } else { "off" };
    let name = format!("contract-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let namespace: Namespace =
        serde_json::from_value(json!({ "metadata": { "name": name, "labels": { POLICY_LABEL: label } } })).unwrap();
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.expect("a new namespace");
    name
}

/// A merge patch of nobody in particular.
pub fn merge() -> PatchParams {
    PatchParams::default()
}

impl Space {
    /// Lets in only pods of Pod Security's strictest level, as the namespace of the install does.
    pub async fn restrict(&self) {
        let label = "pod-security.kubernetes.io/enforce=restricted";
        let said = kubectl(&["label", "namespace", &self.name, label]).await;
        assert!(said.ok, "{}", said.err);
    }

    /// The objects of one of our kinds, as they are stored.
    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("koupleless.io", "v1alpha1", kind);
        Api::namespaced_with(self.client.clone(), &self.name, &ApiResource::from_gvk(&kind))
    }

    /// The objects of a type in this namespace.
    pub fn typed<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Creates `object` as it stands, with what the schema doesn't know dropped in silence.
    pub async fn create(&self, kind: &str, object: &Value, dry_run: bool) -> kube::Result<Value> {
        let mut object = object.clone();
        object["apiVersion"] = json!("koupleless.io/v1alpha1");
        object["kind"] = json!(kind);
        let body = serde_json::to_vec(&object).expect("JSON");
        let params = PostParams { dry_run, ..PostParams::default() };
        let request = Request::new(self.path(kind)).create(&params, body).expect("a request");
        self.client.request(request).await
    }

    /// Replaces the object, or its `subresource`, by `object`.
    pub async fn replace(&self, kind: &str, subresource: &str, object: &Value, dry_run: bool) -> kube::Result<Value> {
        let name = object["metadata"]["name"].as_str().expect("a name");
        let body = serde_json::to_vec(object).expect("JSON");
        let params = PostParams { dry_run, ..PostParams::default() };
        let request = match subresource {
            "" => Request::new(self.path(kind)).replace(name, &params, body),
            subresource => Request::new(self.path(kind)).replace_subresource(subresource, name, &params, body),
        };
        self.client.request(request.expect("a request")).await
    }

    fn path(&self, kind: &str) -> String {
        format!("/apis/koupleless.io/v1alpha1/namespaces/{}/{}s", self.name, kind.to_lowercase())
    }

    /// `kubectl create --dry-run=server`, which prints warnings and knows no unknown fields.
    pub async fn kubectl_create(&self, kind: &str, object: &Value) -> Said {
        let mut object = object.clone();
        object["apiVersion"] = json!("koupleless.io/v1alpha1");
        object["kind"] = json!(kind);
        self.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &object.to_string()).await
    }

    /// The stored object without the book-keeping of field managers.
    pub async fn get(&self, kind: &str, name: &str) -> Value {
        let object = self.api(kind).get(name).await.unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
        let mut value = serde_json::to_value(object).expect("JSON");
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        value
    }

    /// `kubectl` in this namespace.
    pub async fn kubectl(&self, args: &[&str]) -> Said {
        self.kubectl_with(args, "").await
    }

    /// `kubectl` in this namespace, with an input.
    pub async fn kubectl_with(&self, args: &[&str], input: &str) -> Said {
        let mut all = vec!["-n", self.name.as_str()];
        all.extend_from_slice(args);
        kubectl_with(&all, input).await
    }

    /// Takes the namespace away with all that is in it; nobody else takes the finalizers off here.
    async fn delete(&self) {
        let none = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        for kind in ["ModuleDeployment", "ModuleReplicaSet", "Module"] {
            let api = self.api(kind);
            for object in api.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default() {
                let _ = api.patch(&object.name_any(), &merge(), &none).await;
            }
        }
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        if let Err(error) = namespaces.delete(&self.name, &DeleteParams::background()).await {
            eprintln!("namespace {} stays: {error}", self.name);
        }
    }
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub ok: bool,
    pub out: String,
    pub err: String,
}

/// `kubectl`, in the folder of the crate.
pub async fn kubectl(args: &[&str]) -> Said {
    kubectl_with(args, "").await
}

/// `kubectl` with an input.
pub async fn kubectl_with(args: &[&str], input: &str) -> Said {
    said("kubectl", args, input).await
}

/// A program with an input, in the folder of the crate.
pub async fn said(program: &str, args: &[&str], input: &str) -> Said {
    let mut child = Command::new(program)
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; `make test` builds what the rig needs"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    // Beside the reading, or a long input and a long output would wait for each other. A program that has ended
    // without reading is no mistake of ours.
    let writing = tokio::spawn(async move {
        let _ = stdin.write_all(input.as_bytes()).await;
    });
    let output = child.wait_with_output().await.expect("it ends");
    let _ = writing.await;
    Said {
        ok: output.status.success(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

async fn apply(flag: &str, path: &str) {
    let said = kubectl(&["apply", "--server-side", "--force-conflicts", flag, path]).await;
    assert!(said.ok, "{path}: {}", said.err);
}

/// The documents of a YAML text.
pub fn documents(text: &str) -> Vec<Value> {
    serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| serde::Deserialize::deserialize(document).expect("YAML that is JSON"))
        .filter(|document: &Value| !document.is_null())
        .collect()
}

/// Tries until it gets a value; fails at the deadline.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut attempt: impl FnMut() -> F) -> T {
    until(DEADLINE, what, || attempt().map(|found| found.ok_or_else(|| "nothing".to_owned()))).await
}

/// A good ModuleDeployment; the tests change it.
pub fn hello() -> Value {
    json!({
        "apiVersion": "koupleless.io/v1alpha1",
        "kind": "ModuleDeployment",
        "metadata": { "name": "hello" },
        "spec": {
            "baseDeploymentName": "base",
            "replicas": 2,
            "template": { "spec": { "module": {
                "name": "hello", "version": "1.0.0", "url": "https://jars.example/hello-1.0.0.jar"
            } } },
        },
    })
}

/// Puts `value` at the dotted `path`, with objects on the way; null takes the field away.
pub fn put(object: &mut Value, path: &str, value: Value) {
    let keys: Vec<&str> = path.split('.').collect();
    let (last, parents) = keys.split_last().expect("a path");
    let mut at = object;
    for key in parents {
        if !at[*key].is_object() {
            at[*key] = json!({});
        }
        at = &mut at[*key];
    }
    if value.is_null() {
        at.as_object_mut().expect("an object").remove(*last);
    } else {
        at[*last] = value;
    }
}

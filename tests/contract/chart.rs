//! The Helm chart: it makes the objects that kustomize makes, and its releases are installed, upgraded and removed on a real API
//! server without loss.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};

use crate::{
    cluster::{Policy, Said, Space, documents, in_namespace, kubectl, kubectl_with, said},
    install::rendered,
};

pub const CHART: &str = "charts/module-controller";
/// Where kustomize installs.
pub const NAMESPACE: &str = "module-deployment-system";

pub async fn helm(args: &[&str]) -> Said {
    said("helm", args, "").await
}

/// What the chart makes with these `--set`s.
pub async fn template(chart: &str, sets: &[&str]) -> Said {
    let mut args = vec!["template", "release", chart, "--namespace", NAMESPACE];
    for set in sets {
        args.extend(["--set", set]);
    }
    helm(&args).await
}

/// By kind, namespace and name; nothing twice.
pub fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for object in objects {
        let metadata = &object["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or("-");
        let name = format!("{} {namespace} {}", object["kind"].as_str().unwrap(), metadata["name"].as_str().unwrap());
        assert!(found.insert(name.clone(), object).is_none(), "{name} is there twice");
    }
    found
}

/// Takes away what only Helm's objects have: labels of the release, and that kinds stay.
fn without_helms_own(object: &mut Value) {
    let metadata = object["metadata"].as_object_mut().expect("metadata");
    let labels = metadata["labels"].as_object_mut().expect("labels");
    for (label, value) in [
        ("app.kubernetes.io/instance", json!("release")),
        ("app.kubernetes.io/version", json!(env!("CARGO_PKG_VERSION"))),
        ("app.kubernetes.io/managed-by", json!("Helm")),
        ("helm.sh/chart", json!(concat!("module-controller-", env!("CARGO_PKG_VERSION")))),
    ] {
        assert_eq!(labels.remove(label), Some(value), "{label}");
    }
    if object["kind"] == "CustomResourceDefinition" {
        let metadata = object["metadata"].as_object_mut().expect("metadata");
        assert_eq!(metadata.remove("annotations"), Some(json!({ "helm.sh/resource-policy": "keep" })));
    }
}

/// A chart with these values makes what kustomize makes of these folders, but for the Namespace, which Helm makes itself.
pub async fn agrees(sets: &[&str], folders: &[&str]) {
    let made = template(CHART, sets).await;
    assert!(made.ok, "{sets:?}: {}", made.err);
    let mut made = by_name(documents(&made.out));
    made.values_mut().for_each(without_helms_own);
    let mut wanted = BTreeMap::new();
    for folder in folders {
        wanted.extend(by_name(documents(&rendered(folder).await)));
    }
    wanted.retain(|_, object| object["kind"] != "Namespace");
    assert_eq!(made.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "{sets:?}");
    for (name, object) in &made {
        let mut object = object.clone();
        let mut wanted = wanted[name].clone();
        // kustomize leaves what doesn't come through config/default without the label.
        for one in [&mut object, &mut wanted] {
            one["metadata"]["labels"]["app.kubernetes.io/name"] = json!("module-controller");
            // Nor does it know where in a row a flag belongs.
            if let Some(args) = one.pointer_mut("/spec/template/spec/containers/0/args").and_then(Value::as_array_mut) {
                args.sort_by_key(Value::to_string);
            }
        }
        assert_eq!(object, wanted, "{sets:?}: {name}");
    }
}

#[tokio::test]
async fn the_chart_makes_what_kustomize_makes() {
    agrees(&[], &["config/default"]).await;
    agrees(&["ha.enabled=true"], &["config/ha"]).await;
    let own = format!("namespaces={{{NAMESPACE}}}");
    agrees(&[&own, "crds.install=false", "admission.enabled=false"], &["config/namespaced"]).await;
    agrees(&["monitoring.enabled=true"], &["config/default", "config/monitoring"]).await;
    agrees(&["rbac.virtualPods=true"], &["config/default", "config/virtual-pods"]).await;
    agrees(&["vnode.enabled=true"], &["config/default", "config/vnode"]).await;
    agrees(&["networkPolicy.enabled=true"], &["config/default", "config/network-policy"]).await;
}

/// What kustomize has no profile for.
#[tokio::test]
async fn a_release_for_some_namespaces_has_no_right_in_others() {
    let made = template(CHART, &["namespaces={shop,stock}", "rbac.virtualPods=true", "crds.install=false"]).await;
    assert!(made.ok, "{}", made.err);
    let objects = by_name(documents(&made.out));
    assert!(!objects.keys().any(|name| name.starts_with("ClusterRole")), "{:?}", objects.keys());
    for namespace in ["shop", "stock"] {
        for name in ["module-deployment-manager-role", "module-deployment-virtual-pods"] {
            let role = &objects[&format!("Role {namespace} {name}")];
            assert!(!role["rules"].as_array().expect("rules").is_empty());
        }
        for name in ["module-deployment-manager-rolebinding", "module-deployment-virtual-pods"] {
            let binding = &objects[&format!("RoleBinding {namespace} {name}")];
            assert_eq!(binding["roleRef"]["kind"], "Role");
            let account = json!([{
                "kind": "ServiceAccount", "name": "module-deployment-controller-manager", "namespace": NAMESPACE,
            }]);
            assert_eq!(binding["subjects"], account);
        }
    }
    let manager = &objects[&format!("Deployment {NAMESPACE} module-deployment-controller-manager")];
    let args = &manager["spec"]["template"]["spec"]["containers"][0]["args"];
    assert_eq!(*args, json!(["--leader-elect", "--namespace=shop", "--namespace=stock"]));
}

#[tokio::test]
async fn the_chart_has_no_fault_and_packed_it_is_the_same() {
    let linted = helm(&["lint", "--strict", CHART]).await;
    assert!(linted.ok, "{}{}", linted.out, linted.err);
    let folder = Folder::new("packed");
    let packed = helm(&["package", CHART, "--destination", &folder.path]).await;
    assert!(packed.ok, "{}", packed.err);
    // Its files are links in the tree; nobody who unpacks it has what they lead to.
    let archive = format!("{}/module-controller-{}.tgz", folder.path, env!("CARGO_PKG_VERSION"));
    let sets = ["ha.enabled=true", "vnode.enabled=true", "rbac.virtualPods=true"];
    let (packed, tree) = (template(&archive, &sets).await, template(CHART, &sets).await);
    assert!(packed.ok && tree.ok, "{}{}", packed.err, tree.err);
    assert_eq!(packed.out, tree.out);
}

/// An older release, whose kinds lack a field, and before it an install by kubectl. The kinds are of a group of their own,
/// and nothing that other tests use is touched.
#[tokio::test]
async fn objects_outlive_install_upgrade_and_uninstall() {
    in_namespace(Policy::On, |space| async move {
        let folder = Folder::new(&space.name);
        let (old, new) = (folder.chart("old", &space.name), folder.chart("new", &space.name));
        rename_kinds(&old, true);
        rename_kinds(&new, false);
        let result = tokio::spawn(life(space.clone(), old, new)).await;
        // What belongs to the cluster, whatever came of it.
        let _ = helm(&["uninstall", "release", "--namespace", &space.name]).await;
        for kind in ["copydeployments", "copyreplicasets", "copys", "copytemplates"] {
            let _ = kubectl(&["delete", "--wait=false", "crd", &format!("{kind}.{}", group(&space.name))]).await;
        }
        if let Err(error) = result {
            std::panic::resume_unwind(error.into_panic());
        }
    })
    .await;
}

fn group(space: &str) -> String {
    format!("{space}.example")
}

async fn life(space: Space, old: String, new: String) {
    let release = |verb: &'static str, chart: String, more: &'static [&'static str]| {
        let namespace = space.name.clone();
        async move {
            let mut args = vec![verb, "release", chart.as_str(), "--namespace", namespace.as_str()];
            args.extend(more);
            let said = helm(&args).await;
            assert!(said.ok, "helm {verb} {more:?}: {}", said.err);
        }
    };
    let kind = format!("copydeployments.{}", group(&space.name));
    let stored = |what: &'static str| {
        let (namespace, kind) = (space.name.clone(), kind.clone());
        async move {
            let said = kubectl(&["-n", &namespace, "get", &kind, "hello", "-o", "json"]).await;
            assert!(said.ok, "{what}: {}", said.err);
            let object: Value = serde_json::from_str(&said.out).expect("JSON");
            (object["metadata"]["uid"].clone(), object["spec"].clone(), object["status"].clone())
        }
    };
    // By kubectl at first.
    let crds: String = template_in(&old, &space.name).await;
    let said = kubectl_with(&["apply", "--server-side", "-f", "-"], &crds).await;
    assert!(said.ok, "{}", said.err);
    let said = kubectl(&["wait", "--for=condition=Established", "--timeout=60s", &format!("crd/{kind}")]).await;
    assert!(said.ok, "{}", said.err);
    let mut hello = crate::cluster::hello();
    hello["apiVersion"] = json!(format!("{}/v1alpha1", group(&space.name)));
    hello["kind"] = json!("CopyDeployment");
    let said = space.kubectl_with(&["create", "-f", "-"], &hello.to_string()).await;
    assert!(said.ok, "{}", said.err);
    let status = r#"{"status": {"replicas": 2, "observedGeneration": 1}}"#;
    let said = space.kubectl(&["patch", &kind, "hello", "--subresource=status", "--type=merge", "-p", status]).await;
    assert!(said.ok, "{}", said.err);
    let first = stored("created").await;

    release("install", old.clone(), &["--take-ownership"]).await;
    assert_eq!(stored("installed").await, first);
    let field = r#"{"spec": {"paused": true}}"#;
    let strict =
        ["patch", &kind, "hello", "--type=merge", "--dry-run=server", "-o", "jsonpath={.spec.paused}", "-p", field];
    assert_eq!(space.kubectl(&strict).await.out, "", "the old kinds don't have the field");
    // kubectl owns the fields that it applied until somebody else changes them.
    release("upgrade", new.clone(), &["--set", "ha.enabled=true", "--force-conflicts"]).await;
    assert_eq!(stored("upgraded").await, first);
    crate::cluster::eventually("the new field is known", || async {
        (space.kubectl(&strict).await.out == "true").then_some(())
    })
    .await;
    let manager = "deployment/module-deployment-controller-manager";
    let said = space.kubectl(&["rollout", "status", manager, "--timeout=60s"]).await;
    assert!(said.ok, "{}", said.err);

    let said = helm(&["uninstall", "release", "--namespace", &space.name]).await;
    assert!(said.ok, "{}", said.err);
    let said = space.kubectl(&["get", manager]).await;
    assert!(said.err.contains("not found"), "{}{}", said.out, said.err);
    assert_eq!(stored("uninstalled").await, first);
    release("install", new, &[]).await;
    assert_eq!(stored("installed again").await, first);
}

/// The kinds alone, as `kubectl apply -k crds` has them: without what tells Helm that they are its own.
async fn template_in(chart: &str, space: &str) -> String {
    let said = helm(&["template", "release", chart, "--namespace", space]).await;
    assert!(said.ok, "{}", said.err);
    let mut kinds = documents(&said.out);
    kinds.retain(|object| object["kind"] == "CustomResourceDefinition");
    for kind in &mut kinds {
        kind["metadata"].as_object_mut().expect("metadata").retain(|key, _| key == "name");
    }
    kinds.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n")
}

/// Kinds that no `kubectl get modules` beside this test could mean; the old ones don't have a field that the new ones have.
fn rename_kinds(chart: &str, old: bool) {
    for file in std::fs::read_dir(format!("{chart}/files/crds")).expect("kinds") {
        let file = file.expect("a file").path();
        let mut crd: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(&file).expect("text")).expect("YAML");
        if crd["kind"] != "CustomResourceDefinition" {
            continue;
        }
        let copy = |word: &Value| word.as_str().expect("a name").replace("module", "copy").replace("Module", "Copy");
        crd["metadata"]["name"] = json!(copy(&crd["metadata"]["name"]));
        let names = &crd["spec"]["names"];
        crd["spec"]["names"] = json!({
            "plural": copy(&names["plural"]), "singular": copy(&names["singular"]),
            "kind": copy(&names["kind"]), "listKind": format!("{}List", copy(&names["kind"])),
        });
        if old && crd["spec"]["names"]["kind"] == "CopyDeployment" {
            let spec = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
            assert!(spec.as_object_mut().expect("properties").remove("paused").is_some());
        }
        std::fs::write(file, crd.to_string()).expect("written");
    }
}

/// A temporary folder, which goes with it.
pub struct Folder {
    pub path: String,
}

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("chart-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self { path: path.to_string_lossy().into_owned() }
    }

    /// A copy of the chart whose kinds, policies and cluster roles are `space`'s own.
    fn chart(&self, name: &str, space: &str) -> String {
        let to = format!("{}/{name}", self.path);
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(CHART), Path::new(&to), &|text: String| {
            let mut text =
                text.replace("koupleless.io", &group(space)).replace("name: module-deployment-", "name: own-");
            for user in ["viewer", "editor", "admin", "migrator"] {
                text = text.replace(&format!("name: module-{user}"), &format!("name: own-{user}"));
            }
            text.replace("name: own-controller-manager", "name: module-deployment-controller-manager")
        });
        to
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn copy(from: &Path, to: &Path, change: &dyn Fn(String) -> String) {
    if from.is_dir() {
        std::fs::create_dir_all(to).expect("a folder");
        for entry in std::fs::read_dir(from).expect("a folder") {
            let name = entry.expect("an entry").file_name();
            copy(&from.join(&name), &to.join(&name), change);
        }
    } else {
        std::fs::write(to, change(std::fs::read_to_string(from).expect("text"))).expect("written");
    }
}

//! What the operator and the VNode provider of a scenario may do: what the manifests in `config/` give their accounts, and
//! nothing else. So every scenario shows that this is enough; `tests/rights` reads in the audit log that it isn't more.
//!
//! Objects that stand outside the scenario's namespace have it at the end of their names, and go with it.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use k8s_openapi::api::{
    authorization::v1::SubjectAccessReview,
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{Kind, World, objects, shared, text, until};

/// The namespace of the manifests.
const SYSTEM: &str = "module-deployment-system";
/// What the provider may do in namespaces, which the chart can limit to some; so it is done here.
const PROVIDERS_PODS: &str = "module-vnode-provider-pods";
/// Where the Leases of nodes are.
const NODE_LEASES: &str = "kube-node-lease";
/// On what stands outside the namespace of a scenario: the scenario's namespace.
const SCENARIO: &str = "rig.koupleless.io/scenario";
/// A role is in use some time after it is stored, and the API server looks for new kinds every 30 s only.
const IN_USE: std::time::Duration = std::time::Duration::from_secs(60);

/// An install, of which a scenario takes the rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Install {
    /// The operator for one namespace.
    Namespaced,
    /// The operator for the cluster, which sees nodes, with the right to make pods.
    Cluster,
    /// The VNode provider.
    Provider,
}

impl Install {
    fn folders(self) -> &'static [&'static str] {
        match self {
            Self::Namespaced => &["config/namespaced"],
            Self::Cluster => &["config/rbac", "config/virtual-pods"],
            Self::Provider => &["config/vnode"],
        }
    }

    fn account(self) -> &'static str {
        match self {
            Self::Namespaced | Self::Cluster => "module-deployment-controller-manager",
            Self::Provider => "module-vnode-provider",
        }
    }
}

impl World {
    /// A client of the account that this install makes, with its rights.
    pub(super) async fn client_of(&self, install: Install) -> Client {
        shared::client_as(&self.user_of(install).await).await
    }

    /// A file by which a process is the operator, with the rights of an install for this namespace. It goes with the rig.
    pub async fn operator_kubeconfig(&self) -> PathBuf {
        let user = self.user_of(Install::Namespaced).await;
        let file = self.file("operator.kubeconfig");
        let config = serde_json::to_string(&shared::kubeconfig_as(&user)).expect("JSON");
        std::fs::write(&file, config).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        file
    }

    /// The account that this install makes, once it has its rights.
    async fn user_of(&self, install: Install) -> String {
        let user = format!("system:serviceaccount:{}:{}", self.namespace(), install.account());
        let mut granted = self.inner.granted.lock().await;
        if !granted.contains(&install) {
            self.grant(install, &user).await;
            granted.push(install);
        }
        user
    }

    async fn grant(&self, install: Install, user: &str) {
        let mut rights = Vec::new();
        for folder in install.folders() {
            let objects = manifests(folder).await;
            rights.extend(objects.iter().map(|object| self.own(object)));
        }
        for object in &rights {
            self.apply_right(object).await;
        }
        for binding in rights.iter().filter(|object| !object["roleRef"].is_null()) {
            let named = |object: &&Value| {
                object["kind"] == binding["roleRef"]["kind"]
                    && object["metadata"]["name"] == binding["roleRef"]["name"]
                    && (object["kind"] == "ClusterRole"
                        || object["metadata"]["namespace"] == binding["metadata"]["namespace"])
            };
            let role = rights.iter().find(named).unwrap_or_else(|| panic!("no role of {binding:#}"));
            let what = format!("{} is in use", text(role, "/metadata/name"));
            until(IN_USE, &what, || self.may(user, text(binding, "/metadata/namespace"), &role["rules"][0])).await;
        }
        if install != Install::Provider {
            let client = shared::client_as(user).await;
            until(IN_USE, "owner references may be set", || self.may_own(&client)).await;
        }
    }

    /// The object as it stands for this scenario.
    fn own(&self, manifest: &Value) -> Value {
        let mut object: Value =
            serde_json::from_str(&manifest.to_string().replace(SYSTEM, self.namespace())).expect("JSON");
        if text(&object, "/metadata/name") == PROVIDERS_PODS {
            object["kind"] = json!(text(&object, "/kind").trim_start_matches("Cluster"));
            object["metadata"]["namespace"] = json!(self.namespace());
            if object["roleRef"].is_object() {
                object["roleRef"]["kind"] = json!("Role");
            }
        }
        let outside = object["metadata"]["namespace"] != self.namespace();
        let rename = |name: &mut Value| *name = json!(format!("{}.{}", text(name, ""), self.namespace()));
        if outside {
            rename(&mut object["metadata"]["name"]);
            object["metadata"]["labels"][SCENARIO] = json!(self.namespace());
        }
        if object["roleRef"].is_object() && (outside || object["roleRef"]["kind"] == "ClusterRole") {
            rename(&mut object["roleRef"]["name"]);
        }
        object
    }

    /// As often as wanted, because installs have some objects in common.
    async fn apply_right(&self, object: &Value) {
        let kind = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", text(object, "/kind"));
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = match text(object, "/metadata/namespace") {
            "" => Api::all_with(self.client(), &resource),
            namespace => Api::namespaced_with(self.client(), namespace, &resource),
        };
        let name = text(object, "/metadata/name");
        let applied = api.patch(name, &PatchParams::apply("rig").force(), &Patch::Apply(object)).await;
        applied.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// Whether a user has the first right of a rule.
    async fn may(&self, user: &str, namespace: &str, rule: &Value) -> Result<(), String> {
        let (resource, subresource) =
            text(rule, "/resources/0").split_once('/').unwrap_or((text(rule, "/resources/0"), ""));
        let review: SubjectAccessReview = serde_json::from_value(json!({ "spec": {
            "user": user,
            "resourceAttributes": {
                "namespace": namespace, "verb": rule["verbs"][0], "group": rule["apiGroups"][0],
                "resource": resource, "subresource": subresource, "name": text(rule, "/resourceNames/0"),
            },
        } }))
        .expect("a review");
        let reviews: Api<SubjectAccessReview> = Api::all(self.client());
        let answer = reviews.create(&PostParams::default(), &review).await.map_err(|error| error.to_string())?;
        let allowed = answer.status.is_some_and(|status| status.allowed);
        allowed.then_some(()).ok_or_else(|| format!("{user} may not yet: {rule}"))
    }

    /// Whether the API server, which looks at who owns what, knows the kinds already.
    async fn may_own(&self, client: &Client) -> Result<(), String> {
        let probe: DynamicObject = serde_json::from_value(holding_back("probe")).expect("an object");
        let sets = Api::namespaced_with(client.clone(), self.namespace(), &Kind::ModuleReplicaSet.resource());
        let only_asked = PostParams { dry_run: true, ..PostParams::default() };
        sets.create(&only_asked, &probe).await.map(drop).map_err(|error: kube::Error| error.to_string())
    }

    /// Takes the rights away that stand outside the namespace.
    pub(super) async fn withdraw_rights(&self) {
        if self.inner.granted.lock().await.iter().all(|install| *install == Install::Namespaced) {
            return;
        }
        let (now, client) = (DeleteParams::background(), self.client());
        let ours = ListParams::default().labels(&format!("{SCENARIO}={}", self.namespace()));
        let _ = Api::<ClusterRoleBinding>::all(client.clone()).delete_collection(&now, &ours).await;
        let _ = Api::<ClusterRole>::all(client.clone()).delete_collection(&now, &ours).await;
        let _ = Api::<RoleBinding>::namespaced(client.clone(), NODE_LEASES).delete_collection(&now, &ours).await;
        let _ = Api::<Role>::namespaced(client, NODE_LEASES).delete_collection(&now, &ours).await;
    }
}

/// Objects by the folder that they are made of.
type Made = HashMap<&'static str, Arc<Vec<Value>>>;

/// The roles and bindings that kustomize makes of a folder; made once in a process.
async fn manifests(folder: &'static str) -> Arc<Vec<Value>> {
    static MADE: LazyLock<Mutex<Made>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().await;
    if let Some(known) = made.get(folder) {
        return Arc::clone(known);
    }
    let rendered = objects::kubectl(&["kustomize", folder], "").await;
    let documents = serde_yaml_ng::Deserializer::from_str(&rendered);
    let objects = documents.map(|document| Value::deserialize(document).expect("YAML that is JSON"));
    let is_right = |object: &Value| text(object, "/apiVersion") == "rbac.authorization.k8s.io/v1";
    let rights: Arc<Vec<Value>> = Arc::new(objects.filter(is_right).collect());
    assert!(!rights.is_empty(), "{folder} gives no rights");
    made.insert(folder, Arc::clone(&rights));
    rights
}

/// A ModuleReplicaSet of a ModuleDeployment, which may not end before it: what OwnerReferencesPermissionEnforcement lets only
/// those create who have the right to hold the owner back.
pub fn holding_back(deployment: &str) -> Value {
    let owner = json!({
        "apiVersion": "koupleless.io/v1alpha1", "kind": "ModuleDeployment", "name": deployment, "uid": "1",
        "controller": true, "blockOwnerDeletion": true,
    });
    json!({
        "apiVersion": "koupleless.io/v1alpha1", "kind": "ModuleReplicaSet",
        "metadata": { "name": format!("{deployment}-1"), "ownerReferences": [owner] }, "spec": { "replicas": 0 },
    })
}

//! What the garbage collector does with the owners that V1 and we write.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Resource,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};

use crate::cluster::{Policy, Space, eventually, hello, in_namespace};

fn owned_by(mut object: Value, api_version: &str, kind: &str, owner: (&str, &str), controller: bool) -> Value {
    let mut reference = json!({ "apiVersion": api_version, "kind": kind, "name": owner.0, "uid": owner.1 });
    if controller {
        reference["controller"] = json!(true);
    }
    object["metadata"]["ownerReferences"] = json!([reference]);
    object
}

async fn create<K>(space: &Space, object: Value) -> String
where
    K: Resource<Scope = kube::core::NamespaceResourceScope>
        + serde::Serialize
        + serde::de::DeserializeOwned
        + Clone
        + std::fmt::Debug,
    K::DynamicType: Default,
{
    let object: K = serde_json::from_value(object).expect("an object");
    let stored = space.typed::<K>().create(&PostParams::default(), &object).await.expect("it is created");
    stored.meta().uid.clone().expect("a UID")
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().expect("a UID").to_owned()
}

async fn gone(space: &Space, kind: &str, name: &str) {
    eventually(&format!("{kind} {name} is gone"), || async {
        space.api(kind).get_opt(name).await.expect("an answer").is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn deleting_the_base_deployment_deletes_everything_above_it() {
    in_namespace(Policy::On, |space| async move {
        let base = json!({
            "metadata": { "name": "base" },
            "spec": {
                "replicas": 0, "selector": { "matchLabels": { "app": "base" } },
                "template": {
                    "metadata": { "labels": { "app": "base" } },
                    "spec": { "containers": [{ "name": "base", "image": "base:1" }] },
                },
            },
        });
        let base = create::<Deployment>(&space, base).await;
        let object = owned_by(hello(), "apps/v1", "Deployment", ("base", &base), true);
        let deployment = uid(&space.create("ModuleDeployment", &object, false).await.unwrap());
        let object = json!({ "metadata": { "name": "hello-replicas-1" }, "spec": {} });
        let owner = ("hello", deployment.as_str());
        let object = owned_by(object, "koupleless.io/v1alpha1", "ModuleDeployment", owner, true);
        space.create("ModuleReplicaSet", &object, false).await.unwrap();

        space.typed::<Deployment>().delete("base", &DeleteParams::background()).await.unwrap();
        gone(&space, "ModuleDeployment", "hello").await;
        gone(&space, "ModuleReplicaSet", "hello-replicas-1").await;
    })
    .await;
}

#[tokio::test]
async fn a_module_goes_with_its_pod_but_waits_for_its_finalizer() {
    in_namespace(Policy::On, |space| async move {
        let pod = json!({
            "metadata": { "name": "base-a", "labels": { "app": "base" } },
            "spec": { "containers": [{ "name": "base", "image": "base:1" }] },
        });
        let pod = create::<Pod>(&space, pod).await;
        for (name, finalizers) in [("held", json!(["koupleless.io/allocate-pod"])), ("free", json!([]))] {
            let object = json!({ "metadata": { "name": name, "finalizers": finalizers }, "spec": {} });
            let object = owned_by(object, "v1", "Pod", ("base-a", &pod), false);
            space.create("Module", &object, false).await.unwrap();
        }
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::background() };
        space.typed::<Pod>().delete("base-a", &now).await.unwrap();
        gone(&space, "Module", "free").await;
        eventually("the held Module is ending", || async {
            let module = space.api("Module").get("held").await.expect("it is there");
            module.metadata.deletion_timestamp.map(|_| ())
        })
        .await;
    })
    .await;
}

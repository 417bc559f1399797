//! What V1 stored stays writable, whatever the policy says of it: the operator's own writes, labels, finalizers and
//! deletion pass. Only what an author changes is looked at.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{DeleteParams, Patch},
};
use module_controller::{
    api::ModuleDeployment,
    domain::validation::{refusal, validate},
};
use serde_json::{Value, json};

use crate::cluster::{Policy, Space, eventually, hello, in_namespace, merge, put};

/// Stores `object` as if there were no policy, then puts the policy into force.
async fn stored_before_the_policy(space: &Space, object: &Value) {
    space.create("ModuleDeployment", object, false).await.expect("the schema takes it");
    let namespaces: Api<Namespace> = Api::all(space.client.clone());
    let label = Patch::Merge(json!({ "metadata": { "labels": { "contract.test/policy": "on" } } }));
    namespaces.patch(&space.name, &merge(), &label).await.expect("the label is set");
    let probe = json!({ "metadata": { "name": "probe" }, "spec": { "baseDeploymentName": "base" } });
    eventually("the policy holds in the namespace", || async {
        space.create("ModuleDeployment", &probe, true).await.is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_was_stored_stays_writable_for_the_operator() {
    in_namespace(Policy::Off, |space| async move {
        let mut object = hello();
        put(&mut object, "metadata.finalizers", json!(["koupleless.io/module-existed"]));
        put(
            &mut object,
            "spec.operationStrategy",
            json!({ "batchCount": -3, "upgradePolicy": "installThenUninstall" }),
        );
        put(&mut object, "spec.template.spec.module.version", json!("1 0"));
        stored_before_the_policy(&space, &object).await;
        let typed = space.typed::<ModuleDeployment>().get("hello").await.expect("it is readable");
        let said = refusal(&validate(&typed)).expect("the operator refuses it");
        assert!(said.contains("batchCount: -3 is negative") && said.contains("module.version: \"1 0\""), "{said}");

        let api = space.api("ModuleDeployment");
        for (what, patch) in [
            (
                "scale and baseline",
                json!({
                    "metadata": { "annotations": { "koupleless.io/scale-baseline": "2" } },
                    "spec": { "scaleReplicas": 2 },
                }),
            ),
            ("a confirmation", json!({ "spec": { "confirmBatchNum": 1 } })),
            ("the confirmation taken back", json!({ "spec": { "confirmBatchNum": 0 } })),
            ("a pause", json!({ "spec": { "paused": true } })),
            ("a label", json!({ "metadata": { "labels": { "a": "b" } } })),
        ] {
            api.patch("hello", &merge(), &Patch::Merge(patch)).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        let status = Patch::Merge(json!({ "status": { "replicas": 0 } }));
        api.patch_status("hello", &merge(), &status).await.expect("status");
        let scaled = space.kubectl(&["scale", "mddeploy/hello", "--replicas=0"]).await;
        assert!(scaled.ok, "{}", scaled.err);

        // Its author has to put it right.
        let change = Patch::Merge(json!({ "spec": { "replicas": 3 } }));
        let refused = api.patch("hello", &merge(), &change).await.unwrap_err().to_string();
        assert!(refused.contains("spec.template.spec.module.version: has white space"), "{refused}");
        let change = Patch::Merge(json!({
            "spec": {
                "replicas": 3, "operationStrategy": { "batchCount": 3 },
                "template": { "spec": { "module": { "version": "1.0" } } },
            },
        }));
        api.patch("hello", &merge(), &change).await.expect("a spec that was put right");
    })
    .await;
}

#[tokio::test]
async fn what_was_stored_can_be_deleted() {
    in_namespace(Policy::Off, |space| async move {
        let mut object = hello();
        put(&mut object, "metadata.finalizers", json!(["koupleless.io/module-existed"]));
        object["spec"]["template"] = Value::Null;
        object["spec"].as_object_mut().unwrap().remove("template");
        stored_before_the_policy(&space, &object).await;
        let api = space.api("ModuleDeployment");
        api.delete("hello", &DeleteParams::background()).await.expect("it is deleted");
        let none = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        api.patch("hello", &merge(), &none).await.expect("the finalizer goes");
        eventually("it is gone", || async { api.get_opt("hello").await.unwrap().is_none().then_some(()) }).await;
    })
    .await;
}

#[tokio::test]
async fn another_module_or_version_is_another_object() {
    in_namespace(Policy::On, |space| async move {
        space.create("ModuleDeployment", &hello(), false).await.unwrap();
        let deployments = space.api("ModuleDeployment");
        let module =
            |field: &str, value: &str| json!({ "spec": { "template": { "spec": { "module": { field: value } } } } });
        let renamed = deployments.patch("hello", &merge(), &Patch::Merge(module("name", "other"))).await;
        let refused = renamed.unwrap_err().to_string();
        assert!(refused.contains("can not be changed, it is \"hello\"; create another ModuleDeployment"), "{refused}");
        deployments.patch("hello", &merge(), &Patch::Merge(module("version", "2.0.0"))).await.expect("a new version");

        let info = hello()["spec"]["template"]["spec"]["module"].clone();
        let object = json!({ "metadata": { "name": "hello-1" }, "spec": { "module": info } });
        space.create("Module", &object, false).await.unwrap();
        let modules = space.api("Module");
        for (field, value) in [("name", "other"), ("version", "2.0.0")] {
            let patch = Patch::Merge(json!({ "spec": { "module": { field: value } } }));
            let refused = modules.patch("hello-1", &merge(), &patch).await.unwrap_err().to_string();
            assert!(refused.contains("name and version of a Module can't be changed"), "{field}: {refused}");
        }
        let patch = Patch::Merge(json!({ "spec": { "module": { "url": "file:///elsewhere.jar" } } }));
        modules.patch("hello-1", &merge(), &patch).await.expect("another address");
        let label = Patch::Merge(json!({ "metadata": { "labels": { "koupleless.io/delete-module": "true" } } }));
        modules.patch("hello-1", &merge(), &label).await.expect("a command label");
    })
    .await;
}

//! What the schema adds, drops and keeps.

use kube::api::{ListParams, Patch};
use module_controller::api::{Module, ModuleDeployment, ModuleReplicaSet, ModuleTemplate};
use serde_json::{Value, json};

use crate::cluster::{Policy, hello, in_namespace, merge, put};

#[tokio::test]
async fn defaults_are_v1s() {
    in_namespace(Policy::On, |space| async move {
        space.create("ModuleDeployment", &hello(), false).await.unwrap();
        let stored = space.get("ModuleDeployment", "hello").await;
        assert_eq!(stored["spec"]["confirmBatchNum"], json!(0));
        for absent in ["schedulingStrategy", "operationStrategy", "scaleReplicas", "paused"] {
            assert_eq!(stored["spec"][absent], Value::Null, "{absent}");
        }

        let mut object = hello();
        put(&mut object, "metadata.name", json!("empty"));
        put(&mut object, "spec.schedulingStrategy", json!({}));
        space.create("ModuleDeployment", &object, false).await.unwrap();
        let stored = space.get("ModuleDeployment", "empty").await;
        assert_eq!(stored["spec"]["schedulingStrategy"], json!({ "schedulingPolicy": "scatter" }));

        // Where there is a default, a null makes place for it; V1 had no field that may be null.
        put(&mut object, "metadata.name", json!("null"));
        object["spec"]["schedulingStrategy"] = json!({ "schedulingPolicy": null });
        object["spec"]["confirmBatchNum"] = Value::Null;
        space.create("ModuleDeployment", &object, false).await.unwrap();
        let stored = space.get("ModuleDeployment", "null").await;
        assert_eq!(stored["spec"]["schedulingStrategy"], json!({ "schedulingPolicy": "scatter" }));
        assert_eq!(stored["spec"]["confirmBatchNum"], json!(0));
    })
    .await;
}

#[tokio::test]
async fn unknown_fields_are_dropped_and_kubectl_says_so() {
    in_namespace(Policy::On, |space| async move {
        let mut object = hello();
        put(&mut object, "spec.pause", json!(true));
        put(&mut object, "spec.operationStrategy.currentGroupConfirmation", json!(2));
        put(&mut object, "spec.template.metadata", json!({ "creationTimestamp": null, "name": "x" }));
        space.create("ModuleDeployment", &object, false).await.unwrap();
        let stored = space.get("ModuleDeployment", "hello").await;
        assert_eq!(stored["spec"]["pause"], Value::Null);
        assert_eq!(stored["spec"]["operationStrategy"], json!({}));
        assert_eq!(stored["spec"]["template"]["metadata"], json!({}));

        // Manifests from before December 2023: kubectl refuses them with the names of the fields.
        put(&mut object, "metadata.name", json!("old"));
        let said = space.kubectl_create("ModuleDeployment", &object).await;
        assert!(!said.ok);
        for fragment in
            ["unknown field \"spec.pause\"", "unknown field \"spec.operationStrategy.currentGroupConfirmation\""]
        {
            assert!(said.err.contains(fragment), "{fragment}: {}", said.err);
        }
    })
    .await;
}

#[tokio::test]
async fn labels_and_annotations_of_a_template_are_kept() {
    in_namespace(Policy::On, |space| async move {
        let metadata = json!({
            "labels": { "team": "shop", "example.com/tier": "1" },
            "annotations": { "koupleless.io/restartedAt": "2026-11-20T18:30:52Z", "note": "any text, with: everything" },
        });
        let mut object = hello();
        put(&mut object, "spec.template.metadata", metadata.clone());
        space.create("ModuleDeployment", &object, false).await.unwrap();
        let stored = space.get("ModuleDeployment", "hello").await;
        assert_eq!(stored["spec"]["template"]["metadata"], metadata);

        let replica_set = json!({
            "metadata": { "name": "hello-replicas-1" },
            "spec": { "template": stored["spec"]["template"], "selector": { "matchLabels": { "app": "base" } } },
        });
        space.create("ModuleReplicaSet", &replica_set, false).await.unwrap();
        let stored = space.get("ModuleReplicaSet", "hello-replicas-1").await;
        assert_eq!(stored["spec"], replica_set["spec"]);
    })
    .await;
}

#[tokio::test]
async fn numbers_and_texts_both_pass_where_both_may_stand() {
    in_namespace(Policy::On, |space| async move {
        for (index, (max, target)) in
            [(json!(2), json!(8080)), (json!("25%"), json!("http")), (json!(0), json!(0))].into_iter().enumerate()
        {
            let strategy = json!({
                "maxUnavailable": max,
                "serviceStrategy": { "enableModuleService": true, "port": 80, "targetPort": target },
            });
            let name = format!("hello-{index}");
            let mut object = hello();
            put(&mut object, "metadata.name", json!(name));
            put(&mut object, "spec.operationStrategy", strategy.clone());
            space.create("ModuleDeployment", &object, false).await.unwrap();
            assert_eq!(space.get("ModuleDeployment", &name).await["spec"]["operationStrategy"], strategy);
        }
    })
    .await;
}

#[tokio::test]
async fn a_template_stands_at_the_top_of_its_object() {
    in_namespace(Policy::On, |space| async move {
        let template = hello()["spec"]["template"].clone();
        let object = json!({ "metadata": { "name": "hello" }, "template": template });
        space.create("ModuleTemplate", &object, false).await.unwrap();
        assert_eq!(space.get("ModuleTemplate", "hello").await["template"], template);
        let typed = space.typed::<ModuleTemplate>().get("hello").await.unwrap();
        assert_eq!(typed.template.unwrap().module().unwrap().version, "1.0.0");
        let short = json!({ "metadata": { "name": "short" }, "template": { "spec": { "module": { "name": "m" } } } });
        let refused = space.create("ModuleTemplate", &short, false).await.unwrap_err().to_string();
        assert!(refused.contains("template.spec.module.url: Required value"), "{refused}");
    })
    .await;
}

/// V1's schema asked for no spec. Such an object must not hide the others, and must be deletable.
#[tokio::test]
async fn an_object_without_a_spec_is_listed_and_can_be_patched() {
    in_namespace(Policy::Off, |space| async move {
        for kind in ["ModuleDeployment", "ModuleReplicaSet", "Module"] {
            let object = json!({ "metadata": { "name": "bare", "finalizers": ["koupleless.io/module-existed"] } });
            space.create(kind, &object, false).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
        }
        let all = ListParams::default();
        assert_eq!(space.typed::<ModuleDeployment>().list(&all).await.unwrap().items[0].spec, Default::default());
        assert_eq!(space.typed::<ModuleReplicaSet>().list(&all).await.unwrap().items[0].spec, Default::default());
        assert_eq!(space.typed::<Module>().list(&all).await.unwrap().items[0].spec, Default::default());
        for kind in ["ModuleDeployment", "ModuleReplicaSet", "Module"] {
            let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
            space.api(kind).patch("bare", &merge(), &patch).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
        }
    })
    .await;
}

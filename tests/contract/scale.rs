//! The scale subresource: what `kubectl scale` and autoscalers see and change.

use serde_json::json;

use crate::cluster::{Policy, hello, in_namespace, put};

#[tokio::test]
async fn kubectl_scale_sets_scale_replicas_and_nothing_else() {
    in_namespace(Policy::On, |space| async move {
        let mut object = hello();
        put(&mut object, "spec.replicas", json!(-1));
        let mut stored = space.create("ModuleDeployment", &object, false).await.unwrap();
        stored["status"] = json!({ "replicas": 3, "selector": "module.koupleless.io/hello=true" });
        space.replace("ModuleDeployment", "status", &stored, false).await.unwrap();

        let said = space.kubectl(&["scale", "mddeploy/hello", "--replicas=4"]).await;
        assert!(said.ok, "{}", said.err);
        let after = space.get("ModuleDeployment", "hello").await;
        assert_eq!(after["spec"]["scaleReplicas"], json!(4));
        assert_eq!(after["spec"]["replicas"], json!(-1));

        let scale = space.api("ModuleDeployment").get_scale("hello").await.unwrap();
        assert_eq!(scale.spec.unwrap().replicas, Some(4));
        let status = scale.status.unwrap();
        assert_eq!(status.replicas, 3);
        assert_eq!(status.selector.as_deref(), Some("module.koupleless.io/hello=true"));
    })
    .await;
}

/// The API server has no default for a field that a scale path names, and a default in the schema would be a number
/// of replicas that nobody asked for. So autoscalers see the object once the operator has seen it.
#[tokio::test]
async fn there_is_no_scale_before_the_operator_has_looked() {
    in_namespace(Policy::On, |space| async move {
        space.create("ModuleDeployment", &hello(), false).await.unwrap();
        let refused = space.api("ModuleDeployment").get_scale("hello").await.unwrap_err().to_string();
        assert!(refused.contains("\".spec.scaleReplicas\" does not exist"), "{refused}");
        let said = space.kubectl(&["scale", "mddeploy/hello", "--replicas=4"]).await;
        assert!(said.ok, "kubectl needs no present value: {}", said.err);
    })
    .await;
}

#[tokio::test]
async fn a_negative_scale_is_refused() {
    in_namespace(Policy::On, |space| async move {
        let mut object = hello();
        put(&mut object, "spec.scaleReplicas", json!(2));
        space.create("ModuleDeployment", &object, false).await.unwrap();
        let said = space.kubectl(&["scale", "mddeploy/hello", "--replicas=-1"]).await;
        assert!(!said.ok, "{}", said.out);
        let mut scale = serde_json::to_value(space.api("ModuleDeployment").get_scale("hello").await.unwrap()).unwrap();
        put(&mut scale, "spec.replicas", json!(-1));
        let refused = space.replace("ModuleDeployment", "scale", &scale, false).await.unwrap_err().to_string();
        assert!(refused.contains("should be a non-negative integer"), "{refused}");
        assert_eq!(space.get("ModuleDeployment", "hello").await["spec"]["scaleReplicas"], json!(2));
    })
    .await;
}

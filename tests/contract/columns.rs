//! What `kubectl get` prints.

use serde_json::json;

use crate::cluster::{Policy, hello, in_namespace, put};

fn words(text: &str, line: usize) -> Vec<&str> {
    text.lines().nth(line).unwrap_or_default().split_whitespace().collect()
}

#[tokio::test]
async fn columns_show_what_a_user_asks_first() {
    in_namespace(Policy::On, |space| async move {
        let mut object = hello();
        put(&mut object, "spec.scaleReplicas", json!(2));
        let mut stored = space.create("ModuleDeployment", &object, false).await.unwrap();
        stored["status"] = json!({
            "updatedReplicas": 1, "availableReplicas": 2, "releaseStatus": { "progress": "Executing" },
        });
        space.replace("ModuleDeployment", "status", &stored, false).await.unwrap();
        let said = space.kubectl(&["get", "mddeploy"]).await;
        assert_eq!(
            words(&said.out, 0),
            ["NAME", "MODULE", "VERSION", "DESIRED", "UPDATED", "AVAILABLE", "PHASE", "AGE"],
            "{said:?}"
        );
        assert_eq!(words(&said.out, 1)[..7], ["hello", "hello", "1.0.0", "2", "1", "2", "Executing"], "{said:?}");

        let replica_set = json!({
            "metadata": { "name": "hello-replicas-1" },
            "spec": { "replicas": 2, "template": hello()["spec"]["template"] },
        });
        let mut stored = space.create("ModuleReplicaSet", &replica_set, false).await.unwrap();
        stored["status"] = json!({ "currentReplicas": 2, "availableReplicas": 1 });
        space.replace("ModuleReplicaSet", "status", &stored, false).await.unwrap();
        let said = space.kubectl(&["get", "mdrs"]).await;
        assert_eq!(words(&said.out, 0), ["NAME", "MODULE", "VERSION", "DESIRED", "CURRENT", "AVAILABLE", "AGE"]);
        assert_eq!(words(&said.out, 1)[..6], ["hello-replicas-1", "hello", "1.0.0", "2", "2", "1"], "{said:?}");

        let module = json!({
            "metadata": { "name": "hello-1", "labels": { "koupleless.io/base-instance-name": "base-a" } },
            "spec": { "module": hello()["spec"]["template"]["spec"]["module"] },
        });
        let mut stored = space.create("Module", &module, false).await.unwrap();
        stored["status"] = json!({ "status": "Upgrading", "message": "refused" });
        space.replace("Module", "status", &stored, false).await.unwrap();
        let said = space.kubectl(&["get", "md"]).await;
        assert_eq!(words(&said.out, 0), ["NAME", "MODULE", "VERSION", "BASE", "PHASE", "MESSAGE", "AGE"], "{said:?}");
        assert_eq!(
            words(&said.out, 1)[..6],
            ["hello-1", "hello", "1.0.0", "base-a", "Upgrading", "refused"],
            "{said:?}"
        );

        let said = space.kubectl(&["get", "koupleless", "-o", "name"]).await;
        let mut names: Vec<&str> = said.out.lines().collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "module.koupleless.io/hello-1",
                "moduledeployment.koupleless.io/hello",
                "modulereplicaset.koupleless.io/hello-replicas-1",
            ]
        );
    })
    .await;
}

//! Whose an object is, when names or labels say one thing and owners another.

use std::time::Duration;

use rig::cluster::{Kind, condition, module, scenario, text};
use serde_json::json;

#[test]
fn what_an_orphaning_deletion_left_is_adopted_and_nothing_is_reinstalled() {
    scenario("adopted", |world| async move {
        let pods = world.bases(2).await;
        world.garbage_is_collected().await;
        let spec = module("heir").replicas(2);
        world.deployed(&spec).await;
        world.kubectl(&["delete", "mddeploy", "heir", "--cascade=orphan"]).await;
        world.gone(Kind::ModuleDeployment, "heir").await;
        let left = world.list(Kind::ModuleReplicaSet).await;
        assert_eq!(left.len(), 1, "{left:#?}");

        world.deployed(&spec).await;

        let sets = world.list(Kind::ModuleReplicaSet).await;
        assert_eq!(sets.len(), 1, "{sets:#?}");
        assert_eq!(text(&sets[0], "/metadata/uid"), text(&left[0], "/metadata/uid"));
        let owner = world.deployment("heir").await;
        assert_eq!(text(&sets[0], "/metadata/ownerReferences/0/uid"), text(&owner, "/metadata/uid"));
        for pod in &pods {
            assert_eq!((world.installs(pod, "heir"), world.uninstalls(pod, "heir")), (1, 0));
        }
        world.no_writes_for(Duration::from_secs(3)).await;
    });
}

#[test]
fn a_name_that_somebody_else_has_is_left_to_them_and_counted() {
    scenario("collision", |world| async move {
        let pods = world.bases(1).await;
        let foreign = json!({
            "metadata": { "name": "twin-replicas-1", "labels": { "whose": "another" } },
            "spec": { "replicas": 0 },
        });
        let foreign = world.create(Kind::ModuleReplicaSet, foreign).await;

        let done = world.deployed(&module("twin")).await;

        assert_eq!(done["status"]["collisionCount"], 1);
        assert_eq!(text(&done, "/status/releaseStatus/updateRevision"), "twin-replicas-2");
        assert!(world.event("twin", "NameCollision").await.contains("twin-replicas-1"));
        let now = world.get(Kind::ModuleReplicaSet, "twin-replicas-1").await;
        assert_eq!(text(&now, "/metadata/uid"), text(&foreign, "/metadata/uid"));
        assert!(now["metadata"]["ownerReferences"].is_null());
        world.until_serving(&pods, "twin", "1.0.0", 1).await;
        assert!(condition(&done, "ReplicaFailure").is_none());
    });
}

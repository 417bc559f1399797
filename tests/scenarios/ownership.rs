//! Whose an object is, when names or labels say one thing and owners another.

use std::time::Duration;

use rig::{
    arklet_sim::State,
    cluster::{Kind, SOON, condition, module, scenario, text},
};
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

#[test]
fn a_replica_set_whose_owner_was_taken_off_comes_back() {
    scenario("adopted_again", |world| async move {
        let pods = world.bases(1).await;
        let owner = world.deployed(&module("stray")).await;

        world
            .patch(Kind::ModuleReplicaSet, "stray-replicas-1", json!({ "metadata": { "ownerReferences": null } }))
            .await;

        let look = || async {
            let now = world.get(Kind::ModuleReplicaSet, "stray-replicas-1").await;
            let owned = text(&now, "/metadata/ownerReferences/0/uid") == text(&owner, "/metadata/uid");
            if owned { Ok(()) } else { Err(format!("{}", now["metadata"])) }
        };
        world.eventually(SOON, "it has its owner again", look).await;
        world.completed("stray").await;
        assert_eq!(world.list(Kind::ModuleReplicaSet).await.len(), 1);
        assert_eq!((world.installs(&pods[0], "stray"), world.uninstalls(&pods[0], "stray")), (1, 0));
        world.no_writes_for(Duration::from_secs(2)).await;
    });
}

#[test]
fn a_module_too_many_leaves_and_nothing_else() {
    scenario("one_too_many", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("once")).await;
        let home = world.serving(&pods, "once", "1.0.0")[0].clone();
        let free = pods.iter().find(|pod| **pod != home).expect("a free one").clone();
        let mut extra = world.modules("once").await[0].clone();
        let owner = json!([{ "apiVersion": "v1", "kind": "Pod", "name": free.name, "uid": free.uid }]);
        extra["metadata"] = json!({
            "name": "by-hand", "labels": extra["metadata"]["labels"], "annotations": extra["metadata"]["annotations"],
            "finalizers": extra["metadata"]["finalizers"], "ownerReferences": owner,
        });
        world.base(&free).put("once", "1.0.0", State::Activated);

        world.create(Kind::Module, extra).await;

        world.until_modules("once", "one", |modules| modules.len() == 1).await;
        world.completed("once").await;
        world.until_serving(&pods, "once", "1.0.0", 1).await;
        world.no_writes_for(Duration::from_secs(2)).await;
        let asked: usize = pods.iter().map(|pod| world.installs(pod, "once")).sum();
        let gone: usize = pods.iter().map(|pod| world.uninstalls(pod, "once")).sum();
        assert_eq!((asked, gone), (1, 1));
    });
}

#[test]
fn a_module_that_somebody_edits_is_reinstalled_as_it_should_be() {
    scenario("edited", |world| async move {
        let pods = world.bases(1).await;
        world.deployed(&module("fixed")).await;
        let edited = world.modules("fixed").await[0].clone();

        // As on a cluster without the admission policies.
        let version = json!({ "spec": { "module": { "version": "9.9.9" } } });
        world.patch(Kind::Module, text(&edited, "/metadata/name"), version).await;

        world
            .until_modules("fixed", "one as it should be", |modules| {
                modules.len() == 1
                    && modules[0]["metadata"]["uid"] != edited["metadata"]["uid"]
                    && text(&modules[0], "/spec/module/version") == "1.0.0"
                    && modules[0]["status"]["status"] == "Available"
            })
            .await;
        world.completed("fixed").await;
        let versions: Vec<String> = world.base(&pods[0]).list().into_iter().map(|biz| biz.version).collect();
        assert_eq!(versions, ["1.0.0"]);
        assert!(world.calls(&pods[0]).iter().all(|call| call.version != "9.9.9"), "nobody asked for that one");
    });
}

//! One instance on every base.

use std::time::Duration;

use rig::cluster::{Kind, SOON, module, scenario};
use serde_json::json;

#[test]
fn it_follows_the_base_pods_up_and_down() {
    scenario("peer_follows", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("all").replicas(-1)).await;
        world.until_serving(&pods, "all", "1.0.0", 2).await;

        let pods = world.scale_bases("base", 4).await;
        world.until_serving(&pods, "all", "1.0.0", 4).await;
        let up = world.until("all", "four", |now| now["spec"]["scaleReplicas"] == 4).await;
        assert_eq!(up["spec"]["replicas"], -1);
        world.completed("all").await;

        let pods = world.scale_bases("base", 1).await;
        world.until("all", "one", |now| now["spec"]["scaleReplicas"] == 1).await;
        let down = world.completed("all").await;
        assert_eq!(down["spec"]["replicas"], -1);
        world.until_modules("all", "one, when the others have left", |modules| modules.len() == 1).await;
        assert_eq!(world.installs(&pods[0], "all"), 1);
        world.no_writes_for(Duration::from_secs(3)).await;
    });
}

#[test]
fn it_is_upgraded_in_place() {
    scenario("peer_upgraded", |world| async move {
        let pods = world.bases(3).await;
        world.deployed(&module("all").replicas(-1).policy("uninstall_then_install")).await;
        let began = world.now();

        world.release("all", "2.0.0").await;
        world.completed("all").await;

        world.until_serving(&pods, "all", "2.0.0", 3).await;
        let timeline = world.timeline(&pods, "all");
        assert_eq!((timeline.least_serving(began), timeline.most_versions(began)), (2, 1));
    });
}

#[test]
fn a_scale_is_put_back() {
    scenario("peer_scale", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("all").replicas(-1)).await;

        world.kubectl(&["scale", "mddeploy/all", "--replicas=1"]).await;

        world.until("all", "put back", |now| now["spec"]["scaleReplicas"] == 2).await;
        world.completed("all").await;
        world.until_serving(&pods, "all", "1.0.0", 2).await;
        assert!(pods.iter().all(|pod| world.uninstalls(pod, "all") == 0));
    });
}

#[test]
fn whoever_scales_it_is_told() {
    scenario("peer_told", |world| async move {
        world.bases(2).await;
        world.deployed(&module("all").replicas(-1)).await;

        world.kubectl(&["scale", "mddeploy/all", "--replicas=1"]).await;

        world.until("all", "put back", |now| now["spec"]["scaleReplicas"] == 2).await;
        world.completed("all").await;
        let events = world.events("all").await;
        assert!(events.iter().any(|(_, note)| note.contains("replicas")), "somebody has to be told: {events:?}");
    });
}

#[test]
fn a_new_base_gets_its_module_while_a_batch_waits() {
    scenario("peer_newcomer", |world| async move {
        let pods = world.bases(3).await;
        let spec = module("all").replicas(-1).strategy("batchCount", json!(3)).strategy("needConfirm", json!(true));
        world.deploy(&spec).await;
        world.progress("all", "WaitingForConfirmation").await;
        assert_eq!(world.serving(&pods, "all", "1.0.0").len(), 1, "the first install comes in batches too");
        world.change("all", json!({ "confirmBatchNum": 2 })).await;
        world.completed("all").await;
        world.release("all", "2.0.0").await;
        world.progress("all", "WaitingForConfirmation").await;
        assert_eq!((world.serving(&pods, "all", "1.0.0").len(), world.serving(&pods, "all", "2.0.0").len()), (2, 1));

        let now = world.scale_bases("base", 4).await;

        let newcomer = now.iter().find(|pod| !pods.contains(pod)).expect("a new one").clone();
        let look = || async { world.base(&newcomer).serving("all").map(|_| ()).ok_or("nothing".to_owned()) };
        world.eventually(SOON, "the new base serves", look).await;
        let waiting = world
            .until("all", "four, and it waits", |now| {
                now["status"]["availableReplicas"] == 4
                    && now["status"]["releaseStatus"]["progress"] == "WaitingForConfirmation"
            })
            .await;
        assert_eq!(waiting["status"]["releaseStatus"]["currentBatch"], 1);
        assert_eq!((&waiting["spec"]["replicas"], &waiting["spec"]["scaleReplicas"]), (&json!(-1), &json!(4)));
        assert!(world.serving(&pods, "all", "2.0.0").len() <= 2, "no more than the batch holds: two of four");

        world.change("all", json!({ "confirmBatchNum": 2 })).await;
        let done = world.completed("all").await;
        world.until_serving(&now, "all", "2.0.0", 4).await;
        assert_eq!(done["spec"]["replicas"], -1);
    });
}

#[test]
fn it_goes_with_its_base_deployment() {
    scenario("peer_goes", |world| async move {
        world.bases(2).await;
        world.deployed(&module("all").replicas(-1)).await;

        world.garbage_is_collected().await;
        world.kubectl(&["delete", "deployment", "base", "--wait=false"]).await;

        world.gone(Kind::ModuleDeployment, "all").await;
        assert!(world.list(Kind::Module).await.is_empty());
    });
}

//! How many instances, and where.

use std::time::Duration;

use rig::{
    arklet_sim::Metaspace,
    cluster::{Kind, SOON, base_deployment, condition, module, scenario, text},
};
use serde_json::json;

/// On a base pod.
const MAX: &str = "koupleless.io/max-module-count";

#[test]
fn kubectl_scale_goes_up_and_down() {
    scenario("kubectl_scale", |world| async move {
        let pods = world.bases(4).await;
        world.deployed(&module("size").replicas(1)).await;

        world.kubectl(&["scale", "mddeploy/size", "--replicas=4"]).await;
        world.completed("size").await;
        world.until_serving(&pods, "size", "1.0.0", 4).await;
        let scale = world
            .kubectl(&[
                "get",
                "--raw",
                &format!("/apis/koupleless.io/v1alpha1/namespaces/{}/moduledeployments/size/scale", world.namespace()),
            ])
            .await;
        let scale: serde_json::Value = serde_json::from_str(&scale).expect("JSON");
        assert_eq!((&scale["spec"]["replicas"], &scale["status"]["replicas"]), (&json!(4), &json!(4)));
        assert_eq!(scale["status"]["selector"], "module.koupleless.io/size=true");

        world.kubectl(&["scale", "mddeploy/size", "--replicas=2"]).await;
        world.completed("size").await;
        world.until_serving(&pods, "size", "1.0.0", 2).await;
        let after = world.deployment("size").await;
        assert_eq!(after["spec"]["replicas"], 1, "a user's field stays");
        let left: usize = pods.iter().map(|pod| world.base(pod).list().len()).sum();
        assert_eq!(left, 2);
    });
}

#[test]
fn a_scale_goes_in_no_batches_and_needs_no_confirmation() {
    scenario("an_unbatched_scale", |world| async move {
        let pods = world.bases(4).await;
        world.deployed(&module("grow").replicas(1)).await;
        world.release("grow", "2.0.0").await;
        world.completed("grow").await;
        let careful = json!({ "useBeta": true, "batchCount": 3, "needConfirm": true });
        world.change("grow", json!({ "operationStrategy": careful })).await;

        world.kubectl(&["scale", "mddeploy/grow", "--replicas=4"]).await;

        let look = || async {
            let now = world.deployment("grow").await;
            let progress = text(&now, "/status/releaseStatus/progress");
            assert_eq!(progress, "Completed", "a scale is no release");
            if now["status"]["availableReplicas"] == 4 { Ok(()) } else { Err(format!("{:#}", now["status"])) }
        };
        world.eventually(SOON, "four are available", look).await;
        world.until_serving(&pods, "grow", "2.0.0", 4).await;
    });
}

#[test]
fn a_changed_replicas_field_wins_over_the_scale() {
    scenario("a_changed_replicas_field", |world| async move {
        let pods = world.bases(3).await;
        world.deployed(&module("wins").replicas(1)).await;
        world.kubectl(&["scale", "mddeploy/wins", "--replicas=3"]).await;
        world.completed("wins").await;

        world.change("wins", json!({ "replicas": 2 })).await;
        world.until("wins", "the scale follows", |now| now["spec"]["scaleReplicas"] == 2).await;
        world.completed("wins").await;
        world.until_serving(&pods, "wins", "1.0.0", 2).await;

        world.change("wins", json!({ "replicas": 0 })).await;
        world.completed("wins").await;
        world.until_serving(&pods, "wins", "1.0.0", 0).await;
        world.change("wins", json!({ "replicas": 1 })).await;
        world.completed("wins").await;
        world.until_serving(&pods, "wins", "1.0.0", 1).await;
    });
}

#[test]
fn what_finds_no_base_is_counted_and_placed_when_one_comes() {
    scenario("what_finds_no_base", |world| async move {
        let pods = world.bases(2).await;
        world.deploy(&module("want").replicas(3)).await;

        let shown = world.until_condition("want", "ReplicaFailure", "True", "InsufficientBases").await;
        let message = shown["message"].as_str().expect("a message");
        assert!(message.contains("1 of 3") && message.contains("2 bases: 2 with the module already"), "{message}");
        world.until_serving(&pods, "want", "1.0.0", 2).await;
        let short = world.until("want", "two available", |now| now["status"]["availableReplicas"] == 2).await;
        assert_eq!(condition(&short, "Available").expect("Available")["status"], "False");

        let pods = world.scale_bases("base", 3).await;
        let done = world.completed("want").await;
        world.until_serving(&pods, "want", "1.0.0", 3).await;
        assert_eq!(condition(&done, "ReplicaFailure"), None, "{:#}", done["status"]);
    });
}

#[test]
fn a_full_base_is_not_chosen() {
    scenario("a_full_base", |world| async move {
        let mut manifest = base_deployment("base", 2);
        manifest["spec"]["template"]["metadata"]["labels"][MAX] = json!("1");
        let pods = world.bases_of(manifest).await;
        world.deployed(&module("first").replicas(1)).await;

        world.deploy(&module("second").replicas(2)).await;
        let shown = world.until_condition("second", "ReplicaFailure", "True", "InsufficientBases").await;
        assert!(text(&shown, "/message").contains("1 full"), "{shown}");
        world.until_serving(&pods, "second", "1.0.0", 1).await;
        assert!(pods.iter().all(|pod| world.base(pod).list().len() == 1));

        let full = world.serving(&pods, "first", "1.0.0")[0].clone();
        world.patch(Kind::Pod, &full.name, json!({ "metadata": { "labels": { MAX: "2" } } })).await;
        world.completed("second").await;
        assert_eq!(world.base(&full).list().len(), 2);
    });
}

#[test]
fn a_base_that_is_not_ready_is_not_chosen() {
    scenario("a_base_that_is_not_ready", |world| async move {
        let mut manifest = base_deployment("base", 1);
        manifest["spec"]["template"]["metadata"]["annotations"] = json!({ "rig.koupleless.io/ready": "false" });
        let pods = world.bases_of(manifest).await;

        world.deploy(&module("cold")).await;
        let shown = world.until_condition("cold", "ReplicaFailure", "True", "InsufficientBases").await;
        assert!(text(&shown, "/message").contains("1 base: 1 not ready"), "{shown}");
        assert_eq!(world.installs(&pods[0], "cold"), 0);

        set_ready(&world, &pods[0].name, "True").await;
        world.completed("cold").await;
        assert_eq!(world.base(&pods[0]).serving("cold").as_deref(), Some("1.0.0"));
    });
}

#[test]
fn a_base_that_turns_not_ready_keeps_its_module() {
    scenario("a_base_that_turns_not_ready", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("keep").replicas(1)).await;
        let home = world.serving(&pods, "keep", "1.0.0")[0].clone();

        set_ready(&world, &home.name, "False").await;
        world.no_writes_for(Duration::from_secs(3)).await;

        assert_eq!(world.serving(&pods, "keep", "1.0.0"), [&home]);
        assert_eq!((world.installs(&home, "keep"), world.uninstalls(&home, "keep")), (1, 0));
        assert_eq!(world.modules("keep").await.len(), 1);
        assert_eq!(world.deployment("keep").await["status"]["availableReplicas"], 1);
    });
}

#[test]
fn modules_are_scattered_or_stacked() {
    scenario("modules_are_scattered", |world| async move {
        let pods = world.bases(3).await;
        for name in ["s1", "s2", "s3"] {
            world.deployed(&module(name)).await;
        }
        assert!(pods.iter().all(|pod| world.base(pod).list().len() == 1), "one each");

        world.deployed(&module("t1").field("schedulingStrategy", json!({ "schedulingPolicy": "stacking" }))).await;
        let home = world.serving(&pods, "t1", "1.0.0")[0].clone();
        world.deployed(&module("t2").field("schedulingStrategy", json!({ "schedulingPolicy": "stacking" }))).await;
        assert_eq!(world.serving(&pods, "t2", "1.0.0"), [&home]);
    });
}

async fn set_ready(world: &rig::cluster::World, pod: &str, status: &str) {
    let patch = json!([{ "type": "Ready", "status": status }, { "type": "ContainersReady", "status": status }]);
    let patch = json!({ "status": { "conditions": patch } }).to_string();
    world.kubectl(&["patch", "pod", pod, "--subresource=status", "--type=strategic", "-p", &patch]).await;
}

#[test]
fn a_base_without_free_metaspace_gets_nothing_new() {
    scenario("tight_base", |world| async move {
        let pods = world.bases(1).await;
        let metaspace =
            |committed: u64| Some(Metaspace { max: 100 << 20, committed: committed * 1_048_576, used: 1 << 20 });
        world.base(&pods[0]).configure(|config| config.metaspace = metaspace(95));
        world.deployed(&module("first")).await;
        world
            .eventually(SOON, "the base told how full it is", || async {
                let asked = world.base(&pods[0]).counts().healths;
                if asked >= 2 { Ok(()) } else { Err(format!("asked {asked} times")) }
            })
            .await;

        world.deploy(&module("second")).await;
        let shown = world.until_condition("second", "ReplicaFailure", "True", "InsufficientBases").await;
        assert!(text(&shown, "/message").contains("1 base: 1 without free metaspace"), "{shown}");
        assert_eq!(world.installs(&pods[0], "second"), 0);
        assert_eq!(world.base(&pods[0]).serving("first").as_deref(), Some("1.0.0"), "what it has stays");

        // Nobody has to do with the base any more, but for who waits for it.
        world.undeploy("first").await;
        world.base(&pods[0]).configure(|config| config.metaspace = metaspace(50));
        world.completed("second").await;
        assert_eq!(world.base(&pods[0]).serving("second").as_deref(), Some("1.0.0"));
    });
}

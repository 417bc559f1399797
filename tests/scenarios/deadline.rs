//! Releases that don't get on: said, undone where the user wants it, and tried again.

use std::time::Duration;

use rig::{
    arklet_sim::Behaviour,
    cluster::{Kind, World, condition, module, scenario, text},
};
use serde_json::json;

/// Two instances of 1.0.0, and a jar of 2.0.0 that doesn't start.
async fn with_a_bad_jar(world: &World, name: &str, auto_rollback: bool) -> Vec<rig::cluster::BasePod> {
    let pods = world.bases(2).await;
    let spec = module(name).replicas(2).field("progressDeadlineSeconds", json!(3));
    world.deployed(&spec.strategy("autoRollback", json!(auto_rollback))).await;
    world.jar(name, "2.0.0", Behaviour::fails("java.lang.Error: no licence"));
    pods
}

#[test]
fn a_release_that_does_not_get_on_says_so_and_recovers_when_the_jar_is_mended() {
    scenario("no_progress", |world| async move {
        let pods = with_a_bad_jar(&world, "tax", false).await;
        let began = world.now();

        world.release("tax", "2.0.0").await;

        let late = world.until_condition("tax", "Progressing", "False", "ProgressDeadlineExceeded").await;
        let message = text(&late, "/message");
        assert!(message.contains("3 s") && message.contains("no licence"), "{message}");
        let now = world.deployment("tax").await;
        assert_eq!(condition(&now, "Available").map(|shown| shown["status"].clone()), Some(json!("True")));
        assert_eq!(now["status"]["releaseStatus"]["progress"], "Executing");

        world.jar("tax", "2.0.0", Behaviour::ok());
        let done = world.completed("tax").await;
        let shown = condition(&done, "Progressing").expect("Progressing");
        assert_eq!((text(&shown, "/status"), text(&shown, "/reason")), ("True", "NewReplicaSetAvailable"));
        world.until_serving(&pods, "tax", "2.0.0", 2).await;
        assert!(world.timeline(&pods, "tax").never_interrupted(began));
    });
}

#[test]
fn a_failed_release_is_rolled_back_and_nothing_new_is_tried_until_the_template_changes() {
    scenario("rolled_back", |world| async move {
        let pods = with_a_bad_jar(&world, "fee", true).await;
        let began = world.now();

        world.release("fee", "2.0.0").await;

        let back = world.progress("fee", "Aborted").await;
        assert_eq!(back["spec"]["template"]["spec"]["module"]["version"], "2.0.0", "a user's field stays");
        let why = world.event("fee", "RolledBack").await;
        assert!(why.contains("no licence") && why.contains("spec.template"), "{why}");
        world
            .until_modules("fee", "two of 1.0.0", |modules| {
                let good = |module: &serde_json::Value| text(module, "/spec/module/version") == "1.0.0";
                modules.len() == 2 && modules.iter().all(good)
            })
            .await;
        assert!(world.timeline(&pods, "fee").never_interrupted(began));
        let installs: usize = pods.iter().map(|pod| world.installs(pod, "fee")).sum();
        world.restart_operator().await;
        world.no_writes_for(Duration::from_secs(3)).await;
        let later: usize = pods.iter().map(|pod| world.installs(pod, "fee")).sum();
        assert_eq!(later, installs, "nothing is tried again by itself");

        world.release("fee", "3.0.0").await;

        world.completed("fee").await;
        world.until_serving(&pods, "fee", "3.0.0", 2).await;
        assert!(world.timeline(&pods, "fee").never_interrupted(began));
    });
}

#[test]
fn a_rollback_restores_in_place_what_was_taken_out() {
    scenario("restored_in_place", |world| async move {
        let pods = world.bases(2).await;
        let spec = module("vat").replicas(2).policy("uninstall_then_install");
        let spec = spec.field("progressDeadlineSeconds", json!(3)).strategy("autoRollback", json!(true));
        world.deployed(&spec).await;
        world.jar("vat", "2.0.0", Behaviour::fails("java.lang.Error: no"));
        let began = world.now();

        world.release("vat", "2.0.0").await;

        world.progress("vat", "Aborted").await;
        world.until_serving(&pods, "vat", "1.0.0", 2).await;
        let timeline = world.timeline(&pods, "vat");
        assert_eq!((timeline.least_serving(began), timeline.most_versions(began)), (1, 1));
        world.no_writes_for(Duration::from_secs(3)).await;
    });
}

#[test]
fn a_release_that_waits_for_a_person_is_never_overdue() {
    scenario("never_overdue", |world| async move {
        world.bases(2).await;
        let spec = module("slowly").replicas(2).field("progressDeadlineSeconds", json!(1));
        let spec = spec.strategy("batchCount", json!(2)).strategy("needConfirm", json!(true));
        world.deploy(&spec.strategy("autoRollback", json!(true))).await;
        world.progress("slowly", "WaitingForConfirmation").await;

        world
            .always(Duration::from_secs(3), "no deadline while waiting", || async {
                let now = world.deployment("slowly").await;
                let reason = condition(&now, "Progressing").map(|shown| text(&shown, "/reason").to_owned());
                if reason.as_deref() == Some("WaitingForConfirmation") { Ok(()) } else { Err(format!("{reason:?}")) }
            })
            .await;

        world.change("slowly", json!({ "confirmBatchNum": 1 })).await;
        world.completed("slowly").await;
        assert!(world.list(Kind::ModuleReplicaSet).await.len() == 1);
    });
}

#[test]
fn a_restart_that_does_not_get_on_is_overdue_and_stops_at_one_base() {
    scenario("overdue_restart", |world| async move {
        let pods = world.bases(3).await;
        let spec = module("tin").replicas(3).field("progressDeadlineSeconds", json!(3));
        world.deployed(&spec.strategy("autoRollback", json!(true))).await;
        world.jar("tin", "1.0.0", Behaviour::fails("java.lang.Error: no disk"));
        let began = world.now();

        let order = json!({ "metadata": { "annotations": { "koupleless.io/restartedAt": "1" } } });
        world.change("tin", json!({ "template": order })).await;

        let shown = world.until_condition("tin", "Progressing", "False", "ProgressDeadlineExceeded").await;
        assert!(text(&shown, "/message").contains("restart (0 of 3)"), "{shown}");
        assert!(text(&shown, "/message").contains("no disk"), "{shown}");
        assert_eq!(world.timeline(&pods, "tin").least_serving(began), 2);
        let now = world.deployment("tin").await;
        assert_eq!(text(&now, "/status/releaseStatus/progress"), "Completed", "there is nothing to go back to");

        world.jar("tin", "1.0.0", Behaviour::ok());
        world.until_condition("tin", "Progressing", "True", "NewReplicaSetAvailable").await;
        world.until_serving(&pods, "tin", "1.0.0", 3).await;
        assert!(pods.iter().all(|pod| world.uninstalls(pod, "tin") == 1));
    });
}

//! Releases in batches, with and without somebody to confirm them.

use std::time::Duration;

use rig::cluster::{BasePod, Kind, World, condition, module, scenario, text};
use serde_json::{Value, json};

#[test]
fn a_batch_waits_for_its_confirmation() {
    scenario("a_batch_waits", |world| async move {
        let pods = world.bases(4).await;
        let spec = module("care").replicas(4).strategy("batchCount", json!(2)).strategy("needConfirm", json!(true));
        world.deploy(&spec).await;

        let waiting = world.progress("care", "WaitingForConfirmation").await;
        assert_eq!(waiting["status"]["releaseStatus"]["currentBatch"], 1);
        assert_eq!(waiting["status"]["releaseStatus"]["realBatchCount"], 2);
        assert_eq!(waiting["status"]["releaseStatus"]["batchProgress"], "Completed");
        assert_eq!(condition(&waiting, "Progressing").expect("Progressing")["reason"], "WaitingForConfirmation");
        assert_eq!(world.serving(&pods, "care", "1.0.0").len(), 2);
        assert!(world.event("care", "WaitingForConfirmation").await.contains("confirmBatchNum to 1"));
        world.no_writes_for(Duration::from_secs(3)).await;
        assert_eq!(world.serving(&pods, "care", "1.0.0").len(), 2);

        world.change("care", json!({ "confirmBatchNum": 1 })).await;
        let done = world.completed("care").await;
        assert_eq!(world.serving(&pods, "care", "1.0.0").len(), 4);
        assert_eq!(done["spec"]["confirmBatchNum"], 0, "it doesn't confirm the next release");

        // The next version waits again, and the old one serves where the new one isn't yet.
        world.release("care", "2.0.0").await;
        world.progress("care", "WaitingForConfirmation").await;
        assert_eq!(world.serving(&pods, "care", "2.0.0").len(), 2);
        assert_eq!(world.serving(&pods, "care", "1.0.0").len(), 2);
        world.change("care", json!({ "confirmBatchNum": 1 })).await;
        world.completed("care").await;
        world.until_serving(&pods, "care", "2.0.0", 4).await;
    });
}

/// Three batches on three bases that each wait, with a confirmation that stands there from the beginning.
async fn with_a_stale_confirmation(world: &World, name: &str, confirm: u32) -> Vec<BasePod> {
    let pods = world.bases(3).await;
    let spec = module(name).replicas(3).strategy("batchCount", json!(3)).strategy("needConfirm", json!(true));
    world.deploy(&spec.field("confirmBatchNum", json!(confirm))).await;
    until_waiting(world, name, 1).await;
    assert_eq!(world.serving(&pods, name, "1.0.0").len(), 1, "what stood there before confirms nothing");
    pods
}

/// Waits until a batch waits for its confirmation, and gives what is said of it.
async fn until_waiting(world: &World, name: &str, batch: u32) -> String {
    let waits = |now: &Value| {
        let release = &now["status"]["releaseStatus"];
        release["progress"] == "WaitingForConfirmation" && release["currentBatch"] == batch
    };
    let now = world.until(name, &format!("batch {batch} waits"), waits).await;
    text(&condition(&now, "Progressing").expect("Progressing"), "/message").to_owned()
}

#[test]
fn a_confirmation_from_before_the_release_does_not_count_and_a_new_one_does() {
    scenario("a_stale_confirmation", |world| async move {
        let pods = with_a_stale_confirmation(&world, "early", 3).await;
        let said = world.event("early", "WaitingForConfirmation").await;
        assert!(said.contains("is 3 from before this release") && said.contains("set it to 1"), "{said}");

        world.change("early", json!({ "confirmBatchNum": 1 })).await;

        until_waiting(&world, "early", 2).await;
        world.no_writes_for(Duration::from_secs(2)).await;
        assert_eq!(world.serving(&pods, "early", "1.0.0").len(), 2, "on to the second batch only");
        world.change("early", json!({ "confirmBatchNum": 2 })).await;
        world.completed("early").await;
    });
}

#[test]
fn who_confirms_with_the_number_that_stands_there_is_told_what_to_do() {
    scenario("the_same_confirmation", |world| async move {
        let pods = with_a_stale_confirmation(&world, "same", 1).await;
        let message = until_waiting(&world, "same", 1).await;
        assert!(message.contains("set it to 0 and then to 1"), "{message}");

        world.change("same", json!({ "confirmBatchNum": 0 })).await;
        let message = until_waiting(&world, "same", 1).await;
        assert!(message.ends_with("set spec.confirmBatchNum to 1 to go on"), "{message}");
        world.change("same", json!({ "confirmBatchNum": 1 })).await;

        until_waiting(&world, "same", 2).await;
        assert_eq!(world.serving(&pods, "same", "1.0.0").len(), 2);
    });
}

#[test]
fn gray_time_ends_by_itself_and_outlives_a_restart() {
    scenario("gray_time", |world| async move {
        let pods = world.bases(2).await;
        let spec = module("gray").replicas(2).strategy("batchCount", json!(2));
        world.deploy(&spec.strategy("grayTimeBetweenBatchSeconds", json!(5))).await;

        let paused = world.progress("gray", "Paused").await;
        let resume = paused["status"]["releaseStatus"]["nextReconcileTime"].clone();
        assert!(resume.is_string(), "{paused:#}");
        assert_eq!(world.serving(&pods, "gray", "1.0.0").len(), 1);
        let began = world.now();

        world.restart_operator().await;
        world
            .always(Duration::from_secs(2), "the pause isn't begun again", || async {
                let now = world.deployment("gray").await;
                let next = &now["status"]["releaseStatus"]["nextReconcileTime"];
                if *next == resume { Ok(()) } else { Err(format!("{next}")) }
            })
            .await;
        world.completed("gray").await;
        assert_eq!(world.serving(&pods, "gray", "1.0.0").len(), 2);
        assert!(world.now() - began >= Duration::from_secs(3), "{:?}", world.now() - began);
        assert!(world.now() - began < Duration::from_secs(15), "{:?}", world.now() - began);
    });
}

#[test]
fn a_beta_batch_is_exactly_one_and_waits() {
    scenario("a_beta_batch", |world| async move {
        let pods = world.bases(3).await;
        world.deployed(&module("beta").replicas(3).strategy("useBeta", json!(true))).await;

        world.release("beta", "2.0.0").await;
        let waiting = world.progress("beta", "WaitingForConfirmation").await;
        assert_eq!(waiting["status"]["releaseStatus"]["realBatchCount"], 2);
        assert_eq!(world.serving(&pods, "beta", "2.0.0").len(), 1);
        assert_eq!(world.serving(&pods, "beta", "1.0.0").len(), 2);

        world.change("beta", json!({ "confirmBatchNum": 7 })).await;
        world.completed("beta").await;
        world.until_serving(&pods, "beta", "2.0.0", 3).await;
    });
}

#[test]
fn a_paused_deployment_scales_and_does_not_release() {
    scenario("a_paused_deployment", |world| async move {
        let pods = world.bases(3).await;
        world.deployed(&module("hold").replicas(2)).await;

        world.change("hold", json!({ "paused": true })).await;
        world.release("hold", "2.0.0").await;
        world.until_condition("hold", "Progressing", "Unknown", "DeploymentPaused").await;
        world.kubectl(&["scale", "mddeploy/hold", "--replicas=3"]).await;
        world.until_serving(&pods, "hold", "1.0.0", 3).await;
        world.no_writes_for(Duration::from_secs(2)).await;
        assert_eq!(world.serving(&pods, "hold", "1.0.0").len(), 3);

        world.change("hold", json!({ "paused": false })).await;
        world.completed("hold").await;
        world.until_serving(&pods, "hold", "2.0.0", 3).await;
    });
}

#[test]
fn what_is_created_paused_begins_when_it_is_not() {
    scenario("created_paused", |world| async move {
        let pods = world.bases(2).await;
        world.deploy(&module("later").replicas(2).field("paused", json!(true))).await;
        world.until_condition("later", "Progressing", "Unknown", "DeploymentPaused").await;
        world.no_writes_for(Duration::from_secs(2)).await;
        assert!(world.list(Kind::Module).await.is_empty());

        world.change("later", json!({ "paused": false })).await;

        world.completed("later").await;
        world.until_serving(&pods, "later", "1.0.0", 2).await;
    });
}

#[test]
fn a_confirmation_waited_for_survives_a_restart() {
    scenario("a_confirmation", |world| async move {
        let pods = world.bases(2).await;
        let spec = module("wait").replicas(2).strategy("batchCount", json!(2)).strategy("needConfirm", json!(true));
        world.deploy(&spec).await;
        world.progress("wait", "WaitingForConfirmation").await;

        world.restart_operator().await;
        world.no_writes_for(Duration::from_secs(3)).await;

        assert_eq!(world.serving(&pods, "wait", "1.0.0").len(), 1);
        assert_eq!(world.list(Kind::Module).await.len(), 1);
        assert_eq!(world.deployment("wait").await["status"]["releaseStatus"]["progress"], "WaitingForConfirmation");
    });
}

//! Manifests that users of V1 wrote (`tests/fixtures/v1-manifests`), as they stand: each does what its author meant.

use std::{path::Path, time::Duration};

use rig::{
    arklet_sim::State,
    cluster::{BasePod, World, scenario},
};
use serde_json::{Value, json};

async fn apply(world: &World, manifest: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1-manifests");
    let file = folder.join(manifest).with_extension("yaml");
    world.kubectl(&["apply", "-f", file.to_str().expect("a path in UTF-8")]).await;
}

/// Confirms each of three batches but the last; `counts` are the bases that have the version after each.
async fn confirm_three_batches(
    world: &World,
    name: &str,
    version: &str,
    pods: &[BasePod],
    counts: [usize; 3],
) -> Value {
    for (batch, count) in (1..3).zip(counts) {
        let waits = |now: &Value| {
            let release = &now["status"]["releaseStatus"];
            release["progress"] == "WaitingForConfirmation" && release["currentBatch"] == batch
        };
        let waiting = world.until(name, &format!("batch {batch} waits to be confirmed"), waits).await;
        assert_eq!(waiting["status"]["releaseStatus"]["realBatchCount"], 3);
        world.no_writes_for(Duration::from_secs(1)).await;
        assert_eq!(world.serving(pods, name, version).len(), count, "batch {batch} of {version}");
        world.change(name, json!({ "confirmBatchNum": batch })).await;
    }
    let done = world.completed(name).await;
    assert_eq!(done["spec"]["confirmBatchNum"], 0, "the next release is not confirmed by this");
    world.until_serving(pods, name, version, counts[2]).await;
    done
}

#[test]
fn a_single_batch_never_waits_for_gray_time() {
    scenario("v1_once", |world| async move {
        let pods = world.bases(2).await;
        apply(&world, "once").await;
        world.completed("once").await;
        world.until_serving(&pods, "once", "1.0.0", 2).await;
        let began = world.now();

        world.release("once", "2.0.0").await;
        let done = world.completed("once").await;

        assert!(world.now() - began < Duration::from_secs(60), "{:?}", world.now() - began);
        assert_eq!(done["status"]["releaseStatus"]["nextReconcileTime"], Value::Null);
        world.until_serving(&pods, "once", "2.0.0", 2).await;
        let timeline = world.timeline(&pods, "once");
        assert!(timeline.never_interrupted(began), "{timeline:#?}");
        assert_eq!(timeline.most_versions(began), 2, "in place, the new one beside the old one");
    });
}

#[test]
fn three_batches_with_confirmation_take_one_base_at_a_time() {
    scenario("v1_confirmed", |world| async move {
        let pods = world.bases(3).await;
        apply(&world, "confirmed").await;
        confirm_three_batches(&world, "confirmed", "1.0.0", &pods, [1, 2, 3]).await;
        let began = world.now();

        world.release("confirmed", "2.0.0").await;
        confirm_three_batches(&world, "confirmed", "2.0.0", &pods, [1, 2, 3]).await;

        assert!(world.timeline(&pods, "confirmed").never_interrupted(began));
    });
}

#[test]
fn two_of_three_bases_are_upgraded_over_the_free_one() {
    scenario("v1_moved", |world| async move {
        let pods = world.bases(3).await;
        apply(&world, "moved").await;
        world.completed("moved").await;
        let (old, free): (Vec<_>, Vec<_>) = pods.iter().partition(|pod| world.installs(pod, "moved") == 1);
        assert_eq!((old.len(), free.len()), (2, 1));
        let began = world.now();

        world.release("moved", "2.0.0").await;
        world.completed("moved").await;

        world.until_serving(&pods, "moved", "2.0.0", 2).await;
        let timeline = world.timeline(&pods, "moved");
        assert_eq!(timeline.least_serving(began), 2, "{timeline:#?}");
        assert_eq!(timeline.most_versions(began), 1);
        let came = |pod: &BasePod| timeline.entered(pod, "2.0.0", Some(State::Activated));
        let left = |pod: &BasePod| timeline.entered(pod, "1.0.0", None).expect("the old one left");
        // One for one: each old one leaves after a new one has come, and the base that it frees takes the second.
        let first = came(free[0]).expect("the free base comes first");
        assert!(old.iter().all(|pod| left(pod) > first));
        let second = old.iter().find_map(|pod| came(pod)).expect("the second new one is on a base that was freed");
        assert!(old.iter().any(|pod| left(pod) < second) && old.iter().any(|pod| left(pod) > second));
        assert_eq!(world.pods("base").await, pods, "no base pod is ever deleted");
    });
}

#[test]
fn one_on_every_base_follows_the_pods_at_once_and_a_new_version_in_batches() {
    scenario("v1_everywhere", |world| async move {
        let pods = world.bases(3).await;
        apply(&world, "everywhere").await;
        confirm_three_batches(&world, "everywhere", "1.0.0", &pods, [1, 2, 3]).await;

        let pods = world.scale_bases("base", 4).await;
        world.until("everywhere", "four", |now| now["spec"]["scaleReplicas"] == 4).await;
        world.completed("everywhere").await;
        world.until_serving(&pods, "everywhere", "1.0.0", 4).await;
        let began = world.now();

        world.release("everywhere", "2.0.0").await;
        let done = confirm_three_batches(&world, "everywhere", "2.0.0", &pods, [2, 3, 4]).await;

        assert_eq!(done["spec"]["replicas"], -1, "it stays on every base");
        assert!(world.timeline(&pods, "everywhere").never_interrupted(began));
    });
}

//! A V1 that still runs: nothing is done beside it.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use rig::cluster::{Kind, SOON, World, module, text};
use serde_json::{Value, json};

use crate::{process::Process, v1::story};

/// V1 as its samples install it: one pod, no leader election.
pub async fn start_v1(world: &World) {
    let manifest = json!({
        "metadata": { "name": "module-deployment-controller" },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": "module-deployment" } },
            "template": {
                "metadata": { "labels": { "app": "module-deployment" } },
                "spec": {
                    "serviceAccountName": "controller-manager",
                    "containers": [{ "name": "module-deployment", "image": "registry.example.com/module-deployment:v1.0.0" }],
                },
            },
        },
    });
    world.create(Kind::Deployment, manifest).await;
    world.running("module-deployment", 1).await;
}

async fn scale_v1(world: &World, replicas: u32) {
    let patch = json!({ "spec": { "replicas": replicas } });
    world.patch(Kind::Deployment, "module-deployment-controller", patch).await;
}

/// Nothing was done for a while.
async fn nothing_is_done(world: &World, name: &str) {
    world.no_writes_for(Duration::from_secs(3)).await;
    let now = world.deployment(name).await;
    assert_eq!((&now["status"], &now["metadata"]["finalizers"]), (&Value::Null, &Value::Null));
    assert!(world.list(Kind::ModuleReplicaSet).await.is_empty());
}

#[test]
fn a_v1_without_an_election_is_waited_for_and_one_that_comes_back_is_left_the_field() {
    story("a_running_v1", |world| async move {
        let pods = world.bases(1).await;
        world.deploy(&module("shop")).await;
        start_v1(&world).await;

        let mut process = Process::start(&world, &[]).await;
        process.refuses(&world, "the Go ModuleController V1 runs in pod").await;
        nothing_is_done(&world, "shop").await;
        let events = world.list(Kind::Event).await;
        let told = events.iter().find(|event| event["reason"] == "PredecessorRuns").expect("an Event");
        assert!(text(told, "/regarding/name").starts_with("module-deployment-controller-"), "{told:#}");

        scale_v1(&world, 0).await;
        world.completed("shop").await;
        process.ready(&world).await;
        assert_eq!(world.installs(&pods[0], "shop"), 1);

        scale_v1(&world, 1).await;
        let ended = process.ended().await;
        assert_eq!(ended.code(), Some(1), "{}", process.log());
        assert!(process.log().contains("waits when it is started again"), "{}", process.log());
    });
}

/// This operator's manifests over V1's: another label on the pods, and the new pod has to be ready before V1's goes.
#[test]
fn a_rolling_update_from_v1_goes_on_while_its_pod_is_waited_for() {
    story("a_rolling_v1", |world| async move {
        world.bases(1).await;
        world.deploy(&module("shop")).await;
        start_v1(&world).await;
        let container = json!({ "name": "module-deployment", "image": "registry.example.com/module-controller:2.0.0" });
        let ours = json!({
            "metadata": { "labels": { "app.kubernetes.io/name": "module-controller" } },
            "spec": { "containers": [container] },
        });
        // Not available for long enough, so that V1's pod stays.
        let patch = json!({ "spec": { "minReadySeconds": 300, "template": ours } });
        world.patch(Kind::Deployment, "module-deployment-controller", patch).await;
        world.running("module-deployment", 2).await;
        let new = |pod: &&Value| pod["metadata"]["labels"]["app.kubernetes.io/name"] == "module-controller";
        let pods = world.list(Kind::Pod).await;
        let own = text(pods.iter().find(new).expect("the new pod"), "/metadata/name");

        let process = Process::start_in(&world, own, &[]).await;
        process.ready(&world).await;
        let waits = || async { process.log().contains("runs in pod").then_some(()).ok_or_else(|| process.log()) };
        world.eventually(SOON, "it waits for V1", waits).await;
        process.ready(&world).await;
        nothing_is_done(&world, "shop").await;

        let patch = json!({ "spec": { "minReadySeconds": 0 } });
        world.patch(Kind::Deployment, "module-deployment-controller", patch).await;
        world.completed("shop").await;
    });
}

#[test]
fn a_v1_that_renews_its_lease_is_waited_for_whatever_its_clock_says() {
    story("a_renewed_lease", |world| async move {
        world.bases(1).await;
        world.deploy(&module("shop")).await;
        let leases: Api<Lease> = Api::namespaced(world.client(), world.namespace());
        let lease = json!({
            "metadata": { "name": "2245841c.koupleless.io" },
            "spec": { "holderIdentity": "v1_0", "leaseDurationSeconds": 3, "renewTime": "2001-01-01T00:00:00.000000Z" },
        });
        leases.create(&PostParams::default(), &serde_json::from_value(lease).expect("a Lease")).await.expect("a Lease");
        let renewed = leases.clone();
        let renewing = tokio::spawn(async move {
            for second in 1.. {
                tokio::time::sleep(Duration::from_secs(1)).await;
                // Years behind this machine's clock.
                let time = format!("2001-01-01T00:{:02}:{:02}.000000Z", second / 60 % 60, second % 60);
                let patch = Patch::Merge(json!({ "spec": { "renewTime": time } }));
                renewed.patch("2245841c.koupleless.io", &PatchParams::default(), &patch).await.expect("a renewal");
            }
        });

        let process = Process::start(&world, &[]).await;
        process.refuses(&world, "renews the Lease").await;
        nothing_is_done(&world, "shop").await;

        renewing.abort();
        world.completed("shop").await;
        process.ready(&world).await;
    });
}

#[test]
fn who_knows_better_overrides_it() {
    story("an_ignored_v1", |world| async move {
        world.bases(1).await;
        world.deploy(&module("shop")).await;
        start_v1(&world).await;
        let process = Process::start(&world, &["--ignore-v1"]).await;
        world.completed("shop").await;
        process.ready(&world).await;
    });
}

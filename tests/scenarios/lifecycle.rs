//! From the first install to what a user sees of it.

use std::time::Duration;

use futures::StreamExt;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams},
    core::GroupVersionKind,
};
use rig::{
    arklet_sim::Behaviour,
    cluster::{Kind, World, condition, module, scenario, text},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

#[test]
fn an_installed_module_is_shown_everywhere() {
    scenario("an_installed_module", |world| async move {
        let pods = world.bases(3).await;

        let shop = world.deployed(&module("shop").replicas(2)).await;

        let status = &shop["status"];
        for count in ["replicas", "availableReplicas", "readyReplicas", "updatedReplicas", "updatedAvailableReplicas"] {
            assert_eq!(status[count], 2, "{count}: {status:#}");
        }
        assert_eq!(status["unavailableReplicas"], 0);
        assert_eq!(status["observedGeneration"], shop["metadata"]["generation"]);
        assert_eq!(status["releaseStatus"]["updateRevision"], "shop-replicas-1");
        assert_eq!(status["conditions"].as_array().map(Vec::len), Some(2), "{status:#}");
        for (type_, reason) in [("Available", "MinimumReplicasAvailable"), ("Progressing", "NewReplicaSetAvailable")] {
            let found = condition(&shop, type_).expect(type_);
            assert_eq!((&found["status"], &found["reason"]), (&json!("True"), &json!(reason)));
            assert!(!text(&found, "/last_transition_time").is_empty() && !text(&found, "/message").is_empty());
        }
        let modules = world.modules("shop").await;
        assert_eq!(modules.len(), 2);
        for module in &modules {
            assert_eq!(module["status"]["status"], "Available", "{module:#}");
            let url = world.url("shop", "1.0.0");
            assert_eq!(module["status"]["installed"], json!({ "name": "shop", "version": "1.0.0", "url": url }));
            assert_eq!(text(module, "/metadata/finalizers/0"), "koupleless.io/allocate-pod");
        }
        world.until_serving(&pods, "shop", "1.0.0", 2).await;
        let row = world.kubectl(&["get", "mddeploy", "shop", "--no-headers"]).await;
        let columns: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(columns[..7], ["shop", "shop", "1.0.0", "2", "2", "2", "Completed"], "{row}");
        for pod in &pods {
            let installs = world.installs(pod, "shop");
            assert!(installs <= 1, "{} was asked {installs} times", pod.name);
        }
        world.no_writes_for(Duration::from_secs(4)).await;
    });
}

#[test]
fn completed_means_that_the_module_is_active() {
    scenario("completed_means", |world| async move {
        let pods = world.bases(1).await;
        world.jar("slow", "1.0.0", Behaviour::ok().slow(Duration::from_secs(4)));

        world.deploy(&module("slow")).await;

        world.progress("slow", "Executing").await;
        world
            .until_modules("slow", "Upgrading", |modules| {
                modules.len() == 1 && modules[0]["status"]["status"] == "Upgrading"
            })
            .await;
        let executing = world.deployment("slow").await;
        assert!(world.base(&pods[0]).serving("slow").is_none());
        assert_eq!(executing["status"]["availableReplicas"], 0);
        assert_eq!(condition(&executing, "Available").expect("Available")["status"], "False");

        world.completed("slow").await;
        assert_eq!(world.base(&pods[0]).serving("slow").as_deref(), Some("1.0.0"));
        assert_eq!(world.installs(&pods[0], "slow"), 1);
    });
}

#[test]
fn minimum_ready_time_is_waited_for() {
    scenario("minimum_ready_time", |world| async move {
        let pods = world.bases(1).await;

        world.deploy(&module("soak").field("minReadySeconds", json!(4))).await;
        world.until_serving(&pods, "soak", "1.0.0", 1).await;
        let active = world.now();

        let soaking = world
            .until("soak", "ready and not available", |now| {
                now["status"]["readyReplicas"] == 1 && now["status"]["availableReplicas"] == 0
            })
            .await;
        assert_eq!(soaking["status"]["releaseStatus"]["progress"], "Executing");
        let early = condition(&soaking, "Available").expect("Available");
        assert_eq!((&early["status"], &early["reason"]), (&json!("False"), &json!("MinimumReplicasUnavailable")));
        let done = world.completed("soak").await;
        let late = condition(&done, "Available").expect("Available");
        assert_eq!((&late["status"], &late["reason"]), (&json!("True"), &json!("MinimumReplicasAvailable")));
        assert_ne!(late["last_transition_time"], early["last_transition_time"], "it flipped");
        assert!(world.now() - active >= Duration::from_millis(3900), "{:?}", world.now() - active);
    });
}

/// Notes every word that the release of a deployment shows, from now until the object is gone.
async fn words_of(world: &World, name: &str) -> JoinHandle<Vec<String>> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("koupleless.io", "v1alpha1", "ModuleDeployment"));
    let api: Api<DynamicObject> = Api::namespaced_with(world.client(), world.namespace(), &resource);
    let only = ListParams::default().fields(&format!("metadata.name={name}"));
    let version = api.list(&only).await.expect("a list").metadata.resource_version.expect("a version");
    let only = WatchParams::default().fields(&format!("metadata.name={name}"));
    tokio::spawn(async move {
        let mut events = api.watch(&only, &version).await.expect("a watch").boxed();
        let mut words: Vec<String> = Vec::new();
        while let Some(Ok(event)) = events.next().await {
            let (WatchEvent::Added(now) | WatchEvent::Modified(now)) = event else { break };
            let word = now.data.pointer("/status/releaseStatus/progress").and_then(Value::as_str);
            words.extend(word.filter(|word| words.last().is_none_or(|last| last != word)).map(str::to_owned));
        }
        words
    })
}

#[test]
fn a_release_shows_each_of_its_states() {
    scenario("a_release_shows", |world| async move {
        let words = words_of(&world, "walk").await;
        let spec = module("walk").replicas(2).strategy("batchCount", json!(2)).strategy("needConfirm", json!(true));
        world.deploy(&spec).await;
        world.progress("walk", "Init").await;
        world.bases(2).await;
        let waiting = world.progress("walk", "WaitingForConfirmation").await;
        assert_eq!(waiting["status"]["releaseStatus"]["originalDeltaReplicas"], 2);
        world.change("walk", json!({ "confirmBatchNum": 1 })).await;
        world.completed("walk").await;
        let gray = json!({ "needConfirm": false, "grayTimeBetweenBatchSeconds": 1 });
        world.change("walk", json!({ "operationStrategy": gray })).await;
        world.release("walk", "2.0.0").await;
        world.completed("walk").await;

        let held =
            json!(["koupleless.io/module-replicaset-existed", "koupleless.io/module-existed", "rig.example/held"]);
        world.patch(Kind::ModuleDeployment, "walk", json!({ "metadata": { "finalizers": held } })).await;
        world.delete(Kind::ModuleDeployment, "walk").await;
        world.progress("walk", "Terminated").await;
        let free = json!({ "metadata": { "finalizers": null } });
        world.patch(Kind::ModuleDeployment, "walk", free).await;
        world.gone(Kind::ModuleDeployment, "walk").await;

        let seen = words.await.expect("all was noted");
        let first = ["Init", "Executing", "WaitingForConfirmation", "Executing", "Completed"];
        let then = ["Executing", "Paused", "Executing", "Completed", "Terminating", "Terminated"];
        assert_eq!(seen, [&first[..], &then[..]].concat());
    });
}

#[test]
fn a_repeated_spec_changes_nothing() {
    scenario("a_repeated_spec", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("same").replicas(2)).await;

        world.patch(Kind::ModuleDeployment, "same", json!({ "metadata": { "labels": { "team": "a" } } })).await;
        world.release("same", "1.0.0").await;
        world.restart_operator().await;
        world.no_writes_for(Duration::from_secs(4)).await;

        for pod in &pods {
            assert_eq!((world.installs(pod, "same"), world.uninstalls(pod, "same")), (1, 0));
        }
        assert_eq!(world.list(Kind::ModuleReplicaSet).await.len(), 1);
    });
}

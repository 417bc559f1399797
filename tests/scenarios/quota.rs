//! An API server that refuses what the operator wants to create: told where one looks for it, and made good when it may.

use std::time::Duration;

use rig::cluster::{Kind, SOON, World, condition, module, scenario, text};
use serde_json::json;

/// Waits for the condition of a refused creation on an object, and gives its message.
async fn until_refused(world: &World, kind: Kind, name: &str) -> String {
    let look = || async {
        let now = world.get(kind, name).await;
        let failure = condition(&now, "ReplicaFailure");
        let refused = failure.filter(|failure| failure["status"] == "True" && failure["reason"] == "FailedCreate");
        refused.map(|failure| text(&failure, "/message").to_owned()).ok_or_else(|| format!("{:#}", now["status"]))
    };
    world.eventually(SOON, &format!("{kind:?} {name} tells of a refusal"), look).await
}

/// Waits until neither the deployment nor its replica set says that something fails.
async fn until_cleared(world: &World, deployment: &str, set: &str) {
    let look = || async {
        let both = [world.get(Kind::ModuleDeployment, deployment).await, world.get(Kind::ModuleReplicaSet, set).await];
        let left: Vec<_> = both.iter().filter_map(|object| condition(object, "ReplicaFailure")).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    };
    world.eventually(SOON, "no failure is told any more", look).await;
}

#[test]
fn what_a_quota_refuses_is_told_and_comes_when_the_quota_is_lifted() {
    scenario("a_quota_of_modules", |world| async move {
        let pods = world.bases(3).await;
        world.quota("modules", 2).await;
        world.deploy(&module("many").replicas(3)).await;

        for (kind, name) in [(Kind::ModuleDeployment, "many"), (Kind::ModuleReplicaSet, "many-replicas-1")] {
            let message = until_refused(&world, kind, name).await;
            assert!(message.contains("exceeded quota") && message.contains("2 of 3"), "{kind:?}: {message}");
        }
        assert!(world.event("many-replicas-1", "FailedCreate").await.contains("exceeded quota"));
        let short = world.until("many", "two available", |now| now["status"]["availableReplicas"] == 2).await;
        assert_eq!(condition(&short, "Available").expect("Available")["status"], "False");
        assert_ne!(short["status"]["releaseStatus"]["progress"], "Completed");
        world.until_serving(&pods, "many", "1.0.0", 2).await;
        world.no_writes_for(Duration::from_secs(3)).await;
        let tried = world.creates("modules", "forbidden").await;
        assert!((1.0..=15.0).contains(&tried), "tried {tried} times, and is to wait longer each time");

        world.lift_quota().await;
        world.completed("many").await;
        world.until_serving(&pods, "many", "1.0.0", 3).await;
        until_cleared(&world, "many", "many-replicas-1").await;
    });
}

#[test]
fn a_scale_down_to_what_the_quota_allows_clears_the_failure() {
    scenario("a_scale_down_below_the_quota", |world| async move {
        let pods = world.bases(3).await;
        world.quota("modules", 2).await;
        world.deploy(&module("less").replicas(3)).await;
        until_refused(&world, Kind::ModuleDeployment, "less").await;

        world.kubectl(&["scale", "mddeploy/less", "--replicas=2"]).await;

        world.completed("less").await;
        until_cleared(&world, "less", "less-replicas-1").await;
        assert_eq!(world.serving(&pods, "less", "1.0.0").len(), 2);
    });
}

#[test]
fn an_upgrade_that_a_quota_refuses_leaves_the_old_version_serving_everywhere() {
    scenario("an_upgrade_under_a_quota", |world| async move {
        let pods = world.bases(2).await;
        for (name, policy) in [("beside", "install_then_uninstall"), ("after", "uninstall_then_install")] {
            world.deployed(&module(name).replicas(2).policy(policy)).await;
        }
        world.quota("modules", 4).await;
        let began = world.now();

        for name in ["beside", "after"] {
            world.release(name, "2.0.0").await;
        }
        for name in ["beside", "after"] {
            until_refused(&world, Kind::ModuleDeployment, name).await;
        }
        world.no_writes_for(Duration::from_secs(3)).await;
        for name in ["beside", "after"] {
            let timeline = world.timeline(&pods, name);
            assert!(timeline.never_interrupted(began), "{name}: {timeline:#?}");
            assert_eq!(world.serving(&pods, name, "1.0.0").len(), 2, "{name}");
        }

        world.lift_quota().await;
        for name in ["beside", "after"] {
            world.completed(name).await;
            world.until_serving(&pods, name, "2.0.0", 2).await;
            until_cleared(&world, name, &format!("{name}-replicas-2")).await;
        }
        assert!(world.timeline(&pods, "beside").never_interrupted(began));
        assert_eq!(world.timeline(&pods, "after").least_serving(began), 1);
    });
}

#[test]
fn a_revision_that_a_quota_refuses_is_told_and_comes_when_the_quota_is_lifted() {
    scenario("a_quota_of_replica_sets", |world| async move {
        let pods = world.bases(3).await;
        world.deployed(&module("next").replicas(2).policy("uninstall_then_install")).await;
        world.quota("modulereplicasets", 1).await;
        let began = world.now();

        world.release("next", "2.0.0").await;
        let message = until_refused(&world, Kind::ModuleDeployment, "next").await;
        assert!(message.contains("next-replicas-2") && message.contains("exceeded quota"), "{message}");
        assert!(world.event("next", "FailedCreate").await.contains("exceeded quota"));
        let told = world.deployment("next").await;
        assert_eq!(told["status"]["observedGeneration"], told["metadata"]["generation"]);
        assert_ne!(told["status"]["releaseStatus"]["progress"], "Completed");
        world.no_writes_for(Duration::from_secs(3)).await;
        let tried = world.creates("modulereplicasets", "forbidden").await;
        assert!((1.0..=10.0).contains(&tried), "tried {tried} times, and is to wait longer each time");
        let timeline = world.timeline(&pods, "next");
        assert_eq!(timeline.least_serving(began), 2, "{timeline:#?}");
        world.kubectl(&["scale", "mddeploy/next", "--replicas=3"]).await;
        world.until_serving(&pods, "next", "1.0.0", 3).await;

        world.lift_quota().await;
        world.completed("next").await;
        world.until_serving(&pods, "next", "2.0.0", 3).await;
        until_cleared(&world, "next", "next-replicas-2").await;
    });
}

#[test]
fn an_admission_webhook_that_cannot_be_reached_is_told_and_what_it_held_back_comes_when_it_is_gone() {
    scenario("a_webhook_out_of_reach", |world| async move {
        let pods = world.bases(1).await;
        let name = format!("{}-out-of-reach", world.namespace());
        let nobody = "https://127.0.0.1:1/";
        let webhook = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": name },
            "webhooks": [{
                "name": "nobody.example.com", "clientConfig": { "url": nobody }, "failurePolicy": "Fail",
                "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 1,
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": world.namespace() } },
                "rules": [{
                    "apiGroups": ["koupleless.io"], "apiVersions": ["*"], "operations": ["CREATE"],
                    "resources": ["modules"],
                }],
            }],
        });
        world.apply_anywhere(&webhook.to_string()).await;
        world.deploy(&module("unasked")).await;

        let message = until_refused(&world, Kind::ModuleDeployment, "unasked").await;
        assert!(message.contains("nobody.example.com"), "{message}");

        world.kubectl(&["delete", "validatingwebhookconfiguration", &name]).await;
        world.completed("unasked").await;
        world.until_serving(&pods, "unasked", "1.0.0", 1).await;
        until_cleared(&world, "unasked", "unasked-replicas-1").await;
    });
}

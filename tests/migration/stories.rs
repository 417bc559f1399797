//! One state that the Go V1 leaves each, taken over.

use std::time::Duration;

use rig::cluster::{Kind, condition, text};
use serde_json::{Value, json};

use crate::v1::{Old, V1_TIME, completed, conditions, story, strategy, template};

/// One condition a type, each with a reason.
pub fn assert_clean(deployment: &Value) {
    let conditions = deployment["status"]["conditions"].as_array().cloned().unwrap_or_default();
    for condition in &conditions {
        let same = conditions.iter().filter(|other| other["type"] == condition["type"]).count();
        assert_eq!(same, 1, "{conditions:#?}");
        assert!(!text(condition, "/reason").is_empty(), "{conditions:#?}");
    }
}

fn names(modules: &[Value]) -> Vec<String> {
    let mut names: Vec<String> = modules.iter().map(|one| text(one, "/metadata/name").to_owned()).collect();
    names.sort();
    names
}

#[test]
fn what_v1_finished_is_kept_and_what_it_only_claimed_is_done() {
    story("takeover_finished", |world| async move {
        let pods = world.bases(3).await;
        // Completed with two, but V1 deleted one of the base pods.
        let service = json!({ "enableModuleService": true, "port": 80, "targetPort": 8080 });
        let with_service =
            json!({ "batchCount": 1, "upgradePolicy": "install_then_uninstall", "serviceStrategy": service });
        let done = Old::with(&world, "done", "1.0.0", 2, with_service, completed(2, 1)).await;
        done.set(1, "1.0.0", 2).await;
        let done_home = done.module(1, "1.0.0", &pods[0]).await;
        let scaled = Old::deployment(&world, "scaled", "1.0.0", 3, completed(2, 2)).await;
        scaled.set(1, "1.0.0", 3).await;
        for pod in &pods {
            scaled.module(1, "1.0.0", pod).await;
        }
        let upgraded = Old::deployment(&world, "upgraded", "2.0.0", 1, completed(1, 2)).await;
        upgraded.set(1, "1.0.0", 0).await;
        upgraded.set(2, "2.0.0", 1).await;
        upgraded.module(2, "2.0.0", &pods[1]).await;
        let plus = Old::deployment(&world, "plus", "1.0.0", 1, completed(1, 1)).await;
        plus.set(1, "1.0.0", 1).await;
        plus.module(1, "1.0.0", &pods[2]).await;
        let service = world
            .create(
                Kind::Service,
                json!({
                    "metadata": { "name": "done-service" },
                    "spec": {
                        "type": "NodePort", "selector": { "module.koupleless.io/done": "true" },
                        "ports": [{ "name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080 }],
                    },
                }),
            )
            .await;
        let scaled_before = names(&world.modules("scaled").await);
        let began = world.now();

        world.start_operator().await;
        for name in ["done", "scaled", "upgraded", "plus"] {
            assert_clean(&world.completed(name).await);
        }

        for name in ["scaled", "upgraded", "plus"] {
            for pod in &pods {
                let calls = (world.installs(pod, name), world.uninstalls(pod, name));
                assert_eq!(calls, (0, 0), "{name} on {}", pod.name);
            }
        }
        assert_eq!(names(&world.modules("scaled").await), scaled_before);
        assert_eq!(world.installs(&pods[0], "done"), 0);
        let installs: usize = pods.iter().map(|pod| world.installs(pod, "done")).sum();
        assert_eq!(installs, 1, "only the missing one");
        assert!(names(&world.modules("done").await).contains(&text(&done_home, "/metadata/name").to_owned()));
        let adopted = world.get(Kind::Service, "done-service").await;
        assert_eq!(adopted["spec"], service["spec"], "node port and cluster IP stay");
        assert_eq!(adopted["metadata"]["uid"], service["metadata"]["uid"]);
        assert_eq!(text(&adopted, "/metadata/ownerReferences/0/kind"), "ModuleDeployment");
        assert_eq!(world.list(Kind::ModuleReplicaSet).await.len(), 5, "nothing is made anew");
        assert!(pods.iter().all(|pod| world.traffic_ended(pod, "scaled").is_none()), "traffic goes on");
        assert!(world.timeline(&pods, "scaled").never_interrupted(began));
        world.no_writes_for(Duration::from_secs(3)).await;
    });
}

#[test]
fn the_next_release_after_the_take_over_works() {
    story("takeover_next", |world| async move {
        let pods = world.bases(2).await;
        let old = Old::deployment(&world, "next", "1.0.0", 2, completed(2, 1)).await;
        old.set(1, "1.0.0", 2).await;
        for pod in &pods {
            old.module(1, "1.0.0", pod).await;
        }
        world.start_operator().await;
        world.completed("next").await;
        let began = world.now();

        world.release("next", "2.0.0").await;
        let done = world.completed("next").await;

        assert_eq!(done["status"]["releaseStatus"]["updateRevision"], "next-replicas-2");
        world.until_serving(&pods, "next", "2.0.0", 2).await;
        assert!(world.timeline(&pods, "next").never_interrupted(began));
        assert!(pods.iter().all(|pod| world.base(pod).list().len() == 1));
        world.undeploy("next").await;
        assert!(pods.iter().all(|pod| world.base(pod).list().is_empty()));
    });
}

#[test]
fn old_revisions_that_v1_left_running_go_once_the_new_one_is_available() {
    story("takeover_spread", |world| async move {
        let pods = world.bases(4).await;
        let mut status = completed(2, 2);
        status["releaseStatus"]["batchProgress"] = json!("Executing");
        let old = Old::deployment(&world, "spread", "2.0.0", 2, status).await;
        old.set(1, "1.0.0", 0).await;
        old.set(2, "2.0.0", 2).await;
        old.module(1, "1.0.0", &pods[0]).await;
        old.module(1, "1.0.0", &pods[1]).await;
        old.module(2, "2.0.0", &pods[2]).await;
        let began = world.now();

        world.start_operator().await;
        world.completed("spread").await;

        world.until_serving(&pods, "spread", "2.0.0", 2).await;
        world.until_serving(&pods, "spread", "1.0.0", 0).await;
        assert!(world.timeline(&pods, "spread").least_serving(began) >= 2);
        assert_eq!(world.installs(&pods[2], "spread"), 0);
        assert_eq!(world.pods("base").await, pods);
    });
}

#[test]
fn a_release_that_v1_paused_waits_for_its_confirmation() {
    story("takeover_paused", |world| async move {
        let pods = world.bases(3).await;
        let mut strategy = strategy();
        (strategy["batchCount"], strategy["needConfirm"]) = (json!(3), json!(true));
        let status = json!({
            "conditions": [conditions(1)[0]],
            "releaseStatus": {
                "batchProgress": "Completed", "currentBatch": 1, "lastTransitionTime": V1_TIME,
                "originalDeltaReplicas": 3, "progress": "Paused", "realBatchCount": 3,
            },
        });
        let old = Old::with(&world, "paused", "1.0.0", 3, strategy, status).await;
        old.set(1, "1.0.0", 1).await;
        old.module(1, "1.0.0", &pods[0]).await;

        world.start_operator().await;
        world.progress("paused", "WaitingForConfirmation").await;
        world.no_writes_for(Duration::from_secs(2)).await;
        assert_eq!(world.serving(&pods, "paused", "1.0.0").len(), 1);

        world.change("paused", json!({ "confirmBatchNum": 1 })).await;
        world.until_serving(&pods, "paused", "1.0.0", 2).await;
        world
            .until("paused", "waiting after the second batch", |now| {
                now["status"]["releaseStatus"]["currentBatch"] == 2
                    && now["status"]["releaseStatus"]["progress"] == "WaitingForConfirmation"
            })
            .await;
        world.change("paused", json!({ "confirmBatchNum": 2 })).await;
        world.completed("paused").await;
        assert_eq!(world.installs(&pods[0], "paused"), 0);
    });
}

#[test]
fn a_scale_that_v1_paused_is_held_until_it_is_confirmed() {
    story("takeover_halfgrown", |world| async move {
        let pods = world.bases(3).await;
        let mut strategy = strategy();
        (strategy["batchCount"], strategy["needConfirm"]) = (json!(2), json!(true));
        let status = json!({
            "conditions": conditions(1),
            "releaseStatus": {
                "batchProgress": "Completed", "currentBatch": 1, "lastTransitionTime": V1_TIME,
                "originalDeltaReplicas": 2, "progress": "Paused", "realBatchCount": 2,
            },
        });
        // It was finished with one, and grew by one of two.
        let old = Old::with(&world, "halfgrown", "1.0.0", 3, strategy, status).await;
        old.set(1, "1.0.0", 2).await;
        for pod in &pods[..2] {
            old.module(1, "1.0.0", pod).await;
        }

        world.start_operator().await;
        world.progress("halfgrown", "WaitingForConfirmation").await;
        world.no_writes_for(Duration::from_secs(2)).await;
        assert_eq!(world.serving(&pods, "halfgrown", "1.0.0").len(), 2);

        world.change("halfgrown", json!({ "confirmBatchNum": 1 })).await;
        world.completed("halfgrown").await;
        world.until_serving(&pods, "halfgrown", "1.0.0", 3).await;
        assert!(pods[..2].iter().all(|pod| world.installs(pod, "halfgrown") == 0));
    });
}

#[test]
fn a_peer_deployment_of_v1_without_its_base_deployment_can_go() {
    story("takeover_lost", |world| async move {
        let pods = world.bases(2).await;
        let old = Old::deployment(&world, "lost", "1.0.0", -1, completed(2, 1)).await;
        old.set(1, "1.0.0", 2).await;
        for pod in &pods {
            old.module(1, "1.0.0", pod).await;
        }
        world.garbage_is_collected().await;
        world.kubectl(&["delete", "deployment", "base", "--cascade=orphan"]).await;
        world.delete(Kind::ModuleDeployment, "lost").await;

        world.start_operator().await;

        world.gone(Kind::ModuleDeployment, "lost").await;
        assert!(world.list(Kind::Module).await.is_empty());
        assert!(pods.iter().all(|pod| world.base(pod).list().is_empty()));
    });
}

#[test]
fn a_deletion_that_hung_under_v1_ends() {
    story("takeover_deleting", |world| async move {
        let pods = world.bases(2).await;
        let old = Old::deployment(&world, "stuck", "1.0.0", 2, completed(2, 1)).await;
        old.set(1, "1.0.0", 2).await;
        for pod in &pods {
            old.module(1, "1.0.0", pod).await;
        }
        world.delete(Kind::ModuleDeployment, "stuck").await;

        world.start_operator().await;

        world.gone(Kind::ModuleDeployment, "stuck").await;
        assert!(pods.iter().all(|pod| world.base(pod).list().is_empty()));
    });
}

#[test]
fn a_failed_install_that_v1_called_completed_is_tried_and_told() {
    story("takeover_failing", |world| async move {
        world.bases(1).await;
        world.jar("failing", "9.9.9", rig::arklet_sim::Behaviour::fails("java.lang.Error: no such bean"));
        let old = Old::deployment(&world, "failing", "9.9.9", 1, completed(1, 1)).await;
        old.set(1, "9.9.9", 1).await;

        world.start_operator().await;

        let shown = world.until_condition("failing", "ReplicaFailure", "True", "InstallFailed").await;
        assert!(text(&shown, "/message").contains("no such bean"), "{shown}");
        let now = world.deployment("failing").await;
        assert_eq!(condition(&now, "Available").expect("Available")["status"], "False");
        assert_ne!(now["status"]["releaseStatus"]["progress"], "Completed");
        assert_clean(&now);
    });
}

#[test]
fn a_module_that_v1_never_bound_is_replaced() {
    story("takeover_unbound", |world| async move {
        let pods = world.bases(1).await;
        let old = Old::deployment(&world, "loose", "1.0.0", 1, completed(1, 1)).await;
        old.set(1, "1.0.0", 1).await;
        let mut labels = old.labels(1);
        labels["koupleless.io/module-replicaset"] = json!("loose-replicas-1");
        world
            .create(
                Kind::Module,
                json!({
                    "metadata": { "name": "loose-replicas-1-loose-abcde", "labels": labels },
                    "spec": { "module": template(&world, "loose", "1.0.0")["spec"]["module"] },
                }),
            )
            .await;

        world.start_operator().await;

        world.completed("loose").await;
        world.gone(Kind::Module, "loose-replicas-1-loose-abcde").await;
        world.until_serving(&pods, "loose", "1.0.0", 1).await;
        assert_eq!(world.installs(&pods[0], "loose"), 1);
    });
}

//! From one version to the next, by each policy.

use std::time::Duration;

use rig::{
    arklet_sim::{Behaviour, Command, State},
    cluster::{Kind, condition, module, scenario, text},
};
use serde_json::json;

/// Of a ModuleReplicaSet.
const REVISION: &str = "/metadata/labels/koupleless.io~1module-replicaset-revision";

#[test]
fn in_place_replacement_never_has_two_versions_and_drains_first() {
    scenario("in_place_replacement", |world| async move {
        let pods = world.bases(2).await;
        world
            .deployed(&module("pay").replicas(2).policy("uninstall_then_install").service(80).strategy(
                "serviceStrategy",
                json!({ "enableModuleService": true, "port": 80, "targetPort": 8080, "drainSeconds": 2 }),
            ))
            .await;
        world.jar("pay", "2.0.0", Behaviour::ok().slow(Duration::from_millis(500)));
        world.until_traffic(&pods.iter().collect::<Vec<_>>(), "pay").await;
        let began = world.now();

        world.release("pay", "2.0.0").await;
        world.completed("pay").await;

        world.until_serving(&pods, "pay", "2.0.0", 2).await;
        let timeline = world.timeline(&pods, "pay");
        assert_eq!(timeline.most_versions(began), 1);
        assert_eq!(timeline.least_serving(began), 1);
        assert_eq!(world.least_traffic(&pods, "pay", began), 1);
        for pod in &pods {
            let calls = world.calls(pod);
            let uninstall = calls.iter().find(|call| call.command == Command::Uninstall).expect("an uninstall");
            let ended = world.traffic_ended(pod, "pay").expect("the label was taken off");
            let drained = uninstall.at.checked_sub(ended).expect("the label goes first");
            // The label's end is seen here by a watch, which on a busy machine lags behind the operator's own answer.
            assert!(drained >= Duration::from_millis(1_500), "{}: drained for {drained:?}", pod.name);
            assert_eq!((world.installs(pod, "pay"), world.uninstalls(pod, "pay")), (2, 1));
        }
        world.no_writes_for(Duration::from_secs(3)).await;
    });
}

#[test]
fn the_next_base_is_taken_only_when_the_last_one_gets_traffic_again() {
    scenario("the_next_base", |world| async move {
        let pods = world.bases(3).await;
        world.deployed(&module("flow").replicas(3).policy("uninstall_then_install").service(80)).await;
        world.until_traffic(&pods.iter().collect::<Vec<_>>(), "flow").await;
        let began = world.now();

        world.release("flow", "2.0.0").await;
        world.completed("flow").await;

        world.until_traffic(&pods.iter().collect::<Vec<_>>(), "flow").await;
        assert_eq!(world.timeline(&pods, "flow").least_serving(began), 2);
        assert_eq!(world.least_traffic(&pods, "flow", began), 2);
    });
}

#[test]
fn half_of_the_bases_may_be_out_at_a_time_where_the_user_says_so() {
    scenario("half_of_the_bases", |world| async move {
        let pods = world.bases(4).await;
        let spec = module("half").replicas(4).policy("uninstall_then_install").strategy("maxUnavailable", json!("50%"));
        world.deployed(&spec).await;
        world.jar("half", "2.0.0", Behaviour::ok().slow(Duration::from_secs(1)));
        let began = world.now();

        world.release("half", "2.0.0").await;
        world.completed("half").await;

        world.until_serving(&pods, "half", "2.0.0", 4).await;
        // Two of four, and no fewer: at some moment two were out together.
        assert_eq!(world.timeline(&pods, "half").least_serving(began), 2);
    });
}

#[test]
fn beside_each_other_the_old_version_serves_until_the_new_one_does() {
    scenario("beside_each_other", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("cart").replicas(2).service(80)).await;
        world.until_traffic(&pods.iter().collect::<Vec<_>>(), "cart").await;
        world.jar("cart", "2.0.0", Behaviour::ok().slow(Duration::from_millis(800)));
        let began = world.now();

        world.release("cart", "2.0.0").await;
        world.completed("cart").await;

        world.until_serving(&pods, "cart", "2.0.0", 2).await;
        let timeline = world.timeline(&pods, "cart");
        assert!(timeline.never_interrupted(began), "{timeline:#?}");
        assert_eq!(timeline.most_versions(began), 2);
        for pod in &pods {
            assert!(world.calls(pod).iter().any(|call| call.command == Command::Switch));
            assert_eq!(world.traffic_ended(pod, "cart"), None, "traffic goes on");
            assert_eq!(world.base(pod).state("cart", "1.0.0"), None);
            assert_eq!(world.base(pod).state("cart", "2.0.0"), Some(State::Activated));
        }
        let old = world.get(Kind::ModuleReplicaSet, "cart-replicas-1").await;
        assert_eq!(old["spec"]["replicas"], 0);
    });
}

#[test]
fn a_web_context_clash_stops_at_the_first_base() {
    scenario("a_web_context_clash", |world| async move {
        let pods = world.bases(3).await;
        for version in ["1.0.0", "2.0.0"] {
            world.jar("web", version, Behaviour::ok().context("/web"));
        }
        world.deployed(&module("web").replicas(3)).await;
        let began = world.now();

        world.release("web", "2.0.0").await;
        let shown = world.until_condition("web", "ReplicaFailure", "True", "InstallFailed").await;

        let message = shown["message"].as_str().expect("a message");
        assert!(
            message.contains("uninstall_then_install") && message.contains("Child name [/web] is not unique"),
            "{message}"
        );
        let tried = pods.iter().filter(|pod| world.installs(pod, "web") > 1).count();
        assert_eq!(tried, 1, "it stops at the first base");
        assert!(world.timeline(&pods, "web").never_interrupted(began));
        world.until_serving(&pods, "web", "1.0.0", 3).await;
        let stopped = world.deployment("web").await;
        assert_eq!(condition(&stopped, "Available").expect("Available")["status"], "True");

        // The way out that the message names.
        world.change("web", json!({ "operationStrategy": { "upgradePolicy": "uninstall_then_install" } })).await;
        world.completed("web").await;
        world.until_serving(&pods, "web", "2.0.0", 3).await;
    });
}

#[test]
fn onto_free_bases_and_then_away() {
    scenario("onto_free_bases", |world| async move {
        let pods = world.bases(4).await;
        world.deployed(&module("move").replicas(2).policy("scaleup_then_scaledown")).await;
        let old: Vec<_> = world.serving(&pods, "move", "1.0.0").into_iter().cloned().collect();
        let began = world.now();

        world.release("move", "2.0.0").await;
        world.completed("move").await;

        world.until_serving(&pods, "move", "2.0.0", 2).await;
        let timeline = world.timeline(&pods, "move");
        assert_eq!(timeline.most_versions(began), 1, "never two versions on a base");
        assert!(timeline.least_serving(began) >= 2);
        assert!(old.iter().all(|pod| world.base(pod).list().is_empty()));
        assert_eq!(world.pods("base").await, pods, "no base pod is deleted");
    });
}

#[test]
fn without_free_bases_the_condition_counts_them() {
    scenario("without_free_bases", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("stay").replicas(2).policy("scaleup_then_scaledown")).await;
        let began = world.now();

        world.release("stay", "2.0.0").await;
        let shown = world.until_condition("stay", "ReplicaFailure", "True", "InsufficientBases").await;
        let message = shown["message"].as_str().expect("a message");
        assert!(message.contains("2 bases: 2 with the module already"), "{message}");
        assert_eq!(world.serving(&pods, "stay", "1.0.0").len(), 2);

        let pods = world.scale_bases("base", 3).await;
        world.completed("stay").await;
        world.until_serving(&pods, "stay", "2.0.0", 2).await;
        assert!(world.timeline(&pods, "stay").least_serving(began) >= 2);
        assert_eq!(condition(&world.deployment("stay").await, "ReplicaFailure"), None);
    });
}

#[test]
fn a_rollback_uses_the_old_replica_set_again() {
    scenario("a_rollback", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("back").replicas(2)).await;
        world.release("back", "2.0.0").await;
        world.completed("back").await;
        let first = world.get(Kind::ModuleReplicaSet, "back-replicas-1").await;

        world.release("back", "1.0.0").await;
        let done = world.completed("back").await;

        world.until_serving(&pods, "back", "1.0.0", 2).await;
        assert_eq!(done["status"]["releaseStatus"]["updateRevision"], "back-replicas-1");
        assert_eq!(world.list(Kind::ModuleReplicaSet).await.len(), 2);
        let again = world.get(Kind::ModuleReplicaSet, "back-replicas-1").await;
        assert_eq!(again["metadata"]["uid"], first["metadata"]["uid"]);
        assert_eq!(text(&again, REVISION), "3");
        world.release("back", "3.0.0").await;
        let done = world.completed("back").await;
        assert_eq!(done["status"]["releaseStatus"]["updateRevision"], "back-replicas-4");
    });
}

#[test]
fn a_newer_version_overtakes_a_release_that_hangs() {
    scenario("a_newer_version", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("over").replicas(2)).await;
        world.jar("over", "2.0.0", Behaviour::fails("java.lang.IllegalStateException: no database"));
        let began = world.now();
        world.release("over", "2.0.0").await;
        world.until_condition("over", "ReplicaFailure", "True", "InstallFailed").await;

        world.release("over", "3.0.0").await;
        world.completed("over").await;

        world.until_serving(&pods, "over", "3.0.0", 2).await;
        let timeline = world.timeline(&pods, "over");
        assert!(timeline.never_interrupted(began), "{timeline:#?}");
        assert!(pods.iter().all(|pod| world.base(pod).list().len() == 1));
        assert_eq!(condition(&world.deployment("over").await, "ReplicaFailure"), None);
        world.no_writes_for(Duration::from_secs(3)).await;
    });
}

#[test]
fn a_version_that_is_starting_is_overtaken_without_a_third_beside_it() {
    scenario("a_version_that_is_starting", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("fast").replicas(2)).await;
        world.jar("fast", "2.0.0", Behaviour::ok().slow(Duration::from_secs(3)));
        let began = world.now();
        world.release("fast", "2.0.0").await;
        world
            .eventually(rig::cluster::SOON, "2.0.0 is starting", || async {
                let starting = pods.iter().any(|pod| world.base(pod).state("fast", "2.0.0").is_some());
                if starting { Ok(()) } else { Err("not yet".to_owned()) }
            })
            .await;

        world.release("fast", "3.0.0").await;
        world.completed("fast").await;

        world.until_serving(&pods, "fast", "3.0.0", 2).await;
        let timeline = world.timeline(&pods, "fast");
        assert!(timeline.never_interrupted(began), "{timeline:#?}");
        assert!(timeline.most_versions(began) <= 2, "{timeline:#?}");
    });
}

#[test]
fn a_start_that_hangs_on_one_base_holds_up_the_next_version_nowhere_else() {
    scenario("a_start_that_hangs", |world| async move {
        let pods = world.bases(3).await;
        world.deployed(&module("jump").replicas(3)).await;
        world.jar("jump", "2.0.0", Behaviour::start_hangs());
        let began = world.now();
        world.release("jump", "2.0.0").await;
        let hanging = || pods.iter().find(|pod| world.base(pod).state("jump", "2.0.0").is_some());
        world
            .eventually(rig::cluster::SOON, "2.0.0 hangs", || async {
                hanging().map(|_| ()).ok_or("not yet".to_owned())
            })
            .await;
        let stuck = hanging().expect("one that hangs").clone();
        let others: Vec<_> = pods.iter().filter(|pod| **pod != stuck).cloned().collect();

        world.release("jump", "3.0.0").await;

        world.until_serving(&others, "jump", "3.0.0", 2).await;
        assert_eq!(world.base(&stuck).state("jump", "3.0.0"), None, "no third version there");
        world.jar("jump", "2.0.0", Behaviour::ok());
        world.completed("jump").await;
        world.until_serving(&pods, "jump", "3.0.0", 3).await;
        let timeline = world.timeline(&pods, "jump");
        assert!(timeline.never_interrupted(began) && timeline.most_versions(began) <= 2, "{timeline:#?}");
    });
}

#[test]
fn finished_revisions_beyond_the_limit_go() {
    scenario("finished_revisions", |world| async move {
        let pods = world.bases(1).await;
        world.deployed(&module("old").field("revisionHistoryLimit", json!(1))).await;
        for version in ["2.0.0", "3.0.0", "4.0.0"] {
            world.release("old", version).await;
            world.completed("old").await;
        }

        world.gone(Kind::ModuleReplicaSet, "old-replicas-1").await;
        world.gone(Kind::ModuleReplicaSet, "old-replicas-2").await;
        assert_eq!(world.list(Kind::ModuleReplicaSet).await.len(), 2);
        world.until_serving(&pods, "old", "4.0.0", 1).await;
    });
}

#[test]
fn version_and_number_changed_together_both_come() {
    scenario("version_and_number", |world| async move {
        let pods = world.bases(4).await;
        world.deployed(&module("both").replicas(2)).await;
        let began = world.now();

        world.change("both", json!({ "replicas": 4 })).await;
        world.release("both", "2.0.0").await;
        world.completed("both").await;
        world.until_serving(&pods, "both", "2.0.0", 4).await;
        assert!(world.timeline(&pods, "both").least_serving(began) >= 2);

        world.change("both", json!({ "replicas": 1 })).await;
        world.release("both", "3.0.0").await;
        world.completed("both").await;
        world.until_serving(&pods, "both", "3.0.0", 1).await;
        assert!(pods.iter().map(|pod| world.base(pod).list().len()).sum::<usize>() == 1);
    });
}

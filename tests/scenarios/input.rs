//! What users write: wrong, odd, or changed under way.

use std::time::Duration;

use rig::{
    arklet_sim::Command,
    cluster::{Kind, condition, module, scenario, text},
};
use serde_json::{Value, json};

#[test]
fn a_wrong_spec_is_explained_and_stops_nobody_else() {
    scenario("a_wrong_spec", |world| async move {
        let pods = world.bases(1).await;
        world.deploy(&module("wrong").strategy("batchCount", json!(-3))).await;
        world.deploy(&module("peer").replicas(-1).policy("scaleup_then_scaledown")).await;
        world.deployed(&module("right")).await;

        let shown = world.until_condition("wrong", "Progressing", "False", "InvalidSpec").await;
        assert!(text(&shown, "/message").contains("spec.operationStrategy.batchCount"), "{shown}");
        assert!(world.event("wrong", "InvalidSpec").await.contains("batchCount"));
        let shown = world.until_condition("peer", "Progressing", "False", "InvalidSpec").await;
        assert!(text(&shown, "/message").contains("use another policy"), "{shown}");
        assert_eq!(world.base(&pods[0]).list().len(), 1);

        world.change("wrong", json!({ "operationStrategy": { "batchCount": 1 } })).await;
        world.completed("wrong").await;
        assert_eq!(world.base(&pods[0]).list().len(), 2);
    });
}

#[test]
fn a_wrong_change_leaves_what_runs() {
    scenario("a_wrong_change", |world| async move {
        let pods = world.bases(1).await;
        world.deployed(&module("solid")).await;

        world.change("solid", json!({ "template": { "spec": { "module": { "version": "2 or 3" } } } })).await;
        world.until_condition("solid", "Progressing", "False", "InvalidSpec").await;
        assert_eq!(world.base(&pods[0]).serving("solid").as_deref(), Some("1.0.0"));

        world.undeploy("solid").await;
        assert!(world.base(&pods[0]).list().is_empty(), "also a wrong one can go");
    });
}

#[test]
fn another_module_name_is_refused() {
    scenario("another_module_name", |world| async move {
        let pods = world.bases(1).await;
        world.deployed(&module("first")).await;

        world.change("first", json!({ "template": { "spec": { "module": { "name": "second" } } } })).await;

        let shown = world.until_condition("first", "Progressing", "False", "InvalidSpec").await;
        assert!(text(&shown, "/message").contains("create a new ModuleDeployment"), "{shown}");
        assert_eq!(world.base(&pods[0]).serving("first").as_deref(), Some("1.0.0"));
        assert_eq!(world.installs(&pods[0], "second"), 0);
    });
}

#[test]
fn long_names_and_java_versions_work() {
    scenario("long_names", |world| async move {
        let pods = world.bases(2).await;
        let name = "a-module-whose-name-is-rather-long-".repeat(2);
        let name = format!("{}x", &name[..69]);
        let spec = module(&name).version("1.0.0+build.7").replicas(2).policy("uninstall_then_install").service(80);
        world.deployed(&spec).await;
        world.until_serving(&pods, &name, "1.0.0+build.7", 2).await;
        for object in world.list(Kind::Module).await {
            assert_eq!(text(&object, "/spec/module/name"), name);
            assert_eq!(text(&object, "/spec/module/version"), "1.0.0+build.7");
        }
        assert_eq!(world.list(Kind::Service).await.len(), 1);

        world.release(&name, "1.0.0+build.8").await;
        world.completed(&name).await;
        world.until_serving(&pods, &name, "1.0.0+build.8", 2).await;
        world.undeploy(&name).await;
        assert!(pods.iter().all(|pod| world.base(pod).list().is_empty()));
    });
}

#[test]
fn another_url_alone_is_no_release_is_shown_and_a_restart_fetches_it() {
    scenario("another_url", |world| async move {
        let pods = world.bases(1).await;
        world.deployed(&module("same")).await;
        let before = world.url("same", "1.0.0");

        let url = world.url("same", "1.0.0-moved");
        world.change("same", json!({ "template": { "spec": { "module": { "url": url } } } })).await;

        let shown = |now: &Value| text(&condition(now, "Progressing").unwrap_or_default(), "/message").to_owned();
        world.until("same", "told", |now| shown(now).contains("1 of 1 from an earlier URL")).await;
        world.completed("same").await;
        assert_eq!(world.list(Kind::ModuleReplicaSet).await.len(), 1);
        assert_eq!((world.installs(&pods[0], "same"), world.uninstalls(&pods[0], "same")), (1, 0));
        assert_eq!(text(&world.modules("same").await[0], "/status/installed/url"), before);
        world.no_writes_for(Duration::from_secs(2)).await;

        let restart = json!({ "template": { "metadata": { "annotations": { "koupleless.io/restartedAt": "1" } } } });
        world.change("same", restart).await;

        world.until("same", "nothing more to tell", |now| shown(now) == "same-replicas-1 is available").await;
        assert_eq!(text(&world.modules("same").await[0], "/status/installed/url"), url);
        let calls = world.calls(&pods[0]);
        let installs: Vec<&str> =
            calls.iter().filter(|call| call.command == Command::Install).map(|call| call.url.as_str()).collect();
        assert_eq!(installs, [&before, &url]);
    });
}

#[test]
fn a_move_to_other_bases_is_a_release() {
    scenario("a_move_to_other_bases", |world| async move {
        let old = world.bases(2).await;
        let new = world.bases_of(rig::cluster::base_deployment("next", 2)).await;
        world.deployed(&module("tour").replicas(2)).await;
        let began = world.now();

        world.change("tour", json!({ "baseDeploymentName": "next" })).await;
        world.completed("tour").await;

        world.until_serving(&new, "tour", "1.0.0", 2).await;
        assert!(old.iter().all(|pod| world.base(pod).list().is_empty()));
        let everywhere: Vec<_> = old.iter().chain(&new).cloned().collect();
        assert!(world.timeline(&everywhere, "tour").least_serving(began) >= 2);
        let moved = world.deployment("tour").await;
        let owners = moved["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        assert_eq!((owners.len(), text(&owners[0], "/name")), (1, "next"), "{owners:#?}");
    });
}

#[test]
fn two_modules_share_a_base_and_an_edit_of_one_leaves_the_other() {
    scenario("two_modules_share", |world| async move {
        let pods = world.bases(1).await;
        world.deployed(&module("one")).await;
        world.deployed(&module("two")).await;

        world.release("one", "2.0.0").await;
        world.completed("one").await;

        assert_eq!((world.installs(&pods[0], "two"), world.uninstalls(&pods[0], "two")), (1, 0));
        assert!(condition(&world.deployment("two").await, "ReplicaFailure").is_none());
        let pod = world.get(Kind::Pod, &pods[0].name).await;
        assert_eq!(text(&pod, "/metadata/labels/koupleless.io~1module-instance-count"), "2");
    });
}

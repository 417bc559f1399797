//! The end of deployments, Modules and bases, asked for in every state.

use std::time::Duration;

use futures::{StreamExt, stream};
use rig::{
    arklet_sim::{Behaviour, Command, Fault},
    cluster::{
        BasePod, Kind, SOON, World, base_deployment, condition, module, scenario, scenario_without_operator, text,
    },
};
use serde_json::{Value, json};

/// Nothing of ours is left in the namespace and on the bases.
async fn nothing_is_left(world: &World, pods: &[BasePod]) {
    for kind in [Kind::ModuleDeployment, Kind::ModuleReplicaSet, Kind::Module, Kind::Service] {
        let left = world.list(kind).await;
        assert!(left.is_empty(), "{left:#?}");
    }
    for pod in pods {
        let base = world.base(pod);
        assert!(base.list().is_empty() && base.ghosts().is_empty(), "{:?} {:?}", base.list(), base.ghosts());
        let clean = || async {
            let pod = world.get(Kind::Pod, &pod.name).await;
            let labels = pod["metadata"]["labels"].as_object().cloned().unwrap_or_default();
            let traffic = labels.keys().any(|key| key.starts_with("module.koupleless.io/"));
            if traffic { Err(format!("{labels:?}")) } else { Ok(()) }
        };
        world.eventually(SOON, "no label is left", clean).await;
    }
}

#[test]
fn a_deployment_takes_everything_along() {
    scenario("a_deployment_takes", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("bye").replicas(2).service(80)).await;

        world.undeploy("bye").await;

        world.gone(Kind::Service, "bye-service").await;
        nothing_is_left(&world, &pods).await;
        assert!(pods.iter().all(|pod| world.uninstalls(pod, "bye") == 1));
    });
}

#[test]
fn a_deployment_can_go_while_it_installs() {
    scenario("a_deployment_can_go", |world| async move {
        let pods = world.bases(2).await;
        world.jar("soon", "1.0.0", Behaviour::ok().slow(Duration::from_secs(3)));
        world.deploy(&module("soon").replicas(2)).await;
        world
            .eventually(SOON, "both are starting", || async {
                let starting = pods.iter().filter(|pod| !world.base(pod).list().is_empty()).count();
                if starting == 2 { Ok(()) } else { Err(format!("{starting}")) }
            })
            .await;

        world.undeploy("soon").await;

        nothing_is_left(&world, &pods).await;
    });
}

#[test]
fn a_deployment_can_go_while_it_waits_for_a_confirmation() {
    scenario("a_deployment_waits", |world| async move {
        let pods = world.bases(2).await;
        let spec = module("wait").replicas(2).strategy("batchCount", json!(2)).strategy("needConfirm", json!(true));
        world.deploy(&spec).await;
        world.progress("wait", "WaitingForConfirmation").await;

        world.undeploy("wait").await;

        nothing_is_left(&world, &pods).await;
    });
}

#[test]
fn a_deployment_can_go_while_its_install_fails() {
    scenario("a_deployment_fails", |world| async move {
        let pods = world.bases(1).await;
        world.jar("bad", "1.0.0", Behaviour::fails("java.lang.Error: no"));
        world.deploy(&module("bad")).await;
        world.until_condition("bad", "ReplicaFailure", "True", "InstallFailed").await;

        world.undeploy("bad").await;

        nothing_is_left(&world, &pods).await;
    });
}

/// A deployment whose deletion waits for an agent that doesn't answer.
async fn blocked(world: &World, name: &str) -> (BasePod, String) {
    let pods = world.bases(1).await;
    world.deployed(&module(name)).await;
    world.base(&pods[0]).fault(Fault::Hang);
    world.delete(Kind::ModuleDeployment, name).await;
    let look = || async {
        let now = world.deployment(name).await;
        condition(&now, "DeletionBlocked").ok_or(format!("{:#}", now["status"]))
    };
    let shown = world.eventually(SOON, "DeletionBlocked", look).await;
    for part in [pods[0].name.as_str(), "delete the pod", "koupleless.io/delete-module-directly=true"] {
        assert!(text(&shown, "/message").contains(part), "{part}: {shown}");
    }
    let said = world.event(name, "DeletionBlocked").await;
    assert!(said.contains(&pods[0].name), "{said}");
    let module = world.modules(name).await[0].clone();
    assert_eq!(module["status"]["reason"], "DeletionBlocked");
    (pods[0].clone(), text(&module, "/metadata/name").to_owned())
}

#[test]
fn a_silent_agent_blocks_until_its_pod_is_deleted() {
    scenario("a_silent_agent_pod", |world| async move {
        let (pod, _) = blocked(&world, "dead").await;

        world.delete(Kind::Pod, &pod.name).await;

        world.gone(Kind::ModuleDeployment, "dead").await;
        assert!(world.list(Kind::Module).await.is_empty());
    });
}

#[test]
fn a_silent_agent_blocks_until_the_module_is_dropped() {
    scenario("a_silent_agent_label", |world| async move {
        let (pod, module) = blocked(&world, "drop").await;

        let label = json!({ "metadata": { "labels": { "koupleless.io/delete-module-directly": "true" } } });
        world.patch(Kind::Module, &module, label).await;

        world.gone(Kind::ModuleDeployment, "drop").await;
        assert_eq!(world.base(&pod).list().len(), 1, "it is dropped without uninstalling");
    });
}

#[test]
fn a_silent_agent_that_answers_again_is_uninstalled_from() {
    scenario("a_silent_agent_again", |world| async move {
        let (pod, _) = blocked(&world, "again").await;

        world.base(&pod).heal();

        world.gone(Kind::ModuleDeployment, "again").await;
        assert!(world.base(&pod).list().is_empty());
    });
}

#[test]
fn a_base_deployment_takes_its_modules_along() {
    scenario("a_base_deployment", |world| async move {
        world.bases(2).await;
        world.deployed(&module("owned").replicas(2).service(80)).await;

        world.garbage_is_collected().await;
        world.kubectl(&["delete", "deployment", "base", "--wait=false"]).await;

        world.gone(Kind::ModuleDeployment, "owned").await;
        world.gone(Kind::Service, "owned-service").await;
        assert!(world.list(Kind::Module).await.is_empty());
    });
}

/// The base Deployment is deleted while no agent answers: what was on it owes nothing to anybody.
async fn goes_without_its_agents(world: &World, manifest: Value) -> Vec<BasePod> {
    let pods = world.bases_of(manifest).await;
    world.deployed(&module("mute").replicas(2).service(80)).await;
    world.garbage_is_collected().await;
    for pod in &pods {
        world.base(pod).fault(Fault::Hang);
    }

    world.kubectl(&["delete", "deployment", "base", "--wait=false"]).await;

    world.gone(Kind::ModuleDeployment, "mute").await;
    world.gone(Kind::Service, "mute-service").await;
    for kind in [Kind::ModuleReplicaSet, Kind::Module] {
        let left = world.list(kind).await;
        assert!(left.is_empty(), "{left:#?}");
    }
    pods
}

#[test]
fn a_base_deployment_whose_agents_are_dead_takes_its_modules_along() {
    scenario("a_base_with_dead_agents", |world| async move {
        goes_without_its_agents(&world, base_deployment("base", 2)).await;
    });
}

#[test]
fn modules_do_not_wait_for_the_end_of_slow_pods_with_dead_agents() {
    scenario("slow_pods_with_dead_agents", |world| async move {
        let mut manifest = base_deployment("base", 2);
        manifest["spec"]["template"]["metadata"]["annotations"] = json!({ "rig.koupleless.io/stop": "slow" });
        manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(90);

        let pods = goes_without_its_agents(&world, manifest).await;

        for pod in &pods {
            let now = world.get(Kind::Pod, &pod.name).await;
            assert!(now["metadata"]["deletionTimestamp"].is_string(), "it is still ending: {now:#}");
        }
    });
}

#[test]
fn a_deletion_in_the_foreground_ends_when_all_is_uninstalled() {
    scenario("a_deletion_in_the_foreground", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("front").replicas(2).service(80)).await;
        world.garbage_is_collected().await;

        world.kubectl(&["delete", "mddeploy", "front", "--cascade=foreground", "--timeout=30s"]).await;

        nothing_is_left(&world, &pods).await;
        assert!(pods.iter().all(|pod| world.uninstalls(pod, "front") == 1));
    });
}

#[test]
fn a_base_deployment_may_come_later() {
    scenario("a_base_deployment_later", |world| async move {
        world.deploy(&module("early")).await;
        let shown = world.until_condition("early", "Progressing", "False", "BaseDeploymentNotFound").await;
        assert!(text(&shown, "/message").contains("base"), "{shown}");

        world.bases_of(base_deployment("base", 1)).await;

        let done = world.completed("early").await;
        assert_eq!(text(&done, "/metadata/ownerReferences/0/kind"), "Deployment");
    });
}

#[test]
fn a_deployment_without_a_base_can_go() {
    scenario("a_deployment_without", |world| async move {
        world.deploy(&module("lonely").replicas(-1)).await;
        world.until_condition("lonely", "Progressing", "False", "BaseDeploymentNotFound").await;

        world.undeploy("lonely").await;
    });
}

#[test]
fn a_peer_deployment_that_has_lost_its_base_deployment_can_go() {
    scenario("a_peer_deployment_that_has_lost", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("lost").replicas(-1)).await;
        world.garbage_is_collected().await;
        world.kubectl(&["delete", "deployment", "base", "--cascade=orphan"]).await;
        let shown = world.until_condition("lost", "Progressing", "False", "BaseDeploymentNotFound").await;
        assert!(text(&shown, "/message").contains("create it"), "{shown}");
        let left = world.deployment("lost").await;
        assert_eq!(left["metadata"]["finalizers"].as_array().map(Vec::len), Some(2), "{left:#}");
        assert_eq!(world.serving(&pods, "lost", "1.0.0").len(), 2, "its pods are still there, and serve");

        world.undeploy("lost").await;

        nothing_is_left(&world, &pods).await;
        assert!(pods.iter().all(|pod| world.uninstalls(pod, "lost") == 1));
    });
}

#[test]
fn a_refused_uninstall_is_told_and_tried_again() {
    scenario("a_refused_uninstall", |world| async move {
        let pods = world.bases(1).await;
        world.deployed(&module("clings")).await;
        let base = world.base(&pods[0]);
        for _ in 0..2 {
            base.fault_once(Command::Uninstall, Fault::Throws("java.lang.IllegalStateException: busy".to_owned()));
        }

        world.delete(Kind::ModuleDeployment, "clings").await;

        let told = |modules: &[Value]| {
            modules.len() == 1
                && modules[0]["status"]["reason"] == "UninstallFailed"
                && text(&modules[0], "/status/message").contains("busy")
        };
        world.until_modules("clings", "one that can't be uninstalled", told).await;
        assert_eq!(base.list().len(), 1, "what isn't uninstalled isn't let go");
        world.gone(Kind::ModuleDeployment, "clings").await;
        nothing_is_left(&world, &pods).await;
        assert_eq!(world.uninstalls(&pods[0], "clings"), 3);
    });
}

#[test]
fn a_module_deleted_by_hand_is_replaced() {
    scenario("a_module_deleted", |world| async move {
        let pods = world.bases(1).await;
        world.deployed(&module("back")).await;
        let before = world.modules("back").await[0].clone();

        world.delete(Kind::Module, text(&before, "/metadata/name")).await;
        world
            .until_modules("back", "another one is Available", |all| {
                all.len() == 1
                    && all[0]["metadata"]["uid"] != before["metadata"]["uid"]
                    && all[0]["status"]["status"] == "Available"
            })
            .await;

        world.completed("back").await;
        world.until_serving(&pods, "back", "1.0.0", 1).await;
    });
}

#[test]
fn a_module_whose_finalizer_was_forced_off_is_replaced() {
    scenario("a_module_whose_finalizer", |world| async move {
        let pods = world.bases(1).await;
        world.deployed(&module("force")).await;
        let name = text(&world.modules("force").await[0], "/metadata/name").to_owned();

        world.base(&pods[0]).fault(Fault::Hang);
        world.delete(Kind::Module, &name).await;
        world.patch(Kind::Module, &name, json!({ "metadata": { "finalizers": null } })).await;
        world.base(&pods[0]).heal();

        world.completed("force").await;
        world.until_serving(&pods, "force", "1.0.0", 1).await;
        assert_eq!(world.modules("force").await.len(), 1);
        world.no_writes_for(Duration::from_secs(3)).await;
    });
}

#[test]
fn what_others_take_off_comes_back() {
    scenario("what_others_take_off", |world| async move {
        let pods = world.bases(1).await;
        world.deployed(&module("mine").service(80)).await;
        world.until_traffic(&[&pods[0]], "mine").await;

        let wrong = json!({ "module.koupleless.io/mine": null, "koupleless.io/module-instance-count": "9" });
        world.patch(Kind::Pod, &pods[0].name, json!({ "metadata": { "labels": wrong } })).await;
        world.until_traffic(&[&pods[0]], "mine").await;
        let counted = || async {
            let pod = world.get(Kind::Pod, &pods[0].name).await;
            let count = text(&pod, "/metadata/labels/koupleless.io~1module-instance-count").to_owned();
            if count == "1" { Ok(()) } else { Err(count) }
        };
        world.eventually(SOON, "the pod's modules are counted again", counted).await;

        let bare = json!({ "metadata": { "finalizers": null, "ownerReferences": null } });
        world.patch(Kind::ModuleDeployment, "mine", bare).await;
        world
            .until("mine", "finalizers and owner are back", |now| {
                let metadata = &now["metadata"];
                metadata["finalizers"].as_array().map(Vec::len) == Some(2) && metadata["ownerReferences"].is_array()
            })
            .await;

        let name = text(&world.modules("mine").await[0], "/metadata/name").to_owned();
        world.patch(Kind::Module, &name, json!({ "metadata": { "ownerReferences": null } })).await;
        world
            .until_modules("mine", "one with an owner", |all| {
                all.len() == 1
                    && all[0]["metadata"]["ownerReferences"].is_array()
                    && all[0]["status"]["status"] == "Available"
            })
            .await;
        world.completed("mine").await;
        world.until_serving(&pods, "mine", "1.0.0", 1).await;
        world.no_writes_for(Duration::from_secs(3)).await;
    });
}

#[test]
fn an_edited_status_is_corrected() {
    scenario("an_edited_status", |world| async move {
        world.bases(1).await;
        world.deployed(&module("true")).await;
        let name = text(&world.modules("true").await[0], "/metadata/name").to_owned();

        world.patch_status(Kind::Module, &name, json!({ "status": "Terminating", "message": "nonsense" })).await;
        let lie = json!({ "availableReplicas": 17, "conditions": [] });
        world.patch_status(Kind::ModuleDeployment, "true", lie).await;

        world
            .until_modules("true", "corrected", |all| {
                all[0]["status"]["status"] == "Available" && all[0]["status"]["message"].is_null()
            })
            .await;
        let done = world.completed("true").await;
        assert!(condition(&done, "Available").is_some());
    });
}

/// With rights that don't go with it: a Role in the namespace may be gone before the last finalizer is.
#[test]
fn a_namespace_goes_with_everything_in_it() {
    scenario_without_operator("a_namespace_goes", |world| async move {
        world.start_operator_with_nodes().await;
        world.bases(2).await;
        world.deployed(&module("one").replicas(2).service(80)).await;
        world.deployed(&module("two").replicas(-1)).await;

        world.kubectl(&["delete", "namespace", world.namespace(), "--wait=false"]).await;

        // Kubernetes ends the pods of a namespace first, and looks 16 s later whether that is done.
        world
            .eventually(3 * SOON, "nothing of ours holds the namespace", || async {
                let ours = [Kind::ModuleDeployment, Kind::ModuleReplicaSet, Kind::Module];
                let left: Vec<_> = stream::iter(ours).then(|kind| world.list(kind)).concat().await;
                if left.is_empty() { Ok(()) } else { Err(format!("{left:#?}")) }
            })
            .await;
    });
}

#[test]
fn orphaned_modules_stay_and_nothing_is_uninstalled() {
    scenario("orphaned_modules", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("stay").replicas(2)).await;

        world.garbage_is_collected().await;
        world.kubectl(&["delete", "mddeploy", "stay", "--cascade=orphan", "--wait=false"]).await;

        world.gone(Kind::ModuleDeployment, "stay").await;
        world.no_writes_for(Duration::from_secs(3)).await;
        assert_eq!(world.serving(&pods, "stay", "1.0.0").len(), 2);
        assert!(pods.iter().all(|pod| world.uninstalls(pod, "stay") == 0));
    });
}

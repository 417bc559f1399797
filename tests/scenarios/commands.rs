//! What a user orders by a label or an annotation.

use std::time::Duration;

use rig::{
    arklet_sim::Behaviour,
    cluster::{Kind, SOON, World, condition, module, scenario, text},
};
use serde_json::{Value, json};

async fn label(world: &World, kind: Kind, name: &str, label: &str) {
    let key = format!("koupleless.io/{label}");
    world.patch(kind, name, json!({ "metadata": { "labels": { key: "true" } } })).await;
}

/// The names of the pods on which a deployment's Modules are.
fn homes(modules: &[Value]) -> Vec<String> {
    let mut homes: Vec<String> =
        modules.iter().map(|module| text(module, "/metadata/ownerReferences/0/name").to_owned()).collect();
    homes.sort();
    homes
}

#[test]
fn delete_module_uninstalls_here_and_another_base_takes_over() {
    scenario("delete_module", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("tram")).await;
        let there = world.serving(&pods, "tram", "1.0.0")[0].clone();
        let other = pods.iter().find(|pod| **pod != there).expect("another").clone();
        let module = world.modules("tram").await[0].clone();

        label(&world, Kind::Module, text(&module, "/metadata/name"), "delete-module").await;

        world.until_serving(std::slice::from_ref(&other), "tram", "1.0.0", 1).await;
        world.until_modules("tram", "one, elsewhere", |modules| homes(modules) == [other.name.clone()]).await;
        assert_eq!((world.uninstalls(&there, "tram"), world.installs(&there, "tram")), (1, 1));
        world.completed("tram").await;
        world.no_writes_for(Duration::from_secs(3)).await;
    });
}

#[test]
fn delete_module_directly_drops_a_healthy_one_and_what_runs_is_taken_over() {
    scenario("delete_module_directly", |world| async move {
        let pods = world.bases(1).await;
        world.deployed(&module("flip").service(80)).await;
        let dropped = world.modules("flip").await[0].clone();
        let began = world.now();

        label(&world, Kind::Module, text(&dropped, "/metadata/name"), "delete-module-directly").await;

        world
            .until_modules("flip", "another one, available", |modules| {
                modules.len() == 1
                    && modules[0]["metadata"]["uid"] != dropped["metadata"]["uid"]
                    && modules[0]["status"]["status"] == "Available"
            })
            .await;
        world.completed("flip").await;
        assert_eq!((world.installs(&pods[0], "flip"), world.uninstalls(&pods[0], "flip")), (1, 0));
        assert!(world.timeline(&pods, "flip").never_interrupted(began));
        world.until_traffic(&[&pods[0]], "flip").await;
    });
}

#[test]
fn delete_pod_moves_the_modules_first_and_then_deletes_the_pod() {
    scenario("delete_pod", |world| async move {
        let pods = world.bases(3).await;
        for name in ["bus", "taxi"] {
            world.deployed(&module(name).replicas(2).service(80)).await;
        }
        let doomed = world.serving(&pods, "bus", "1.0.0")[0].clone();
        let began = world.now();

        label(&world, Kind::Pod, &doomed.name, "delete-pod").await;

        world.replaced(&doomed, 3).await;
        for name in ["bus", "taxi"] {
            world.completed(name).await;
            // Seen from the bases that were there: two serve all the time, wherever.
            assert!(
                world.timeline(&pods, name).least_serving(began) >= 2,
                "{name}: {:#?}",
                world.timeline(&pods, name)
            );
        }
    });
}

#[test]
fn delete_pod_directly_deletes_it_at_once() {
    scenario("delete_pod_directly", |world| async move {
        let pods = world.bases(1).await;
        world.deployed(&module("ship")).await;

        label(&world, Kind::Pod, &pods[0].name, "delete-pod-directly").await;

        let now = world.replaced(&pods[0], 1).await;
        world.until_serving(&now, "ship", "1.0.0", 1).await;
        assert_eq!(world.uninstalls(&pods[0], "ship"), 0);
    });
}

fn restart(token: &str) -> Value {
    json!({ "template": { "metadata": { "annotations": { "koupleless.io/restartedAt": token } } } })
}

#[test]
fn a_restart_reinstalls_the_same_version_base_by_base() {
    scenario("restart_same_version", |world| async move {
        let pods = world.bases(3).await;
        world.deployed(&module("again").replicas(3)).await;
        let began = world.now();

        world.change("again", restart("1")).await;

        world.until_condition("again", "Progressing", "True", "Restarting").await;
        world.until_condition("again", "Progressing", "True", "NewReplicaSetAvailable").await;
        world.until_serving(&pods, "again", "1.0.0", 3).await;
        for pod in &pods {
            assert_eq!((world.installs(pod, "again"), world.uninstalls(pod, "again")), (2, 1), "{}", pod.name);
        }
        assert_eq!(world.timeline(&pods, "again").least_serving(began), 2);
        assert_eq!(world.list(Kind::ModuleReplicaSet).await.len(), 1, "no new revision");
        let now = world.deployment("again").await;
        assert!(condition(&now, "ReplicaFailure").is_none(), "{now:#}");
        world.no_writes_for(Duration::from_secs(3)).await;
    });
}

#[test]
fn a_paused_deployment_restarts_when_it_goes_on() {
    scenario("restart_paused", |world| async move {
        let pods = world.bases(1).await;
        world.deployed(&module("nap")).await;
        world.change("nap", json!({ "paused": true })).await;

        world.change("nap", restart("1")).await;
        world
            .always(Duration::from_secs(2), "nothing is reinstalled while paused", || async {
                let installs = world.installs(&pods[0], "nap");
                if installs == 1 { Ok(()) } else { Err(format!("{installs} installs")) }
            })
            .await;

        world.change("nap", json!({ "paused": false })).await;
        let look = || async {
            let installs = world.installs(&pods[0], "nap");
            if installs == 2 { Ok(()) } else { Err(format!("{installs} installs")) }
        };
        world.eventually(SOON, "the restart", look).await;
        world.completed("nap").await;
    });
}

#[test]
fn a_pause_holds_a_restart_under_way_and_the_rest_follows_when_it_goes_on() {
    scenario("restart_then_pause", |world| async move {
        let pods = world.bases(3).await;
        world.deployed(&module("halt").replicas(3)).await;
        world.jar("halt", "1.0.0", Behaviour::ok().slow(Duration::from_millis(500)));
        let installs = || pods.iter().map(|pod| world.installs(pod, "halt")).sum::<usize>();

        world.change("halt", restart("1")).await;
        world
            .eventually(SOON, "the first base is reinstalled", || async {
                if installs() > 3 { Ok(()) } else { Err(format!("{} installs", installs())) }
            })
            .await;
        world.change("halt", json!({ "paused": true })).await;
        let held = world.until_condition("halt", "Progressing", "Unknown", "DeploymentPaused").await;
        assert!(text(&held, "/message").contains("holds the restart"), "{held}");
        world.until_serving(&pods, "halt", "1.0.0", 3).await;
        let done = installs();
        assert!(done < 6, "{done} installs before the pause was seen");
        world
            .always(Duration::from_secs(2), "nothing more is reinstalled", || async {
                if installs() == done { Ok(()) } else { Err(format!("{} installs", installs())) }
            })
            .await;

        world.change("halt", json!({ "paused": false })).await;
        world.until_condition("halt", "Progressing", "True", "NewReplicaSetAvailable").await;
        assert_eq!(installs(), 6);
        for pod in &pods {
            assert_eq!((world.installs(pod, "halt"), world.uninstalls(pod, "halt")), (2, 1), "{}", pod.name);
        }
    });
}

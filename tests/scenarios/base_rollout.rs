//! A new version of the base itself, where its pods are ready only with their modules.

use rig::cluster::{BasePod, Kind, SOON, World, base_deployment, module, scenario, text};
use serde_json::{Value, json};

use rig::arklet_sim::Behaviour;

const GATE: &str = "koupleless.io/modules-ready";

fn gated(replicas: u32) -> Value {
    let mut manifest = base_deployment("base", replicas);
    manifest["spec"]["template"]["spec"]["readinessGates"] = json!([{ "conditionType": GATE }]);
    manifest
}

/// What the pod's condition says: its status and message.
async fn gate(world: &World, pod: &BasePod) -> Option<(String, String)> {
    let pod = world.find(Kind::Pod, &pod.name).await?;
    let conditions = pod["status"]["conditions"].as_array()?.clone();
    let gate = conditions.iter().find(|condition| condition["type"] == GATE)?;
    Some((text(gate, "/status").to_owned(), text(gate, "/message").to_owned()))
}

async fn until_gate(world: &World, pod: &BasePod, status: &str, says: &str) {
    world
        .eventually(SOON, &format!("the gate of {} is {status}: {says}", pod.name), || async {
            let gate = gate(world, pod).await;
            let fits = gate.as_ref().is_some_and(|(now, message)| now == status && message.contains(says));
            if fits { Ok(()) } else { Err(format!("{gate:?}")) }
        })
        .await;
}

async fn roll(world: &World, version: &str) {
    let template = json!({ "metadata": { "annotations": { "base": version } } });
    world.patch(Kind::Deployment, "base", json!({ "spec": { "template": template } })).await;
}

/// Waits until all pods of the base are others than these.
async fn rolled(world: &World, old: &[BasePod]) -> Vec<BasePod> {
    world
        .eventually(SOON, "all pods are new", || async {
            let now = world.pods("base").await;
            let is_new = |pod: &BasePod| old.iter().all(|old| old.uid != pod.uid);
            let ready = world.get(Kind::Deployment, "base").await["status"]["readyReplicas"] == json!(old.len());
            if ready && now.len() == old.len() && now.iter().all(is_new) { Ok(now) } else { Err(format!("{now:?}")) }
        })
        .await
}

#[test]
fn no_module_is_lost_on_the_way() {
    scenario("base_rollout", |world| async move {
        let old = world.bases_of(gated(2)).await;
        world.deployed(&module("stays").replicas(2).service(80)).await;
        world.deployed(&module("alone").replicas(1)).await;
        for pod in &old {
            until_gate(&world, pod, "True", "every module").await;
        }
        world.until_traffic(&old.iter().collect::<Vec<_>>(), "stays").await;
        let began = world.now();

        world.jar("stays", "1.0.0", Behaviour::ok().slow(std::time::Duration::from_millis(500)));
        roll(&world, "two").await;
        let new = rolled(&world, &old).await;

        world.completed("stays").await;
        world.completed("alone").await;
        world.until_serving(&new, "stays", "1.0.0", 2).await;
        world.until_serving(&new, "alone", "1.0.0", 1).await;
        let all: Vec<BasePod> = old.iter().chain(&new).cloned().collect();
        assert_eq!(world.least_traffic(&all, "stays", began), 2);
        assert_eq!(world.least_traffic(&all, "alone", began), 1);
        world.until_modules("stays", "two, when the old pods are gone", |modules| modules.len() == 2).await;
    });
}

#[test]
fn a_module_that_does_not_start_on_the_new_base_holds_it_up() {
    scenario("base_rollout_held", |world| async move {
        let old = world.bases_of(gated(2)).await;
        world.deployed(&module("picky").replicas(-1).service(80)).await;
        world.until_traffic(&old.iter().collect::<Vec<_>>(), "picky").await;
        world.jar("picky", "1.0.0", Behaviour::fails("needs another base"));

        roll(&world, "two").await;

        let newcomer = world
            .eventually(SOON, "a new pod", || async {
                let now = world.pods("base").await;
                now.iter().find(|pod| old.iter().all(|old| old.uid != pod.uid)).cloned().ok_or(format!("{now:?}"))
            })
            .await;
        until_gate(&world, &newcomer, "False", "waits for picky").await;
        assert_eq!(world.serving(&old, "picky", "1.0.0").len(), 2, "the old pods stay");

        world.jar("picky", "1.0.0", Behaviour::ok());
        let new = rolled(&world, &old).await;
        world.completed("picky").await;
        world.until_serving(&new, "picky", "1.0.0", 2).await;
    });
}

#[test]
fn a_module_that_fails_later_does_not_close_it_again() {
    scenario("base_rollout_open", |world| async move {
        let pods = world.bases_of(gated(1)).await;
        world.deployed(&module("flaky").policy("uninstall_then_install")).await;
        until_gate(&world, &pods[0], "True", "every module").await;

        world.jar("flaky", "2.0.0", Behaviour::fails("no"));
        world.release("flaky", "2.0.0").await;
        world.until_condition("flaky", "ReplicaFailure", "True", "InstallFailed").await;

        assert_eq!(gate(&world, &pods[0]).await.map(|(status, _)| status).as_deref(), Some("True"));
    });
}

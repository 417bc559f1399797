//! Bases that come, go and are closed, and what whoever scales them reads.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rig::cluster::{BasePod, Kind, SOON, World, base_deployment, module, scenario, scenario_without_operator, text};
use serde_json::{Value, json};

/// On a base pod.
const MAX: &str = "koupleless.io/max-module-count";

/// Base pods, each on a node of its own, that take so many modules.
fn apart(replicas: u32, max: &str) -> Value {
    let mut manifest = base_deployment("base", replicas);
    let template = &mut manifest["spec"]["template"];
    template["metadata"]["labels"][MAX] = json!(max);
    template["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!([{
        "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "base" } },
    }]);
    manifest
}

/// Waits until the message about missing bases has these words in it.
async fn until_explained(world: &World, name: &str, words: &str) {
    let explained = |now: &Value| {
        let shown = rig::cluster::condition(now, "ReplicaFailure").unwrap_or_default();
        shown["reason"] == "InsufficientBases" && text(&shown, "/message").contains(words)
    };
    world.until(name, words, explained).await;
}

/// Nodes are everybody's: what one story cordons another would uncordon.
static NODES: Mutex<()> = Mutex::new(());

#[test]
fn a_cordoned_node_gets_nothing_new_and_keeps_what_it_has() {
    let _alone = NODES.lock().unwrap_or_else(PoisonError::into_inner);
    scenario_without_operator("a_cordoned_node", |world| async move {
        world.start_operator_with_nodes().await;
        let pods = world.bases_of(apart(2, "1")).await;
        world.deployed(&module("stays").replicas(2)).await;
        world.deploy(&module("comes").replicas(2)).await;
        until_explained(&world, "comes", "2 bases: 2 full").await;
        let closed = &pods[0];
        let node = text(&world.get(Kind::Pod, &closed.name).await, "/spec/nodeName").to_owned();

        world.kubectl(&["cordon", &node]).await;
        until_explained(&world, "comes", "2 bases: 1 on a cordoned node, 1 full").await;
        for pod in &pods {
            world.patch(Kind::Pod, &pod.name, json!({ "metadata": { "labels": { MAX: "2" } } })).await;
        }

        until_explained(&world, "comes", "2 bases: 1 on a cordoned node, 1 with the module already").await;
        world.until_serving(&pods, "comes", "1.0.0", 1).await;
        world.no_writes_for(Duration::from_secs(2)).await;
        assert_eq!(world.installs(closed, "comes"), 0);
        assert_eq!(world.serving(&pods, "stays", "1.0.0").len(), 2);
        assert_eq!(world.deployment("stays").await["status"]["availableReplicas"], 2);

        world.kubectl(&["uncordon", &node]).await;
        world.completed("comes").await;
        world.until_serving(&pods, "comes", "1.0.0", 2).await;
        for pod in &pods {
            assert_eq!((world.installs(pod, "stays"), world.uninstalls(pod, "stays")), (1, 0), "{}", pod.name);
        }
    });
}

#[test]
fn what_is_on_a_cordoned_node_is_upgraded_there() {
    let _alone = NODES.lock().unwrap_or_else(PoisonError::into_inner);
    scenario_without_operator("upgraded_on_a_cordoned_node", |world| async move {
        world.start_operator_with_nodes().await;
        let pods = world.bases_of(apart(2, "1")).await;
        world.deployed(&module("each").replicas(-1)).await;
        let node = text(&world.get(Kind::Pod, &pods[0].name).await, "/spec/nodeName").to_owned();
        world.kubectl(&["cordon", &node]).await;

        world.release("each", "2.0.0").await;
        let done = world.completed("each").await;

        world.until_serving(&pods, "each", "2.0.0", 2).await;
        assert_eq!(done["status"]["availableReplicas"], 2);
        world.kubectl(&["uncordon", &node]).await;
    });
}

/// Whether the pod is still there and on its way out.
async fn is_ending(world: &World, pod: &BasePod) -> bool {
    let now = world.find(Kind::Pod, &pod.name).await;
    now.is_some_and(|now| text(&now, "/metadata/uid") == pod.uid && now["metadata"]["deletionTimestamp"].is_string())
}

#[test]
fn a_base_that_is_being_deleted_is_replaced_while_it_ends() {
    scenario("a_base_that_is_being_deleted", |world| async move {
        let mut manifest = base_deployment("base", 2);
        manifest["spec"]["template"]["metadata"]["annotations"] = json!({ "rig.koupleless.io/stop": "slow" });
        manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(60);
        let pods = world.bases_of(manifest).await;
        world.deployed(&module("heir").service(80)).await;
        let doomed = world.serving(&pods, "heir", "1.0.0")[0].clone();
        world.until_traffic(&[&doomed], "heir").await;

        world.kubectl(&["delete", "pod", &doomed.name, "--wait=false"]).await;

        world
            .until_modules("heir", "one, available elsewhere", |modules| {
                modules.len() == 1
                    && text(&modules[0], "/metadata/ownerReferences/0/uid") != doomed.uid
                    && modules[0]["status"]["status"] == "Available"
            })
            .await;
        let look = || async { if world.has_traffic(&doomed, "heir") { Err("it has".to_owned()) } else { Ok(()) } };
        world.eventually(SOON, "no traffic for the one that ends", look).await;
        assert!(is_ending(&world, &doomed).await, "all that happened while the pod was still there");
        assert_eq!(world.uninstalls(&doomed, "heir"), 0, "what goes with its pod is owed no uninstall");
        world.completed("heir").await;
    });
}

#[test]
fn autoscalers_of_bases_read_how_full_they_are_and_what_waits() {
    scenario("autoscalers_of_bases", |world| async move {
        world.bases_of(apart(2, "1")).await;
        world.deployed(&module("first").replicas(2)).await;
        world.deploy(&module("second")).await;

        until_gauges(&world, [("min", 1.0), ("average", 1.0), ("max", 1.0), ("wanted", 3.0)], 1.0).await;
        world.scale_bases("base", 3).await;
        world.completed("second").await;
        until_gauges(&world, [("min", 1.0), ("average", 1.0), ("max", 1.0), ("wanted", 3.0)], 0.0).await;

        world.undeploy("first").await;
        until_gauges(&world, [("min", 0.0), ("average", 1.0 / 3.0), ("max", 1.0), ("wanted", 1.0)], 0.0).await;
    });
}

/// Waits until `/metrics` says so of the base Deployment: modules on its pods, and modules that wait because they are full.
async fn until_gauges(world: &World, modules: [(&str, f64); 4], waiting: f64) {
    let base = format!(r#"namespace="{}",deployment="base""#, world.namespace());
    let mut wanted = vec![(format!(r#"module_controller_waiting_modules{{{base},reason="full"}}"#), waiting)];
    for (stat, value) in modules {
        wanted.push((format!(r#"module_controller_base_modules{{{base},stat="{stat}"}}"#), value));
    }
    let look = || async {
        for (series, value) in &wanted {
            let now = world.gauge(series).await;
            if now.is_none_or(|now| (now - value).abs() > 1e-9) {
                return Err(format!("{series} {now:?}, not {value}"));
            }
        }
        Ok(())
    };
    world.eventually(SOON, "the gauges follow", look).await;
}

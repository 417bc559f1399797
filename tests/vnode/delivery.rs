//! ModuleDeployments whose Modules are pods on virtual nodes: the operator and the provider together.

use std::time::Duration;

use rig::{
    arklet_sim::Behaviour,
    cluster::{BasePod, Kind, ModuleSpec, SOON, World, labelled_base, module, scenario_without_operator, text, vpod},
};
use serde_json::json;

/// On a ModuleDeployment: what it has stays when it goes.
const KEEP: &str = "koupleless.io/keep-biz";

/// Bases with their virtual nodes, and an operator that may read them.
async fn stage(world: &World, bases: u32) -> Vec<BasePod> {
    let pods = world.bases_of(labelled_base("base", bases, "1.0.0")).await;
    world.start_provider("provider").await;
    world.start_operator_with_nodes().await;
    pods
}

fn as_pods(name: &str) -> ModuleSpec {
    module(name).field("delivery", json!("VirtualPod"))
}

/// The names of the pods that are Modules.
async fn vpods(world: &World) -> Vec<String> {
    let pods = world.list(Kind::Pod).await;
    let ours = pods.iter().filter(|pod| !pod["metadata"]["labels"]["koupleless.io/module-replicaset"].is_null());
    ours.map(|pod| text(pod, "/metadata/name").to_owned()).collect()
}

async fn until_vpods(world: &World, count: usize) {
    world
        .eventually(SOON, &format!("{count} vPods"), || async {
            let names = vpods(world).await;
            if names.len() == count { Ok(()) } else { Err(format!("{names:?}")) }
        })
        .await;
}

#[test]
fn a_module_becomes_a_pod_and_goes_with_it() {
    scenario_without_operator("delivered_as_pods", |world| async move {
        let pods = stage(&world, 2).await;
        world.deployed(&as_pods("shop").replicas(2).service(80)).await;

        world.until_serving(&pods, "shop", "1.0.0", 2).await;
        let modules = world.modules("shop").await;
        let mut names: Vec<&str> = modules.iter().map(|module| text(module, "/metadata/name")).collect();
        let mut shown = vpods(&world).await;
        names.sort_unstable();
        shown.sort_unstable();
        assert_eq!(shown, names, "each has its Module's name");
        let pod = world.get(Kind::Pod, &shown[0]).await;
        assert!(text(&pod, "/spec/nodeName").starts_with("vnode."), "{pod}");
        let env = json!({ "key": "schedule.koupleless.io/node-env", "operator": "Equal", "value": world.env(), "effect": "NoExecute" });
        assert!(pod["spec"]["tolerations"].as_array().is_some_and(|all| all.contains(&env)), "{}", pod["spec"]);
        let owner = &pod["metadata"]["ownerReferences"][0];
        assert_eq!((&owner["kind"], &owner["name"]), (&json!("Module"), &pod["metadata"]["name"]));
        world.until_traffic(&pods.iter().collect::<Vec<_>>(), "shop").await;
        let mut wanted: Vec<_> = pods.iter().map(|pod| pod.ip).collect();
        wanted.sort_unstable();
        world
            .eventually(SOON, "the bases are the Service's endpoints, once each", || async {
                let endpoints = world.endpoints("shop").await;
                if endpoints == wanted { Ok(()) } else { Err(format!("{endpoints:?}")) }
            })
            .await;

        world.kubectl(&["scale", "mddeploy/shop", "--replicas=1"]).await;
        world.completed("shop").await;
        world.until_serving(&pods, "shop", "1.0.0", 1).await;
        until_vpods(&world, 1).await;

        world.undeploy("shop").await;
        until_vpods(&world, 0).await;
        assert!(pods.iter().all(|pod| world.base(pod).list().is_empty()));
    });
}

#[test]
fn every_policy_keeps_its_promise() {
    scenario_without_operator("delivered_by_every_policy", |world| async move {
        let pods = stage(&world, 3).await;
        for (policy, name, serving, versions) in [
            ("install_then_uninstall", "beside", 2, 2),
            ("uninstall_then_install", "after", 1, 1),
            ("scaleup_then_scaledown", "elsewhere", 2, 1),
        ] {
            world.deployed(&as_pods(name).replicas(2).policy(policy)).await;
            let began = world.now();
            world.release(name, "2.0.0").await;
            world.completed(name).await;

            world.until_serving(&pods, name, "2.0.0", 2).await;
            let timeline = world.timeline(&pods, name);
            assert_eq!(
                (timeline.least_serving(began), timeline.most_versions(began)),
                (serving, versions),
                "{policy}: {timeline:#?}"
            );
            world.undeploy(name).await;
        }
    });
}

#[test]
fn a_failing_jar_is_told_where_it_is_told_otherwise() {
    scenario_without_operator("delivered_jar_fails", |world| async move {
        let pods = stage(&world, 1).await;
        world.jar("bad", "1.0.0", Behaviour::fails("no bean of that name"));
        world.deploy(&as_pods("bad")).await;

        let shown = world.until_condition("bad", "ReplicaFailure", "True", "InstallFailed").await;
        assert!(text(&shown, "/message").contains("no bean of that name"), "{shown}");

        world.jar("bad", "1.0.0", Behaviour::ok());
        world.completed("bad").await;
        world.until_serving(&pods, "bad", "1.0.0", 1).await;
    });
}

#[test]
fn without_a_virtual_node_the_base_is_named() {
    scenario_without_operator("delivered_nowhere", |world| async move {
        let pods = world.bases_of(labelled_base("base", 1, "1.0.0")).await;
        world.start_operator_with_nodes().await;
        world.deploy(&as_pods("early")).await;

        let waiting = format!("no virtual node stands for base pod {}", pods[0].name);
        world
            .until_modules("early", "the Module says what it waits for", |modules| {
                modules.iter().any(|module| text(module, "/status/message") == waiting)
            })
            .await;

        world.start_provider("provider").await;
        world.completed("early").await;
        world.until_serving(&pods, "early", "1.0.0", 1).await;
    });
}

#[test]
fn a_deployment_changes_its_way_and_back_and_nothing_is_installed_again() {
    scenario_without_operator("delivery_changes", |world| async move {
        let pods = stage(&world, 2).await;
        world.deployed(&module("moves").replicas(2).service(80)).await;
        world.until_traffic(&pods.iter().collect::<Vec<_>>(), "moves").await;
        let began = world.now();
        assert_eq!(vpods(&world).await.len(), 0);

        world.change("moves", json!({ "delivery": "VirtualPod" })).await;
        until_vpods(&world, 2).await;
        world
            .eventually(SOON, "the vPods are ready", || async {
                let pods = world.list(Kind::Pod).await;
                let ready = pods.iter().filter(|pod| rig::cluster::is_vpod(pod) && rig::cluster::is_ready(pod)).count();
                if ready == 2 { Ok(()) } else { Err(format!("{ready}")) }
            })
            .await;
        world.completed("moves").await;
        world.no_writes_for(Duration::from_secs(3)).await;

        world.change("moves", json!({ "delivery": "Arklet" })).await;
        until_vpods(&world, 0).await;
        world.completed("moves").await;
        world.no_writes_for(Duration::from_secs(3)).await;

        for pod in &pods {
            assert_eq!((world.installs(pod, "moves"), world.uninstalls(pod, "moves")), (1, 0), "{}", pod.name);
        }
        assert_eq!(world.least_traffic(&pods, "moves", began), 2);
        world.undeploy("moves").await;
        assert!(pods.iter().all(|pod| world.base(pod).list().is_empty()));
    });
}

#[test]
fn peers_batches_and_a_restarted_operator_work_as_with_conversations() {
    scenario_without_operator("delivered_peers", |world| async move {
        stage(&world, 3).await;
        let peers = as_pods("all").replicas(-1).strategy("batchCount", json!(2)).strategy("needConfirm", json!(true));
        world.deploy(&peers).await;
        world.progress("all", "WaitingForConfirmation").await;
        world.change("all", json!({ "confirmBatchNum": 1 })).await;
        world.completed("all").await;

        let pods = world.scale_bases("base", 4).await;
        world.until_serving(&pods, "all", "1.0.0", 4).await;
        world.completed("all").await;

        world.kill_operator().await;
        world.start_operator_with_nodes().await;
        world.no_writes_for(Duration::from_secs(3)).await;
        for pod in &pods {
            assert_eq!((world.installs(pod, "all"), world.uninstalls(pod, "all")), (1, 0), "{}", pod.name);
        }
    });
}

#[test]
fn a_vpod_that_somebody_deletes_comes_again() {
    scenario_without_operator("delivered_vpod_deleted", |world| async move {
        let pods = stage(&world, 1).await;
        world.deployed(&as_pods("again")).await;
        let name = vpods(&world).await.remove(0);
        let uid = text(&world.get(Kind::Pod, &name).await, "/metadata/uid").to_owned();

        world.delete(Kind::Pod, &name).await;

        world
            .eventually(SOON, "another vPod of that name", || async {
                let pod = world.find(Kind::Pod, &name).await.ok_or("none".to_owned())?;
                if text(&pod, "/metadata/uid") != uid { Ok(()) } else { Err("the old one".to_owned()) }
            })
            .await;
        world.completed("again").await;
        world.until_serving(&pods, "again", "1.0.0", 1).await;
    });
}

#[test]
fn a_pod_that_has_the_name_of_a_vpod_is_named_and_left_alone() {
    scenario_without_operator("delivered_vpod_in_the_way", |world| async move {
        let pods = stage(&world, 1).await;
        world.deployed(&as_pods("late")).await;
        let name = vpods(&world).await.remove(0);
        world.stop_operator().await;
        world.delete(Kind::Pod, &name).await;
        world.gone(Kind::Pod, &name).await;
        let container = json!({ "name": "theirs", "image": "theirs" });
        world.create(Kind::Pod, json!({ "metadata": { "name": name }, "spec": { "containers": [container] } })).await;

        world.start_operator_with_nodes().await;

        let told = world.event(&name, "FailedCreate").await;
        assert!(told.contains("delete it") && told.contains(&name), "{told}");
        world.no_writes_for(Duration::from_secs(3)).await;
        let tried = world.creates("pods", "conflict").await;
        assert!((1.0..=12.0).contains(&tried), "tried {tried} times, and is to wait longer each time");
        assert_eq!(text(&world.get(Kind::Pod, &name).await, "/spec/containers/0/name"), "theirs");

        world.delete(Kind::Pod, &name).await;
        world.completed("late").await;
        world.until_serving(&pods, "late", "1.0.0", 1).await;
    });
}

/// A plain Deployment of the same module takes its place: nothing is uninstalled, the Service stays, and it gets what the
/// Deployment's pods say. `docs/moving-to-v2.md` has the same for a deployment that is delivered as pods.
#[test]
fn a_deployment_that_is_told_to_hands_its_modules_and_its_service_over() {
    scenario_without_operator("handed_over", |world| async move {
        let pods = stage(&world, 2).await;
        world.deployed(&module("shop").replicas(2).service(80)).await;
        let began = world.follow_endpoints("shop-service", 2).await;

        let plain = vpod("shop").replicas(2).apart().pod_label("module.koupleless.io/shop", "true");
        world.create(Kind::Deployment, plain.controller(&world)).await;
        world.until_ready_vpods(2).await;
        world.patch(Kind::ModuleDeployment, "shop", json!({ "metadata": { "annotations": { KEEP: "true" } } })).await;
        world.undeploy("shop").await;

        let look = || async {
            let owners = world.get(Kind::Service, "shop-service").await["metadata"]["ownerReferences"].clone();
            let labelled = pods.iter().filter(|pod| world.has_traffic(pod, "shop")).count();
            if owners.is_null() && labelled == 0 { Ok(()) } else { Err(format!("{owners}, {labelled} labelled")) }
        };
        world.eventually(SOON, "the Service is nobody's, and gets traffic for the vPods alone", look).await;
        assert!(world.list(Kind::Module).await.is_empty() && world.list(Kind::ModuleReplicaSet).await.is_empty());
        for pod in &pods {
            assert_eq!((world.installs(pod, "shop"), world.uninstalls(pod, "shop")), (1, 0), "{}", pod.name);
        }
        assert!(began.counts().iter().all(|ready| *ready == 2), "{:?}", began.counts());

        world.delete(Kind::Deployment, "shop").await;
        world.until_vpods("none", |pods| pods.is_empty()).await;
        assert!(pods.iter().all(|pod| world.base(pod).list().is_empty()), "it leaves with the last that it is for");
    });
}

/// Where nobody else is there to take them, they stay as they are, and the next deployment of that name finds them.
#[test]
fn what_was_left_is_found_again() {
    scenario_without_operator("left_and_found", |world| async move {
        let pods = stage(&world, 2).await;
        for delivery in ["VirtualPod", "Arklet"] {
            let shop = module("shop").replicas(2).service(80).field("delivery", json!(delivery));
            world.deployed(&shop).await;
            world
                .patch(Kind::ModuleDeployment, "shop", json!({ "metadata": { "annotations": { KEEP: "true" } } }))
                .await;
            world.undeploy("shop").await;
            until_vpods(&world, 0).await;
            assert_eq!(world.serving(&pods, "shop", "1.0.0").len(), 2, "{delivery}");
        }
        for pod in &pods {
            assert_eq!((world.installs(pod, "shop"), world.uninstalls(pod, "shop")), (1, 0), "{}", pod.name);
        }
        world.deployed(&module("shop").replicas(2).service(80)).await;
        world.undeploy("shop").await;
        assert!(pods.iter().all(|pod| world.base(pod).list().is_empty()), "without the mark all goes");
        world.gone(Kind::Service, "shop-service").await;
    });
}

//! Bases that restart, vanish or fall silent, and providers that do.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::{Api, api::DeleteParams};
use rig::{
    arklet_sim::{Behaviour, Command, Fault},
    cluster::{
        BasePod, Kind, SOON, World, condition, is_ready, labelled_base, scenario_without_operator, text, vnode_name,
        vpod,
    },
};
use serde_json::{Value, json};

async fn bases(world: &World, count: u32) -> Vec<BasePod> {
    let pods = world.bases_of(labelled_base("base", count, "1.0.0")).await;
    world.until_vnodes(pods.len()).await;
    pods
}

fn on(world: &World, base: &BasePod) -> impl Fn(&Value) -> bool + use<> {
    let name = vnode_name(world, base);
    move |pod| text(pod, "/spec/nodeName") == name
}

#[test]
fn a_silent_base_is_not_ready_and_its_pods_are_replaced_elsewhere() {
    scenario_without_operator("a_silent_base", |world| async move {
        // Long enough for the node lifecycle controller to taint it, and for the pods' toleration to end.
        world.start_provider_with("p", |settings| settings.times.dead = 20_000).await;
        let pods = bases(&world, 2).await;
        world.create(Kind::Deployment, vpod("shop").controller(&world)).await;
        let vpods = world.until_ready_vpods(1).await;
        let lost = pods.iter().find(|base| on(&world, base)(&vpods[0])).expect("its base").clone();
        let other = pods.iter().find(|base| base.uid != lost.uid).expect("the other base").clone();

        world.base(&lost).fault(Fault::Hang);

        let not_ready = || async {
            let node = world.vnode(&lost).await.ok_or("it is gone")?;
            let ready = condition(&node, "Ready").unwrap_or_default();
            if ready["status"] == "False" { Ok(ready) } else { Err(format!("{ready}")) }
        };
        let ready = world.eventually(SOON, "its VNode is NotReady", not_ready).await;
        assert_eq!(ready["reason"], "BaseUnreachable");
        world
            .until_vpods("one is Ready on the other base", |pods| {
                pods.iter().any(|pod| on(&world, &other)(pod) && is_ready(pod))
            })
            .await;
        let gone = || async { world.vnode(&lost).await.map_or(Ok(()), |node| Err(format!("{}", node["status"]))) };
        world.eventually(SOON, "its VNode goes", gone).await;
        world.until_ready_vpods(1).await;
        assert!(world.base(&lost).state("shop", "1.0.0").is_some(), "nobody could uninstall it");

        world.base(&lost).heal();
        world.until_vnodes(2).await;
        let emptied = || async {
            let list = world.base(&lost).list();
            if list.is_empty() { Ok(()) } else { Err(format!("{list:?}")) }
        };
        world.eventually(SOON, "what departed leaves the base that came back", emptied).await;
        assert_eq!(world.serving(&[other], "shop", "1.0.0").len(), 1);
    });
}

#[test]
fn a_base_pod_that_is_deleted_takes_its_vnode_along() {
    scenario_without_operator("a_base_pod_that_is_deleted", |world| async move {
        world.start_provider("p").await;
        let pods = bases(&world, 1).await;
        world.create(Kind::Deployment, vpod("shop").controller(&world)).await;
        world.until_ready_vpods(1).await;

        world.delete(Kind::Pod, &pods[0].name).await;
        let now = world.replaced(&pods[0], 1).await;

        let nodes = world.until_vnodes(1).await;
        assert_eq!(text(&nodes[0], "/metadata/name"), vnode_name(&world, &now[0]));
        let there = |vpods: &[Value]| vpods.len() == 1 && is_ready(&vpods[0]) && on(&world, &now[0])(&vpods[0]);
        world.until_vpods("one, on the new base", there).await;
        world.until_no_lease(&pods[0]).await;
    });
}

#[test]
fn a_restarted_base_gets_its_modules_back() {
    scenario_without_operator("a_restarted_base", |world| async move {
        world.start_provider("p").await;
        let pods = bases(&world, 1).await;
        world.create(Kind::Deployment, vpod("shop").controller(&world)).await;
        let before = world.until_ready_vpods(1).await;

        world.jar("shop", "1.0.0", Behaviour::ok().slow(Duration::from_secs(2)));
        world.base(&pods[0]).empty();

        world.until_vpods("not Ready meanwhile", |pods| pods.len() == 1 && !is_ready(&pods[0])).await;
        let after = world.until_ready_vpods(1).await;
        assert_eq!(before[0]["metadata"]["uid"], after[0]["metadata"]["uid"]);
        assert_eq!((world.installs(&pods[0], "shop"), world.uninstalls(&pods[0], "shop")), (2, 0));
    });
}

#[test]
fn a_provider_that_restarts_repeats_nothing() {
    scenario_without_operator("a_provider_that_restarts", |world| async move {
        world.start_provider("a").await;
        let pods = bases(&world, 2).await;
        world.create(Kind::Deployment, vpod("shop").replicas(2).apart().controller(&world)).await;
        let before = world.until_ready_vpods(2).await;
        let uids = |pods: &[Value]| -> Vec<Value> { pods.iter().map(|pod| pod["metadata"]["uid"].clone()).collect() };

        // It gives its Leases back, so that another, under any name, needn't wait.
        world.stop_provider("a").await;
        world.start_provider("b").await;
        world.kubectl(&["scale", "deployment/shop", "--replicas=1"]).await;
        world.until_ready_vpods(1).await;
        // One that is killed comes back under its name.
        world.kill_provider("b").await;
        world.start_provider("b").await;
        world.kubectl(&["scale", "deployment/shop", "--replicas=2"]).await;
        let after = world.until_ready_vpods(2).await;

        assert!(uids(&after).iter().any(|uid| uids(&before).contains(uid)), "one of them was there all the time");
        let total = |count: fn(&World, &BasePod, &str) -> usize| -> usize {
            pods.iter().map(|pod| count(&world, pod, "shop")).sum()
        };
        assert_eq!((total(World::installs), total(World::uninstalls)), (3, 1));
    });
}

#[test]
fn another_provider_takes_over_what_a_dead_one_held() {
    scenario_without_operator("another_provider", |world| async move {
        world.start_provider("a").await;
        let pods = bases(&world, 2).await;
        world.create(Kind::Deployment, vpod("shop").replicas(2).apart().controller(&world)).await;
        world.until_ready_vpods(2).await;
        let holder = |name: &'static str| {
            let (world, pods) = (world.clone(), pods.clone());
            move || {
                let (world, pods) = (world.clone(), pods.clone());
                async move {
                    for pod in &pods {
                        let lease = world.vnode_lease(pod).await.ok_or("there is no Lease")?;
                        let holder = text(&lease, "/spec/holderIdentity").to_owned();
                        if holder != name {
                            return Err(holder);
                        }
                    }
                    Ok(())
                }
            }
        };

        world.start_provider("b").await;
        world.always(Duration::from_secs(3), "a living provider keeps its VNodes", holder("a")).await;
        let counted = || async {
            let scrape = world.provider_metrics("b").await;
            let has = |line: &str| scrape.lines().any(|one| one == line);
            let stands_by = has("module_controller_vnodes{state=\"standby\"} 2");
            let counts_no_pods = has("module_controller_vpods{state=\"ready\"} 0");
            if stands_by && counts_no_pods { Ok(()) } else { Err(scrape) }
        };
        world.eventually(SOON, "it counts the other's VNodes as such, and not their pods", counted).await;
        world.kill_provider("a").await;
        world.eventually(SOON, "the other one has all of them", holder("b")).await;

        world.kubectl(&["scale", "deployment/shop", "--replicas=1"]).await;
        world.until_ready_vpods(1).await;
        let asked =
            |command| pods.iter().flat_map(|pod| world.calls(pod)).filter(|call| call.command == command).count();
        assert_eq!((asked(Command::Install), asked(Command::Uninstall)), (2, 1));
        world.until_vnodes(2).await;
    });
}

#[test]
fn what_ended_while_no_provider_ran_is_cleared_away() {
    scenario_without_operator("what_ended_while", |world| async move {
        world.start_provider("a").await;
        let pods = bases(&world, 2).await;
        world.stop_provider("a").await;
        world.scale_bases("base", 1).await;
        let left = world.pods("base").await;
        let lost = pods.iter().find(|pod| !left.contains(pod)).expect("one was taken away");

        world.start_provider("b").await;

        let nodes = world.until_vnodes(1).await;
        assert_eq!(text(&nodes[0], "/metadata/name"), vnode_name(&world, &left[0]));
        world.until_no_lease(lost).await;
    });
}

#[test]
fn a_lease_whose_provider_died_right_after_deleting_the_node_is_cleared_away() {
    scenario_without_operator("a_lease_that_was_left", |world| async move {
        world.start_provider("a").await;
        let lost = bases(&world, 1).await.remove(0);
        world.kill_provider("a").await;
        world.scale_bases("base", 0).await;
        let nodes: Api<Node> = Api::all(world.client());
        nodes.delete(&vnode_name(&world, &lost), &DeleteParams::default()).await.expect("deleted");
        world.until_vnodes(0).await;
        assert!(world.vnode_lease(&lost).await.is_some());

        world.start_provider("b").await;

        world.until_no_lease(&lost).await;
    });
}

#[test]
fn a_pod_that_is_deleted_by_force_leaves_nothing_behind() {
    scenario_without_operator("a_pod_that_is_deleted_by_force", |world| async move {
        world.start_provider("p").await;
        let pods = bases(&world, 1).await;
        world.create(Kind::Pod, vpod("shop").pod(&world)).await;
        world.until_ready_vpods(1).await;

        world.kubectl(&["delete", "pod", "shop", "--grace-period=0", "--force"]).await;

        let emptied = || async {
            let list = world.base(&pods[0]).list();
            if list.is_empty() { Ok(()) } else { Err(format!("{list:?}")) }
        };
        world.eventually(SOON, "the module is uninstalled", emptied).await;
        assert_eq!(world.uninstalls(&pods[0], "shop"), 1);
    });
}

#[test]
fn a_pod_that_loses_its_label_keeps_its_module() {
    scenario_without_operator("a_pod_that_loses_its_label", |world| async move {
        world.start_provider("p").await;
        let pods = bases(&world, 1).await;
        world.create(Kind::Pod, vpod("shop").pod(&world)).await;
        world.until_ready_vpods(1).await;

        let none = json!({ "metadata": { "labels": { "virtual-kubelet.koupleless.io/component": null } } });
        world.patch(Kind::Pod, "shop", none).await;

        let serves = || async {
            let uninstalls = world.uninstalls(&pods[0], "shop");
            if uninstalls == 0 { Ok(()) } else { Err(format!("{uninstalls} uninstalls")) }
        };
        world.always(Duration::from_secs(3), "the module stays", serves).await;
    });
}

//! Bases and agents that misbehave.

use std::time::Duration;

use rig::{
    arklet_sim::{Command, Fault},
    cluster::{BasePod, Kind, World, condition, module, scenario, text},
};
use serde_json::json;

#[test]
fn a_module_follows_its_base_pod_to_the_next_one() {
    scenario("a_module_follows", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("nomad").replicas(2)).await;
        let lost = &pods[0];

        world.delete(Kind::Pod, &lost.name).await;
        let now = world.replaced(lost, 2).await;
        world.until_serving(&now, "nomad", "1.0.0", 2).await;
        world.completed("nomad").await;

        let homes = world.modules("nomad").await;
        assert!(homes.iter().all(|home| text(home, "/metadata/ownerReferences/0/uid") != lost.uid), "{homes:#?}");
        assert_eq!(world.installs(&pods[1], "nomad"), 1, "the other base isn't touched");
        world.no_writes_for(Duration::from_secs(3)).await;
    });
}

#[test]
fn a_module_moves_to_a_base_that_is_there() {
    scenario("a_module_moves", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("guest")).await;
        let home = world.serving(&pods, "guest", "1.0.0")[0].clone();
        let other = pods.iter().find(|pod| **pod != home).expect("another").clone();

        // The pod goes and none comes in its place.
        let first = json!({ "metadata": { "annotations": { "controller.kubernetes.io/pod-deletion-cost": "-100" } } });
        world.patch(Kind::Pod, &home.name, first).await;
        assert_eq!(world.scale_bases("base", 1).await, std::slice::from_ref(&other));
        world.until_serving(&[other], "guest", "1.0.0", 1).await;
        world.completed("guest").await;
    });
}

async fn restarted(world: &World, pod: &BasePod) {
    world.base(pod).empty();
    let status = json!([{ "name": "base", "image": "base", "imageID": "", "ready": true, "restartCount": 1 }]);
    let patch = json!({ "status": { "containerStatuses": status } }).to_string();
    world.kubectl(&["patch", "pod", &pod.name, "--subresource=status", "--type=strategic", "-p", &patch]).await;
}

#[test]
fn a_restarted_container_gets_its_modules_again() {
    scenario("a_restarted_container", |world| async move {
        let pods = world.bases(1).await;
        for name in ["one", "two"] {
            world.deployed(&module(name)).await;
        }

        restarted(&world, &pods[0]).await;

        for name in ["one", "two"] {
            world.until_serving(&pods, name, "1.0.0", 1).await;
            world.completed(name).await;
            assert_eq!(world.installs(&pods[0], name), 2);
        }
        world.until_traffic(&[&pods[0]], "one").await;
    });
}

#[test]
fn an_emptied_base_is_found_within_the_health_interval() {
    scenario("an_emptied_base", |world| async move {
        let pods = world.bases(1).await;
        world.deployed(&module("gone")).await;
        world.until_traffic(&[&pods[0]], "gone").await;

        world.base(&pods[0]).empty();
        let emptied = world.now();
        world.until_serving(&pods, "gone", "1.0.0", 1).await;

        let again = world.calls(&pods[0]).iter().rfind(|call| call.command == Command::Install).expect("one").at;
        assert!(again - emptied < Duration::from_secs(4), "{:?}", again - emptied);
        world.completed("gone").await;
    });
}

#[test]
fn a_hanging_agent_delays_nobody_and_keeps_its_modules() {
    scenario("a_hanging_agent", |world| async move {
        let pods = world.bases(3).await;
        world.deployed(&module("calm").replicas(3)).await;
        world.until_traffic(&pods.iter().collect::<Vec<_>>(), "calm").await;

        world.base(&pods[0]).fault(Fault::Hang);
        for name in ["n1", "n2", "n3"] {
            world.deploy(&module(name).replicas(2)).await;
        }
        let began = world.now();
        for name in ["n1", "n2", "n3"] {
            for pod in &pods[1..] {
                world
                    .eventually(Duration::from_secs(5), "the healthy bases are served", || async {
                        let wanted = world.modules(name).await;
                        let mine = |one: &&serde_json::Value| text(one, "/metadata/ownerReferences/0/uid") == pod.uid;
                        match wanted.iter().find(mine).map(|one| text(one, "/status/status").to_owned()).as_deref() {
                            None | Some("Available") if !wanted.is_empty() => Ok(()),
                            phase => Err(format!("{name} on {}: {phase:?}", pod.name)),
                        }
                    })
                    .await;
            }
        }
        world
            .always(Duration::from_secs(10), "what ran still counts", || async {
                let now = world.deployment("calm").await;
                let available = &now["status"]["availableReplicas"];
                if *available == 3 { Ok(()) } else { Err(format!("{:#}", now["status"])) }
            })
            .await;
        assert!(world.has_traffic(&pods[0], "calm") && world.now() - began < Duration::from_secs(60));

        world.base(&pods[0]).heal();
        for name in ["n1", "n2", "n3", "calm"] {
            world.completed(name).await;
        }
        assert_eq!(world.installs(&pods[0], "calm"), 1);
    });
}

#[test]
fn an_agent_that_is_silent_for_a_minute_no_longer_counts() {
    scenario("an_agent_that_is_silent", |world| async move {
        let pods = world.bases(1).await;
        world.deployed(&module("still")).await;
        world.until_traffic(&[&pods[0]], "still").await;
        let began = world.now();

        world.base(&pods[0]).fault(Fault::Hang);
        let look = || async {
            let now = world.deployment("still").await;
            if now["status"]["availableReplicas"] == 0 { Ok(now) } else { Err(format!("{:#}", now["status"])) }
        };
        let now = world.eventually(Duration::from_secs(80), "it no longer counts", look).await;

        assert!(world.now() - began >= Duration::from_secs(58), "{:?}", world.now() - began);
        let shown = condition(&now, "ReplicaFailure").expect("ReplicaFailure");
        assert_eq!(shown["reason"], "AgentUnreachable");
        assert!(text(&shown, "/message").contains(&pods[0].name), "{shown}");
        assert!(world.has_traffic(&pods[0], "still"), "nobody knows that it doesn't serve");
        world.base(&pods[0]).heal();
        world.completed("still").await;
        assert_eq!((world.installs(&pods[0], "still"), world.uninstalls(&pods[0], "still")), (1, 0));
    });
}

#[test]
fn a_base_with_a_silent_agent_stops_no_release() {
    scenario("a_base_with_a_silent_agent", |world| async move {
        let mut pods = world.bases(3).await;
        pods.sort_by(|one, other| one.name.cmp(&other.name));
        let (silent, others) = (&pods[0], &pods[1..]);
        world.deployed(&module("goes").replicas(3)).await;
        world.base(silent).fault(Fault::Hang);
        let look = || async {
            let now = world.deployment("goes").await;
            if now["status"]["availableReplicas"] == 2 { Ok(()) } else { Err(format!("{:#}", now["status"])) }
        };
        world.eventually(Duration::from_secs(80), "it no longer counts", look).await;

        world.release("goes", "2.0.0").await;

        world.until_serving(others, "goes", "2.0.0", 2).await;
        let old_ones = |modules: &[serde_json::Value]| -> Vec<serde_json::Value> {
            modules.iter().filter(|one| one["spec"]["module"]["version"] == "1.0.0").cloned().collect()
        };
        let left = world
            .until_modules("goes", "the old version is left on the silent base only", |modules| {
                old_ones(modules).len() == 1 && modules.len() == 4
            })
            .await;
        let left = old_ones(&left).remove(0);
        assert_eq!(text(&left, "/metadata/ownerReferences/0/uid"), silent.uid);
        assert_eq!(left["metadata"]["deletionTimestamp"], serde_json::Value::Null, "it may serve all the same");
        let shown = world.until_condition("goes", "ReplicaFailure", "True", "AgentUnreachable").await;
        assert!(text(&shown, "/message").contains(&silent.name), "{shown}");
        world.base(silent).heal();
        world.completed("goes").await;
        world.until_serving(&pods, "goes", "2.0.0", 3).await;
    });
}

#[test]
fn nonsense_from_an_agent_changes_nothing() {
    scenario("nonsense_from_an_agent", |world| async move {
        let pods = world.bases(1).await;
        world.deployed(&module("deaf")).await;
        world.until_traffic(&[&pods[0]], "deaf").await;
        let base = world.base(&pods[0]);

        for fault in [Fault::Garbage, Fault::Status500, Fault::Reset, Fault::Redirect("http://127.0.0.1:1/".to_owned())]
        {
            base.fault(fault.clone());
            world
                .always(Duration::from_millis(2500), &format!("{fault:?}"), || async {
                    let now = world.deployment("deaf").await;
                    let serves = now["status"]["availableReplicas"] == 1 && world.has_traffic(&pods[0], "deaf");
                    if serves { Ok(()) } else { Err(format!("{:#}", now["status"])) }
                })
                .await;
        }

        base.heal();
        world.no_writes_for(Duration::from_secs(2)).await;
        assert_eq!((world.installs(&pods[0], "deaf"), world.uninstalls(&pods[0], "deaf")), (1, 0));
    });
}

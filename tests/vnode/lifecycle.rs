//! From a base to a module that serves in it, and back.

use std::collections::BTreeMap;

use rig::{
    arklet_sim::State,
    cluster::{Kind, SOON, labelled_base, scenario_without_operator, text, vnode_name, vpod},
};
use serde_json::json;

/// A renewal of a Lease, as the provider counts it.
const RENEWAL: &str = "update leases";

#[test]
fn a_base_becomes_a_node_and_a_pod_on_it_a_module() {
    scenario_without_operator("a_base_becomes_a_node", |world| async move {
        world.start_provider("p").await;
        world.create(Kind::Deployment, vpod("shop").controller(&world)).await;
        world
            .until_vpods("Pending, because there is no base", |pods| {
                pods.len() == 1
                    && pods[0]["status"]["phase"] == "Pending"
                    && pods[0]["status"]["conditions"][0]["reason"] == "Unschedulable"
            })
            .await;

        let pods = world.bases_of(labelled_base("base", 1, "1.0.0")).await;
        let nodes = world.until_vnodes(1).await;
        let vpods = world.until_ready_vpods(1).await;

        assert_eq!(text(&nodes[0], "/metadata/name"), vnode_name(&world, &pods[0]));
        assert_eq!(text(&nodes[0], "/status/addresses/0/address"), pods[0].ip.to_string());
        assert_eq!(text(&nodes[0], "/metadata/labels/base.koupleless.io~1version"), "1.0.0");
        let lease = world.vnode_lease(&pods[0]).await.expect("a Lease");
        assert_eq!(text(&lease, "/spec/holderIdentity"), "p");
        assert_eq!(world.base(&pods[0]).state("shop", "1.0.0"), Some(State::Activated));
        let status = &vpods[0]["status"];
        assert_eq!((&status["phase"], &status["podIP"]), (&json!("Running"), &json!(pods[0].ip.to_string())));
        assert!(!text(status, "/containerStatuses/0/state/running/startedAt").is_empty(), "{status:#}");
        let by_address = format!("--field-selector=status.podIP={}", pods[0].ip);
        let shown = world.kubectl(&["get", "pods", "-l", "app=shop", &by_address, "--no-headers"]).await;
        assert!(shown.contains("1/1") && shown.contains("Running"), "{shown}");

        world.delete(Kind::Deployment, "shop").await;
        world.until_vpods("none", |pods| pods.is_empty()).await;
        assert!(world.base(&pods[0]).list().is_empty());
        assert_eq!((world.installs(&pods[0], "shop"), world.uninstalls(&pods[0], "shop")), (1, 1));
    });
}

#[test]
fn a_vnode_with_nothing_to_do_renews_its_lease_and_writes_nothing_else() {
    scenario_without_operator("a_vnode_with_nothing", |world| async move {
        world.start_provider("p").await;
        world.create(Kind::Deployment, vpod("shop").controller(&world)).await;
        world.bases_of(labelled_base("base", 1, "1.0.0")).await;
        world.until_ready_vpods(1).await;

        let renewals = |writes: &BTreeMap<String, u64>| writes.get(RENEWAL).copied().unwrap_or(0);
        let others = |mut writes: BTreeMap<String, u64>| {
            writes.remove(RENEWAL);
            writes
        };
        // What was written for the vPod may still be followed by what the base says of its memory.
        let quiet = || async {
            let before = world.provider_writes("p").await;
            let renewed = || async {
                let now = world.provider_writes("p").await;
                if renewals(&now) >= renewals(&before) + 5 { Ok(now) } else { Err(format!("{now:?}")) }
            };
            // In this time the base is asked five times how it is, and what it has.
            let after = world.eventually(SOON, "five renewals", renewed).await;
            let (before, after) = (others(before), others(after));
            if before == after { Ok(()) } else { Err(format!("{before:?} became {after:?}")) }
        };
        world.eventually(SOON, "five renewals in a row without any other write", quiet).await;
    });
}

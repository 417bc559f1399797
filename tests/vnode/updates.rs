//! Rolling updates of plain Deployments: what their Service and their bases see.

use rig::{
    arklet_sim::Behaviour,
    cluster::{Kind, World, is_ready, labelled_base, scenario_without_operator, vpod},
};
use std::time::Duration;

/// Whether all vPods are Ready and ask for this version.
fn all_of(version: &'static str, count: usize) -> impl Fn(&[serde_json::Value]) -> bool {
    move |pods| {
        let of = |pod: &serde_json::Value| pod["spec"]["containers"][0]["env"][0]["value"] == version && is_ready(pod);
        pods.len() == count && pods.iter().all(of)
    }
}

async fn bases(world: &World, count: u32) -> Vec<rig::cluster::BasePod> {
    world.start_provider("p").await;
    let pods = world.bases_of(labelled_base("base", count, "1.0.0")).await;
    world.until_vnodes(pods.len()).await;
    pods
}

#[test]
fn on_one_base_the_service_is_never_without_a_ready_pod() {
    scenario_without_operator("on_one_base", |world| async move {
        let pods = bases(&world, 1).await;
        let shop = vpod("shop").rolling(1, 0);
        world.create(Kind::Deployment, shop.controller(&world)).await;
        world.until_ready_vpods(1).await;
        let endpoints = world.followed_service("shop", 1).await;
        let began = world.now();

        world.release_vpods(&shop.clone().version("2.0.0")).await;
        world.until_vpods("one of version 2.0.0", all_of("2.0.0", 1)).await;

        let counts = endpoints.counts();
        assert!(!counts.is_empty() && counts.iter().all(|ready| *ready >= 1), "{counts:?}");
        assert!(world.timeline(&pods, "shop").never_interrupted(began));
        assert_eq!(world.base(&pods[0]).serving("shop").as_deref(), Some("2.0.0"));
        assert_eq!((world.installs(&pods[0], "shop"), world.uninstalls(&pods[0], "shop")), (2, 1));
    });
}

#[test]
fn on_three_bases_no_ready_pod_of_another_base_is_taken_away() {
    scenario_without_operator("on_three_bases", |world| async move {
        let pods = bases(&world, 3).await;
        let shop = vpod("shop").replicas(3).apart().rolling(1, 0);
        world.create(Kind::Deployment, shop.controller(&world)).await;
        world.until_ready_vpods(3).await;
        let endpoints = world.followed_service("shop", 3).await;
        let began = world.now();

        world.release_vpods(&shop.clone().version("2.0.0")).await;
        world.until_vpods("three of version 2.0.0", all_of("2.0.0", 3)).await;

        let counts = endpoints.counts();
        assert!(!counts.is_empty() && counts.iter().all(|ready| *ready >= 2), "{counts:?}");
        assert!(world.timeline(&pods, "shop").never_interrupted(began), "a base was without the module");
        world.until_serving(&pods, "shop", "2.0.0", 3).await;
    });
}

#[test]
fn all_bases_at_once_keep_a_ready_pod_too() {
    scenario_without_operator("all_bases_at_once", |world| async move {
        let pods = bases(&world, 3).await;
        let shop = vpod("shop").replicas(3).apart().rolling(3, 0);
        world.create(Kind::Deployment, shop.controller(&world)).await;
        world.until_ready_vpods(3).await;
        let endpoints = world.followed_service("shop", 3).await;
        let began = world.now();

        world.jar("shop", "2.0.0", Behaviour::ok().slow(Duration::from_millis(300)));
        world.release_vpods(&shop.clone().version("2.0.0")).await;
        world.until_vpods("three of version 2.0.0", all_of("2.0.0", 3)).await;

        let counts = endpoints.counts();
        assert!(!counts.is_empty() && counts.iter().all(|ready| *ready >= 1), "{counts:?}");
        assert!(world.timeline(&pods, "shop").never_interrupted(began), "a base was without the module");
    });
}

#[test]
fn a_version_that_cannot_start_leaves_the_old_one_serving_and_is_rolled_back() {
    scenario_without_operator("a_version_that_cannot_start", |world| async move {
        let pods = bases(&world, 1).await;
        let shop = vpod("shop").rolling(1, 0);
        world.create(Kind::Deployment, shop.controller(&world)).await;
        world.until_ready_vpods(1).await;
        let began = world.now();
        world.jar("shop", "2.0.0", Behaviour::fails("java.lang.IllegalStateException: no database"));

        world.release_vpods(&shop.clone().version("2.0.0")).await;
        let told = world
            .until_vpods("the agent's reason", |pods| {
                pods.iter()
                    .any(|pod| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "InstallFailed")
            })
            .await;
        let failed = told.iter().find(|pod| !is_ready(pod)).expect("the new one");
        let message = failed["status"]["containerStatuses"][0]["state"]["waiting"]["message"].to_string();
        assert!(message.contains("no database"), "{message}");
        assert_eq!(failed["status"]["phase"], "Pending");
        assert!(told.iter().any(is_ready), "the old one serves");

        world.kubectl(&["rollout", "undo", "deployment/shop"]).await;
        world.until_vpods("the old version alone", all_of("1.0.0", 1)).await;
        assert!(world.timeline(&pods, "shop").never_interrupted(began));
    });
}

#[test]
fn a_rollback_makes_the_older_version_the_active_one_again() {
    scenario_without_operator("a_rollback", |world| async move {
        let pods = bases(&world, 1).await;
        let shop = vpod("shop").rolling(1, 0);
        world.create(Kind::Deployment, shop.controller(&world)).await;
        world.until_ready_vpods(1).await;
        world.release_vpods(&shop.clone().version("2.0.0")).await;
        world.until_vpods("one of version 2.0.0", all_of("2.0.0", 1)).await;
        let began = world.now();

        world.kubectl(&["rollout", "undo", "deployment/shop"]).await;
        world.until_vpods("one of version 1.0.0", all_of("1.0.0", 1)).await;

        assert_eq!(world.base(&pods[0]).serving("shop").as_deref(), Some("1.0.0"));
        assert!(world.timeline(&pods, "shop").never_interrupted(began));
    });
}

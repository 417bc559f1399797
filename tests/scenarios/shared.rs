//! Bases and modules that several have to do with.

use std::time::Duration;

use rig::{
    arklet_sim::State,
    cluster::{SOON, condition, module, scenario, text},
};

#[test]
fn a_foreign_biz_is_left_alone_and_its_base_is_not_used() {
    scenario("a_foreign_biz", |world| async move {
        let pods = world.bases(2).await;
        world.base(&pods[0]).put("legacy", "0.9", State::Activated);

        world.deploy(&module("legacy")).await;

        world.until_serving(&pods[1..], "legacy", "1.0.0", 1).await;
        world.completed("legacy").await;
        assert_eq!(world.base(&pods[0]).serving("legacy").as_deref(), Some("0.9"));
        assert_eq!(world.installs(&pods[0], "legacy"), 0);
        assert!(world.calls(&pods[0]).iter().all(|call| call.version != "0.9"));
        world.undeploy("legacy").await;
        assert_eq!(world.base(&pods[0]).serving("legacy").as_deref(), Some("0.9"));
        assert!(world.base(&pods[1]).list().is_empty());
    });
}

#[test]
fn with_foreign_biz_everywhere_the_condition_says_so() {
    scenario("with_foreign_biz", |world| async move {
        let pods = world.bases(1).await;
        world.base(&pods[0]).put("static", "0.9", State::Activated);

        world.deploy(&module("static")).await;

        let look = || async {
            let now = world.deployment("static").await;
            let shown = condition(&now, "ReplicaFailure").unwrap_or_default();
            if text(&shown, "/message").contains("foreign") || text(&shown, "/message").contains("0.9") {
                return Ok(());
            }
            Err(format!("{:#}", now["status"]))
        };
        world.eventually(SOON, "a condition about the foreign biz", look).await;
        world.no_writes_for(Duration::from_secs(4)).await;
        assert_eq!((world.installs(&pods[0], "static"), world.uninstalls(&pods[0], "static")), (0, 0));
    });
}

#[test]
fn a_base_is_used_once_the_foreign_biz_on_it_is_gone() {
    scenario("foreign_gone", |world| async move {
        let pods = world.bases(1).await;
        world.base(&pods[0]).put("late", "0.9", State::Activated);
        // From here on the operator knows what runs on the base.
        world.deployed(&module("first")).await;
        world.deploy(&module("late")).await;
        world.until_condition("late", "ReplicaFailure", "True", "InsufficientBases").await;
        assert_eq!(world.modules("late").await.len(), 0);

        world.base(&pods[0]).remove("late", "0.9");

        world.completed("late").await;
        assert_eq!((world.installs(&pods[0], "late"), world.uninstalls(&pods[0], "late")), (1, 0));
    });
}

#[test]
fn two_deployments_of_one_module_leave_each_other_alone() {
    scenario("two_deployments", |world| async move {
        let pods = world.bases(3).await;
        world.deployed(&module("left").of("twin")).await;
        world.deployed(&module("right").of("twin").version("2.0.0")).await;
        let left = world.serving(&pods, "twin", "1.0.0")[0].clone();
        let right = world.serving(&pods, "twin", "2.0.0")[0].clone();
        assert_ne!(left, right);

        world.kubectl(&["scale", "mddeploy/left", "--replicas=3"]).await;
        world.until_condition("left", "ReplicaFailure", "True", "InsufficientBases").await;
        world.until_serving(&pods, "twin", "1.0.0", 2).await;
        world.until_serving(&pods, "twin", "2.0.0", 1).await;

        world.undeploy("left").await;
        world.until_serving(&pods, "twin", "1.0.0", 0).await;
        assert_eq!(world.serving(&pods, "twin", "2.0.0"), [&right]);
        assert_eq!((world.installs(&right, "twin"), world.uninstalls(&right, "twin")), (1, 0));
    });
}

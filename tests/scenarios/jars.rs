//! Jars that fail, break or are something else, and biz that are there already.

use std::time::Duration;

use rig::{
    arklet_sim::{Behaviour, Command, Fault, State},
    cluster::{SOON, condition, module, scenario, text},
};
use serde_json::json;

#[test]
fn a_failing_install_is_explained_retried_slowly_and_recovers() {
    scenario("a_failing_install", |world| async move {
        let pods = world.bases(1).await;
        let cause = "java.lang.IllegalStateException: datasource orders is missing";
        world.jar("fail", "1.0.0", Behaviour::fails(cause));
        let began = world.now();

        world.deploy(&module("fail")).await;
        let modules = world
            .until_modules("fail", "a failure", |all| all.iter().any(|one| one["status"]["reason"] == "InstallFailed"))
            .await;
        assert!(text(&modules[0], "/status/message").contains(cause), "{:#}", modules[0]["status"]);
        assert!(world.event(text(&modules[0], "/metadata/name"), "InstallFailed").await.contains(cause));
        let shown = world.until_condition("fail", "ReplicaFailure", "True", "InstallFailed").await;
        assert!(text(&shown, "/message").contains(cause) && text(&shown, "/message").contains("1 Module"), "{shown}");
        world
            .eventually(SOON, "six seconds pass", || async {
                if world.now() - began > Duration::from_secs(6) { Ok(()) } else { Err(String::new()) }
            })
            .await;
        let tries = world.installs(&pods[0], "fail");
        assert!((2..=4).contains(&tries), "{tries} tries in 6 s");
        assert_eq!(world.deployment("fail").await["status"]["availableReplicas"], 0);
        let events = world.events(text(&modules[0], "/metadata/name")).await;
        assert_eq!(events.len(), 1, "one cause, one Event: {events:?}");

        world.jar("fail", "1.0.0", Behaviour::ok());
        let done = world.completed("fail").await;
        assert_eq!(condition(&done, "ReplicaFailure"), None);
        let healed = &world.modules("fail").await[0];
        assert!(healed["status"]["message"].is_null() && healed["status"]["reason"].is_null(), "{healed:#}");
    });
}

#[test]
fn a_broken_biz_is_shown_and_repaired() {
    scenario("a_broken_biz", |world| async move {
        let pods = world.bases(1).await;
        world.deployed(&module("crash")).await;
        world.until_traffic(&[&pods[0]], "crash").await;

        world.base(&pods[0]).set_state("crash", "1.0.0", State::Broken);
        world
            .until_modules("crash", "shown as broken", |all| {
                all.iter().any(|one| text(one, "/status/message").contains("BROKEN"))
            })
            .await;
        world.until_serving(&pods, "crash", "1.0.0", 1).await;
        world.completed("crash").await;
        assert_eq!((world.installs(&pods[0], "crash"), world.uninstalls(&pods[0], "crash")), (2, 1));
        assert!(world.traffic_ended(&pods[0], "crash").is_some(), "no traffic for a broken biz");
        world.until_traffic(&[&pods[0]], "crash").await;
    });
}

#[test]
fn a_biz_that_is_there_already_is_not_installed_again() {
    scenario("a_biz_that_is_there", |world| async move {
        let pods = world.bases(1).await;
        world.base(&pods[0]).put("there", "1.0.0", State::Activated);

        world.deployed(&module("there")).await;

        assert_eq!((world.installs(&pods[0], "there"), world.uninstalls(&pods[0], "there")), (0, 0));
    });
}

#[test]
fn an_install_whose_answer_is_lost_is_not_repeated() {
    scenario("an_install_whose_answer", |world| async move {
        let pods = world.bases(1).await;
        world.base(&pods[0]).fault_once(Command::Install, Fault::CloseAfter);

        world.deployed(&module("mute")).await;

        assert_eq!((world.installs(&pods[0], "mute"), world.uninstalls(&pods[0], "mute")), (1, 0));
        let status = &world.modules("mute").await[0]["status"];
        assert!(status["message"].is_null(), "{status}");
    });
}

#[test]
fn a_jar_of_another_identity_is_named_and_undone() {
    scenario("a_jar_of_another", |world| async move {
        let pods = world.bases(1).await;
        world.jar("mine", "1.0.0", Behaviour::ok().manifest("yours", "7.0"));

        world.deploy(&module("mine")).await;
        let shown = world.until_condition("mine", "ReplicaFailure", "True", "InstallFailed").await;

        assert!(text(&shown, "/message").contains("yours:7.0, not mine:1.0.0"), "{shown}");
        let base = world.base(&pods[0]);
        assert!(base.until(SOON, |list| list.is_empty()).await, "{:?}", base.list());
        assert!(world.uninstalls(&pods[0], "yours") >= 1);
        world.jar("mine", "1.0.0", Behaviour::ok());
        world.completed("mine").await;
        assert_eq!(base.list().len(), 1, "{:?}", base.list());
    });
}

#[test]
fn a_biz_that_somebody_else_installs_meanwhile_is_accepted() {
    scenario("a_biz_that_somebody_else", |world| async move {
        let pods = world.bases(1).await;
        let base = world.base(&pods[0]);
        // The command waits in the agent while the biz comes from elsewhere: the answer is REPEAT_BIZ.
        base.fault_once(Command::Install, Fault::Delay(Duration::from_secs(2)));
        world.deploy(&module("race")).await;
        world
            .eventually(SOON, "the install is on its way", || async {
                let asked = world.installs(&pods[0], "race");
                if asked == 1 { Ok(()) } else { Err(format!("{asked}")) }
            })
            .await;

        base.put("race", "1.0.0", State::Activated);

        world.completed("race").await;
        assert_eq!((world.installs(&pods[0], "race"), world.uninstalls(&pods[0], "race")), (1, 0));
        assert!(world.modules("race").await[0]["status"]["message"].is_null());
    });
}

#[test]
fn another_url_ends_the_waiting_after_failures() {
    scenario("another_url_ends", |world| async move {
        let pods = world.bases(1).await;
        world.jar("lost", "1.0.0", Behaviour::unfetchable("java.io.FileNotFoundException: lost-1.0.0.jar"));
        world.deploy(&module("lost")).await;
        world
            .eventually(SOON, "three tries", || async {
                let tries = world.installs(&pods[0], "lost");
                if tries >= 3 { Ok(()) } else { Err(format!("{tries}")) }
            })
            .await;
        let changed = world.now();

        let url = world.url("lost", "found");
        world.change("lost", json!({ "template": { "spec": { "module": { "url": url } } } })).await;
        world.completed("lost").await;

        assert!(world.now() - changed < Duration::from_secs(3), "{:?}", world.now() - changed);
    });
}

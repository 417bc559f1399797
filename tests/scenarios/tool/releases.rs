//! The verbs that show and steer releases, as a person runs them, against the running operator.

use rig::{
    arklet_sim::{Behaviour, State},
    cluster::{Kind, World, module, scenario, text},
};
use serde_json::{Value, json};

use super::{ctl, done, watched};

async fn tree(world: &World, name: &str) -> Value {
    let list: Value = serde_json::from_str(&done(world, &["get", name, "-o", "json"]).await).expect("JSON");
    list["items"][0].clone()
}

#[test]
fn a_release_is_watched_and_confirmed_batch_by_batch() {
    scenario("tool_confirm", |world| async move {
        let pods = world.bases(3).await;
        let spec = module("care").replicas(3).strategy("batchCount", json!(3)).strategy("needConfirm", json!(true));
        world.deploy(&spec).await;
        world.progress("care", "WaitingForConfirmation").await;
        assert_eq!(tree(&world, "care").await["standing"]["verdict"], "Underway");
        let now = done(&world, &["status", "care"]).await;
        assert!(now.contains("batch 1") && now.contains("kubectl module confirm care"), "{now}");
        let impatient = ctl(&world, &["status", "care", "--watch", "--timeout", "2s"]).await.fails(1);
        assert!(impatient.contains("not complete within 2 s"), "{impatient}");

        let mut watch = watched(&world, "care", &[]);
        watch.until_line("WaitingForConfirmation batch 1 of 3").await;
        let said = done(&world, &["confirm", "care"]).await;
        assert_eq!(said, "moduledeployment.koupleless.io/care confirmed, batch 1 of 3\n");
        watch.until_line("WaitingForConfirmation batch 2 of 3").await;
        assert_eq!(world.serving(&pods, "care", "1.0.0").len(), 2);
        assert!(done(&world, &["confirm", "care", "--all"]).await.contains("all 3 batches"));

        watch.until_line("care 1.0.0 is available everywhere").await;
        assert_eq!(watch.end().await.code, Some(0));
        assert_eq!(tree(&world, "care").await["standing"]["verdict"], "Done");
        assert!(ctl(&world, &["confirm", "care"]).await.fails(1).contains("its release is complete"));
        assert!(done(&world, &["history", "care"]).await.contains("current, completed"));
    });
}

#[test]
fn a_number_from_before_the_release_is_confirmed_all_the_same() {
    scenario("tool_stale", |world| async move {
        let pods = world.bases(2).await;
        let spec = module("stale").replicas(2).strategy("batchCount", json!(2)).strategy("needConfirm", json!(true));
        world.deploy(&spec.field("confirmBatchNum", json!(1))).await;
        world.progress("stale", "WaitingForConfirmation").await;

        assert!(done(&world, &["confirm", "stale"]).await.contains("batch 1 of 2"));

        world.completed("stale").await;
        world.until_serving(&pods, "stale", "1.0.0", 2).await;
    });
}

#[test]
fn an_abort_brings_the_completed_revision_back_and_leaves_the_spec() {
    scenario("tool_abort", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("stop").replicas(2)).await;
        assert!(ctl(&world, &["abort", "stop"]).await.fails(1).contains("no release of stop is under way"));
        world.change("stop", json!({ "operationStrategy": { "batchCount": 2, "needConfirm": true } })).await;
        let url = world.url("stop", "2.0.0");
        done(&world, &["set-version", "stop", "2.0.0", "--url", &url]).await;
        world.progress("stop", "WaitingForConfirmation").await;
        world.until_serving(&pods, "stop", "2.0.0", 1).await;

        let said = done(&world, &["abort", "stop"]).await;

        assert_eq!(said, "moduledeployment.koupleless.io/stop aborted, back to revision 1 (1.0.0)\n");
        let aborted = world.progress("stop", "Aborted").await;
        world.until_serving(&pods, "stop", "1.0.0", 2).await;
        assert_eq!(text(&aborted, "/spec/template/spec/module/version"), "2.0.0", "the spec is the user's");
        let why = ctl(&world, &["status", "stop", "--watch"]).await.fails(1);
        assert!(why.contains("was aborted on request"), "{why}");
        assert!(done(&world, &["get", "stop"]).await.contains("rolled back"));
        assert!(done(&world, &["abort", "stop"]).await.contains("already aborted"));
        assert!(ctl(&world, &["confirm", "stop"]).await.fails(1).contains("its release was given up"));
        let undone = done(&world, &["undo", "stop", "--dry-run=server"]).await;
        assert!(undone.contains("rolled back to revision 1 (1.0.0) (server dry run)"), "{undone}");

        // Any change of the template tries again, through every batch.
        let again = done(&world, &["retry", "stop"]).await;
        assert_eq!(again, "moduledeployment.koupleless.io/stop tries version 2.0.0 again\n");
        world.progress("stop", "WaitingForConfirmation").await;
        done(&world, &["confirm", "stop"]).await;
        world.completed("stop").await;
        world.until_serving(&pods, "stop", "2.0.0", 2).await;
        assert!(ctl(&world, &["retry", "stop"]).await.fails(1).contains("no release of stop was given up"));
    });
}

#[test]
fn a_version_is_set_held_let_go_and_undone() {
    scenario("tool_undo", |world| async move {
        let pods = world.bases(2).await;
        world.deployed(&module("back").replicas(2)).await;
        let before = world.deployment("back").await;

        assert_eq!(done(&world, &["pause", "back"]).await, "moduledeployment.koupleless.io/back paused\n");
        assert!(done(&world, &["pause", "back"]).await.contains("already paused"));
        let label = json!({ "metadata": { "labels": { "team": "a" } } });
        world.patch(Kind::ModuleDeployment, "back", label).await;
        assert!(done(&world, &["resume", "-l", "team=a"]).await.contains("back resumed"));
        assert!(done(&world, &["pause", "-l", "team in (a)"]).await.contains("back paused"));
        assert!(ctl(&world, &["pause", "-l", "team=b"]).await.fails(1).contains("has the labels team=b"));
        let set = ["set-version", "back", "2.0.0", "--change-cause", "a try"];
        let rehearsed = done(&world, &[&set[..], &["--dry-run=server"]].concat()).await;
        assert!(rehearsed.ends_with("(server dry run)\n"), "{rehearsed}");
        assert_eq!(text(&world.deployment("back").await, "/spec/template/spec/module/version"), "1.0.0");
        done(&world, &set).await;
        world.until_condition("back", "Progressing", "Unknown", "DeploymentPaused").await;
        done(&world, &["resume", "back"]).await;
        world.completed("back").await;
        world.until_serving(&pods, "back", "2.0.0", 2).await;
        assert!(done(&world, &["history", "back"]).await.contains("a try"));
        let first: Value =
            serde_json::from_str(&done(&world, &["history", "back", "--revision", "1", "-o", "json"]).await)
                .expect("JSON");
        assert_eq!(text(&first, "/metadata/name"), "back-replicas-1");
        done(&world, &["status", "back", "--watch", "--revision", "2"]).await;
        let other = ctl(&world, &["status", "back", "--watch", "--revision", "1"]).await.fails(1);
        assert!(other.contains("back asks for revision 2 by now, not for revision 1"), "{other}");
        let diff = done(&world, &["diff", "back", "--revision", "1"]).await;
        assert!(diff.contains("-      version: 1.0.0\n") && diff.contains("+      version: 2.0.0\n"), "{diff}");

        let said = done(&world, &["undo", "back"]).await;

        assert_eq!(said, "moduledeployment.koupleless.io/back rolled back to revision 1 (1.0.0)\n");
        let after = world.completed("back").await;
        world.until_serving(&pods, "back", "1.0.0", 2).await;
        assert_eq!(after["spec"]["template"]["spec"], before["spec"]["template"]["spec"]);
        assert_eq!(after["spec"]["operationStrategy"], before["spec"]["operationStrategy"], "nothing else was touched");
        assert!(ctl(&world, &["undo", "back", "--to-revision", "9"]).await.fails(1).contains("has no revision 9"));
    });
}

#[test]
fn scale_and_restart_do_what_they_say() {
    scenario("tool_scale", |world| async move {
        let pods = world.bases(3).await;
        world.deploy(&module("size").replicas(1)).await;

        // At once: it waits until the operator has taken the object up.
        let said = done(&world, &["scale", "size", "--replicas", "3"]).await;
        assert_eq!(said, "moduledeployment.koupleless.io/size scaled from 1 to 3\n");
        world.completed("size").await;
        world.until_serving(&pods, "size", "1.0.0", 3).await;
        let wrong = ctl(&world, &["scale", "size", "--replicas", "2", "--current-replicas", "7"]).await.fails(1);
        assert!(wrong.contains("scaled to 3, not to 7"), "{wrong}");

        let installs = |world: &World| pods.iter().map(|pod| world.installs(pod, "size")).sum::<usize>();
        let had = installs(&world);
        done(&world, &["restart", "size"]).await;
        done(&world, &["status", "size", "--watch", "--timeout", "60s"]).await;
        assert_eq!(installs(&world), had + 3, "each base once more");
        done(&world, &["restart", "size"]).await;
        done(&world, &["status", "size", "--watch", "--timeout", "60s"]).await;
        assert_eq!(installs(&world), had + 6, "another order, whenever the last one was");

        world.change("size", json!({ "replicas": -1 })).await;
        world.completed("size").await;
        assert!(ctl(&world, &["scale", "size", "--replicas", "1"]).await.fails(1).contains("peer mode"));
    });
}

#[test]
fn the_bases_are_asked_through_the_api_server() {
    scenario("tool_bases", |world| async move {
        let pods = world.bases(2).await;
        world.base(&pods[1]).put("legacy", "0.9", State::Activated);
        world.deployed(&module("here").replicas(2)).await;

        let list: Value = serde_json::from_str(&done(&world, &["bases", "-o", "json"]).await).expect("JSON");
        let bases = list["items"].as_array().expect("bases");
        assert_eq!(bases.len(), 2);
        assert!(bases.iter().all(|base| base["heard"] == true && base["lastContact"] == "now"), "{list:#}");
        let table = done(&world, &["bases"]).await;
        assert!(table.contains("here 1.0.0") && table.contains("ACTIVATED"), "{table}");
        let legacy = table.lines().find(|line| line.contains("legacy 0.9")).expect("what nobody declared");
        assert!(legacy.contains("<none>"), "{legacy}");

        let direct: Value =
            serde_json::from_str(&done(&world, &["bases", "here", "--via", "direct", "-o", "json"]).await)
                .expect("JSON");
        let heard = direct["items"].as_array().expect("bases").iter().filter(|base| base["heard"] == true).count();
        assert_eq!(heard, 2, "at the pods' own addresses: {direct:#}");

        let unasked = done(&world, &["bases", "here", "--via", "none"]).await;
        assert!(unasked.contains("Available (Module)") && unasked.contains("by the operator"), "{unasked}");
        assert!(!unasked.contains("legacy"), "Modules don't know of it: {unasked}");
    });
}

#[test]
fn why_a_module_does_not_start_is_told_whole_with_what_to_do() {
    scenario("tool_why", |world| async move {
        world.bases(1).await;
        world.jar("why", "1.0.0", Behaviour::fails("java.lang.Error: no licence"));
        world.deploy(&module("why")).await;
        let failed = |modules: &[Value]| modules.iter().any(|module| module["status"]["reason"] == "InstallFailed");
        let modules = world.until_modules("why", "the install failed", failed).await;

        let said = done(&world, &["logs-why", "why"]).await;
        assert!(said.contains("InstallFailed") && said.contains("java.lang.Error: no licence"), "{said}");
        assert!(said.contains("next: `kubectl logs base-"), "{said}");
        let name = format!("md/{}", text(&modules[0], "/metadata/name"));
        assert!(done(&world, &["logs-why", &name]).await.contains("no licence"));
        assert!(ctl(&world, &["logs-why", "md/none"]).await.fails(1).contains("there is no Module \"none\""));
    });
}

#[test]
fn errors_tell_wrong_usage_from_what_is_not_there() {
    scenario("tool_errors", |world| async move {
        let missing = ctl(&world, &["status", "nobody"]).await.fails(1);
        assert!(missing.contains("there is no ModuleDeployment \"nobody\""), "{missing}");
        assert_eq!(ctl(&world, &["scale", "x"]).await.code, Some(2));
        assert_eq!(ctl(&world, &["get", "--context", "no-such-context"]).await.code, Some(2));
        let none = ctl(&world, &["get"]).await;
        assert_eq!((none.code, none.out.as_str()), (Some(0), ""));
        assert!(none.err.contains("No ModuleDeployments found"), "{}", none.err);
    });
}

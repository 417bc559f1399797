//! The table of changes: object and wish to patch, nothing, or refusal.

use serde_json::{Value, json};

use super::*;
use crate::{
    api::{ModuleDeployment, ModuleReplicaSet},
    domain::merge::{self, diff},
};

fn object(change: Value) -> ModuleDeployment {
    let base = json!({
        "metadata": {
            "name": "hello", "uid": "u", "generation": 4, "annotations": { "koupleless.io/scale-baseline": "3" },
        },
        "spec": {
            "baseDeploymentName": "base", "replicas": 3, "scaleReplicas": 3,
            "template": { "spec": {
                "selector": {}, "module": { "name": "hello", "version": "2.0.0", "url": "https://r/hello-2.0.0.jar" },
            } },
        },
        "status": { "observedGeneration": 4, "releaseStatus": {
            "progress": "Executing", "currentBatch": 1, "realBatchCount": 3, "updateRevision": "hello-replicas-2",
            "completedRevision": "hello-replicas-1",
        } },
    });
    serde_json::from_value(merge::apply(&base, &change)).expect("a ModuleDeployment")
}

fn set(number: u64, version: &str, change: Value) -> ModuleReplicaSet {
    let base = json!({
        "metadata": { "name": format!("hello-replicas-{number}"), "labels": {
            "koupleless.io/module-replicaset-revision": number.to_string(), "koupleless.io/deployment-name": "base",
        } },
        "spec": { "template": { "spec": { "module": {
            "name": "hello", "version": version, "url": format!("https://r/hello-{version}.jar"),
        } } } },
    });
    serde_json::from_value(merge::apply(&base, &change)).expect("a ModuleReplicaSet")
}

fn progress(progress: &str, batch: i32) -> Value {
    json!({ "status": { "releaseStatus": { "progress": progress, "currentBatch": batch } } })
}

/// The patch, and that it touches nothing but `fields` of the spec.
fn patched(decision: Decision) -> Value {
    match decision {
        Ok(Change::Patch { patch, .. }) => patch,
        other => panic!("no patch: {other:?}"),
    }
}

fn paused() -> ModuleDeployment {
    object(json!({ "spec": { "paused": true } }))
}

fn ending() -> ModuleDeployment {
    object(json!({ "metadata": { "deletionTimestamp": "2026-11-25T12:00:00Z" } }))
}

#[test]
fn pause_and_resume_write_one_field_and_only_where_it_differs() {
    let running = object(json!({}));
    assert_eq!(patched(plan_pause(&running)), json!({ "spec": { "paused": true } }));
    assert_eq!(plan_pause(&paused()), Ok(Change::Nothing("already paused".into())));
    assert_eq!(patched(plan_resume(&paused())), json!({ "spec": { "paused": false } }));
    assert_eq!(plan_resume(&running), Ok(Change::Nothing("not paused".into())));
}

#[test]
fn nothing_is_changed_in_what_is_being_deleted() {
    let sets = [set(1, "1.0.0", json!({})), set(2, "2.0.0", json!({}))];
    let sets: Vec<&ModuleReplicaSet> = sets.iter().collect();
    for refusal in [
        plan_pause(&ending()).unwrap_err(),
        plan_resume(&ending()).unwrap_err(),
        plan_restart(&ending(), "t").unwrap_err(),
        plan_version(&ending(), "3", None, None).unwrap_err(),
        plan_replicas(&ending(), 1, None).unwrap_err(),
        plan_confirm(&ending(), None, false).unwrap_err(),
        plan_abort(&ending(), &sets, 0).unwrap_err(),
        plan_undo(&ending(), &sets, None).unwrap_err(),
    ] {
        assert!(refusal.contains("is being deleted"), "{refusal}");
    }
}

#[test]
fn restart_writes_the_annotation_and_tells_of_a_pause() {
    let expected =
        json!({ "spec": { "template": { "metadata": { "annotations": { "koupleless.io/restartedAt": "now" } } } } });
    assert_eq!(patched(plan_restart(&object(json!({})), "now")), expected);
    let Ok(Change::Patch { notes, .. }) = plan_restart(&paused(), "now") else { panic!("a patch") };
    assert!(notes[0].contains("resume hello"), "{notes:?}");
}

#[test]
fn scale_is_refused_where_the_operator_would_put_it_back() {
    let fresh = json!({ "metadata": { "annotations": { "koupleless.io/scale-baseline": "2" } } });
    for (change, expected, outcome) in [
        (json!({}), None, Ok(Some(3))),
        (json!({ "spec": { "scaleReplicas": null } }), None, Ok(None)),
        (json!({}), Some(3), Ok(Some(3))),
        (json!({}), Some(4), Err("scaled to 3, not to 4")),
        (json!({ "spec": { "replicas": -1 } }), None, Err("peer mode")),
        (fresh, None, Err("has not taken over spec.replicas (3)")),
    ] {
        match (plan_replicas(&object(change.clone()), 5, expected), outcome) {
            (Ok(had), Ok(wanted)) => assert_eq!(had, wanted, "{change}"),
            (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
            (found, _) => panic!("{change}: {found:?}"),
        }
    }
}

#[test]
fn a_batch_is_confirmed_by_its_number() {
    let with = |confirm: i32, progress: &str, batch: i32| {
        let mut change = self::progress(progress, batch);
        change["spec"]["confirmBatchNum"] = json!(confirm);
        object(change)
    };
    let baseline = |number: &str| {
        set(2, "2.0.0", json!({ "metadata": { "annotations": { "koupleless.io/confirm-baseline": number } } }))
    };
    let waits = "WaitingForConfirmation";
    let sets = |number: u32, done: &str| Ok(Confirm::Set { number, done: done.to_owned() });
    let first = "confirmed, batch 1 of 3";
    for (deployment, baseline, all, expected) in [
        (with(0, waits, 1), baseline("0"), false, sets(1, first)),
        (with(1, waits, 2), baseline("0"), false, sets(2, "confirmed, batch 2 of 3")),
        (with(0, waits, 1), baseline("0"), true, sets(3, "confirmed, all 3 batches")),
        // It stood there before the release: another number counts at once, the same one after it was away.
        (with(3, waits, 1), baseline("3"), false, sets(1, first)),
        (with(1, waits, 1), baseline("1"), false, Ok(Confirm::Clear)),
        (with(0, waits, 1), baseline("1"), false, Ok(Confirm::Clear)),
        (with(3, waits, 1), baseline("3"), true, Ok(Confirm::Clear)),
        (with(2, waits, 1), baseline("0"), false, Ok(Confirm::Already("already confirmed up to batch 2".into()))),
    ] {
        assert_eq!(
            plan_confirm(&deployment, Some(&baseline), all),
            expected,
            "{:?}",
            deployment.spec.confirm_batch_num
        );
    }
}

#[test]
fn only_a_release_that_was_given_up_is_tried_again() {
    let given_up = plan_retry(&object(progress("Aborted", 1)), "t").expect("it was given up");
    let Change::Patch { patch, done, .. } = given_up else { panic!("{given_up:?}") };
    assert_eq!(patch["spec"]["template"]["metadata"]["annotations"]["koupleless.io/restartedAt"], "t");
    assert!(done.starts_with("tries version ") && done.ends_with(" again"), "{done}");
    for other in ["Completed", "Executing", "WaitingForConfirmation"] {
        let why = plan_retry(&object(progress(other, 1)), "t").expect_err("nothing was given up");
        assert!(why.contains("no release of hello was given up"), "{other}: {why}");
    }
}

#[test]
fn where_nothing_waits_the_refusal_says_what_it_does_instead() {
    let mut gray = progress("Paused", 1);
    gray["status"]["releaseStatus"]["nextReconcileTime"] = json!("2026-11-25T12:00:00Z");
    let mut held = progress("Paused", 1);
    held["spec"]["paused"] = json!(true);
    for (change, part) in [
        (progress("Executing", 1), "batch 1 of 3 is under way"),
        (progress("Completed", 3), "its release is complete"),
        (progress("Aborted", 1), "was given up; `kubectl module set-version hello VERSION`"),
        (progress("Init", 0), "nothing could begin yet"),
        (gray, "follows by itself at 2026-11-25T12:00:00Z"),
        (held, "kubectl module resume hello"),
        (json!({ "metadata": { "generation": 5 } }), "has not looked at the last change"),
    ] {
        let why = plan_confirm(&object(change), None, false).expect_err("nothing waits");
        assert!(why.contains(part), "{why}");
    }
}

#[test]
fn an_abort_marks_the_revision_under_way_as_the_operator_does() {
    let sets = [set(1, "1.0.0", json!({})), set(2, "2.0.0", json!({}))];
    let sets: Vec<&ModuleReplicaSet> = sets.iter().collect();
    for word in ["Executing", "Paused", "WaitingForConfirmation"] {
        let plan = plan_abort(&object(progress(word, 1)), &sets, 1_795_608_000_999);
        let patch = json!({ "metadata": { "annotations": { "koupleless.io/rolled-back": "2026-11-25T12:00:00Z on request" } } });
        let done = "aborted, back to revision 1 (1.0.0)".to_owned();
        assert_eq!(plan, Ok(Abort::Mark { set: "hello-replicas-2".into(), patch, done }), "{word}");
    }
    let again = plan_abort(&object(progress("Aborted", 1)), &sets, 0);
    assert_eq!(again, Ok(Abort::Already("already aborted".into())));
}

#[test]
fn an_abort_without_a_way_back_is_refused() {
    let both = [set(1, "1.0.0", json!({})), set(2, "2.0.0", json!({}))];
    let none = json!({ "status": { "releaseStatus": { "completedRevision": null } } });
    let itself = json!({ "status": { "releaseStatus": { "completedRevision": "hello-replicas-2" } } });
    let gone = json!({ "status": { "releaseStatus": { "completedRevision": "hello-replicas-0" } } });
    for (change, part) in [
        (progress("Completed", 3), "no release of hello is under way"),
        (none, "no completed revision"),
        (itself, "no completed revision"),
        (gone, "no completed revision"),
        (json!({ "metadata": { "generation": 5 } }), "has not looked at the last change"),
    ] {
        let why = plan_abort(&object(change), &both.iter().collect::<Vec<_>>(), 0).expect_err("no way back");
        assert!(why.contains(part), "{why}");
    }
}

#[test]
fn undo_makes_the_template_what_it_was_and_touches_nothing_else() {
    let sets = [set(1, "1.0.0", json!({})), set(2, "2.0.0", json!({}))];
    let known: Vec<&ModuleReplicaSet> = sets.iter().collect();
    let module = |version: &str| json!({ "version": version, "url": format!("https://r/hello-{version}.jar") });
    let back = |version: &str| json!({ "spec": { "template": { "spec": { "module": module(version) } } } });
    let now = object(json!({}));
    assert_eq!(patched(plan_undo(&now, &known, None).map(|back| back.change)), back("1.0.0"));
    assert_eq!(patched(plan_undo(&now, &known, Some(1)).map(|back| back.change)), back("1.0.0"));
    // V1's `selector: {}` stays.
    let undone = merge::apply(&json!(now), &back("1.0.0"));
    assert_eq!(undone["spec"]["template"]["spec"]["selector"], json!({}));
    // What is asked for is no revision yet: the newest that is one is what was before.
    let held = object(json!({ "spec": { "paused": true, "template": { "spec": { "module": { "version": "9" } } } } }));
    let undo = plan_undo(&held, &known, None).expect("a way back");
    assert_eq!(patched(Ok(undo.change))["spec"]["template"]["spec"]["module"]["version"], "2.0.0");
    // The same as now.
    let same = plan_undo(&now, &known, Some(2)).expect("no refusal");
    assert!(matches!(same.change, Change::Nothing(_)), "{same:?}");
}

#[test]
fn undo_after_an_abort_goes_to_what_runs_and_not_to_a_revision_that_failed_before() {
    let sets = [set(1, "1.0.0", json!({})), set(2, "1.5.0", json!({})), set(3, "2.0.0", json!({}))];
    let known: Vec<&ModuleReplicaSet> = sets.iter().collect();
    let mut aborted = progress("Aborted", 1);
    aborted["status"]["releaseStatus"]["updateRevision"] = json!("hello-replicas-3");
    let version = |deployment: &ModuleDeployment, to| {
        let back = plan_undo(deployment, &known, to).expect("a way back");
        patched(Ok(back.change))["spec"]["template"]["spec"]["module"]["version"].clone()
    };
    assert_eq!(version(&object(aborted.clone()), None), "1.0.0");
    assert_eq!(version(&object(aborted.clone()), Some(2)), "1.5.0", "what was asked for");
    // The next release is under way: what was given up before it is passed over.
    let given_up = set(2, "1.5.0", json!({ "metadata": { "annotations": { "koupleless.io/rolled-back": "x" } } }));
    let back = plan_undo(&object(json!({})), &[&sets[0], &given_up, &sets[2]], None).expect("a way back");
    assert_eq!(patched(Ok(back.change))["spec"]["template"]["spec"]["module"]["version"], "1.0.0");
    // Changed since, and not looked at yet: that change is what is undone.
    aborted["metadata"]["generation"] = json!(5);
    aborted["spec"]["template"]["spec"]["module"]["version"] = json!("9");
    assert_eq!(version(&object(aborted), None), "2.0.0");
}

#[test]
fn undo_brings_annotations_back_and_takes_new_ones_off() {
    let metadata =
        json!({ "spec": { "template": { "metadata": { "annotations": { "kubernetes.io/change-cause": "first" } } } } });
    let old = set(1, "1.0.0", metadata);
    let new = set(2, "2.0.0", json!({}));
    let now = object(json!({ "spec": { "template": { "metadata": { "annotations": { "x": "y" } } } } }));
    let patch = patched(plan_undo(&now, &[&old, &new], None).map(|back| back.change));
    let annotations = &patch["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(*annotations, json!({ "kubernetes.io/change-cause": "first", "x": null }));
}

#[test]
fn undo_names_the_base_of_the_revision_and_the_revisions_that_there_are() {
    let moved = set(1, "1.0.0", json!({ "metadata": { "labels": { "koupleless.io/deployment-name": "old-base" } } }));
    let new = set(2, "2.0.0", json!({}));
    let sets = [&moved, &new];
    let back = plan_undo(&object(json!({})), &sets, None).expect("a way back");
    assert_eq!(back.base.as_deref(), Some("old-base"));
    assert_eq!(patched(Ok(back.change))["spec"]["baseDeploymentName"], "old-base");
    assert_eq!(plan_undo(&object(json!({})), &sets, Some(9)).unwrap_err(), "hello has no revision 9; it has 1, 2");
    assert!(plan_undo(&object(json!({})), &[&new], None).unwrap_err().contains("no earlier revision"));
    assert!(plan_undo(&object(json!({})), &[], Some(1)).unwrap_err().contains("it has none"));
}

#[test]
fn another_version_takes_its_url_along_and_leaves_no_stale_cause() {
    let now = object(json!({ "spec": { "template": { "metadata": { "annotations": { CHANGE_CAUSE: "old" } } } } }));
    let patch = patched(plan_version(&now, "3.0.0", None, None));
    let wanted = json!({ "spec": { "template": {
        "metadata": { "annotations": { CHANGE_CAUSE: null } },
        "spec": { "module": { "version": "3.0.0", "url": "https://r/hello-3.0.0.jar" } },
    } } });
    assert_eq!(patch, wanted);
    let patch = patched(plan_version(&object(json!({})), "3.0.0", Some("https://x/y.jar"), Some("because")));
    assert_eq!(patch["spec"]["template"]["spec"]["module"]["url"], "https://x/y.jar");
    assert_eq!(patch["spec"]["template"]["metadata"]["annotations"][CHANGE_CAUSE], "because");
    let same = plan_version(&now, "2.0.0", None, None);
    assert_eq!(same, Ok(Change::Nothing("already at version 2.0.0".into())));
    let odd = object(json!({ "spec": { "template": { "spec": { "module": { "url": "https://r/latest.jar" } } } } }));
    assert!(plan_version(&odd, "3.0.0", None, None).unwrap_err().contains("give it with --url"));
}

#[test]
fn a_url_alone_is_told_to_reinstall_nothing() {
    let Ok(Change::Patch { notes, done, .. }) =
        plan_version(&object(json!({})), "2.0.0", Some("https://x/y.jar"), None)
    else {
        panic!("a patch")
    };
    assert!(done.contains("the version stays 2.0.0") && notes[0].contains("kubectl module restart hello"), "{notes:?}");
}

#[test]
fn every_patch_leaves_the_other_fields_alone() {
    let mut rich = json!(object(json!({})));
    rich["spec"]["operationStrategy"] = json!({ "batchCount": 2, "serviceStrategy": { "port": 80 } });
    rich["metadata"]["labels"] = json!({ "team": "a" });
    let deployment: ModuleDeployment = serde_json::from_value(rich.clone()).expect("a ModuleDeployment");
    for patch in [
        patched(plan_pause(&deployment)),
        patched(plan_restart(&deployment, "t")),
        patched(plan_version(&deployment, "3.0.0", None, None)),
    ] {
        let after = merge::apply(&rich, &patch);
        let changed = diff(&rich, &after).expect("a change");
        assert_eq!(changed, patch, "nothing but the patch");
        assert!(changed["spec"].get("operationStrategy").is_none() && changed.get("metadata").is_none());
    }
}

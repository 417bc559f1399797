use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;

use super::{
    super::merge::{self, patched},
    *,
};

pub(super) const NOW: i64 = 1_700_000_000_000;

pub(super) fn deployment(patch: Value) -> ModuleDeployment {
    let object = json!({
        "apiVersion": "koupleless.io/v1alpha1", "kind": "ModuleDeployment",
        "metadata": {"name": "d", "namespace": "n", "uid": "ud", "generation": 3, "labels": {"app": "d"}},
        "spec": {"baseDeploymentName": "base", "replicas": 2, "template": {"spec": {"module":
            {"name": "m", "version": "1.0.0", "url": "file:///m.jar"}}}}
    });
    serde_json::from_value(merge::apply(&object, &patch)).expect("a ModuleDeployment")
}

fn selector() -> LabelSelector {
    LabelSelector { match_labels: Some(BTreeMap::from([("app".into(), "base".into())])), ..LabelSelector::default() }
}

fn plan_for(deployment: &ModuleDeployment, sets: Vec<SetView<'_>>, reports: Reports) -> Plan {
    plan_at(deployment, sets, reports, NOW)
}

pub(super) fn plan_at(deployment: &ModuleDeployment, sets: Vec<SetView<'_>>, reports: Reports, now: i64) -> Plan {
    let selector = selector();
    let base = Base::Present { uid: "ub", selector: &selector };
    plan_deployment(&View { deployment, base, sets, reports, watching_since: 0 }, now)
}

pub(super) fn view_of(object: &ModuleReplicaSet, live: u32, available: u32) -> SetView<'_> {
    SetView {
        object,
        counts: SetCounts {
            desired: object.desired(),
            existing: live,
            live,
            ready: available,
            available,
            ..SetCounts::default()
        },
    }
}

/// The replica set that a plan creates, as the API server would hand it back.
pub(super) fn created(plan: &Plan) -> ModuleReplicaSet {
    let mut set = *plan.create.clone().expect("a new replica set");
    set.metadata.uid = Some(format!("u-{}", set.name_any()));
    set
}

fn condition<'a>(plan: &'a Plan, type_: &str) -> &'a Condition {
    let status = plan.status.as_ref().expect("a status");
    crate::api::condition::find(&status.conditions, type_).unwrap_or_else(|| panic!("no {type_}: {status:?}"))
}

#[test]
fn a_new_deployment_gets_its_first_revision_finalizers_and_scale() {
    let deployment = deployment(json!({}));
    let plan = plan_for(&deployment, vec![], Reports::default());
    let set = created(&plan);
    assert_eq!((set.name_any().as_str(), set.desired()), ("d-replicas-1", 2));
    assert_eq!(set.spec.selector, Some(selector()));
    let labels = set.labels();
    for (key, value) in [
        ("app", "d"),
        ("koupleless.io/module-name", "m"),
        ("koupleless.io/module-deployment", "d"),
        ("koupleless.io/deployment-name", "base"),
        ("koupleless.io/module-scheduling-strategy", "scatter"),
        ("koupleless.io/module-replicaset-revision", "1"),
    ] {
        assert_eq!(labels.get(key).map(String::as_str), Some(value), "{key}");
    }
    let patch = plan.own_patch.clone().expect("an own patch");
    assert_eq!(
        patch,
        json!({"metadata": {
            "finalizers": ["koupleless.io/module-replicaset-existed", "koupleless.io/module-existed"],
            "annotations": {"koupleless.io/scale-baseline": "2"}},
            "spec": {"scaleReplicas": 2}})
    );
    assert!(plan.adopt_base);
    assert_eq!(condition(&plan, "Progressing").reason.as_deref(), Some("ReplicaSetUpdated"));
    assert_eq!(condition(&plan, "Available").status, "False");
}

fn settled() -> (ModuleDeployment, ModuleReplicaSet) {
    let fresh = deployment(json!({}));
    let set = created(&plan_for(&fresh, vec![], Reports::default()));
    let settled = deployment(json!({
        "metadata": {"finalizers": ["koupleless.io/module-replicaset-existed", "koupleless.io/module-existed"],
            "annotations": {"koupleless.io/scale-baseline": "2"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "base", "uid": "ub"}]},
        "spec": {"scaleReplicas": 2}
    }));
    (settled, set)
}

fn all_available() -> Reports {
    Reports { bases_available: 2, bases_ready: 2, ..Reports::default() }
}

#[test]
fn completed_means_available_and_then_nothing_is_written() {
    let (mut deployment, set) = settled();
    let plan = plan_for(&deployment, vec![view_of(&set, 2, 1)], Reports { bases_available: 1, ..all_available() });
    let release = plan.status.clone().and_then(|status| status.release_status).expect("a release");
    assert_eq!(release.progress.as_deref(), Some("Executing"), "one is missing");
    deployment.status = plan.status;
    let plan = plan_for(&deployment, vec![view_of(&set, 2, 2)], all_available());
    let release = plan.status.clone().and_then(|status| status.release_status).expect("a release");
    assert_eq!(release.progress.as_deref(), Some("Completed"));
    assert_eq!(release.update_revision.as_deref(), Some("d-replicas-1"));
    assert_eq!(plan.events.iter().map(|event| event.1).collect::<Vec<_>>(), ["ReleaseCompleted"]);
    deployment.status = plan.status;
    let again = plan_for(&deployment, vec![view_of(&set, 2, 2)], all_available());
    assert_eq!(again.status, deployment.status);
    assert_eq!(Plan { status: None, ..again }, Plan::default());
}

#[test]
fn a_new_version_makes_a_new_revision_and_the_old_one_drains() {
    let (_, set) = settled();
    let upgraded = deployment(json!({"spec": {
        "template": {"spec": {"module": {"version": "2.0.0"}}},
        "operationStrategy": {"upgradePolicy": "uninstall_then_install"}}}));
    let plan = plan_for(&upgraded, vec![view_of(&set, 2, 2)], all_available());
    let new = created(&plan);
    assert_eq!((new.name_any().as_str(), new.desired()), ("d-replicas-2", 1));
    assert_eq!(plan.change.len(), 1);
    assert_eq!(plan.change[0].patch["spec"]["replicas"], json!(1));
    assert_eq!(plan.change[0].patch["spec"]["operationStrategy"]["upgradePolicy"], json!("uninstall_then_install"));
    assert_eq!(plan.change[0].patch["spec"].get("template"), None, "an old revision keeps its template");
    assert!(plan.events.iter().any(|event| event.1 == "ReleaseStarted"));
}

#[test]
fn bad_specs_and_missing_bases_are_said_where_the_user_looks() {
    let bad = deployment(json!({"spec": {"template": {"spec": {"module": {"url": "not a url"}}}}}));
    let plan = plan_for(&bad, vec![], Reports::default());
    assert_eq!(condition(&plan, "Progressing").reason.as_deref(), Some("InvalidSpec"));
    assert!(plan.create.is_none() && plan.own_patch.is_none());
    let (good, set) = settled();
    let lost = View {
        deployment: &good,
        base: Base::Absent,
        sets: vec![view_of(&set, 2, 2)],
        reports: all_available(),
        watching_since: 0,
    };
    let plan = plan_deployment(&lost, NOW);
    assert_eq!(condition(&plan, "Progressing").reason.as_deref(), Some("BaseDeploymentNotFound"));
    assert!(plan.change.is_empty() && plan.delete.is_empty(), "what runs goes on running");
    let renamed = deployment(json!({"spec": {"template": {"spec": {"module": {"name": "other"}}}}}));
    let plan = plan_for(&renamed, vec![view_of(&set, 2, 2)], all_available());
    let message = condition(&plan, "Progressing").message.clone().unwrap_or_default();
    assert!(message.contains("set it back"), "{message}");
}

#[test]
fn a_replica_set_that_may_not_be_created_is_told_once_and_takes_nothing_over() {
    let strict = json!({"operationStrategy": {"upgradePolicy": "uninstall_then_install"}});
    let newer = json!({"template": {"spec": {"module": {"version": "2.0.0"}}}});
    let (mut asked, set) = settled();
    for spec in [strict, newer] {
        asked = patched(&asked, &json!({ "spec": spec }));
    }
    let without_trouble = plan_for(&asked, vec![view_of(&set, 2, 2)], all_available());
    assert!(without_trouble.create.is_some());
    assert_eq!(without_trouble.change[0].patch["spec"]["replicas"], 1);

    let refused = Reports { refused: Some("exceeded quota".to_owned()), ..all_available() };
    let plan = plan_for(&asked, vec![view_of(&set, 2, 2)], refused.clone());
    assert!(plan.create.is_none());
    assert!(plan.change.iter().all(|change| change.patch["spec"]["replicas"].is_null()), "{:?}", plan.change);
    let failure = condition(&plan, "ReplicaFailure");
    assert_eq!((failure.status.as_str(), failure.reason.as_deref()), ("True", Some("FailedCreate")));
    assert_eq!(failure.message.as_deref(), Some("exceeded quota"));
    let told = |plan: &Plan| plan.events.iter().any(|(_, reason, _)| *reason == "FailedCreate");
    assert!(told(&plan));

    asked.status = plan.status;
    assert!(!told(&plan_for(&asked, vec![view_of(&set, 2, 2)], refused)));
    let later = plan_for(&asked, vec![view_of(&set, 2, 2)], all_available());
    let conditions = later.status.expect("a status").conditions;
    assert_eq!(crate::api::condition::find(&conditions, "ReplicaFailure"), None);
}

fn progress_of(plan: &Plan) -> Option<&str> {
    plan.status.as_ref()?.release_status.as_ref()?.progress.as_deref()
}

#[test]
fn the_first_word_is_init_where_nothing_can_begin_and_the_last_is_terminated_where_somebody_can_read_it() {
    let mut deployment = deployment(json!({}));
    let alone = View {
        deployment: &deployment,
        base: Base::Absent,
        sets: vec![],
        reports: Reports::default(),
        watching_since: 0,
    };
    let early = plan_deployment(&alone, NOW);
    assert_eq!(progress_of(&early), Some("Init"));
    deployment.status = early.status;
    let begun = plan_for(&deployment, vec![], Reports::default());
    assert_eq!(progress_of(&begun), Some("Executing"));
    let release = begun.status.and_then(|status| status.release_status).expect("a release");
    assert_eq!((release.current_batch, release.original_delta_replicas), (Some(1), Some(2)));

    let (mut ending, set) = settled();
    ending.metadata.deletion_timestamp = Some(crate::runtime::clock::timestamp(NOW));
    ending.metadata.finalizers.as_mut().expect("finalizers").push("somebody.else/waits".to_owned());
    assert_eq!(progress_of(&plan_for(&ending, vec![view_of(&set, 1, 1)], Reports::default())), Some("Terminating"));
    let emptied = plan_for(&ending, vec![], Reports::default());
    assert_eq!((emptied.release, emptied.status), (true, None), "our finalizers go first");
    ending.metadata.finalizers = Some(vec!["somebody.else/waits".to_owned()]);
    assert_eq!(progress_of(&plan_for(&ending, vec![], Reports::default())), Some("Terminated"));
    ending.metadata.finalizers = Some(vec![]);
    assert_eq!(plan_for(&ending, vec![], Reports::default()).status, None, "nobody is told when it is gone");
}

#[test]
fn what_is_available_is_told_also_where_nothing_can_be_done() {
    let (mut good, set) = settled();
    good.status = plan_for(&good, vec![view_of(&set, 2, 2)], all_available()).status;
    let lost = |deployment: &ModuleDeployment, available| {
        let reports = Reports { bases_available: available, ..Reports::default() };
        let sets = vec![view_of(&set, available, available)];
        plan_deployment(&View { deployment, base: Base::Absent, sets, reports, watching_since: 0 }, NOW)
    };
    assert_eq!(condition(&lost(&good, 2), "Available").status.to_string(), "True");
    let plan = lost(&good, 1);
    assert_eq!(condition(&plan, "Progressing").reason.as_deref(), Some("BaseDeploymentNotFound"));
    let available = condition(&plan, "Available");
    assert_eq!(available.reason.as_deref(), Some("MinimumReplicasUnavailable"));
    assert_eq!(available.message.as_deref(), Some("1 of 2 available"));
    assert_eq!(plan.status.as_ref().and_then(|status| status.unavailable_replicas), Some(1));
    // The last scale that was in force counts, whatever the refused spec says; a new deployment's is its own.
    good.spec.replicas = Some(-1);
    assert_eq!(condition(&lost(&good, 1), "Available").message.as_deref(), Some("1 of 2 available"));
    good.spec.scale_replicas = None;
    good.spec.replicas = Some(7);
    assert_eq!(condition(&lost(&good, 0), "Available").message.as_deref(), Some("0 of 7 available"));
}

#[test]
fn a_restart_has_its_deadline_and_what_is_lost_after_it_is_none() {
    let (_, mut set) = settled();
    let mut restarted = releasing(0, true);
    let template = restarted.spec.template.get_or_insert_default();
    template.spec.get_or_insert_default().module.get_or_insert_default().version = "1.0.0".to_owned();
    let metadata = template.metadata.get_or_insert_default();
    metadata.annotations.get_or_insert_default().insert(annotation::RESTARTED_AT.to_owned(), "now".to_owned());
    let template = restarted.spec.template.clone();
    let status = restarted.status.get_or_insert_default();
    let told = status.release_status.get_or_insert_default();
    (told.progress, told.update_revision) = (Some("Completed".to_owned()), Some("d-replicas-1".to_owned()));
    (status.replicas, status.updated_replicas) = (Some(2), Some(2));
    (status.updated_ready_replicas, status.updated_available_replicas) = (Some(2), Some(2));
    let progressing = |plan: &Plan| {
        let shown = condition(plan, "Progressing");
        (shown.status.to_string(), shown.reason.clone().unwrap_or_default(), shown.message.clone().unwrap_or_default())
    };

    // The order is given: a clock that stood still begins.
    let ordered = plan_for(&restarted, vec![view_of(&set, 2, 2)], all_available());
    assert_eq!(progressing(&ordered).1, "Restarting");
    assert_eq!(ordered.wake_at, Some(NOW + 60_000));
    set.spec.template = template;
    restarted.status = ordered.status;
    let looks = |deployment: &ModuleDeployment, restart, available, later: i64| {
        let selector = selector();
        let base = Base::Present { uid: "ub", selector: &selector };
        let failure = Some(("InstallFailed".to_owned(), "1 Module, for instance on b: 404".to_owned()));
        let reports = Reports { restarted: restart, failure, bases_available: available, ..Reports::default() };
        let sets = vec![view_of(&set, 2, available)];
        plan_deployment(&View { deployment, base, sets, reports, watching_since: 0 }, NOW + later * 1000)
    };
    let first = Some(Restart { done: 0, left: true });
    let under_way = looks(&restarted, first, 1, 10);
    assert_eq!((progressing(&under_way).1.as_str(), under_way.wake_at), ("Restarting", Some(NOW + 60_000)));
    restarted.status = under_way.status;
    let late = looks(&restarted, first, 1, 60);
    let (status, reason, message) = progressing(&late);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "ProgressDeadlineExceeded"));
    assert!(message.contains("restart (0 of 2)") && message.contains("404"), "{message}");
    assert!(late.change.iter().all(|change| change.patch["metadata"]["annotations"].is_null()), "{:?}", late.change);
    restarted.status = late.status;
    assert_eq!(progressing(&looks(&restarted, first, 1, 90)).1, "ProgressDeadlineExceeded");

    let last = looks(&restarted, Some(Restart { done: 1, left: false }), 2, 95);
    assert_eq!(progressing(&last).1, "Restarting", "it got on, and the last one is yet to be available");
    restarted.status = last.status;
    let done = looks(&restarted, None, 2, 99);
    assert_eq!((progressing(&done).1.as_str(), done.wake_at), ("NewReplicaSetAvailable", None));
    restarted.status = done.status;
    let lost = looks(&restarted, Some(Restart { done: 1, left: false }), 1, 9_000);
    assert_eq!((progressing(&lost).1.as_str(), lost.wake_at), ("NewReplicaSetAvailable", None));
}

#[test]
fn deleting_works_from_any_state_and_orphaning_touches_nothing() {
    let (mut deployment, set) = settled();
    deployment.metadata.deletion_timestamp = Some(crate::runtime::clock::timestamp(NOW));
    let plan = plan_for(&deployment, vec![view_of(&set, 2, 2)], Reports::default());
    assert_eq!(plan.delete, [("d-replicas-1".to_owned(), "u-d-replicas-1".to_owned())]);
    assert!(!plan.release);
    assert!(plan_for(&deployment, vec![], Reports::default()).release);
    deployment.metadata.finalizers.as_mut().expect("finalizers").push("orphan".to_owned());
    let plan = plan_for(&deployment, vec![view_of(&set, 2, 2)], Reports::default());
    assert!(plan.release && plan.delete.is_empty());
}

#[test]
fn a_v1_object_is_taken_over_without_a_write_to_its_replica_set() {
    let v1 = deployment(json!({
        "spec": {"confirmBatchNum": 0, "operationStrategy": {"batchCount": 1, "serviceStrategy": {"targetPort": 0}},
            "schedulingStrategy": {"schedulingPolicy": "scatter"},
            "template": {"metadata": {}, "spec": {"selector": {}}}},
        "status": {"conditions": [
            {"type": "Progressing", "status": "True", "message": "x", "last_transition_time": "2026-01-01T00:00:00Z"},
            {"type": "Progressing", "status": "True", "message": "y", "last_transition_time": "2026-01-02T00:00:00Z"}],
            "releaseStatus": {"progress": "Completed", "batchProgress": "Completed", "currentBatch": 1,
                "realBatchCount": 1, "originalDeltaReplicas": 2}}
    }));
    let mut set: ModuleReplicaSet = serde_json::from_value(json!({
        "apiVersion": "koupleless.io/v1alpha1", "kind": "ModuleReplicaSet",
        "metadata": {"name": "d-replicas-1", "namespace": "n", "uid": "us", "labels": {
            "koupleless.io/module-replicaset-revision": "1", "koupleless.io/deployment-name": "base"}},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "base"}},
            "operationStrategy": {"batchCount": 1, "serviceStrategy": {"targetPort": 0}},
            "schedulingStrategy": {"schedulingPolicy": "scatter"},
            "template": {"metadata": {}, "spec": {"selector": {}, "module":
                {"name": "m", "version": "1.0.0", "url": "file:///m.jar"}}}}
    }))
    .expect("a ModuleReplicaSet");
    let plan = plan_for(&v1, vec![view_of(&set, 1, 1)], Reports { bases_available: 1, ..all_available() });
    assert_eq!(plan.change, []);
    let status = plan.status.expect("a status");
    let release = status.release_status.expect("a release");
    assert_eq!(release.progress.as_deref(), Some("Executing"), "V1's word for completion isn't trusted");
    assert_eq!(status.conditions.iter().filter(|c| c.type_ == "Progressing").count(), 1);
    set.spec.replicas = None;
    let plan = plan_for(&v1, vec![view_of(&set, 0, 0)], Reports::default());
    assert_eq!(plan.change[0].patch, json!({"spec": {"replicas": 2}}));
}

/// A deployment in mid-release of 2.0.0 whose last step forward was `ago` seconds before now.
fn releasing(ago: i64, auto_rollback: bool) -> ModuleDeployment {
    let then = |ago: i64| Timestamp::from_second(NOW / 1000 - ago).expect("a time").to_string();
    deployment(json!({
        "spec": {"replicas": 2, "scaleReplicas": 2, "progressDeadlineSeconds": 60,
            "operationStrategy": {"autoRollback": auto_rollback},
            "template": {"spec": {"module": {"version": "2.0.0"}}}},
        "metadata": {"annotations": {"koupleless.io/scale-baseline": "2"}},
        "status": {"replicas": 3, "updatedReplicas": 1, "updatedReadyReplicas": 0, "updatedAvailableReplicas": 0,
            "releaseStatus": {"updateRevision": "d-replicas-2", "currentBatch": 1, "progress": "Executing",
                "lastProgressTime": then(ago), "completedRevision": "d-replicas-1"}}
    }))
}

fn set_of(number: u64, version: &str, replicas: i32) -> ModuleReplicaSet {
    let of =
        deployment(json!({"spec": {"replicas": replicas, "template": {"spec": {"module": {"version": version}}}}}));
    let mut set = created(&plan_for(&of, vec![], Reports::default()));
    set.metadata.name = Some(format!("d-replicas-{number}"));
    set.metadata.uid = Some(format!("u-{number}"));
    set.metadata.labels.get_or_insert_default().insert(label::REVISION.to_owned(), number.to_string());
    set
}

#[test]
fn a_release_without_progress_says_so_and_why_and_goes_on_by_itself_when_it_gets_on() {
    let (old, new) = (set_of(1, "1.0.0", 2), set_of(2, "2.0.0", 1));
    let failure = Some(("InstallFailed".to_owned(), "1 Module, for instance on b: 404".to_owned()));
    let reports = Reports { failure, bases_available: 2, bases_ready: 2, ..Reports::default() };
    let plan = |ago, available| {
        let sets = vec![view_of(&old, 2, 2), view_of(&new, 1, available)];
        plan_for(&releasing(ago, false), sets, reports.clone())
    };
    let early = plan(59, 0);
    assert_eq!(condition(&early, "Progressing").reason.as_deref(), Some("ReplicaSetUpdated"));
    assert_eq!(early.wake_at, Some(NOW + 1_000));
    let late = plan(60, 0);
    let progressing = condition(&late, "Progressing");
    assert_eq!(progressing.status.to_string(), "False");
    assert_eq!(progressing.reason.as_deref(), Some("ProgressDeadlineExceeded"));
    let message = progressing.message.clone().unwrap_or_default();
    assert!(message.contains("60 s") && message.contains("404"), "{message}");
    assert_eq!(condition(&late, "Available").status.to_string(), "True");
    let on = plan(60, 1);
    assert_eq!(condition(&on, "Progressing").reason.as_deref(), Some("ReplicaSetUpdated"));
}

#[test]
fn a_failed_release_is_rolled_back_where_the_user_asks_for_it_and_tried_again_when_the_template_changes() {
    let (old, new) = (set_of(1, "1.0.0", 2), set_of(2, "2.0.0", 1));
    let sets = |new| vec![view_of(&old, 2, 2), view_of(new, 1, 0)];
    let begins = plan_for(&releasing(60, true), sets(&new), Reports::default());
    let mark = begins.change.iter().find(|change| change.name == "d-replicas-2").expect("the failed one is marked");
    assert!(mark.patch["metadata"]["annotations"]["koupleless.io/rolled-back"].is_string(), "{mark:?}");

    let mut marked = new.clone();
    marked.metadata.annotations.get_or_insert_default().insert(annotation::ROLLED_BACK.to_owned(), "then".to_owned());
    let back = plan_for(&releasing(90, true), sets(&marked), Reports::default());
    let failed = back.change.iter().find(|change| change.name == "d-replicas-2").expect("the failed one is scaled");
    assert_eq!(failed.patch["spec"]["replicas"], json!(0));
    assert_eq!(condition(&back, "Progressing").reason.as_deref(), Some("RolledBack"));
    let release = back.status.as_ref().and_then(|status| status.release_status.clone()).expect("a release");
    assert_eq!(release.progress.as_deref(), Some("Aborted"));
    assert_eq!(release.update_revision.as_deref(), Some("d-replicas-2"));
    assert!(back.create.is_none() && back.delete.is_empty(), "{back:?}");
    assert!(back.events.iter().any(|(warning, reason, _)| *warning && *reason == "RolledBack"), "{back:?}");
    let mut told = releasing(90, true);
    let stored = told.status.as_mut().and_then(|status| status.release_status.as_mut()).expect("a release");
    stored.progress = Some("Aborted".to_owned());
    assert_eq!(plan_for(&told, sets(&marked), Reports::default()).events, [], "it is told once");
    told.spec.operation_strategy = None;
    let off = plan_for(&told, sets(&marked), Reports::default());
    assert_eq!(condition(&off, "Progressing").reason.as_deref(), Some("RolledBack"), "also without autoRollback");

    let mut again = releasing(90, true);
    let module = again.spec.template.as_mut().and_then(|template| template.spec.as_mut()).expect("a template");
    module.module.get_or_insert_default().url = "file:///mended.jar".to_owned();
    let retried = plan_for(&again, sets(&marked), Reports::default());
    let change = retried.change.iter().find(|change| change.name == "d-replicas-2").expect("it is tried again");
    assert_eq!(change.patch["metadata"]["annotations"]["koupleless.io/rolled-back"], Value::Null);
    assert_eq!(change.patch["spec"]["template"]["spec"]["module"]["url"], json!("file:///mended.jar"));
    again.spec.paused = Some(true);
    let held = plan_for(&again, sets(&marked), Reports::default());
    assert!(held.change.iter().all(|change| change.patch["metadata"]["annotations"].is_null()), "{held:?}");
}

#[test]
fn a_pause_that_the_user_makes_lasts_beyond_gray_time_and_wakes_nobody() {
    let (old, new) = (set_of(1, "1.0.0", 1), set_of(2, "2.0.0", 1));
    let sets = || vec![view_of(&old, 1, 1), view_of(&new, 1, 1)];
    for (ago, paused, wake, reason) in [
        (-30, false, Some(30), "BatchPause"),
        (-30, true, None, "DeploymentPaused"),
        (0, true, None, "DeploymentPaused"),
        (3_600, true, None, "DeploymentPaused"),
    ] {
        let mut resting = releasing(90, false);
        resting.spec.paused = Some(paused);
        let strategy = resting.spec.operation_strategy.get_or_insert_default();
        (strategy.batch_count, strategy.gray_time_between_batch_seconds) = (Some(2), Some(60));
        let told = resting.status.as_mut().and_then(|status| status.release_status.as_mut()).expect("a release");
        let ends = Timestamp::from_second(NOW / 1000 - ago).expect("a time");
        (told.progress, told.next_reconcile_time) = (Some("Paused".to_owned()), Some(ends.into()));
        let plan = plan_for(&resting, sets(), all_available());
        assert_eq!(plan.wake_at, wake.map(|seconds| NOW + seconds * 1000), "{ago} {paused}");
        assert_eq!(condition(&plan, "Progressing").reason.as_deref(), Some(reason), "{ago} {paused}");
        let release = plan.status.as_ref().and_then(|status| status.release_status.clone()).expect("a release");
        assert_eq!(release.next_reconcile_time, Some(ends.into()), "the rest of gray time counts when the pause ends");
        let moved = plan.change.iter().any(|change| change.patch["spec"].get("replicas").is_some());
        assert!(!moved, "{:?}", plan.change);
    }
}

#[test]
fn a_template_set_back_after_a_rollback_has_nothing_left_to_confirm() {
    let (old, mut new) = (set_of(1, "1.0.0", 2), set_of(2, "2.0.0", 0));
    new.metadata.annotations.get_or_insert_default().insert(annotation::ROLLED_BACK.to_owned(), "then".to_owned());
    let mut back = releasing(90, true);
    let module = back.spec.template.as_mut().and_then(|template| template.spec.as_mut()).expect("a template");
    module.module.get_or_insert_default().version = "1.0.0".to_owned();
    let strategy = back.spec.operation_strategy.get_or_insert_default();
    (strategy.batch_count, strategy.need_confirm) = (Some(2), Some(true));
    let plan = plan_for(&back, vec![view_of(&old, 2, 2), view_of(&new, 0, 0)], all_available());
    let release = plan.status.as_ref().and_then(|status| status.release_status.clone()).expect("a release");
    assert_eq!((release.progress.as_deref(), release.current_batch), (Some("Completed"), Some(2)));
    assert_eq!(condition(&plan, "Progressing").reason.as_deref(), Some("NewReplicaSetAvailable"));
}

#[test]
fn another_try_goes_through_every_batch_and_its_confirmation_again() {
    let (old, mut new) = (set_of(1, "1.0.0", 3), set_of(2, "2.0.0", 0));
    new.metadata.annotations.get_or_insert_default().insert(annotation::ROLLED_BACK.to_owned(), "then".to_owned());
    let mut again = releasing(90, true);
    again.spec.replicas = Some(3);
    again.spec.scale_replicas = Some(3);
    again.spec.confirm_batch_num = Some(2);
    again.metadata.annotations.get_or_insert_default().insert(annotation::SCALE_BASELINE.to_owned(), "3".to_owned());
    let strategy = again.spec.operation_strategy.get_or_insert_default();
    (strategy.batch_count, strategy.need_confirm) = (Some(3), Some(true));
    let stored = again.status.as_mut().and_then(|status| status.release_status.as_mut()).expect("a release");
    (stored.progress, stored.current_batch) = (Some("Aborted".to_owned()), Some(3));
    let module = again.spec.template.as_mut().and_then(|template| template.spec.as_mut()).expect("a template");
    module.module.get_or_insert_default().url = "file:///mended.jar".to_owned();
    let plan = plan_for(&again, vec![view_of(&old, 3, 3), view_of(&new, 0, 0)], Reports::default());
    let change = plan.change.iter().find(|change| change.name == "d-replicas-2").expect("it is tried again");
    assert_eq!(change.patch["spec"]["replicas"], json!(1));
    assert_eq!(change.patch["metadata"]["annotations"]["koupleless.io/confirm-baseline"], json!("2"));
    let release = plan.status.as_ref().and_then(|status| status.release_status.clone()).expect("a release");
    assert_eq!(release.current_batch, Some(1));
}

#[test]
fn a_confirmation_from_before_the_release_is_named_with_what_to_do_about_it() {
    let (old, new) = (set_of(1, "1.0.0", 2), set_of(2, "2.0.0", 1));
    for (confirm, baseline, says) in [
        (0, "0", "batch 1 of 3 is available; set spec.confirmBatchNum to 1 to go on"),
        (3, "3", "spec.confirmBatchNum is 3 from before this release, which doesn't count; set it to 1 to go on"),
        (1, "1", "which doesn't count; set it to 0 and then to 1 to go on"),
    ] {
        let mut waiting = releasing(0, false);
        (waiting.spec.replicas, waiting.spec.scale_replicas) = (Some(3), Some(3));
        waiting.spec.confirm_batch_num = Some(confirm);
        waiting.metadata.annotations.get_or_insert_default().insert(annotation::SCALE_BASELINE.to_owned(), "3".into());
        let strategy = waiting.spec.operation_strategy.get_or_insert_default();
        (strategy.batch_count, strategy.need_confirm) = (Some(3), Some(true));
        let mut new = new.clone();
        new.metadata.annotations.get_or_insert_default().insert(annotation::CONFIRM_BASELINE.into(), baseline.into());
        let plan = plan_for(&waiting, vec![view_of(&old, 2, 2), view_of(&new, 1, 1)], all_available());
        let shown = condition(&plan, "Progressing");
        assert_eq!(shown.reason.as_deref(), Some("WaitingForConfirmation"), "{confirm}");
        assert!(shown.message.as_deref().unwrap_or_default().ends_with(says), "{confirm}: {shown:?}");
        let told = plan.events.iter().find(|event| event.1 == "WaitingForConfirmation").map(|event| &event.2);
        assert_eq!(told, shown.message.as_ref(), "the Event says the same");
    }
}

#[test]
fn a_template_that_was_just_corrected_gets_its_time() {
    let (old, new) = (set_of(1, "1.0.0", 2), set_of(2, "2.0.0", 1));
    let mut late = releasing(90, true);
    let module = late.spec.template.as_mut().and_then(|template| template.spec.as_mut()).expect("a template");
    module.module.get_or_insert_default().url = "file:///mended.jar".to_owned();
    let plan = plan_for(&late, vec![view_of(&old, 2, 2), view_of(&new, 1, 0)], Reports::default());
    assert_eq!(condition(&plan, "Progressing").reason.as_deref(), Some("ReplicaSetUpdated"));
    assert_eq!(plan.wake_at, Some(NOW + 60_000));
}

#[test]
fn without_a_good_revision_nothing_is_rolled_back() {
    let mut first = releasing(60, true);
    first.status.as_mut().expect("a status").replicas = Some(1);
    first.status.as_mut().and_then(|status| status.release_status.as_mut()).expect("a release").completed_revision =
        None;
    let new = set_of(2, "2.0.0", 1);
    let plan = plan_for(&first, vec![view_of(&new, 1, 0)], Reports::default());
    assert_eq!(condition(&plan, "Progressing").reason.as_deref(), Some("ProgressDeadlineExceeded"));
    assert!(plan.change.iter().all(|change| change.patch["metadata"]["annotations"].is_null()), "{plan:?}");
}

use super::*;

fn entry(before: Value, now: Value) -> Entry {
    Entry { before: Some(before), now: Some(now), deleted: false }
}

fn key(plural: &str) -> Key {
    Key { group: String::new(), plural: plural.to_owned(), namespace: "n".to_owned(), name: "m".to_owned() }
}

#[test]
fn an_object_is_a_line_and_its_status_another() {
    let before = json!({
        "kind": "ModuleDeployment", "metadata": { "resourceVersion": "1" }, "spec": { "replicas": 2 },
        "status": { "conditions": [
            { "type": "Available", "status": "True", "last_transition_time": "2026-01-01T00:00:00Z" },
            { "type": "Available", "status": "True" },
        ], "releaseStatus": { "progress": "Completed", "lastTransitionTime": "x" } },
    });
    let now = json!({
        "kind": "ModuleDeployment", "metadata": { "resourceVersion": "9" }, "spec": { "replicas": 2, "scaleReplicas": 2 },
        "status": { "conditions": [
            { "type": "Available", "status": "False", "reason": "TooFew" },
            { "type": "Progressing", "status": "True", "message": "1 of 2" },
        ], "releaseStatus": { "progress": "Executing", "lastTransitionTime": "y" } },
    });
    let rows = rows(&Cluster::default(), &key("moduledeployments"), &entry(before, now));
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].verb.as_str(), rows[0].change.as_str()), ("patch", "scaleReplicas: 2"));
    let status = "conditions.Available: True -> False (TooFew), conditions.Progressing: True, \
                  releaseStatus.progress: Completed -> Executing";
    assert_eq!((rows[1].verb.as_str(), rows[1].change.as_str(), rows[1].why.as_str()), ("status", status, "1 of 2"));
}

#[test]
fn what_ends_is_one_line_and_what_came_and_went_is_none() {
    let before = json!({ "kind": "ModuleReplicaSet", "metadata": {} });
    let gone = Entry { before: Some(before.clone()), now: None, deleted: false };
    assert_eq!(rows(&Cluster::default(), &key("modulereplicasets"), &gone)[0].verb, "release");
    let deleted = Entry { deleted: true, ..gone };
    assert_eq!(rows(&Cluster::default(), &key("modulereplicasets"), &deleted)[0].verb, "delete");
    let passing = Entry { before: None, now: None, deleted: true };
    assert!(rows(&Cluster::default(), &key("modules"), &passing).is_empty());
}

#[test]
fn the_table_says_that_nothing_was_written() {
    let row = Row {
        verb: "installBiz".into(),
        kind: "Base".into(),
        object: "n/base-1".into(),
        change: "pay:1 from file:///p.jar".into(),
        why: "Module pay".into(),
    };
    let report = Report { writes: vec![], calls: vec![row], events: vec![], findings: vec!["odd".into()] };
    let text = report.to_string();
    assert!(text.starts_with("VERB        KIND  OBJECT    CHANGE                    WHY\n"), "{text}");
    assert!(text.contains("\nFOUND\n- odd\n"), "{text}");
    assert!(text.ends_with("installs: 1, uninstalls: 0, switches: 0. Nothing was written.\n"), "{text}");
    assert_eq!(report.json()["calls"][0]["object"], "n/base-1");
}

#[test]
fn counts_alone_are_told_as_that() {
    let before = json!({ "kind": "ModuleReplicaSet", "metadata": {}, "status": { "replicas": 1 } });
    let now = json!({ "kind": "ModuleReplicaSet", "metadata": {}, "status": { "replicas": 2, "updatedReplicas": 2 } });
    let rows = rows(&Cluster::default(), &key("modulereplicasets"), &entry(before, now));
    assert_eq!((rows.len(), rows[0].change.as_str()), (1, "counts"));
}

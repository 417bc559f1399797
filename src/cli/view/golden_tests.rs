//! What is shown, byte for byte, against the files in `tests/fixtures/ctl`. `BLESS=1 cargo test --lib golden` writes them
//! anew; read the differences before you commit them.

use std::{fs, path::PathBuf};

use k8s_openapi::api::core::v1::Event;
use serde_json::{Value, json};

use super::{
    Observed, bases,
    bases::Answer,
    diff,
    events::{Told, told},
    history, standing, status,
    tree::trees,
    tree_text::{self, Detail},
    why,
};
use crate::{
    api::ModuleReplicaSet,
    arklet::wire::{Biz, BizState, Metaspace},
    cli::output::{Look, json, yaml},
};

/// 2026-11-25T12:00:00Z, in milliseconds.
const NOW: i64 = 1_795_608_000_000;
const PLAIN: Look = Look { colour: false, width: None };

/// So many seconds before [`NOW`].
fn before(seconds: i64) -> String {
    k8s_openapi::jiff::Timestamp::from_second(NOW / 1000 - seconds).expect("a time").to_string()
}

fn check(name: &str, text: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ctl").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(file.parent().expect("a folder")).expect("the folder");
        fs::write(&file, text).expect("the file");
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, expected, "{name} is shown otherwise; BLESS=1 writes it anew");
}

/// The objects of a story.
#[derive(Default)]
struct Story {
    observed: Observed,
    events: Vec<Event>,
}

impl Story {
    /// A deployment `name` of the module `module`, whose status gets these fields.
    fn deployment(mut self, name: &str, spec: Value, status: Value) -> Self {
        let module = spec["module"].as_str().unwrap_or(name).to_owned();
        let version = spec["version"].as_str().unwrap_or("2.0.0").to_owned();
        let mut object = json!({
            "metadata": {
                "name": name, "namespace": "team-a", "uid": format!("uid-{name}"), "generation": 3,
                "creationTimestamp": before(90_000), "annotations": { "koupleless.io/scale-baseline": "3" },
            },
            "spec": {
                "baseDeploymentName": "base", "replicas": 3, "scaleReplicas": 3,
                "template": { "spec": { "module": {
                    "name": module, "version": version, "url": format!("https://repo/{module}-{version}-ark-biz.jar"),
                } } },
                "operationStrategy": { "upgradePolicy": "uninstall_then_install", "batchCount": 3, "needConfirm": true },
            },
            "status": { "observedGeneration": 3, "availableReplicas": 3, "updatedReplicas": 0, "updatedAvailableReplicas": 0 },
        });
        let own = spec.get("spec").cloned().unwrap_or_else(|| json!({}));
        object["spec"] = crate::domain::merge::apply(&object["spec"], &own);
        if let Some(metadata) = spec.get("metadata") {
            object["metadata"] = crate::domain::merge::apply(&object["metadata"], metadata);
        }
        object["status"] = crate::domain::merge::apply(&object["status"], &status);
        self.observed.deployments.push(serde_json::from_value(object).expect("a ModuleDeployment"));
        self
    }

    fn set(mut self, of: &str, number: u64, version: &str, replicas: u32, annotations: Value) -> Self {
        let name = format!("{of}-replicas-{number}");
        let cause = format!("release {version}");
        let object = json!({
            "metadata": {
                "name": name, "namespace": "team-a", "uid": format!("uid-{name}"), "annotations": annotations,
                "creationTimestamp": before(90_000 - i64::try_from(number).expect("small") * 20_000),
                "labels": {
                    "koupleless.io/module-replicaset-revision": number.to_string(), "koupleless.io/deployment-name": "base",
                    "koupleless.io/module-deployment": of,
                },
                "ownerReferences": [{
                    "apiVersion": "koupleless.io/v1alpha1", "kind": "ModuleDeployment", "name": of,
                    "uid": format!("uid-{of}"), "controller": true,
                }],
            },
            "spec": {
                "replicas": replicas, "selector": { "matchLabels": { "app": "base" } },
                "operationStrategy": { "upgradePolicy": "uninstall_then_install" },
                "template": {
                    "metadata": { "annotations": { "kubernetes.io/change-cause": cause } },
                    "spec": { "module": {
                        "name": of, "version": version, "url": format!("https://repo/{of}-{version}-ark-biz.jar"),
                    } },
                },
            },
        });
        self.observed.sets.push(serde_json::from_value(object).expect("a ModuleReplicaSet"));
        self
    }

    fn module(mut self, of: &str, number: u64, base: &str, phase: &str, since: i64, because: (&str, &str)) -> Self {
        let set = format!("{of}-replicas-{number}");
        let version = format!("{number}.0.0");
        let name = format!("{set}-{of}-{base}");
        let (reason, message) = because;
        let mut status = json!({ "status": phase, "last_transition_time": before(since) });
        if !reason.is_empty() {
            status["reason"] = json!(reason);
            status["message"] = json!(message);
        }
        let object = json!({
            "metadata": {
                "name": name, "namespace": "team-a", "uid": format!("uid-{name}"), "creationTimestamp": before(since + 5),
                "labels": {
                    "koupleless.io/module-replicaset": set, "koupleless.io/module-deployment": of,
                    "koupleless.io/base-instance-name": base,
                },
                "annotations": { "koupleless.io/module-replicaset-uid": format!("uid-{set}") },
                "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": base, "uid": format!("uid-{base}") }],
            },
            "spec": { "module": { "name": of, "version": version, "url": "" } },
            "status": status,
        });
        self.observed.modules.push(serde_json::from_value(object).expect("a Module"));
        self
    }

    fn pod(mut self, name: &str, ready: bool) -> Self {
        let object = json!({
            "metadata": { "name": name, "namespace": "team-a", "uid": format!("uid-{name}") },
            "spec": { "nodeName": "node-1" },
            "status": {
                "phase": "Running", "podIP": "10.0.0.7",
                "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }],
            },
        });
        self.observed.pods.get_or_insert_default().push(serde_json::from_value(object).expect("a pod"));
        self
    }

    fn event(mut self, about: (&str, &str), reason: &str, note: &str, ago: i64, count: i32) -> Self {
        let object = json!({
            "metadata": { "name": format!("{}.{}", about.1, self.events.len()), "namespace": "team-a" },
            "involvedObject": { "kind": about.0, "name": about.1, "uid": format!("uid-{}", about.1) },
            "type": if reason == "BatchStarted" { "Normal" } else { "Warning" },
            "reason": reason, "message": note, "eventTime": format!("{}", before(ago)),
            "series": { "count": count, "lastObservedTime": before(ago) },
        });
        self.events.push(serde_json::from_value(object).expect("an Event"));
        self
    }

    fn told(&self) -> Vec<Told> {
        told(&self.events)
    }
}

const FAILED: &str = "org.springframework.beans.factory.BeanCreationException: Error creating bean with name 'orders': \
                      no database answers at jdbc:mysql://orders:3306; 数据库连接失败";

/// The second of three batches, whose Module doesn't start.
fn failing() -> Story {
    let (one, two) = ("hello-replicas-2-hello-base-a", "hello-replicas-2-hello-base-b");
    Story::default()
        .deployment(
            "hello",
            json!({}),
            json!({
                "availableReplicas": 2, "updatedReplicas": 2, "updatedAvailableReplicas": 1,
                "releaseStatus": {
                    "updateRevision": "hello-replicas-2", "currentBatch": 2, "realBatchCount": 3, "progress": "Executing",
                    "batchProgress": "Executing", "completedRevision": "hello-replicas-1",
                },
                "conditions": [
                    { "type": "Available", "status": "True", "reason": "MinimumReplicasAvailable" },
                    { "type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated",
                      "message": "hello-replicas-2: batch 2 of 3 is under way" },
                    { "type": "ReplicaFailure", "status": "True", "reason": "InstallFailed", "message": format!("base-b: {FAILED}") },
                ],
            }),
        )
        .set("hello", 1, "1.0.0", 1, json!({}))
        .set("hello", 2, "2.0.0", 2, json!({}))
        .module("hello", 2, "base-a", "Available", 240, ("", ""))
        .module("hello", 2, "base-b", "Upgrading", 65, ("InstallFailed", FAILED))
        .module("hello", 1, "base-c", "Available", 86_000, ("", ""))
        .pod("base-a", true)
        .pod("base-b", false)
        .pod("base-c", true)
        .event(("ModuleDeployment", "hello"), "BatchStarted", "batch 2 of 3 of hello 2.0.0", 70, 1)
        .event(("Module", two), "InstallFailed", "java.net.ConnectException: Connection refused", 66, 3)
        .event(("Module", two), "InstallFailed", FAILED, 20, 2)
        .event(("Module", "other"), "InstallFailed", "of somebody else", 10, 1)
        .event(("Module", one), "AgentUnreachable", "the agent of base pod base-a does not answer: timeout", 300, 1)
}

/// One batch that waits for a confirmation, one deployment rolled back, one in peer mode whose names are long and wide, one
/// that nobody has looked at, and one that may not be as it is.
fn assorted() -> Story {
    let release = |progress: &str, batch: i32| json!({ "updateRevision": null, "currentBatch": batch, "realBatchCount": 3, "progress": progress, "batchProgress": "Completed" });
    let with = |revision: &str, progress: &str, batch: i32| {
        let mut release = release(progress, batch);
        release["updateRevision"] = json!(revision);
        release
    };
    let condition = |status: &str, reason: &str, message: &str| json!([{ "type": "Progressing", "status": status, "reason": reason, "message": message }]);
    let wide = "结算-settlement-service-with-a-long-name";
    Story::default()
        .deployment(
            "waiting",
            json!({}),
            json!({
                "updatedReplicas": 1, "updatedAvailableReplicas": 1,
                "releaseStatus": with("waiting-replicas-2", "WaitingForConfirmation", 1),
                "conditions": condition("Unknown", "WaitingForConfirmation",
                    "batch 1 of 3 is available; set spec.confirmBatchNum to 1 to go on"),
            }),
        )
        .set("waiting", 1, "1.0.0", 2, json!({}))
        .set("waiting", 2, "2.0.0", 1, json!({}))
        .module("waiting", 2, "base-a", "Available", 130, ("", ""))
        .module("waiting", 1, "base-b", "Available", 9_000, ("", ""))
        .module("waiting", 1, "base-gone", "Pending", 61, ("AgentUnreachable", "the agent of base pod base-gone does not answer: timeout"))
        .deployment(
            "rolled-back",
            json!({}),
            json!({
                "releaseStatus": with("rolled-back-replicas-2", "Aborted", 1),
                "conditions": condition("False", "RolledBack",
                    "rolled-back-replicas-2 was aborted on request; rolled-back-replicas-1 is back; change spec.template to try again"),
            }),
        )
        .set("rolled-back", 1, "1.0.0", 3, json!({}))
        .set("rolled-back", 2, "2.0.0", 0, json!({ "koupleless.io/rolled-back": "2026-11-25T11:00:00Z on request" }))
        .module("rolled-back", 1, "base-a", "Available", 130, ("", ""))
        .deployment(
            "peer",
            json!({ "module": wide, "version": "2026.11.25+build.7",
                "metadata": { "annotations": { "koupleless.io/scale-baseline": "-1" } },
                "spec": { "replicas": -1, "scaleReplicas": 2 } }),
            json!({
                "availableReplicas": 2, "updatedReplicas": 2, "updatedAvailableReplicas": 2,
                "releaseStatus": with("peer-replicas-1", "Completed", 3),
                "conditions": condition("True", "NewReplicaSetAvailable", "peer-replicas-1 is available"),
            }),
        )
        .set("peer", 1, "2026.11.25+build.7", 2, json!({}))
        .module("peer", 1, "base-a", "Available", 500_000, ("", ""))
        .module("peer", 1, "base-b", "Terminating", 5, ("", ""))
        .deployment("unseen", json!({ "metadata": { "generation": 9 } }), json!({}))
        .deployment(
            "refused",
            json!({}),
            json!({
                "releaseStatus": { "progress": "Init", "batchProgress": "Init" }, "availableReplicas": 0,
                "conditions": condition("False", "InvalidSpec", "spec.replicas: -3 is less than -1; write -1 for one on every base, or 0 and more"),
            }),
        )
        .pod("base-a", true)
        .pod("base-b", true)
}

fn wide() -> Detail {
    Detail { wide: true, namespaces: true }
}

#[test]
fn the_tree_as_a_table() {
    for (name, story) in [("failing", failing()), ("assorted", assorted())] {
        let trees = trees(&story.observed);
        let narrow = Look { colour: false, width: Some(72) };
        check(&format!("{name}.get.txt"), &tree_text::render(&trees.items, Detail::default(), &PLAIN, NOW));
        check(&format!("{name}.get-narrow.txt"), &tree_text::render(&trees.items, Detail::default(), &narrow, NOW));
        check(&format!("{name}.get-wide.txt"), &tree_text::render(&trees.items, wide(), &narrow, NOW));
    }
}

#[test]
fn the_tree_for_scripts() {
    let trees = trees(&failing().observed);
    check("failing.get.json", &json(&trees).expect("JSON"));
    let back: Value = serde_yaml_ng::from_str(&yaml(&trees).expect("YAML")).expect("a document");
    assert_eq!(back, serde_json::to_value(&trees).expect("a value"), "both forms say the same");
}

#[test]
fn the_tree_says_what_it_may_not_see() {
    let mut story = failing();
    story.observed.pods = None;
    let text = tree_text::render(&trees(&story.observed).items, Detail::default(), &PLAIN, NOW);
    assert!(!text.contains("gone") && !text.contains("not ready"), "{text}");
}

#[test]
fn the_screen_of_a_release() {
    for (name, story) in [("failing", failing()), ("assorted", assorted())] {
        let told = story.told();
        check(&format!("{name}.status.txt"), &status::screen(&story.observed, &told, &PLAIN, NOW));
        let narrow = Look { colour: true, width: Some(64) };
        check(&format!("{name}.status-narrow.txt"), &status::screen(&story.observed, &told, &narrow, NOW));
        let trees = trees(&story.observed).items;
        let lines: String = trees.iter().map(|tree| status::line(tree, &tree.name) + "\n").collect();
        check(&format!("{name}.status-lines.txt"), &lines);
    }
}

#[test]
fn what_is_in_several_namespaces_is_called_by_them() {
    let mut story = failing();
    let mut other = story.observed.deployments[0].clone();
    other.metadata.namespace = Some("shop".to_owned());
    story.observed.deployments.push(other);
    let text = status::screen(&story.observed, &[], &PLAIN, NOW);
    let heads: Vec<&str> =
        text.lines().filter(|line| line.contains(" available")).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(heads, ["team-a/hello", "shop/hello"]);
    let mut trees = trees(&story.observed).items;
    trees.iter_mut().for_each(|tree| tree.standing.verdict = standing::Verdict::Failed);
    assert!(status::failure(&trees).contains("\nshop/hello is "), "{}", status::failure(&trees));
}

#[test]
fn the_failure_of_a_release_in_a_sentence() {
    check("assorted.status-failure.txt", &(status::failure(&trees(&assorted().observed).items) + "\n"));
}

#[test]
fn the_history_and_the_difference() {
    let story = failing();
    let history = history::history(&story.observed).expect("a history");
    check("failing.history.txt", &history::render(&history, false, &PLAIN, NOW));
    check("failing.history-wide.txt", &history::render(&history, true, &PLAIN, NOW));
    let sets: Vec<&ModuleReplicaSet> = story.observed.sets.iter().collect();
    let (old, now) =
        (diff::document(&sets, "hello", 1).expect("a revision"), diff::present(&story.observed.deployments[0]));
    check("failing.diff.txt", &diff::unified(("hello revision 1", &old), ("hello now", &now), &PLAIN));
    let error = diff::document(&sets, "hello", 7).expect_err("there is none");
    assert_eq!(error, "hello has no revision 7; it has 1, 2");
}

#[test]
fn why_a_module_is_not_available() {
    for (name, story) in [("failing", failing()), ("assorted", assorted())] {
        let told = story.told();
        for (width, suffix) in [(None, ""), (Some(60), "-narrow")] {
            let look = Look { colour: false, width };
            let text: String = story
                .observed
                .deployments
                .iter()
                .map(|one| {
                    let troubles = why::of_deployment(&story.observed, one, &told, NOW);
                    let name = one.metadata.name.clone().unwrap_or_default();
                    format!("# {name}\n{}", why::render(&name, &troubles, &look, NOW))
                })
                .collect();
            check(&format!("{name}.why{suffix}.txt"), &text);
        }
    }
}

#[test]
fn the_bases_with_what_is_known_of_each() {
    let story = failing();
    let biz = |name: &str, version: &str, state| Biz {
        name: name.into(),
        version: version.into(),
        state,
        web_context_path: None,
    };
    let heard = Answer::Heard {
        biz: vec![biz("hello", "2.0.0", BizState::Activated), biz("legacy", "0.9", BizState::Deactivated)],
        metaspace: Some(Metaspace { max: Some(256 << 20), committed: 100 << 20, used: 90 << 20 }),
        latency: 12,
    };
    let empty = Answer::Heard { biz: vec![], metaspace: None, latency: 8 };
    let answers = [
        ("uid-base-a".to_owned(), heard),
        ("uid-base-b".to_owned(), empty),
        (
            "uid-base-c".to_owned(),
            Answer::Silent("error trying to reach service: dial tcp 10.0.0.7:1238: i/o timeout".into()),
        ),
    ];
    let bases = bases::bases(&story.observed, &answers);
    check("failing.bases.txt", &bases::render(&bases, false, &PLAIN, NOW));
    check("failing.bases.json", &json(&bases).expect("JSON"));
    let unasked = bases::bases(&assorted().observed, &[]);
    check("assorted.bases.txt", &bases::render(&unasked, true, &PLAIN, NOW));
}

#[test]
fn the_document_shows_what_the_tool_shows() {
    let read = |path: &str| fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path);
    let document = read("docs/kubectl-module.md");
    for shown in ["get", "status", "history", "diff", "bases", "why"] {
        let text = read(&format!("tests/fixtures/ctl/failing.{shown}.txt"));
        let text = text.strip_prefix("# hello\n").unwrap_or(&text);
        assert!(document.contains(text), "docs/kubectl-module.md shows another `{shown}` than:\n{text}");
    }
}

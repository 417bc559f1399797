use super::*;
use crate::domain::merge;

const OLD: &str = "serverless.alipay.com";

/// An object of the former group.
fn old(kind: &str, name: &str, uid: &str, labels: Value, owner: Value, spec: Value) -> Value {
    json!({
        "apiVersion": format!("{OLD}/v1alpha1"), "kind": kind,
        "metadata": {
            "name": name, "namespace": "ns", "uid": uid, "labels": labels, "ownerReferences": [owner],
            "finalizers": [format!("{OLD}/allocate-pod")],
        },
        "spec": spec, "status": { "replicas": 2 },
    })
}

/// Two bases, each with the module, and the Service, as V1 left them.
fn cluster() -> Seen {
    let module = json!({ "name": "hello", "version": "1.0.0", "url": "file:///m/hello.jar" });
    let labels =
        json!({ format!("{OLD}/module-deployment"): "hello", format!("{OLD}/module-replicaset-revision"): "1" });
    let pod = |name: &str| {
        let labels = json!({ "app": "base", format!("module.{OLD}/hello"): "true", format!("{OLD}/module-instance-count"): "1" });
        json!({ "metadata": { "name": name, "namespace": "ns", "uid": format!("uid-{name}"), "labels": labels } })
    };
    let on = |pod: &str| json!({ "apiVersion": "v1", "kind": "Pod", "name": pod, "uid": format!("uid-{pod}") });
    let deployment = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "base", "uid": "base" });
    let template = json!({ "spec": { "module": module } });
    let above =
        json!({ "apiVersion": format!("{OLD}/v1alpha1"), "kind": "ModuleDeployment", "name": "hello", "uid": "d" });
    Seen {
        old: vec![
            old(
                "ModuleDeployment",
                "hello",
                "d",
                json!({}),
                deployment,
                json!({ "baseDeploymentName": "base", "replicas": 2, "template": template }),
            ),
            old(
                "ModuleReplicaSet",
                "hello-replicas-1",
                "s",
                labels.clone(),
                above,
                json!({ "replicas": 2, "template": template }),
            ),
            old("Module", "m-a", "ma", labels.clone(), on("a"), json!({ "module": module })),
            old("Module", "m-b", "mb", labels, on("b"), json!({ "module": module })),
        ],
        new: vec![],
        pods: vec![pod("a"), pod("b")],
        services: vec![json!({
            "metadata": { "name": "hello-service", "namespace": "ns", "uid": "svc" },
            "spec": { "selector": { format!("module.{OLD}/hello"): "true" } },
        })],
    }
}

/// What the API server does with a step. It gives UIDs, and takes what ends with its last finalizer.
fn apply(seen: &mut Seen, step: &Step) {
    let on_one = |seen: &mut Seen, target: &Target, change: &mut dyn FnMut(&mut Value)| {
        let all = [&mut seen.old, &mut seen.new, &mut seen.pods, &mut seen.services];
        let found = all.into_iter().flatten().find(|object| text(object, "/metadata/uid") == target.uid);
        change(found.unwrap_or_else(|| panic!("there is no {target:?}")));
    };
    match step {
        Step::Create(object) => {
            assert!(counterpart(seen, object).is_none(), "made twice: {object}");
            let mut object = (**object).clone();
            object["metadata"]["uid"] = json!(format!("new-{}-{}", text(&object, "/kind"), place(&object).1));
            object.as_object_mut().unwrap().remove("status");
            seen.new.push(object);
        }
        Step::Patch(target, patch) => on_one(seen, target, &mut |object| *object = merge::apply(object, patch)),
        Step::Status(target, status) => on_one(seen, target, &mut |object| object["status"] = status.clone()),
        Step::Delete(target) => {
            on_one(seen, target, &mut |object| {
                assert!(object.pointer("/metadata/finalizers").is_none(), "V1 would uninstall: {object}")
            });
            seen.old.retain(|object| text(object, "/metadata/uid") != target.uid);
        }
    }
}

fn steps(seen: &Seen) -> Vec<Step> {
    rows(seen, Wish::default()).into_iter().flat_map(|row| row.steps).collect()
}

/// Rounds of reading and writing, of which the `interrupted`th write is the last one of its round.
fn migrate(seen: &mut Seen, interrupted: usize, mut after_each: impl FnMut(&Seen)) -> usize {
    let mut writes = 0;
    for _ in 0..20 {
        let steps = steps(seen);
        if steps.is_empty() {
            return writes;
        }
        for step in steps {
            apply(seen, &step);
            writes += 1;
            after_each(seen);
            if writes == interrupted {
                break;
            }
        }
    }
    panic!("it doesn't end: {:#?}", steps(seen));
}

#[test]
fn everything_is_there_under_our_group_in_the_end_and_nothing_of_the_former_one() {
    let mut seen = cluster();
    migrate(&mut seen, 0, |_| {});
    assert!(seen.old.is_empty());
    let named: Vec<(&str, &str)> = seen.new.iter().map(|new| (text(new, "/kind"), place(new).1)).collect();
    assert_eq!(
        named,
        [("Module", "m-a"), ("Module", "m-b"), ("ModuleReplicaSet", "hello-replicas-1"), ("ModuleDeployment", "hello")]
    );
    assert_eq!(seen.new[0]["metadata"]["ownerReferences"][0]["uid"], "uid-a");
    assert_eq!(seen.new[0]["metadata"]["finalizers"], json!(["koupleless.io/allocate-pod"]));
    assert_eq!(seen.new[2]["metadata"]["ownerReferences"][0]["uid"], "new-ModuleDeployment-hello");
    assert!(seen.new.iter().all(|new| new["status"] == json!({ "replicas": 2 })), "{:#?}", seen.new);
    for pod in &seen.pods {
        assert_eq!(pod["metadata"]["labels"], json!({ "app": "base", "module.koupleless.io/hello": "true" }));
    }
    assert_eq!(seen.services[0]["spec"]["selector"], json!({ "module.koupleless.io/hello": "true" }));
}

#[test]
fn the_service_selects_its_bases_after_each_single_write() {
    let serves = |seen: &Seen| {
        let selector = seen.services[0]["spec"]["selector"].as_object().unwrap().clone();
        let selected =
            |pod: &&Value| selector.iter().all(|(key, value)| pod["metadata"]["labels"].get(key) == Some(value));
        seen.pods.iter().filter(selected).count()
    };
    migrate(&mut cluster(), 0, |seen| assert_eq!(serves(seen), 2, "{seen:#?}"));
}

#[test]
fn a_migration_that_is_interrupted_after_any_write_ends_in_the_same_state() {
    let mut whole = cluster();
    let writes = migrate(&mut whole, 0, |_| {});
    assert!(writes > 15, "{writes}");
    for interrupted in 1..=writes {
        let mut seen = cluster();
        migrate(&mut seen, interrupted, |_| {});
        assert_eq!(seen, whole, "after {interrupted}");
    }
}

#[test]
fn a_foreign_object_of_the_same_name_blocks_and_is_left_alone() {
    for kind in ["ModuleDeployment", "ModuleReplicaSet", "Module"] {
        let mut seen = cluster();
        let same = seen.old.iter().find(|old| text(old, "/kind") == kind).unwrap().clone();
        let mut foreign = converted(&same, OLD);
        foreign["metadata"]["annotations"] = json!({});
        seen.new.push(foreign);
        let row = &rows(&seen, Wish::default())[0];
        assert_eq!((row.risk, row.steps.len()), (Risk::Blocked, 0), "{row:#?}");
        assert!(row.does.contains(&format!("another {kind}")), "{}", row.does);
    }
}

#[test]
fn what_v1_was_told_to_delete_waits_for_a_word() {
    let mut seen = cluster();
    seen.old[0]["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let row = &rows(&seen, Wish::default())[0];
    assert_eq!((row.risk, row.steps.len()), (Risk::Blocked, 0));
    let steps = &rows(&seen, Wish { deleted_too: true })[0].steps;
    assert!(matches!(&steps[0], Step::Create(_)));
}

#[test]
fn what_our_group_would_refuse_is_told_before_anything_is_written() {
    let mut seen = cluster();
    seen.old[0]["spec"]["template"]["spec"]["module"]["url"] = json!("ftp://host/a.jar");
    let row = &rows(&seen, Wish::default())[0];
    assert_eq!((row.risk, row.steps.len()), (Risk::Blocked, 0));
    assert!(row.does.contains("use http, https, file or jar"), "{}", row.does);
}

#[test]
fn what_the_operator_took_away_since_is_not_made_again() {
    let mut seen = cluster();
    while !matches!(steps(&seen).first(), Some(Step::Patch(target, _)) if target.kind == "Module") {
        for step in steps(&seen) {
            apply(&mut seen, &step);
        }
    }
    seen.new.retain(|new| place(new).1 != "m-a");
    let deployment = seen.new.iter_mut().find(|new| text(new, "/kind") == "ModuleDeployment").unwrap();
    deployment["metadata"]["annotations"]["koupleless.io/scale-baseline"] = json!("2");
    migrate(&mut seen, 0, |_| {});
    assert!(seen.old.is_empty());
    assert!(seen.new.iter().all(|new| place(new).1 != "m-a"));
}

#[test]
fn a_module_that_never_had_a_base_is_not_carried_over() {
    let mut seen = cluster();
    seen.old[2]["metadata"].as_object_mut().unwrap().remove("ownerReferences");
    assert!(rows(&seen, Wish::default())[0].does.contains("installs 1"));
    migrate(&mut seen, 0, |_| {});
    assert!(seen.old.is_empty());
    assert_eq!(seen.new.iter().filter(|new| text(new, "/kind") == "Module").count(), 1);
}

#[test]
fn what_belongs_to_no_deployment_is_shown_and_left() {
    let mut seen = cluster();
    seen.old.remove(0);
    let rows = rows(&seen, Wish::default());
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row.risk == Risk::Blocked && row.steps.is_empty()), "{rows:#?}");
}

use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::controllers::testing::{context, metadata, object};

fn deployment(name: &str, module: &str) -> Arc<ModuleDeployment> {
    object(json!({ "metadata": metadata(name), "spec": { "baseDeploymentName": "base", "template": { "spec": {
        "module": { "name": module, "version": "1", "url": "http://host/x.jar" } } } } }))
}

/// What a queue was asked for since the last time.
struct Asked<K: kube::Resource>(tokio::sync::mpsc::UnboundedReceiver<ObjectRef<K>>);

impl<K: kube::Resource> Asked<K> {
    fn names(&mut self) -> BTreeSet<String> {
        std::iter::from_fn(|| self.0.try_recv().ok()).map(|key| key.name).collect()
    }
}

#[tokio::test]
async fn what_was_known_of_an_object_goes_with_it() {
    let context = context();
    let pod: Arc<BasePod> = object(json!({ "metadata": metadata("pod"), "spec": {}, "status": {} }));
    assert!(context.may_write("pod/uid-pod", false, 1_000, 0).is_ok());
    assert!(context.may_write("pod/uid-pod", false, 1_000, 1).is_err(), "it was written a moment ago");
    context.changed_base(BaseChange::PodLeft(pod));
    assert_eq!(context.written.lock().unwrap().len(), 0);

    let gone = deployment("gone", "hello");
    let key = ("shop".to_owned(), "gone".to_owned());
    context.service_reports.lock().unwrap().insert(key, ("PortClash".to_owned(), String::new()));
    context.changed_deployment(&Change::Deleted(gone));
    assert_eq!(context.service_reports.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn who_shares_a_service_looks_again_when_one_of_them_goes() {
    let context = context();
    for other in [deployment("shares", "hello"), deployment("other", "bye")] {
        context.deployments.put_new(other);
    }
    let mut services = Asked(context.queues.services.take().expect("the queue"));
    context.changed_deployment(&Change::Deleted(deployment("gone", "hello")));
    assert_eq!(services.names(), BTreeSet::from(["gone".to_owned(), "shares".to_owned()]));
}

#[tokio::test]
async fn only_sets_that_wait_are_woken_by_a_module_of_others() {
    let context = context();
    let set = |name: &str| object::<ModuleReplicaSet>(json!({ "metadata": metadata(name), "spec": {} }));
    let (waits, settled) = (set("waits"), set("settled"));
    let mut sets = Asked(context.queues.sets.take().expect("the queue"));
    for set in [&waits, &settled] {
        context.note_waiting(set, true);
    }
    context.note_waiting(&settled, false);
    let module: Arc<Module> = object(json!({ "metadata": metadata("another"), "spec": {} }));
    context.changed_module(&Change::Applied(Arc::clone(&module)));
    assert_eq!(sets.names(), BTreeSet::from(["waits".to_owned()]));
    context.changed_set(&Change::Deleted(waits));
    sets.names();
    context.changed_module(&Change::Deleted(module));
    assert_eq!(sets.names(), BTreeSet::new(), "one that is gone waits for nothing");
}

#[tokio::test]
async fn a_module_whose_pod_nobody_saw_looks_again_once_the_base_is_known() {
    let context = context();
    context.sets.cache.put_new(object(json!({ "spec": {}, "metadata": {
        "name": "mine-1", "namespace": "shop", "labels": { "koupleless.io/deployment-name": "base" } } })));
    let seen = json!({ "metadata": metadata("seen"), "spec": {}, "status": {} });
    context.bases.apply(serde_json::from_value(seen).expect("a pod"));
    for (name, pod) in [("on-gone", "gone"), ("on-seen", "seen")] {
        let module: Arc<Module> = object(json!({ "spec": {}, "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-{name}"),
            "labels": { "koupleless.io/module-replicaset": "mine-1" },
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": pod, "uid": format!("uid-{pod}") }] } }));
        context.modules.cache.put_new(Arc::clone(&module));
        context.modules.note(&module);
    }
    let mut modules = Asked(context.queues.modules.take().expect("the queue"));
    modules.names();
    let base = ("shop".to_owned(), "base".to_owned());
    context.changed_base(BaseChange::Deployment { base: base.clone(), found_out: false });
    assert_eq!(modules.names(), BTreeSet::new(), "what is known already woke them before");
    context.changed_base(BaseChange::Deployment { base, found_out: true });
    assert_eq!(modules.names(), BTreeSet::from(["on-gone".to_owned()]));
}

#[tokio::test]
async fn the_end_of_an_edited_module_is_told_in_the_slot_that_it_was_in() {
    let context = context();
    let module = |name: &str, status: serde_json::Value| -> Arc<Module> {
        let owner = json!({ "apiVersion": "v1", "kind": "Pod", "name": "pod", "uid": "uid-pod" });
        let spec = json!({ "module": { "name": name, "version": "1", "url": "http://host/x.jar" } });
        object(json!({ "spec": spec, "status": status, "metadata": {
            "name": format!("module-{name}"), "namespace": "shop", "uid": format!("uid-{name}"), "ownerReferences": [owner] } }))
    };
    for other in [module("hello", json!({})), module("other", json!({}))] {
        context.modules.put_new(other);
    }
    let mut modules = Asked(context.queues.modules.take().expect("the queue"));
    let edited = module("edited", json!({ "installed": { "name": "hello", "version": "1" } }));
    context.changed_module(&Change::Deleted(edited));
    assert_eq!(modules.names(), BTreeSet::from(["module-hello".to_owned()]));
}

/// A deployment that moves to another base Deployment has replica sets on the former one, and somebody may have made a
/// replica set by hand: no deployment that names the base wakes them.
#[tokio::test]
async fn replica_sets_hear_of_the_base_that_they_are_on_whoever_controls_them() {
    let context = context();
    context.deployments.put_new(deployment("moves", "hello"));
    let set = |name: &str, base: &str| {
        let labels = json!({ "koupleless.io/deployment-name": base });
        object::<ModuleReplicaSet>(json!({ "spec": {}, "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "labels": labels } }))
    };
    for set in [set("moves-1", "former"), set("by-hand", "former"), set("elsewhere", "base")] {
        context.sets.put_new(set);
    }
    let mut sets = Asked(context.queues.sets.take().expect("the queue"));
    let base = ("shop".to_owned(), "former".to_owned());
    context.changed_base(BaseChange::Deployment { base, found_out: true });
    assert_eq!(sets.names(), BTreeSet::from(["by-hand".to_owned(), "moves-1".to_owned()]));
}

#[tokio::test]
async fn a_virtual_node_is_news_for_the_modules_of_the_base_that_has_its_address_now() {
    let context = context();
    let status = json!({ "podIP": "10.0.0.2" });
    let pod = json!({ "metadata": metadata("pod"), "spec": {}, "status": status });
    context.bases.apply(serde_json::from_value(pod).expect("a pod"));
    context.modules.put_new(object(json!({ "spec": {}, "metadata": {
        "name": "here", "namespace": "shop", "uid": "uid-here", "labels": { "koupleless.io/base-instance-ip": "10.0.0.1" },
        "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": "pod", "uid": "uid-pod" }] } })));
    let mut modules = Asked(context.queues.modules.take().expect("the queue"));
    modules.names();
    context.changed_vnode("10.0.0.2");
    assert_eq!(modules.names(), BTreeSet::from(["here".to_owned()]));
}

use futures::FutureExt;
use kube::runtime::watcher;
use serde_json::json;

use super::*;
use crate::{
    controllers::testing::{context_over, metadata, object},
    runtime::cache::Cache,
};

fn module(name: &str, uid: Option<&str>) -> Arc<Module> {
    object(
        json!({ "spec": {}, "metadata": { "name": name, "namespace": "shop", "uid": uid, "resourceVersion": uid.map(|_| "1"),
        "labels": { "koupleless.io/module-replicaset": "mine-1" } } }),
    )
}

/// A reconcile that takes too long ends wherever it is. What it was about to order must not count as ordered for ever: a
/// place that nobody takes, a Module that leaves and isn't deleted.
#[tokio::test]
async fn orders_that_were_cut_short_are_taken_back() {
    let (cache, mut watch) = Cache::new(|_| ());
    let context = context_over(cache);
    let set: Arc<ModuleReplicaSet> = object(json!({ "metadata": metadata("mine-1"), "spec": {} }));
    let stays = module("stays", Some("uid-stays"));
    watch.apply_watcher_event(&watcher::Event::Apply(Module::clone(&stays)));
    context.modules.note(&stays);
    let mut orders = Orders { delete: vec![Arc::clone(&stays)], ..Orders::default() };
    for number in 0..2 * AT_ONCE {
        let new = module(&format!("new-{number:02}"), None);
        context.modules.put_new(Arc::clone(&new));
        orders.create.push(new);
    }
    context.order_away(&stays);

    assert!(apply(&context, &set, orders).now_or_never().is_none(), "the API server hasn't answered yet");

    let left = context.modules.of_set("shop", "mine-1");
    let left: Vec<_> =
        left.iter().map(|module| (module.name_any(), module.metadata.deletion_timestamp.is_some())).collect();
    assert_eq!(left, [("stays".to_owned(), false)]);
}

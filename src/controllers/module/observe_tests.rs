use serde_json::{Value, json};

use super::*;
use crate::controllers::testing::{context, object};

fn module(name: &str, change: impl FnOnce(&mut Value)) -> Arc<Module> {
    let mut module = json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-{name}"),
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": "base-0", "uid": "uid-base-0" }],
        },
        "spec": { "module": { "name": "hello", "version": "1.0.0", "url": "http://host/x.jar" } },
    });
    change(&mut module);
    object(module)
}

#[tokio::test]
async fn who_never_says_anything_is_waited_for_by_nobody() {
    let context = context();
    let left = |metadata: &mut Value| metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let dropped = json!({ "koupleless.io/delete-module-directly": "true" });
    for other in [
        module("beside", |_| ()),
        module("leaves", |module| left(&mut module["metadata"])),
        module("is-being-created", |module| module["metadata"]["uid"] = Value::Null),
        module("is-dropped", |module| {
            left(&mut module["metadata"]);
            module["metadata"]["labels"] = dropped.clone();
        }),
    ] {
        context.modules.put_new(other);
    }
    assert_eq!(mates(&context, &module("new", |_| ())), ["beside", "leaves"]);
}

#[tokio::test]
async fn a_module_whose_end_was_seen_states_no_wish_any_more() {
    let context = context();
    let status = json!({ "podIP": "127.0.0.1" });
    let pod = json!({ "metadata": { "name": "base-0", "namespace": "shop" }, "spec": {}, "status": status });
    let observed = Observed { pod: Some(object(pod)), fate: BaseFate::Alive, ..Observed::unbound(None) };
    let (there, gone) = (module("there", |_| ()), module("gone", |_| ()));
    context.modules.put_new(Arc::clone(&there));
    for (module, known) in [(&there, true), (&gone, false)] {
        let told = hand_over(&context, module, &observed, Some(WishKind::Run));
        assert_eq!(
            (told.is_some(), delivery::told(&context, module).is_some()),
            (known, known),
            "{}",
            module.name_any()
        );
    }
}

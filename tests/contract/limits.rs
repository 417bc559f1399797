//! Nothing that the API server takes may be unreadable for the types: a list is decoded as a whole, so one absurd
//! number or time in one object would stop the operator for all.

use module_controller::api::{Module, ModuleDeployment, ModuleReplicaSet, crds};
use serde_json::{Value, json};

use crate::cluster::{Policy, Space, hello, in_namespace, put};

/// Dotted paths of all fields of a schema for which `wanted` holds.
fn paths(schema: &Value, wanted: &dyn Fn(&Value) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        if wanted(inner) {
            found.push(name.clone());
        }
        found.extend(paths(inner, wanted).into_iter().map(|path| format!("{name}.{path}")));
    }
    found
}

/// The schemas of the kinds that the operator lists, by kind.
fn schemas() -> Vec<(String, Value)> {
    crds::all()
        .expect("the definitions")
        .into_iter()
        .filter(|crd| crd.spec.names.kind != "ModuleTemplate")
        .map(|crd| {
            (
                crd.spec.names.kind,
                serde_json::to_value(&crd.spec.versions[0].schema).unwrap()["openAPIV3Schema"].clone(),
            )
        })
        .collect()
}

/// A stored object of each kind, to change.
async fn originals(space: &Space) -> Vec<(String, Value)> {
    let info = hello()["spec"]["template"]["spec"]["module"].clone();
    let mut stored = Vec::new();
    for (kind, spec) in [
        ("ModuleDeployment", hello()["spec"].clone()),
        ("ModuleReplicaSet", json!({ "template": hello()["spec"]["template"] })),
        ("Module", json!({ "module": info })),
    ] {
        let object = json!({ "metadata": { "name": "hello" }, "spec": spec });
        stored.push((kind.to_owned(), space.create(kind, &object, false).await.expect("it is created")));
    }
    stored
}

/// What the API server makes of `value` at `path`: refused with a message, or what it would store.
async fn attempt(space: &Space, kind: &str, original: &Value, path: &str, value: &Value) -> Result<Value, String> {
    let mut object = original.clone();
    put(&mut object, path, value.clone());
    let subresource = if path.starts_with("status.") { "status" } else { "" };
    space.replace(kind, subresource, &object, true).await.map_err(|error| error.to_string())
}

fn readable(kind: &str, object: &Value) -> Result<(), serde_json::Error> {
    match kind {
        "ModuleDeployment" => serde_json::from_value::<ModuleDeployment>(object.clone()).map(drop),
        "ModuleReplicaSet" => serde_json::from_value::<ModuleReplicaSet>(object.clone()).map(drop),
        _ => serde_json::from_value::<Module>(object.clone()).map(drop),
    }
}

#[tokio::test]
async fn an_integer_that_does_not_fit_is_refused() {
    in_namespace(Policy::Off, |space| async move {
        let originals = originals(&space).await;
        let mut tried = 0;
        for (kind, schema) in schemas() {
            let original = &originals.iter().find(|(known, _)| *known == kind).expect("every kind").1;
            for path in paths(&schema, &|field| field["type"] == "integer") {
                let field = path.split('.').fold(&schema, |at, name| &at["properties"][name]);
                let over = match field["format"].as_str() {
                    Some("int32") => [json!(i64::from(i32::MAX) + 1), json!(i64::from(i32::MIN) - 1)],
                    Some("int64") => [json!(1_u64 << 63), json!(-1e19)],
                    format => panic!("{kind} {path}: an integer of format {format:?}"),
                };
                for value in over {
                    let refused = attempt(&space, &kind, original, &path, &value).await;
                    let message = refused.expect_err(&format!("{kind} {path} = {value} is taken"));
                    let last = path.rsplit('.').next().unwrap_or_default();
                    assert!(message.contains(last), "{kind} {path} = {value}: {message}");
                    tried += 1;
                }
            }
        }
        assert!(tried >= 2 * 40, "only {tried} values were tried");
    })
    .await;
}

/// Lossy where V1 had an int32: fields that take texts too have no format, so any integer passes.
#[tokio::test]
async fn what_is_taken_where_texts_are_legal_is_readable() {
    in_namespace(Policy::Off, |space| async move {
        let originals = originals(&space).await;
        let mut taken = 0;
        for (kind, schema) in schemas() {
            let original = &originals.iter().find(|(known, _)| *known == kind).expect("every kind").1;
            for path in paths(&schema, &|field| field["x-kubernetes-int-or-string"] == true) {
                for value in [
                    json!(i64::MAX),
                    json!(i64::MIN),
                    json!(1_u64 << 63),
                    json!(u64::MAX),
                    json!(1e15),
                    json!(1e16),
                    json!(1e30),
                    json!(1.5),
                    json!(""),
                    json!(true),
                    json!([1]),
                ] {
                    let Ok(stored) = attempt(&space, &kind, original, &path, &value).await else {
                        continue;
                    };
                    readable(&kind, &stored).unwrap_or_else(|error| panic!("{kind} {path} = {value}: {error}"));
                    taken += 1;
                }
            }
        }
        assert!(taken >= 2 * 4, "only {taken} values were taken");
    })
    .await;
}

#[tokio::test]
async fn a_time_that_is_taken_is_readable() {
    in_namespace(Policy::Off, |space| async move {
        let originals = originals(&space).await;
        let mut taken = 0;
        for (kind, schema) in schemas() {
            let original = &originals.iter().find(|(known, _)| *known == kind).expect("every kind").1;
            for path in paths(&schema, &|field| field["format"] == "date-time") {
                for text in [
                    "2026-11-20T18:30:52Z",
                    "2026-11-20T18:30:52.123456789+08:00",
                    "2026-11-20t18:30:52z",
                    "2026-11-20T18:30:60Z",
                    "2026-11-20T24:00:00Z",
                    "2026-02-30T18:30:52Z",
                    "2026-11-20T18:30:52",
                    "2026-11-20T18:30Z",
                    "2026-11-20 18:30:52Z",
                    "2026-11-20T18:30:52+0800",
                    "2026-11-20",
                    "0000-01-01T00:00:00Z",
                    "99999-01-01T00:00:00Z",
                    "now",
                    "",
                ] {
                    let Ok(stored) = attempt(&space, &kind, original, &path, &json!(text)).await else {
                        continue;
                    };
                    readable(&kind, &stored).unwrap_or_else(|error| panic!("{kind} {path} = {text:?}: {error}"));
                    taken += 1;
                }
            }
        }
        assert!(taken >= 2 * 3, "only {taken} times were taken");
    })
    .await;
}

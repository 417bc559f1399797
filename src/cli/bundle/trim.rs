//! What of an object is worth sending away.

use serde_json::{Map, Value, json};

/// The object's name.
pub fn name(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

/// Objects of our kinds and Events whole, but for the book-keeping of field managers; of pods and workloads what says how
/// they are. Their environment, arguments and volumes may hold what is nobody's business.
pub fn object(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    match object["kind"].as_str() {
        Some("Pod") => with_spec(&object, &["nodeName", "readinessGates", "tolerations", "nodeSelector"], ""),
        Some("Deployment") => with_spec(&object, &["replicas", "selector", "strategy"], "/template/spec"),
        _ => object,
    }
}

fn some_of(from: Option<&Value>, keys: &[&str]) -> Map<String, Value> {
    let value = |key: &&str| Some(((*key).to_owned(), from?.get(*key)?.clone()));
    keys.iter().filter_map(value).collect()
}

/// The object with so much of its spec, and the names, images, ports and probes of the containers at `pod`.
fn with_spec(object: &Value, keys: &[&str], pod: &str) -> Value {
    const KEPT: [&str; 5] = ["name", "image", "ports", "readinessProbe", "resources"];
    let mut metadata = object["metadata"].clone();
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        // A copy of the manifest, the environment included.
        annotations.remove(crate::api::keys::annotation::LAST_APPLIED);
    }
    let mut spec = some_of(object.get("spec"), keys);
    let containers = object.pointer(&format!("/spec{pod}/containers")).and_then(Value::as_array);
    let container = |one: &Value| {
        let mut kept = some_of(Some(one), &KEPT);
        if let Some(probe) = kept.get_mut("readinessProbe") {
            without_secrets(probe);
        }
        Value::from(kept)
    };
    let containers: Vec<Value> = containers.into_iter().flatten().map(container).collect();
    spec.insert("containers".to_owned(), containers.into());
    json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": metadata,
        "spec": spec, "status": object.get("status").cloned().unwrap_or_default(),
    })
}

/// A probe's headers and command are arguments like others.
fn without_secrets(probe: &mut Value) {
    for (at, field) in [("/httpGet", "httpHeaders"), ("/exec", "command")] {
        if let Some(inner) = probe.pointer_mut(at).and_then(Value::as_object_mut) {
            inner.remove(field);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_keeps_what_says_how_it_is_and_nothing_that_may_be_secret() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "p", "managedFields": [1], "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "pa55", "a": "b" } },
            "spec": {
                "nodeName": "n", "volumes": [{ "secret": "pa55" }],
                "containers": [{ "name": "c", "image": "i", "env": [{ "name": "PASSWORD", "value": "pa55" }], "args": ["pa55"] }],
            },
            "status": { "phase": "Running" },
        });
        let trimmed = object(&pod);
        assert!(!trimmed.to_string().contains("pa55"), "{trimmed}");
        assert_eq!(trimmed["spec"], json!({ "nodeName": "n", "containers": [{ "name": "c", "image": "i" }] }));
        assert_eq!(trimmed["metadata"], json!({ "name": "p", "annotations": { "a": "b" } }));
        assert_eq!(trimmed["status"]["phase"], "Running");
    }

    #[test]
    fn a_probe_keeps_what_it_asks_and_not_what_it_sends() {
        let probed = |probe: Value| {
            let pod = json!({ "kind": "Pod", "spec": { "containers": [{ "name": "c", "readinessProbe": probe }] } });
            object(&pod)["spec"]["containers"][0]["readinessProbe"].clone()
        };
        let headers = json!([{ "name": "Authorization", "value": "Basic pa55" }]);
        let asked = json!({ "httpGet": { "path": "/ready", "port": 80 }, "periodSeconds": 5 });
        let mut sent = asked.clone();
        sent["httpGet"]["httpHeaders"] = headers;
        assert_eq!(probed(sent), asked);
        assert_eq!(probed(json!({ "exec": { "command": ["mysql", "-ppa55"] } })), json!({ "exec": {} }));
    }

    #[test]
    fn our_kinds_keep_everything() {
        let last = "kubectl.kubernetes.io/last-applied-configuration";
        let deployment = json!({ "kind": "ModuleDeployment", "metadata": { "annotations": { last: "{}" } }, "spec": { "replicas": 1 } });
        assert_eq!(object(&deployment), deployment);
    }
}

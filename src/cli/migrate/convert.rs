//! One object of a former group as an object of `koupleless.io`: the shape that V1 would have given it there.

use serde_json::{Map, Value, json};

use super::text;
use crate::{
    api::keys::{self, annotation, label},
    cli::validate::check::OLD_GROUPS,
    domain::policy::UpgradePolicy,
};

/// On a converted object: the UID of the one that it was made from. So a repeated migration knows its own work.
pub const MIGRATED_FROM: &str = "koupleless.io/migrated-from";

/// The group of an `apiVersion`, if it is one of V1's former ones.
pub fn old_group(object: &Value) -> Option<&'static str> {
    let group = text(object, "/apiVersion").split('/').next().unwrap_or_default();
    OLD_GROUPS.into_iter().find(|old| *old == group)
}

/// A key of a label, an annotation or a finalizer under our group.
pub fn rekeyed(key: &str, group: &str) -> String {
    if let Some(name) = key.strip_prefix(&format!("module.{group}/")) {
        return format!("{}{name}", label::TRAFFIC_PREFIX);
    }
    match key.strip_prefix(&format!("{group}/")) {
        Some(name) => format!("{}/{name}", keys::GROUP),
        None => key.to_owned(),
    }
}

fn rekeyed_map(map: Option<&Value>, group: &str) -> Map<String, Value> {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    entries.map(|(key, value)| (rekeyed(key, group), value.clone())).collect()
}

/// The new object, without the owner of its own group, whose UID only the API server knows.
pub fn converted(old: &Value, group: &str) -> Value {
    let kind = text(old, "/kind");
    let mut annotations = rekeyed_map(old.pointer("/metadata/annotations"), group);
    // It speaks of an object of the former group; `kubectl apply` begins a new one.
    annotations.remove(annotation::LAST_APPLIED);
    annotations.insert(MIGRATED_FROM.to_owned(), json!(text(old, "/metadata/uid")));
    let mut metadata = json!({
        "name": text(old, "/metadata/name"),
        "namespace": text(old, "/metadata/namespace"),
        "labels": rekeyed_map(old.pointer("/metadata/labels"), group),
        "annotations": annotations,
    });
    let list = |pointer: &str| old.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let finalizers: Vec<String> =
        list("/metadata/finalizers").iter().filter_map(Value::as_str).map(|name| rekeyed(name, group)).collect();
    if !finalizers.is_empty() {
        metadata["finalizers"] = json!(finalizers);
    }
    let owners: Vec<Value> =
        list("/metadata/ownerReferences").into_iter().filter(|owner| old_group(owner).is_none()).collect();
    if !owners.is_empty() {
        metadata["ownerReferences"] = json!(owners);
    }
    let mut new = json!({
        "apiVersion": format!("{}/{}", keys::GROUP, keys::VERSION),
        "kind": kind,
        "metadata": metadata,
    });
    if let Some(spec) = old.get("spec") {
        new["spec"] = spec.clone();
        renamed_fields(&mut new["spec"]);
    }
    if let Some(status) = old.get("status").filter(|status| status.as_object().is_some_and(|fields| !fields.is_empty()))
    {
        new["status"] = status.clone();
    }
    new
}

/// Fields and values that our schema would drop or refuse, under the names that they have now.
fn renamed_fields(spec: &mut Value) {
    let Some(spec) = spec.as_object_mut() else { return };
    rename(spec, "pause", "paused");
    spec.remove("currentGroupConfirmation");
    if let Some(strategy) = spec.get_mut("operationStrategy").and_then(Value::as_object_mut) {
        rename(strategy, "grayTime", "grayTimeBetweenBatchSeconds");
        strategy.remove("currentGroupConfirmation");
        if let Some(Value::String(policy)) = strategy.get_mut("upgradePolicy")
            && let Some(meant) = UpgradePolicy::meant_by(policy)
        {
            *policy = meant.as_str().to_owned();
        }
    }
    if let Some(Value::String(policy)) = spec.get_mut("schedulingStrategy").and_then(|s| s.get_mut("schedulingPolicy"))
    {
        let lower = policy.to_lowercase();
        *policy = if lower == "stacking" { lower } else { "scatter".to_owned() };
    }
}

fn rename(fields: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = fields.remove(from) {
        fields.entry(to).or_insert(value);
    }
}

/// What the conversion changes in the spec beside the group, for the table; empty where it changes nothing.
pub fn remarks(old: &Value) -> Vec<String> {
    let at = |pointer: &str| old.pointer(pointer);
    let mut remarks = Vec::new();
    let policy = text(old, "/spec/operationStrategy/upgradePolicy");
    if let Some(meant) = UpgradePolicy::meant_by(policy).filter(|meant| meant.as_str() != policy) {
        remarks.push(format!("upgradePolicy {policy} is written {}", meant.as_str()));
    }
    for (pointer, words) in [
        ("/spec/pause", "pause is written paused"),
        ("/spec/operationStrategy/grayTime", "grayTime is written grayTimeBetweenBatchSeconds"),
        (
            "/spec/currentGroupConfirmation",
            "currentGroupConfirmation is dropped: `kubectl module confirm NAME` is in its place",
        ),
    ] {
        if at(pointer).is_some() {
            remarks.push(words.to_owned());
        }
    }
    if overwritten_peer(old) {
        remarks.push("V1 overwrote replicas: -1; write it again for one on every base".to_owned());
    }
    remarks
}

/// Whether its author applied `replicas: -1` and V1 put a number in its place.
pub fn overwritten_peer(object: &Value) -> bool {
    let applied = object.pointer("/metadata/annotations").and_then(|all| all.get(annotation::LAST_APPLIED));
    let applied: Option<Value> = applied.and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok());
    let replicas = |object: &Value| object.pointer("/spec/replicas").and_then(Value::as_i64);
    applied.as_ref().and_then(replicas) == Some(-1) && replicas(object) != Some(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "serverless.alipay.com";

    #[test]
    fn keys_come_under_our_group_and_others_stay() {
        for (key, new) in [
            ("serverless.alipay.com/module-name", "koupleless.io/module-name"),
            ("module.serverless.alipay.com/hello", "module.koupleless.io/hello"),
            ("serverless.alipay.com.example/x", "serverless.alipay.com.example/x"),
            ("app", "app"),
        ] {
            assert_eq!(rekeyed(key, OLD), new);
        }
    }

    #[test]
    fn a_deployment_keeps_what_it_says_under_the_names_of_today() {
        let old = json!({
            "apiVersion": "serverless.alipay.com/v1alpha1", "kind": "ModuleDeployment",
            "metadata": {
                "name": "m", "namespace": "ns", "uid": "u1", "resourceVersion": "5", "generation": 2,
                "labels": { "app": "m", "serverless.alipay.com/x": "1" },
                "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{\"spec\":{\"replicas\":-1}}" },
                "finalizers": ["serverless.alipay.com/module-existed"],
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "Deployment", "name": "base", "uid": "b" }],
            },
            "spec": {
                "baseDeploymentName": "base", "replicas": 3, "pause": true, "currentGroupConfirmation": true,
                "operationStrategy": { "grayTime": 5, "upgradePolicy": "uninstallThenInstall" },
                "schedulingStrategy": { "schedulingPolicy": "Scatter" },
            },
            "status": { "replicas": 3 },
        });
        let new = json!({
            "apiVersion": "koupleless.io/v1alpha1", "kind": "ModuleDeployment",
            "metadata": {
                "name": "m", "namespace": "ns",
                "labels": { "app": "m", "koupleless.io/x": "1" },
                "annotations": { "koupleless.io/migrated-from": "u1" },
                "finalizers": ["koupleless.io/module-existed"],
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "Deployment", "name": "base", "uid": "b" }],
            },
            "spec": {
                "baseDeploymentName": "base", "replicas": 3, "paused": true,
                "operationStrategy": { "grayTimeBetweenBatchSeconds": 5, "upgradePolicy": "uninstall_then_install" },
                "schedulingStrategy": { "schedulingPolicy": "scatter" },
            },
            "status": { "replicas": 3 },
        });
        assert_eq!(converted(&old, OLD), new);
        assert_eq!(remarks(&old).len(), 5, "each change is told: {:?}", remarks(&old));
        assert_eq!(remarks(&new), Vec::<String>::new());
    }
}

//! V1's CRDs, as far as its contract tells them: every field that V1 knew with its type, and nothing else. What they don't
//! name the API server prunes when it reads an object.

use serde_json::{Value, json};

fn int() -> Value {
    json!({ "type": "integer", "format": "int32" })
}

fn word() -> Value {
    json!({ "type": "string" })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn object(properties: Value) -> Value {
    json!({ "type": "object", "properties": properties })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// `base` with more properties.
fn with(base: Value, more: Value) -> Value {
    let (Value::Object(mut base), Value::Object(more)) = (base, more) else { panic!("objects") };
    base.extend(more);
    Value::Object(base)
}

fn selector() -> Value {
    object(json!({
        "matchLabels": { "type": "object", "additionalProperties": { "type": "string" } },
        "matchExpressions": { "type": "array", "items": object(json!({
            "key": word(), "operator": word(), "values": { "type": "array", "items": word() },
        })) },
    }))
}

fn module() -> Value {
    object(json!({
        "name": word(), "version": word(), "url": { "type": "string", "format": "uri" }, "type": word(), "md5": word(),
    }))
}

fn template() -> Value {
    object(json!({
        "metadata": { "type": "object" },
        "spec": object(json!({ "selector": selector(), "module": module(), "upgradePolicy": word() })),
    }))
}

fn strategies() -> Value {
    let port = json!({ "x-kubernetes-int-or-string": true, "anyOf": [{ "type": "integer" }, { "type": "string" }] });
    json!({
        "operationStrategy": object(json!({
            "needConfirm": flag(), "useBeta": flag(), "batchCount": int(), "maxUnavailable": int(),
            "grayTimeBetweenBatchSeconds": int(), "upgradePolicy": word(),
            "serviceStrategy": object(json!({ "enableModuleService": flag(), "port": int(), "targetPort": port })),
        })),
        "schedulingStrategy": object(json!({
            "schedulingPolicy": { "type": "string", "enum": ["scatter", "stacking"], "default": "scatter" },
        })),
        "minReadySeconds": int(),
    })
}

fn counts() -> Value {
    let condition = json!({
        "type": word(), "status": word(), "reason": word(), "message": word(), "last_transition_time": time(),
    });
    json!({
        "replicas": int(), "availableReplicas": int(), "readyReplicas": int(), "unavailableReplicas": int(),
        "updatedReplicas": int(), "upgradingReplicas": int(), "updatedReadyReplicas": int(),
        "updatedAvailableReplicas": int(), "collisionCount": int(),
        "observedGeneration": { "type": "integer", "format": "int64" },
        "conditions": { "type": "array", "items": object(condition) },
    })
}

/// The three kinds, as documents for `kubectl apply`.
pub fn manifests() -> String {
    let release = object(json!({
        "updateRevision": word(), "currentBatch": int(), "realBatchCount": int(), "originalDeltaReplicas": int(),
        "progress": word(), "batchProgress": word(), "lastTransitionTime": time(), "nextReconcileTime": time(),
    }));
    let deployment = with(
        strategies(),
        json!({
            "baseDeploymentName": { "type": "string", "minLength": 1 }, "template": template(),
            "replicas": { "type": "integer", "format": "int32", "minimum": -1 }, "revisionHistoryLimit": int(),
            "progressDeadlineSeconds": int(),
            "confirmBatchNum": { "type": "integer", "format": "int32", "minimum": 0, "default": 0 },
        }),
    );
    let set = with(strategies(), json!({ "selector": selector(), "replicas": int(), "template": template() }));
    let one = json!({ "selector": selector(), "module": module(), "upgradePolicy": word() });
    let status = json!({ "status": word(), "last_transition_time": time() });
    let kinds = [
        ("ModuleDeployment", "mddeploy", deployment, with(counts(), json!({ "releaseStatus": release }))),
        ("ModuleReplicaSet", "mdrs", set, with(counts(), json!({ "currentReplicas": int() }))),
        ("Module", "md", one, status),
    ];
    let all = kinds.map(|(kind, short, spec, status)| crd(kind, short, spec, status).to_string());
    all.join("\n---\n")
}

fn crd(kind: &str, short: &str, spec: Value, status: Value) -> Value {
    let (singular, plural) = (kind.to_lowercase(), format!("{}s", kind.to_lowercase()));
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.koupleless.io") },
        "spec": {
            "group": "koupleless.io", "scope": "Namespaced",
            "names": { "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": singular, "shortNames": [short] },
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": object(json!({
                    "apiVersion": word(), "kind": word(), "metadata": { "type": "object" },
                    "spec": object(spec), "status": object(status),
                })) },
            }],
        },
    })
}

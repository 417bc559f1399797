//! `metadata`, which the API server checks itself: no definition has a schema for it.

use serde_json::{Value, json};

use super::schema::{self, Mismatch};
use crate::{
    cli::manifest::Node,
    domain::{names, validation::forms},
};

/// What may stand in `metadata`.
fn schema() -> Value {
    let (text, texts) =
        (json!({ "type": "string" }), json!({ "type": "object", "additionalProperties": { "type": "string" } }));
    let number = json!({ "type": "integer" });
    json!({
        "type": "object",
        "properties": {
            "name": text, "generateName": text, "namespace": text, "uid": text, "resourceVersion": text,
            "selfLink": text, "generation": number, "deletionGracePeriodSeconds": number,
            "creationTimestamp": text, "deletionTimestamp": text, "labels": texts, "annotations": texts,
            "finalizers": { "type": "array", "items": text },
            "managedFields": { "type": "array", "items": { "type": "object" } },
            "ownerReferences": { "type": "array", "items": {
                "type": "object",
                "required": ["apiVersion", "kind", "name", "uid"],
                "properties": {
                    "apiVersion": text, "kind": text, "name": text, "uid": text,
                    "controller": { "type": "boolean" }, "blockOwnerDeletion": { "type": "boolean" },
                },
            } },
        },
    })
}

/// What is wrong with the metadata of an object.
pub fn check(object: &Node) -> Vec<Mismatch> {
    let Some(field) = object.field("metadata") else {
        let message = "is missing; give the object a name".to_owned();
        return vec![Mismatch { at: object.at, field: "metadata.name".to_owned(), message }];
    };
    let metadata = &field.node;
    let mut found = schema::check(metadata, &schema(), "metadata");
    let mut say = |path: &str, message: String| {
        found.push(Mismatch { at: metadata.place(path), field: format!("metadata.{path}"), message });
    };
    let text = |name: &str| metadata.get(&[name]).and_then(Node::text);
    match (text("name"), text("generateName")) {
        (Some(name), _) if !names::is_dns_subdomain(name) => {
            say("name", format!("{name:?} is no name of an object; use at most 253 of a-z 0-9 - ."));
        }
        (None, None) if metadata.field("name").is_none() => {
            say("name", "is missing; give the object a name".to_owned())
        }
        _ => {}
    }
    for entry in metadata.get(&["labels"]).map(Node::fields).unwrap_or_default() {
        if !forms::is_qualified_name(&entry.name) {
            say("labels", format!("{:?} is no legal label key; rename it", entry.name));
        }
        if let Some(value) = entry.node.text().filter(|value| !forms::is_label_value(value)) {
            say(
                "labels",
                format!("{value:?} is no legal label value; use an annotation, or at most 63 of A-Z a-z 0-9 - _ ."),
            );
        }
    }
    for entry in metadata.get(&["annotations"]).map(Node::fields).unwrap_or_default() {
        if !forms::is_qualified_name(&entry.name.to_lowercase()) {
            say("annotations", format!("{:?} is no legal annotation key; rename it", entry.name));
        }
    }
    found
}

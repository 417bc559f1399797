//! What a migration writes, one request a step.

use serde_json::{Value, json};

use super::text;

/// An object that is changed: which, and that it is still the one that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `group/version`, or `v1`.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The UID; a request about another object of that name is refused.
    pub uid: String,
}

impl Target {
    /// The object that was read. Lists leave kind and version out of Kubernetes' own objects, so both are said.
    pub fn of(object: &Value, api_version: &str, kind: &str) -> Self {
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: text(object, "/metadata/namespace").to_owned(),
            name: text(object, "/metadata/name").to_owned(),
            uid: text(object, "/metadata/uid").to_owned(),
        }
    }

    /// One of V1's objects, or of ours.
    pub fn ours(object: &Value) -> Self {
        Self::of(object, text(object, "/apiVersion"), text(object, "/kind"))
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Makes an object, with its status where it has one.
    Create(Box<Value>),
    /// Changes an object by a JSON merge patch.
    Patch(Target, Value),
    /// Changes its status.
    Status(Target, Value),
    /// Deletes it; its finalizers are off by then.
    Delete(Target),
}

impl Step {
    /// A sentence for whoever watches.
    pub fn describe(&self) -> String {
        let named = |target: &Target| format!("{} {}/{}", target.kind, target.namespace, target.name);
        let of = |target: &Target| match target.api_version.split_once('/') {
            Some((group, _)) if group != "koupleless.io" => format!("{} of {group}", named(target)),
            _ => named(target),
        };
        match self {
            Self::Create(object) => {
                let name = format!("{}/{}", text(object, "/metadata/namespace"), text(object, "/metadata/name"));
                format!("create {} {name}", text(object, "/kind"))
            }
            Self::Patch(target, patch) => format!("{} {}", patch_verb(patch), of(target)),
            Self::Status(target, _) => format!("set the status of {}", of(target)),
            Self::Delete(target) => format!("delete {}", of(target)),
        }
    }
}

fn patch_verb(patch: &Value) -> &'static str {
    let metadata = |field: &str| patch.pointer(&format!("/metadata/{field}")).is_some();
    match () {
        () if metadata("finalizers") => "take the finalizers off",
        () if metadata("ownerReferences") => "set the owner of",
        () if metadata("labels") => "label",
        () if patch.pointer("/spec/selector").is_some() => "turn the selector of",
        () => "change",
    }
}

/// A patch that is refused if the object isn't the one that was looked at.
pub fn guarded(target: &Target, patch: &Value) -> Value {
    let mut patch = patch.clone();
    if !patch["metadata"].is_object() {
        patch["metadata"] = json!({});
    }
    patch["metadata"]["uid"] = json!(target.uid);
    patch
}

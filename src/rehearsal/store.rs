//! What the cluster would be: objects as they stand, and over them what was written in the rehearsal.
//!
//! Answers a write as the API server would, as far as the controllers go by its answers: merge patches, resource versions,
//! generations, preconditions, finalizers and the end of what has none. Defaults, admission and quotas are the API
//! server's and not played. Must not: do IO.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::domain::merge;

/// Versions of what was written in the rehearsal: newer than all that a real API server has given.
const FIRST_VERSION: u64 = 1 << 50;

/// An object's place in the API.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The API group; empty for the core one.
    pub group: String,
    /// The plural of the kind.
    pub plural: String,
    /// The namespace; empty where the kind has none.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// A write.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A new object.
    Create(Value),
    /// A merge patch.
    Patch {
        /// Of the status subresource, and of nothing else.
        status: bool,
        /// Conditions are merged by their type.
        by_type: bool,
        /// What to change.
        patch: Value,
    },
    /// An object in place of what is there.
    Replace(Value),
    /// The end, with this UID if one is given.
    Delete(Option<String>),
}

/// What a write comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// HTTP's status code.
    pub code: u16,
    /// What is sent back.
    pub body: Value,
    /// What watches are told: `ADDED`, `MODIFIED` or `DELETED`, with `body` or the last state.
    pub event: Option<(&'static str, Value)>,
}

/// One object that was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// As it stands in the cluster; `None` where it was created.
    pub before: Option<Value>,
    /// As it would be; `None` where it would be gone.
    pub now: Option<Value>,
    /// How it would be removed from the store while its finalizers hold it.
    pub deleted: bool,
}

/// Everything that was written.
#[derive(Debug, Default)]
pub struct Store {
    entries: BTreeMap<Key, Entry>,
    /// In which order objects were written first.
    order: Vec<Key>,
    writes: u64,
}

impl Store {
    /// An object that was written, as it would be: `Some(None)` where it would be gone.
    pub fn get(&self, key: &Key) -> Option<Option<&Value>> {
        self.entries.get(key).map(|entry| entry.now.as_ref())
    }

    /// Everything that was written, in the order of the first write.
    pub fn written(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.order.iter().filter_map(|key| Some((key, self.entries.get(key)?)))
    }

    /// How many writes there were.
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// Carries a write out; `stands` is the object in the cluster, where it wasn't written yet.
    pub fn write(&mut self, key: &Key, stands: Option<Value>, write: Write) -> Answer {
        let known = self.entries.get(key);
        let before = known.map_or_else(|| stands.clone(), |entry| entry.before.clone());
        let now = known.map_or(stands, |entry| entry.now.clone());
        let deletes = matches!(write, Write::Delete(_));
        let version = FIRST_VERSION + self.writes + 1;
        let answer = answer(now, write, key, version);
        if let Some((_, object)) = &answer.event {
            self.writes += 1;
            let gone = answer.event.as_ref().is_some_and(|(word, _)| *word == "DELETED");
            if known.is_none() {
                self.order.push(key.clone());
            }
            let deleted = known.is_some_and(|entry| entry.deleted) || deletes;
            let now = (!gone).then(|| object.clone());
            self.entries.insert(key.clone(), Entry { before, now, deleted });
        }
        answer
    }
}

fn answer(now: Option<Value>, write: Write, key: &Key, version: u64) -> Answer {
    match (write, now) {
        (Write::Create(object), None) => created(object, key, version),
        (Write::Create(_), Some(_)) => refusal(409, "AlreadyExists", key),
        (Write::Delete(uid), Some(now)) if uid.as_ref().is_none_or(|uid| now["metadata"]["uid"] == **uid) => {
            deleted(now, version)
        }
        (Write::Patch { status, by_type, patch }, Some(now)) if fits(&now, &patch) => {
            patched(now, status, by_type, &patch, version)
        }
        (Write::Replace(object), Some(now)) if fits(&now, &object) => settled(now, object, version),
        (_, Some(_)) => refusal(409, "Conflict", key),
        (_, None) => refusal(404, "NotFound", key),
    }
}

/// Whether the UID and the resource version that a write names are those of the object.
fn fits(now: &Value, write: &Value) -> bool {
    let same = |field: &str| write["metadata"][field].is_null() || write["metadata"][field] == now["metadata"][field];
    same("uid") && same("resourceVersion")
}

fn refusal(code: u16, reason: &str, key: &Key) -> Answer {
    let message = format!("{} {:?}: {reason} (in a rehearsal)", key.plural, key.name);
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "reason": reason, "message": message, "code": code,
    });
    Answer { code, body, event: None }
}

fn created(mut object: Value, key: &Key, version: u64) -> Answer {
    let metadata = &mut object["metadata"];
    metadata["uid"] = json!(format!("rehearsal-{version}"));
    metadata["resourceVersion"] = json!(version.to_string());
    metadata["generation"] = json!(1);
    metadata["creationTimestamp"] = json!(jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).ok());
    if !key.namespace.is_empty() {
        metadata["namespace"] = json!(key.namespace);
    }
    Answer { code: 201, body: object.clone(), event: Some(("ADDED", object)) }
}

fn deleted(mut now: Value, version: u64) -> Answer {
    let held = now["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
    if !held {
        let body = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 200 });
        now["metadata"]["resourceVersion"] = json!(version.to_string());
        return Answer { code: 200, body, event: Some(("DELETED", now)) };
    }
    if now["metadata"]["deletionTimestamp"].is_null() {
        let second = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second());
        now["metadata"]["deletionTimestamp"] = json!(second.ok());
        now["metadata"]["generation"] = json!(now["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
        now["metadata"]["resourceVersion"] = json!(version.to_string());
        return Answer { code: 200, body: now.clone(), event: Some(("MODIFIED", now)) };
    }
    Answer { code: 200, body: now, event: None }
}

fn patched(now: Value, status: bool, by_type: bool, patch: &Value, version: u64) -> Answer {
    let mut wanted = now.clone();
    let mut part = patch.clone();
    if by_type {
        part["status"]["conditions"] = conditions(&now, patch);
    }
    if status {
        wanted["status"] = merge::apply(&wanted["status"], &part["status"]);
    } else if let Value::Object(fields) = &mut part {
        // As with every kind that has a status of its own.
        fields.remove("status");
        wanted = merge::apply(&wanted, &part);
    }
    settled(now, wanted, version)
}

/// What is there comes to be `wanted`.
fn settled(now: Value, mut wanted: Value, version: u64) -> Answer {
    if wanted == now {
        return Answer { code: 200, body: now, event: None };
    }
    if wanted["spec"] != now["spec"] {
        wanted["metadata"]["generation"] = json!(now["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
    }
    let held = wanted["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
    if !held && !wanted["metadata"]["deletionTimestamp"].is_null() {
        // The answer has the version from before, as the real one.
        return Answer { code: 200, body: wanted.clone(), event: Some(("DELETED", wanted)) };
    }
    wanted["metadata"]["resourceVersion"] = json!(version.to_string());
    Answer { code: 200, body: wanted.clone(), event: Some(("MODIFIED", wanted)) }
}

/// The object's conditions with those of the patch in place of others of their type.
fn conditions(now: &Value, patch: &Value) -> Value {
    let mut all = now["status"]["conditions"].as_array().cloned().unwrap_or_default();
    for new in patch["status"]["conditions"].as_array().into_iter().flatten() {
        all.retain(|known| known["type"] != new["type"]);
        all.push(new.clone());
    }
    json!(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key { group: "koupleless.io".into(), plural: "modules".into(), namespace: "n".into(), name: "m".into() }
    }

    fn stands() -> Value {
        json!({
            "metadata": { "name": "m", "uid": "u", "resourceVersion": "7", "generation": 1, "finalizers": ["f"] },
            "spec": { "a": 1 }, "status": { "status": "Available" },
        })
    }

    fn patch(status: bool, patch: Value) -> Write {
        Write::Patch { status, by_type: false, patch }
    }

    #[test]
    fn patches_add_up_and_versions_grow() {
        let mut store = Store::default();
        let first = store.write(&key(), Some(stands()), patch(false, json!({ "spec": { "a": 2, "b": 1 } })));
        assert_eq!((first.code, &first.body["metadata"]["generation"]), (200, &json!(2)));
        let second = store.write(&key(), None, patch(true, json!({ "status": { "status": null, "x": 1 } })));
        assert_eq!(second.body["status"], json!({ "x": 1 }));
        assert_eq!(second.body["spec"], json!({ "a": 2, "b": 1 }), "the first write is still there");
        let version = |answer: &Answer| answer.body["metadata"]["resourceVersion"].as_str().map(str::to_owned);
        assert!(version(&second) > version(&first));
        let again = store.write(&key(), None, patch(false, json!({ "spec": { "a": 2 } })));
        assert_eq!((again.event, store.writes()), (None, 2), "what changes nothing is no write");
        let (_, entry) = store.written().next().expect("one");
        assert_eq!(entry.before, Some(stands()));
    }

    #[test]
    fn preconditions_hold() {
        let mut store = Store::default();
        let other = patch(false, json!({ "metadata": { "uid": "x" }, "spec": {} }));
        assert_eq!(store.write(&key(), Some(stands()), other).code, 409);
        let stale = patch(false, json!({ "metadata": { "resourceVersion": "6" }, "spec": {} }));
        assert_eq!(store.write(&key(), Some(stands()), stale).code, 409);
        assert_eq!(store.write(&key(), None, patch(false, json!({}))).code, 404);
        assert_eq!(store.write(&key(), Some(stands()), Write::Create(json!({}))).code, 409);
        assert_eq!(store.write(&key(), Some(stands()), Write::Delete(Some("x".to_owned()))).code, 409);
    }

    #[test]
    fn a_finalizer_holds_what_is_deleted() {
        let mut store = Store::default();
        let held = store.write(&key(), Some(stands()), Write::Delete(Some("u".to_owned())));
        assert!(held.body["metadata"]["deletionTimestamp"].is_string());
        assert!(store.get(&key()).flatten().is_some());
        let let_go = store.write(&key(), None, patch(false, json!({ "metadata": { "finalizers": [] } })));
        assert_eq!(let_go.event.as_ref().map(|(word, _)| *word), Some("DELETED"));
        assert_eq!(store.get(&key()), Some(None));
        assert_eq!(store.write(&key(), None, Write::Create(json!({ "metadata": { "name": "m" } }))).code, 201);
    }
}

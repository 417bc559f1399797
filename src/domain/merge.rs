//! The smallest JSON merge patch (RFC 7396) that turns one object into another.

use serde_json::{Map, Value};

/// What has to be patched; `None` where nothing differs. A field that is missing in `wanted` becomes `null`, lists
/// are replaced whole.
pub fn diff(had: &Value, wanted: &Value) -> Option<Value> {
    let (Value::Object(had), Value::Object(wanted)) = (had, wanted) else {
        return (had != wanted).then(|| wanted.clone());
    };
    let mut patch = Map::new();
    for key in had.keys().filter(|key| !wanted.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in wanted {
        let change = match had.get(key) {
            Some(had) => diff(had, value),
            None => Some(value.clone()),
        };
        if let Some(change) = change {
            patch.insert(key.clone(), change);
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// The object that a JSON merge patch (RFC 7396) makes of another.
pub fn apply(object: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut result = object.as_object().cloned().unwrap_or_default();
    for (key, change) in patch {
        if change.is_null() {
            result.remove(key);
        } else {
            let applied = apply(result.get(key).unwrap_or(&Value::Null), change);
            result.insert(key.clone(), applied);
        }
    }
    Value::Object(result)
}

/// The object that a JSON merge patch makes of another, as the API server does it.
#[cfg(test)]
pub fn patched<K: serde::Serialize + serde::de::DeserializeOwned>(object: &K, patch: &Value) -> K {
    serde_json::from_value(apply(&serde_json::json!(object), patch)).expect("a patched object")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_in_the_patch() {
        let had = json!({"a": 1, "b": {"c": [1, 2], "d": "x", "e": 0}, "f": true});
        let wanted = json!({"a": 1, "b": {"c": [1], "d": "x", "g": null}, "h": {}});
        let patch = json!({"b": {"c": [1], "e": null, "g": null}, "f": null, "h": {}});
        assert_eq!(diff(&had, &wanted), Some(patch.clone()));
        let cleared = json!({"a": 1, "b": {"c": [1], "d": "x"}, "h": {}});
        assert_eq!(apply(&had, &patch), cleared, "a null takes a field away");
        assert_eq!(diff(&had, &had), None);
    }
}

//! Taking finalizers off.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

/// The patch that takes `ours` off an object's finalizers; `None` where it has none of them. It carries the UID and
/// the resource version: a finalizer that somebody else added meanwhile must not be lost.
pub fn without_finalizers(metadata: &ObjectMeta, ours: &[&str]) -> Option<Value> {
    let had = metadata.finalizers.as_deref().unwrap_or_default();
    let left: Vec<&String> = had.iter().filter(|name| !ours.contains(&name.as_str())).collect();
    (left.len() < had.len()).then(|| {
        json!({ "metadata": {
            "uid": metadata.uid, "resourceVersion": metadata.resource_version, "finalizers": left,
        } })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_stay() {
        let metadata = ObjectMeta {
            finalizers: Some(vec!["a".into(), "ours".into(), "b".into()]),
            ..ObjectMeta::default()
        };
        let patch = without_finalizers(&metadata, &["ours"]).expect("a patch");
        assert_eq!(patch["metadata"]["finalizers"], json!(["a", "b"]));
        assert_eq!(without_finalizers(&metadata, &["other"]), None);
    }
}

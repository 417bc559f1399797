//! Objects of any kind, as JSON, for verbs that carry them from one place to another.

use kube::{
    Api,
    api::{ApiResource, DynamicObject, ListParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

use crate::cli::cluster::Cluster;

/// How many objects one answer holds.
const PAGE: u32 = 500;

/// The objects of a kind in a namespace; `None`: in all of them.
pub fn api(cluster: &Cluster, namespace: Option<&str>, kind: &GroupVersionKind) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(kind);
    match namespace {
        Some(namespace) => Api::namespaced_with(cluster.client.clone(), namespace, &resource),
        None => Api::all_with(cluster.client.clone(), &resource),
    }
}

/// All objects of a kind that a label selector matches, with apiVersion and kind in each, which lists leave out.
pub async fn list(
    cluster: &Cluster,
    namespace: Option<&str>,
    kind: &GroupVersionKind,
    selector: &str,
) -> Result<Vec<Value>, kube::Error> {
    let api = api(cluster, namespace, kind);
    let mut params = ListParams::default().labels(selector).limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = api.list(&params).await?;
        for object in page.items {
            let mut value = serde_json::to_value(object).map_err(kube::Error::SerdeError)?;
            value["apiVersion"] = json!(kind.api_version());
            value["kind"] = json!(kind.kind);
            found.push(value);
        }
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            return Ok(found);
        }
    }
}

//! What a Service sends traffic to, at every moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use futures::StreamExt;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    Api, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use tokio::task::JoinHandle;

use super::{Kind, SOON, World};

/// Follows the endpoints of a Service until it is dropped.
pub struct Endpoints {
    /// How many addresses were ready, after each change.
    counts: Arc<Mutex<Vec<usize>>>,
    task: JoinHandle<()>,
}

impl World {
    /// Creates a Service for the pods labelled `app=<name>` and follows its endpoints, once so many are ready.
    pub async fn followed_service(&self, name: &str, ready: usize) -> Endpoints {
        let spec = json!({ "selector": { "app": name }, "ports": [{ "port": 80, "targetPort": 8080 }] });
        self.create(Kind::Service, json!({ "metadata": { "name": name }, "spec": spec })).await;
        self.follow_endpoints(name, ready).await
    }

    /// Follows the endpoints of a Service that exists, once so many are ready.
    pub async fn follow_endpoints(&self, name: &str, ready: usize) -> Endpoints {
        let api: Api<EndpointSlice> = Api::namespaced(self.client(), self.namespace());
        let config = watcher::Config::default().labels(&format!("kubernetes.io/service-name={name}"));
        let counts = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher::watcher(api, config).default_backoff().applied_objects());
            let mut slices: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            while let Some(event) = events.next().await {
                let Ok(slice) = event else { continue };
                let ready = |endpoint: &&k8s_openapi::api::discovery::v1::Endpoint| {
                    endpoint.conditions.as_ref().is_some_and(|conditions| conditions.ready == Some(true))
                };
                let addresses = slice.endpoints.iter().filter(ready).flat_map(|endpoint| endpoint.addresses.clone());
                slices.insert(slice.name_any(), addresses.collect());
                let all: BTreeSet<&String> = slices.values().flatten().collect();
                noted.lock().unwrap_or_else(PoisonError::into_inner).push(all.len());
            }
        });
        let endpoints = Endpoints { counts, task };
        let look = || async {
            let last = endpoints.counts().last().copied();
            if last == Some(ready) { Ok(()) } else { Err(format!("{last:?}")) }
        };
        self.eventually(SOON, &format!("{ready} endpoints of {name}"), look).await;
        endpoints.counts.lock().unwrap_or_else(PoisonError::into_inner).clear();
        endpoints
    }
}

impl Endpoints {
    /// How many addresses were ready after each change since they were followed. Two pods of one address count once.
    pub fn counts(&self) -> Vec<usize> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Endpoints {
    fn drop(&mut self) {
        self.task.abort();
    }
}

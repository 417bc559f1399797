//! A context for tests of the shells: its caches are filled by hand, and nothing is listening behind its clients.

use std::{sync::Arc, time::Duration};

use kube::{Client, Config};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::context::{Caches, Context, Settings};
use crate::{
    api::{Delivery, Module},
    arklet::{self, client::Bounds, session::Care},
    runtime::{
        cache::{Cache, Kind},
        metrics::Metrics,
        ops::Ops,
    },
};

/// A context that knows nothing yet.
pub fn context() -> Arc<Context> {
    context_over(Cache::new(|_| ()).0)
}

/// A context that knows of nothing but the Modules of a cache.
pub fn context_over(modules: Arc<Cache<Module>>) -> Arc<Context> {
    fn empty<K: Kind>() -> Arc<Cache<K>> {
        Cache::new(|_| ()).0
    }
    let caches =
        Caches { deployments: empty(), sets: empty(), modules, services: empty(), nodes: empty(), vpods: empty() };
    let metrics = Arc::new(Metrics::new());
    let client = Client::try_from(Config::new("http://127.0.0.1:1".parse().expect("an address"))).expect("a client");
    let settings = Settings {
        care: Care { health_interval: Duration::from_secs(10), min_free_metaspace: 0 },
        watch_seconds: 290,
        concurrency: 1,
        default_delivery: Delivery::Arklet,
        vnode_env: "dev".to_owned(),
    };
    let agents = Arc::new(arklet::client::Client::new(Bounds::default()).expect("a client"));
    let ops = Ops::new(client, 1, Arc::clone(&metrics), "test".to_owned());
    Context::new(ops, agents, caches, metrics, settings, CancellationToken::new())
}

/// An object as JSON has it.
pub fn object<T: DeserializeOwned>(json: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(json).expect("an object"))
}

/// Name, namespace and UID of an object.
pub fn metadata(name: &str) -> Value {
    json!({ "name": name, "namespace": "shop", "uid": format!("uid-{name}") })
}

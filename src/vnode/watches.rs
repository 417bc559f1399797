//! Starts the watches: Nodes of VNodes, vPods, base pods, peer Deployments. One for each kind and namespace, none for each
//! VNode.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use futures::{Stream, StreamExt};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Node};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::{WatchStreamExt, reflector::store::Writer, watcher},
};
use tokio::task::JoinSet;

use super::{
    discovery, peers,
    pod::ModulePod,
    pods::{Key, key_of},
    provider::Provider,
};
use crate::{
    api::vkeys::{self, component, label, older},
    runtime::{
        cache::{self, Cache, Kind},
        health::Readiness,
        watch_health::WatchHealth,
    },
};

/// Drops what nobody reads of a Node.
pub fn strip_node(node: &mut Node) {
    node.metadata.annotations = None;
    if let Some(status) = &mut node.status {
        (status.images, status.node_info) = (None, None);
    }
}

fn strip_deployment(deployment: &mut Deployment) {
    deployment.metadata.annotations = None;
    deployment.status = None;
}

/// Starts all of them.
pub fn start(provider: &Arc<Provider>, readiness: &Readiness, nodes: Writer<Node>, tasks: &mut JoinSet<()>) {
    let settings = &provider.settings;
    let config = |selector: &str| watcher::Config::default().labels(selector).timeout(settings.watch_seconds);
    let selector = format!("{}={},{}={}", label::COMPONENT, component::VNODE, label::ENV, settings.env);
    let events = watcher::watcher(Api::<Node>::all(provider.ops.client()), config(&selector));
    let news = Arc::clone(provider);
    let follow = follow(events, Arc::clone(&provider.nodes), nodes, readiness, "vnodes", move |change| {
        news.changed_node(&change);
    });
    tasks.spawn(follow);
    readiness.check("vpods", provider.pods_check());
    let mut deployments = Vec::new();
    for (number, scope) in settings.scopes().into_iter().enumerate() {
        let place = scope.clone().unwrap_or_else(|| "*".to_owned());
        for (which, key) in [label::COMPONENT, older::COMPONENT].into_iter().enumerate() {
            let health = WatchHealth::default();
            trusted(readiness, &format!("vpods {place} {which}"), &health, || true);
            let selector = format!("{key}={}", component::MODULE);
            tasks.spawn(follow_pods(Arc::clone(provider), number * 2 + which, scope.clone(), selector, health));
        }
        for key in [label::STRATEGY, older::STRATEGY] {
            let (cache, writer) = Cache::<Deployment>::new(strip_deployment);
            let selector = format!("{key}={}", vkeys::STRATEGY_PEER);
            let events = watcher::watcher(api(provider.ops.client(), scope.as_deref()), config(&selector));
            let news = Arc::clone(provider);
            let name = format!("deployments {place} {key}");
            let on_change = move |_| news.peers_turn.notify_one();
            tasks.spawn(self::follow(events, Arc::clone(&cache), writer, readiness, &name, on_change));
            deployments.push(cache);
        }
        if let Some(selector) = settings.discover.clone() {
            let health = WatchHealth::default();
            let listed = Arc::downgrade(provider);
            trusted(readiness, &format!("bases {place}"), &health, move || {
                listed.upgrade().is_none_or(|provider| provider.is_discovered())
            });
            tasks.spawn(discovery::attend(Arc::clone(provider), scope, selector, health));
        }
    }
    tasks.spawn(peers::attend(Arc::clone(provider), deployments));
}

fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(
    client: Client,
    namespace: Option<&str>,
) -> Api<K> {
    match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    }
}

/// Makes the process's readiness depend on a watch.
fn trusted(
    readiness: &Readiness,
    name: &str,
    health: &WatchHealth,
    complete: impl Fn() -> bool + Send + Sync + 'static,
) {
    let health = health.clone();
    readiness.check(name, move |now: Instant| match (complete(), health.stale_for(now)) {
        (false, _) => Err("the first list isn't complete".to_owned()),
        (true, Some(trouble)) => Err(format!("the watch has been failing for {} s", trouble.as_secs())),
        (true, None) => Ok(()),
    });
}

fn follow<K: Kind>(
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static,
    cache: Arc<Cache<K>>,
    writer: Writer<K>,
    readiness: &Readiness,
    name: &str,
    on_change: impl Fn(cache::Change<K>) + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static {
    let health = WatchHealth::default();
    let listed = Arc::clone(&cache);
    trusted(readiness, name, &health, move || listed.is_complete());
    cache::follow(events, cache, writer, health, on_change)
}

/// Follows the vPods with one of the two labels. Only bound ones: nobody here has a say about the others.
async fn follow_pods(
    provider: Arc<Provider>,
    source: usize,
    namespace: Option<String>,
    selector: String,
    health: WatchHealth,
) {
    let config =
        watcher::Config::default().labels(&selector).fields("spec.nodeName!=").timeout(provider.settings.watch_seconds);
    let events = watcher::watcher(api::<ModulePod>(provider.ops.client(), namespace.as_deref()), config);
    let mut events = std::pin::pin!(events.default_backoff());
    let mut listed: BTreeSet<Key> = BTreeSet::new();
    while let Some(event) = events.next().await {
        let changed = match event {
            Ok(watcher::Event::Init) => {
                listed.clear();
                continue;
            }
            Ok(watcher::Event::InitApply(pod)) => {
                listed.insert(key_of(&pod));
                provider.pods.apply(Some(source), pod)
            }
            Ok(watcher::Event::InitDone) => {
                let mut changed = provider.pods.relisted(source, &listed);
                // Also those that have no vPods may begin now.
                changed.vnodes.extend(provider.bases.all().iter().map(|vnode| vnode.name.clone()));
                changed
            }
            Ok(watcher::Event::Apply(pod)) => provider.pods.apply(Some(source), pod),
            Ok(watcher::Event::Delete(pod)) => {
                provider.pods.left(source, &(pod.namespace().unwrap_or_default(), pod.name_any()))
            }
            Err(error) => {
                tracing::warn!(%error, "the watch of vPods failed, trying again");
                health.failed();
                continue;
            }
        };
        health.succeeded();
        provider.changed(changed);
    }
}

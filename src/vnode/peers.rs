//! Deployments with `strategy=peer` follow the number of VNodes that their pods can go to.
//!
//! Writes the number of replicas of such Deployments; nothing else. Every provider of an environment does, and all of them
//! come to the same number. Must not: count before all VNodes are known.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;

use super::{keep::takes_pods, provider::Provider};
use crate::{
    domain::vnode::peer::{Candidate, replicas},
    runtime::cache::Cache,
};

/// What changes within this time is looked at once: bases come and go in crowds.
const GATHER: Duration = Duration::from_millis(500);
/// Between a write that failed and the next try.
const AGAIN: Duration = Duration::from_secs(5);

/// Follows until the provider's end. The Deployments of `caches` carry one of the two labels.
pub async fn attend(provider: Arc<Provider>, caches: Vec<Arc<Cache<Deployment>>>) {
    let mut failed = false;
    loop {
        tokio::select! {
            () = provider.peers_turn.notified() => {}
            () = tokio::time::sleep(AGAIN), if failed => {}
        }
        tokio::time::sleep(GATHER).await;
        if !provider.nodes.is_complete() || !caches.iter().all(|cache| cache.is_complete()) {
            failed = true;
            continue;
        }
        failed = !follow(&provider, &caches).await;
    }
}

/// Writes what differs; whether all of it was written.
async fn follow(provider: &Provider, caches: &[Arc<Cache<Deployment>>]) -> bool {
    let candidate = |node: &Arc<k8s_openapi::api::core::v1::Node>| Candidate {
        name: node.name_any(),
        labels: node.labels().clone(),
        ready: takes_pods(node),
    };
    let vnodes: Vec<Candidate> = provider.nodes.all().iter().map(candidate).collect();
    let mut fine = true;
    for deployment in caches.iter().flat_map(|cache| cache.all()) {
        let Some(wanted) = replicas(&deployment, &provider.settings.env, &vnodes) else { continue };
        let has = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        if has == wanted {
            continue;
        }
        let (namespace, name) = (deployment.namespace().unwrap_or_default(), deployment.name_any());
        match provider.ops.scale::<Deployment>(&namespace, &name, wanted).await {
            Ok(()) => tracing::info!(namespace, deployment = name, wanted, "a peer Deployment follows its VNodes"),
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                tracing::warn!(namespace, deployment = name, %error, "a peer Deployment was not scaled, trying again");
                fine = false;
            }
        }
    }
    fine
}

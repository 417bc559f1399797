//! The VNode provider: every base becomes a node, and the pods on it become modules in the base.
//!
//! ```text
//! base pods --discovery--+                      +-- keep ---> Node, Lease
//!                        +--> one VNode a base -+-- health -> asks the base how it is
//! heartbeats --tunnel----+                      +-- carry --> wishes -> session -> Arklet
//!                                                     ^            |
//! vPods ---------------one watch for all--------------+   statuses, deletions
//! ```
//!
//! So Kubernetes' own scheduler, controllers and tools work on modules. Each VNode is held through its Lease by one
//! provider; several share the work, and take over what another has let run out. What is decided stands in
//! [`crate::domain::vnode`]; what is said to a base is the same conversation, with the same plan, as for Modules
//! ([`crate::arklet::session`]).
//!
//! Must not: act on a VNode whose Lease it doesn't hold, or take a failed request for an answer.

mod bases;
mod carry;
pub mod discovery;
mod guard;
mod health;
mod keep;
mod peers;
mod pod;
mod pods;
pub mod provider;
mod state;
mod survey;
pub mod tunnel;
mod watches;
mod ways;
mod world;

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::{
    provider::{Ground, Provider, Settings},
    tunnel::{Reception, Tunnels, http, mqtt},
};
use crate::runtime::{
    cache::Cache,
    metrics::{VNodeState, VPodState},
};

/// How often is counted for the metrics.
const CENSUS: Duration = Duration::from_secs(10);
/// How long giving the Leases back may take at the end.
const RELEASE: Duration = Duration::from_secs(10);

/// Runs the provider until `stop`; then gives its Leases back. `tunnels`: where bases announce themselves.
pub async fn run(ground: Ground, settings: Settings, tunnels: Tunnels, stop: CancellationToken) {
    let (nodes, nodes_writer) = Cache::new(watches::strip_node);
    // The loops end first, all at once: what is written then must not be overtaken by the release of a Lease.
    let mqtt = tunnels.mqtt.as_ref().map(|open| Arc::clone(&open.commands));
    let provider = Provider::new(&ground, settings, mqtt, nodes, stop.child_token());
    let mut tasks = JoinSet::new();
    watches::start(&provider, &ground.readiness, nodes_writer, &mut tasks);
    tasks.spawn(survey::attend(Arc::clone(&provider)));
    tasks.spawn(census(Arc::clone(&provider)));
    let reception = Arc::new(Reception::new(Arc::clone(&provider), tunnels.trust));
    if let Some(http::Open { listener, token_file }) = tunnels.http {
        let (reception, stop) = (Arc::clone(&reception), stop.clone());
        tasks.spawn(async move {
            if let Err(error) = http::serve(listener, token_file, reception, stop).await {
                tracing::error!(%error, "the HTTP tunnel ended");
            }
        });
    }
    if let Some(open) = tunnels.mqtt {
        ground.readiness.check("mqtt", mqtt::check(Arc::clone(&open.commands)));
        tasks.spawn(mqtt::serve(open, reception, stop.clone()));
    }
    tracing::info!(env = provider.settings.env, client = provider.settings.client_id, "the VNode provider begins");
    stop.cancelled().await;
    tasks.shutdown().await;
    provider.ended().await;
    if tokio::time::timeout(RELEASE, keep::release_all(&provider)).await.is_err() {
        tracing::warn!("not all Leases were given back in time; the others run out by themselves");
    }
}

/// Sets the gauges now and then.
async fn census(provider: Arc<Provider>) {
    loop {
        let (mut ready, mut lost, mut standby) = (0, 0, 0);
        let mut pods = Vec::new();
        for vnode in provider.bases.all() {
            let acts = vnode.state().acts;
            if acts {
                pods.extend(provider.pods.on(&vnode.name));
            }
            let node = provider.node(&vnode.name);
            match (acts, node.is_some_and(|node| keep::takes_pods(&node))) {
                (false, _) => standby += 1,
                (true, true) => ready += 1,
                (true, false) => lost += 1,
            }
        }
        let (mut serving, mut waiting, mut leaving) = (0, 0, 0);
        for pod in pods {
            match (pod.deleting, pod.status.is_ready()) {
                (true, _) => leaving += 1,
                (false, true) => serving += 1,
                (false, false) => waiting += 1,
            }
        }
        let metrics = &provider.metrics;
        metrics.set_vnodes(VNodeState::Ready, ready);
        metrics.set_vnodes(VNodeState::NotReady, lost);
        metrics.set_vnodes(VNodeState::Standby, standby);
        metrics.set_vpods(VPodState::Ready, serving);
        metrics.set_vpods(VPodState::NotReady, waiting);
        metrics.set_vpods(VPodState::Terminating, leaving);
        tokio::time::sleep(CENSUS).await;
    }
}

//! Keeps the Node and the Lease of one VNode as [`plan`] wants them.
//!
//! One step at a time: each is planned from what is true after the one before. Only the Lease is renewed beside a step about
//! the Node, which may wait for long behind the writes of others. Writes Nodes and their Leases; nothing else.

use std::{convert::Infallible, sync::Arc, time::Duration};

use k8s_openapi::{
    api::{
        coordination::v1::Lease,
        core::v1::{Node, NodeStatus},
    },
    jiff::Timestamp,
};
use kube::ResourceExt;
use serde_json::json;

use super::{
    provider::Provider,
    state::{State, VNode},
};
use crate::{
    api::vkeys,
    domain::vnode::{
        keep::{Heard, NodeStep, Plan, Reach, View, plan},
        lease::{self, Sight, Step},
        node,
    },
    runtime::{clock::timestamp, ops},
};

/// Between a step that failed and the next try. Short: the Lease has to be renewed.
const AGAIN: Duration = Duration::from_secs(1);

/// Looks after the Node and the Lease until nothing is left of the VNode.
pub async fn attend(provider: Arc<Provider>, vnode: Arc<VNode>) {
    loop {
        let plan = decide(&provider, &vnode);
        if is_over(&provider, &vnode, &plan) && provider.bases.forget(&vnode) {
            tracing::info!(vnode = vnode.name, "nothing is left of the VNode");
            return;
        }
        if plan.reach == Reach::Dead && plan.lease.is_none() {
            provider.dead(&vnode);
        }
        let deposed = vnode.deposed.notified();
        let beside = !plan.claims();
        // Not beside its deletion: a renewal that arrives late would bring the Lease back.
        let holds = beside && plan.node != NodeStep::Delete;
        let ended = tokio::select! {
            biased;
            // What still waits for its turn would be written in another's VNode.
            () = deposed, if beside => continue,
            ended = in_time(&provider, &vnode, &plan) => ended,
            never = hold(&provider, &vnode), if holds => match never {},
        };
        let wait = match ended {
            Ok(Turn::Again) => continue,
            Ok(Turn::Rest) => provider.clock.until(plan.wake_at),
            Ok(Turn::Soon) => AGAIN,
            Err(error) => {
                complain(&vnode, &error);
                AGAIN.min(provider.clock.until(plan.wake_at))
            }
        };
        tokio::select! {
            () = vnode.node_turn.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Takes a step. A Lease that can't be renewed in time ends what this process may do when it runs out, not when the request
/// ends.
async fn in_time(provider: &Provider, vnode: &VNode, plan: &Plan) -> Result<Turn, ops::Error> {
    let decided = || provider.clock.until(decide(provider, vnode).wake_at);
    meanwhile(step(provider, vnode, plan), provider.clock.until(plan.wake_at), decided).await
}

/// Renews the Lease for as long as a step about the Node takes.
async fn hold(provider: &Provider, vnode: &VNode) -> Infallible {
    loop {
        let plan = decide(provider, vnode);
        if !plan.claims() {
            tokio::time::sleep(provider.clock.until(plan.wake_at)).await;
        } else if let Err(error) = in_time(provider, vnode, &plan).await {
            complain(vnode, &error);
            tokio::time::sleep(AGAIN).await;
        }
    }
}

fn complain(vnode: &VNode, error: &ops::Error) {
    // Somebody else wrote first, or the object is gone: the newer truth is on its way.
    if !error.is_conflict() && !error.is_not_found() {
        tracing::warn!(vnode = vnode.name, %error, "a step failed, trying again");
    }
}

/// Waits for a step to end. Time goes on while that waits for its turn or an answer, so `again` is called whenever the wait
/// that it gave last (at first `wait`) is over.
async fn meanwhile<T>(step: impl Future<Output = T>, mut wait: Duration, mut again: impl FnMut() -> Duration) -> T {
    let mut step = std::pin::pin!(step);
    loop {
        tokio::select! {
            ended = &mut step => return ended,
            () = tokio::time::sleep(wait) => wait = again(),
        }
    }
}

/// How it goes on after a step.
enum Turn {
    /// Something changed: plan again.
    Again,
    /// Nothing to do until the plan's time or news.
    Rest,
    /// Something has to become known first.
    Soon,
}

/// Until when the base's silence says nothing, because of the tunnel that it is reached through.
fn excuse(provider: &Provider, state: &State, now: i64) -> Option<i64> {
    state.found.as_ref().filter(|found| found.facts.tunnel == vkeys::tunnel::MQTT)?;
    provider.mqtt.as_ref()?.excused(state.heard.answered, now)
}

fn decide(provider: &Provider, vnode: &VNode) -> Plan {
    let now = provider.clock.now();
    let found = provider.node(&vnode.name);
    let mut state = vnode.state();
    let base = state.base();
    let view = View {
        base: base.as_ref(),
        heard: Heard { excused: excuse(provider, &state, now), ..state.heard },
        node: found.as_deref(),
        sight: &state.sight,
        renewed_at: state.renewed_at,
        reported_at: state.reported_at,
        patched_at: state.patched_at,
        me: &provider.settings.client_id,
    };
    let plan = plan(&view, &provider.settings.times.of(&vnode.name), now, &timestamp(now));
    let news = state.acts != plan.acts || state.reach != Some(plan.reach);
    let deposed = state.acts && !plan.acts;
    (state.acts, state.reach) = (plan.acts, Some(plan.reach));
    drop(state);
    if news {
        tracing::info!(vnode = vnode.name, acts = plan.acts, reach = ?plan.reach, "the VNode changed");
        vnode.pods_turn.notify_one();
        vnode.health_turn.notify_one();
    }
    if deposed {
        vnode.deposed.notify_waiters();
    }
    plan
}

/// Whether nothing is left to look after: the base is gone, and so is what stood for it, or it is another's to look after.
fn is_over(provider: &Provider, vnode: &VNode, plan: &Plan) -> bool {
    let state = vnode.state();
    let theirs = matches!(plan.lease, Some(Step::HandsOff(_)));
    let nothing = plan.lease.is_none() && matches!(state.sight, Sight::Absent | Sight::Unknown);
    state.found.is_none() && !plan.acts && (theirs || nothing) && (theirs || provider.pods.on(&vnode.name).is_empty())
}

async fn step(provider: &Provider, vnode: &VNode, plan: &Plan) -> Result<Turn, ops::Error> {
    match plan.lease {
        Some(Step::Look) => {
            let found = provider.ops.read::<Lease>(vkeys::LEASE_NAMESPACE, &vnode.name).await?;
            note(provider, vnode, found, None);
            return Ok(Turn::Again);
        }
        Some(Step::Create | Step::Renew | Step::TakeOver) => {
            let claimed = claim(provider, vnode).await;
            if claimed.as_ref().is_err_and(|error| error.is_conflict() || error.is_not_found()) {
                vnode.state().sight = Sight::Unknown;
            }
            return claimed.map(|()| Turn::Again);
        }
        Some(Step::Keep(_) | Step::HandsOff(_)) | None => {}
    }
    match &plan.node {
        NodeStep::Leave => Ok(Turn::Rest),
        NodeStep::Create(node) => {
            let created = provider.ops.create::<Node>("", node).await?;
            provider.nodes.put_new(Arc::new(created));
            vnode.state().reported_at = Some(provider.clock.now());
            Ok(Turn::Again)
        }
        NodeStep::Patch(patch) => {
            let patched = provider.ops.patch::<Node>("", &vnode.name, patch).await?;
            provider.nodes.put(patched);
            vnode.state().patched_at = Some(provider.clock.now());
            Ok(Turn::Again)
        }
        NodeStep::Report(status) => {
            report(provider, vnode, status).await?;
            Ok(Turn::Again)
        }
        NodeStep::Delete => end(provider, vnode).await,
    }
}

/// Writes the Lease: creates, renews or takes it.
async fn claim(provider: &Provider, vnode: &VNode) -> Result<(), ops::Error> {
    let settings = &provider.settings;
    let (me, periods) = (&settings.client_id, &settings.times.lease);
    let wall = Timestamp::now();
    let known = vnode.state().lease.clone();
    let claimed = match &known {
        None => lease::build(&vnode.name, &settings.env, me, periods, wall),
        Some(lease) => lease::claim(lease, me, periods, wall),
    };
    let mut sent = None;
    let written = provider.ops.claim(&claimed, || sent = Some(provider.clock.now())).await?;
    note(provider, vnode, Some(written), sent);
    Ok(())
}

/// Takes note of the Lease as it stands; `sent`: it is what this process wrote, at that time.
fn note(provider: &Provider, vnode: &VNode, lease: Option<Lease>, sent: Option<i64>) {
    let now = provider.clock.now();
    let mut state = vnode.state();
    state.sight = state.sight.seen(lease.as_ref(), now);
    state.lease = lease.map(bare);
    let Some(sent) = sent else { return };
    if !state.acts {
        // Nobody here has asked this base lately: nothing is concluded from that.
        let fresh = state.heard.answered.is_some_and(|at| now < at + provider.settings.times.unreachable);
        if !fresh {
            (state.heard.since, state.heard.answered) = (now, None);
        }
    }
    state.renewed_at = Some(sent);
}

/// A Lease as it is kept: who wrote which field isn't read here, and isn't sent back every ten seconds.
pub fn bare(mut lease: Lease) -> Lease {
    lease.metadata.managed_fields = None;
    lease
}

async fn report(provider: &Provider, vnode: &VNode, status: &NodeStatus) -> Result<(), ops::Error> {
    let patch = json!({ "status": {
        "addresses": status.addresses, "capacity": status.capacity, "allocatable": status.allocatable,
        "conditions": status.conditions,
    } });
    let patched = provider.ops.patch_status::<Node>("", &vnode.name, &patch).await?;
    provider.nodes.put(patched);
    vnode.state().reported_at = Some(provider.clock.now());
    Ok(())
}

/// The end of a VNode: first its Node, so that nothing new is scheduled there; then its vPods, which the loop beside this one
/// ends; then its Lease.
async fn end(provider: &Provider, vnode: &VNode) -> Result<Turn, ops::Error> {
    if let Some(node) = provider.node(&vnode.name) {
        if node.metadata.deletion_timestamp.is_none() {
            provider.ops.delete::<Node>("", &vnode.name, &node.uid().unwrap_or_default()).await?;
        }
        return Ok(Turn::Soon);
    }
    if !provider.pods.on(&vnode.name).is_empty() {
        return Ok(Turn::Soon);
    }
    let lease = vnode.state().lease.clone();
    if let Some(lease) = lease {
        provider.ops.delete::<Lease>(vkeys::LEASE_NAMESPACE, &vnode.name, &lease.uid().unwrap_or_default()).await?;
    }
    let mut state = vnode.state();
    (state.sight, state.lease, state.renewed_at, state.reported_at) = (Sight::Absent, None, None, None);
    Ok(Turn::Again)
}

/// Gives back the Leases of all VNodes that this process looked after, so that another needn't wait for them to run out.
/// The loops have ended by now.
pub async fn release_all(provider: &Provider) {
    let me = &provider.settings.client_id;
    let held = provider.bases.all().into_iter().filter_map(|vnode| {
        let lease = vnode.state().lease.clone()?;
        lease::release(&lease, me)
    });
    let releases = held.map(|lease| async move {
        if let Err(error) = provider.ops.replace(vkeys::LEASE_NAMESPACE, &lease).await {
            tracing::debug!(%error, "a Lease was not given back; it runs out by itself");
        }
    });
    futures::future::join_all(releases).await;
}

/// Whether a VNode's base can't be talked to any more: its vPods end without it.
pub fn has_ended(reach: Option<Reach>) -> bool {
    matches!(reach, Some(Reach::Dead | Reach::Gone))
}

/// Whether a Node takes pods and says that it is Ready.
pub fn takes_pods(found: &Node) -> bool {
    let cordoned = found.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true));
    node::is_ready(found) && !cordoned && found.metadata.deletion_timestamp.is_none()
}

#[cfg(test)]
mod tests;

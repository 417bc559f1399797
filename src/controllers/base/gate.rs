//! The gate of a base pod that is ready only with its modules: what it waits for, and the condition that opens it.
//!
//! observe -> plan ([`crate::domain::gate`]) -> apply. Looks again and again while the gate is closed, which is seldom
//! and not for long: what comes to a base is decided by others, and not all of it is told to the base.

use std::sync::Arc;

use kube::ResourceExt;
use serde_json::json;

use crate::{
    api::{Module, ModuleDeployment, keys},
    controllers::{context::Context, error::Error, fleet, module_replica_set},
    domain::{
        gate::{Gate, plan_gate},
        module::Phase,
        names,
        replicas::PEER,
    },
    runtime::{bases::BaseKey, clock::timestamp, kinds::BasePod},
};

/// How soon a closed gate is looked at again (milliseconds).
const LOOK_AGAIN_MS: i64 = 1_000;

/// Writes the pod's condition where it changes; says when to look again (milliseconds).
pub async fn tend(context: &Context, pod: &BasePod) -> Result<Option<i64>, Error> {
    let condition = pod.condition(keys::MODULES_READY);
    if !pod.is_gated() || pod.is_ending() || condition.is_some_and(|condition| condition.status == "True") {
        return Ok(None);
    }
    let now = context.clock.now();
    let again = Some(now + LOOK_AGAIN_MS);
    let Some(coming) = coming(context, pod) else { return Ok(again) };
    let waits = |module: &&Arc<Module>| {
        !fleet::is_leaving(module) && !fleet::is_stuck(module) && fleet::phase_of(module) != Some(Phase::Available)
    };
    // Looked at last: what was still coming a moment ago may be here by now.
    let modules = context.modules.on_base(pod.uid());
    let waiting: Vec<String> = modules.iter().filter(waits).map(|module| module.name_any()).collect();
    let known =
        condition.map(|condition| (condition.status.as_str(), condition.message.as_deref().unwrap_or_default()));
    let gate = Gate { now: known, else_ready: pod.is_ready(), coming: &coming, waiting: &waiting };
    let Some(opening) = plan_gate(gate) else { return Ok(again) };
    let written = json!({ "metadata": { "uid": pod.uid() }, "status": { "conditions": [{
        "type": keys::MODULES_READY,
        "status": if opening.open { "True" } else { "False" },
        "reason": opening.reason.as_str(),
        "message": opening.message,
        "lastTransitionTime": timestamp(now),
    }] } });
    let namespace = pod.namespace().unwrap_or_default();
    match context.ops.merge_status::<BasePod>(&namespace, &pod.name_any(), &written).await {
        Ok(patched) => context.bases.answered(patched),
        // The pod, or this pod of that name, is gone: its watch tells.
        Err(error) if error.is_not_found() || error.is_conflict() => {}
        Err(error) => return Err(error.into()),
    }
    Ok(again.filter(|_| !opening.open))
}

/// The deployments that are about to put a module on the pod; `None` while that isn't known.
fn coming(context: &Context, pod: &BasePod) -> Option<Vec<String>> {
    let namespace = pod.namespace().unwrap_or_default();
    let bases = context.bases.holders(&namespace, &pod.name_any());
    let mut coming = Vec::new();
    for deployment in context.deployments.all() {
        let base = (namespace.clone(), deployment.spec.base_deployment_name.clone());
        let concerned = deployment.namespace().as_deref() == Some(namespace.as_str()) && bases.contains(&base);
        if concerned && deployment.metadata.deletion_timestamp.is_none() && comes(context, &deployment, &base, pod)? {
            coming.push(deployment.name_any());
        }
    }
    Some(coming)
}

fn comes(context: &Context, deployment: &ModuleDeployment, base: &BaseKey, pod: &BasePod) -> Option<bool> {
    let observed = deployment.status.as_ref().and_then(|status| status.observed_generation);
    if observed != deployment.metadata.generation || lacks_its_peer(context, deployment, base, pod) {
        return Some(true);
    }
    let mut sets = context.sets_of(deployment).into_iter();
    sets.try_fold(false, |comes, set| Some(comes || module_replica_set::comes_to(context, &set, pod.uid())?))
}

/// Whether the deployment follows the base pods, could be on this one and isn't: its number is about to grow.
fn lacks_its_peer(context: &Context, deployment: &ModuleDeployment, base: &BaseKey, pod: &BasePod) -> bool {
    let Some(module) = deployment.module().filter(|_| deployment.spec.replicas == Some(PEER)) else { return false };
    let label = names::label_safe(&deployment.name_any());
    let places = fleet::places(context, base, &module.name, &label);
    let open = places.iter().any(|place| place.uid == pod.uid() && place.refusal().is_none());
    let ours = |module: &Arc<Module>| module.labels().get(keys::label::MODULE_DEPLOYMENT) == Some(&label);
    open && !context.modules.on_base(pod.uid()).iter().any(ours)
}

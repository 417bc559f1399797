//! Base pods: their labels, and the gate of those that are ready only with their modules.
//!
//! One coalesced JSON merge patch a pod, with its UID in it. Taking a base out of a Service is done at once; anything
//! else at a pace. What the labels should be, [`crate::domain::traffic`] decides. Deletes a pod where a user has ordered
//! it by label. Writes pod labels and the one condition; nothing else.

mod gate;

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;
use kube::runtime::controller::Action;
use serde_json::json;

use super::{context::Context, delivery, error::Error, fleet, until};
use crate::{
    api::Module,
    domain::{
        names,
        slot::Verdict,
        traffic::{Traffic, plan_labels},
    },
    runtime::kinds::BasePod,
};

/// While a base is installing more, its labels are patched at most once in this time (milliseconds): one that gets twenty
/// modules gets a few patches. Short, because a Module becomes Available only with its label.
const LABEL_PACE: i64 = 1_000;

/// One look at one base pod.
pub async fn reconcile(pod: Arc<BasePod>, context: Arc<Context>) -> Result<Action, Error> {
    let namespace = pod.namespace().unwrap_or_default();
    let Some(pod) = context.bases.pod(&namespace, &pod.name_any()) else {
        return Ok(Action::await_change());
    };
    let modules = context.modules.on_base(pod.uid());
    if modules.is_empty() && context.bases.holders(&namespace, &pod.name_any()).is_empty() {
        return Ok(Action::await_change());
    }
    if is_to_go(&pod, &modules) {
        context.ops.delete::<BasePod>(&namespace, &pod.name_any(), pod.uid()).await?;
        return Ok(Action::await_change());
    }
    let labelled = tend_labels(&context, &pod, &modules).await?;
    let gated = gate::tend(&context, &pod).await?;
    let told = modules.iter().filter_map(|module| delivery::tells_more_at(&context, module));
    Ok(until(&context, [labelled, gated].into_iter().flatten().chain(told).min()))
}

/// Patches the pod's labels where they change; says when to look again (milliseconds).
async fn tend_labels(context: &Context, pod: &BasePod, modules: &[Arc<Module>]) -> Result<Option<i64>, Error> {
    let namespace = pod.namespace().unwrap_or_default();
    let (slots, more) = slots(context, pod, modules);
    let template = context.bases.template_labels(&namespace, &pod.name_any());
    let patch = plan_labels(pod.labels(), &template, &slots);
    let key = format!("pod/{}", pod.uid());
    if patch.changes.is_empty() {
        return Ok(None);
    }
    let pace = if more { LABEL_PACE } else { 0 };
    if let Err(later) = context.may_write(&key, patch.urgent, pace, context.clock.now()) {
        return Ok(Some(later));
    }
    let body = json!({ "metadata": { "uid": pod.uid(), "labels": patch.changes } });
    match context.ops.patch::<BasePod>(&namespace, &pod.name_any(), &body).await {
        Ok(patched) => context.bases.answered(patched),
        // The pod, or this pod of that name, is gone: its watch tells.
        Err(error) if error.is_not_found() || error.is_conflict() => context.forget_pace(&key),
        Err(error) => return Err(error.into()),
    }
    Ok(None)
}

/// Whether a user has ordered the pod's deletion, and nothing holds it up. Otherwise the operator never deletes a pod.
fn is_to_go(pod: &BasePod, modules: &[Arc<Module>]) -> bool {
    !pod.is_ending() && (pod.is_to_be_deleted() || (pod.is_to_be_emptied() && modules.is_empty()))
}

/// What each slot of the pod wants of its traffic label, and whether more of them are about to become active.
fn slots(context: &Context, pod: &BasePod, modules: &[Arc<Module>]) -> (BTreeMap<String, Traffic>, bool) {
    let mut slots: BTreeMap<String, Traffic> = BTreeMap::new();
    let mut more = false;
    for module in modules {
        let Some(info) = &module.spec.module else { continue };
        let told = delivery::told(context, module);
        // On a pod that is ending every slot wants it off.
        let leaving = fleet::is_leaving(module) || pod.is_ending();
        more |= told.as_ref().is_some_and(|told| told.verdict == Verdict::Installing);
        let wanted = Traffic::wanted(leaving, told.as_ref(), context.clock.now());
        let slot = slots.entry(names::traffic_label(&info.name)).or_insert(wanted);
        *slot = slot.or(wanted);
    }
    (slots, more)
}

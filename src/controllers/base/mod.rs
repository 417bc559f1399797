//! Base pods: their labels.
//!
//! One coalesced JSON merge patch a pod, with its UID in it. Taking a base out of a Service is done at once; anything
//! else at a pace. What the labels should be, [`crate::domain::traffic`] decides. Writes pod labels;
//! nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;
use kube::runtime::controller::Action;
use serde_json::json;

use super::{context::Context, error::Error, fleet, until};
use crate::{
    api::Module,
    domain::{
        names,
        slot::Verdict,
        traffic::{Traffic, plan_labels},
    },
    runtime::kinds::BasePod,
};

/// Labels of one pod are patched at most once in this time (milliseconds): a base that gets twenty modules gets a few
/// patches. Short, because a Module becomes Available only with its label.
const LABEL_PACE: i64 = 250;

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
    let slots = slots(&context, &pod, &modules);
    let template = context.bases.template_labels(&namespace, &pod.name_any());
    let patch = plan_labels(pod.labels(), &template, &slots);
    let key = format!("pod/{}", pod.uid());
    if patch.changes.is_empty() {
        return Ok(Action::await_change());
    }
    if let Err(later) = context.may_write(&key, patch.urgent, LABEL_PACE, context.clock.now()) {
        return Ok(until(&context, Some(later)));
    }
    let body = json!({ "metadata": { "uid": pod.uid(), "labels": patch.changes } });
    match context.ops.patch::<BasePod>(&namespace, &pod.name_any(), &body).await {
        Ok(patched) => context.bases.apply(patched),
        // The pod, or this pod of that name, is gone: its watch tells.
        Err(error) if error.is_not_found() || error.is_conflict() => context.forget_pace(&key),
        Err(error) => return Err(error.into()),
    }
    Ok(Action::await_change())
}

/// What each slot of the pod wants of its traffic label. On a pod that is ending every slot wants it off.
fn slots(context: &Context, pod: &BasePod, modules: &[Arc<Module>]) -> BTreeMap<String, Traffic> {
    let mut slots: BTreeMap<String, Traffic> = BTreeMap::new();
    for module in modules {
        let Some(info) = &module.spec.module else { continue };
        let key = names::traffic_label(&info.name);
        let told = context.sessions.told(pod.uid(), &info.name, &module.name_any());
        let unreachable = told
            .as_ref()
            .and_then(|told| told.silent_since)
            .is_some_and(|since| context.clock.now() >= since + crate::domain::module::UNREACHABLE_AFTER_MS);
        let wants = match told.map(|told| told.verdict) {
            _ if fleet::is_leaving(module) || pod.is_ending() => Traffic::Off,
            Some(Verdict::Active) if unreachable => Traffic::Keep,
            Some(Verdict::Active) => Traffic::On,
            Some(Verdict::Unknown) | None => Traffic::Keep,
            Some(_) => Traffic::Off,
        };
        let known = slots.entry(key).or_insert(wants);
        *known = stronger(*known, wants);
    }
    slots
}

/// A slot serves if any of its Modules does; it is off only where all are off.
fn stronger(one: Traffic, other: Traffic) -> Traffic {
    match (one, other) {
        (Traffic::On, _) | (_, Traffic::On) => Traffic::On,
        (Traffic::Keep, _) | (_, Traffic::Keep) => Traffic::Keep,
        (Traffic::Off, Traffic::Off) => Traffic::Off,
    }
}

//! Carries out a Module's plan: status, Event, deletion, finalizer.

use std::sync::Arc;

use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::{
    api::{Module, ModuleStatus, keys::finalizer::ALLOCATE_POD, module::InstalledModule},
    controllers::{context::Context, error::Error},
    domain::{
        merge,
        module::{ModulePlan, Phase},
    },
    runtime::clock::timestamp,
};

/// Carries the plan out; says when to look again (milliseconds).
pub async fn apply(context: &Context, module: &Module, plan: ModulePlan, now: i64) -> Result<Option<i64>, Error> {
    if plan.release {
        // Until the watch shows its end nobody releases it again.
        if let Some(released) = context.ops.release(module, &[ALLOCATE_POD]).await? {
            context.modules.cache.put(Arc::new(released));
        }
        return Ok(None);
    }
    if plan.delete {
        context.delete_module(module).await?;
        return Ok(None);
    }
    let wake = plan.wake_at;
    if plan.write {
        write_status(context, module, plan, now).await?;
    }
    Ok(wake)
}

async fn write_status(context: &Context, module: &Module, plan: ModulePlan, now: i64) -> Result<(), Error> {
    let before = module.status.clone().unwrap_or_default();
    let status = status(module, &before, &plan, now);
    let Some(patch) = merge::diff(&json!(before), &json!(status)) else {
        return Ok(());
    };
    let patch = json!({ "metadata": { "uid": module.uid() }, "status": patch });
    let (namespace, name) = (module.namespace().unwrap_or_default(), module.name_any());
    let patched = context.ops.patch_status::<Module>(&namespace, &name, &patch).await?;
    context.modules.cache.put(Arc::new(patched));
    context.wake_owners(module);
    // An edge: another reason or another cause, never the same again.
    let news = plan.because.filter(|because| {
        before.reason.as_deref() != Some(because.reason) || before.message.as_deref() != Some(&because.message)
    });
    if let Some(because) = news.filter(|because| because.reason != "Superseded") {
        context.ops.publish(&module.object_ref(&()), true, because.reason, "Reconcile", because.message).await;
    }
    Ok(())
}

fn status(module: &Module, before: &ModuleStatus, plan: &ModulePlan, now: i64) -> ModuleStatus {
    let same = before.status.as_deref() == Some(plan.phase.as_str());
    let since = before.last_transition_time.clone().filter(|_| same);
    let active = matches!(plan.phase, Phase::Available | Phase::Completing);
    let info = module.spec.module.as_ref().filter(|_| active);
    let installed = info.map(|info| InstalledModule { name: info.name.clone(), version: info.version.clone() });
    ModuleStatus {
        status: Some(plan.phase.as_str().to_owned()),
        last_transition_time: Some(since.unwrap_or_else(|| timestamp(now))),
        reason: plan.because.as_ref().map(|because| because.reason.to_owned()),
        message: plan.because.as_ref().map(|because| because.message.clone()),
        installed: installed.or_else(|| before.installed.clone()),
        conditions: before.conditions.clone(),
        observed_generation: module.metadata.generation,
    }
}

//! Carries out a Module's plan: status, Event, deletion, finalizer.

use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::{
    api::{Module, Reason, keys::finalizer::ALLOCATE_POD},
    controllers::{LOOK_AGAIN, context::Context, error::Error, fleet},
    domain::{merge, module::ModulePlan},
    runtime::clock::timestamp,
};

/// Carries the plan out; `url` is where the jar lies now. Says when to look again (milliseconds).
pub async fn apply(
    context: &Context,
    module: &Module,
    plan: ModulePlan,
    url: &str,
    now: i64,
) -> Result<Option<i64>, Error> {
    if plan.release {
        if !fleet::is_deleted(module) {
            // So far it is leaving by our own order only: the answer to that, a newer version, wakes it.
            return Ok(Some(now + LOOK_AGAIN));
        }
        // Until the watch shows its end nobody releases it again.
        if let Some(released) = context.ops.release(module, &[ALLOCATE_POD]).await? {
            context.modules.cache.put(released);
        }
        return Ok(None);
    }
    if plan.delete {
        context.delete_module(module).await?;
        return Ok(None);
    }
    let wake = plan.wake_at;
    if plan.write {
        write_status(context, module, plan, url, now).await?;
    }
    Ok(wake)
}

async fn write_status(context: &Context, module: &Module, plan: ModulePlan, url: &str, now: i64) -> Result<(), Error> {
    let before = module.status.clone().unwrap_or_default();
    let status = plan.status(module, &before, url, timestamp(now));
    let Some(patch) = merge::diff(&json!(before), &json!(status)) else {
        return Ok(());
    };
    let patch = json!({ "metadata": { "uid": module.uid() }, "status": patch });
    let (namespace, name) = (module.namespace().unwrap_or_default(), module.name_any());
    let patched = context.ops.patch_status::<Module>(&namespace, &name, &patch).await?;
    context.modules.cache.put(patched);
    context.wake_owners(module);
    // An edge: another reason or another cause, never the same again.
    let news = plan.because.filter(|because| {
        before.reason.as_deref() != Some(because.reason.as_str()) || before.message.as_deref() != Some(&because.message)
    });
    if let Some(because) = news.filter(|because| because.reason != Reason::Superseded) {
        context.ops.publish(&module.object_ref(&()), true, because.reason, "Reconcile", because.message).await;
    }
    Ok(())
}

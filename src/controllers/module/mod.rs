//! Module: what its slot is told, its phase, and when it may go.
//!
//! observe ([`observe`]) -> hand the wish to the session -> plan ([`crate::domain::module`]) -> apply and status
//! ([`apply`]). Never waits for an agent: the session wakes the Module when there is news. Writes its own status and
//! finalizer, and deletes itself when its base is gone.

mod apply;
mod observe;

use std::sync::Arc;

use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::{await_news, context::Context, delivery, error::Error, until};
use crate::{
    api::{Delivery, Module},
    domain::module::plan_module,
};

/// One look at one Module.
pub async fn reconcile(module: Arc<Module>, context: Arc<Context>) -> Result<Action, Error> {
    let namespace = module.namespace().unwrap_or_default();
    let Some(module) = context.modules.cache.named(&namespace, &module.name_any()) else {
        return Ok(Action::await_change());
    };
    let Some(mut observed) = observe::observe(&context, &module).await? else {
        // What is needed isn't known yet; the watch that brings it wakes this Module.
        return Ok(await_news());
    };
    if observed.is_misfit(&module) {
        // Nobody is told of a version that no revision has: the base would keep it. The set's deletion wakes it again.
        return Ok(await_news());
    }
    let mut now = context.clock.now();
    let mut plan = plan_module(&observed.view(&module), now);
    if delivery::of(&context, &module) == Delivery::VirtualPod {
        if observed.is_dropped(&module) {
            delivery::abandon(&context, &module).await?;
        }
        delivery::tend_vpod(&context, &module, plan.wish).await?;
        let wake = apply::apply(&context, &module, plan, observed.url(&module), now).await?;
        let wakes = [wake, observed.look_again, delivery::tells_more_at(&context, &module)];
        return Ok(until(&context, wakes.into_iter().flatten().min()));
    }
    // What was delivered as a pod before is handed over with what it stands for.
    delivery::abandon(&context, &module).await?;
    let told = observe::hand_over(&context, &module, &observed, plan.wish);
    if told != observed.told {
        // The session answered with something newer than was planned with.
        observed.told = told;
        now = context.clock.now();
        plan = plan_module(&observed.view(&module), now);
        observe::hand_over(&context, &module, &observed, plan.wish);
    }
    let wake = apply::apply(&context, &module, plan, observed.url(&module), now).await?;
    Ok(until(&context, [wake, observed.look_again].into_iter().flatten().min()))
}

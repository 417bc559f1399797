//! ModuleDeployment: revision, batch, how many of each revision.
//!
//! observe ([`observe`]) -> plan ([`crate::domain::deployment`]) -> apply and status ([`apply`]). Writes its replica
//! sets' spec and its own status; of its own spec only `scaleReplicas` and `confirmBatchNum` back to 0.

mod apply;
mod observe;

use std::sync::Arc;

use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::{context::Context, error::Error, until};
use crate::{
    api::ModuleDeployment,
    domain::deployment::{View, plan_deployment},
    runtime::bases::BaseState,
};

/// One look at one ModuleDeployment.
pub async fn reconcile(deployment: Arc<ModuleDeployment>, context: Arc<Context>) -> Result<Action, Error> {
    let namespace = deployment.namespace().unwrap_or_default();
    let Some(deployment) = context.deployments.named(&namespace, &deployment.name_any()) else {
        return Ok(Action::await_change());
    };
    let base = (namespace, deployment.spec.base_deployment_name.clone());
    context.bases.ensure(&base);
    let state = context.bases.state(&base);
    if state == BaseState::Unknown && deployment.metadata.deletion_timestamp.is_none() {
        // The watch of the base wakes this deployment when it is complete.
        return Ok(Action::await_change());
    }
    let observed = observe::observe(&context, &deployment, &base);
    let now = context.clock.now();
    let plan = {
        let view = View {
            deployment: &deployment,
            base: observed.base(&state),
            sets: observed.sets(),
            reports: observed.reports.clone(),
            watching_since: context.watching_since,
        };
        plan_deployment(&view, now)
    };
    let wake = apply::apply(&context, &deployment, plan, now).await?;
    Ok(until(&context, wake))
}

//! ModuleDeployment: revision, batch, how many of each revision.
//!
//! observe ([`observe`]) -> plan ([`crate::domain::deployment`]) -> apply and status ([`apply`]). Writes its replica
//! sets' spec and its own status; of its own spec only `scaleReplicas` and `confirmBatchNum` back to 0.

mod apply;
mod observe;

use std::sync::Arc;

use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::{await_news, context::Context, error::Error, until};
use crate::{
    api::{ModuleDeployment, ModuleInfo, ModuleReplicaSet, keys::label},
    domain::{
        deployment::{Plan, Reports, View, plan_deployment},
        names,
    },
    runtime::{bases::BaseState, index},
};

/// Whether nobody controls a replica set that carries the deployment's label and its module: then it is the deployment's,
/// as a ReplicaSet without controller is the Deployment's that selects it.
fn is_orphan_of(set: &ModuleReplicaSet, deployment: &ModuleDeployment) -> bool {
    let labelled = set.labels().get(label::MODULE_DEPLOYMENT) == Some(&names::label_safe(&deployment.name_any()));
    let name = |module: Option<&ModuleInfo>| module.map(|module| module.name.clone());
    labelled
        && index::controller_uid(set).is_none()
        && set.metadata.deletion_timestamp.is_none()
        && name(set.module()) == name(deployment.module())
}

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
        return Ok(await_news());
    }
    apply::adopt_orphans(&context, &deployment).await?;
    let observed = observe::observe(&context, &deployment, &base);
    let now = context.clock.now();
    let plan = |reports| {
        let view = View {
            deployment: &deployment,
            base: observed.base(&state),
            sets: observed.sets(),
            reports,
            watching_since: context.watching_since,
        };
        plan_deployment(&view, now)
    };
    let applied = apply::apply(&context, &deployment, plan(observed.reports.clone()), now).await;
    if let Some(why) = applied.as_ref().err().and_then(Error::refused_creation) {
        // What goes without it is done, and told, before it is tried again. The deployment's own fields are written.
        let reports = Reports { refused: Some(why.to_owned()), ..observed.reports.clone() };
        let without = Plan { own_patch: None, adopt_base: false, ..plan(reports) };
        apply::apply(&context, &deployment, without, now).await?;
    }
    let leaving = deployment.metadata.deletion_timestamp.is_some();
    applied.map(|wake| if leaving && wake.is_none() { await_news() } else { until(&context, wake) })
}

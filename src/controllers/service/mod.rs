//! The Service of each ModuleDeployment that asks for one.
//!
//! Auxiliary: nothing else waits for it. What keeps a Service from being as wanted is reported to the deployment's
//! own reconcile, which owns the status. Writes Services; nothing else.

use std::sync::{Arc, PoisonError};

use k8s_openapi::api::core::v1::Service;
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};

use super::{context::Context, error::Error};
use crate::{
    api::{ModuleDeployment, Reason},
    domain::{
        names,
        service::{Claim, ServicePlan, claim, clashes, plan_service},
    },
};

/// One look at the Service that one ModuleDeployment asks for.
pub async fn reconcile(deployment: Arc<ModuleDeployment>, context: Arc<Context>) -> Result<Action, Error> {
    let namespace = deployment.namespace().unwrap_or_default();
    if let Some(deployment) = context.deployments.named(&namespace, &deployment.name_any()) {
        settle(&context, &deployment).await?;
    }
    Ok(Action::await_change())
}

/// Makes the Service as all deployments of the module ask for it.
pub async fn settle(context: &Context, deployment: &ModuleDeployment) -> Result<(), Error> {
    let namespace = deployment.namespace().unwrap_or_default();
    let Some(module) = deployment.module().map(|module| module.name.clone()) else {
        return Ok(());
    };
    let claims = claims(context, &namespace, &module);
    let found = context.services.named(&namespace, &names::service(&module));
    let uid = deployment.uid().unwrap_or_default();
    let plan = plan_service(&namespace, &module, &claims, found.as_deref());
    let asks = claims.iter().any(|claim| claim.owner.uid == uid && claim.ports.is_some());
    report(context, deployment, verdict(&plan, asks, clashes(&claims, &uid), &module));
    apply(context, &namespace, &module, plan, found.as_deref()).await
}

/// The claims of all deployments of the module.
fn claims(context: &Context, namespace: &str, module: &str) -> Vec<Claim> {
    let deployments = context.deployments.all();
    let ours = deployments.iter().filter(|deployment| {
        deployment.namespace().as_deref() == Some(namespace)
            && deployment.module().is_some_and(|theirs| theirs.name == module)
    });
    ours.map(|deployment| claim(deployment)).collect()
}

fn verdict(plan: &ServicePlan, asks: bool, clash: bool, module: &str) -> Option<(String, String)> {
    let name = names::service(module);
    match plan {
        ServicePlan::Foreign if asks => Some((
            Reason::ForeignService.to_string(),
            format!(
                "a Service {name} exists that does not belong to this module; it is left alone: delete or rename it"
            ),
        )),
        _ if asks && clash => Some((
            Reason::PortClash.to_string(),
            format!("an older ModuleDeployment of {module} publishes {name} with other ports; use the same ports"),
        )),
        _ => None,
    }
}

/// Tells the deployment's reconcile, if it is news.
fn report(context: &Context, deployment: &ModuleDeployment, verdict: Option<(String, String)>) {
    let key = (deployment.namespace().unwrap_or_default(), deployment.name_any());
    let mut reports = context.service_reports.lock().unwrap_or_else(PoisonError::into_inner);
    if reports.get(&key) == verdict.as_ref() {
        return;
    }
    match verdict {
        Some(verdict) => reports.insert(key, verdict),
        None => reports.remove(&key),
    };
    drop(reports);
    context.queues.deployments.push(ObjectRef::from_obj(deployment));
}

async fn apply(
    context: &Context,
    namespace: &str,
    module: &str,
    plan: ServicePlan,
    found: Option<&Service>,
) -> Result<(), Error> {
    let name = names::service(module);
    let uid = found.and_then(|found| found.meta().uid.clone()).unwrap_or_default();
    match plan {
        ServicePlan::Keep | ServicePlan::Foreign => {}
        ServicePlan::Create(service) => {
            let created = context.ops.create(namespace, &*service).await?;
            context.services.put_new(Arc::new(created));
        }
        ServicePlan::Patch(mut patch) => {
            patch["metadata"]["uid"] = serde_json::json!(uid);
            let patched = context.ops.patch::<Service>(namespace, &name, &patch).await?;
            context.services.put(patched);
        }
        ServicePlan::Delete => {
            context.ops.delete::<Service>(namespace, &name, &uid).await?;
        }
    }
    Ok(())
}

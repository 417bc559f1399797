//! What showing verbs read around ModuleDeployments.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Event;
use kube::{ResourceExt, core::Selector};

use super::stdout::remark;
use crate::{
    api::{
        Module, ModuleDeployment, ModuleReplicaSet,
        keys::{GROUP, VERSION, label},
    },
    cli::{
        cluster::Cluster,
        error::Error,
        view::{Observed, observed::is_of},
    },
    domain::names,
    runtime::kinds::BasePod,
};

/// Replica sets, Modules and base pods of some deployments. Of one deployment only its own are asked for.
pub async fn around(
    cluster: &Cluster,
    namespace: Option<&str>,
    deployments: Vec<ModuleDeployment>,
) -> Result<Observed, Error> {
    if deployments.is_empty() {
        return Ok(Observed { pods: Some(vec![]), chosen: cluster.chosen.clone(), ..Observed::default() });
    }
    let own = |name: &str| format!("{}={}", label::MODULE_DEPLOYMENT, names::label_safe(name));
    let selector = match deployments.as_slice() {
        [one] => Some(own(&one.name_any())),
        _ => None,
    };
    let sets: Vec<ModuleReplicaSet> = cluster.list(namespace, selector.as_deref()).await?;
    let modules: Vec<Module> = cluster.list(namespace, selector.as_deref()).await?;
    let pods = pods(cluster, &sets).await?;
    let chosen = cluster.chosen.everywhere(namespace.is_none());
    Ok(Observed { deployments, sets, modules, pods, chosen })
}

/// As [`around`], without the pods.
pub async fn without_pods(
    cluster: &Cluster,
    namespace: Option<&str>,
    deployments: Vec<ModuleDeployment>,
) -> Result<Observed, Error> {
    let sets: Vec<ModuleReplicaSet> = cluster.list(namespace, None).await?;
    let modules: Vec<Module> = cluster.list(namespace, None).await?;
    let chosen = cluster.chosen.everywhere(namespace.is_none());
    Ok(Observed { deployments, sets, modules, pods: None, chosen })
}

/// The bases of some deployments, and all Modules: what else is on a base is of interest too.
pub async fn bases(
    cluster: &Cluster,
    namespace: Option<&str>,
    deployments: Vec<ModuleDeployment>,
) -> Result<Observed, Error> {
    let mut observed = without_pods(cluster, namespace, deployments).await?;
    let own = |set: &&ModuleReplicaSet| observed.deployments.iter().any(|deployment| is_of(set, deployment));
    let sets: Vec<ModuleReplicaSet> = observed.sets.iter().filter(own).cloned().collect();
    observed.pods = pods(cluster, &sets).await?;
    Ok(observed)
}

/// The Events about objects of our kinds; none where they may not be read.
pub async fn events(cluster: &Cluster, namespace: Option<&str>) -> Result<Vec<Event>, Error> {
    let ours = format!("involvedObject.apiVersion={GROUP}/{VERSION}");
    match cluster.list_where(namespace, None, Some(&ours)).await {
        Err(error) if error.code() == Some(403) => {
            remark("note: Events are not shown: you may not list them here");
            Ok(vec![])
        }
        events => events,
    }
}

/// The pods that the replica sets may use, never all of a cluster; `None` where they may not be read.
async fn pods(cluster: &Cluster, sets: &[ModuleReplicaSet]) -> Result<Option<Vec<BasePod>>, Error> {
    let selector = |set: &ModuleReplicaSet| {
        let selector = set.spec.selector.clone()?;
        let selector = Selector::try_from(selector).ok()?.to_string();
        (!selector.is_empty()).then(|| (set.namespace().unwrap_or_default(), selector))
    };
    let wanted: BTreeSet<(String, String)> = sets.iter().filter_map(selector).collect();
    let mut pods: Vec<BasePod> = Vec::new();
    for (namespace, selector) in wanted {
        match cluster.list::<BasePod>(Some(&namespace), Some(&selector)).await {
            Ok(found) => pods.extend(found),
            Err(error) if error.code() == Some(403) => {
                remark(&format!("note: how the bases are isn't shown: you may not list pods in {namespace}"));
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
    }
    pods.sort_by(|one, other| one.uid().cmp(other.uid()));
    pods.dedup_by(|one, other| one.uid() == other.uid());
    pods.retain(|pod| !pod.is_virtual());
    Ok(Some(pods))
}

//! What a take-over finds in a cluster that no write shows: what V1 left behind, and what is left alone.
//!
//! Pure, but for [`Cluster::read`]. Must not: decide anything; the controllers do.

use std::collections::BTreeSet;

use kube::{Api, Client, Resource, ResourceExt, api::ListParams};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::agents::Notes;
use crate::{
    api::{
        Module, ModuleDeployment, ModuleReplicaSet,
        keys::{annotation, label},
    },
    domain::{deployment::rank, replicas::PEER, validation},
    runtime::index,
};

/// The objects as they stand.
#[derive(Default)]
pub struct Cluster {
    pub deployments: Vec<ModuleDeployment>,
    pub sets: Vec<ModuleReplicaSet>,
    pub modules: Vec<Module>,
}

impl Cluster {
    /// Reads the objects of these namespaces; of all, if there are none.
    pub async fn read(client: &Client, namespaces: &[String]) -> Result<Self, String> {
        Ok(Self {
            deployments: all(client, namespaces).await?,
            sets: all(client, namespaces).await?,
            modules: all(client, namespaces).await?,
        })
    }

    /// The newest replica set of the deployment with this name.
    fn newest(&self, namespace: Option<&str>, deployment: &str) -> Option<&ModuleReplicaSet> {
        let of = |set: &&ModuleReplicaSet| {
            set.namespace().as_deref() == namespace
                && set.labels().get(label::MODULE_DEPLOYMENT).is_some_and(|owner| owner == deployment)
        };
        self.sets.iter().filter(of).max_by_key(|set| rank(set))
    }

    /// Why a Module leaves, or a command about it is given.
    pub fn why_leaving(&self, module: &Module) -> String {
        let namespace = module.namespace();
        let Some(deployment) = module.labels().get(label::MODULE_DEPLOYMENT) else {
            return "no ModuleReplicaSet wants it".to_owned();
        };
        let named = |one: &&ModuleDeployment| one.namespace() == namespace && one.name_any() == *deployment;
        let owner = self.deployments.iter().find(named);
        if owner.is_none_or(|owner| owner.metadata.deletion_timestamp.is_some()) {
            return format!("ModuleDeployment {deployment} is being deleted");
        }
        if index::base_uid(module).is_none() {
            return "bound to no base".to_owned();
        }
        let newest = self.newest(namespace.as_deref(), deployment);
        let of_newest =
            newest.is_some_and(|set| module.labels().get(label::MODULE_REPLICA_SET) == Some(&set.name_any()));
        let revision = module.labels().get(label::REVISION).map_or("?", String::as_str);
        if of_newest {
            format!("{deployment} wants fewer, or its base is gone")
        } else {
            format!("old revision {revision} of {deployment} that was left running; the newest is available")
        }
    }

    /// Everything that is worth a line.
    pub fn findings(&self, notes: &Notes) -> Vec<String> {
        let mut found: Vec<String> = self.deployments.iter().flat_map(|one| self.of_deployment(one)).collect();
        for (base, why) in notes.silent.values() {
            found.push(format!("base {}/{}: no answer ({why}); nothing is known of it", base.namespace, base.pod));
        }
        for (base, list) in notes.runs.values() {
            for biz in list {
                let on_base = |module: &&Module| {
                    index::base_uid(module) == Some(base.uid.as_str())
                        && module.spec.module.as_ref().is_some_and(|m| m.name == biz.name && m.version == biz.version)
                };
                if self.modules.iter().any(|module| on_base(&module)) {
                    continue;
                }
                let ours = self.sets.iter().any(|set| {
                    set.namespace().as_deref() == Some(&base.namespace)
                        && set.module().is_some_and(|m| m.name == biz.name && m.version == biz.version)
                });
                let what = if ours {
                    "left behind by V1: it goes where a Module of that name is, or comes"
                } else {
                    "declared by nobody: left alone"
                };
                found.push(format!("base {}/{}: biz {}:{} is {what}", base.namespace, base.pod, biz.name, biz.version));
            }
        }
        found.sort();
        found
    }

    fn of_deployment(&self, deployment: &ModuleDeployment) -> Vec<String> {
        let (namespace, name) = (deployment.namespace().unwrap_or_default(), deployment.name_any());
        let at = format!("ModuleDeployment {namespace}/{name}");
        let mut found = Vec::new();
        if was_peer(deployment) {
            let now = deployment.spec.replicas.unwrap_or(0);
            found.push(format!(
                "{at}: applied with replicas -1, overwritten by V1 with {now}; apply -1 again to restore it"
            ));
        }
        let mut uninstalled = BTreeSet::new();
        for module in &self.modules {
            let of = module.namespace().as_deref() == Some(&namespace)
                && module.labels().get(label::MODULE_DEPLOYMENT) == Some(&name);
            let newest = self.newest(Some(&namespace), &name).map(ResourceExt::name_any);
            let old = newest.is_some_and(|newest| module.labels().get(label::MODULE_REPLICA_SET) != Some(&newest));
            if of && old && deployment.metadata.deletion_timestamp.is_none() {
                let version = module.spec.module.as_ref().map_or("?", |info| info.version.as_str());
                uninstalled.insert(format!("{version} on {}", index::base_name(module).unwrap_or("no base")));
            }
        }
        if !uninstalled.is_empty() {
            let which: Vec<String> = uninstalled.into_iter().collect();
            found.push(format!(
                "{at}: old revisions run on, and leave once the newest is available: {}",
                which.join(", ")
            ));
        }
        let wrong = validation::validate(deployment);
        found.extend(wrong.iter().map(|violation| format!("{at}: {violation}")));
        found
    }
}

/// Whether what was applied says peer, and what is stored doesn't any more.
fn was_peer(deployment: &ModuleDeployment) -> bool {
    let applied = deployment.annotations().get(annotation::LAST_APPLIED);
    let applied = applied.and_then(|text| serde_json::from_str::<Value>(text).ok());
    applied.is_some_and(|applied| applied["spec"]["replicas"] == PEER) && deployment.spec.replicas != Some(PEER)
}

async fn all<K>(client: &Client, namespaces: &[String]) -> Result<Vec<K>, String>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let apis: Vec<Api<K>> = match namespaces {
        [] => vec![Api::all(client.clone())],
        some => some.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect(),
    };
    let mut found = Vec::new();
    for api in apis {
        let list = api.list(&ListParams::default()).await;
        found.extend(list.map_err(|error| format!("list of {}: {error}", K::plural(&())))?.items);
    }
    Ok(found)
}

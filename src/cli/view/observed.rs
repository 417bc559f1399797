//! The objects around some ModuleDeployments, and which belongs to which.

use kube::ResourceExt;

use crate::{
    api::{
        Module, ModuleDeployment, ModuleReplicaSet,
        keys::{annotation, label},
    },
    cli::hint::Chosen,
    domain::{deployment::number, names},
    runtime::{index, kinds::BasePod},
};

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The ModuleDeployments that are meant.
    pub deployments: Vec<ModuleDeployment>,
    /// ModuleReplicaSets, also of others.
    pub sets: Vec<ModuleReplicaSet>,
    /// Modules, also of others.
    pub modules: Vec<Module>,
    /// Pods, at least those of the bases; `None` where they may not be read.
    pub pods: Option<Vec<BasePod>>,
    /// How the cluster was chosen, for commands that are suggested.
    pub chosen: Chosen,
}

impl Observed {
    /// The replica sets of a deployment, newest revision first.
    pub fn sets_of(&self, deployment: &ModuleDeployment) -> Vec<&ModuleReplicaSet> {
        let mut sets: Vec<&ModuleReplicaSet> = self.sets.iter().filter(|set| is_of(set, deployment)).collect();
        sets.sort_by_key(|set| (std::cmp::Reverse(number(set)), set.name_any()));
        sets
    }

    /// The Modules of a replica set, by base and name.
    pub fn modules_of(&self, set: &ModuleReplicaSet) -> Vec<&Module> {
        let mut modules: Vec<&Module> = self.modules.iter().filter(|module| is_part(module, set)).collect();
        modules.sort_by_key(|module| (base_name(module), module.name_any()));
        modules
    }

    /// The pod that a Module is bound to, if it was read.
    pub fn pod_of(&self, module: &Module) -> Option<&BasePod> {
        let uid = index::base_uid(module)?;
        self.pods.as_ref()?.iter().find(|pod| pod.uid() == uid)
    }
}

/// Whether a replica set is the deployment's: by its controller, and without one by its label.
pub fn is_of(set: &ModuleReplicaSet, deployment: &ModuleDeployment) -> bool {
    if set.namespace() != deployment.namespace() {
        return false;
    }
    match index::controller_uid(set) {
        Some(uid) => Some(uid) == deployment.metadata.uid.as_deref(),
        None => set.labels().get(label::MODULE_DEPLOYMENT) == Some(&names::label_safe(&deployment.name_any())),
    }
}

/// Whether a Module is the replica set's. V1's carry the label only; a label outlives a replica set of the same name.
fn is_part(module: &Module, set: &ModuleReplicaSet) -> bool {
    let labelled = module.labels().get(label::MODULE_REPLICA_SET) == Some(&names::label_safe(&set.name_any()));
    let owner = module.annotations().get(annotation::REPLICA_SET_UID);
    let other = owner.is_some_and(|uid| Some(uid) != set.metadata.uid.as_ref());
    labelled && !other && module.namespace() == set.namespace()
}

/// The base pod's name, by the owner reference or else the label.
pub fn base_name(module: &Module) -> Option<String> {
    let labelled = || module.labels().get(label::BASE_INSTANCE_NAME).map(String::as_str);
    index::base_name(module).or_else(labelled).map(str::to_owned)
}

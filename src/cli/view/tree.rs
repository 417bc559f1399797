//! The tree under a ModuleDeployment: its revisions, their Modules, and the base of each.
//!
//! The types are what `-o json` gives: fields may be added, none is renamed or removed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde::Serialize;

use super::{
    Observed,
    observed::base_name,
    standing::{Because, Standing, desired, release, standing},
};
use crate::{
    api::{Module, ModuleDeployment, ModuleReplicaSet, keys::annotation},
    domain::{
        deployment::{completed_revision, number},
        module::Phase,
    },
    runtime::kinds::BasePod,
};

/// `-o json` of `get`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TreeList {
    /// Tells this document from Kubernetes' own.
    pub kind: &'static str,
    /// One a ModuleDeployment.
    pub items: Vec<Tree>,
}

/// A ModuleDeployment and what is under it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tree {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The module's name.
    pub module: String,
    /// The version that is asked for.
    pub version: String,
    /// Where its jar is.
    pub url: String,
    /// The Deployment whose pods are the bases.
    pub base_deployment: String,
    /// How many instances are wanted.
    pub desired: u32,
    /// One on every base pod.
    pub peer: bool,
    /// `spec.paused`.
    pub paused: bool,
    /// Bases on which the module is available.
    pub available: i32,
    /// Instances of the newest revision.
    pub updated: i32,
    /// The batch under way, from 1; 0 before the first release.
    pub batch: i32,
    /// How many batches the release has.
    pub batches: i32,
    /// How it stands.
    pub standing: Standing,
    /// When it was made.
    pub created: Option<Time>,
    /// Newest first.
    pub revisions: Vec<Revision>,
}

/// What a revision is to the release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Role {
    /// What was asked for last.
    Current,
    /// An earlier one.
    Old,
    /// Given up: rolled back or aborted.
    RolledBack,
}

/// A ModuleReplicaSet.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Its number.
    pub number: u64,
    /// The ModuleReplicaSet's name.
    pub name: String,
    /// The module's version.
    pub version: String,
    /// Where its jar is.
    pub url: String,
    /// What it is to the release.
    pub role: Role,
    /// Whether its release was the last one to be completed.
    pub completed: bool,
    /// How many Modules it is to have.
    pub desired: u32,
    /// How many of them are available.
    pub available: u32,
    /// When it was made.
    pub created: Option<Time>,
    /// By base.
    pub modules: Vec<Instance>,
}

/// A Module.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// The Module's name.
    pub name: String,
    /// Its base.
    pub base: Base,
    /// V1's word for how far it is; empty before the operator said anything.
    pub phase: String,
    /// Since when.
    pub since: Option<Time>,
    /// Why it isn't available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<Because>,
    /// When it was made.
    pub created: Option<Time>,
}

/// A base pod, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Base {
    /// The pod's name.
    pub name: String,
    /// How the pod is.
    pub state: BaseState,
    /// Its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The node it is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// How a base pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum BaseState {
    /// It can take modules.
    Ready,
    /// It isn't ready.
    NotReady,
    /// It is being deleted.
    Ending,
    /// There is no such pod any more.
    Gone,
    /// Pods may not be read.
    Unknown,
}

/// The trees of all deployments that were read.
pub fn trees(observed: &Observed) -> TreeList {
    let items = observed.deployments.iter().map(|deployment| tree(observed, deployment)).collect();
    TreeList { kind: "ModuleDeploymentTreeList", items }
}

fn tree(observed: &Observed, deployment: &ModuleDeployment) -> Tree {
    let status = deployment.status.clone().unwrap_or_default();
    let module = deployment.module().cloned().unwrap_or_default();
    let wanted = desired(deployment);
    let release = release(deployment).cloned().unwrap_or_default();
    let sets = observed.sets_of(deployment);
    let namespace = deployment.namespace().unwrap_or_default();
    let mut standing = standing(deployment);
    standing.next = standing.next.map(|next| observed.chosen.repeat(&next, Some(&namespace)));
    let asked = release.update_revision.clone().or_else(|| sets.first().map(|set| set.name_any()));
    Tree {
        namespace,
        name: deployment.name_any(),
        module: module.name,
        version: module.version,
        url: module.url,
        base_deployment: deployment.spec.base_deployment_name.clone(),
        desired: wanted.count,
        peer: wanted.peer,
        paused: deployment.is_paused(),
        available: status.available_replicas.unwrap_or(0),
        updated: status.updated_replicas.unwrap_or(0),
        batch: release.current_batch.unwrap_or(0),
        batches: release.real_batch_count.unwrap_or(0),
        standing,
        created: deployment.creation_timestamp(),
        revisions: sets.into_iter().map(|set| revision(observed, deployment, set, asked.as_deref())).collect(),
    }
}

fn revision(
    observed: &Observed,
    deployment: &ModuleDeployment,
    set: &ModuleReplicaSet,
    asked: Option<&str>,
) -> Revision {
    let module = set.module().cloned().unwrap_or_default();
    let name = set.name_any();
    let role = match () {
        () if set.annotations().contains_key(annotation::ROLLED_BACK) => Role::RolledBack,
        () if Some(name.as_str()) == asked => Role::Current,
        () => Role::Old,
    };
    let modules: Vec<Instance> =
        observed.modules_of(set).into_iter().map(|module| instance(observed, module)).collect();
    let available = modules.iter().filter(|module| module.phase == Phase::Available.as_str()).count();
    Revision {
        number: number(set),
        version: module.version,
        url: module.url,
        role,
        completed: completed_revision(deployment) == Some(name.as_str()),
        name,
        desired: set.desired(),
        available: u32::try_from(available).unwrap_or(u32::MAX),
        created: set.creation_timestamp(),
        modules,
    }
}

/// A Module as it is shown.
pub fn instance(observed: &Observed, module: &Module) -> Instance {
    let status = module.status.clone().unwrap_or_default();
    let ending = module.metadata.deletion_timestamp.is_some();
    let phase = if ending { Phase::Terminating.as_str().to_owned() } else { status.status.unwrap_or_default() };
    let because = status.reason.map(|reason| Because { reason, message: status.message.unwrap_or_default() });
    Instance {
        name: module.name_any(),
        base: base(observed, module),
        phase,
        since: status.last_transition_time,
        because,
        created: module.creation_timestamp(),
    }
}

fn base(observed: &Observed, module: &Module) -> Base {
    let pod = observed.pod_of(module);
    let state = match pod {
        Some(pod) => state(pod),
        None if observed.pods.is_some() => BaseState::Gone,
        None => BaseState::Unknown,
    };
    Base {
        name: base_name(module).unwrap_or_default(),
        state,
        ip: pod.and_then(|pod| pod.status.pod_ip.clone()),
        node: pod.and_then(|pod| pod.spec.node_name.clone()),
    }
}

/// How a base pod is.
pub fn state(pod: &BasePod) -> BaseState {
    match () {
        () if pod.is_ending() => BaseState::Ending,
        () if pod.is_ready() => BaseState::Ready,
        () => BaseState::NotReady,
    }
}

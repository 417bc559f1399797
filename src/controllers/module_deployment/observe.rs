//! What a ModuleDeployment's plan looks at.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use kube::ResourceExt;

use crate::{
    api::{Module, ModuleDeployment, ModuleReplicaSet, Reason, condition, reasons::types},
    controllers::{context::Context, fleet},
    domain::{
        deployment::{Base, Reports, SetView, rank},
        names,
        replicas::PEER,
        rollout::SetCounts,
    },
    runtime::{
        bases::{BaseKey, BaseState},
        index,
    },
};

/// Replica sets and counts of one deployment.
pub struct Observed {
    sets: Vec<(Arc<ModuleReplicaSet>, SetCounts)>,
    pub reports: Reports,
    base_uid: String,
}

impl Observed {
    /// The base Deployment for the plan.
    pub fn base<'a>(&'a self, state: &'a BaseState) -> Base<'a> {
        match state {
            BaseState::Present(deployment) => {
                Base::Present { uid: &self.base_uid, selector: &deployment.spec.selector }
            }
            BaseState::Absent | BaseState::Unknown => Base::Absent,
        }
    }

    /// The replica sets for the plan.
    pub fn sets(&self) -> Vec<SetView<'_>> {
        self.sets.iter().map(|(object, counts)| SetView { object, counts: *counts }).collect()
    }
}

/// Reads caches only.
pub fn observe(context: &Context, deployment: &ModuleDeployment, base: &BaseKey) -> Observed {
    let namespace = &base.0;
    let pods = context.bases.pods(base);
    let alive: HashSet<&str> = pods.iter().filter(|pod| !pod.is_ending()).map(|pod| pod.uid()).collect();
    let mut modules: Vec<Arc<Module>> = Vec::new();
    let mut sets = Vec::new();
    let (mut unplaced, mut restarted) = (None, None);
    let all = context.sets_of(deployment);
    let newest = all.iter().max_by_key(|set| rank(set)).map(|set| set.name_any());
    let of_newest = newest.as_ref().map(|name| context.modules.of_set(namespace, name)).unwrap_or_default();
    for set in all {
        let of_set = context.modules.of_set(namespace, &set.name_any());
        // Modules of a former base are counted too: they serve until the move is done.
        let mut counts =
            fleet::count(&set, &of_set, |base| alive.contains(base) || !is_gone(context, namespace, base, &of_set));
        if newest.as_ref() != Some(&set.name_any()) {
            counts.covered = fleet::covered(&of_set, &of_newest);
            counts.standing_by = fleet::standing_by(&of_set, &of_newest);
        } else {
            restarted = fleet::restarted(&set, &of_set);
        }
        let conditions = set.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        unplaced = unplaced.or_else(|| {
            let failure = condition::find(conditions, types::REPLICA_FAILURE)?;
            Some((failure.reason.clone()?, failure.message.clone()?))
        });
        modules.extend(of_set);
        sets.push((set, counts));
    }
    let (bases_ready, bases_available) =
        fleet::serving_bases(&modules, |base| alive.contains(base) || !is_gone(context, namespace, base, &modules));
    let service_reports = context.service_reports.lock().unwrap_or_else(PoisonError::into_inner);
    let reports = Reports {
        bases_available,
        bases_ready,
        peers: peers(context, deployment, base, &modules),
        restarted,
        fetched_elsewhere: deployment.module().map_or(0, |info| fleet::fetched_elsewhere(info, &modules)),
        failure: fleet::failure(&modules).or(unplaced),
        refused: None,
        service: service_reports.get(&(namespace.clone(), deployment.name_any())).cloned(),
        deletion_blocked: blocked(&modules),
    };
    drop(service_reports);
    let base_uid = match context.bases.state(base) {
        BaseState::Present(deployment) => deployment.uid().unwrap_or_default(),
        BaseState::Absent | BaseState::Unknown => String::new(),
    };
    Observed { sets, reports, base_uid }
}

/// Whether the pod is known and ending, or not known at all: then its Modules don't count. A pod that is known and
/// alive but not selected (a former base's) still serves.
fn is_gone(context: &Context, namespace: &str, uid: &str, modules: &[Arc<Module>]) -> bool {
    let name = modules.iter().find(|module| index::base_uid(module) == Some(uid)).and_then(|m| index::base_name(m));
    let pod = name.and_then(|name| context.bases.pod(namespace, name));
    pod.is_none_or(|pod| pod.uid() != uid || pod.is_ending())
}

fn peers(context: &Context, deployment: &ModuleDeployment, base: &BaseKey, modules: &[Arc<Module>]) -> u32 {
    let Some(module) = deployment.module().filter(|_| deployment.spec.replicas == Some(PEER)) else { return 0 };
    let label = names::label_safe(&deployment.name_any());
    fleet::peers(&fleet::places(context, base, &module.name, &label), modules)
}

fn blocked(modules: &[Arc<Module>]) -> Option<String> {
    modules.iter().find_map(|module| {
        let status = module.status.as_ref()?;
        let blocked = Reason::DeletionBlocked.is(status.reason.as_deref()) && fleet::is_leaving(module);
        blocked.then(|| status.message.clone().unwrap_or_default())
    })
}

//! Asks the placement and takes the places, under one lock.

use std::sync::{Arc, PoisonError};

use kube::ResourceExt;

use super::build::{self, Binding};
use crate::{
    api::{Module, ModuleReplicaSet, keys::label},
    controllers::{context::Context, fleet},
    domain::{names, placement::plan_placement},
    runtime::bases::{BaseKey, BaseState},
};

/// What one replica set has to do.
#[derive(Default)]
pub struct Orders {
    /// Modules to create; each is in the index already and so holds its place.
    pub create: Vec<Arc<Module>>,
    /// Modules to delete.
    pub delete: Vec<Arc<Module>>,
    /// How many find no base, and why.
    pub unplaced: Option<(u32, String)>,
}

/// The orders for `set`; `None` while its bases aren't known.
pub fn place(context: &Context, set: &ModuleReplicaSet) -> Option<Orders> {
    let namespace = set.namespace().unwrap_or_default();
    let base = base_of(context, set)?;
    if context.bases.state(&base) == BaseState::Unknown {
        return None;
    }
    let module = set.module()?.name.clone();
    let sets = siblings(context, set);
    let own = sets.iter().position(|other| other.name_any() == set.name_any())?;
    let _placing = context.placing.lock().unwrap_or_else(PoisonError::into_inner);
    let places = fleet::places(context, &base, &module, &fleet::deployment_label(set));
    let fleet = fleet::fleet(context, &sets, places);
    let placement = plan_placement(&fleet);
    let mut orders = Orders::default();
    for (_, uid) in placement.create.iter().filter(|(set, _)| *set == own) {
        let pods = context.bases.pods(&base);
        let Some(pod) = pods.iter().find(|pod| pod.uid() == uid) else {
            continue;
        };
        let Some(binding) = Binding::to(pod) else { continue };
        let module = Arc::new(build::module(set, &binding));
        context.modules.put_new(Arc::clone(&module));
        orders.create.push(module);
    }
    for (_, name) in placement.delete.iter().filter(|(set, _)| *set == own) {
        orders.delete.extend(context.modules.cache.named(&namespace, name));
    }
    orders.delete.extend(misfits(context, set, &fleet.bases));
    if let Some(&count) = placement.unplaced.get(&own) {
        orders.unplaced = Some((count, placement.explain()));
    }
    Some(orders)
}

/// The base Deployment of a replica set: its deployment's, or for an older or hand-made one the one in its label.
fn base_of(context: &Context, set: &ModuleReplicaSet) -> Option<BaseKey> {
    let namespace = set.namespace().unwrap_or_default();
    let labelled = set.labels().get(label::BASE_DEPLOYMENT);
    let owner = crate::controllers::context::deployment_of(set)
        .and_then(|owner| context.deployments.named(&namespace, &owner))
        .map(|owner| owner.spec.base_deployment_name.clone());
    let name = match (owner, labelled) {
        (Some(owner), Some(label)) if names::label_safe(&owner) == *label => owner,
        (_, Some(label)) => label.clone(),
        (owner, None) => owner?,
    };
    let base = (namespace, name);
    context.bases.ensure(&base);
    Some(base)
}

/// The replica sets of the same deployment on the same base Deployment, this one included.
fn siblings(context: &Context, set: &ModuleReplicaSet) -> Vec<Arc<ModuleReplicaSet>> {
    let controller = |set: &ModuleReplicaSet| {
        set.owner_references().iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone())
    };
    let own = controller(set);
    context
        .sets
        .all()
        .into_iter()
        .filter(|other| other.uid() == set.uid() || (own.is_some() && controller(other) == own))
        .filter(|other| other.labels().get(label::BASE_DEPLOYMENT) == set.labels().get(label::BASE_DEPLOYMENT))
        .collect()
}

/// Modules that can't stay: their pod is no base (any more), or somebody edited what they are.
fn misfits(context: &Context, set: &ModuleReplicaSet, bases: &[crate::domain::placement::Base]) -> Vec<Arc<Module>> {
    let namespace = set.namespace().unwrap_or_default();
    let wanted = set.module();
    let fits = |module: &Module| {
        let base = crate::runtime::index::base_uid(module).unwrap_or_default();
        let same = module.spec.module.as_ref().map(|info| (&info.name, &info.version))
            == wanted.map(|info| (&info.name, &info.version));
        same && bases.iter().any(|known| known.uid == base)
    };
    let modules = context.modules.of_set(&namespace, &set.name_any());
    modules.into_iter().filter(|module| !fleet::is_leaving(module) && !fits(module)).collect()
}

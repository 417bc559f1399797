//! Asks the placement and takes the places, under one lock.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use kube::ResourceExt;

use super::build::{self, Binding};
use crate::{
    api::{Module, ModuleDeployment, ModuleReplicaSet, keys::label},
    controllers::{
        context::{Context, Unplaced},
        fleet,
    },
    domain::{
        module::Phase,
        names,
        placement::{Fleet, Placement, plan_placement},
    },
    runtime::{
        bases::{BaseKey, BaseState},
        index,
        kinds::BasePod,
    },
};

/// What one replica set has to do.
#[derive(Default)]
pub struct Orders {
    /// Modules to create; each is in the index already and so holds its place.
    pub create: Vec<Arc<Module>>,
    /// Modules to delete.
    pub delete: Vec<Arc<Module>>,
    /// How many find no base, and why.
    pub unplaced: Option<Unplaced>,
}

/// The orders for `set`; `None` while its bases, or all orders to it and its siblings, aren't known.
pub fn place(context: &Context, set: &ModuleReplicaSet) -> Option<Orders> {
    let base = known_base(context, set)?;
    // Noted before anything is looked at: what happens meanwhile wakes the set again.
    let settled = is_settled(context, set, &base);
    context.note_waiting(set, !settled);
    if settled {
        return Some(Orders::default());
    }
    let _placing = context.placing.lock().unwrap_or_else(PoisonError::into_inner);
    let Planned { fleet, placement, own } = plan(context, set, &base)?;
    let create = placement.create.iter().filter(|(set, _)| *set == own).map(|(_, uid)| uid.as_str());
    let mut orders = Orders { create: take(context, set, &base, create), ..Orders::default() };
    for (_, name) in placement.delete.iter().filter(|(set, _)| *set == own) {
        orders.delete.extend(context.modules.cache.named(&base.0, name));
    }
    orders.delete.extend(misfits(context, set, &fleet.bases));
    for module in &orders.delete {
        context.order_away(module);
    }
    if let Some(&count) = placement.unplaced.get(&own) {
        let (why, reason) = (placement.explain(), placement.refusal());
        orders.unplaced = Some(Unplaced { base: base.clone(), count, why, reason });
    }
    context.note_waiting(set, waits(&fleet, &placement, own));
    Some(orders)
}

/// Whether `set` is about to put a Module on the base pod with this UID; `None` while its bases aren't known.
pub fn comes_to(context: &Context, set: &ModuleReplicaSet, uid: &str) -> Option<bool> {
    let base = known_base(context, set)?;
    if is_settled(context, set, &base) {
        return Some(false);
    }
    let planned = plan(context, set, &base)?;
    Some(planned.placement.create.iter().any(|(set, base)| *set == planned.own && base == uid))
}

/// The base Deployment of a replica set, once its pods are known.
fn known_base(context: &Context, set: &ModuleReplicaSet) -> Option<BaseKey> {
    base_of(context, set).filter(|base| context.bases.state(base) != BaseState::Unknown)
}

/// What the placement says of a replica set's deployment; never while its orders are being written.
struct Planned {
    fleet: Fleet,
    placement: Placement,
    /// Which of the fleet's sets it is.
    own: usize,
}

fn plan(context: &Context, set: &ModuleReplicaSet, base: &BaseKey) -> Option<Planned> {
    let module = set.module()?.name.clone();
    let owner = owner(context, set);
    let (sets, elsewhere) = siblings(context, set);
    if owner.as_ref().is_some_and(|owner| context.ordering.is_under_way(owner)) {
        // Half of the orders is no order: this set is woken when all are written.
        return None;
    }
    let own = sets.iter().position(|other| other.name_any() == set.name_any())?;
    let places = fleet::places(context, base, &module, &fleet::deployment_label(set));
    let modules = |set: &Arc<ModuleReplicaSet>| context.modules.of_set(&base.0, &set.name_any());
    let peopled: Vec<_> = sets.iter().map(|set| (&**set, modules(set))).collect();
    let mut fleet = fleet::fleet(owner.as_deref(), &peopled, places);
    if elsewhere.iter().any(|other| other.desired() > 0 || !modules(other).is_empty()) {
        // In mid-move to another base Deployment what serves elsewhere isn't seen here: the rollout's word counts.
        fleet.floor = 0;
    }
    let placement = plan_placement(&fleet);
    Some(Planned { fleet, placement, own })
}

/// Takes a place on each of the base pods with these UIDs.
fn take<'a>(
    context: &Context,
    set: &ModuleReplicaSet,
    base: &BaseKey,
    uids: impl Iterator<Item = &'a str>,
) -> Vec<Arc<Module>> {
    let pods = context.bases.pods(base);
    let bindings = uids.filter_map(|uid| Binding::to(pods.iter().find(|pod| pod.uid() == uid)?));
    let modules = bindings.map(|binding| Arc::new(build::module(set, &binding)));
    modules.inspect(|module| context.modules.put_new(Arc::clone(module))).collect()
}

/// Whether carrying the orders out leaves the set with other Modules than it should have: some find no place, or may
/// not leave yet. Only Modules of others change that, and they don't wake this set by themselves.
fn waits(fleet: &Fleet, placement: &Placement, own: usize) -> bool {
    let stay = fleet.modules.iter().filter(|placed| placed.set == own && !placed.leaving);
    let stuck = stay.clone().any(|placed| placed.stuck || placed.outdated);
    let ordered = |orders: &[(usize, String)]| orders.iter().filter(|(set, _)| *set == own).count();
    let then = (stay.count() + ordered(&placement.create)).saturating_sub(ordered(&placement.delete));
    stuck || then != fleet.sets[own].desired as usize
}

/// Whether the set has as many Modules as it should, as they should be, on pods that stay: then the placement has
/// nothing to say about it, and need not look at every base. So it is after most of what wakes a set.
fn is_settled(context: &Context, set: &ModuleReplicaSet, base: &BaseKey) -> bool {
    let pods = context.bases.pods(base);
    if !fleet::superseded(&pods).is_empty() {
        return false;
    }
    let stays = |pod: &&Arc<BasePod>| !pod.is_ending() && !pod.is_to_be_emptied();
    let staying: HashSet<&str> = pods.iter().filter(stays).map(|pod| pod.uid()).collect();
    let modules = context.modules.of_set(&set.namespace().unwrap_or_default(), &set.name_any());
    let mut live = modules.iter().filter(|module| !fleet::is_leaving(module));
    let mut count = 0;
    let all_fit = live.all(|module| {
        count += 1;
        let stays = index::base_uid(module).is_some_and(|uid| staying.contains(uid));
        fleet::is_as_wanted(module, set)
            && stays
            && !fleet::is_ordered_off(module)
            && !fleet::is_outdated(module, set)
            && !fleet::is_stuck(module)
            && !waits_beside_another(context, module)
    });
    all_fit && count == set.desired()
}

/// Whether the Module isn't available and another of its deployment is on the same base: it may wait for nothing there.
fn waits_beside_another(context: &Context, module: &Module) -> bool {
    let deployment = |module: &Module| module.labels().get(label::MODULE_DEPLOYMENT).cloned();
    fleet::phase_of(module) != Some(Phase::Available)
        && index::base_uid(module).is_some_and(|uid| {
            let on_base = context.modules.on_base(uid);
            on_base.iter().any(|other| other.name_any() != module.name_any() && deployment(other) == deployment(module))
        })
}

/// The deployment that controls the set.
fn owner(context: &Context, set: &ModuleReplicaSet) -> Option<Arc<ModuleDeployment>> {
    let owner = crate::controllers::context::deployment_of(set)?;
    context.deployments.named(&set.namespace()?, &owner)
}

/// The base Deployment of a replica set: its deployment's, or for an older or hand-made one the one in its label.
fn base_of(context: &Context, set: &ModuleReplicaSet) -> Option<BaseKey> {
    let namespace = set.namespace().unwrap_or_default();
    let labelled = set.labels().get(label::BASE_DEPLOYMENT);
    let owner = owner(context, set).map(|owner| owner.spec.base_deployment_name.clone());
    let name = match (owner, labelled) {
        (Some(owner), Some(label)) if names::label_safe(&owner) == *label => owner,
        (_, Some(label)) => label.clone(),
        (owner, None) => owner?,
    };
    let base = (namespace, name);
    context.bases.ensure(&base);
    Some(base)
}

/// The replica sets of the same deployment: those on the same base Deployment, this one included, and the others.
fn siblings(context: &Context, set: &ModuleReplicaSet) -> (Vec<Arc<ModuleReplicaSet>>, Vec<Arc<ModuleReplicaSet>>) {
    let all = match index::controller_uid(set) {
        Some(uid) => context.sets.controlled_by(uid),
        None => context.sets.cache.named(&set.namespace().unwrap_or_default(), &set.name_any()).into_iter().collect(),
    };
    let base = set.labels().get(label::BASE_DEPLOYMENT);
    all.into_iter().partition(|other| other.labels().get(label::BASE_DEPLOYMENT) == base)
}

/// Modules that can't stay: their pod is no base (any more), somebody edited what they are, or ordered them off.
fn misfits(context: &Context, set: &ModuleReplicaSet, bases: &[crate::domain::placement::Base]) -> Vec<Arc<Module>> {
    let namespace = set.namespace().unwrap_or_default();
    let fits = |module: &Module| {
        let base = index::base_uid(module).unwrap_or_default();
        fleet::is_as_wanted(module, set)
            && !fleet::is_ordered_off(module)
            && bases.iter().any(|known| known.uid == base)
    };
    let modules = context.modules.of_set(&namespace, &set.name_any());
    modules.into_iter().filter(|module| !fleet::is_leaving(module) && !fits(module)).collect()
}

//! The bases and Modules of one deployment, as placement and counting see them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kube::ResourceExt;

use super::context::Context;
use crate::{
    api::{
        Module, ModuleDeployment, ModuleInfo, ModuleReplicaSet, Reason,
        keys::{annotation, label},
    },
    domain::{
        deployment::{Restart, rank},
        gate::{self, Aged},
        module::Phase,
        names,
        placement::{self, Base, Fleet, Ineligible, Placed, Wanted},
        policy::{SchedulingPolicy, Strategy},
        rollout::SetCounts,
        slot::BizState,
    },
    runtime::{bases::BaseKey, clock::millis, index, kinds::BasePod},
};

/// The stored phase of a Module.
pub fn phase_of(module: &Module) -> Option<Phase> {
    Phase::parse(module.status.as_ref()?.status.as_deref()?)
}

/// Whether a Module is on its way out.
pub fn is_leaving(module: &Module) -> bool {
    module.metadata.deletion_timestamp.is_some()
}

/// Whether the API server has taken a Module's deletion: it sets a grace period, which [`Context::order_away`] doesn't.
pub fn is_deleted(module: &Module) -> bool {
    module.metadata.deletion_grace_period_seconds.is_some()
}

/// Slots in use on a base with these Modules: an old version that leaves and the new one that comes share one.
pub fn slots(modules: &[Arc<Module>]) -> usize {
    let infos = modules.iter().filter_map(|module| module.spec.module.as_ref());
    infos.map(|info| info.name.as_str()).collect::<BTreeSet<_>>().len()
}

/// What is asked of a base: a place for this module of this deployment.
pub struct Seeker<'a> {
    /// The module's name.
    pub module: &'a str,
    /// The deployment's label value.
    pub deployment: &'a str,
    /// The versions of all its revisions.
    pub revisions: BTreeSet<String>,
}

/// What is known of a base pod beside the object itself.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What its agent lists of the biz.
    pub versions: Option<BTreeMap<String, BizState>>,
    /// Its JVM has too little metaspace left.
    pub tight: bool,
    /// Its node is cordoned.
    pub cordoned: bool,
    /// A rollout of its Deployment is about to replace it.
    pub superseded: bool,
}

impl<'a> Seeker<'a> {
    /// The module `module` of the deployment with the label value `deployment`, whose replica sets are `sets`.
    pub fn new<'s>(module: &'a str, deployment: &'a str, sets: impl IntoIterator<Item = &'s ModuleReplicaSet>) -> Self {
        let versions = sets.into_iter().filter_map(|set| set.module().map(|module| module.version.clone()));
        Self { module, deployment, revisions: versions.collect() }
    }

    /// A base pod as a place: `others` are the Modules on it.
    pub fn place(&self, pod: &BasePod, others: &[Arc<Module>], seen: Seen) -> Base {
        let is_ours =
            |other: &Module| other.labels().get(label::MODULE_DEPLOYMENT).is_some_and(|owner| owner == self.deployment);
        let of_name = |other: &Module| other.spec.module.as_ref().is_some_and(|info| info.name == self.module);
        let mut taken = others.iter().any(|other| of_name(other) && !is_ours(other));
        // A biz in the slot that none of our revisions accounts for: found out by the session, where there is one.
        taken |= seen.versions.is_some_and(|versions| versions.keys().any(|version| !self.revisions.contains(version)));
        Base {
            uid: pod.uid().to_owned(),
            name: pod.name_any(),
            closed: closed(pod, seen.cordoned),
            slots: u32::try_from(slots(others)).unwrap_or(u32::MAX),
            max_slots: pod.max_modules(),
            tight: seen.tight,
            superseded: seen.superseded,
            taken,
            emptied: pod.is_to_be_emptied() && !pod.is_ending(),
        }
    }
}

/// The base pods of `base`, as places for the module `module` of the deployment with the label value `deployment`.
pub fn places(context: &Context, base: &BaseKey, module: &str, deployment: &str) -> Vec<Base> {
    let sets = context.sets.labelled(&base.0, deployment);
    let seeker = Seeker::new(module, deployment, sets.iter().map(|set| &**set));
    let pods = context.bases.pods(base);
    let superseded = superseded(&pods);
    let place = |pod: &Arc<BasePod>| {
        let others = context.modules.on_base(pod.uid());
        let seen = Seen {
            versions: context.sessions.versions(pod.uid(), module),
            tight: context.sessions.is_tight(pod.uid()),
            cordoned: is_cordoned(context, pod),
            superseded: superseded.contains(pod.uid()),
        };
        seeker.place(pod, &others, seen)
    };
    pods.iter().map(place).collect()
}

/// The UIDs of those pods of a base Deployment that its rollout is about to replace.
pub fn superseded(pods: &[Arc<BasePod>]) -> BTreeSet<&str> {
    if !pods.iter().any(|pod| pod.is_gated()) {
        return BTreeSet::new();
    }
    let aged = |pod| -> Aged<'_> {
        let pod: &BasePod = pod;
        let created = pod.metadata.creation_timestamp.as_ref().map_or(0, |time| millis(time) / 1000);
        Aged { uid: pod.uid(), template: pod.template_hash(), created, gated: pod.is_gated() }
    };
    let staying: Vec<Aged<'_>> = pods.iter().filter(|pod| !pod.is_ending()).map(|pod| aged(pod)).collect();
    gate::superseded(&staying)
}

fn is_cordoned(context: &Context, pod: &BasePod) -> bool {
    let node = pod.spec.node_name.as_deref().map(kube::runtime::reflector::ObjectRef::new);
    node.and_then(|node| context.nodes.get(&node)).is_some_and(|node| node.spec.unschedulable)
}

fn closed(pod: &BasePod, cordoned: bool) -> Option<Ineligible> {
    if pod.is_ending() || pod.is_to_be_emptied() {
        Some(Ineligible::Ending)
    } else if !pod.is_ready() {
        Some(Ineligible::NotReady)
    } else if cordoned {
        Some(Ineligible::Cordoned)
    } else {
        None
    }
}

/// In peer mode, how many instances there can be, with these Modules of the deployment.
pub fn peers(places: &[Base], modules: &[Arc<Module>]) -> u32 {
    // One that leaves counts too: it may only be restarted there, and D mustn't shrink for that.
    let carrying: BTreeSet<&str> = modules.iter().filter_map(|module| index::base_uid(module)).collect();
    placement::peers(places, &carrying)
}

/// The deployment's replica sets and Modules on its bases; `total` is D.
///
/// Strategy and D are the deployment's own: its replica sets get a changed strategy one after the other, and two of them
/// that went by different policies would take different places.
pub fn fleet(
    owner: Option<&ModuleDeployment>,
    sets: &[(&ModuleReplicaSet, Vec<Arc<Module>>)],
    bases: Vec<Base>,
) -> Fleet {
    let newest = sets.iter().map(|(set, _)| *set).max_by_key(|set| rank(set));
    let (strategy, scheduling) = match owner {
        Some(owner) => (owner.spec.operation_strategy.as_ref(), owner.spec.scheduling_strategy.as_ref()),
        None => (
            newest.and_then(|set| set.spec.operation_strategy.as_ref()),
            newest.and_then(|set| set.spec.scheduling_strategy.as_ref()),
        ),
    };
    let modules = sets.iter().enumerate();
    let modules =
        modules.flat_map(|(index, (set, modules))| modules.iter().map(move |module| placed(index, module, set)));
    let wanted = |set: &ModuleReplicaSet| Wanted {
        desired: if set.metadata.deletion_timestamp.is_some() { 0 } else { set.desired() },
        revision: rank(set),
    };
    let total = owner.and_then(|owner| owner.spec.scale_replicas).and_then(|total| u32::try_from(total).ok());
    let strategy = Strategy::parse(strategy);
    Fleet {
        policy: strategy.policy,
        scheduling: SchedulingPolicy::of(scheduling),
        total,
        floor: total.map_or(0, |total| total.saturating_sub(strategy.max_unavailable(total))),
        restart_floor: (!owner.is_some_and(ModuleDeployment::is_paused))
            .then(|| total.map_or(0, |total| total.saturating_sub(strategy.max_unavailable(total).max(1)))),
        sets: sets.iter().map(|(set, _)| wanted(set)).collect(),
        modules: modules.collect(),
        bases,
    }
}

fn placed(index: usize, module: &Module, set: &ModuleReplicaSet) -> Placed {
    Placed {
        module: module.name_any(),
        set: index,
        base: index::base_uid(module).unwrap_or_default().to_owned(),
        coming: module.metadata.uid.is_none(),
        available: phase_of(module) == Some(Phase::Available),
        leaving: is_leaving(module) || is_ordered_off(module),
        outdated: is_outdated(module, set),
        stuck: is_stuck(module),
        created: module.creation_timestamp().map_or(i64::MAX, |time| millis(&time) / 1000),
    }
}

/// Whether the Module is what its replica set makes, and nobody edited it.
pub fn is_as_wanted(module: &Module, set: &ModuleReplicaSet) -> bool {
    let of_module = module.spec.module.as_ref().map(|info| (&info.name, &info.version));
    of_module == set.module().map(|info| (&info.name, &info.version))
}

/// Whether a user has ordered that the Module leaves this base.
pub fn is_ordered_off(module: &Module) -> bool {
    label::is_set(module.labels(), label::DELETE_MODULE)
}

/// Whether the Module was installed before the restart that its set's template asks for.
pub fn is_outdated(module: &Module, set: &ModuleReplicaSet) -> bool {
    let wanted = restart_token(set);
    wanted.is_some() && module.annotations().get(annotation::RESTARTED_AT) != wanted
}

/// The last order to restart, as the set's template has it.
fn restart_token(set: &ModuleReplicaSet) -> Option<&String> {
    set.spec.template.as_ref()?.restarted_at()
}

/// How far the last order to restart has come; `None` where all of `set` are available since.
pub fn restarted(set: &ModuleReplicaSet, modules: &[Arc<Module>]) -> Option<Restart> {
    restart_token(set)?;
    let through = |module: &&Arc<Module>| !is_outdated(module, set) && phase_of(module) == Some(Phase::Available);
    let done = modules.iter().filter(through).count();
    let left = modules.iter().any(|module| is_outdated(module, set));
    (done < set.desired() as usize).then(|| Restart { done: u32::try_from(done).unwrap_or(u32::MAX), left })
}

/// Where the jar of a Module of `set` lies. A changed URL alone makes no new revision, so it stands in the replica set only;
/// what isn't installed yet is fetched from there.
pub fn current_url<'a>(set: Option<&'a ModuleReplicaSet>, info: &'a ModuleInfo) -> &'a str {
    let current = set.and_then(ModuleReplicaSet::module);
    let same = current.filter(|current| current.name == info.name && current.version == info.version);
    &same.unwrap_or(info).url
}

/// How many Modules run `info` from a jar that was fetched from another URL.
pub fn fetched_elsewhere(info: &ModuleInfo, modules: &[Arc<Module>]) -> u32 {
    let from_elsewhere = |module: &&Arc<Module>| {
        let installed = module.status.as_ref().and_then(|status| status.installed.as_ref());
        let same = installed.filter(|known| known.name == info.name && known.version == info.version);
        !is_leaving(module) && same.and_then(|known| known.url.as_ref()).is_some_and(|url| *url != info.url)
    };
    u32::try_from(modules.iter().filter(from_elsewhere).count()).unwrap_or(u32::MAX)
}

/// Whether a Module waits on a slot that turned out to be somebody else's.
pub fn is_stuck(module: &Module) -> bool {
    let reason = module.status.as_ref().and_then(|status| status.reason.as_deref());
    Reason::ForeignModule.is(reason) || Reason::Conflict.is(reason)
}

/// Counts the Modules of `set`; `alive` says whether a base pod, by its UID, is there and not ending. Which of them are
/// covered by a newer revision, [`covered`] tells, and which stand by it [`standing_by`].
pub fn count(set: &ModuleReplicaSet, modules: &[Arc<Module>], alive: impl Fn(&str) -> bool) -> SetCounts {
    let mut counts = SetCounts { desired: set.desired(), ..SetCounts::default() };
    for module in modules {
        counts.existing += 1;
        if is_leaving(module) || !index::base_uid(module).is_some_and(&alive) {
            continue;
        }
        counts.live += 1;
        match phase_of(module) {
            Some(Phase::Available) => (counts.ready, counts.available) = (counts.ready + 1, counts.available + 1),
            Some(Phase::Completing) => counts.ready += 1,
            Some(Phase::Upgrading) => counts.upgrading += 1,
            _ => {}
        }
    }
    counts
}

/// How many of `old`, Modules of an older revision, stand on a base where one of `newest` is available.
pub fn covered(old: &[Arc<Module>], newest: &[Arc<Module>]) -> u32 {
    beside(old, newest, Phase::Available)
}

/// How many of `old` stand on a base where one of `newest` is in its soak.
pub fn standing_by(old: &[Arc<Module>], newest: &[Arc<Module>]) -> u32 {
    beside(old, newest, Phase::Completing)
}

fn beside(old: &[Arc<Module>], newest: &[Arc<Module>], phase: Phase) -> u32 {
    let is = |module: &&Arc<Module>| !is_leaving(module) && phase_of(module) == Some(phase);
    let bases: BTreeSet<&str> = newest.iter().filter(is).filter_map(|module| index::base_uid(module)).collect();
    let stands =
        |module: &&Arc<Module>| !is_leaving(module) && index::base_uid(module).is_some_and(|base| bases.contains(base));
    u32::try_from(old.iter().filter(stands).count()).unwrap_or(u32::MAX)
}

/// Bases on which a deployment is (ready, available), whatever the revision. A base in its soak whose old version
/// stands by is available: it can be switched back.
pub fn serving_bases(modules: &[Arc<Module>], alive: impl Fn(&str) -> bool) -> (u32, u32) {
    let mut by_base: HashMap<&str, Vec<&Module>> = HashMap::new();
    for module in modules.iter().filter(|module| !is_leaving(module)) {
        if let Some(base) = index::base_uid(module).filter(|base| alive(base)) {
            by_base.entry(base).or_default().push(module);
        }
    }
    let (mut ready, mut available) = (0, 0);
    for modules in by_base.values() {
        let has = |phase| modules.iter().any(|module| phase_of(module) == Some(phase));
        let soaking_beside_old = has(Phase::Completing) && modules.len() > 1;
        ready += u32::from(has(Phase::Available) || has(Phase::Completing));
        available += u32::from(has(Phase::Available) || soaking_beside_old);
    }
    (ready, available)
}

/// The most telling failure among Modules: its reason, and a sentence with the number of Modules concerned.
pub fn failure(modules: &[Arc<Module>]) -> Option<(String, String)> {
    let mut by_reason: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    for module in modules.iter().filter(|module| !is_leaving(module)) {
        let Some(status) = &module.status else { continue };
        let Some(reason) = status.reason.as_deref().filter(|reason| Reason::Superseded != *reason) else {
            continue;
        };
        let base = index::base_name(module).unwrap_or("no base");
        let message = status.message.as_deref().unwrap_or_default();
        let entry = by_reason.entry(reason).or_insert_with(|| (0, format!("{base}: {message}")));
        entry.0 += 1;
    }
    let (reason, (count, example)) = by_reason.into_iter().max_by_key(|(_, (count, _))| *count)?;
    let modules = if count == 1 { "1 Module".to_owned() } else { format!("{count} Modules") };
    Some((reason.to_owned(), format!("{modules}, for instance on {example}")))
}

/// The label value under which a deployment's Modules are found.
pub fn deployment_label(set: &ModuleReplicaSet) -> String {
    match set.labels().get(label::MODULE_DEPLOYMENT) {
        Some(name) => name.clone(),
        None => names::label_safe(&set.name_any()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str, version: &str) -> Arc<Module> {
        let object = serde_json::json!({
            "apiVersion": "koupleless.io/v1alpha1", "kind": "Module",
            "metadata": {"name": format!("{name}-{version}"), "namespace": "n"},
            "spec": {"module": {"name": name, "version": version, "url": "file:///m.jar"}}
        });
        Arc::new(serde_json::from_value(object).expect("a Module"))
    }

    #[test]
    fn two_versions_of_a_module_take_one_slot() {
        assert_eq!(slots(&[]), 0);
        assert_eq!(slots(&[module("pay", "1"), module("pay", "2"), module("cart", "1")]), 2);
    }
}

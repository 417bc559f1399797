//! How a Module gets into its base: by a conversation with the agent there, or as a pod on the base's virtual node.
//!
//! Everything else asks here what a Module is told, and hands over what it wishes; which way that takes is the business of
//! this module alone. A Module that changes its way keeps what runs: the other way finds it there, by name and version.
//!
//! Must not: decide when a Module comes or goes ([`crate::domain::module`]).

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt};
use serde_json::json;

use super::{context::Context, error::Error, fleet};
use crate::{
    api::{
        Delivery, Module, ModuleReplicaSet, Reason,
        keys::{annotation, label},
    },
    domain::{
        deployment::rank,
        module::{Phase, Told},
        names,
        policy::UpgradePolicy,
        slot::{Verdict, WishKind},
        vpod::{self, Seen, Step, VNode, View},
    },
    runtime::{
        clock::millis,
        index,
        kinds::{BaseNode, ModulePod},
    },
};

/// The replica set that a Module belongs to.
pub fn set_of(context: &Context, module: &Module) -> Option<Arc<ModuleReplicaSet>> {
    let namespace = module.namespace()?;
    let label = module.labels().get(label::MODULE_REPLICA_SET)?;
    context.sets.cache.named(&namespace, label).or_else(|| {
        let sets = context.sets.cache.all();
        sets.into_iter().find(|set| {
            set.namespace().as_deref() == Some(namespace.as_str()) && names::label_safe(&set.name_any()) == *label
        })
    })
}

/// The biz name on the base: of what was installed, where that is known.
pub fn biz_name(module: &Module) -> String {
    let installed = module.status.as_ref().and_then(|status| status.installed.as_ref());
    match (installed, &module.spec.module) {
        (Some(installed), _) => installed.name.clone(),
        (None, Some(info)) => info.name.clone(),
        (None, None) => String::new(),
    }
}

/// Which way a Module takes.
pub fn of(context: &Context, module: &Module) -> Delivery {
    let asked = set_of(context, module).and_then(|set| set.spec.delivery);
    asked.unwrap_or(context.settings.default_delivery)
}

/// What is known for a Module, without changing anything.
pub fn told(context: &Context, module: &Module) -> Option<Told> {
    let base_uid = index::base_uid(module)?;
    match of(context, module) {
        Delivery::Arklet => context.sessions.told(base_uid, &biz_name(module), &module.name_any()),
        Delivery::VirtualPod => {
            let now = context.clock.now();
            look(context, module, |view| vpod::told(view, fleet::is_leaving(module), now))
        }
    }
}

/// When a Module is told something else because time passes, and nothing else wakes anybody for it (milliseconds). A
/// conversation tells its own news.
pub fn tells_more_at(context: &Context, module: &Module) -> Option<i64> {
    if of(context, module) != Delivery::VirtualPod {
        return None;
    }
    let now = context.clock.now();
    look(context, module, |view| vpod::tells_more_at(view, fleet::is_leaving(module), now)).flatten()
}

/// The objects that a vPod's plan looks at, and the plan's view of them.
fn look<T>(context: &Context, module: &Module, with: impl FnOnce(&View<'_>) -> T) -> Option<T> {
    let namespace = module.namespace()?;
    let base = index::base_name(module)?;
    let ip = context.bases.pod(&namespace, base).and_then(|pod| pod.status.pod_ip.clone());
    let node = ip.and_then(|ip| context.vnodes.at(&ip));
    let pod = context.vpods.named(&namespace, &module.name_any());
    let biz = biz_name(module);
    let rivals = Rivals::of(context, module, &biz);
    Some(with(&View {
        pod: pod.as_deref().map(seen),
        node: node.as_deref().map(vnode),
        base,
        biz: &biz,
        was_running: matches!(fleet::phase_of(module), Some(Phase::Available | Phase::Completing)),
        created: module.creation_timestamp().map_or(0, |time| millis(&time)),
        watching_since: context.watching_since,
        blocked: rivals.block,
        superseded: rivals.newer_active,
    }))
}

fn seen(pod: &ModulePod) -> Seen<'_> {
    Seen {
        created: pod.metadata.creation_timestamp.as_ref().map_or(0, millis),
        ending: pod.metadata.deletion_timestamp.is_some(),
        status: &pod.status,
    }
}

fn vnode(node: &BaseNode) -> VNode<'_> {
    let ready = node.ready();
    let since = ready.and_then(|ready| ready.last_transition_time.as_ref()).map_or(0, millis);
    VNode {
        name: node.metadata.name.as_deref().unwrap_or_default(),
        labels: node.labels(),
        ready: (ready.is_some_and(|ready| ready.status == "True"), since),
    }
}

/// The other Modules of a slot.
#[derive(Default)]
struct Rivals {
    /// One of them has to be gone first.
    block: bool,
    /// A newer one is active.
    newer_active: bool,
}

impl Rivals {
    fn of(context: &Context, module: &Module, biz: &str) -> Self {
        let (Some(namespace), Some(base)) = (module.namespace(), index::base_uid(module)) else {
            return Self::default();
        };
        let set = set_of(context, module);
        let strategy = set.as_ref().and_then(|set| set.spec.operation_strategy.as_ref());
        let policy = strategy.and_then(|strategy| strategy.upgrade_policy.as_deref());
        let one_at_a_time = UpgradePolicy::parse(policy) == UpgradePolicy::UninstallThenInstall;
        let own_rank = set.as_deref().map(rank);
        let mut rivals = Self::default();
        for other in context.modules.on_base(base) {
            if other.name_any() == module.name_any() || biz_name(&other) != biz {
                continue;
            }
            let Some(pod) = context.vpods.named(&namespace, &other.name_any()) else { continue };
            rivals.block |= one_at_a_time;
            let is_newer = set_of(context, &other).as_deref().map(rank) > own_rank;
            rivals.newer_active |= is_newer && pod.status.is_ready();
        }
        rivals
    }
}

/// Whether another Module of the slot, which isn't leaving, is active there.
pub fn successor_active(context: &Context, module: &Module) -> bool {
    let Some(base) = index::base_uid(module) else { return false };
    let name = biz_name(module);
    context.modules.on_base(base).iter().any(|other| {
        let same_slot = other.spec.module.as_ref().is_some_and(|info| info.name == name);
        let active = || told(context, other).is_some_and(|told| told.verdict == Verdict::Active);
        other.name_any() != module.name_any() && same_slot && !fleet::is_leaving(other) && active()
    })
}

/// Carries out what a Module wishes of its vPod; a conversation that it had is told nothing any more.
pub async fn tend_vpod(context: &Context, module: &Module, wish: Option<WishKind>) -> Result<(), Error> {
    let (Some(base), Some(wish)) = (index::base_uid(module), wish) else { return Ok(()) };
    context.sessions.withdraw(base, &biz_name(module), &module.name_any());
    let step = look(context, module, |view| vpod::plan_vpod(view, wish));
    match step.unwrap_or(Step::Keep) {
        Step::Keep => Ok(()),
        Step::Create => create(context, module).await,
        Step::Delete => delete(context, module).await,
    }
}

async fn create(context: &Context, module: &Module) -> Result<(), Error> {
    let (Some(namespace), Some(info)) = (module.namespace(), &module.spec.module) else { return Ok(()) };
    let set = set_of(context, module);
    let url = fleet::current_url(set.as_deref(), info);
    let Some(Some(pod)) = look(context, module, |view| view.node.map(|node| vpod::build(module, info, url, &node)))
    else {
        return Ok(());
    };
    match context.ops.create::<Pod>(&namespace, &pod).await {
        Ok(created) => {
            context.vpods.put_new(Arc::new(ModulePod { metadata: created.metadata, ..ModulePod::default() }));
            Ok(())
        }
        Err(error) => {
            let note = if error.is_refused() {
                Some(format!("{error}; kubectl apply -k config/virtual-pods lets the operator make pods"))
            } else if error.is_already_there() {
                in_the_way(context, &namespace, &module.name_any()).await?
            } else {
                None
            };
            if let Some(note) = note {
                context.ops.publish(&module.object_ref(&()), true, Reason::FailedCreate, "Reconcile", note).await;
            }
            Err(error.into())
        }
    }
}

/// What to say of a pod that has a vPod's name. One of ours, from before a stale cache, the watch shows soon.
async fn in_the_way(context: &Context, namespace: &str, name: &str) -> Result<Option<String>, Error> {
    let found = context.ops.read::<ModulePod>(namespace, name).await?;
    let foreign = found.filter(|pod| !pod.is_selected());
    Ok(foreign.map(|_| {
        format!("a pod {name} that isn't a Module's is there already: delete it, or give it another name, and the Module gets its own")
    }))
}

async fn delete(context: &Context, module: &Module) -> Result<(), Error> {
    let (namespace, name) = (module.namespace().unwrap_or_default(), module.name_any());
    let Some(pod) = context.vpods.named(&namespace, &name) else { return Ok(()) };
    let uid = pod.uid().unwrap_or_default();
    if let Some(ending) = context.ops.delete::<ModulePod>(&namespace, &name, &uid).await? {
        context.vpods.put(ending);
    }
    Ok(())
}

/// Takes the vPod of a Module away and leaves in the base what it stands for: the Module is delivered in another way from
/// now on, or dropped.
pub async fn abandon(context: &Context, module: &Module) -> Result<(), Error> {
    let (namespace, name) = (module.namespace().unwrap_or_default(), module.name_any());
    let Some(pod) = context.vpods.named(&namespace, &name) else { return Ok(()) };
    if pod.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let patch = json!({ "metadata": { "uid": pod.uid(), "annotations": { annotation::KEEP_BIZ: label::TRUE } } });
    match context.ops.patch::<ModulePod>(&namespace, &name, &patch).await {
        Ok(_) => delete(context, module).await,
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

//! What a Module's plan looks at, and the wish that follows from it.

use std::net::IpAddr;
use std::sync::Arc;

use kube::ResourceExt;

use crate::{
    api::{Module, ModuleReplicaSet, keys::label},
    arklet::{client::Endpoint, session::BaseId, wire::is_web_context_clash},
    controllers::{
        context::{Context, deployment_of},
        delivery::{self, biz_name},
        error::Error,
        fleet,
    },
    domain::{
        deployment::{hands_over, rank},
        module::{BaseFate, ModuleView, Told},
        names,
        policy::{UpgradePolicy, drain_seconds},
        slot::{Verdict, Wish, WishKind},
    },
    runtime::{bases::BaseState, clock::millis, index, kinds::BasePod},
};

/// How often a base that no watch covers is looked at (milliseconds).
const LOOK_AGAIN_MS: i64 = 10_000;

/// What is known of one Module.
pub struct Observed {
    pub told: Option<Told>,
    pub look_again: Option<i64>,
    fate: BaseFate,
    pod: Option<Arc<BasePod>>,
    set: Option<Arc<ModuleReplicaSet>>,
    label_on: bool,
    label_off_since: Option<i64>,
    successor_active: bool,
    handed_over: bool,
    base_name: String,
}

/// Reads caches, and the API server where a pod is missing in them. `None`: not known yet.
pub async fn observe(context: &Context, module: &Module) -> Result<Option<Observed>, Error> {
    let namespace = module.namespace().unwrap_or_default();
    let set = delivery::set_of(context, module);
    let base_name = index::base_name(module).unwrap_or_default().to_owned();
    let base_uid = index::base_uid(module).unwrap_or_default().to_owned();
    if base_uid.is_empty() {
        return Ok(Some(Observed::unbound(set)));
    }
    let mut look_again = None;
    let pod = match context.bases.watched_pod(&namespace, &base_name) {
        Some(pod) => Some(pod),
        None if set.as_ref().is_some_and(|set| !bases_known(context, set)) => return Ok(None),
        None => {
            look_again = Some(context.clock.now() + LOOK_AGAIN_MS);
            unwatched_pod(context, &namespace, &base_name).await?
        }
    };
    let fate = match &pod {
        Some(pod) if pod.uid() != base_uid => BaseFate::Gone,
        Some(pod) if pod.is_ending() => BaseFate::Ending,
        Some(pod) if pod.status.pod_ip.is_none() => BaseFate::Starting,
        Some(_) => BaseFate::Alive,
        None => BaseFate::Gone,
    };
    let name = biz_name(module);
    let key = names::traffic_label(&name);
    Ok(Some(Observed {
        told: explained(delivery::told(context, module)),
        // Also one without an address: no watch tells when it has one.
        look_again: look_again.filter(|_| matches!(fate, BaseFate::Alive | BaseFate::Starting)),
        label_on: pod.as_ref().is_some_and(|pod| pod.labels().contains_key(&key)),
        label_off_since: context.bases.label_off_since(&base_uid, &key),
        successor_active: fleet::is_leaving(module) && delivery::successor_active(context, module),
        handed_over: set.as_ref().is_some_and(|set| is_handed_over(context, set)),
        fate,
        pod,
        set,
        base_name,
    }))
}

/// Whether the deployment is going without what it has.
fn is_handed_over(context: &Context, set: &ModuleReplicaSet) -> bool {
    let namespace = set.namespace().unwrap_or_default();
    let owner = deployment_of(set).and_then(|name| context.deployments.named(&namespace, &name));
    owner.is_some_and(|owner| owner.metadata.deletion_timestamp.is_some() && hands_over(&owner))
}

/// A pod that no watch covers: gone, or no longer selected by its base Deployment.
async fn unwatched_pod(context: &Context, namespace: &str, name: &str) -> Result<Option<Arc<BasePod>>, Error> {
    match context.ops.read::<BasePod>(namespace, name).await? {
        Some(pod) => {
            context.bases.keep_stray(pod.clone());
            Ok(Some(Arc::new(pod)))
        }
        None => {
            context.bases.drop_stray(namespace, name);
            Ok(None)
        }
    }
}

impl Observed {
    fn unbound(set: Option<Arc<ModuleReplicaSet>>) -> Self {
        Self {
            told: None,
            look_again: None,
            fate: BaseFate::Unbound,
            pod: None,
            set,
            label_on: false,
            label_off_since: None,
            successor_active: false,
            handed_over: false,
            base_name: String::new(),
        }
    }

    /// Where the jar lies.
    pub fn url<'a>(&'a self, module: &'a Module) -> &'a str {
        module.spec.module.as_ref().map_or("", |info| fleet::current_url(self.set.as_deref(), info))
    }

    /// Whether the Module, as it stands, is about to be replaced by its set: somebody edited what it is.
    pub fn is_misfit(&self, module: &Module) -> bool {
        let made = self.set.as_ref().filter(|set| set.module().is_some());
        !fleet::is_leaving(module) && made.is_some_and(|set| !fleet::is_as_wanted(module, set))
    }

    /// Whether the Module goes and what it stands for stays in the base.
    pub fn is_dropped(&self, module: &Module) -> bool {
        label::is_set(module.labels(), label::DELETE_MODULE_DIRECTLY) || (self.handed_over && fleet::is_leaving(module))
    }

    /// The view for the plan.
    pub fn view<'a>(&'a self, module: &Module) -> ModuleView<'a> {
        let status = module.status.as_ref();
        let spec = self.set.as_ref().map(|set| &set.spec);
        let seconds = spec.and_then(|spec| spec.min_ready_seconds).map_or(0, i64::from).max(0);
        let created = module.creation_timestamp().map_or(0, |time| millis(&time));
        ModuleView {
            phase: fleet::phase_of(module),
            phase_since: status.and_then(|status| status.last_transition_time.as_ref()).map_or(created, millis),
            was_active: status.is_some_and(|status| status.installed.is_some()) || was_available(module),
            created,
            deleting: module.metadata.deletion_timestamp.as_ref().map(millis),
            drop_directly: self.is_dropped(module),
            base: self.fate,
            base_name: &self.base_name,
            told: self.told.clone(),
            min_ready: seconds.saturating_mul(1000),
            drain: drain_seconds(spec.and_then(|spec| spec.operation_strategy.as_ref())).saturating_mul(1000),
            label_on: self.label_on,
            label_off_since: self.label_off_since,
            successor_active: self.successor_active,
        }
    }
}

fn was_available(module: &Module) -> bool {
    module.status.as_ref().and_then(|status| status.status.as_deref()) == Some("Available")
}

/// Waits for the watch of the base pods, if there is one to come.
fn bases_known(context: &Context, set: &ModuleReplicaSet) -> bool {
    let namespace = set.namespace().unwrap_or_default();
    let Some(base) = set.labels().get(label::BASE_DEPLOYMENT) else {
        return true;
    };
    match deployment_of(set).and_then(|name| context.deployments.named(&namespace, &name)) {
        Some(owner) if names::label_safe(&owner.spec.base_deployment_name) == *base => {
            context.bases.state(&(namespace, owner.spec.base_deployment_name.clone())) != BaseState::Unknown
        }
        _ => true,
    }
}

/// Tells the session what the Module wants; gives what the session says then.
pub fn hand_over(context: &Context, module: &Module, observed: &Observed, wish: Option<WishKind>) -> Option<Told> {
    let base_uid = index::base_uid(module)?;
    let name = biz_name(module);
    let Some(kind) = wish else {
        context.sessions.withdraw(base_uid, &name, &module.name_any());
        return None;
    };
    let pod = observed.pod.as_ref()?;
    let ip: IpAddr = pod.status.pod_ip.as_ref()?.parse().ok()?;
    let at = Endpoint { ip, port: pod.arklet_port() };
    let base =
        BaseId { namespace: module.namespace().unwrap_or_default(), pod: pod.name_any(), uid: base_uid.to_owned() };
    let wish = build_wish(context, module, observed, kind);
    let told = context.sessions.wish(&base, at, &name, wish);
    if context.modules.cache.named(&base.namespace, &module.name_any()).is_none() {
        // Its end was seen meanwhile, by another thread: nobody else would ever take this wish back.
        context.withdraw(module);
        return None;
    }
    explained(told)
}

fn build_wish(context: &Context, module: &Module, observed: &Observed, kind: WishKind) -> Wish {
    let info = module.spec.module.clone().unwrap_or_default();
    let installed = module.status.as_ref().and_then(|status| status.installed.as_ref());
    let leaving_version = installed.map(|installed| installed.version.clone());
    let version = match kind {
        WishKind::Leave { .. } => leaving_version.unwrap_or_else(|| info.version.clone()),
        WishKind::Run => info.version.clone(),
    };
    let owner = module.labels().get(label::MODULE_DEPLOYMENT).or(module.labels().get(label::MODULE_REPLICA_SET));
    let strategy = observed.set.as_ref().and_then(|set| set.spec.operation_strategy.as_ref());
    let policy = strategy.and_then(|strategy| strategy.upgrade_policy.as_deref());
    Wish {
        module: module.name_any(),
        owner: owner.cloned().unwrap_or_else(|| module.name_any()),
        version,
        url: observed.url(module).to_owned(),
        revision: observed.set.as_ref().map_or(0, |set| rank(set)),
        created: module.creation_timestamp().map_or(i64::MAX, |time| millis(&time) / 1000),
        policy: UpgradePolicy::parse(policy.or(module.spec.upgrade_policy.as_deref())),
        own_versions: own_versions(context, module),
        mates: mates(context, module),
        kind,
    }
}

/// The other Modules of the slot that state a wish, or are about to. One that isn't created yet may never be, and one that was
/// dropped may be held for ever by somebody else's finalizer: nobody waits for their word.
fn mates(context: &Context, module: &Module) -> Vec<String> {
    let (Some(base), name) = (index::base_uid(module), biz_name(module)) else { return vec![] };
    let on_base = context.modules.on_base(base);
    let states = |other: &Module| other.metadata.uid.is_some() && !has_nothing_to_say(context, other);
    let others = on_base.iter().filter(|other| biz_name(other) == name && other.name_any() != module.name_any());
    others.filter(|other| states(other)).map(|other| other.name_any()).collect()
}

/// Whether the Module leaves what it stands for in the base, and only has to go.
fn has_nothing_to_say(context: &Context, module: &Module) -> bool {
    fleet::is_leaving(module)
        && (label::is_set(module.labels(), label::DELETE_MODULE_DIRECTLY)
            || delivery::set_of(context, module).is_some_and(|set| is_handed_over(context, &set)))
}

/// The versions of all revisions of the Module's deployment.
fn own_versions(context: &Context, module: &Module) -> Vec<String> {
    let (Some(namespace), Some(deployment)) = (module.namespace(), module.labels().get(label::MODULE_DEPLOYMENT))
    else {
        return vec![];
    };
    let ours = context.sets.labelled(&namespace, deployment);
    ours.iter().filter_map(|set| set.module().map(|module| module.version.clone())).collect()
}

/// A web context clash comes as one line of a stack trace; say what to do about it.
fn explained(told: Option<Told>) -> Option<Told> {
    told.map(|mut told| {
        if let Verdict::Failed(cause) = &told.verdict
            && is_web_context_clash(cause)
        {
            told.verdict = Verdict::Failed(format!(
                "two versions of a web module with one context path cannot stand side by side on a base; use \
                 operationStrategy.upgradePolicy uninstall_then_install, or scaleup_then_scaledown with free bases \
                 ({cause})"
            ));
        }
        told
    })
}

#[cfg(test)]
#[path = "observe_tests.rs"]
mod tests;

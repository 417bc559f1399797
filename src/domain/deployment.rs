//! What follows from a ModuleDeployment and everything that belongs to it.
//!
//! Puts the smaller decisions together in order: is the spec usable, how many instances, which revision, how far may
//! the release be, how many of each revision now. The answer is a value: the replica sets to make, change and
//! delete, the few fields of its own that the operator writes, the status, and when to look again.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{
    names,
    policy::{SchedulingPolicy, Strategy},
    progress::{self, Facts},
    release::{Progress, Release, Seen, Stored, Wanted, plan_release},
    replicas::{Desired, Scale, plan_scale},
    revision::{Identity, Revision, RevisionPlan, plan_history, plan_revision},
    rollout::{Rollout, SetCounts, Sets, plan_rollout},
    validation,
};
use crate::api::{
    Condition, ModuleDeployment, ModuleDeploymentStatus, ModuleInfo, ModuleReplicaSet, ModuleReplicaSetSpec,
    ModuleTemplateSpec, ModuleTemplateSpecInner,
    keys::{annotation, finalizer, label},
};

/// `revisionHistoryLimit` where the user said nothing (Kubernetes Deployment's default).
const HISTORY_LIMIT: usize = 10;

/// The base Deployment, as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
pub enum Base<'a> {
    /// It doesn't exist.
    Absent,
    /// It exists.
    Present {
        /// Its UID.
        uid: &'a str,
        /// Which pods are bases.
        selector: &'a LabelSelector,
    },
}

/// One replica set of the deployment with its Modules, counted.
#[derive(Clone, Debug)]
pub struct SetView<'a> {
    /// The object.
    pub object: &'a ModuleReplicaSet,
    /// Its Modules.
    pub counts: SetCounts,
}

/// What is told by others about the deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports {
    /// Bases on which the module is available, in whatever revision; a base in its soak whose old version stands by
    /// counts.
    pub bases_available: u32,
    /// Bases on which it is active.
    pub bases_ready: u32,
    /// In peer mode: how many instances there can be.
    pub peers: u32,
    /// Failures of Modules: reason and message, the most telling one.
    pub failure: Option<(String, String)>,
    /// Why the Service isn't as wanted: reason and message.
    pub service: Option<(String, String)>,
    /// Why the deletion waits: message.
    pub deletion_blocked: Option<String>,
}

/// All that is looked at.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// The deployment.
    pub deployment: &'a ModuleDeployment,
    /// Its base Deployment.
    pub base: Base<'a>,
    /// Its replica sets.
    pub sets: Vec<SetView<'a>>,
    /// What others tell.
    pub reports: Reports,
}

/// A new value for a replica set's spec and label.
#[derive(Clone, Debug, PartialEq)]
pub struct SetChange {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// A JSON merge patch without `metadata.uid`.
    pub patch: Value,
}

/// What follows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// A JSON merge patch of the deployment's own metadata and spec.
    pub own_patch: Option<Value>,
    /// Whether the owner reference to the base Deployment is missing.
    pub adopt_base: bool,
    /// A replica set to create.
    pub create: Option<Box<ModuleReplicaSet>>,
    /// Replica sets to change, in this order and before one is created.
    pub change: Vec<SetChange>,
    /// Name and UID of replica sets to delete.
    pub delete: Vec<(String, String)>,
    /// The status; `None` leaves it.
    pub status: Option<ModuleDeploymentStatus>,
    /// The finalizers are taken off.
    pub release: bool,
    /// Edges to tell: warning, reason, message.
    pub events: Vec<(bool, &'static str, String)>,
    /// When to look again without a new event (milliseconds).
    pub wake_at: Option<i64>,
}

/// What to do about a deployment at `now` (milliseconds).
pub fn plan_deployment(view: &View<'_>, now: i64) -> Plan {
    if view.deployment.metadata.deletion_timestamp.is_some() {
        return plan_deletion(view, now);
    }
    let violations = validation::validate(view.deployment);
    let refused = validation::refusal(&violations).or_else(|| renamed(view));
    let module = view.deployment.module();
    let (Some(module), None) = (module, &refused) else {
        let why = refused.unwrap_or_else(|| "spec.template.spec.module is missing; name a module".to_owned());
        return stuck(view, "InvalidSpec", why, now);
    };
    let Base::Present { uid, selector } = view.base else {
        let why = format!(
            "the base Deployment {} does not exist in this namespace; create it or correct spec.baseDeploymentName",
            view.deployment.spec.base_deployment_name
        );
        return stuck(view, "BaseDeploymentNotFound", why, now);
    };
    plan_live(view, module, uid, selector, now)
}

/// The module's name may not change: the old one's Modules would be another deployment's business.
fn renamed(view: &View<'_>) -> Option<String> {
    let wanted = &view.deployment.module()?.name;
    let newest = view.sets.iter().max_by_key(|set| number(set.object))?;
    let had = &newest.object.module()?.name;
    (had != wanted).then(|| {
        format!(
            "spec.template.spec.module.name was {had} and cannot become {wanted}; \
             set it back, or create a new ModuleDeployment for {wanted}"
        )
    })
}

/// Nothing can be done until the user changes something: only the status says so.
fn stuck(view: &View<'_>, reason: &'static str, why: String, now: i64) -> Plan {
    let facts = Facts { stuck: Some((reason, &why)), ..Facts::of(view) };
    let status = progress::status(view.deployment, &facts, now);
    let known = find_reason(&view.deployment.status, "Progressing") == Some(reason);
    Plan { status: Some(status), events: if known { vec![] } else { vec![(true, reason, why)] }, ..Plan::default() }
}

fn find_reason<'a>(status: &'a Option<ModuleDeploymentStatus>, type_: &str) -> Option<&'a str> {
    let conditions: &[Condition] = status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    crate::api::condition::find(conditions, type_)?.reason.as_deref()
}

fn plan_deletion(view: &View<'_>, now: i64) -> Plan {
    let finalizers = view.deployment.metadata.finalizers.as_deref().unwrap_or_default();
    if finalizers.iter().any(|name| name == finalizer::ORPHAN) {
        return Plan { release: true, ..Plan::default() };
    }
    let deletable = view.sets.iter().filter(|set| set.object.metadata.deletion_timestamp.is_none());
    let delete = deletable.map(|set| (set.object.name_any(), set.object.uid().unwrap_or_default())).collect();
    let release = view.sets.is_empty();
    let facts = Facts { deleting: true, ..Facts::of(view) };
    let status = (!release).then(|| progress::status(view.deployment, &facts, now));
    let told = find_reason(&view.deployment.status, "DeletionBlocked").is_some();
    let blocked = view.reports.deletion_blocked.clone().filter(|_| !told);
    let events = blocked.map(|message| (true, "DeletionBlocked", message)).into_iter().collect();
    Plan { delete, release, status, events, ..Plan::default() }
}

/// The revision label of a replica set; 0 where it is missing or no number.
pub fn number(set: &ModuleReplicaSet) -> u64 {
    set.labels().get(label::REVISION).and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn revision(set: &ModuleReplicaSet) -> Revision {
    let module = set.module().cloned().unwrap_or_default();
    let base = set.labels().get(label::BASE_DEPLOYMENT).cloned().unwrap_or_default();
    Revision {
        name: set.name_any(),
        number: number(set),
        identity: Identity { module: module.name, version: module.version, base },
    }
}

/// The revision that the deployment asks for.
fn wanted_identity(deployment: &ModuleDeployment) -> Identity {
    let module = deployment.module().cloned().unwrap_or_default();
    Identity {
        module: module.name,
        version: module.version,
        base: names::label_safe(&deployment.spec.base_deployment_name),
    }
}

fn plan_live(view: &View<'_>, module: &ModuleInfo, base_uid: &str, selector: &LabelSelector, now: i64) -> Plan {
    let deployment = view.deployment;
    let spec = &deployment.spec;
    let strategy = Strategy::parse(spec.operation_strategy.as_ref());
    let desired = plan_scale(Scale {
        replicas: spec.replicas,
        scale_replicas: spec.scale_replicas,
        baseline: deployment.annotations().get(annotation::SCALE_BASELINE).map(String::as_str),
        peers: view.reports.peers,
    });
    let paused = spec.paused.unwrap_or(false);
    let revisions: Vec<Revision> = view.sets.iter().map(|set| revision(set.object)).collect();
    let wanted = wanted_identity(deployment);
    let which = plan_revision(&deployment.name_any(), &wanted, &revisions, paused);
    let newest = match &which {
        RevisionPlan::Use(index) | RevisionPlan::Lift(index, _) => Some(*index),
        RevisionPlan::Create { .. } => None,
    };
    let newest_name = match &which {
        RevisionPlan::Create { name, .. } => name.clone(),
        RevisionPlan::Use(index) | RevisionPlan::Lift(index, _) => revisions[*index].name.clone(),
    };
    let mut old: Vec<usize> = (0..view.sets.len()).filter(|&index| Some(index) != newest).collect();
    old.sort_by_key(|&index| revisions[index].number);
    let release = release(view, &strategy, &desired, newest, &newest_name, &old, paused, now);
    let sets = Sets {
        new: newest.map_or_else(SetCounts::default, |index| view.sets[index].counts),
        old: old.iter().map(|&index| view.sets[index].counts).collect(),
    };
    let target = release.target.unwrap_or(sets.new.desired.min(desired.count));
    let rollout = plan_rollout(desired.count, target, &strategy, &sets);
    let mut plan = Plan { wake_at: release.resume_at.map(|at| at.saturating_mul(1000)), ..Plan::default() };
    order_sets(&mut plan, view, &which, &old, &rollout, selector);
    plan.delete = history(view, &revisions, newest);
    plan.adopt_base = !owned_by(deployment, base_uid);
    let completed_now = release.progress == Progress::Completed && !was_completed(deployment, &newest_name);
    plan.own_patch = own_patch(deployment, &desired, completed_now);
    let replaces = view.sets.iter().any(|set| revision(set.object).number > 0 && set.object.name_any() != newest_name);
    let facts = Facts {
        desired: desired.count,
        max_unavailable: strategy.max_unavailable(desired.count),
        newest: newest.map(|index| &view.sets[index]),
        newest_name: Some(&newest_name),
        release: Some(&release),
        held: newest.is_some_and(|index| revisions[index].identity != wanted),
        ..Facts::of(view)
    };
    plan.status = Some(progress::status(deployment, &facts, now));
    plan.events = events(deployment, &release, &newest_name, module, replaces);
    if scaled_by_somebody(deployment, &desired) {
        let note = "spec.replicas is -1, so the number of instances follows the base pods; the scale was put back";
        plan.events.push((true, "ScaleIgnored", note.to_owned()));
    }
    plan
}

/// Whether somebody else than the operator changed the scale of a peer deployment: the spec is newer than the status.
fn scaled_by_somebody(deployment: &ModuleDeployment, desired: &Desired) -> bool {
    let mirrored = deployment.annotations().get(annotation::SCALE_BASELINE).map(String::as_str) == Some("-1");
    let observed = deployment.status.as_ref().and_then(|status| status.observed_generation);
    let newer = observed.is_some() && observed != deployment.metadata.generation;
    desired.peer && desired.write.is_some() && mirrored && newer
}

#[expect(clippy::too_many_arguments, reason = "every one is a different fact; a struct would only rename them")]
fn release(
    view: &View<'_>,
    strategy: &Strategy,
    desired: &Desired,
    newest: Option<usize>,
    newest_name: &str,
    old: &[usize],
    paused: bool,
    now: i64,
) -> Release {
    let stored = stored(view.deployment, newest_name);
    let confirm = view.deployment.spec.confirm_batch_num.and_then(|number| u32::try_from(number).ok());
    let baseline = newest
        .and_then(|index| view.sets[index].object.annotations().get(annotation::CONFIRM_BASELINE)?.parse::<u32>().ok());
    let wanted = Wanted {
        desired: desired.count,
        replaces: !old.is_empty(),
        strategy,
        paused,
        confirmed: confirm.filter(|number| baseline != Some(*number)),
    };
    let seen = Seen {
        updated_available: newest.map_or(0, |index| view.sets[index].counts.available),
        old: old.iter().map(|&index| view.sets[index].counts.existing).sum(),
    };
    plan_release(&wanted, &stored, seen, now.div_euclid(1000))
}

/// What the status says of the release. V1 wrote no `updateRevision`: its batch counts, its word for completion
/// doesn't.
fn stored(deployment: &ModuleDeployment, newest_name: &str) -> Stored {
    let Some(release) = deployment.status.as_ref().and_then(|status| status.release_status.as_ref()) else {
        return Stored::default();
    };
    let by_v1 = release.update_revision.is_none();
    Stored {
        same_revision: by_v1 || release.update_revision.as_deref() == Some(newest_name),
        batch: release.current_batch.and_then(|batch| u32::try_from(batch).ok()).unwrap_or(0),
        completed: !by_v1 && release.progress.as_deref() == Some(Progress::Completed.as_str()),
        resume_at: release.next_reconcile_time.as_ref().map(|time| time.0.as_second()),
    }
}

fn was_completed(deployment: &ModuleDeployment, newest_name: &str) -> bool {
    let stored = stored(deployment, newest_name);
    stored.same_revision && stored.completed
}

fn order_sets(
    plan: &mut Plan,
    view: &View<'_>,
    which: &RevisionPlan,
    old: &[usize],
    rollout: &Rollout,
    selector: &LabelSelector,
) {
    // Old ones first: what they give up is what the newest takes over.
    for (&index, &replicas) in old.iter().zip(&rollout.old) {
        plan.change.extend(change(view, index, replicas, None, false, selector));
    }
    match which {
        RevisionPlan::Create { number, name } => {
            plan.create = Some(Box::new(new_set(view.deployment, *number, name, rollout.new, selector)));
        }
        RevisionPlan::Use(index) => {
            plan.change.extend(change(view, *index, rollout.new, None, true, selector));
        }
        RevisionPlan::Lift(index, number) => {
            plan.change.extend(change(view, *index, rollout.new, Some(*number), true, selector));
        }
    }
}

/// The spec that a replica set of this deployment should have, its template apart.
fn set_spec(deployment: &ModuleDeployment, replicas: u32, selector: &LabelSelector) -> ModuleReplicaSetSpec {
    ModuleReplicaSetSpec {
        selector: Some(selector.clone()),
        replicas: Some(i32::try_from(replicas).unwrap_or(i32::MAX)),
        template: None,
        operation_strategy: deployment.spec.operation_strategy.clone(),
        scheduling_strategy: deployment.spec.scheduling_strategy.clone(),
        min_ready_seconds: deployment.spec.min_ready_seconds,
    }
}

fn set_template(deployment: &ModuleDeployment) -> Option<ModuleTemplateSpec> {
    let template = deployment.spec.template.as_ref()?;
    Some(ModuleTemplateSpec {
        metadata: template.metadata.clone(),
        spec: template.spec.as_ref().map(|spec| ModuleTemplateSpecInner { selector: None, ..spec.clone() }),
    })
}

fn new_set(
    deployment: &ModuleDeployment,
    number: u64,
    name: &str,
    replicas: u32,
    selector: &LabelSelector,
) -> ModuleReplicaSet {
    let spec = ModuleReplicaSetSpec { template: set_template(deployment), ..set_spec(deployment, replicas, selector) };
    let mut set = ModuleReplicaSet::new(name, spec);
    set.metadata.namespace = deployment.namespace();
    set.metadata.labels = Some(set_labels(deployment, number));
    set.metadata.finalizers = Some(vec![finalizer::MODULE_EXISTED.to_owned()]);
    let confirm = deployment.spec.confirm_batch_num.unwrap_or(0);
    set.metadata.annotations = Some(BTreeMap::from([(annotation::CONFIRM_BASELINE.to_owned(), confirm.to_string())]));
    set.metadata.owner_references =
        Some(vec![OwnerReference { block_owner_deletion: Some(true), controller: Some(true), ..owner_of(deployment) }]);
    set
}

/// An owner reference to the deployment, neither controlling nor blocking.
pub fn owner_of(deployment: &ModuleDeployment) -> OwnerReference {
    OwnerReference {
        api_version: format!("{}/{}", crate::api::keys::GROUP, crate::api::keys::VERSION),
        kind: "ModuleDeployment".to_owned(),
        name: deployment.name_any(),
        uid: deployment.uid().unwrap_or_default(),
        block_owner_deletion: None,
        controller: None,
    }
}

fn set_labels(deployment: &ModuleDeployment, number: u64) -> BTreeMap<String, String> {
    let module = deployment.module().cloned().unwrap_or_default();
    let scheduling = SchedulingPolicy::of(deployment.spec.scheduling_strategy.as_ref());
    let mut labels = deployment.labels().clone();
    labels.extend([
        (label::MODULE_NAME.to_owned(), names::label_safe(&module.name)),
        (label::MODULE_DEPLOYMENT.to_owned(), names::label_safe(&deployment.name_any())),
        (label::SCHEDULING_STRATEGY.to_owned(), scheduling.as_str().to_owned()),
        (label::BASE_DEPLOYMENT.to_owned(), names::label_safe(&deployment.spec.base_deployment_name)),
        (label::REVISION.to_owned(), number.to_string()),
    ]);
    labels
}

/// What differs between a replica set and what it should be. An old revision keeps its template and its bases.
fn change(
    view: &View<'_>,
    index: usize,
    replicas: u32,
    lift: Option<u64>,
    newest: bool,
    selector: &LabelSelector,
) -> Option<SetChange> {
    let set = view.sets[index].object;
    if set.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let mut wanted =
        ModuleReplicaSetSpec { template: set.spec.template.clone(), ..set_spec(view.deployment, replicas, selector) };
    // While `spec.paused` holds a new template back, the newest revision keeps its own.
    if newest && revision(set).identity == wanted_identity(view.deployment) {
        wanted.template = set_template(view.deployment);
    } else {
        wanted.selector = set.spec.selector.clone();
    }
    keep_equivalent(&mut wanted, &set.spec);
    let mut patch =
        super::merge::diff(&json!(set.spec), &json!(wanted)).map_or_else(|| json!({}), |spec| json!({ "spec": spec }));
    if let Some(number) = lift {
        patch["metadata"] = json!({ "labels": { label::REVISION: number.to_string() } });
    }
    let changed = patch.as_object().is_some_and(|patch| !patch.is_empty());
    changed.then(|| SetChange { name: set.name_any(), uid: set.uid().unwrap_or_default(), patch })
}

/// V1 left zeros and empty objects out or in as it pleased; a take-over writes nothing for that.
fn keep_equivalent(wanted: &mut ModuleReplicaSetSpec, had: &ModuleReplicaSetSpec) {
    if wanted.replicas.unwrap_or(0) == had.replicas.unwrap_or(0) {
        wanted.replicas = had.replicas;
    }
    let same_module = wanted.template.as_ref().and_then(ModuleTemplateSpec::module)
        == had.template.as_ref().and_then(ModuleTemplateSpec::module);
    let metadata = |template: &Option<ModuleTemplateSpec>| {
        template.as_ref().and_then(|template| template.metadata.clone()).unwrap_or_default()
    };
    if same_module && metadata(&wanted.template) == metadata(&had.template) {
        wanted.template = had.template.clone();
    }
    if wanted.scheduling_strategy.is_none()
        && SchedulingPolicy::of(had.scheduling_strategy.as_ref()) == SchedulingPolicy::Scatter
    {
        wanted.scheduling_strategy = had.scheduling_strategy.clone();
    }
}

fn history(view: &View<'_>, revisions: &[Revision], newest: Option<usize>) -> Vec<(String, String)> {
    let Some(newest) = newest else { return vec![] };
    let limit = view.deployment.spec.revision_history_limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.filter(|limit| *limit > 0).unwrap_or(HISTORY_LIMIT);
    let finished: Vec<bool> = view
        .sets
        .iter()
        .map(|set| {
            set.object.desired() == 0 && set.counts.existing == 0 && set.object.metadata.deletion_timestamp.is_none()
        })
        .collect();
    plan_history(revisions, newest, &finished, limit)
        .into_iter()
        .map(|index| (view.sets[index].object.name_any(), view.sets[index].object.uid().unwrap_or_default()))
        .collect()
}

fn owned_by(deployment: &ModuleDeployment, base_uid: &str) -> bool {
    deployment.owner_references().iter().any(|owner| owner.uid == base_uid)
}

/// The few fields of its own that the operator writes: finalizers, the scale with its baseline, and the confirmation
/// back to 0 on the edge to Completed.
fn own_patch(deployment: &ModuleDeployment, desired: &Desired, completed_now: bool) -> Option<Value> {
    let mut patch = json!({});
    let mut finalizers = deployment.metadata.finalizers.clone().unwrap_or_default();
    let had = finalizers.len();
    for name in [finalizer::REPLICA_SET_EXISTED, finalizer::MODULE_EXISTED] {
        if !finalizers.iter().any(|known| known == name) {
            finalizers.push(name.to_owned());
        }
    }
    if finalizers.len() > had {
        patch["metadata"]["finalizers"] = json!(finalizers);
    }
    if let Some((count, baseline)) = &desired.write {
        patch["metadata"]["annotations"] = json!({ annotation::SCALE_BASELINE: baseline });
        patch["spec"]["scaleReplicas"] = json!(count);
    }
    if completed_now && deployment.spec.confirm_batch_num.is_some_and(|number| number != 0) {
        patch["spec"]["confirmBatchNum"] = json!(0);
    }
    patch.as_object().is_some_and(|patch| !patch.is_empty()).then_some(patch)
}

fn events(
    deployment: &ModuleDeployment,
    release: &Release,
    newest_name: &str,
    module: &ModuleInfo,
    replaces: bool,
) -> Vec<(bool, &'static str, String)> {
    let before = deployment.status.as_ref().and_then(|status| status.release_status.as_ref());
    let same = before.is_some_and(|before| before.update_revision.as_deref() == Some(newest_name));
    let word = before.and_then(|before| before.progress.as_deref()).filter(|_| same);
    let batch = before.and_then(|before| before.current_batch).filter(|_| same).unwrap_or(0);
    let what = format!("{} {}", module.name, module.version);
    let mut events = Vec::new();
    if !same && replaces {
        events.push((false, "ReleaseStarted", format!("release of {what} began ({newest_name})")));
    }
    let now = release.progress;
    if word != Some(now.as_str()) && (word.is_some() || now != Progress::Completed) {
        match now {
            Progress::Completed => {
                events.push((false, "ReleaseCompleted", format!("{what} is available on every wanted base")));
            }
            Progress::WaitingForConfirmation => events.push((
                false,
                "WaitingForConfirmation",
                format!(
                    "batch {0} of {1} is available; set spec.confirmBatchNum to {0} to go on",
                    release.batch, release.batches
                ),
            )),
            Progress::Init | Progress::Executing | Progress::Paused | Progress::Terminating => {}
        }
    }
    if same && i64::from(release.batch) > i64::from(batch) && release.batches > 1 {
        events.push((false, "BatchStarted", format!("batch {} of {} of {what}", release.batch, release.batches)));
    }
    events
}

#[cfg(test)]
#[path = "deployment_tests.rs"]
mod tests;

//! What follows from a ModuleDeployment and everything that belongs to it.
//!
//! Puts the smaller decisions together in order: is the spec usable, how many instances, which revision, how far may
//! the release be, how many of each revision now. The answer is a value: the replica sets to make, change and
//! delete, the few fields of its own that the operator writes, the status, and when to look again.

mod course;
mod events;
mod sets;
mod standing;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use serde_json::{Value, json};

use self::{
    course::{Course, plan_course},
    events::events,
    sets::order_sets,
    standing::{deadline, given_up, release, restarting, was_completed},
};
pub use self::{
    course::{is_on_request, on_request, rank},
    sets::owner_of,
    standing::completed_revision,
};
use super::{
    names,
    policy::Strategy,
    progress::{self, Facts},
    release::Progress,
    replicas::{Desired, Scale, plan_scale},
    revision::{Identity, Revision, plan_history},
    rollout::{SetCounts, Sets, plan_rollout},
    validation,
};
use crate::api::{
    Condition, ModuleDeployment, ModuleDeploymentStatus, ModuleInfo, ModuleReplicaSet, Reason,
    keys::{annotation, finalizer, label},
    reasons::types,
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

/// How far an order to restart has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Modules that are available since.
    pub done: u32,
    /// Whether one is left from before.
    pub left: bool,
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
    /// How far the last order to restart has come, unless all of the newest revision are available since.
    pub restarted: Option<Restart>,
    /// Instances of the version that is asked for whose jar was fetched from another URL than it says now.
    pub fetched_elsewhere: u32,
    /// Failures of Modules: reason and message, the most telling one.
    pub failure: Option<(String, String)>,
    /// What the API server said when it refused the replica set that is needed next.
    pub refused: Option<String>,
    /// Why the Service isn't as wanted: reason and message.
    pub service: Option<(String, String)>,
    /// Why the deletion waits: message.
    pub deletion_blocked: Option<String>,
}

impl Reports {
    /// Reason and message of what fails.
    pub fn trouble(&self) -> Option<(&str, &str)> {
        let refused = self.refused.as_deref().map(|why| (Reason::FailedCreate.as_str(), why));
        refused.or_else(|| self.failure.as_ref().map(|(reason, message)| (reason.as_str(), message.as_str())))
    }
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
    /// Since when this process watches (milliseconds).
    pub watching_since: i64,
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

/// Something to tell once: whether it is a warning, a reason, a sentence.
pub type Told = (bool, Reason, String);

/// What follows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// A JSON merge patch of the deployment's own metadata and spec.
    pub own_patch: Option<Value>,
    /// Whether the owner reference to the base Deployment is missing.
    pub adopt_base: bool,
    /// A replica set to create.
    pub create: Option<Box<ModuleReplicaSet>>,
    /// Replica sets to change, in this order and after one is created.
    pub change: Vec<SetChange>,
    /// Name and UID of replica sets to delete.
    pub delete: Vec<(String, String)>,
    /// The status; `None` leaves it.
    pub status: Option<ModuleDeploymentStatus>,
    /// The finalizers are taken off.
    pub release: bool,
    /// Edges to tell.
    pub events: Vec<Told>,
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
        return stuck(view, Reason::InvalidSpec, why, now);
    };
    let Base::Present { uid, selector } = view.base else {
        let why = format!(
            "the base Deployment {} does not exist in this namespace; create it or correct spec.baseDeploymentName",
            view.deployment.spec.base_deployment_name
        );
        return stuck(view, Reason::BaseDeploymentNotFound, why, now);
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

/// Nothing can be done until the user changes something: only the status says so. What runs may fail meanwhile, so it is
/// counted on, against the last scale that was in force.
fn stuck(view: &View<'_>, reason: Reason, why: String, now: i64) -> Plan {
    let spec = &view.deployment.spec;
    let desired = spec.scale_replicas.or(spec.replicas).and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
    let max_unavailable = Strategy::parse(spec.operation_strategy.as_ref()).max_unavailable(desired);
    let facts = Facts { desired, max_unavailable, stuck: Some((reason, &why)), ..Facts::of(view) };
    let status = progress::status(view.deployment, &facts, now);
    let known = find_reason(&view.deployment.status, types::PROGRESSING) == Some(reason.as_str());
    Plan { status: Some(status), events: if known { vec![] } else { vec![(true, reason, why)] }, ..Plan::default() }
}

fn find_reason<'a>(status: &'a Option<ModuleDeploymentStatus>, type_: &str) -> Option<&'a str> {
    let conditions: &[Condition] = status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    crate::api::condition::find(conditions, type_)?.reason.as_deref()
}

/// Whether its modules and its Service are somebody else's from now on: it may go without them.
pub fn hands_over(deployment: &ModuleDeployment) -> bool {
    deployment.annotations().get(annotation::KEEP_BIZ).is_some_and(|value| value == label::TRUE)
}

fn plan_deletion(view: &View<'_>, now: i64) -> Plan {
    let finalizers = view.deployment.metadata.finalizers.as_deref().unwrap_or_default();
    if finalizers.iter().any(|name| name == finalizer::ORPHAN) {
        return Plan { release: true, ..Plan::default() };
    }
    let deletable = view.sets.iter().filter(|set| set.object.metadata.deletion_timestamp.is_none());
    let delete = deletable.map(|set| (set.object.name_any(), set.object.uid().unwrap_or_default())).collect();
    let release = view.sets.is_empty();
    let ours = [finalizer::REPLICA_SET_EXISTED, finalizer::MODULE_EXISTED];
    // Where nobody else holds it the object is gone with our finalizers, and nobody could read its last word.
    let held = !finalizers.is_empty() && !finalizers.iter().any(|name| ours.contains(&name.as_str()));
    let facts = Facts { deleting: true, deleted: release && held, ..Facts::of(view) };
    let status = (!release || held).then(|| progress::status(view.deployment, &facts, now));
    let told = find_reason(&view.deployment.status, types::DELETION_BLOCKED).is_some();
    let blocked = view.reports.deletion_blocked.clone().filter(|_| !told);
    let events = blocked.map(|message| (true, Reason::DeletionBlocked, message)).into_iter().collect();
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

/// Whether the set is of the revision that the deployment asks for.
fn is_asked(deployment: &ModuleDeployment, set: &ModuleReplicaSet) -> bool {
    revision(set).identity == wanted_identity(deployment)
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
    let revisions = course::revisions(view);
    let course = plan_course(view, &revisions);
    let release = release(view, &strategy, &desired, &course, now);
    let restarting = restarting(view, &course, &release);
    let deadline = deadline(view, &course, &release, restarting, now);
    let counts = |index: usize| view.sets[index].counts;
    let sets = Sets {
        new: course.runs().map_or_else(SetCounts::default, counts),
        old: course.old.iter().map(|&index| counts(index)).collect(),
    };
    // What can't be created takes nothing over: the old ones are scaled, and stay.
    let target = release.target.filter(|_| view.reports.refused.is_none());
    let target = target.unwrap_or(sets.new.desired.min(desired.count));
    let rollout = plan_rollout(desired.count, target, &strategy, &sets);
    let wake_at = [release.wake_at(), deadline.at].into_iter().flatten().min().map(|at| at.saturating_mul(1000));
    let mut plan = Plan { wake_at, ..Plan::default() };
    order_sets(&mut plan, view, &course, &rollout, selector);
    plan.create = plan.create.filter(|_| view.reports.refused.is_none());
    plan.delete = history(view, &revisions, &course);
    plan.adopt_base = !owned_by(deployment, base_uid);
    let completed_now = release.progress == Progress::Completed && !was_completed(deployment, &course.asked_name);
    plan.own_patch = own_patch(deployment, &desired, completed_now);
    let facts = Facts {
        desired: desired.count,
        max_unavailable: strategy.max_unavailable(desired.count),
        newest: course.asked_index.map(|index| &view.sets[index]),
        newest_name: Some(&course.asked_name),
        release: Some(&release),
        held: course.asked_index.is_some_and(|index| !is_asked(deployment, view.sets[index].object)),
        back: course.back.map(|index| revisions[index].name.as_str()),
        deadline: Some(deadline),
        restarting,
        ..Facts::of(view)
    };
    plan.status = Some(progress::status(deployment, &facts, now));
    plan.events = events(view, &facts, module);
    if strategy.auto_rollback
        && let Some(failed) = given_up(view, &course, deadline, desired.count)
    {
        let set = view.sets[failed].object;
        plan.change.retain(|change| change.name != set.name_any());
        plan.change.push(course::mark_failed(set, now));
    }
    if scaled_by_somebody(deployment, &desired) {
        let note = "spec.replicas is -1, so the number of instances follows the base pods; the scale was put back";
        plan.events.push((true, Reason::ScaleIgnored, note.to_owned()));
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

/// Old revisions that are finished and too many. What was asked for stays, also after it was rolled back: made again it
/// would be tried again.
fn history(view: &View<'_>, revisions: &[Revision], course: &Course) -> Vec<(String, String)> {
    let (Some(newest), Some(runs)) = (course.asked_index, course.runs()) else { return vec![] };
    let limit = view.deployment.spec.revision_history_limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.filter(|limit| *limit > 0).unwrap_or(HISTORY_LIMIT);
    let is_finished = |index: usize| {
        let set = &view.sets[index];
        let idle = set.object.desired() == 0 && set.counts.existing == 0;
        let good = completed_revision(view.deployment) == Some(set.object.name_any().as_str());
        index != runs && !good && idle && set.object.metadata.deletion_timestamp.is_none()
    };
    let finished: Vec<bool> = (0..view.sets.len()).map(is_finished).collect();
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

#[cfg(test)]
#[path = "deployment_tests.rs"]
mod tests;
#[cfg(test)]
mod time_tests;

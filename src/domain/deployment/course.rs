//! Which revision is to run: mostly the one that was asked for, and the last good one after a failed release.
//!
//! A revision that was rolled back keeps its label and so stays the newest by V1's count; an annotation says that it is
//! not to run. Everything that asks which of two revisions goes before the other asks [`rank`].

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::{
    SetChange, View, completed_revision, is_asked, number, revision, sets::same_template, standing::whole,
    wanted_identity,
};
use crate::{
    api::{ModuleDeployment, ModuleReplicaSet, ModuleTemplateSpec, keys::annotation},
    domain::revision::{Revision, RevisionPlan, plan_revision},
};

/// The order of revisions: the label, and before all others what was rolled back.
pub fn rank(set: &ModuleReplicaSet) -> u64 {
    if is_rolled_back(set) { 0 } else { number(set) }
}

fn is_rolled_back(set: &ModuleReplicaSet) -> bool {
    set.annotations().contains_key(annotation::ROLLED_BACK)
}

/// Which replica set runs, and which was asked for.
pub struct Course {
    /// What was asked for.
    pub asked: RevisionPlan,
    /// Its replica set, where it exists.
    pub asked_index: Option<usize>,
    /// Its name.
    pub asked_name: String,
    /// The replica set that is to run instead: the release was rolled back.
    pub back: Option<usize>,
    /// All others, oldest first.
    pub old: Vec<usize>,
}

impl Course {
    /// The replica set that is to run, where it exists.
    pub fn runs(&self) -> Option<usize> {
        self.back.or(self.asked_index)
    }

    /// Whether what was rolled back is to run after all.
    pub fn is_another_try(&self, view: &View<'_>) -> bool {
        self.back.is_none() && self.asked_index.is_some_and(|index| is_rolled_back(view.sets[index].object))
    }

    /// Whether the template of the same revision was corrected, its URL for instance, and the set has yet to be told.
    pub fn is_corrected(&self, view: &View<'_>) -> bool {
        let asked = self.asked_index.map(|index| view.sets[index].object);
        let corrected = |set| is_asked(view.deployment, set) && !is_as_asked(view.deployment, set);
        !view.deployment.is_paused() && asked.is_some_and(corrected)
    }

    /// Whether the template orders a restart of which the set has yet to be told.
    pub fn is_restart_ordered(&self, view: &View<'_>) -> bool {
        let token = |template: &Option<ModuleTemplateSpec>| template.as_ref().and_then(|t| t.restarted_at()).cloned();
        let wanted = token(&view.deployment.spec.template);
        let differs = |index: usize| {
            let set = view.sets[index].object;
            set.desired() > 0 && token(&set.spec.template) != wanted
        };
        wanted.is_some() && self.is_corrected(view) && self.asked_index.is_some_and(differs)
    }

    /// What is to be done to have it.
    pub fn runs_by(&self) -> RevisionPlan {
        self.back.map_or_else(|| self.asked.clone(), RevisionPlan::Use)
    }
}

/// The course of the deployment. While it is paused nothing comes back that was rolled back.
pub fn plan_course(view: &View<'_>, revisions: &[Revision]) -> Course {
    let wanted = wanted_identity(view.deployment);
    let paused = view.deployment.is_paused();
    let collisions = view.deployment.status.as_ref().and_then(|status| status.collision_count);
    let asked = plan_revision(&view.deployment.name_any(), &wanted, revisions, paused, whole(collisions).into());
    let (asked_index, asked_name) = match &asked {
        RevisionPlan::Create { name, .. } => (None, name.clone()),
        RevisionPlan::Use(index) | RevisionPlan::Lift(index, _) => (Some(*index), revisions[*index].name.clone()),
    };
    let back = match asked {
        RevisionPlan::Use(index) if stays_back(view.deployment, view.sets[index].object) => last_good(view, index),
        _ => None,
    };
    let runs = back.or(asked_index);
    let mut old: Vec<usize> = (0..view.sets.len()).filter(|&index| Some(index) != runs).collect();
    old.sort_by_key(|&index| rank(view.sets[index].object));
    Course { asked, asked_index, asked_name, back, old }
}

/// Whether the set was rolled back and nothing in the template has been changed since.
fn stays_back(deployment: &ModuleDeployment, set: &ModuleReplicaSet) -> bool {
    is_rolled_back(set) && (deployment.is_paused() || is_as_asked(deployment, set))
}

/// Whether the set's template is what the deployment's says.
fn is_as_asked(deployment: &ModuleDeployment, set: &ModuleReplicaSet) -> bool {
    same_template(deployment.spec.template.as_ref(), set.spec.template.as_ref())
}

/// The last revision whose release was completed, unless it is `failed` itself or going.
pub fn last_good(view: &View<'_>, failed: usize) -> Option<usize> {
    let name = completed_revision(view.deployment)?;
    let good = view.sets.iter().position(|set| set.object.name_any() == name)?;
    (good != failed && view.sets[good].object.metadata.deletion_timestamp.is_none()).then_some(good)
}

/// Marks a set as rolled back, once and for all templates like this one.
pub fn mark_failed(set: &ModuleReplicaSet, now: i64) -> SetChange {
    let time = Timestamp::from_second(now.div_euclid(1000)).unwrap_or(Timestamp::UNIX_EPOCH).to_string();
    let patch = serde_json::json!({ "metadata": { "annotations": { annotation::ROLLED_BACK: time } } });
    SetChange { name: set.name_any(), uid: set.uid().unwrap_or_default(), patch }
}

/// What the mark of a release says that a person gave up, behind the time; the operator's own is the time alone.
const ON_REQUEST: &str = "on request";

/// The mark ([`annotation::ROLLED_BACK`]) that gives a release up on a person's order.
pub fn on_request(time: Timestamp) -> String {
    format!("{time} {ON_REQUEST}")
}

/// Whether the set was rolled back on a person's order.
pub fn is_on_request(set: &ModuleReplicaSet) -> bool {
    set.annotations().get(annotation::ROLLED_BACK).is_some_and(|mark| mark.ends_with(ON_REQUEST))
}

/// Takes the mark off a set that is to run after all: its release begins anew, and what is confirmed now was meant for
/// another.
pub fn unmark(set: &ModuleReplicaSet, confirmed: &str, patch: &mut serde_json::Value) {
    if is_rolled_back(set) {
        patch["metadata"]["annotations"][annotation::CONFIRM_BASELINE] = confirmed.into();
        patch["metadata"]["annotations"][annotation::ROLLED_BACK] = serde_json::Value::Null;
    }
}

/// The revisions as [`plan_revision`] and the history see them.
pub fn revisions(view: &View<'_>) -> Vec<Revision> {
    view.sets.iter().map(|set| revision(set.object)).collect()
}

//! undo: makes the template what it was in an earlier revision.

use kube::ResourceExt;
use serde_json::json;

use super::{Change, alive};
use crate::{
    api::{
        ModuleDeployment, ModuleInfo, ModuleReplicaSet, ModuleTemplateSpecInner,
        keys::{annotation, label},
    },
    cli::view::standing::{is_observed, release},
    domain::{
        deployment::{completed_revision, number},
        merge, names,
        release::Progress,
    },
};

/// An undo, and the base Deployment that must exist for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Back {
    /// What is written.
    pub change: Change,
    /// The base Deployment of that revision, where it is another than now.
    pub base: Option<String>,
}

/// Goes back to the revision with this number; without one to what runs again after
/// an abort, else to the one before the newest. `sets` are the deployment's.
pub fn plan_undo(deployment: &ModuleDeployment, sets: &[&ModuleReplicaSet], to: Option<u64>) -> Result<Back, String> {
    alive(deployment)?;
    let name = deployment.name_any();
    let target = target(deployment, sets, to)?;
    let revision = number(target);
    let Some(wanted) = &target.spec.template else {
        return Err(format!(
            "revision {revision} of {name} has no template; choose another from `kubectl module history {name}`"
        ));
    };
    let had = deployment.spec.template.clone().unwrap_or_default();
    let mut template = wanted.clone();
    // What a replica set doesn't have: it finds its bases by the Deployment's own selector.
    let selector = had.spec.as_ref().and_then(|spec| spec.selector.clone());
    template.spec = template.spec.map(|spec| ModuleTemplateSpecInner { selector, ..spec });
    if template.metadata.is_none() && had.metadata.as_ref().is_some_and(|metadata| *metadata == Default::default()) {
        template.metadata = had.metadata.clone();
    }
    let base = another_base(deployment, target);
    let mut spec = json!({});
    if let Some(changes) = merge::diff(&json!(had), &json!(template)) {
        spec["template"] = changes;
    }
    if let Some(base) = &base {
        spec["baseDeploymentName"] = json!(base);
    }
    if spec == json!({}) {
        let what = format!("not changed: its template is that of revision {revision} already");
        return Ok(Back { change: Change::Nothing(what), base: None });
    }
    let version = target.module().map(|module| module.version.clone()).unwrap_or_default();
    let done = format!("rolled back to revision {revision} ({version})");
    Ok(Back { change: Change::Patch { patch: json!({ "spec": spec }), done, notes: notes(deployment) }, base })
}

fn notes(deployment: &ModuleDeployment) -> Vec<String> {
    let name = deployment.name_any();
    let mut notes = Vec::new();
    if deployment.is_paused() {
        notes.push(format!("{name} is paused: it begins with `kubectl module resume {name}`"));
    }
    notes
}

/// The replica set that is meant. Where the template was changed and is no revision yet (it is held back by a pause, or
/// nobody looked at it so far), the one before it is the newest.
fn target<'a>(
    deployment: &ModuleDeployment,
    sets: &[&'a ModuleReplicaSet],
    to: Option<u64>,
) -> Result<&'a ModuleReplicaSet, String> {
    let name = deployment.name_any();
    let mut sets: Vec<&ModuleReplicaSet> =
        sets.iter().filter(|set| set.metadata.deletion_timestamp.is_none()).copied().collect();
    sets.sort_by_key(|set| std::cmp::Reverse(number(set)));
    let begun = |sets: &[&ModuleReplicaSet]| sets.first().is_some_and(|newest| is_of(newest, deployment));
    let known = || sets.iter().rev().map(|set| number(set).to_string()).collect::<Vec<_>>().join(", ");
    match to {
        Some(to) => sets.iter().find(|set| number(set) == to).copied().ok_or_else(|| {
            format!("{name} has no revision {to}; it has {}", if sets.is_empty() { "none".to_owned() } else { known() })
        }),
        None => runs_again(deployment, &sets)
            .or_else(|| {
                // What was given up once is gone back to only where it is asked for by its number.
                let earlier = &sets[usize::from(begun(&sets))..];
                earlier.iter().find(|set| !set.annotations().contains_key(annotation::ROLLED_BACK)).copied()
            })
            .ok_or_else(|| format!("{name} has no earlier revision to go back to")),
    }
}

/// After a release was given up, the revision that came back in its place: those between the two may have failed as well.
fn runs_again<'a>(deployment: &ModuleDeployment, sets: &[&'a ModuleReplicaSet]) -> Option<&'a ModuleReplicaSet> {
    let aborted = release(deployment)?.progress.as_deref() == Some(Progress::Aborted.as_str());
    let completed = completed_revision(deployment).filter(|_| aborted && is_observed(deployment))?;
    sets.iter().find(|set| set.name_any() == completed).copied()
}

/// Whether the replica set is the revision that the deployment asks for.
fn is_of(set: &ModuleReplicaSet, deployment: &ModuleDeployment) -> bool {
    let version = |module: Option<&ModuleInfo>| module.map(|module| module.version.clone());
    version(set.module()) == version(deployment.module()) && another_base(deployment, set).is_none()
}

/// The base Deployment of the revision, where it is another: its label holds the name, or a derived form of a long one.
fn another_base(deployment: &ModuleDeployment, set: &ModuleReplicaSet) -> Option<String> {
    let labelled = set.labels().get(label::BASE_DEPLOYMENT)?;
    (*labelled != names::label_safe(&deployment.spec.base_deployment_name)).then(|| labelled.clone())
}

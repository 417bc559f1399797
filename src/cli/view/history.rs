//! The revisions of a ModuleDeployment: what each was, and what became of it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde::Serialize;

use super::{
    Observed,
    tree::{Role, trees},
};
use crate::{
    api::{ModuleReplicaSet, ModuleTemplateSpec},
    cli::{
        change::CHANGE_CAUSE,
        output::{Cell, Look, Table, Tone, ago},
    },
    domain::{deployment::number, policy::UpgradePolicy},
};

/// `-o json` of `history`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// Tells this document from Kubernetes' own.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// The ModuleDeployment's name.
    pub name: String,
    /// Oldest first.
    pub items: Vec<Entry>,
}

/// A revision.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its number.
    pub revision: u64,
    /// The ModuleReplicaSet's name.
    pub name: String,
    /// The module's version.
    pub version: String,
    /// Where its jar is.
    pub url: String,
    /// How it takes the place of the one before; the operator keeps it as the ModuleDeployment has it now.
    pub policy: &'static str,
    /// What it is to the release.
    pub role: Role,
    /// Whether its release was the last one to be completed.
    pub completed: bool,
    /// How many instances it has.
    pub instances: usize,
    /// How many of them are available.
    pub available: u32,
    /// When it was made.
    pub created: Option<Time>,
    /// Why, where somebody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_cause: Option<String>,
}

/// The history of the deployment that was read; `None` where there is none.
pub fn history(observed: &Observed) -> Option<History> {
    let deployment = observed.deployments.first()?;
    let tree = trees(observed).items.into_iter().next()?;
    let sets = observed.sets_of(deployment);
    let mut items: Vec<Entry> = sets
        .iter()
        .zip(tree.revisions)
        .map(|(set, revision)| Entry {
            revision: revision.number,
            name: revision.name,
            version: revision.version,
            url: revision.url,
            policy: policy(set),
            role: revision.role,
            completed: revision.completed,
            instances: revision.modules.len(),
            available: revision.available,
            created: revision.created,
            change_cause: change_cause(set),
        })
        .collect();
    items.reverse();
    Some(History { kind: "ModuleDeploymentHistory", namespace: tree.namespace, name: tree.name, items })
}

fn policy(set: &ModuleReplicaSet) -> &'static str {
    let strategy = set.spec.operation_strategy.as_ref();
    UpgradePolicy::parse(strategy.and_then(|strategy| strategy.upgrade_policy.as_deref())).as_str()
}

/// The annotation of the replica set, as kubectl has it, or of the template that it was made from.
fn change_cause(set: &ModuleReplicaSet) -> Option<String> {
    let of_template =
        |template: &ModuleTemplateSpec| template.metadata.as_ref()?.annotations.as_ref()?.get(CHANGE_CAUSE).cloned();
    let own = set.annotations().get(CHANGE_CAUSE).cloned();
    own.or_else(|| set.spec.template.as_ref().and_then(of_template)).filter(|cause| !cause.is_empty())
}

/// The history at `now` (milliseconds).
pub fn render(history: &History, wide: bool, look: &Look, now: i64) -> String {
    let mut headers = vec!["REVISION", "VERSION", "STATE", "INSTANCES", "AGE", "POLICY", "URL"];
    if wide {
        headers.insert(1, "OBJECT");
    }
    headers.push("CHANGE-CAUSE");
    let mut table = Table::new(&headers);
    for entry in &history.items {
        let (state, tone) = state(entry);
        let mut cells = vec![
            entry.revision.to_string().into(),
            entry.version.as_str().into(),
            Cell::new(state, tone),
            format!("{}/{}", entry.available, entry.instances).into(),
            ago(entry.created.as_ref(), now).into(),
            entry.policy.into(),
            Cell::or_none(Some(&entry.url)),
        ];
        if wide {
            cells.insert(1, entry.name.as_str().into());
        }
        cells.push(Cell::or_none(entry.change_cause.as_deref()));
        table.row(cells);
    }
    let look = if wide { Look { width: None, ..*look } } else { *look };
    table.render(&look)
}

fn state(entry: &Entry) -> (&'static str, Tone) {
    match (entry.role, entry.completed) {
        (Role::Current, true) => ("current, completed", Tone::Good),
        (Role::Current, false) => ("current", Tone::Busy),
        (Role::Old, true) => ("last completed", Tone::Plain),
        (Role::Old, false) => ("old", Tone::Faint),
        (Role::RolledBack, _) => ("rolled back", Tone::Bad),
    }
}

/// The revision with this number.
pub fn find<'a>(sets: &[&'a ModuleReplicaSet], name: &str, revision: u64) -> Result<&'a ModuleReplicaSet, String> {
    sets.iter().find(|set| number(set) == revision).copied().ok_or_else(|| {
        let mut known: Vec<u64> = sets.iter().map(|set| number(set)).collect();
        known.sort_unstable();
        let known = known.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        format!("{name} has no revision {revision}; it has {}", if known.is_empty() { "none" } else { &known })
    })
}

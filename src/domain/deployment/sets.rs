//! The replica sets as they should be: the new one, and what changes in the others.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use kube::ResourceExt;
use serde_json::json;

use super::{
    Plan, SetChange, View,
    course::{self, Course},
    is_asked,
};
use crate::{
    api::{
        ModuleDeployment, ModuleReplicaSet, ModuleReplicaSetSpec, ModuleTemplateSpec, ModuleTemplateSpecInner,
        keys::{annotation, finalizer, label},
    },
    domain::{merge, names, policy::SchedulingPolicy, revision::RevisionPlan, rollout::Rollout},
};

/// Puts the orders for all replica sets into the plan.
pub fn order_sets(plan: &mut Plan, view: &View<'_>, course: &Course, rollout: &Rollout, selector: &LabelSelector) {
    // Old ones first: what they give up is what the newest takes over.
    for (&index, &replicas) in course.old.iter().zip(&rollout.old) {
        plan.change.extend(change(view, index, replicas, None, false, selector));
    }
    match course.runs_by() {
        RevisionPlan::Create { number, name } => {
            plan.create = Some(Box::new(new_set(view.deployment, number, &name, rollout.new, selector)));
        }
        RevisionPlan::Use(index) => {
            plan.change.extend(change(view, index, rollout.new, None, true, selector));
        }
        RevisionPlan::Lift(index, number) => {
            plan.change.extend(change(view, index, rollout.new, Some(number), true, selector));
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
        delivery: deployment.spec.delivery,
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
    let paused = view.deployment.is_paused();
    // While `spec.paused` holds a new template back, the newest revision keeps its own.
    let asked = newest && is_asked(view.deployment, set);
    if asked {
        wanted.template = set_template(view.deployment);
        if paused && let (Some(wanted), Some(had)) = (&mut wanted.template, &set.spec.template) {
            // An order to restart waits too.
            wanted.metadata = had.metadata.clone();
        }
    } else {
        wanted.selector = set.spec.selector.clone();
    }
    keep_equivalent(&mut wanted, &set.spec);
    let mut patch =
        merge::diff(&json!(set.spec), &json!(wanted)).map_or_else(|| json!({}), |spec| json!({ "spec": spec }));
    let confirm = view.deployment.spec.confirm_batch_num.unwrap_or(0).to_string();
    if let Some(number) = lift {
        // A release begins: what is confirmed now was meant for another.
        patch["metadata"]["labels"] = json!({ label::REVISION: number.to_string() });
        patch["metadata"]["annotations"][annotation::CONFIRM_BASELINE] = json!(confirm);
    } else if newest
        && set.annotations().get(annotation::CONFIRM_BASELINE).is_some_and(|had| *had != confirm && had != "0")
    {
        // It was seen to differ: from here on that number counts like any other.
        patch["metadata"]["annotations"][annotation::CONFIRM_BASELINE] = json!("0");
    }
    if asked && !paused {
        course::unmark(set, &confirm, &mut patch);
    }
    let changed = patch.as_object().is_some_and(|patch| !patch.is_empty());
    changed.then(|| SetChange { name: set.name_any(), uid: set.uid().unwrap_or_default(), patch })
}

/// Whether two templates make the same Modules: an absent `metadata` is an empty one.
pub fn same_template(one: Option<&ModuleTemplateSpec>, other: Option<&ModuleTemplateSpec>) -> bool {
    let metadata =
        |template: Option<&ModuleTemplateSpec>| template.and_then(|t| t.metadata.clone()).unwrap_or_default();
    one.and_then(ModuleTemplateSpec::module) == other.and_then(ModuleTemplateSpec::module)
        && metadata(one) == metadata(other)
}

/// V1 left zeros and empty objects out or in as it pleased; a take-over writes nothing for that.
fn keep_equivalent(wanted: &mut ModuleReplicaSetSpec, had: &ModuleReplicaSetSpec) {
    if wanted.replicas.unwrap_or(0) == had.replicas.unwrap_or(0) {
        wanted.replicas = had.replicas;
    }
    if same_template(wanted.template.as_ref(), had.template.as_ref()) {
        wanted.template = had.template.clone();
    }
    if wanted.scheduling_strategy.is_none()
        && SchedulingPolicy::of(had.scheduling_strategy.as_ref()) == SchedulingPolicy::Scatter
    {
        wanted.scheduling_strategy = had.scheduling_strategy.clone();
    }
}

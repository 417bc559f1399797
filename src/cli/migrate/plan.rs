//! What is to be converted, and the next steps of it.
//!
//! A ModuleDeployment is converted in stages, each begun when what is seen shows that the one before is complete:
//!
//! 1. Its Modules, then its replica sets, then itself are made in `koupleless.io`. In this order, because the operator
//!    places Modules only for what orders them: one that is started too early finds every Module already there.
//! 2. Statuses and owners are set, and base pods get the traffic label of today beside the old one.
//! 3. Services select by the label of today. Endpoints stay the same, so no request is lost.
//! 4. The old objects lose their finalizers and are deleted. Nobody acts on them: V1 is at zero.
//! 5. Base pods lose V1's former labels.

use serde_json::{Map, Value, json};

use super::{
    Risk, Row, Seen,
    convert::{self, MIGRATED_FROM, converted, old_group, rekeyed},
    counted, is_ending, is_untouched, place,
    step::{Step, Target},
    text,
};
use crate::{
    api::keys::{GROUP, label},
    cli::validate::check,
    domain::validation::Severity,
};

/// What may be done beside the ordinary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Convert also what V1 was told to delete and didn't.
    pub deleted_too: bool,
}

/// A row for each old ModuleDeployment, for what belongs to none, and for labels that are left over.
pub fn rows(seen: &Seen, wish: Wish) -> Vec<Row> {
    let mut rows: Vec<Row> = of_kind(&seen.old, "ModuleDeployment").map(|old| deployment(seen, old, wish)).collect();
    rows.extend(
        seen.old.iter().filter(|old| text(old, "/kind") != "ModuleDeployment" && owner(seen, old).is_none()).map(stray),
    );
    rows.extend(seen.pods.iter().filter_map(|pod| left_labels(seen, pod)));
    rows.sort_by(|a, b| (&a.namespace, &a.object).cmp(&(&b.namespace, &b.object)));
    rows
}

fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| text(object, "/kind") == kind)
}

/// The old deployment that an old replica set or Module belongs to, by V1's label.
fn owner<'a>(seen: &'a Seen, object: &Value) -> Option<&'a Value> {
    let group = old_group(object)?;
    let labels = object.pointer("/metadata/labels");
    let name = labels.and_then(|labels| labels.get(format!("{group}/module-deployment"))).and_then(Value::as_str)?;
    of_kind(&seen.old, "ModuleDeployment")
        .find(|one| old_group(one) == Some(group) && place(one) == (place(object).0, name))
}

/// The old objects of one deployment, in the order in which they are made and taken away.
struct Family<'a> {
    group: &'static str,
    deployment: &'a Value,
    sets: Vec<&'a Value>,
    modules: Vec<&'a Value>,
}

impl<'a> Family<'a> {
    fn of(seen: &'a Seen, deployment: &'a Value) -> Self {
        let group = old_group(deployment).unwrap_or_default();
        let own = |kind| {
            let own = |object: &&Value| owner(seen, object).is_some_and(|owner| std::ptr::eq(owner, deployment));
            of_kind(&seen.old, kind).filter(own).collect::<Vec<_>>()
        };
        Self { group, deployment, sets: own("ModuleReplicaSet"), modules: own("Module") }
    }

    /// A Module that V1 never gave a base stands for nothing in any base.
    fn bound(&self) -> impl Iterator<Item = &'a Value> {
        let is_bound = |module: &&&Value| {
            let owners = module.pointer("/metadata/ownerReferences").and_then(Value::as_array);
            owners.into_iter().flatten().any(|owner| owner["kind"] == "Pod")
        };
        self.modules.iter().filter(is_bound).copied().collect::<Vec<_>>().into_iter()
    }

    fn to_convert(&self) -> Vec<&'a Value> {
        self.bound().chain(self.sets.iter().copied()).chain([self.deployment]).collect()
    }

    /// The biz that it stands for.
    fn module_name(&self) -> &'a str {
        text(self.deployment, "/spec/template/spec/module/name")
    }
}

/// What was made from `old`, or another object in its place.
fn counterpart<'a>(seen: &'a Seen, old: &Value) -> Option<&'a Value> {
    seen.new.iter().find(|new| new["kind"] == old["kind"] && place(new) == place(old))
}

fn is_made_from(new: &Value, old: &Value) -> bool {
    let from = new.pointer("/metadata/annotations").and_then(|all| all.get(MIGRATED_FROM)).and_then(Value::as_str);
    from == Some(text(old, "/metadata/uid"))
}

fn deployment(seen: &Seen, old: &Value, wish: Wish) -> Row {
    let family = Family::of(seen, old);
    let unbound = family.modules.len() - family.bound().count();
    let mut found = format!(
        "{} with {} and {}",
        family.group,
        counted(family.sets.len(), "replica set"),
        counted(family.modules.len(), "Module")
    );
    if unbound > 0 {
        found.push_str(&format!(", {unbound} of them without a base"));
    }
    let row = |does: String, risk, steps| Row {
        namespace: place(old).0.to_owned(),
        object: format!("ModuleDeployment {}", place(old).1),
        found: found.clone(),
        does,
        risk,
        steps,
    };
    if let Some(obstacle) = obstacle(seen, &family, wish) {
        return row(obstacle, Risk::Blocked, vec![]);
    }
    let steps = next_steps(seen, &family);
    let mut does = match counterpart(seen, old) {
        None => vec![format!("becomes one of {GROUP}; its modules go on running")],
        Some(_) => vec!["the conversion is completed".to_owned()],
    };
    does.extend(convert::remarks(old));
    if unbound > 0 {
        does.push(format!("the operator installs {} in the place of those without a base", unbound));
    }
    let risk = if does.len() > 1 { Risk::Look } else { Risk::None };
    row(does.join("; "), risk, steps)
}

/// Why nothing may be done, and what to do.
fn obstacle(seen: &Seen, family: &Family<'_>, wish: Wish) -> Option<String> {
    if is_ending(family.deployment) && !wish.deleted_too {
        return Some(
            "is being deleted and V1 never ended it; --deleted-too converts it, then delete it anew".to_owned(),
        );
    }
    for old in family.to_convert() {
        if let Some(new) = counterpart(seen, old).filter(|new| !is_made_from(new, old)) {
            let (kind, name) = (text(new, "/kind"), place(new).1);
            return Some(format!("there is another {kind} {name} in {GROUP}; delete or rename one of the two"));
        }
    }
    let new = converted(family.deployment, family.group);
    let report = check::file("", &new.to_string());
    let error = report.findings.into_iter().find(|finding| finding.severity == Severity::Error)?;
    Some(format!("can't be written in {GROUP}: {}: {}", error.field, error.message))
}

/// The steps of the first stage that isn't complete.
fn next_steps(seen: &Seen, family: &Family<'_>) -> Vec<Step> {
    let stages: [fn(&Seen, &Family<'_>) -> Vec<Step>; 4] = [made, completed, turned, taken_away];
    // Once the operator has worked on it, what is missing is missing because the operator took it away.
    let taken_over = counterpart(seen, family.deployment).is_some_and(|new| !is_untouched(new));
    let stages = if taken_over { &stages[2..] } else { &stages[..] };
    stages.iter().map(|stage| stage(seen, family)).find(|steps| !steps.is_empty()).unwrap_or_default()
}

fn made(seen: &Seen, family: &Family<'_>) -> Vec<Step> {
    let missing = family.to_convert().into_iter().filter(|old| counterpart(seen, old).is_none());
    missing.map(|old| Step::Create(Box::new(converted(old, family.group)))).collect()
}

fn completed(seen: &Seen, family: &Family<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    for old in family.to_convert() {
        let Some(new) = counterpart(seen, old) else { continue };
        let status = converted(old, family.group).get("status").cloned();
        let has_none = new.get("status").and_then(Value::as_object).is_none_or(Map::is_empty);
        steps.extend(status.filter(|_| has_none).map(|status| Step::Status(Target::ours(new), status)));
    }
    let deployment = counterpart(seen, family.deployment);
    for set in family.sets.iter().filter_map(|old| counterpart(seen, old)) {
        let Some(deployment) = deployment.filter(|deployment| !owns(deployment, set)) else { continue };
        let owner = json!({
            "apiVersion": deployment["apiVersion"], "kind": deployment["kind"], "name": place(deployment).1,
            "uid": deployment["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
        });
        steps.push(Step::Patch(Target::ours(set), json!({ "metadata": { "ownerReferences": [owner] } })));
    }
    let pods = seen.pods.iter().filter(|pod| place(pod).0 == place(family.deployment).0 && !is_ending(pod));
    steps.extend(pods.filter_map(|pod| labelled(pod, family)));
    steps
}

fn owns(owner: &Value, object: &Value) -> bool {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().any(|one| one["uid"] == owner["metadata"]["uid"])
}

fn labels(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten()
}

/// The former labels of a pod under today's names, where those are missing: traffic of this module, and the user's limit.
fn labelled(pod: &Value, family: &Family<'_>) -> Option<Step> {
    let group = family.group;
    let ours = [format!("module.{group}/{}", family.module_name()), format!("{group}/max-module-count")];
    let missing: Map<String, Value> = labels(pod)
        .filter(|(key, _)| ours.contains(key))
        .map(|(key, value)| (rekeyed(key, group), value.clone()))
        .filter(|(key, _)| pod["metadata"]["labels"].get(key).is_none())
        .collect();
    let target = Target::of(pod, "v1", "Pod");
    (!missing.is_empty()).then(|| Step::Patch(target, json!({ "metadata": { "labels": missing } })))
}

/// Services that select the bases by the former label of this module.
fn turned(seen: &Seen, family: &Family<'_>) -> Vec<Step> {
    let old = format!("module.{}/{}", family.group, family.module_name());
    let selects = |service: &&Value| {
        place(service).0 == place(family.deployment).0
            && service.pointer("/spec/selector").is_some_and(|s| s.get(&old).is_some())
    };
    let turn = |service: &Value| {
        let patch = json!({ "spec": { "selector": {
            rekeyed(&old, family.group): service["spec"]["selector"][&old], &old: null,
        } } });
        Step::Patch(Target::of(service, "v1", "Service"), patch)
    };
    seen.services.iter().filter(selects).map(turn).collect()
}

fn taken_away(_: &Seen, family: &Family<'_>) -> Vec<Step> {
    let all = family.modules.iter().chain(&family.sets).copied().chain([family.deployment]);
    all.flat_map(|old| {
        let target = Target::ours(old);
        let finalizers = old.pointer("/metadata/finalizers").and_then(Value::as_array);
        let release = finalizers.filter(|all| !all.is_empty());
        let release = release.map(|_| Step::Patch(target.clone(), json!({ "metadata": { "finalizers": null } })));
        // What was told to end before goes with its last finalizer.
        let delete = (!is_ending(old)).then_some(Step::Delete(target));
        release.into_iter().chain(delete)
    })
    .collect()
}

/// An old replica set or Module without its deployment.
fn stray(old: &Value) -> Row {
    Row {
        namespace: place(old).0.to_owned(),
        object: format!("{} {}", text(old, "/kind"), place(old).1),
        found: format!("{}, without a ModuleDeployment", old_group(old).unwrap_or_default()),
        does: "stays as it is, and nothing acts on it; delete it by hand, or write a ModuleDeployment for what it runs"
            .to_owned(),
        risk: Risk::Blocked,
        steps: vec![],
    }
}

/// V1's own labels on a base pod, once nothing needs them any more.
fn left_labels(seen: &Seen, pod: &Value) -> Option<Row> {
    let namespace = place(pod).0;
    let in_use = seen.old.iter().any(|old| place(old).0 == namespace);
    let selected = |key: &str| {
        let here = seen.services.iter().filter(|service| place(service).0 == namespace);
        here.into_iter()
            .any(|service| service.pointer("/spec/selector").is_some_and(|selector| selector.get(key).is_some()))
    };
    let is_left = |key: &str| {
        check::OLD_GROUPS.iter().any(|group| {
            key.starts_with(&format!("module.{group}/")) || *key == format!("{group}/module-instance-count")
        })
    };
    let left: Map<String, Value> = labels(pod)
        .filter(|(key, _)| is_left(key) && !selected(key))
        .map(|(key, _)| (key.clone(), Value::Null))
        .collect();
    if in_use || left.is_empty() || is_ending(pod) {
        return None;
    }
    Some(Row {
        namespace: namespace.to_owned(),
        object: format!("Pod {}", place(pod).1),
        found: format!("{} of V1's former groups", counted(left.len(), "label")),
        does: format!("taken off; {} is in their place", label::TRAFFIC_PREFIX.trim_end_matches('/')),
        risk: Risk::None,
        steps: vec![Step::Patch(Target::of(pod, "v1", "Pod"), json!({ "metadata": { "labels": left } }))],
    })
}

#[cfg(test)]
mod tests;

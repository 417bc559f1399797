//! What the operator does by itself when it takes over V1's objects of `koupleless.io`, and what only their author can mend.

use serde_json::{Value, json};

use super::{
    Risk, Row, Seen, convert, counted, is_ending, is_untouched, place,
    step::{Step, Target},
    text,
};
use crate::{api::keys::label, domain::policy::UpgradePolicy};

/// The label on base pods that V1's samples show and nothing reads.
const WRONG_LIMIT: &str = "maxModuleCount";

/// What `apply` mends, each only where it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mend {
    /// Write replicas -1 again where V1 overwrote it
    Peer,
    /// Write upgrade policies with the names that are read
    Policy,
    /// Write koupleless.io/max-module-count beside maxModuleCount on base pods
    MaxModuleCount,
}

/// A row for each thing worth knowing.
pub fn rows(seen: &Seen, mend: &[Mend]) -> Vec<Row> {
    let mut rows = Vec::new();
    for object in &seen.new {
        match text(object, "/kind") {
            "ModuleDeployment" => deployment(&mut rows, seen, object, mend),
            "Module" if is_unbound(object) => rows.push(Row {
                found: "V1 never gave it a base".to_owned(),
                does: "the operator deletes it and makes another one".to_owned(),
                ..row(object, Risk::Look)
            }),
            _ => {}
        }
    }
    rows.extend(seen.pods.iter().filter_map(|pod| limit(pod, mend)));
    rows.sort_by(|a, b| (&a.namespace, &a.object, &a.found).cmp(&(&b.namespace, &b.object, &b.found)));
    rows
}

fn row(object: &Value, risk: Risk) -> Row {
    Row {
        namespace: place(object).0.to_owned(),
        object: format!("{} {}", text(object, "/kind"), place(object).1),
        found: String::new(),
        does: String::new(),
        risk,
        steps: vec![],
    }
}

fn is_unbound(module: &Value) -> bool {
    let none = |pointer: &str| module.pointer(pointer).and_then(Value::as_array).is_none_or(Vec::is_empty);
    none("/metadata/ownerReferences") && none("/metadata/finalizers")
}

fn deployment(rows: &mut Vec<Row>, seen: &Seen, object: &Value, mend: &[Mend]) {
    mendable(rows, object, mend);
    if !is_untouched(object) {
        return;
    }
    let mut say =
        |found: String, does: &str| rows.push(Row { found, does: does.to_owned(), ..row(object, Risk::Look) });
    let modules = modules_of(seen, object);
    if is_ending(object) {
        let found = format!("its deletion never ended; it has {}", counted(modules.len(), "Module"));
        return say(found, "the operator uninstalls them and lets it go");
    }
    let newest = newest_revision(seen, object);
    let progress = text(object, "/status/releaseStatus/progress");
    let old = modules.iter().filter(|module| revision(module) < newest).count();
    if progress == "Completed" && old > 0 {
        let found = format!("completed, and {} of older revisions still run", counted(old, "Module"));
        say(found, "the operator uninstalls them once as many updated ones as wanted are available");
    }
    if matches!(progress, "Paused" | "WaitingForConfirmation") {
        let batch = object.pointer("/status/releaseStatus/currentBatch").and_then(Value::as_i64).unwrap_or(0);
        let name = text(object, "/metadata/name");
        let does = format!("the operator waits for `kubectl module confirm {name}`, as V1 did");
        say(format!("paused in batch {batch}"), &does);
    }
    let wanted = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0);
    let running = i64::try_from(modules.len() - old).unwrap_or(i64::MAX);
    if progress == "Completed" && wanted > running {
        say(format!("completed, with {running} of {wanted} Modules"), "the operator installs what is missing");
    }
}

/// What its author would mend by hand.
fn mendable(rows: &mut Vec<Row>, object: &Value, mend: &[Mend]) {
    let mut say = |found: String, does: String, kind: Mend, patch: Value| {
        let steps = if mend.contains(&kind) { vec![Step::Patch(Target::ours(object), patch)] } else { vec![] };
        rows.push(Row { found, does, steps, ..row(object, Risk::Look) });
    };
    if is_ending(object) {
        return;
    }
    if convert::overwritten_peer(object) {
        let replicas = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0);
        say(
            format!("replicas {replicas}, where -1 was applied; V1 overwrote it"),
            "stays; --mend peer writes -1 again, which installs it on every base".to_owned(),
            Mend::Peer,
            json!({ "spec": { "replicas": -1 } }),
        );
    }
    let policy = text(object, "/spec/operationStrategy/upgradePolicy");
    if let Some(meant) = UpgradePolicy::meant_by(policy).filter(|meant| meant.as_str() != policy) {
        let read = UpgradePolicy::parse(Some(policy)).as_str();
        say(
            format!("upgradePolicy {policy}, which nothing reads"),
            format!("the operator takes it for {read}; --mend policy writes {}", meant.as_str()),
            Mend::Policy,
            json!({ "spec": { "operationStrategy": { "upgradePolicy": meant.as_str() } } }),
        );
    }
}

/// A base pod with the limit under a name that nothing reads.
fn limit(pod: &Value, mend: &[Mend]) -> Option<Row> {
    let labels = pod.pointer("/metadata/labels")?;
    let wanted = labels.get(WRONG_LIMIT)?;
    if labels.get(label::MAX_MODULE_COUNT).is_some() || is_ending(pod) {
        return None;
    }
    let patch = json!({ "metadata": { "labels": { label::MAX_MODULE_COUNT: wanted } } });
    let steps = vec![Step::Patch(Target::of(pod, "v1", "Pod"), patch)];
    Some(Row {
        object: format!("Pod {}", place(pod).1),
        found: format!("label {WRONG_LIMIT}, which nothing reads"),
        does: format!(
            "--mend max-module-count writes {} beside it; write it in the base Deployment's template too",
            label::MAX_MODULE_COUNT
        ),
        steps: if mend.contains(&Mend::MaxModuleCount) { steps } else { vec![] },
        ..row(pod, Risk::Look)
    })
}

fn label_of<'a>(object: &'a Value, key: &str) -> &'a str {
    object.pointer("/metadata/labels").and_then(|labels| labels.get(key)).and_then(Value::as_str).unwrap_or_default()
}

fn belongs(object: &Value, deployment: &Value) -> bool {
    place(object).0 == place(deployment).0 && label_of(object, label::MODULE_DEPLOYMENT) == place(deployment).1
}

fn modules_of<'a>(seen: &'a Seen, deployment: &Value) -> Vec<&'a Value> {
    seen.new.iter().filter(|object| text(object, "/kind") == "Module" && belongs(object, deployment)).collect()
}

fn revision(object: &Value) -> u64 {
    label_of(object, label::REVISION).parse().unwrap_or(0)
}

fn newest_revision(seen: &Seen, deployment: &Value) -> u64 {
    let sets =
        seen.new.iter().filter(|object| text(object, "/kind") == "ModuleReplicaSet" && belongs(object, deployment));
    sets.map(revision).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;

//! What a dry run prints: a line for each object that would be written and each command that would be given.
//!
//! What is written several times is one line, from how it stands to how it would be. Must not: ask anybody.

use std::fmt::{self, Display};

use serde_json::{Value, json};

use super::{
    agents::Notes,
    findings::Cluster,
    store::{Entry, Key, Store},
};
use crate::{api::Module, arklet::session::Command, domain::merge};

/// Longest text of one change.
const LONGEST: usize = 160;

/// Fields of a status of which only the fact that they change is told.
const COUNTS: [&str; 9] = [
    "currentReplicas",
    "installed",
    "observedGeneration",
    "readyReplicas",
    "replicas",
    "selector",
    "unavailableReplicas",
    "updated",
    "upgradingReplicas",
];

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `create`, `patch`, `status`, `delete`, a command of an agent, or `event`.
    pub verb: String,
    /// The kind, or `Base`.
    pub kind: String,
    /// Namespace and name.
    pub object: String,
    /// What changes.
    pub change: String,
    /// Why.
    pub why: String,
}

/// Everything that would happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Writes to the API server.
    pub writes: Vec<Row>,
    /// Commands to agents, in order.
    pub calls: Vec<Row>,
    /// Events.
    pub events: Vec<Row>,
    /// What else there is to know.
    pub findings: Vec<String>,
}

impl Report {
    /// The report on a rehearsal.
    pub fn of(cluster: &Cluster, store: &Store, events: &[Value], notes: &Notes) -> Self {
        Self {
            writes: store.written().flat_map(|(key, entry)| rows(cluster, key, entry)).collect(),
            calls: calls(cluster, store, notes),
            events: events.iter().map(event).collect(),
            findings: cluster.findings(notes),
        }
    }

    /// As one JSON document.
    pub fn json(&self) -> Value {
        let rows = |rows: &[Row]| -> Vec<Value> {
            let one = |row: &Row| json!({ "verb": row.verb, "kind": row.kind, "object": row.object, "change": row.change, "why": row.why });
            rows.iter().map(one).collect()
        };
        json!({
            "writes": rows(&self.writes), "calls": rows(&self.calls), "events": rows(&self.events), "findings": self.findings,
        })
    }
}

fn rows(cluster: &Cluster, key: &Key, entry: &Entry) -> Vec<Row> {
    let kind = kind(key, entry);
    let object = format!("{}/{}", key.namespace, key.name);
    let row = |verb: &str, change: String, why: String| Row {
        verb: verb.to_owned(),
        kind: kind.clone(),
        object: object.clone(),
        change,
        why,
    };
    let mut rows = Vec::new();
    match (&entry.before, &entry.now) {
        (None, None) => {}
        (None, Some(now)) => rows.push(row("create", brief(now), why_created(&kind, now))),
        (Some(before), now) => {
            let empty = json!({});
            let now = now.as_ref().unwrap_or(&empty);
            if entry.deleted {
                let module: Option<Module> = serde_json::from_value(before.clone()).ok().filter(|_| kind == "Module");
                let why =
                    module.map_or_else(|| "nothing of it is left".to_owned(), |module| cluster.why_leaving(&module));
                rows.push(row("delete", String::new(), why));
            } else if now == &empty {
                rows.push(row(
                    "release",
                    "finalizers off".to_owned(),
                    "it is being deleted and nothing of it is left".to_owned(),
                ));
            } else {
                rows.extend(patches(&kind, before, now).into_iter().map(|(verb, change, why)| row(verb, change, why)));
            }
        }
    }
    rows
}

/// One line for the object itself and one for its status.
fn patches(kind: &str, before: &Value, now: &Value) -> Vec<(&'static str, String, String)> {
    let mut rows = Vec::new();
    let change = [changed("metadata", before, now), changed("spec", before, now)].concat();
    if !change.is_empty() {
        rows.push(("patch", bounded(change.join(", ")), why_patched(kind, &change)));
    }
    let mut change = changed("status", before, now);
    let any = !change.is_empty();
    change.retain(|one| !COUNTS.iter().any(|field| one.starts_with(field)));
    if any && change.is_empty() {
        rows.push(("status", "counts".to_owned(), "counted afresh, and noted what is installed".to_owned()));
    } else if any {
        rows.push(("status", bounded(change.join(", ")), said(now)));
    }
    rows
}

/// `field: old -> new` for all that differs in a part of an object; what moves with every write is left out.
fn changed(part: &str, before: &Value, now: &Value) -> Vec<String> {
    let strip = |object: &Value| {
        let mut value = object[part].clone();
        if let Value::Object(fields) = &mut value {
            for noise in ["resourceVersion", "generation", "managedFields", "uid", "last_transition_time"] {
                fields.remove(noise);
            }
            if let Some(conditions) = fields.get_mut("conditions") {
                *conditions = conditions_by_type(conditions);
            }
        }
        value
    };
    let (before, now) = (strip(before), strip(now));
    let mut found = Vec::new();
    if let Some(patch) = merge::diff(&before, &now) {
        leaves(&patch, &before, "", &mut found);
    }
    found
}

/// `{type: "status (reason)"}`, the last of each type; V1 repeats them.
fn conditions_by_type(conditions: &Value) -> Value {
    let mut by_type = serde_json::Map::new();
    for one in conditions.as_array().into_iter().flatten() {
        let (status, reason) = (word(&one["status"]), word(&one["reason"]));
        let shown = if reason.is_empty() { status } else { format!("{status} ({reason})") };
        by_type.insert(word(&one["type"]), json!(shown));
    }
    Value::Object(by_type)
}

fn leaves(patch: &Value, before: &Value, path: &str, found: &mut Vec<String>) {
    match patch {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                // Times say when, and nothing of what.
                if !name.ends_with("Time") {
                    leaves(value, &before[name], &path, found);
                }
            }
        }
        Value::Null => found.push(format!("{path}: {} -> none", word(before))),
        value if before.is_null() => found.push(format!("{path}: {}", word(value))),
        value => found.push(format!("{path}: {} -> {}", word(before), word(value))),
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(items) if items.iter().all(Value::is_object) && !items.is_empty() => {
            let names: Vec<String> =
                items.iter().map(|item| format!("{} {}", word(&item["kind"]), word(&item["name"]))).collect();
            names.join(" and ")
        }
        Value::Array(items) => format!("[{}]", items.iter().map(word).collect::<Vec<_>>().join(" ")),
        other => other.to_string(),
    }
}

fn bounded(text: String) -> String {
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain("...".chars()).collect()
}

/// The kind in the singular, as people write it.
fn kind(key: &Key, entry: &Entry) -> String {
    let told = entry.now.as_ref().or(entry.before.as_ref()).map(|object| word(&object["kind"])).unwrap_or_default();
    if told.is_empty() { key.plural.clone() } else { told }
}

fn brief(object: &Value) -> String {
    let module = &object["spec"]["module"];
    let on = word(&object["metadata"]["labels"]["koupleless.io/base-instance-name"]);
    if module.is_object() {
        return format!("{}:{} on {on}", word(&module["name"]), word(&module["version"]));
    }
    bounded(format!("replicas {}", word(&object["spec"]["replicas"])))
}

fn why_created(kind: &str, object: &Value) -> String {
    let of = |label: &str| word(&object["metadata"]["labels"][label]);
    match kind {
        "Module" => format!("{} wants one more, and the base has none", of("koupleless.io/module-replicaset")),
        "ModuleReplicaSet" => format!("a revision of {} that has none", of("koupleless.io/module-deployment")),
        _ => "asked for and not there".to_owned(),
    }
}

fn why_patched(kind: &str, change: &[String]) -> String {
    let has = |text: &str| change.iter().any(|one| one.contains(text));
    match kind {
        "ModuleDeployment" if has("scaleReplicas") => {
            "the field that kubectl scale and autoscalers set follows replicas"
        }
        "ModuleDeployment" if has("confirmBatchNum") => "the release is complete",
        "ModuleReplicaSet" if has("replicas") => "as many of this revision as the release has come to",
        "Service" => "taken over: ports, node port and cluster IP stay",
        "Pod" if has(": true -> none") => "no traffic for a module that leaves, before it is uninstalled",
        "Pod" => "traffic where a module is active, and how many there are",
        _ => "kept as this operator keeps it",
    }
    .to_owned()
}

/// What the object's own status gives as its reason.
fn said(now: &Value) -> String {
    let status = &now["status"];
    let own = word(&status["message"]);
    if !own.is_empty() {
        return bounded(own);
    }
    let progressing = status["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == "Progressing");
    let message = progressing.map(|one| word(&one["message"])).filter(|message| !message.is_empty());
    bounded(message.unwrap_or_else(|| "counted afresh".to_owned()))
}

fn calls(cluster: &Cluster, store: &Store, notes: &Notes) -> Vec<Row> {
    let created: Vec<Module> = store
        .written()
        .filter_map(|(_, entry)| entry.now.clone().filter(|_| entry.before.is_none()))
        .filter_map(|object| serde_json::from_value(object).ok())
        .collect();
    let row = |(base, command): &(crate::arklet::session::BaseId, Command)| {
        let (verb, name, version, url) = match command {
            Command::Install { name, version, url } => ("installBiz", name, version, url.as_str()),
            Command::Uninstall { name, version } => ("uninstallBiz", name, version, ""),
            Command::Switch { name, version } => ("switchBiz", name, version, ""),
            Command::Look | Command::Health => return None,
        };
        let of = |module: &&Module| {
            crate::runtime::index::base_uid(module) == Some(base.uid.as_str())
                && module.spec.module.as_ref().is_some_and(|info| info.name == *name && info.version == *version)
        };
        let module = cluster.modules.iter().chain(&created).find(of);
        let named = module.and_then(|module| module.metadata.name.clone()).unwrap_or_default();
        let why = match (command, module) {
            (Command::Uninstall { .. }, Some(module)) => cluster.why_leaving(module),
            (Command::Uninstall { .. }, None) => "left behind by V1, of a revision of its deployment".to_owned(),
            _ => format!("Module {named}; taken to succeed"),
        };
        let change = if url.is_empty() { format!("{name}:{version}") } else { format!("{name}:{version} from {url}") };
        let object = format!("{}/{}", base.namespace, base.pod);
        Some(Row { verb: verb.to_owned(), kind: "Base".to_owned(), object, change, why })
    };
    notes.told.iter().filter_map(row).collect()
}

fn event(event: &Value) -> Row {
    let regarding = &event["regarding"];
    Row {
        verb: "event".to_owned(),
        kind: word(&regarding["kind"]),
        object: format!("{}/{}", word(&regarding["namespace"]), word(&regarding["name"])),
        change: format!("{} {}", word(&event["type"]), word(&event["reason"])),
        why: bounded(word(&event["note"])),
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<&Row> = self.calls.iter().chain(&self.writes).chain(&self.events).collect();
        let head = Row {
            verb: "VERB".to_owned(),
            kind: "KIND".to_owned(),
            object: "OBJECT".to_owned(),
            change: "CHANGE".to_owned(),
            why: "WHY".to_owned(),
        };
        let width = |cell: fn(&Row) -> &str| all.iter().map(|row| cell(row).len()).max().unwrap_or(0);
        let (verb, kind) = (width(|row| &row.verb).max(4), width(|row| &row.kind).max(4));
        let (object, change) = (width(|row| &row.object).max(6), width(|row| &row.change).clamp(6, 72));
        for row in std::iter::once(&head).chain(all) {
            writeln!(
                f,
                "{:verb$}  {:kind$}  {:object$}  {:change$}  {}",
                row.verb, row.kind, row.object, row.change, row.why
            )?;
        }
        if !self.findings.is_empty() {
            writeln!(f, "\nFOUND")?;
            for finding in &self.findings {
                writeln!(f, "- {finding}")?;
            }
        }
        let count = |verb: &str| self.calls.iter().filter(|row| row.verb == verb).count();
        writeln!(
            f,
            "\n{} objects and statuses would be written; installs: {}, uninstalls: {}, switches: {}. Nothing was written.",
            self.writes.len(),
            count("installBiz"),
            count("uninstallBiz"),
            count("switchBiz")
        )
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;

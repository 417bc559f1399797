//! The objects of a file, each against its definition and the operator's own rules.

use std::{collections::HashMap, sync::OnceLock};

use serde_json::Value;

use super::{
    finding::{FileReport, Finding},
    hints, metadata,
    schema::{self, Mismatch},
    vpod,
};
use crate::{
    api::{ModuleDeployment, crds, keys},
    cli::manifest::{self, Node},
    domain::{
        policy::UpgradePolicy,
        validation::{Severity, Violation, validate},
    },
};

/// Groups that V1 had before `koupleless.io`.
pub const OLD_GROUPS: [&str; 2] = ["serverless.alipay.com", "koupleless.alipay.com"];

/// The schemas of our kinds.
fn schemas() -> &'static HashMap<String, Value> {
    static SCHEMAS: OnceLock<HashMap<String, Value>> = OnceLock::new();
    SCHEMAS.get_or_init(|| {
        // The definitions come from the types, and a test makes them; what can't be made is checked against nothing.
        let schema =
            |crd: k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition| {
                let version = crd.spec.versions.into_iter().next()?;
                let schema = serde_json::to_value(version.schema?.open_api_v3_schema?).ok()?;
                Some((crd.spec.names.kind, schema))
            };
        crds::all().unwrap_or_default().into_iter().filter_map(schema).collect()
    })
}

/// Everything that is wrong in the text of a file.
pub fn file(name: &str, text: &str) -> FileReport {
    let mut report = FileReport { file: name.to_owned(), ..FileReport::default() };
    match manifest::read(text) {
        Err(problem) => report.findings.push(Finding {
            severity: Severity::Error,
            at: problem.at,
            object: String::new(),
            field: String::new(),
            message: problem.message,
        }),
        Ok(documents) => {
            for document in &documents {
                let doubled = document.problems.iter().map(|problem| Mismatch {
                    at: problem.at,
                    field: String::new(),
                    message: problem.message.clone(),
                });
                let before = report.findings.len();
                object(&mut report, &document.root);
                let named = report.findings[before..].first().map(|finding| finding.object.clone());
                let named = named.unwrap_or_else(|| title(&document.root));
                // kubectl takes the last one and says nothing.
                let warning = |mismatch| Finding { severity: Severity::Warning, ..error(mismatch, &named) };
                report.findings.extend(doubled.map(warning));
            }
        }
    }
    report.findings.sort_by_key(|finding| finding.at);
    report
}

fn error(mismatch: Mismatch, object: &str) -> Finding {
    let Mismatch { at, field, message } = mismatch;
    Finding { severity: Severity::Error, at, object: object.to_owned(), field, message }
}

/// Kind and name, as far as there are any.
fn title(object: &Node) -> String {
    let text = |path: &[&str]| object.get(path).and_then(Node::text).unwrap_or_default();
    let name =
        [text(&["metadata", "name"]), text(&["metadata", "generateName"])].into_iter().find(|name| !name.is_empty());
    format!("{} {}", text(&["kind"]), name.unwrap_or_default()).trim().to_owned()
}

fn object(report: &mut FileReport, object: &Node) {
    let text = |name: &str| object.get(&[name]).and_then(Node::text);
    let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else {
        let missing = if text("kind").is_none() { "kind" } else { "apiVersion" };
        let message = "is missing or no text; every object says what it is, for instance apiVersion: koupleless.io/v1alpha1 and kind: ModuleDeployment";
        let mismatch = Mismatch { at: object.place(missing), field: missing.to_owned(), message: message.to_owned() };
        report.checked += 1;
        return report.findings.push(error(mismatch, &title(object)));
    };
    if kind == "List" || (kind.ends_with("List") && object.field("items").is_some()) {
        for item in object.get(&["items"]).map(Node::items).unwrap_or_default() {
            self::object(report, item);
        }
        return;
    }
    let title = title(object);
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let at_version = object.place("apiVersion");
    if OLD_GROUPS.contains(&group) {
        report.checked += 1;
        let message =
            format!("{group} is V1's group from before koupleless.io; write {}/{}", keys::GROUP, keys::VERSION);
        report.findings.push(error(Mismatch { at: at_version, field: "apiVersion".to_owned(), message }, &title));
    } else if group == keys::GROUP {
        report.checked += 1;
        if version != keys::VERSION {
            let message = format!("{version} isn't served; write {}/{}", keys::GROUP, keys::VERSION);
            report.findings.push(error(Mismatch { at: at_version, field: "apiVersion".to_owned(), message }, &title));
        }
    } else if let Some(found) = vpod::check(kind, object) {
        report.checked += 1;
        let warning = |mismatch| Finding { severity: Severity::Warning, ..error(mismatch, &title) };
        return report.findings.extend(found.into_iter().map(warning));
    } else {
        report.skipped += 1;
        return;
    }
    report.findings.extend(ours(object, kind, &title));
}

/// An object of our group, or of one of its former groups.
fn ours(object: &Node, kind: &str, title: &str) -> Vec<Finding> {
    let Some(schema) = schemas().get(kind) else {
        let mut known: Vec<&str> = schemas().keys().map(String::as_str).collect();
        known.sort_unstable();
        let change = hints::nearest(kind, &known).map_or_else(|| known.join(", "), str::to_owned);
        let message = format!("{kind} is no kind of {}; write {change}", keys::GROUP);
        return vec![error(Mismatch { at: object.place("kind"), field: "kind".to_owned(), message }, title)];
    };
    let mut mismatches = metadata::check(object);
    mismatches.extend(schema::check(object, &with_head(schema), ""));
    let mut findings: Vec<Finding> = Vec::new();
    if kind == "ModuleDeployment" {
        let known = |violation: &Violation| {
            let related = |a: &str, b: &str| {
                a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            mismatches.iter().any(|m| related(&m.field, violation.field) || related(violation.field, &m.field))
        };
        findings.extend(violations(object, &mismatches).into_iter().filter(|violation| !known(violation)).map(
            |violation| {
                let Violation { field, message, severity } = violation;
                Finding {
                    severity,
                    at: object.place(field),
                    object: title.to_owned(),
                    field: field.to_owned(),
                    message,
                }
            },
        ));
        findings.iter_mut().for_each(|finding| say_what_was_meant(object, finding));
    }
    findings.extend(mismatches.into_iter().map(|mismatch| error(mismatch, title)));
    findings
}

/// The schema with what every object has: its head, checked by others, and a status, which nobody writes by hand.
fn with_head(schema: &Value) -> Value {
    let mut schema = schema.clone();
    for (name, type_) in [("apiVersion", "string"), ("kind", "string"), ("metadata", "object"), ("status", "object")] {
        schema["properties"][name] = serde_json::json!({ "type": type_ });
    }
    schema
}

/// What the operator's own validation says of `object` without what the schema refuses in it.
fn violations(object: &Node, mismatches: &[Mismatch]) -> Vec<Violation> {
    let mut value = object.json();
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| name == "spec");
        fields.insert("metadata".to_owned(), serde_json::json!({}));
    }
    for mismatch in mismatches {
        remove(&mut value, &mismatch.field);
    }
    // What decodes as nothing is a mismatch of the schema, and was told.
    serde_json::from_value::<ModuleDeployment>(value).map(|deployment| validate(&deployment)).unwrap_or_default()
}

/// Takes the field at the dotted path away, or the whole list that it lies in.
fn remove(value: &mut Value, path: &str) {
    let mut at = value;
    let mut names = path.split('.').peekable();
    while let Some(name) = names.next() {
        let (name, indexed) = name.split_once('[').map_or((name, false), |(name, _)| (name, true));
        let Some(fields) = at.as_object_mut() else { return };
        if indexed || names.peek().is_none() {
            fields.remove(name);
            return;
        }
        let Some(next) = fields.get_mut(name) else { return };
        at = next;
    }
}

/// V1's documentation wrote policies in camel case; the operator's own words say only what it makes of them.
fn say_what_was_meant(object: &Node, finding: &mut Finding) {
    const POLICY: [&str; 3] = ["spec", "operationStrategy", "upgradePolicy"];
    let text = object.get(&POLICY).and_then(Node::text).unwrap_or_default();
    let is_it = finding.field == POLICY.join(".") && finding.severity == Severity::Warning;
    if let Some(meant) = UpgradePolicy::meant_by(text).filter(|_| is_it) {
        let means = UpgradePolicy::parse(Some(text)).as_str();
        finding.message = format!("{text:?} is unknown and means {means}; write {}", meant.as_str());
    }
}

#[cfg(test)]
mod tests;

//! The API reference, `docs/api.md`: every field of every kind, from the same schemas that are installed.
//!
//! Pure: text from definitions. Which file it becomes is `crdgen`'s business.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value};

use super::crds::{SchemaError, all};

const HEAD: &str = "<!-- Generated from src/api by crdgen; don't edit. -->
# API reference

Group `koupleless.io`, version `v1alpha1`. Every kind is namespaced. Fields marked *new* are this operator's; all others are
those of the Go ModuleController V1, under the same names. What the fields of a ModuleDeployment do to a release is in
[releases.md](releases.md), with pictures; what conditions say is in [runbook.md](runbook.md).

You write ModuleDeployments. ModuleReplicaSets and Modules are made by the operator; ModuleTemplates are acted on by nobody.
";

/// Fields that V1 didn't have, wherever they stand.
const NEW: [&str; 15] = [
    "spec.scaleReplicas",
    "spec.paused",
    "spec.delivery",
    "operationStrategy.autoRollback",
    "serviceStrategy.drainSeconds",
    "template.metadata.annotations",
    "template.metadata.labels",
    "releaseStatus.lastProgressTime",
    "releaseStatus.completedRevision",
    "ModuleDeployment.status.selector",
    "Module.status.reason",
    "Module.status.message",
    "Module.status.installed",
    "Module.status.conditions",
    "Module.status.observedGeneration",
];

/// The whole text.
pub fn text() -> Result<String, SchemaError> {
    let mut tables = Tables { out: HEAD.to_owned(), known: BTreeMap::new() };
    for crd in all()? {
        tables.kind(&crd)?;
    }
    Ok(tables.out)
}

struct Tables {
    out: String,
    /// Parts that stand in a table already, by the field's name: the kind, and the schema.
    known: BTreeMap<String, (String, Value)>,
}

impl Tables {
    fn kind(&mut self, crd: &CustomResourceDefinition) -> Result<(), SchemaError> {
        let names = &crd.spec.names;
        let short = names.short_names.iter().flatten().map(|name| format!(" (`{name}`)")).collect::<String>();
        for version in &crd.spec.versions {
            let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
            let schema = serde_json::to_value(schema)?;
            self.out.push_str(&format!("\n## {}\n\n{}\n\n", names.kind, described(&schema)));
            self.out.push_str(&format!("`kubectl get {}`{short}", names.plural));
            if let Some(scale) = version.subresources.as_ref().and_then(|all| all.scale.as_ref()) {
                self.out.push_str(&format!("; `kubectl scale` writes `{}`", scale.spec_replicas_path));
            }
            self.out.push_str(".\n");
            for (part, schema) in properties(&schema).into_iter().flatten() {
                if properties(schema).is_some() {
                    self.out.push_str(&format!("\n### {}.{part}\n\n", names.kind));
                    self.out.push_str("| field | type | default | bounds | | |\n|---|---|---|---|---|---|\n");
                    self.fields(&names.kind, &format!("{}.{part}", names.kind), "", schema);
                }
            }
        }
        Ok(())
    }

    /// One line for each field of an object. `root` is where its table begins, `path` leads from there to the object.
    fn fields(&mut self, kind: &str, root: &str, path: &str, schema: &Value) {
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, field) in properties(schema).into_iter().flatten() {
            let own = format!("{path}{name}");
            let full = format!(".{root}.{own}");
            let is_new = NEW.iter().any(|new| full.ends_with(&format!(".{new}")));
            let mut marks = Vec::new();
            marks.extend(required.contains(&name.as_str()).then_some("required"));
            marks.extend(is_new.then_some("*new*"));
            let inner = field.get("items").unwrap_or(field);
            let known = self.known.get(name).filter(|(_, schema)| schema == inner).map(|(kind, _)| kind.clone());
            let mut means = described(field);
            if let Some(known) = &known {
                means.push_str(&format!(" As in a [{known}](#{}).", known.to_lowercase()));
            }
            self.out.push_str(&format!(
                "| `{own}` | {} | {} | {} | {} | {} |\n",
                type_of(field),
                field.get("default").map(|value| format!("`{value}`")).unwrap_or_default(),
                bounds(field),
                marks.join(", "),
                means.trim(),
            ));
            if known.is_none() && properties(inner).is_some() && !is_selector(inner) {
                let many = if field.get("items").is_some() { "[]" } else { "" };
                self.fields(kind, root, &format!("{own}{many}."), inner);
                self.known.entry(name.clone()).or_insert_with(|| (kind.to_owned(), inner.clone()));
            }
        }
    }
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema["properties"].as_object()
}

/// Kubernetes' own LabelSelector needs no explanation here.
fn is_selector(schema: &Value) -> bool {
    schema["properties"].get("matchExpressions").is_some()
}

fn described(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    if !line.is_empty() && !line.ends_with('.') {
        line.push('.');
    }
    line
}

fn type_of(schema: &Value) -> String {
    if schema["x-kubernetes-int-or-string"] == true {
        return "integer or string".to_owned();
    }
    if is_selector(schema) {
        return "LabelSelector".to_owned();
    }
    let word = schema["type"].as_str().unwrap_or("any");
    match (word, schema["format"].as_str()) {
        ("array", _) => format!("list of {}", type_of(&schema["items"])),
        ("object", _) if schema["additionalProperties"].is_object() => "map of strings".to_owned(),
        ("string", Some("date-time")) => "time".to_owned(),
        ("integer", Some(format)) => format.to_owned(),
        _ => word.to_owned(),
    }
}

fn bounds(schema: &Value) -> String {
    let mut all = Vec::new();
    let number = |key: &str, trivial: i32| {
        let value = schema[key].as_f64().filter(|value| *value != f64::from(trivial));
        value.map(|value| format!("{value}"))
    };
    let least = number("minimum", i32::MIN);
    let most = number("maximum", i32::MAX);
    match (least, most) {
        (Some(least), Some(most)) => all.push(format!("{least} to {most}")),
        (Some(least), None) => all.push(format!("at least {least}")),
        (None, Some(most)) => all.push(format!("at most {most}")),
        (None, None) => {}
    }
    if schema["minLength"].as_u64().is_some_and(|least| least > 0) {
        all.push("not empty".to_owned());
    }
    let words = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    if !words.is_empty() {
        all.push(words.join(", "));
    }
    all.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_with_type_default_bounds_and_origin() {
        let text = text().unwrap();
        for line in [
            "| `baseDeploymentName` | string |  | not empty | required | ",
            "| `confirmBatchNum` | int32 | `0` | at least 0 |  | ",
            "| `replicas` | int32 |  | at least -1 |  | ",
            "| `operationStrategy.serviceStrategy.drainSeconds` | int32 |  | 0 to 3600 | *new* | ",
            "| `operationStrategy.maxUnavailable` | integer or string |  |  |  | ",
            "| `template.spec.selector` | LabelSelector |",
        ] {
            assert!(text.contains(line), "{line:?} in\n{text}");
        }
    }

    #[test]
    fn every_new_field_exists() {
        let text = text().unwrap();
        for new in NEW {
            let last = new.rsplit('.').next().unwrap_or(new);
            let marked = text.lines().any(|line| {
                let field = line.split('`').nth(1).unwrap_or_default();
                field.rsplit('.').next() == Some(last) && line.contains("*new*")
            });
            assert!(marked, "{new} is in no table");
        }
    }
}

//! The CustomResourceDefinitions, as they are installed: made from the types, then put right where the derived
//! schema and V1's disagree.
//!
//! V1's stored objects must stay writable after the CRDs are replaced, so for V1's fields nothing here may be
//! stricter than V1's schema was (but for int32, which V1 meant and the API server let pass: see [`bound_int32`]);
//! fields that V1 didn't have may be. The types decode more than the schema lets
//! in (an object may have been stored under an older schema), so what is required is said here and not by them.
//! Pure: files are `crdgen`'s business, strict rules on content are [`crate::domain::validation`]'s.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, CustomResourceDefinitionNames,
    CustomResourceDefinitionSpec, CustomResourceDefinitionVersion, CustomResourceValidation, JSONSchemaProps,
};
use kube::{
    CustomResourceExt, Resource, ResourceExt,
    core::schema::{OptionalIntOrString, StructuralSchemaRewriter},
};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::{Module, ModuleDeployment, ModuleReplicaSet, ModuleTemplate, ModuleTemplateSpec};

/// First line of every file.
const HEAD: &str = "# Generated from src/api by crdgen; don't edit.\n";

/// Why the definitions can't be made; only a mistake in the types leads here, so a test meets it first.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The derived schema is no schema of a CustomResourceDefinition.
    #[error("the schema derived from the types is no CustomResourceDefinition: {0}")]
    Schema(#[from] serde_json::Error),
    /// The definition can't be written down.
    #[error("the definition is no YAML: {0}")]
    Yaml(#[from] serde_yaml_ng::Error),
}

/// All four definitions, in the order in which they are written and applied.
pub fn all() -> Result<Vec<CustomResourceDefinition>, SchemaError> {
    [ModuleDeployment::crd(), ModuleReplicaSet::crd(), Module::crd(), module_template()?]
        .into_iter()
        .map(adjusted)
        .collect()
}

/// What stands in `crds/`: file names with their content, one a kind and then the kustomization that lists them.
pub fn files() -> Result<Vec<(String, String)>, SchemaError> {
    let mut files = all()?
        .iter()
        .map(|crd| Ok((format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural), yaml(crd)?)))
        .collect::<Result<Vec<_>, SchemaError>>()?;
    let mut kustomization =
        format!("{HEAD}apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n");
    for (name, _) in &files {
        kustomization.push_str(&format!("- {name}\n"));
    }
    files.push(("kustomization.yaml".to_owned(), kustomization));
    Ok(files)
}

fn yaml(crd: &CustomResourceDefinition) -> Result<String, SchemaError> {
    let mut value = serde_json::to_value(crd)?;
    whole_numbers(&mut value);
    Ok(format!("{HEAD}{}", serde_yaml_ng::to_string(&value)?))
}

/// ModuleTemplate, by hand: the derive knows only kinds whose fields are in `spec`, and this one has a `template`.
fn module_template() -> Result<CustomResourceDefinition, SchemaError> {
    let generator = SchemaSettings::openapi3()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .with_transform(StructuralSchemaRewriter)
        .with_transform(OptionalIntOrString)
        .into_generator();
    let mut template = serde_json::to_value(generator.into_root_schema_for::<ModuleTemplateSpec>())?;
    if let Value::Object(fields) = &mut template {
        fields.remove("title");
    }
    let schema = json!({
        "description": "A module's template that stands alone. V1 defined the kind and never acted on it; neither does this operator.",
        "type": "object",
        "properties": { "template": template },
        "title": "ModuleTemplate",
    });
    let column = |name: &str, type_: &str, json_path: &str| CustomResourceColumnDefinition {
        name: name.to_owned(),
        type_: type_.to_owned(),
        json_path: json_path.to_owned(),
        ..Default::default()
    };
    let plural = ModuleTemplate::plural(&());
    let group = ModuleTemplate::group(&());
    let kind = ModuleTemplate::kind(&());
    Ok(CustomResourceDefinition {
        metadata: kube::core::ObjectMeta { name: Some(format!("{plural}.{group}")), ..Default::default() },
        spec: CustomResourceDefinitionSpec {
            group: group.into_owned(),
            names: CustomResourceDefinitionNames {
                categories: Some(vec!["koupleless".to_owned()]),
                kind: kind.to_string(),
                plural: plural.into_owned(),
                singular: Some(kind.to_lowercase()),
                ..Default::default()
            },
            scope: "Namespaced".to_owned(),
            versions: vec![CustomResourceDefinitionVersion {
                name: ModuleTemplate::version(&()).into_owned(),
                served: true,
                storage: true,
                schema: Some(CustomResourceValidation {
                    open_api_v3_schema: Some(serde_json::from_value::<JSONSchemaProps>(schema)?),
                }),
                additional_printer_columns: Some(vec![
                    column("Module", "string", ".template.spec.module.name"),
                    column("Version", "string", ".template.spec.module.version"),
                    column("Age", "date", ".metadata.creationTimestamp"),
                ]),
                ..Default::default()
            }],
            ..Default::default()
        },
        status: None,
    })
}

/// What the derive can't say, or says otherwise than V1.
fn adjusted(mut crd: CustomResourceDefinition) -> Result<CustomResourceDefinition, SchemaError> {
    crd.labels_mut().insert("app.kubernetes.io/name".to_owned(), "module-controller".to_owned());
    for version in &mut crd.spec.versions {
        let Some(validation) = &mut version.schema else {
            continue;
        };
        let mut schema = serde_json::to_value(&validation.open_api_v3_schema)?;
        if let Value::Object(root) = &mut schema {
            // V1's kinds could be stored without a spec, and such an object must be readable and deletable.
            root.remove("required");
            if let Some(Value::Object(spec)) = root.get_mut("properties").and_then(|p| p.get_mut("spec")) {
                require(spec, &["baseDeploymentName"]);
            }
        }
        adjust_schema(&mut schema);
        validation.open_api_v3_schema = serde_json::from_value(schema)?;
    }
    Ok(crd)
}

/// Walks `schema` down to its leaves.
fn adjust_schema(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    // V1 had no nullable field. With one, a null would be stored as it is, where V1 put the default in its place.
    fields.remove("nullable");
    // Says that the type decodes without it, not that the API server should write an empty text.
    if fields.get("default") == Some(&json!("")) {
        fields.remove("default");
    }
    require_module_identity(fields);
    bound_int32(fields);
    // A label selector is one value: merged key by key, two of them would select something nobody asked for.
    if fields.get("properties").is_some_and(|p| p.get("matchLabels").is_some()) {
        fields.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
    }
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(adjust_schema);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(key) {
            adjust_schema(inner);
        }
    }
}

/// V1's `module` needs `name`, `version` and `url`; it is told from other objects by having a `url`.
fn require_module_identity(fields: &mut Map<String, Value>) {
    if fields.get("properties").is_some_and(|properties| properties.get("url").is_some()) {
        require(fields, &["name", "url", "version"]);
    }
}

/// The API server doesn't enforce the format: without bounds it stores 2147483648, and then no typed client (V1's
/// neither, so no running V1 has such an object) can read a list in which that object stands.
fn bound_int32(fields: &mut Map<String, Value>) {
    if fields.get("format") == Some(&json!("int32")) {
        fields.entry("minimum").or_insert(json!(i32::MIN));
        fields.entry("maximum").or_insert(json!(i32::MAX));
    }
}

/// Makes `names` required in `fields`, as far as they are properties there.
fn require(fields: &mut Map<String, Value>, names: &[&str]) {
    let known: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| fields.get("properties").is_some_and(|properties| properties.get(*name).is_some()))
        .collect();
    if !known.is_empty() {
        fields.insert("required".to_owned(), json!(known));
    }
}

/// `minimum: 0.0` -> `minimum: 0`: bounds are floats in the schema's type, and integers for readers.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|n| number.is_f64() && n.fract() == 0.0 && n.abs() < 1e15);
            if let Some(whole) = whole {
                *value = json!(whole as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
